"""Running: windows, groups, threads, carried rows, outputs, limits, arguments."""

import threading

import numpy as np
import pytest
from handmade_programs import Maker, _engine, op, view

from nengo_dl.ir.program import to_bytes

pytestmark = pytest.mark.usefixtures("backend")


def integrator(dtype="float64", n=3, window=0):
    """A loop: y = y + x through a carried buffer; a sequence region reads it."""
    maker = Maker(dtype, window=window)
    x = maker.buffer("window", n, "x")
    y = maker.buffer("carried", n, "y")
    s = maker.buffer("state", n, "s")
    maker.region("sequence", maker.input(x, n))
    maker.region(
        "loop",
        op("copy", {"src": view(y, (n,)), "dst": view(y, (n,), shift=1)}, set=1),
        op("copy", {"src": view(x, (n,)), "dst": view(y, (n,), shift=1)}, set=0),
        op("copy", {"src": view(x, (n,)), "dst": view(s, (n,))}, set=0),
    )
    maker.region(
        "sequence",
        maker.output(view(y, (n,)), "before"),
        maker.output(view(y, (n,), shift=1), "after"),
    )
    return maker


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("window", [0, 1, 7])
@pytest.mark.parametrize("batch", [1, 2, 16, 37])
def test_carried_values_cross_windows_and_runs(dtype, window, batch):
    maker = integrator(dtype, window=window)
    x = np.random.RandomState(0).randint(-9, 9, (batch, 600, 3)).astype(dtype)
    start = np.random.RandomState(1).randint(-9, 9, (batch, 6)).astype(dtype)
    due = start[:, None, :3] + np.cumsum(x, axis=1)
    (before, after), steps, error, state = maker.run(600, batch, [x], start.copy())
    assert steps == 600 and error is None
    np.testing.assert_array_equal(after, due)
    np.testing.assert_array_equal(before[:, 1:], due[:, :-1])
    np.testing.assert_array_equal(before[:, 0], start[:, :3])
    np.testing.assert_array_equal(state, start + np.tile(x.sum(axis=1), 2))

    again, first = start.copy(), 0
    for n in (1, 299, 2, 298):
        part = np.ascontiguousarray(x[:, first : first + n])
        (_, after), *_ = maker.run(n, batch, [part], again, first_step=first)
        np.testing.assert_array_equal(after, due[:, first : first + n])
        first += n
    np.testing.assert_array_equal(again, state)


@pytest.mark.parametrize("threads", [1, 2, 5, 64])
def test_threads_change_nothing(threads):
    maker = integrator(n=30)
    x = np.random.RandomState(0).randn(41, 50, 30)
    alone = maker.run(50, 41, [x], threads=1)
    got = maker.run(50, 41, [x], threads=threads)
    for a, b in zip(got[0] + [got[3]], alone[0] + [alone[3]], strict=True):
        np.testing.assert_array_equal(a, b)


def test_two_runs_of_one_program_at_once():
    maker = integrator(n=50)
    compiled = _engine.Compiled(to_bytes(maker.program()))
    x = [np.random.RandomState(i).randn(3, 3000, 50) for i in range(4)]
    due = [maker.run(3000, 3, [v], compiled=compiled)[3] for v in x]
    got = [None] * 4

    def work(i):
        got[i] = maker.run(3000, 3, [x[i]], compiled=compiled)[3]

    workers = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for w in workers:
        w.start()
    for w in workers:
        w.join()
    np.testing.assert_array_equal(got, due)


def test_keep_last_keeps_the_last_step_only():
    maker = integrator()
    x = np.random.RandomState(0).randn(4, 600, 3)
    full = maker.run(600, 4, [x])[0][1]
    for window in (0, 1):
        maker.window = window
        before, after = maker.run(600, 4, [x], keep_last=[False, True])[0]
        assert before.shape == (4, 600, 3) and after.shape == (4, 1, 3)
        np.testing.assert_array_equal(after[:, 0], full[:, -1])


@pytest.mark.parametrize("batch", [1, 40])
def test_time_limit_stops_all_items_at_one_step(batch):
    n = 20000
    maker = Maker()
    one = maker.buffer("param", 1, value=np.ones(1))
    sums = maker.buffer("carried", n)
    maker.region(
        "loop",
        op("copy", {"src": view(sums, (n,)), "dst": view(sums, (n,), shift=1)}, set=1),
        op("copy", {"src": view(one, (n,), (0,)), "dst": view(sums, (n,), shift=1)}, set=0),
        maker.output(view(sums, (n,), shift=1)),
    )
    steps = 10**6  # minutes
    (last,), done, error, state = maker.run(steps, batch, time_limit=0.05, keep_last=[True])
    assert 1 <= done < steps and error is None
    np.testing.assert_array_equal(state, np.full((batch, n), float(done)))
    np.testing.assert_array_equal(last[:, 0], state)


def test_no_steps_change_nothing():
    maker = integrator()
    state = np.ones((2, 6))
    outputs, steps, error, _ = maker.run(0, 2, [np.zeros((2, 0, 3))], state)
    assert steps == 0 and error is None and [o.shape for o in outputs] == [(2, 0, 3)] * 2
    np.testing.assert_array_equal(state, np.ones((2, 6)))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("region", ["sequence", "loop"])
