"""Python functions in a program: what they see, what they may do, how their errors come back."""

import gc
import os
import subprocess
import sys
import threading
import weakref

import numpy as np
import pytest
from handmade_programs import Maker, _engine, op, view

from nengo_dl.ir.program import ProgramError, to_bytes

pytestmark = [pytest.mark.usefixtures("backend"), pytest.mark.calls_python]


class table:
    """Callbacks for a ``with`` block."""

    def __init__(self, *functions):
        self.functions = functions

    def __enter__(self):
        self.handle = _engine.add_callbacks(list(self.functions))
        return self.handle

    def __exit__(self, *_):
        _engine.remove_callbacks(self.handle)


def model(dtype="float64", strided=False):
    """Counters in state and learned buffers, a callback, a carried sum of what it gave."""
    maker = Maker(dtype, window=1)
    x = maker.buffer("window", 6, "x")
    y = maker.buffer("window", 8, "y")
    z = maker.buffer("carried", 4, "z")
    s = maker.buffer("state", 2, "s")
    memory = maker.buffer("state", 3, "memory")
    late = maker.buffer("state", 1, "late")
    w = maker.buffer("learned", 2, "w", np.zeros((2, 2)))
    one = maker.buffer("param", 1, "one", np.ones(1))
    ones = view(one, (2,), (0,))
    src = view(x, (2, 3), (1, 2)) if strided else view(x, (2, 3))
    dst = view(y, (2, 2), (-4, 2), (4,)) if strided else view(y, (2, 2))
    args = {"in0": src, "in1": view(z, (4,)), "out0": dst, "state0": view(memory, (3,))}
    maker.region(
        "loop",
        maker.input(x, 6),
        op("copy", {"src": ones, "dst": view(s, (2,))}, set=0),
        op("copy", {"src": ones, "dst": view(w, (2,))}, set=0),
        op("callback", args, index=0, name="function"),
        op("copy", {"src": view(z, (4,)), "dst": view(z, (4,), shift=1)}, set=1),
        op("copy", {"src": dst, "dst": view(z, (2, 2), (2, 1), shift=1)}, set=0),
        op("copy", {"src": view(one, (1,)), "dst": view(late, (1,))}, set=0),
        maker.output(view(z, (4,), shift=1)),
    )
    return maker


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("strided", [False, True])
def test_what_a_function_sees(dtype, strided):
    maker = model(dtype, strided)
    x = np.random.RandomState(0).randn(2, 5, 6).astype(dtype)
    seen = []

    def function(item, t, inputs, outputs):
        (a, z), (out, memory) = inputs, outputs
        seen.append((item, t, a.copy(), z.copy(), memory.copy()))
        assert a.dtype == out.dtype == memory.dtype == dtype
        with pytest.raises(ValueError, match="read-only"):
            a[0, 0] = 0
        out[...] = a[:, :2] + item
        memory += 1

    with table(function) as handle:
        (z,), steps, error, _ = maker.run(5, 2, [x], callbacks=handle, first_step=10)
    assert steps == 5 and error is None
    assert [s[0] for s in seen] == [0, 1] * 5
    due = np.zeros((2, 4), dtype)
    for i, (item, t, a, before, memory) in enumerate(seen):
        row = x[item, i // 2]
        assert t == np.dtype(dtype).type((11 + i // 2) * 0.001)
        np.testing.assert_array_equal(a, row.reshape(3, 2).T if strided else row.reshape(2, 3))
        np.testing.assert_array_equal(before, due[item])
        np.testing.assert_array_equal(memory, np.full(3, i // 2))
        due[item] += (a[:, :2] + item).ravel()
        np.testing.assert_array_equal(z[item, i // 2], due[item])


@pytest.mark.parametrize("exception", [ZeroDivisionError, KeyboardInterrupt])
@pytest.mark.parametrize("fail_at, item", [(0, 0), (0, 1), (3, 0), (3, 1)])
def test_an_exception_leaves_the_steps_before_it(exception, fail_at, item):
    maker = model()
    x = np.random.RandomState(0).randn(2, 5, 6)
    raised = exception("in the function")
    calls = [0]

    def function(number, t, inputs, outputs):
        calls[0] += 1
        outputs[0][...] = inputs[0][:, :2]
        outputs[1][...] += 1
        if calls[0] == 2 * fail_at + item + 1:
            raise raised

    with table(function) as handle:
        (z,), steps, error, state = maker.run(5, 2, [x], callbacks=handle)
        assert error is raised and error.__traceback__.tb_frame.f_code is function.__code__
        assert _engine.callback_error(handle) is raised
        assert _engine.callback_error(handle) is None
        assert steps == fail_at
        weights = maker.values[0].copy()
        np.testing.assert_array_equal(weights, np.full((2, 2), fail_at))
        np.testing.assert_array_equal(state[:, 4:], np.full((2, 6), fail_at))

        # it goes on from there as if nothing had happened
        rest = np.ascontiguousarray(x[:, steps:])
        (tail,), more, error, state = maker.run(5 - steps, 2, [rest], state, callbacks=handle)
        assert more == 5 - steps and error is None
        both = np.concatenate([z[:, :steps], tail], axis=1)
        maker.values[0][...] = 0
        (due,), *_, end = maker.run(5, 2, [x], callbacks=handle)
        np.testing.assert_array_equal(both, due)
        np.testing.assert_array_equal(state, end)


def test_arrays_a_function_keeps_do_not_change():
    maker = model()
    x = np.random.RandomState(0).randn(1, 4, 6)
    maker.values[0] = np.zeros((1, 2))
    kept = []
    with table(lambda item, t, inputs, outputs: kept.append(inputs[0])) as handle:
        maker.run(4, 1, [x], callbacks=handle)
    np.testing.assert_array_equal(np.reshape(kept, (4, 6)), x[0])


def test_functions_may_run_the_same_program():
    maker = model()
    maker.values[0] = np.zeros((1, 2))
    compiled = _engine.Compiled(to_bytes(maker.program()))
    x = np.random.RandomState(0).randn(1, 3, 6)
    depth = []

    def function(item, t, inputs, outputs):
        before = inputs[0].copy()
        if len(depth) < 2:
            depth.append(t)
            maker.run(3, 1, [x + 1], compiled=compiled, callbacks=handle)
            depth.pop()
        np.testing.assert_array_equal(inputs[0], before)
        outputs[0][...] = before[:, :2]

    with table(function) as handle:
        (z,), steps, error, _ = maker.run(3, 1, [x], compiled=compiled, callbacks=handle)
    assert error is None and steps == 3
    due = np.cumsum(x.reshape(1, 3, 2, 3)[..., :2].reshape(1, 3, 4), axis=1)
    np.testing.assert_array_equal(z, due)


def test_two_threads_share_a_table():
    maker = model()
    compiled = _engine.Compiled(to_bytes(maker.program()))
    results = {}

    def function(item, t, inputs, outputs):
        value = inputs[0].copy()
        sum(range(200))  # let other threads in
        np.testing.assert_array_equal(inputs[0], value)
        outputs[0][...] = value[:, :2]

    def work(i, handle):
        own = model()
        x = np.full((2, 300, 6), float(i))
        (z,), steps, error, _ = own.run(300, 2, [x], compiled=compiled, callbacks=handle)
        results[i] = steps == 300 and error is None and (z[:, -1] == 300.0 * i).all()

    with table(function) as handle:
        workers = [threading.Thread(target=work, args=(i, handle)) for i in range(3)]
        for w in workers:
            w.start()
        for w in workers:
            w.join()
    assert results == {0: True, 1: True, 2: True}


def test_a_time_limit_stops_between_steps():
    maker = model()
    x = np.zeros((2, 100000, 6))
    with table(lambda *args: None) as handle:
        _, steps, error, state = maker.run(100000, 2, [x], callbacks=handle, time_limit=0.02)
    assert error is None and 1 <= steps < 100000
    np.testing.assert_array_equal(state[:, 4], np.full(2, steps))


def test_tables():
    maker = model()
    x = np.zeros((2, 1, 6))
    with pytest.raises(ValueError, match="calls Python functions, but no callbacks"):
        maker.run(1, 2, [x])
    with (
        table() as handle,
        pytest.raises(ValueError, match="expected 1 Python functions, .* got fewer"),
    ):
        maker.run(1, 2, [x], callbacks=handle)
    with pytest.raises(TypeError, match="3 is not callable"):
        _engine.add_callbacks([3])
    handle = _engine.add_callbacks([print])
    _engine.remove_callbacks(handle)
    with pytest.raises(IndexError, match="no table of callbacks"):
        maker.run(1, 2, [x], callbacks=handle)


def test_a_removed_table_lets_its_functions_go():
    class Function:
        def __call__(self, *args):
            pass

    function = Function()
    gone = weakref.ref(function)
    handle = _engine.add_callbacks([function])
    del function
    _engine.remove_callbacks(handle)
    gc.collect()
    assert gone() is None


NUMBERS = """
import os
from nengo_dl import _engine
if os.fork():
    os.wait()
print(_engine.add_callbacks([print]), flush=True)
os._exit(0)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs processes that fork")
def test_numbers_of_tables_from_other_processes_find_nothing():
    """A graph that was saved there has them in it; it must not call another model's functions."""
    runs = [subprocess.run([sys.executable, "-c", NUMBERS], capture_output=True) for _ in range(2)]
    numbers = [int(line) for run in runs for line in run.stdout.split()]
    numbers.append(_engine.add_callbacks([print]))
    _engine.remove_callbacks(numbers[-1])
    assert len(set(numbers)) == 5 and all(0 <= n < 1 << 62 for n in numbers)
    assert max(numbers) > 1 << 32


def test_callbacks_need_windows_of_one_step():
    maker = model()
    maker.window = 0
    with pytest.raises((ProgramError, _engine.ProgramError), match="expected window 1 .*got 0"):
        _engine.Compiled(to_bytes(maker.program()))


def test_programs_of_many_shapes_share_a_table():
    """A program's arrays go with it: the next one, wherever it lies in memory, has its own."""
    rng = np.random.RandomState(0)

    def function(item, t, inputs, outputs):
        seen.append((inputs[0].dtype, inputs[0].copy(), outputs[1].copy()))
        outputs[0][...] = inputs[0].sum()
        outputs[1][...] += 1

    with table(function) as handle:
        for number in range(200):
            dtype, seen = ("float32", "float64")[number % 2], []
            shape, out = tuple(rng.randint(1, 9, rng.randint(1, 4))), int(rng.randint(1, 300))
            size = int(np.prod(shape))
            maker = Maker(dtype, window=1)
            x, y = maker.buffer("window", size), maker.buffer("window", out)
            count = maker.buffer("state", 3)
            args = {"in0": view(x, shape), "out0": view(y, (out,)), "state0": view(count, (3,))}
            maker.region("loop", maker.input(x, size), op("callback", args, index=0),
                         maker.output(view(y, (out,))))  # fmt: skip
            rows = rng.randint(-9, 9, (2, 2, size)).astype(dtype)
            (got,), steps, error, state = maker.run(2, 2, [rows], callbacks=handle)
            assert (steps, error, len(seen)) == (2, None, 4)
            for call, (kind, value, counted) in enumerate(seen):
                step, item = divmod(call, 2)
                assert kind == dtype
                np.testing.assert_array_equal(value, rows[item, step].reshape(shape))
                np.testing.assert_array_equal(counted, np.full(3, step))
            np.testing.assert_array_equal(got, np.repeat(rows.sum(axis=2)[..., None], out, axis=2))
            np.testing.assert_array_equal(state, np.full((2, 3), 2))


def test_a_function_finds_nothing_of_the_last_run():
    """What it leaves unwritten is zero, whichever arrays it is given."""
    maker = model()
    x = np.ones((2, 3, 6))
    found = []

    def function(item, t, inputs, outputs):
        if not len(found) % 6:  # the first call of a run
            found.append(outputs[0].copy())
            outputs[0][...] = 7
        else:
            found.append(None)

    with table(function) as handle:
        for _ in range(3):
            maker.run(3, 2, [x], callbacks=handle)
    for first in found[::6]:
        np.testing.assert_array_equal(first, np.zeros((2, 2)))
