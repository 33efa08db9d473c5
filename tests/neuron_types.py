"""Numbers for neuron types that no test says anything else of, taken from their classes."""

import inspect
import numbers

from nengo_dl.neurons import neuron_class


def default(name, key):
    """The default of a parameter of a neuron type."""
    value = inspect.signature(neuron_class(name)).parameters[key].default
    if not isinstance(value, numbers.Real):
        raise KeyError(f"{key!r} of neuron type {name!r} has no default: give the test a range")
    return value


def span(name, key):
    """From where to where to draw a parameter, about its default, or a state."""
    if key in neuron_class(name).state:
        return 0.0, 1.0
    value = default(name, key)
    return (value - abs(value) / 2, value + abs(value) / 2) if value else (-0.3, 0.3)


def other_than_default(name):
    """An instance of a neuron type with other parameters than the default ones."""
    cls, values = neuron_class(name), {}
    for key in inspect.signature(cls).parameters:
        if key != "initial_state":
            low, high = span(name, key)
            flag = isinstance(default(name, key), bool)
            values[key] = not default(name, key) if flag else low + 0.2 * (high - low)
    return cls(**values)
