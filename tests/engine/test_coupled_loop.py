"""Loops of ensembles that act on each other, each in a block of a GPU."""

from functools import cache

import nengo
import numpy as np
import pytest
from coupled_networks import network
from gpus import GPU, ways
from test_phases import EVERY_DTYPE, assert_as_on_the_cpu, assert_same_bits
from test_wide_loop import learning
from whole_models import BENCH, model_of

WAY = "coupled"
pytestmark = pytest.mark.usefixtures("one_way")


def coupled(types, dimensions=2, fan_in=2, neurons=70):
    """Ensembles that get mixtures of what others stand for, of types in turn."""
    rng = np.random.RandomState(3)
    with nengo.Network(seed=7) as net:
        u = nengo.Node(np.linspace(0.8, -0.5, dimensions))
        many = [
            nengo.Ensemble(neurons + 3 * i, dimensions, neuron_type=kind)
            for i, kind in enumerate(types)
        ]
        for i, post in enumerate(many):
            nengo.Connection(u, post, synapse=None)
            for k in range(fan_in):
                mixed = rng.normal(0, 0.5, (dimensions, dimensions))
                pre = many[(i + 1 + k) % len(many)]
                nengo.Connection(pre, post, transform=mixed, synapse=0.005 * (k + 1))
            nengo.Probe(post, synapse=0.01)
        nengo.Probe(many[0].neurons)
    return net


def basal_ganglia():
    """Pairs of ensembles, and products of what all of them stand for."""
    with BENCH.basal_ganglia(4, 64)[0] as net:
        (ganglia,) = [n for n in net.networks if n.label == "Basal Ganglia"]
        nengo.Probe(ganglia.output)
        net.probes.pop(0)  # the thalamus is silent for long
    return net


def controlled():
    """One dimension comes from outside of the loop; another in parts from both."""
    with nengo.Network(seed=8) as net:
        u = nengo.Node([0.7, -0.4])
        a, b = nengo.Ensemble(80, 2), nengo.Ensemble(90, 3)
        nengo.Connection(u, a, synapse=None)
        nengo.Connection(a[0], a[0], synapse=0.05)
        nengo.Connection(u, b[[0, 2]], synapse=None)
        nengo.Connection(a, b[[2, 1]], synapse=0.01)
        nengo.Connection(b[2], a[0], synapse=0.02, function=np.abs)
        nengo.Probe(b, synapse=0.01)
    return net


def by_neurons():
    """Neurons that excite neurons of another ensemble, densely, and relays without a synapse."""
    rng = np.random.RandomState(5)
    with nengo.Network(seed=9) as net:
        u, relay = nengo.Node([0.5]), nengo.Node(size_in=2)
        a, b = nengo.Ensemble(75, 1), nengo.Ensemble(64, 2)
        nengo.Connection(u, a, synapse=None)
        nengo.Connection(a.neurons, b.neurons, transform=rng.normal(0, 1e-3, (64, 75)))
        nengo.Connection(b, relay, synapse=None)
        nengo.Connection(relay, a, transform=[[0.5, -0.3]], synapse=0.01)
        nengo.Probe(b, synapse=0.01)
    return net


def many():
    """More ensembles than the GPU has processors, in a ring."""
    with nengo.Network(seed=10) as net:
        u = nengo.Node([0.6])
        ring = [nengo.Ensemble(6, 1) for _ in range(140)]
        for pre, post in zip(ring, ring[1:] + ring[:1], strict=True):
            nengo.Connection(u, post, synapse=None, transform=0.3)
            nengo.Connection(pre, post, synapse=0.01)
        nengo.Probe(ring[5], synapse=0.01)
    return net


LOUD = [nengo.LIF(amplitude=a, tau_rc=rc) for a, rc in ((0.5, 0.02), (1.5, 0.03), (1, 0.02))]
NETWORKS = {
    "spikes": lambda: coupled([nengo.LIF()] * 4),
    "other spikes": lambda: coupled([nengo.AdaptiveLIF(amplitude=0.5)] * 3, 3),
    "heights": lambda: coupled(LOUD),
    "few spikes": lambda: coupled([nengo.LIF()] * 3, neurons=20),
    "rates": lambda: coupled([nengo.Tanh()] * 3),
    "several types": lambda: coupled(
        [nengo.LIF(), nengo.Sigmoid(), nengo.SpikingRectifiedLinear()]
    ),
    "basal ganglia": basal_ganglia,
    "controlled": controlled,
    "by neurons": by_neurons,
    "many": many,
    "learning": learning,
}


@cache
def model(name, dtype):
    """With windows of seven steps."""
    return model_of(NETWORKS[name](), dtype)


