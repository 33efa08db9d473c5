"""Present values of the parameters and the state of a layer, by Nengo's signals."""

import numpy as np
from nengo.exceptions import ReadonlyError, ValidationError

from ..plan.pieces import state_keys
from .plan_state import place_view


def read(layer, signal):
    """Present value of a parameter or state.

    Parameters
    ----------
    layer : nengo_dl.tensor_graph.TensorGraph
        The layer that has the values.
    signal : nengo.builder.Signal
        The signal.

    Returns
    -------
    tuple of (array, bool) or None
        A copy of the value, and whether it has an axis of minibatch items first. None if it is
        neither parameter nor state.
    """
    place = layer.plan.place(signal)
    if place is None:
        return None
    values = _values(layer, place)
    return place_view(values, place).copy(), values.ndim == 2


def write(layer, signal, value):
    """Change a parameter or state; the next step goes on from it.

    Parameters
    ----------
    layer : nengo_dl.tensor_graph.TensorGraph
        The layer that has the values.
    signal : nengo.builder.Signal
        The signal.
    value : array_like
        A number, an array of the signal's shape, or one with a row for each item of the minibatch
        if each has its own value.

    Raises
    ------
    ReadonlyError
        If the signal is a constant of the plan, which was made with its value.
    ValidationError
        If the value does not fit.
    """
    place = layer.plan.place(signal)
    if place is None or (place.kind == "param" and layer.plan.weights[place.index] is None):
        raise ReadonlyError(
            "signals",
            signal,
            f"expected a parameter or state to write to, got {signal}: it is a constant, with which"
            " the plan was made. Give an input Node values with `data`, or change the network and"
            " make a new Simulator",
        )
    values = np.array(_values(layer, place))
    view = place_view(values, place)
    view[...] = _fitting(value, view.shape, place.shape, signal)
    if place.kind == "state":
        layer.set_state(**{state_keys(place.index)[0]: values})
    else:
        layer.set_param(place.index, values)


def _values(layer, place):
    """Values of the parameter or packed state in which a signal lies."""
    if place.kind == "state":
        return layer.get_state()[state_keys(place.index)[0]]
    return layer.get_param(place.index)


def _fitting(value, shape, of_item, signal):
    value = np.asarray(value)
    if value.dtype.kind not in "biuf":
        raise ValidationError(f"{signal}: expected numbers, got {value.dtype}", "signals")
    if value.shape not in ((), shape, of_item):
        items = "" if shape == of_item else f" or {of_item}"
        raise ValidationError(
            f"{signal}: expected shape {shape}{items}, got {value.shape}", "signals"
        )
    return value
