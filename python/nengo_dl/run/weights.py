"""The weights of a model: which of its parameters share a tensor."""

import nengo

from ..ir.given import Weight
from ..ir.signals import values_shape
from .parameters import names_of, parameters

# Parameters of one kind and shape, of at most so many elements each, share a weight: a Keras
# variable takes a millisecond to make, and ops on members of one run as one. The matrices of
# layers, which a Keras user expects to find one by one, do so only if there are so many of them.
SMALL, MANY_LAYERS = 4096, 8


def weights_of(model, settings):
    """Sort the parameters of a model into weights.

    Parameters
    ----------
    model : nengo.builder.Model
        The built model.
    settings : nengo_dl.config.Settings
        Those of its top-level network. With ``inference_only`` no weight is trainable; they are the
        same ones in the same order.

    Returns
    -------
    tuple of Weight
        Those of which objects' settings say that they are trained come first. Names and order
        follow from labels, places and order of the objects in the network alone.
    """
    found, groups = parameters(model), {}
    for parameter, name in zip(found, names_of(model, found), strict=True):
        shape = values_shape(parameter.signal)
        key = not parameter.trainable, parameter.kind, shape, parameter.learned, _layer(parameter)
        groups.setdefault(key, {})[name] = parameter.signal
    weights = {True: [], False: []}
    for (fixed, kind, shape, learned, layer), members in groups.items():
        trainable = not fixed and not settings.inference_only
        alone = len(members) < (MANY_LAYERS if layer else 2)
        if alone or next(iter(members.values())).size > SMALL:
            made = [Weight(name, {name: signal}, trainable) for name, signal in members.items()]
        else:
            parts = (
                "layers" * layer, kind, "x".join(map(str, shape)) or "scalar", "fixed" * fixed,
                "learned" * learned,
            )  # fmt: skip
            made = [Weight("_".join(filter(None, parts)), members, trainable)]
        weights[fixed] += made
    return (*weights[False], *weights[True])


def _layer(parameter):
    """Whether it is what a connection without decoders multiplies with."""
    return parameter.kind == "weights" and not isinstance(parameter.obj.pre_obj, nengo.Ensemble)