@EVERY_DTYPE
@pytest.mark.parametrize("name", NETWORKS)
def test_runs(name, dtype):
    """As on the CPU, and with the bits of kernels of single ops."""
    made = model(name, dtype)
    blocks = made.compiled(GPU)
    assert set(ways(blocks)) == {WAY}
    for batch in (1, 3):
        expected = made.run(made.compiled("cpu"), 40, batch)
        assert all(np.any(output) for output in expected[: len(made.program.outputs)])
        got = made.run(blocks, 40, batch)
        assert_as_on_the_cpu(got, expected, dtype)
        assert_same_bits(made.run(blocks, 40, batch), got)
        assert_same_bits(made.run(made.compiled(GPU, fuse=False), 40, batch), got)


@pytest.mark.parametrize("seed", [0, 1, 2, 3, *range(5, 15)])
def test_random_networks(seed):
    """Whatever acts on what, bits are those of kernels of single ops."""
    made = model_of(network(seed), "float64")
    blocks, plain = made.compiled(GPU), made.compiled(GPU, fuse=False)
    assert WAY in ways(blocks)
    for batch in (1, 3, 40):  # the last one by teams of blocks that have several items each
        assert_same_bits(made.run(blocks, 30, batch), made.run(plain, 30, batch))


def test_sums_of_a_row_each():
    """What warps have summed up goes on row by row, by filters of their own."""
    with nengo.Network(seed=1) as net:
        a, b = nengo.Ensemble(100, 2), nengo.Ensemble(90, 2)
        sums = nengo.Node(size_in=2)
        nengo.Connection(nengo.Node([0.3, 0.1]), a, synapse=None)
        nengo.Connection(a, sums, synapse=None)
        for row, synapse in enumerate((0.01, 0.02)):
            nengo.Connection(sums[row], b[row], synapse=synapse)
        nengo.Connection(b, a, synapse=0.1)
        nengo.Probe(b, synapse=0.01)
    made = model_of(net, "float64")
    blocks, plain = made.compiled(GPU), made.compiled(GPU, fuse=False)
    assert WAY in ways(blocks)
    for batch in (3, 70):
        assert_same_bits(made.run(blocks, 30, batch), made.run(plain, 30, batch))


@pytest.mark.parametrize("way", ["coupled", "wide", "ensembles"])
def test_sums_of_a_copy(way, monkeypatch):
    """Elements that come together in one are left to the way op by op, which adds in order."""
    monkeypatch.setenv("NENGO_DL_LOOP_WAY", way)
    with nengo.Network(seed=1) as net:
        a, b = nengo.Ensemble(100, 3), nengo.Ensemble(90, 1)
        nengo.Connection(nengo.Node([0.3, 0.1, 0.2]), a, synapse=None)
        nengo.Connection(a, a[[2, 0, 1]], transform=np.full((3, 3), 0.4), synapse=0.1)
        if way != "ensembles":  # whose islands are an ensemble each
            nengo.Connection(a[0], b, synapse=0.1)
            nengo.Connection(b, a[0], synapse=0.1)
        nengo.Probe(a, synapse=0.01)
    made = model_of(net, "float32")
    assert way in ways(made.compiled(GPU))
    for op in made.program.ops():
        if "dst_index" in op.attrs:
            op.attrs["dst_index"] = [0, 0, 0]
    loops = made.compiled(GPU)
    assert way not in ways(loops)
    assert_same_bits(made.run(made.compiled(GPU, fuse=False), 20, 3), made.run(loops, 20, 3))


@pytest.mark.parametrize("name, batch", [("spikes", 70), ("large", 23)])
def test_many_items(name, batch):
    """Of teams of blocks, and more than the blocks have room for at a time."""
    large = lambda: coupled([nengo.LIF()] * 20, 8, 1, 400)  # noqa: E731
    made = model_of(large(), "float32") if name == "large" else model(name, "float32")
    got = made.run(made.compiled(GPU), 8, batch)
    assert_same_bits(made.run(made.compiled(GPU, fuse=False), 8, batch), got)


def test_weights_that_are_not_finite():
    """Zero times infinity is seen, though nobody fires."""
    made = model_of(coupled([nengo.LIF()] * 3), "float32")
    for param in made.params:
        if param.size > 300:
            param.flat[[7, 211]] = np.inf
    got = made.run(made.compiled(GPU), 5, 1)
    assert any(np.isnan(output).any() for output in got)
    assert_same_bits(made.run(made.compiled(GPU, fuse=False), 5, 1), got)


@EVERY_DTYPE
@pytest.mark.parametrize("name", ["rates", "spikes", "by neurons"])
def test_gradients(name, dtype):
    """Of runs that go this way, recorded or not."""
    made = model(name, dtype).training
    cpu, blocks, plain = (made.compiled(*how) for how in (("cpu",), (GPU,), (GPU, False)))
    for batch in (1, 3):
        got = made.gradients(blocks, 20, batch)
        assert_same_bits(made.gradients(blocks, 20, batch, tape=True), got)
        assert_same_bits(made.gradients(plain, 20, batch), got)
        assert_as_on_the_cpu(*(made.gradients(c, 10, batch) for c in (blocks, cpu)), dtype)
