"""How often a large matrix lies in memory. bench/memory.py has the figures of long uses."""

import gc
from pathlib import Path

import keras
import nengo
import numpy as np
import pytest
import tensorflow as tf
from training_nets import linear, rows, weights

import nengo_dl

STATM = Path("/proc/self/statm")
SIZE = 3000  # 36 MB: what malloc gives back at once


def resident():
    """Bytes of this process that are in memory."""
    gc.collect()
    return int(STATM.read_text().split()[1]) * 4096


@pytest.mark.skipif(not STATM.exists(), reason="there is no /proc here")
def test_copies_of_a_large_matrix():
    """What Nengo built, and the present value; after close, the first.

    Without decoding: the matrix that the user gave is the network's.
    """
    rng = np.random.default_rng(0)
    with nengo.Network(seed=0) as net:
        a, b = nengo.Node(np.zeros(SIZE)), nengo.Node(size_in=SIZE)
        matrix = rng.uniform(-1, 1, (SIZE, SIZE)).astype(np.float32)
        conn = nengo.Connection(a, b, transform=matrix, synapse=None)
        p = nengo.Probe(b)
    with nengo.Network() as small:
        nengo.Probe(nengo.Node([1.0]))
    for _ in range(2):  # what is made once in a process
        with nengo_dl.Simulator(small, progress_bar=False) as sim:
            sim.run_steps(2)
            sim.predict(n_steps=2)
    before = resident()
    with nengo_dl.Simulator(net, progress_bar=False) as sim:
        sim.run_steps(2)
        sim.predict(n_steps=2)
        living = (resident() - before) / matrix.nbytes
    closed = (resident() - before) / matrix.nbytes
    with pytest.warns(UserWarning, match="closed"):
        np.testing.assert_array_equal(sim.data[conn].weights, matrix)
    assert sim.data[p].shape == (2, SIZE) and "dense" in str(sim.plan)
    assert living < 2.3 and closed < 1.3


def graphs():
    """How many graphs of traced functions there are."""
    gc.collect()
    return sum(type(obj).__name__.endswith("FuncGraph") for obj in gc.get_objects())


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("form", ["arrays", "dataset"])
def test_graphs_go_with_their_simulator(optimizer, form):
    """Of a plain Keras model that was fitted, TensorFlow keeps the graph."""
    net = linear()
    x, y = rows(4), np.zeros((4, 3, 1))

    def use():
        with nengo_dl.Simulator(net, minibatch_size=2, progress_bar=False) as sim:
            sim.run_steps(2)
            sim.predict(x)
            sim.compile(optimizer, loss={net.py: "mse"})
            if form == "arrays":
                sim.fit(x, {net.py: y}, verbose=0)
                sim.evaluate(x, {net.py: y}, verbose=0)
            else:
                sim.fit(tf.data.Dataset.from_tensors((x[:2], {"py": y[:2]})), verbose=0)

    use()
    before = graphs()
    use()
    assert graphs() <= before


def test_scaled_losses():
    """Which Keras allows within a replica only."""
    net = linear()
    x, y = rows(4), np.ones((4, 3, 1))
    found = []
    for scaled in (False, True):
        optimizer = keras.optimizers.SGD(0.1)
        if scaled:
            optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
        with nengo_dl.Simulator(net, minibatch_size=2, progress_bar=False) as sim:
            sim.compile(optimizer, loss={net.py: "mse"})
            sim.fit(x, {net.py: y}, epochs=3, shuffle=False, verbose=0)
            found.append(weights(sim, net.w))
    np.testing.assert_allclose(*found, rtol=1e-6)
    assert not np.allclose(found[0], 0.5)
