"""Runs whose inputs and outputs come and go piece by piece (cpp/engine/resident.h)."""

import ctypes

import numpy as np
import pytest
from gpus import GPU, counter
from test_engine_run import integrator

from nengo_dl import _engine
from nengo_dl.ir.program import to_bytes

BATCH = 4


@pytest.fixture
def device_bytes(gpu_library):
    """The most memory that the device has had to give so far."""
    _engine.set_backend(GPU)
    yield counter(gpu_library, "device_bytes_used")
    _engine.set_backend("cpu")


def test_memory_is_that_of_pieces(device_bytes):
    """Twenty times as many steps take no more memory of the device."""
    maker = integrator(window=7)
    x = np.random.RandomState(0).randint(-9, 9, (BATCH, 12000, 3)).astype(np.float64)
    maker.run(600, BATCH, [x[:, :600].copy()])
    before = device_bytes()
    (_, after), *_ = maker.run(12000, BATCH, [x])
    np.testing.assert_array_equal(after, np.cumsum(x, axis=1))
    assert device_bytes() - before < x.nbytes / 20


@pytest.mark.parametrize("n_steps", [1, 13, 600])
@pytest.mark.parametrize("keep_last", [[False, True], [True, False], [True, True]])
def test_last_steps(device_bytes, keep_last, n_steps):
    """Outputs that keep the last step only keep that of the run, not that of a piece."""
    maker = integrator()
    x = np.random.RandomState(1).randint(-9, 9, (BATCH, n_steps, 3)).astype(np.float64)
    everything, *_ = maker.run(n_steps, BATCH, [x])
    outputs, *_ = maker.run(n_steps, BATCH, [x], keep_last=keep_last)
    for got, due, last in zip(outputs, everything, keep_last, strict=True):
        np.testing.assert_array_equal(got, due[:, -1:] if last else due)


def test_stopped_between_pieces(device_bytes):
    """A run that is stopped leaves the state and all outputs of the steps that it has done."""
    maker = integrator()
    n_steps = 10**6
    x = np.ones((BATCH, n_steps, 3))
    (_, after), done, error, state = maker.run(n_steps, BATCH, [x], time_limit=0.02)
    assert 1 <= done < n_steps and error is None
    due = np.broadcast_to(np.arange(1.0, done + 1)[:, None], (BATCH, done, 3))
    np.testing.assert_array_equal(after[:, :done], due)
    np.testing.assert_array_equal(state[:, :3], due[:, -1])


@pytest.mark.skipif(GPU == "cuda", reason="a GPU marks its work with events")
@pytest.mark.parametrize("recorded", [False, True])
def test_work_is_timed_without_copies(device_bytes, phases_library, recorded, monkeypatch):
    """It begins when all arguments have come, and ends before results go: `cuda_seconds`."""
    monkeypatch.setenv("NENGO_DL_TEST_PIECE", str(1 << 20))
    phases_library.work_mark.restype = ctypes.c_int64
    totals = phases_library.bytes_received, phases_library.bytes_given
    for total in totals:
        total.restype = ctypes.c_int64

    def marked(work):
        """Bytes that came before the work and went after it; in it only frames may come."""
        before = [total() for total in totals]
        work()
        begin, end = ([phases_library.work_mark(2 * i + k) for k in range(2)] for i in range(2))
        (came, _), (_, none), (nothing, went) = np.diff(
            [before, begin, end, [total() for total in totals]], axis=0
        )
        assert (none, nothing) == (0, 0)
        return came, went

    steps, maker = 400, integrator()
    compiled = _engine.Compiled(to_bytes(maker.program()))
    x = np.ones((BATCH, steps, 3))
    tape = compiled.tape(BATCH, steps) if recorded else None
    came, went = marked(lambda: maker.run(steps, BATCH, [x], compiled=compiled, tape=tape))
    assert came >= x.nbytes and went >= 2 * x.nbytes
    start = [np.zeros((BATCH, n), dtype) for n, dtype in ((maker.state_size, float), (0, np.int32))]
    last, ones = [False] * 2, [np.ones((BATCH, steps, 3))] * 2
    came, went = marked(
        lambda: compiled.grad([x], [], *start, 0, steps, BATCH, last, ones, tape=tape)
    )
    assert came >= 3 * x.nbytes and went >= x.nbytes
