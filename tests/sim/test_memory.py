"""How often a large matrix lies in memory. bench/memory.py has the figures of long uses."""

import gc
import logging
import os
import subprocess
import sys
import weakref
from pathlib import Path

import keras
import nengo
import numpy as np
import pytest
import tensorflow as tf
from training_nets import linear, rows, weights

import nengo_dl
from nengo_dl.run import runtime
from nengo_dl.simulator import facade


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="there is no /proc here")
def test_copies_of_a_large_matrix():
    """What Nengo built, and the present value; after close, the first.

    Where TensorFlow uses oneDNN (by default on processors with AVX-512 VNNI) it keeps freed
    memory for itself, so that a closed simulator's cannot be seen to be free.
    """
    done = subprocess.run(
        [sys.executable, Path(__file__).with_name("copies_of_a_matrix.py")],
        env={**os.environ, "TF_ENABLE_ONEDNN_OPTS": "0"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    living, closed = map(float, done.stdout.split()[-2:])
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


class Ramp(nengo.Process):
    """A process of one's own, which runs in Python."""

    def __init__(self):
        super().__init__(default_size_in=0, default_size_out=1)

    def make_step(self, shape_in, shape_out, dt, rng, state):
        return lambda t: [t]


class Echo:
    """A function of a Node."""

    def __call__(self, t, x):
        return x


@pytest.mark.parametrize("late", [False, True])
def test_python_of_a_build_that_fails(monkeypatch, late):
    """However late: what the engine holds of a simulator that there is not goes with it."""

    def no_memory(*args, **kwargs):
        raise MemoryError("no memory left")

    where, name = (facade, "Recorder") if late else (runtime, "TensorGraph")
    monkeypatch.setattr(where, name, no_memory)
    # what it logs of a new cache of decoders holds its frames
    monkeypatch.setattr(logging.getLogger("nengo.cache"), "disabled", True)
    process, function = Ramp(), Echo()
    gone = [weakref.ref(process), weakref.ref(function)]
    with nengo.Network(seed=0) as net:
        node = nengo.Node(function, size_in=1)
        nengo.Connection(nengo.Node(process), node)
        nengo.Probe(node)
    with pytest.raises(MemoryError):
        nengo_dl.Simulator(net, progress_bar=False)
    del net, node, process, function
    gc.collect()
    assert [ref() for ref in gone] == [None, None]
