"""The parameters of a model: whose they are, and which of them may be trained."""

import warnings
from dataclasses import dataclass

import nengo
from nengo.builder import Signal
from nengo.ensemble import Neurons

from .object_settings import ObjectSettings


@dataclass(frozen=True)
class Parameter:
    """Numbers of an object that training may change, or that are loaded from a file."""

    obj: object  # Ensemble or Connection
    kind: str  # "encoders", "bias" or "weights"
    signal: Signal  # a base signal
    trainable: bool  # as the settings of objects say
    learned: bool  # by an online learning rule


def parameters(model):
    """Find the parameters of a model.

    Parameters
    ----------
    model : nengo.builder.Model
        The built model.

    Returns
    -------
    list of Parameter
        Encoders and biases of ensembles, weights of connections; not those of connections that
        probes made, since they belong to no network.
    """
    ensembles, connections, setting = _objects(model)
    found = []  # object, kind, signal, what was set
    for ens in ensembles:
        of_ensemble, of_neurons = setting(ens), setting(ens.neurons)
        bias = of_ensemble if of_neurons is None else of_neurons
        found.append((ens, "encoders", model.sig[ens].get("encoders"), of_ensemble))
        found.append((ens, "bias", model.sig[ens.neurons].get("bias"), bias))
    for conn in connections:
        found.append((conn, "weights", model.sig[conn].get("weights"), setting(conn)))
    targets = _learned_signals(model, connections)
    result = {}
    for obj, kind, signal, said in found:
        if signal is None or signal.base in result:
            continue
        learned = signal in targets
        if said and learned:
            _warn_of_both(obj, kind)
        trainable = not learned if said is None else said
        result[signal.base] = Parameter(obj, kind, signal.base, trainable, learned)
    return list(result.values())


def _objects(model):
    """Ensembles, connections, and what the settings of networks say of such an object."""
    if model.toplevel is not None:
        settings = ObjectSettings(model.toplevel)
        return (
            settings.ensembles,
            settings.connections,
            lambda obj: settings.find("trainable", obj),
        )
    warnings.warn(
        "The model was built without a top-level network, so that nothing tells which of its"
        " parameters are trainable: none are",
        UserWarning,
        stacklevel=5,
    )
    ensembles = [obj for obj in model.params if isinstance(obj, nengo.Ensemble)]
    connections = [obj for obj in model.params if isinstance(obj, nengo.Connection)]
    connections = [conn for conn in connections if not isinstance(conn.post_obj, nengo.Probe)]
    return ensembles, connections, lambda obj: False


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


def _warn_of_both(obj, kind):
    warnings.warn(
        f"The {kind} of {obj} were set trainable, but a learning rule changes them while the model"
        " runs: each item of a minibatch has its own, and training adds its changes to all of them",
        UserWarning,
        stacklevel=4,
    )


def names_of(model, found):
    """Name parameters after the labels and places of their objects, the same in every process.

    An object is called by its label, or else by its class and its number among those of its
    network, such a Connection by what it connects; objects of inner networks go by all networks
    around them: ``cortex.vision.encoders``. Names that are there already get a number.

    Parameters
    ----------
    model : nengo.builder.Model
        The built model.
    found : list of Parameter
        Its parameters.

    Returns
    -------
    list of str
        One for each parameter.
    """
    paths = object_names(model)
    names, taken = [], set()
    for parameter in found:
        name = base = f"{_name(parameter.obj, paths)}.{parameter.kind}"
        count = 1
        while name in taken:
            count += 1
            name = f"{base}_{count}"
        taken.add(name)
        names.append(name)
    return names


def object_names(model):
    """Names of the objects of a model by which parameters go, see `names_of`: a dictionary."""
    paths = {}
    if model.toplevel is not None:
        _name_objects(model.toplevel, "", paths)
    return paths


def _name_objects(network, prefix, paths):
    for objects in (network.ensembles, network.nodes, network.networks):
        for i, obj in enumerate(objects):
            paths[obj] = prefix + (obj.label or f"{type(obj).__name__}_{i}")
    paths.update((conn, prefix + conn.label) for conn in network.connections if conn.label)
    for inner in network.networks:
        _name_objects(inner, paths[inner] + ".", paths)


def _name(obj, paths):
    if isinstance(obj, nengo.Connection) and not obj.label:
        return f"{_name(obj.pre_obj, paths)}_to_{_name(obj.post_obj, paths)}"
    if isinstance(obj, Neurons):
        return f"{_name(obj.ensemble, paths)}.neurons"
    return paths.get(obj) or getattr(obj, "label", None) or type(obj).__name__
