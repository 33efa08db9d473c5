"""Loops of small islands that warps run (cpp/cuda/ensemble_loop*)."""

from functools import cache

import nengo
import numpy as np
import pytest
from gpus import GPU, ways
from test_phases import assert_close, assert_same_bits
from whole_models import model_of

WAY = "ensembles"
pytestmark = pytest.mark.usefixtures("one_way")


def integrators(neuron_type, sizes=(50, 100, 40), dimensions=1):
    """Ensembles that hold what they are given, each by itself."""
    with nengo.Network(seed=4) as net:
        u = nengo.Node(np.linspace(0.9, -0.6, dimensions))
        for n in sizes:
            a = nengo.Ensemble(n, dimensions, neuron_type=neuron_type)
            nengo.Connection(u, a, transform=0.1)
            nengo.Connection(a, a, synapse=0.1)
            nengo.Probe(a, synapse=0.01)
    return net


def oscillators():
    """Of one and two dimensions, one with two functions decoded in the loop; filtered spikes."""
    turn = [[1, 0.6], [-0.6, 1]]
    with nengo.Network(seed=5) as net:
        kick = nengo.Node([0.8, -0.2])
        a, b = nengo.Ensemble(200, 2), nengo.Ensemble(120, 1)
        nengo.Connection(kick, a)
        nengo.Connection(a, a, transform=turn, synapse=0.05)
        nengo.Connection(kick[0], b, synapse=None)
        nengo.Connection(b, b, function=lambda x: -(x**2), synapse=0.02)
        nengo.Connection(b, b, synapse=0.05, transform=0.7)
        for obj in (a, b):
            nengo.Probe(obj, synapse=0.01)
        nengo.Probe(a.neurons, synapse=0.01)
    return net


MODELS = {
    "LIF": lambda: integrators(nengo.LIF()),
    "adaptive": lambda: integrators(nengo.AdaptiveLIF(), (64, 33)),
    "rates": lambda: integrators(nengo.Sigmoid(), (250, 32)),
    "three dimensions": lambda: integrators(nengo.SpikingRectifiedLinear(), (90, 90), 3),
    "oscillators": oscillators,
}
EVERY_MODEL = pytest.mark.parametrize("name", MODELS)


@cache
def model(name):
    """With windows of seven steps."""
    return model_of(MODELS[name](), "float32")


@EVERY_MODEL
@pytest.mark.parametrize("batch", [1, 6])
def test_runs(name, batch):
    """As on the CPU, and op by op the same bits."""
    made = model(name)
    warps = made.compiled(GPU)
    assert ways(warps) == ["ensembles"]
    expected = made.run(made.compiled("cpu"), 60, batch)
    assert np.mean([np.any(output) for output in expected[: len(made.program.outputs)]]) >= 0.5
    got = made.run(warps, 60, batch)
    assert_close(got, expected, 1e-5)
    assert_same_bits(made.run(made.compiled(GPU, fuse=False), 60, batch), got)


def test_training_runs():
    """Recorded runs go the same way; gradients are as on the CPU."""
    made = model_of(integrators(nengo.Tanh(), (40, 60)), "float32")
    cpu, warps = made.compiled("cpu"), made.compiled(GPU)
    assert "ensembles" in ways(warps)
    assert_close(made.gradients(warps, 20, 3), made.gradients(cpu, 20, 3), 1e-5)


OTHERS = {
    "two that act on each other": lambda a, b: (nengo.Connection(a, b), nengo.Connection(b, a)),
    "neurons that act on neurons": lambda a, b: nengo.Connection(
        a.neurons, a.neurons, transform=np.eye(50) * 0.01
    ),
    "learning": lambda a, b: nengo.Connection(a, a, learning_rule_type=nengo.Voja()),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_loops(name):
    """What warps can't run is run another way, and right."""
    with nengo.Network(seed=6) as net:
        u = nengo.Node([0.5])
        a, b = nengo.Ensemble(50, 1), nengo.Ensemble(40, 1)
        nengo.Connection(u, a)
        OTHERS[name](a, b)
        nengo.Probe(a, synapse=0.01)
    made = model_of(net, "float32")
    compiled = made.compiled(GPU)
    assert not any("ensembles" in way for way in ways(compiled))
    assert_close(made.run(compiled, 30, 2), made.run(made.compiled("cpu"), 30, 2), 1e-5)


def test_large_ensembles():
    """More neurons than the lanes of a warp have registers for."""
    made = model_of(integrators(nengo.LIF(), (300,)), "float32")
    assert not any("ensembles" in way for way in ways(made.compiled(GPU)))


def test_double_precision():
    made = model_of(integrators(nengo.LIF()), "float64")
    assert not any("ensembles" in way for way in ways(made.compiled(GPU)))
