"""The values of one probe over many runs."""

import time

import nengo
import numpy as np
import pytest

from nengo_dl.simulator.history import MANY, SMALL, History


@pytest.mark.parametrize("look_after", [1, 100, MANY, 10**6])
def test_many_small_pieces(look_after):
    """However many runs there are, few pieces are held, since each may hold a tensor."""
    history = History()
    values = np.arange(3 * MANY * 2.0).reshape(1, 3 * MANY, 2)
    for step in range(3 * MANY):
        history.append(values[:, step : step + 1])
        assert len(history) == step + 1
        assert len(history._pieces) < MANY + 3
        if step % look_after == look_after - 1:
            np.testing.assert_array_equal(history.array(), values[:, : step + 1])
    np.testing.assert_array_equal(history.array(), values)
    history.clear()
    assert history.array() is None and len(history) == 0


def test_large_pieces_are_not_copied():
    history = History()
    piece = np.zeros((1, SMALL // 8, 1))
    for _ in range(2 * MANY):
        history.append(piece)
    assert all(held is piece for held in history._pieces)
    assert len(history) == 2 * MANY * (SMALL // 8)


@pytest.mark.parametrize("size", [None, 3])
def test_no_step_is_sampled(Sim, size):
    """As in Nengo, an array of no steps; S-74: nothing before any run."""
    with nengo.Network() as net:
        node = nengo.Node([1.0, 2.0])
        probe = nengo.Probe(node, sample_every=0.1)
    sim = Sim(net, minibatch_size=size)
    assert sim.data[probe] == []
    for steps, due in ((10, 0), (80, 0), (10, 1), (250, 3)):
        sim.run_steps(steps)
        assert sim.data[probe].shape == (*(() if size is None else (size,)), due, 2)
    sim.reset()
    assert sim.data[probe] == []


def test_values_of_slow_runs(Sim):
    """A piece that time ends holds no memory of the steps that were not done."""
    with nengo.Network() as net:
        slow = nengo.Node(lambda t, x: time.sleep(0.002) or np.full(40, t), size_in=1)
        nengo.Connection(slow[0], slow)
        nengo.Probe(slow)
    sim = Sim(net)
    (values,), steps = sim.tensor_graph.run_eager([], 10000, True, 0.05)
    assert 0 < steps < 10000 and values.shape == (1, steps, 40)
    while values.base is not None:
        values = values.base
    assert values.nbytes == 4 * 40 * steps
