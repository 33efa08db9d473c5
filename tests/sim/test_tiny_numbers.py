"""Numbers too small for a full mantissa: 0 in the engine, kept for Python's functions."""

import nengo
import numpy as np
import pytest
from nengo.processes import PresentInput

import nengo_dl

TINY = {"float32": 1e-40, "float64": 1e-310}


def decaying(dtype, seen=None):
    """A filter of what is above the limit in the first step, and far below it after the third."""
    start = 1e3 * np.finfo(dtype).tiny
    with nengo.Network() as net:
        nengo_dl.configure_settings(dtype=dtype)
        pulse = nengo.Node(PresentInput([[start], [0], [0], [0], [0], [0], [0], [0]], 0.001))
        decay = nengo.synapses.LinearFilter([1], [1, -0.1], analog=False)
        filtered = nengo.Node(size_in=1)
        nengo.Connection(pulse, filtered, synapse=decay)
        net.probe = nengo.Probe(filtered)
        if seen is not None:
            tiny = TINY[dtype]
            python = nengo.Node(lambda t, x: seen.append(np.float64(tiny) * t), size_in=1)
            nengo.Connection(filtered, python, synapse=None)
    return net


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_are_zero_in_each_thread(dtype):
    net = decaying(dtype)
    with nengo_dl.Simulator(net, minibatch_size=2, progress_bar=False) as sim:
        sim.run_steps(8)
        ran = sim.data[net.probe].copy()
        predicted = sim.predict(n_steps=8)[net.probe]
    assert ran[0].max() >= np.finfo(dtype).tiny
    np.testing.assert_array_equal(ran[:, -1], 0)
    np.testing.assert_array_equal(predicted, ran)


@pytest.mark.parametrize("run", ["run_steps", "predict"])
def test_python_keeps_them(run):
    seen = []
    net = decaying("float64", seen)
    with nengo_dl.Simulator(net, progress_bar=False) as sim:
        sim.run_steps(8) if run == "run_steps" else sim.predict(n_steps=8)
    steps = seen[-8:]  # Nengo has asked once, at t = 0
    assert len(steps) == 8 and all(0 < value < np.finfo(np.float64).tiny for value in steps)
    assert TINY["float64"] * np.float64(0.5) > 0  # and after the run
