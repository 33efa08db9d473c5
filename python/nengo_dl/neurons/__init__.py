"""Neuron types that come on top of Nengo's."""

import sys

import nengo

from .leaky_relu import LeakyReLU, SpikingLeakyReLU
from .soft_lif import SoftLIFRate

__all__ = ["LeakyReLU", "SoftLIFRate", "SpikingLeakyReLU"]


def neuron_class(name: str) -> type:
    """Find the class of a neuron type by its name, among those here and Nengo's."""
    found = getattr(sys.modules[__name__], name, None) or getattr(nengo, name, None)
    if found is None:
        raise ValueError(f"there is no neuron type {name!r} in nengo_dl.neurons or in nengo")
    return found
