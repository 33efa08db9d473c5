"""Values of a layer's weights, to be saved and loaded: by weight, or by parameter of the model."""

import numpy as np

from ..keras_private import plain_variable
from ..plan.show import short_list

ITEMS = (
    " (a row for each item of a minibatch, since a learning rule changes them each in its own way:"
    " expected the minibatch_size with which they were saved)"
)


def load_weights(layer, values):
    """Set all weights of a layer from arrays by their names; nothing changes if one does not fit.

    Parameters
    ----------
    layer : nengo_dl.layer.layer_state.LayerState
        The layer.
    values : dict
        Array by name of the weight.

    Raises
    ------
    ValueError
        If names are missing or unknown, or arrays have other shapes.
    """
    names = layer.weight_names
    expected = {name: tuple(layer.base_params[i].shape) for name, i in names.items()}
    plan = layer.plan
    learned = {n: plan.weights[i].shape for n, i in names.items() if plan.params[i].learned}
    fitting = fit_all(values, expected, learned)
    for name, i in names.items():
        layer.base_params[i].assign(fitting[name])


def get_parameters(layer):
    """Values of all parameters of the model by their names, in the shapes that Nengo gives them.

    Weights of Keras layers in the model are among them, in their own shapes.

    Those that each item of a minibatch has changed in its own way have an axis of items first.
    """
    result = {}
    for index, weight in _weights(layer):
        value = plain_variable(layer.base_params[index]).numpy()
        result.update(zip(weight.members, _apart(weight, value), strict=True))
    result.update((name, weight.numpy()) for name, weight in layer.called.weights.items())
    return result


def set_parameters(layer, values):
    """Set all parameters of the model from arrays as `get_parameters` returns them.

    Raises
    ------
    ValueError
        As `load_weights` does.
    """
    expected, learned = {}, {}
    for index, weight in _weights(layer):
        expected.update(_shapes(weight, layer.base_params[index].shape))
        if layer.plan.params[index].learned:
            learned.update(_shapes(weight, weight.shape))
    expected.update((name, tuple(w.shape)) for name, w in layer.called.weights.items())
    fitting = fit_all(values, expected, learned)
    for index, weight in _weights(layer):
        value = _joined(weight, [fitting[name] for name in weight.members])
        layer.base_params[index].assign(value)
    for name, weight in layer.called.weights.items():
        weight.assign(fitting[name])


def fit_all(values, expected, learned):
    """Bring arrays into their shapes.

    Parameters
    ----------
    values : dict
        Array by name.
    expected : dict
        Shape by name.
    learned : dict
        Shape of a single item, by name of those that have a row for each item of a minibatch of
        more than one. If all rows are equal, there may be more or fewer of them.

    Returns
    -------
    dict
        Array by name.
    """
    missing = [name for name in expected if name not in values]
    unknown = [name for name in values if name not in expected]
    fitting, misfits = {}, []
    for name, shape in expected.items():
        if name not in values:
            continue
        value = values[name]
        if name in learned and value.shape != shape:
            rows = value[None] if value.shape == learned[name] else value
            if rows.shape[1:] == learned[name] and len(rows) and (rows == rows[:1]).all():
                value = np.broadcast_to(rows[0], shape)
        if value.shape != shape or value.dtype.kind not in "fiu":
            items = ITEMS if name in learned else ""
            misfits.append(f"{name}: expected shape {shape}{items}, got {value.shape}")
        fitting[name] = value
    problems = {"missing": missing, "not of this network": unknown, "that do not fit": misfits}
    said = [f"{what}: {short_list(names)}" for what, names in problems.items() if names]
    if said:
        raise ValueError(f"expected the parameters of this network, got {'; '.join(said)}")
    return fitting


def _weights(layer):
    """Numbers of the parameters that are weights, and what they are."""
    return ((i, weight) for i, weight in enumerate(layer.plan.weights) if weight is not None)


def _apart(weight, value):
    """Members of a weight in Nengo's shapes."""
    items = value.ndim - len(weight.shape)  # 1 if each has its own
    parts = np.moveaxis(value, items, 0) if len(weight.members) > 1 else value[None]
    return [part.T for part in parts] if weight.turned else list(parts)


def _shapes(weight, shape):
    """Shapes of the members of a weight of this shape, by name."""
    parts = _apart(weight, np.broadcast_to(np.int8(0), shape))
    return {name: part.shape for name, part in zip(weight.members, parts, strict=True)}


def _joined(weight, parts):
    """The inverse of `_apart`."""
    parts = [part.T for part in parts] if weight.turned else parts
    if len(parts) == 1:
        return parts[0]
    return np.stack(parts, axis=parts[0].ndim - len(weight.shape) + 1)
