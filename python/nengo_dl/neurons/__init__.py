"""Neuron types that come on top of Nengo's.

A class here that `__all__` names is all that Python needs to know of a type. The table of neuron
types (`nengo_dl.ir.neuron_kinds.NEURONS`) reads its parameters off the constructor's arguments, and
its states, whether it spikes and its ``rate_form`` off its attributes.
"""

import inspect
import sys
from collections.abc import Iterator

import nengo
from nengo.params import BoolParam

from .cuba_lif import CubaLIF, CubaLIFRate
from .leaky_relu import LeakyReLU, SpikingLeakyReLU
from .soft_lif import SoftLIFRate

__all__ = ["LeakyReLU", "SoftLIFRate", "SpikingLeakyReLU", "CubaLIFRate", "CubaLIF"]


def neuron_class(name: str) -> type[nengo.neurons.NeuronType]:
    """Find the class of a neuron type by its name, among those here and Nengo's."""
    found = getattr(sys.modules[__name__], name, None) or getattr(nengo, name, None)
    if found is None:
        raise ValueError(f"there is no neuron type {name!r} in nengo_dl.neurons or in nengo")
    return found


def described() -> Iterator[dict]:
    """What the table of neuron types says of each type here, as keyword arguments of an entry.

    Parameters that are True or False are the entry's flags, all others are numbers.
    """
    for name in __all__:
        cls = neuron_class(name)
        given = [key for key in inspect.signature(cls).parameters if key != "initial_state"]
        flags = tuple(key for key in given if isinstance(getattr(cls, key), BoolParam))
        yield {
            "name": name,
            "parameters": tuple(key for key in given if key not in flags),
            "states": tuple(cls.state),
            "flags": flags,
            "spikes": cls.spiking,
            "rate_form": getattr(cls, "rate_form", ""),
        }
