"""Which neuron type an activation function becomes, with swaps and scaled firing rates."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import keras
import nengo
import tensorflow as tf

# None: the identity, which needs no neurons
ACTIVATIONS: dict[Callable | None, nengo.neurons.NeuronType | None] = {
    None: None,
    keras.activations.linear: None,
    keras.activations.relu: nengo.RectifiedLinear(),
    tf.nn.relu: nengo.RectifiedLinear(),
    keras.activations.sigmoid: nengo.Sigmoid(tau_ref=1),
    tf.nn.sigmoid: nengo.Sigmoid(tau_ref=1),
    keras.activations.tanh: nengo.Tanh(tau_ref=1),
    tf.nn.tanh: nengo.Tanh(tau_ref=1),
}


class Swaps(Mapping):
    """Activations to be swapped for others, which remembers what of it was used.

    Parameters
    ----------
    swaps : dict or None
        From functions or neuron types to functions or neuron types.

    Raises
    ------
    TypeError
        If it is no dictionary, or has other values.
    """

    def __init__(self, swaps: Mapping | None) -> None:
        if not isinstance(swaps, (Mapping, type(None))):
            raise TypeError(f"swap_activations: expected a dict, got {type(swaps).__name__}")
        self._swaps = dict(swaps or {})
        for value in self._swaps.values():
            _check_activation(value)
        self._used: set = set()
        self._asked: dict = {}  # activations of layers; a dictionary keeps their order

    def __getitem__(self, key: Any) -> Any:
        value = self._swaps[key]
        self._used.add(key)
        return value

    def __iter__(self) -> Iterator:
        return iter(self._swaps)

    def __len__(self) -> int:
        return len(self._swaps)

    def __contains__(self, key: object) -> bool:
        return key in self._swaps

    def swapped(self, activation: Any) -> Any:
        """What stands for an activation: what it is swapped for, or itself."""
        self._asked[activation] = None
        return self[activation] if activation in self else activation

    def unused_keys(self) -> set:
        """Those that no layer of the model had."""
        return set(self._swaps) - self._used

    def said_of_unused(self) -> str:
        """What to say of keys that no layer had; empty if there are none."""
        unused = self.unused_keys()
        if not unused:
            return ""
        asked = ", ".join(map(_said, self._asked)) or "none"
        keys = ", ".join(_said(key) for key in self._swaps if key in unused)
        return (
            "swap_activations: expected as keys activations that layers of the model have"
            f" ({asked}), got {keys}, which no layer has: no effect"
        )


def _said(activation: Any) -> str:
    """An activation for people: functions of Keras and TensorFlow have the same names."""
    name = getattr(activation, "__name__", None)
    if name is None:
        return str(activation)
    package = (getattr(activation, "__module__", None) or "").partition(".")[0]
    return f"{name} of {package}" if package else name


def _check_activation(value: Any) -> None:
    if isinstance(value, type):
        name = value.__name__
        raise TypeError(
            f"swap_activations: expected a neuron type, got the class {name}; did you mean "
            f"{name}()?"
        )
    if not (value is None or callable(value) or isinstance(value, nengo.neurons.NeuronType)):
        raise TypeError(
            f"swap_activations: expected functions or neuron types as values, got {value!r}"
        )


def resolve(activation: Any, table: Mapping, swaps: Swaps) -> Any:
    """The neuron type for an activation; None for the identity; a function that has no neurons.

    Parameters
    ----------
    activation : callable or nengo.neurons.NeuronType or None
        What a layer applies to its output.
    table : dict
        Neuron types by functions.
    swaps : Swaps
        Applied before and after the table.

    Returns
    -------
    nengo.neurons.NeuronType or None or callable
        What it becomes.
    """
    activation = swaps.swapped(activation)
    if not isinstance(activation, nengo.neurons.NeuronType):
        activation = table.get(activation, activation)
    return swaps.swapped(activation)


def with_amplitude_over(neuron_type: Any, scale: float) -> Any:
    """A copy of a neuron type whose output is smaller by a factor; None if it has no amplitude."""
    if not hasattr(neuron_type, "amplitude"):
        return None
    scaled = copy.copy(neuron_type)
    # neuron types can't be changed once they are made, but nobody has seen this one yet
    type(scaled).amplitude.data[scaled] = neuron_type.amplitude / scale
    return scaled
