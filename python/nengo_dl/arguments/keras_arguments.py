"""Arguments of calls that Keras gets as they are: what it would fail on late, or not at all."""

import functools
import inspect
from collections.abc import Iterable, Mapping

import keras
from nengo.exceptions import ValidationError

from .checks import is_integer

# by name: the least value, and what else there may be
COUNTS = {
    "epochs": (0, ()),
    "initial_epoch": (0, ()),
    "steps_per_epoch": (1, (None,)),
    "validation_steps": (1, (None,)),
    "steps": (1, (None,)),
    "steps_per_execution": (1, ("auto",)),
}


# arguments that Keras 2 took and Keras 3 refuses
DROPPED = ("max_queue_size", "workers", "use_multiprocessing")


def refuse_unknown(method, kwargs, others=()):
    """Refuse arguments that a method of Keras models does not have.

    Parameters
    ----------
    method : str
        Its name, which is that of the simulator's method, too.
    kwargs : dict
        Arguments by name, beside those that the simulator's method has itself.
    others : sequence of str
        Names of more arguments, which Keras does not get.

    Raises
    ------
    TypeError
        If it has no such argument.
    """
    names = _names_of(method)
    for name in kwargs:
        if name not in (*names, *others):
            more = f"; of Keras' arguments it takes {', '.join(names)}" if names else ""
            raise TypeError(f"{method}() got an unexpected keyword argument {name!r}{more}")


@functools.cache
def _names_of(method):
    """What a method of Keras models takes beside the data."""
    known = inspect.signature(getattr(keras.Model, method)).parameters.values()
    data = ("self", "x", "y")
    return [p.name for p in known if p.kind != p.VAR_KEYWORD and p.name not in data]


def check_arguments(kwargs):
    """Refuse arguments of a call of Keras that are of no use to it.

    Parameters
    ----------
    kwargs : dict
        Arguments by name, as they were given.

    Raises
    ------
    nengo.exceptions.ValidationError
        If one of them is not what it has to be.
    """
    for name, (least, others) in COUNTS.items():
        if name in kwargs:
            _count(name, kwargs[name], least, others)
    if "validation_freq" in kwargs:
        _epochs(kwargs["validation_freq"])
    if kwargs.get("verbose", "auto") not in ("auto", 0, 1, 2):
        raise ValidationError(f"expected 0, 1, 2 or 'auto', got {kwargs['verbose']!r}", "verbose")
    _callbacks(kwargs.get("callbacks"))
    weights = kwargs.get("class_weight")
    if weights is not None and not isinstance(weights, Mapping):
        raise ValidationError(
            f"expected a dict from class numbers to weights, got {weights!r}", "class_weight"
        )


def _count(name, value, least, others=()):
    if any(value is other or (isinstance(value, str) and value == other) for other in others):
        return
    if not is_integer(value) or value < least:
        more = "".join(f" or {other!r}" for other in others)
        raise ValidationError(f"must be an integer, {least} or more{more}, got {value!r}", name)


def _epochs(value):
    """Every so many epochs, or after those listed."""
    if not isinstance(value, Iterable) or isinstance(value, str):
        return _count("validation_freq", value, 1)
    for epoch in value:
        _count("validation_freq", epoch, 1)


def _callbacks(value):
    kind = keras.callbacks.Callback
    if value is None or isinstance(value, keras.callbacks.CallbackList):
        return
    for callback in keras.tree.flatten(value):
        if not isinstance(callback, kind):
            made = f"; did you mean {callback.__name__}()?" if isinstance(callback, type) else ""
            raise ValidationError(
                f"expected objects of keras.callbacks.Callback, got {callback!r}{made}", "callbacks"
            )
