"""Which parameters of a model may be trained, and which surrogate its spiking neurons have."""

import warnings

import nengo
from nengo.ensemble import Neurons
from nengo.exceptions import ConfigError

from ..config import configured, get_setting


class Settings:
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


def trainable_signals(model):
    """Find all signals of a model that may be trained.

    Parameters
    ----------
    model : nengo.builder.Model
        The built model; its top-level network has the settings.

    Returns
    -------
    set of nengo.builder.Signal
        Encoders and biases of ensembles, weights of connections; not those of connections that
        probes made, since they belong to no network.
    """
    network = model.toplevel
    if network is None:
        warnings.warn(
            "The model was built without a top-level network, so that nothing tells which of its"
            " parameters are trainable: none are",
            UserWarning,
            stacklevel=2,
        )
        return set()
    if get_setting(model, "inference_only", False):
        return set()
    settings = Settings(network)
    choice = {}  # signal -> (what was set, object, name of the parameter)
    for ens in settings.ensembles:
        of_ensemble = settings.find("trainable", ens)
        of_neurons = settings.find("trainable", ens.neurons)
        bias = of_ensemble if of_neurons is None else of_neurons
        choice[model.sig[ens].get("encoders")] = (of_ensemble, ens, "encoders")
        choice[model.sig[ens.neurons].get("bias")] = (bias, ens, "biases")
    for conn in settings.connections:
        found = settings.find("trainable", conn)
        choice[model.sig[conn].get("weights")] = (found, conn, "weights")
    choice.pop(None, None)
    targets = _learned_signals(model, settings.connections)
    _warn_of_both([choice[s] for s in choice if s in targets and choice[s][0]])
    return {
        signal.base
        for signal, (said, _, _) in choice.items()
        if (signal not in targets if said is None else said)
    }


def _learned_signals(model, connections):
    """Signals that online learning rules change."""
    targets = set()
    for conn in connections:
        rules = conn.learning_rule
        if rules is None:
            continue
        if isinstance(rules, dict):
            rules = list(rules.values())
        for rule in rules if isinstance(rules, list) else [rules]:
            if rule.modifies == "encoders":
                post = conn.post_obj
                post = post.ensemble if isinstance(post, Neurons) else post
                targets.add(model.sig[post].get("encoders"))
            else:
                targets.add(model.sig[conn].get("weights"))
    return targets - {None}


def _warn_of_both(entries):
    for _, obj, name in entries:
        warnings.warn(
            f"The {name} of {obj} were set trainable, but a learning rule changes them while the"
            " model runs: each item of a minibatch has its own, and training adds its changes to"
            " all of them",
            UserWarning,
            stacklevel=3,
        )


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
    settings = Settings(model.toplevel)
    by_output = {}
    for ens in settings.ensembles:
        found = settings.find("surrogate", ens)
        if found is not None and "out" in model.sig[ens.neurons]:
            by_output[model.sig[ens.neurons]["out"]] = found
    return lambda op: by_output.get(op.output)


def weight_names(model):
    """Names of the weights of connections: Nengo calls them after their transforms.

    Parameters
    ----------
    model : nengo.builder.Model
        The built model.

    Returns
    -------
    dict
        Signal -> name.
    """
    connections = [obj for obj in model.params if isinstance(obj, nengo.Connection)]
    weights = ((conn, model.sig[conn].get("weights")) for conn in connections)
    return {signal: f"{conn}.weights" for conn, signal in weights if signal is not None}
