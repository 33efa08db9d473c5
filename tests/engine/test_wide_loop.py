"""Loops that all processors of a GPU share out (cpp/cuda/wide_loop*)."""

from functools import cache

import nengo
import numpy as np
import pytest
from coupled_networks import network as random_network
from gpus import GPU, ways
from scipy.sparse import csr_matrix
from test_phases import (  # noqa: F401
    EVERY_DTYPE,
    _the_same_on_every_machine,
    assert_as_on_the_cpu,
    assert_same_bits,
    three,
)
from whole_models import model_of

STEPS = 80 if GPU == "phases" else 20  # roundings of a GPU's sums grow from step to step


def recurrent(neuron_type, sparse=False, n=150):
    """Neurons that excite and inhibit each other."""
    rng = np.random.RandomState(1)
    weights = rng.normal(0, 0.02, (n, n)) * (rng.uniform(size=(n, n)) < (0.4 if sparse else 1))
    transform = nengo.Sparse((n, n), init=csr_matrix(weights)) if sparse else weights
    with nengo.Network(seed=1) as net:
        u = nengo.Node([0.3])
        a = nengo.Ensemble(n, 1, neuron_type=neuron_type)
        nengo.Connection(u, a, synapse=None)
        nengo.Connection(a.neurons, a.neurons, transform=transform, synapse=0.005)
        nengo.Probe(a.neurons, synapse=0.01)
    return net


def learning():
    """PES, with the error in the loop."""
    with nengo.Network(seed=2) as net:
        u = nengo.Node([0.5, -0.4])
        a, b, error = nengo.Ensemble(80, 2), nengo.Ensemble(90, 2), nengo.Node(size_in=2)
        nengo.Connection(u, a)
        learned = nengo.Connection(a, b, learning_rule_type=nengo.PES())
        nengo.Connection(b, error)
        nengo.Connection(u, error, transform=-1)
        nengo.Connection(error, learned.learning_rule)
        nengo.Probe(b, synapse=0.01)
    return net


def integrator():
    """As many neurons as two words of a processor hold, of a GPU with 32 of them."""
    with nengo.Network(seed=3) as net:
        a = nengo.Ensemble(1100, 1)
        nengo.Connection(nengo.Node([0.7]), a, synapse=None)
        nengo.Connection(a, a, synapse=0.1)
        nengo.Probe(a, synapse=0.01)
    return net


NETWORKS = {
    "dense": lambda: recurrent(nengo.LIF()),
    "adaptive": lambda: recurrent(nengo.AdaptiveLIF(amplitude=0.5)),
    "sparse": lambda: recurrent(nengo.LIF(), sparse=True),
    "rates": lambda: recurrent(nengo.Tanh()),
    "several spikes": lambda: recurrent(nengo.RegularSpiking(nengo.LIFRate())),
    "learning": learning,
    "integrator": integrator,
}


@cache
def network(name, dtype):
    """With windows of seven steps."""
    return model_of(NETWORKS[name](), dtype)


@pytest.fixture(autouse=True)
def _wide(monkeypatch):
    monkeypatch.setenv("NENGO_DL_LOOP_WAY", "wide")


@EVERY_DTYPE
@pytest.mark.parametrize("name", NETWORKS)
def test_runs(name, dtype):
    """As on the CPU, and with the bits of kernels of single ops."""
    model = network(name, dtype)
    cpu, wide, plain = three(model)
    assert "wide" in ways(wide)
    for batch in (1, 3):
        expected = model.run(cpu, STEPS, batch)
        got = model.run(wide, STEPS, batch)
        assert_as_on_the_cpu(got, expected, dtype)
        assert_same_bits(model.run(wide, STEPS, batch), got)
        assert_same_bits(model.run(plain, STEPS, batch), got)


@pytest.mark.parametrize("seed", [1, *range(5, 12)])
def test_random_networks(seed):
    """Whatever acts on what."""
    model = model_of(random_network(seed), "float64")
    wide, plain = model.compiled(GPU), model.compiled(GPU, fuse=False)
    assert "wide" in ways(wide)
    for batch in (1, 3, 40):
        assert_same_bits(model.run(wide, 30, batch), model.run(plain, 30, batch))


def test_weights_that_are_not_finite():
    """Zero times infinity is seen, though nobody fires."""
    model = network.__wrapped__("dense", "float32")  # one of its own, as it is changed
    _, wide, plain = three(model)
    for param in model.params:
        if param.size == 150 * 150:
            param.flat[77] = np.inf
    assert_same_bits(model.run(wide, 5, 1), model.run(plain, 5, 1))


@EVERY_DTYPE
@pytest.mark.parametrize("name", ["rates", "dense"])
def test_gradients(name, dtype):
    """Recorded runs, whose loops run the same way where no state is kept step by step."""
    model = network(name, dtype).training
    cpu, wide, plain = three(model)
    assert "wide" in ways(wide)
    for batch in (1, 3):
        got = model.gradients(wide, 30, batch)
        assert_same_bits(model.gradients(wide, 30, batch, tape=True), got)
        assert_same_bits(model.gradients(plain, 30, batch), got)
        short = [model.gradients(c, 10, batch) for c in (wide, cpu)]
        assert_as_on_the_cpu(*short, dtype)  # roundings grow from step to step
