"""Which parameters of a model may be trained."""

import warnings

from nengo.ensemble import Neurons

from .object_settings import ObjectSettings


def trainable_signals(model, settings):
    """Find all signals of a model that may be trained.

    Parameters
    ----------
    model : nengo.builder.Model
        The built model.
    settings : nengo_dl.config.Settings
        Those of its top-level network.

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
    if settings.inference_only:
        return set()
    objects = ObjectSettings(network)
    choice = {}  # signal -> (what was set, object, name of the parameter)
    for ens in objects.ensembles:
        of_ensemble = objects.find("trainable", ens)
        of_neurons = objects.find("trainable", ens.neurons)
        bias = of_ensemble if of_neurons is None else of_neurons
        choice[model.sig[ens].get("encoders")] = (of_ensemble, ens, "encoders")
        choice[model.sig[ens.neurons].get("bias")] = (bias, ens, "biases")
    for conn in objects.connections:
        found = objects.find("trainable", conn)
        choice[model.sig[conn].get("weights")] = (found, conn, "weights")
    choice.pop(None, None)
    targets = _learned_signals(model, objects.connections)
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
