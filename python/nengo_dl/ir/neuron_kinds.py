"""What the neuron types of a program are: the one table of these facts in Python.

The engine has the same table (`cpp/neurons/types.h`) and hands it out; a test compares them field
by field.
"""

from dataclasses import dataclass

from ..neurons import described
from .table import Table


@dataclass(frozen=True)
class NeuronType:
    """A neuron type; names are those of Nengo's class."""

    name: str
    parameters: tuple = ()  # float attributes
    states: tuple = ()  # arguments
    flags: tuple = ()  # integer attributes
    draws: bool = False  # takes random numbers
    spikes: bool = False  # has a gradient only with a surrogate
    rate_form: str = ""  # the type without spikes that stands for it in training; "": none
    smooth_form: str = ""  # the same where a smooth rate curve is asked for
    # parameters of the forms that the type does not have itself, as (name, value) pairs
    rate_constants: tuple = ()


def neuron_table(*types: NeuronType) -> Table:
    """Make a table of neuron types in which every rate form is fit to stand for its type."""
    table = Table("neuron type", *types)
    for entry in types:
        known = {*entry.parameters, *dict(entry.rate_constants)}
        # of a smooth form, one parameter more is the smoothing
        for name, more in ((entry.rate_form, 0), (entry.smooth_form, 1)):
            if not name:
                continue
            form = table[name]
            if not entry.spikes or form.spikes:
                raise ValueError(
                    f"neuron type {entry.name!r} has the rate form {name!r}: expected a form that "
                    "does not spike, for a type that does"
                )
            if len(missing := set(form.parameters) - known) != more:
                raise ValueError(
                    f"neuron type {entry.name!r} has the rate form {name!r}, whose parameters "
                    f"{sorted(missing)} nobody gives: expected {more}, add rate_constants"
                )
    return table


_LIF = ("tau_rc", "tau_ref", "amplitude")
_LIF_SPIKES = ("tau_rc", "tau_ref", "min_voltage", "amplitude")
_LIF_STATES = ("voltage", "refractory_time")
_ADAPT = ("tau_n", "inc_n")
# Spikes made of the rates of a base type, which are their J: what they put out in the mean is the
# rate times the amplitude, below zero too.
_OF_RATES = {
    "parameters": ("amplitude",),
    "flags": ("negative",),
    "spikes": True,
    "rate_form": "LeakyReLU",
    "rate_constants": (("negative_slope", 1.0),),
}

NEURONS = neuron_table(
    NeuronType("RectifiedLinear", ("amplitude",)),
    NeuronType(
        "SpikingRectifiedLinear",
        ("amplitude",),
        ("voltage",),
        spikes=True,
        rate_form="RectifiedLinear",
    ),
    NeuronType("Sigmoid", ("tau_ref",)),
    NeuronType("Tanh", ("tau_ref",)),
    NeuronType("LIFRate", _LIF),
    NeuronType(
        "LIF",
        _LIF_SPIKES,
        _LIF_STATES,
        spikes=True,
        rate_form="LIFRate",
        smooth_form="SoftLIFRate",
    ),
    NeuronType("AdaptiveLIFRate", (*_LIF, *_ADAPT), ("adaptation",)),
    NeuronType(
        "AdaptiveLIF",
        (*_LIF_SPIKES, *_ADAPT),
        (*_LIF_STATES, "adaptation"),
        spikes=True,
        rate_form="AdaptiveLIFRate",
    ),
    NeuronType(
        "Izhikevich",
        ("tau_recovery", "coupling", "reset_voltage", "reset_recovery"),
        ("voltage", "recovery"),
        spikes=True,
    ),
    NeuronType("RegularSpiking", states=("voltage",), **_OF_RATES),
    NeuronType("StochasticSpiking", draws=True, **_OF_RATES),
    NeuronType("PoissonSpiking", draws=True, **_OF_RATES),
    *(NeuronType(**facts) for facts in described()),  # nengo_dl.neurons
)
