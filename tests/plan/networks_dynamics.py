"""Small networks, one per synapse, process and neuron type; they join those of `networks`."""

import nengo
import numpy as np
from nengo.dists import Gaussian, Uniform
from nengo.processes import (
    BrownNoise,
    FilteredNoise,
    Piecewise,
    PresentInput,
    WhiteNoise,
    WhiteSignal,
)
from networks import NETWORKS, network, sine


def _on_synapse(synapse):
    a = nengo.Ensemble(10, 2)
    u = sine(2)
    nengo.Connection(u, a, synapse=synapse)
    nengo.Connection(a, a, synapse=synapse)
    node = nengo.Node(synapse, size_in=2, size_out=2)
    nengo.Connection(u, node, synapse=None)
    back = nengo.Connection(node, a, synapse=None)
    nengo.Probe(node)
    nengo.Probe(a, synapse=synapse)
    nengo.Probe(a, "input", synapse=synapse)
    nengo.Probe(back, "output", synapse=synapse)


SYNAPSES = {
    "lowpass": nengo.Lowpass(0.01),
    "lowpass_zero": nengo.Lowpass(0),
    "alpha": nengo.Alpha(0.01),
    "alpha_zero": nengo.Alpha(0),
    "second_order": nengo.LinearFilter([0.01, 1], [1e-4, 2e-2, 1]),
    "passthrough": nengo.LinearFilter([1, 2], [0.02, 1]),
    "gain": nengo.LinearFilter([0.5], [1]),
    "discrete": nengo.LinearFilter([0, 0.2], [1, -0.8], analog=False),
    "discrete_second": nengo.LinearFilter([0.1, 0.2, 0.3], [1, -0.5, 0.1], analog=False),
    "bilinear": nengo.LinearFilter([1], [1e-4, 1e-2, 1], method="bilinear"),
    "triangle": nengo.Triangle(0.005),
}
for _name, _synapse in SYNAPSES.items():
    NETWORKS[f"synapse_{_name}"] = lambda synapse=_synapse: _on_synapse(synapse)


@network
def noise():
    for process in (
        WhiteNoise(seed=1),
        WhiteNoise(Uniform(-1, 2), scale=False, seed=2),
        FilteredNoise(seed=3),
        FilteredNoise(nengo.Alpha(0.01), Uniform(-1, 1), scale=False, seed=4),
        BrownNoise(seed=5),
        WhiteSignal(0.05, high=100, seed=6),
        WhiteSignal(0.03, high=200, y0=0.2, seed=7),
    ):
        node = nengo.Node(process, size_out=3)
        nengo.Probe(node)
        nengo.Probe(node, synapse=0.01)
    a = nengo.Ensemble(10, 1, noise=WhiteNoise(Gaussian(0, 0.1), seed=8))
    b = nengo.Ensemble(10, 1, noise=FilteredNoise(seed=9))
    nengo.Connection(a, b)
    nengo.Probe(b.neurons)


@network
def tables():
    inputs = np.random.RandomState(0).randn(4, 3)
    for process in (
        PresentInput(inputs, 0.007),
        Piecewise({0.01: [1, 2], 0.02: [3, 4], 0.035: [-1, 0]}),
        Piecewise({0: [0, 0], 0.02: [3, 4]}, interpolation="linear"),
        Piecewise({0.01: lambda t: [t, 2 * t], 0.02: [3, 4]}),
    ):
        node = nengo.Node(process)
        nengo.Probe(node)
        nengo.Probe(node, synapse=0.01)


@network
def unusual_processes():
    class Count(nengo.Process):
        def make_state(self, shape_in, shape_out, dt, dtype=None):
            return {"n": np.zeros(shape_out)}

        def make_step(self, shape_in, shape_out, dt, rng, state):
            def step(t, x):
                state["n"] += 1
                return state["n"] * 0.1 + x

            return step

    class Half(nengo.Lowpass):
        def make_step(self, shape_in, shape_out, dt, rng, state):
            return lambda t, x: x * 0.5

    node = nengo.Node(Count(default_size_in=2, default_size_out=2))
    nengo.Connection(sine(2), node, synapse=Half(0.1))
    nengo.Connection(node, node, synapse=Half(0.1))
    nengo.Probe(node, synapse=Half(0.2))
    nengo.Probe(node)


RATES = [
    nengo.RectifiedLinear(),
    nengo.RectifiedLinear(amplitude=0.3),
    nengo.Sigmoid(),
    nengo.Tanh(),
    nengo.LIFRate(),
    nengo.AdaptiveLIFRate(),
]


@network
def neuron_types():
    u = sine()
    for kind in (
        *RATES,
        nengo.SpikingRectifiedLinear(initial_state={"voltage": nengo.dists.Choice([0.3])}),
        nengo.LIF(min_voltage=-1, amplitude=0.5),
        nengo.LIF(tau_rc=0.05, tau_ref=0.001),
        nengo.AdaptiveLIF(),
        nengo.Izhikevich(),
        *(nengo.RegularSpiking(base) for base in RATES),
        *(nengo.StochasticSpiking(base) for base in RATES),
        *(nengo.PoissonSpiking(base, amplitude=0.2) for base in RATES),
    ):
        # gain and bias are given because some types can't solve for them
        gain, bias = np.linspace(0.5, 2, 9), np.linspace(-1, 3, 9)
        a = nengo.Ensemble(9, 1, neuron_type=kind, gain=gain, bias=bias)
        nengo.Connection(u, a)
        nengo.Probe(a.neurons)
        for state in kind.state:
            nengo.Probe(a.neurons, state)


@network
def custom_neurons():
    class Custom(nengo.LIF):
        def step(self, dt, J, output, voltage, refractory_time):
            super().step(dt, J * 0.9, output, voltage, refractory_time)

    a = nengo.Ensemble(9, 1, neuron_type=Custom())
    nengo.Connection(sine(), a)
    nengo.Connection(a, a)
    nengo.Probe(a.neurons)
    nengo.Probe(a.neurons, "voltage")
