"""Settings of single objects, which every network of a model may have for what it contains."""

from nengo.ensemble import Neurons
from nengo.exceptions import ConfigError

from ..config import configured, get_setting


class ObjectSettings:
    """Settings that every network of a model may have for its own objects.

    They are looked up from the outermost network to the one that holds the object; the last that
    says something (not None) counts. Within one network the setting of an object goes before
    that of its class.

    Parameters
    ----------
    network : nengo.Network
        Outermost network.
    """

    def __init__(self, network):
        self.paths = {}  # object -> networks that contain it, outermost first
        self.ensembles, self.connections = [], []
        self._walk(network, ())

    def _walk(self, network, path):
        path = (*path, network)
        self.ensembles += network.ensembles
        self.connections += network.connections
        for obj in (*network.ensembles, *network.connections):
            self.paths[obj] = path
        for inner in network.networks:
            self._walk(inner, path)

    def find(self, name, obj):
        """What the configs say of an object (an ensemble's neurons, too); None if nothing."""
        home = obj.ensemble if isinstance(obj, Neurons) else obj
        result = None
        for network in self.paths[home]:
            try:
                value = configured(network, name, obj)
            except (ConfigError, AttributeError):  # was never configured there
                continue
            result = result if value is None else value
        return result


def surrogates(model):
    """What stands for the derivative of spikes.

    Parameters
    ----------
    model : nengo.builder.Model
        The built model.

    Returns
    -------
    callable
        From a `nengo.builder.neurons.SimNeurons` to a `nengo_dl.surrogates.Surrogate` or None.
    """
    if model.toplevel is None:
        return lambda op: None
    settings = ObjectSettings(model.toplevel)
    by_output = {}
    for ens in settings.ensembles:
        found = settings.find("surrogate", ens)
        if found is not None and "out" in model.sig[ens.neurons]:
            by_output[model.sig[ens.neurons]["out"]] = found
    return lambda op: by_output.get(op.output)


def kept_histories(model):
    """For each probe of a built model, whether all steps of a run are kept or the last alone."""
    return [get_setting(model, "keep_history", True, obj=probe) for probe in model.probes]


def sample_periods(model, keep_history):
    """For each probe of a built model, steps from value to value; None: as `keep_history` says."""
    periods = [p.sample_every and p.sample_every / model.dt for p in model.probes]
    return [
        period if keep and period != 1 else None
        for period, keep in zip(periods, keep_history, strict=True)
    ]
