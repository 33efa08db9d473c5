"""Random ops of every neuron type of the table (`nengo_dl.ir.kinds.NEURONS`).

A type is drawn from what its entry says. Ranges go by the names of parameters and states, and a
type that is only interesting elsewhere has its own; names that are not here are drawn about their
default.
"""

import numpy as np
from contract_cases import Arg, Subject, normal
from contract_draws import flag, length, n_blocks, per_block, uniform, zero_or
from neuron_types import span

from nengo_dl.ir.neuron_kinds import NEURONS
from nengo_dl.surrogates import SURROGATES

CURRENT = zero_or(0.9, uniform(-1, 6))
RATE = uniform(0, 400)
SIGNED_RATE = uniform(-400, 400)

RANGES = {
    "amplitude": uniform(0.1, 2),
    "negative_slope": uniform(0, 1),
    "sigma": uniform(0.05, 1.5),
    "tau_rc": uniform(0.01, 0.03),
    "tau_ref": uniform(0, 0.003),
    "min_voltage": zero_or(0.5, uniform(-1, 0)),
    "tau_n": uniform(0.05, 0.2),
    "inc_n": uniform(0, 0.1),
    "tau_recovery": uniform(0.01, 0.1),
    "coupling": uniform(0.1, 0.3),
    "reset_voltage": uniform(-70, -50),
    "reset_recovery": uniform(2, 8),
    "voltage": uniform(0, 1),
    "refractory_time": zero_or(0.5, uniform(0, 0.004)),
    "adaptation": uniform(0, 1),
    "recovery": uniform(-15, 5),
    "J": CURRENT,
}
OWN = {
    "SpikingRectifiedLinear": {"J": RATE},
    "SpikingLeakyReLU": {"J": SIGNED_RATE, "voltage": uniform(-1, 1)},
    "Sigmoid": {"J": normal, "tau_ref": uniform(0.001, 0.003)},
    "Tanh": {"J": normal, "tau_ref": uniform(0.001, 0.003)},
    "SoftLIFRate": {"J": uniform(-8, 6)},
    "LIF": {"J": uniform(-1, 15)},
    "AdaptiveLIF": {"J": uniform(-1, 15)},
    "Izhikevich": {"J": uniform(-40, 30), "voltage": uniform(-70, 29)},
    "RegularSpiking": {"J": SIGNED_RATE},
    "StochasticSpiking": {"J": RATE},
    "PoissonSpiking": {"J": uniform(0, 3000)},
}


def draw_of(name, key):
    """How to draw a parameter, a state or the J of a neuron type."""
    ranges = {**RANGES, **OWN.get(name, {})}
    return ranges[key] if key in ranges else uniform(*span(name, key))


def draws_of(name, keys):
    """The same for several, by name."""
    return {key: draw_of(name, key) for key in keys}


def make_neurons_of(name, rng):
    """A random op of a neuron type."""
    entry, draw = NEURONS[name], draw_of(name, "J")
    n, blocks = length(rng), n_blocks(rng)
    attrs = {"type": name}
    values = draws_of(name, entry.parameters)
    attrs |= {key: per_block(rng, blocks, value) for key, value in values.items()}
    if "min_voltage" in attrs and rng.random_sample() < 0.2:
        attrs["min_voltage"] = -np.inf
    attrs |= {key: flag(rng) for key in entry.flags}
    if attrs.get("negative") and entry.draws:
        draw = SIGNED_RATE
    if entry.spikes and flag(rng):
        bumps = [cls.kind for cls in SURROGATES.values() if hasattr(cls, "width")]
        attrs["surrogate"] = str(rng.choice(bumps))
        attrs["width"] = per_block(rng, blocks, uniform(0.1, 2))
        if flag(rng):
            attrs["surrogate"] = "straight_through"
    generators = 0
    if entry.draws:
        generators = blocks = 1
        for key in {"amplitude", "width"} & set(attrs):
            attrs[key] = float(np.ravel(attrs[key])[0])
    args = {"J": Arg("read", (n,), draw), "out": Arg("write", (n,))}
    states = draws_of(name, entry.states)
    args |= {key: Arg("update", (n,), value) for key, value in states.items()}
    return Subject("neurons", args, attrs, blocks, generators)
