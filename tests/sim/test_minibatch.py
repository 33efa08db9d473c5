"""Minibatches: every item is a simulation of its own (SPEC S-07, S-22)."""

import nengo
import numpy as np
import pytest
import tensorflow as tf
from nengo.exceptions import ValidationError
from test_run import varied
from training_nets import linear, rows


def test_items_equal_single_runs(Sim, double_net):
    """Item b equals a simulator with seed + b, exactly."""
    net = double_net()
    probes = varied(net)
    together = Sim(net, minibatch_size=3, seed=4)
    together.run_steps(50)
    for item in range(3):
        alone = Sim(net, seed=4 + item)
        alone.run_steps(50)
        for probe in probes:
            assert np.array_equal(together.data[probe][item], alone.data[probe])


def test_processes(Sim, double_net):
    """S-22: seeded processes are equal in all items, others differ; ensemble noise too."""
    net = double_net()
    with net:
        probes = [
            nengo.Probe(nengo.Node(cls(**kwargs, seed=seed), size_out=2))
            for seed in (3, None)
            for cls, kwargs in [
                (nengo.processes.WhiteNoise, {}),
                (nengo.processes.FilteredNoise, {}),
                (nengo.processes.WhiteSignal, {"period": 0.03, "high": 100}),
            ]
        ]
    sim = Sim(net, minibatch_size=2)
    sim.run_steps(40)
    for probe in probes[:3]:
        assert np.array_equal(*sim.data[probe]) and np.ptp(sim.data[probe]) > 0
    for probe in probes[3:]:
        assert not np.any(sim.data[probe][0] == sim.data[probe][1])


def test_white_signal_in_graph(Sim, double_net, reference):
    """Noise of an ensemble that is drawn ahead into a table, per item."""
    net = double_net()
    with net:
        ens = nengo.Ensemble(10, 1, noise=nengo.processes.WhiteSignal(0.02, high=200))
        p = nengo.Probe(ens.neurons, "input")
    sim = Sim(net, minibatch_size=2, seed=8)
    sim.run_steps(50)
    for item in range(2):
        (due,) = reference(net, [p], 50, seed=8 + item)
        np.testing.assert_allclose(sim.data[p][item], due, rtol=1e-9, atol=1e-12)
    first = sim.data[p].copy()
    sim.reset()
    sim.run_steps(50)
    assert np.array_equal(sim.data[p], first)


@pytest.mark.parametrize("cls", [nengo.StochasticSpiking, nengo.PoissonSpiking])
def test_stochastic_neurons(Sim, double_net, reference, cls):
    """Item 0 spikes like `nengo.Simulator`, the others on their own, and again after reset."""
    net = double_net()
    with net:
        ens = nengo.Ensemble(300, 1, neuron_type=cls(nengo.LIFRate()))
        p = nengo.Probe(ens.neurons)
    sim = Sim(net, minibatch_size=2)
    sim.run_steps(50)
    first = sim.data[p].copy()
    assert not np.array_equal(first[0], first[1])
    sim.reset()
    sim.run_steps(50)
    assert np.array_equal(sim.data[p], first)
    (due,) = reference(net, [p], 50)
    assert np.array_equal(first[0], due)


def test_sizes(Sim):
    """S-07: None drops the axis of items, 1 keeps it."""
    with nengo.Network() as net:
        p = nengo.Probe(nengo.Node([1, 2]))
    for size, shape in ((None, (3, 2)), (1, (1, 3, 2)), (np.int64(2), (2, 3, 2))):
        sim = Sim(net, minibatch_size=size)
        assert type(sim.minibatch_size) is int and sim.minibatch_size == (size or 1)
        sim.run_steps(3)
        assert sim.data[p].shape == shape
    for size in (0, -1, 1.5, "a", True):
        with pytest.raises(ValidationError, match="minibatch_size"):
            Sim(net, minibatch_size=size)
        with pytest.raises(ValidationError, match="unroll_simulation"):
            Sim(net, unroll_simulation=size)


def test_data_per_item(Sim):
    """Given data reaches its own item."""
    with nengo.Network() as net:
        node = nengo.Node([0.0])
        p = nengo.Probe(node)
    sim = Sim(net, minibatch_size=3)
    values = np.arange(12, dtype=np.float32).reshape(3, 4, 1)
    sim.run_steps(4, data={node: values})
    assert np.array_equal(sim.data[p], values)


@pytest.mark.parametrize("eager", [False, True])
@pytest.mark.parametrize("items, batch, drop", [(12, 6, False), (12, 6, True), (4, 4, False)])
def test_datasets_of_other_minibatches(Sim, items, batch, drop, eager):
    """Minibatches that are too large are named, whatever is known before a run."""
    sim = Sim(linear(), minibatch_size=3)
    sim.compile("sgd", loss={"py": "mse"}, run_eagerly=eager)
    x = {"x": rows(items), "n_steps": np.full((items, 1), 3, np.int32)}
    data = tf.data.Dataset.from_tensor_slices((x, {"py": rows(items, 3, 1)}))
    wrong = data.batch(batch, drop_remainder=drop)
    for method in (sim.evaluate, sim.predict, sim.fit):
        with pytest.raises(ValidationError, match=r"minibatch_size=3.*\.batch\(3\)"):
            method(wrong, verbose=0)
    assert sim.evaluate(data.batch(3), verbose=0)["loss"] > 0