def test_time_is_the_rounded_product(dtype, region):
    maker = Maker(dtype, dt=0.0007)
    b = maker.buffer("window", 2)
    args = {"time": view(b, ()), "step": view(b, (), offsets=(1,))}
    maker.region(region, op("time", args), maker.output(view(b, (2,))))
    (out,), *_ = maker.run(300, 2, first_step=123456)
    n = np.arange(123457, 123757)
    np.testing.assert_array_equal(out[0], np.stack([n * 0.0007, n], axis=1).astype(dtype))
    np.testing.assert_array_equal(out[0], out[1])


def arguments(maker, batch=2, steps=5):
    return {
        "inputs": [np.zeros((batch, steps, 3))],
        "params": [np.zeros(4), np.zeros((batch, 5))],
        "state": np.zeros((batch, 6)),
        "istate": np.zeros((batch, 0), np.int32),
        "first_step": 0,
        "n_steps": steps,
        "batch": batch,
        "keep_last": [False, False],
    }


def read_only(a):
    a.flags.writeable = False
    return a


@pytest.mark.parametrize(
    "key, value, message",
    [
        ("inputs", [], "inputs: expected 1, .* got 0"),
        (
            "inputs",
            [np.zeros((2, 5, 4))],
            r"inputs\[0\] \('input'\): expected a .*, got a \(2, 5, 4\) array",
        ),
        (
            "inputs",
            [np.zeros((2, 5, 3), np.float32)],
            "expected a .* of float64.*, got a .* array of float32",
        ),
        ("inputs", [np.zeros((2, 3, 5)).transpose(0, 2, 1)], "not C-contiguous"),
        ("inputs", [[0.0]], r"inputs\[0\].*: expected a \(2, 5, 3\) array.*, got a list"),
        ("params", [np.zeros(4)], "params: expected 2, .* got 1"),
        ("params", [np.zeros(5), np.zeros((2, 5))], r"params\[0\] \('constant'\)"),
        ("params", [np.zeros(4), np.zeros((1, 5))], r"params\[1\] \('weights'\)"),
        ("params", [np.zeros(4), read_only(np.zeros((2, 5)))], "not writable"),
        ("state", np.zeros((2, 7)), r"state: expected a .*, got a \(2, 7\) array"),
        ("state", read_only(np.zeros((2, 6))), "not writable"),
        ("state", np.zeros((2, 6), ">f8"), "state: .* got a .* of >f8"),
        ("istate", np.zeros((2, 0), np.int64), "istate: expected a .* int32.* got a .* int64"),
        ("keep_last", [False], "values of keep_last: expected 2, .* got 1"),
        ("n_steps", -1, "expected at least 0, 0 and 1"),
        ("batch", 0, "expected at least 0, 0 and 1"),
        ("first_step", -1, "expected at least 0, 0 and 1"),
    ],
)
def test_wrong_arguments_are_refused(key, value, message):
    maker = integrator()
    maker.buffer("param", 4, "constant", np.zeros(4))
    maker.buffer("learned", 5, "weights", np.zeros((2, 5)))
    compiled = _engine.Compiled(to_bytes(maker.program()))
    assert compiled.run(**arguments(maker))[1] == 5
    with pytest.raises(ValueError, match=message):
        compiled.run(**{**arguments(maker), key: value})


def test_buffers_larger_than_memory_are_refused():
    maker = Maker()
    b = maker.buffer("window", 2**39)
    maker.region("sequence", op("fill", {"dst": view(b, (4,))}, value=0.0))
    compiled = _engine.Compiled(to_bytes(maker.program()))
    with pytest.raises(RuntimeError, match="more than the memory"):
        maker.run(1, compiled=compiled)


def test_instruction_sets():
    assert _engine.isas()[0] == "baseline" and _engine.isa() in _engine.isas()
    with pytest.raises(ValueError, match="no instruction set 'sse9' here, choose one of: baseline"):
        _engine.set_isa("sse9")


def half_written(kind, written):
    """The input fills the first elements of a buffer of four, all of which are an output."""
    m = Maker()
    u, x, out = m.buffer("window", written), m.buffer(kind, 4), m.buffer("window", 4)
    shift = int(kind == "carried")
    fill = {"src": view(u, (written,)), "dst": view(x, (written,), shift=shift)}
    show = {"src": view(x, (4,), shift=shift), "dst": view(out, (4,))}
    m.region("sequence", m.input(u, written))
    m.region("loop", op("copy", fill, set=1), op("copy", show, set=1))
    m.region("sequence", m.output(view(out, (4,))))
    return m


@pytest.mark.parametrize("kind", ["window", "local", "carried"])
def test_what_was_never_written_is_zero(kind):
    # memory is used again: the first run leaves NaN in it
    for batch in (1, 16, 20):
        half_written(kind, 4).run(30, batch, [np.full((batch, 30, 4), np.nan)])
        given = np.random.RandomState(0).normal(size=(batch, 30, 2))
        (output,), *_ = half_written(kind, 2).run(30, batch, [given])
        np.testing.assert_array_equal(output[..., :2], given)
        np.testing.assert_array_equal(output[..., 2:], 0)
