"""Stacks of minibatches, which are gathered ahead: the right items, and no copy of all of them."""

import tracemalloc

import keras
import numpy as np
import pytest
from training_nets import linear

from nengo_dl.training import stacks
from nengo_dl.training.stacks import Stacks

NONE = np.zeros((0, 2), np.int32)


def numbered(items=20, size=3, dtype="float32"):
    return np.arange(items * size, dtype=dtype).reshape(items, size)


@pytest.fixture(params=["at once", "ahead"])
def threshold(request, monkeypatch):
    monkeypatch.setattr(stacks, "THREAD_BYTES", 0 if request.param == "ahead" else 1 << 30)


@pytest.mark.parametrize("kind", ["same", "converted", "strided", "broadcast", "swapped"])
def test_items(threshold, kind):
    """They are those that were asked for, in the type that was, foreseen or not."""
    given = {
        "same": numbered(),
        "converted": numbered(dtype="float64"),
        "strided": numbered(40, 6)[::2, ::2],
        "broadcast": np.broadcast_to(numbered(1), (20, 3)),
        "swapped": numbered().astype(">f4"),
    }[kind]
    labels = np.arange(20, dtype=np.int16)
    source = Stacks([given, labels], ["float32", labels.dtype])
    order = np.random.RandomState(0).permutation(20).astype(np.int32).reshape(10, 2)
    foreseen = [order[2:4], order[4:8], order[:1], NONE]  # right, too many, wrong, none
    asked = [order[:2], order[2:4], order[4:6], order[9:]]
    for rows, following in zip(asked, foreseen, strict=True):
        values, numbers = source.take(rows, following)
        assert values.dtype == "float32" and np.array_equal(values, given[rows])
        assert numbers.dtype == "int16" and np.array_equal(numbers, rows)
    source.close()


def test_what_is_held_stays(threshold):
    """Memory is used again, but not while a tensor lies in it."""
    source = Stacks([numbered()], ["float32"])
    order = np.arange(20, dtype=np.int32).reshape(10, 2)
    kept = [source.take(order[i : i + 1], order[i + 1 : i + 2])[0] for i in range(10)]
    for i, tensor in enumerate(kept):
        assert np.array_equal(tensor, numbered()[order[i : i + 1]])
    part = kept[3][0]
    del kept, tensor
    for i in range(10):
        source.take(order[i : i + 1], order[i + 1 : i + 2])
    assert np.array_equal(part, numbered()[order[3]])
    assert sum(map(len, source._blocks)) <= 11
    del part
    source.close()


def test_two_blocks_are_enough(threshold):
    """One that is used and one that is gathered, however many stacks there are."""
    source = Stacks([numbered()], ["float32"])
    order = np.arange(20, dtype=np.int32).reshape(10, 2)
    for i in range(10):
        (tensor,) = source.take(order[i : i + 1], order[i + 1 : i + 2])
        del tensor
    assert 1 <= len(source._blocks[0]) <= 2
    source.close()


def test_errors_of_the_thread(monkeypatch):
    """What goes wrong there is raised where the stack is wanted."""
    monkeypatch.setattr(stacks, "THREAD_BYTES", 0)
    source = Stacks([numbered(dtype="float64")], ["float32"])
    wrong = np.array([[20, 21]])
    source.take(np.array([[0, 1]]), wrong)
    with pytest.raises(IndexError, match="20 is out of bounds"):
        source.take(wrong, NONE)
    assert source.take(np.array([[0, 1]]), NONE)[0].shape == (1, 2, 3)
    source.close()


def test_no_copy_of_all(Sim):
    """While `fit` runs there are some minibatches in memory, whatever the type of the data."""
    net = linear()
    sim = Sim(net, minibatch_size=10)
    sim.compile(keras.optimizers.SGD(1e-9), loss={net.py: "mse"})
    x = np.zeros((10, 2000, 2))
    y = np.zeros((10, 2000, 1), "float32")
    sim.fit(x, {"py": y}, verbose=0)
    x, y = np.zeros((2000, 2000, 2)), np.zeros((2000, 2000, 1), "float32")
    tracemalloc.start()
    try:
        sim.fit(x, {"py": y}, verbose=0, epochs=2)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < (x.nbytes + y.nbytes) / 2
