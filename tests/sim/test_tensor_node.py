"""Models that call TensorFlow, against nengo.Simulator with the same functions in Python."""

import nengo
import numpy as np
import pytest
import tensorflow as tf
from tensor_networks import NETWORKS, as_node, as_tensor_node, made

from nengo_dl.config import configure_settings

N_STEPS = 12


def in_tensorflow(name, dtype="float64"):
    def node(func, size_in, size_out):
        return as_tensor_node(func, size_in, size_out, module=tf.math)

    net = made(name, node)
    with net:
        configure_settings(dtype=dtype)
    return net


def in_nengo(name, n_steps=N_STEPS):
    net = made(name, as_node)
    with nengo.Simulator(net, progress_bar=False, optimize=False) as sim:
        sim.run_steps(n_steps)
    return [np.asarray(sim.data[probe]) for probe in net.all_probes]


def assert_same(found, due, tolerance=1e-9):
    for ours, theirs in zip(found, due, strict=True):
        scale = max(1.0, np.abs(theirs).max(initial=0))
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance * scale)


@pytest.mark.parametrize("name", NETWORKS)
def test_equals_nengo(Sim, name):
    """N-08: runs in pieces, and every item of a minibatch."""
    sim = Sim(in_tensorflow(name), minibatch_size=2)
    for n_steps in (5, N_STEPS - 5):
        sim.run_steps(n_steps)
    due = in_nengo(name)
    for item in range(2):
        assert_same([sim.data[probe][item] for probe in sim.model.probes], due)


@pytest.mark.parametrize("name", NETWORKS)
def test_single_precision(Sim, name):
    sim = Sim(in_tensorflow(name, "float32"))
    sim.run_steps(N_STEPS)
    assert_same([sim.data[probe] for probe in sim.model.probes], in_nengo(name), 1e-5)


@pytest.mark.parametrize("name", NETWORKS)
def test_predict(Sim, name):
    sim = Sim(in_tensorflow(name))
    found = sim.predict(n_steps=N_STEPS)
    assert_same([found[probe][0] for probe in sim.model.probes], in_nengo(name))


@pytest.mark.parametrize("name", ["in_a_row", "on_a_cycle"])
def test_gradients_without_a_tape(Sim, name):
    """What has no room is computed again, in programs and on cycles."""
    net = in_tensorflow(name)
    with net:
        configure_settings(tape_memory=0)
    Sim(net, minibatch_size=2).check_gradients(atol=1e-6)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(
    "name", sorted(NETWORKS.keys() - {"learned_on_a_cycle", "large_and_updated"})
)
def test_gradients_by_inputs(Sim, name, dtype):
    sim = Sim(in_tensorflow(name, dtype), minibatch_size=2)
    inputs = [np.full((2, 4, node.size_out), 0.2) for node in sim._runtime.nodes.nodes]
    found = sim.check_gradients(inputs=inputs or None, atol=1e-6)
    if inputs:
        assert any(np.any(by) for probe in found.values() for by in probe["numeric"])
