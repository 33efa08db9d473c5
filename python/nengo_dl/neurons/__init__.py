"""Neuron types: those that come on top of Nengo's, and the native forms of all."""

from .leaky_relu import LeakyReLU, SpikingLeakyReLU
from .soft_lif import SoftLIFRate

__all__ = ["LeakyReLU", "SoftLIFRate", "SpikingLeakyReLU"]
