"""Native neuron types: which numbers the engine needs of each of Nengo's classes.

A subclass is another type: what it overrides is not known here, so it runs in Python until
it has an entry of its own.
"""

from dataclasses import dataclass

import nengo

from .leaky_relu import LeakyReLU, SpikingLeakyReLU
from .soft_lif import SoftLIFRate


@dataclass(frozen=True)
class NativeNeurons:
    """What a neuron type looks like in a program; names are Nengo's."""

    name: str
    parameters: tuple = ()  # float attributes
    states: tuple = ()
    flags: tuple = ()  # integer attributes
    stochastic: bool = False


NEURONS = {}


def native(cls, **entry):
    """Declare a Nengo neuron class native."""
    if cls in NEURONS:
        raise ValueError(f"{cls.__name__} is declared twice")
    NEURONS[cls] = NativeNeurons(entry.pop("name", cls.__name__), **entry)


_LIF = ("tau_rc", "tau_ref", "amplitude")
_ADAPT = ("tau_n", "inc_n")

native(nengo.RectifiedLinear, parameters=("amplitude",))
native(nengo.SpikingRectifiedLinear, parameters=("amplitude",), states=("voltage",))
native(LeakyReLU, parameters=("negative_slope", "amplitude"))
native(SpikingLeakyReLU, parameters=("negative_slope", "amplitude"), states=("voltage",))
native(nengo.Sigmoid, parameters=("tau_ref",))
native(nengo.Tanh, parameters=("tau_ref",))
native(nengo.LIFRate, parameters=_LIF)
native(SoftLIFRate, parameters=("sigma", *_LIF))
native(nengo.LIF, parameters=(*_LIF, "min_voltage"), states=("voltage", "refractory_time"))
native(nengo.AdaptiveLIFRate, parameters=_LIF + _ADAPT, states=("adaptation",))
native(
    nengo.AdaptiveLIF,
    parameters=(*_LIF, "min_voltage", *_ADAPT),
    states=("voltage", "refractory_time", "adaptation"),
)
native(
    nengo.Izhikevich,
    parameters=("tau_recovery", "coupling", "reset_voltage", "reset_recovery"),
    states=("voltage", "recovery"),
)
native(nengo.RegularSpiking, parameters=("amplitude",), flags=("negative",), states=("voltage",))
native(
    nengo.StochasticSpiking,
    parameters=("amplitude",),
    flags=("negative",),
    stochastic=True,
)
native(
    nengo.PoissonSpiking,
    parameters=("amplitude",),
    flags=("negative",),
    stochastic=True,
)
