"""Parameters that stay on a device from call to call (cpp/engine/kept_params.h)."""

import ctypes
import threading

import numpy as np
import pytest
from gpus import DEVICES, counter
from handmade_programs import _engine, to_bytes
from test_turned import products, turn

M, N, BATCH, STEPS = 90, 110, 2, 3
LARGE = 800  # columns and rows of weights that several threads compare


@pytest.fixture(params=DEVICES)
def received(request):
    """How many bytes the device has got from the host so far."""
    library = request.getfixturevalue(f"{request.param}_library")
    _engine.set_backend(request.param)
    yield counter(library, "bytes_received")
    _engine.set_backend("cpu")


class Calls:
    """Calls of one program, with the values of `maker`."""

    def __init__(self, maker, backend=None):
        self.maker, self.dtype = maker, maker.dtype
        self.compiled = _engine.Compiled(to_bytes(maker.program()), *[backend] if backend else [])
        (size,) = (port.size for port in maker.inputs)
        self.x = np.random.RandomState(0).randn(BATCH, STEPS, size).astype(maker.dtype)
        self.given = [np.zeros((BATCH, 0), d) for d in (maker.dtype, np.int32)]

    def run(self, **kwargs):
        (y,), steps, error, _ = self.maker.run(
            STEPS, BATCH, [self.x], compiled=self.compiled, **kwargs
        )
        assert steps == STEPS and error is None
        return y

    def grad(self, **kwargs):
        shape = (BATCH, STEPS, self.maker.outputs[0].size)
        dy = np.random.RandomState(1).randn(*shape).astype(self.dtype)
        inputs, params, _ = self.compiled.grad(
            [self.x], self.maker.values, *self.given, 0, STEPS, BATCH, [False], [dy], **kwargs
        )
        return [*inputs, *params]

    def tape(self, **options):
        return self.compiled.tape(BATCH, STEPS, **options)


def count(received, values, call):
    """How many times as many bytes as `values` have a call sent, and its result."""
    before = received()
    result = call()
    return (received() - before) / values.nbytes, result


def sent(times):
    """As many times, and a few bytes of something else."""
    return pytest.approx(times + 0.15, abs=0.15)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("turned", [False, True])
def test_equal_weights_are_sent_once(received, dtype, turned):
    """Be they the same array or another one."""
    maker = products(dtype, M, N, 1)
    if turned:
        maker = turn(maker, M, N)
    calls, due = Calls(maker), Calls(maker, "cpu").run()
    (weights,) = maker.values
    for times in (1, 0, 0):
        got, y = count(received, weights, calls.run)
        assert got == sent(times)
        np.testing.assert_allclose(y, due, rtol=1e-4 if dtype == "float32" else 1e-12)
        maker.values = [weights.copy()]
    first = y
    got, y = count(received, weights, Calls(maker).run)
    assert got == sent(1), "another program has its own"
    np.testing.assert_array_equal(y, first)


@pytest.mark.parametrize("n", [N, LARGE])
@pytest.mark.parametrize("turned", [False, True])
def test_what_changes_in_place_is_seen(received, n, turned):
    """Every element counts, and the sign of a zero."""
    m = M if n == N else n
    maker = products("float64", m, n, 1)
    if turned:
        maker = turn(maker, m, n)
    calls = Calls(maker)
    (weights,) = maker.values
    weights[0] = 0.0
    calls.run()
    for i, value in [(0, -0.0), (-1, 7.0), (weights.size // 2, np.nan), (weights.size // 2, 1.0)]:
        weights[i] = value
        got, y = count(received, weights, calls.run)
        assert got == sent(1)
        np.testing.assert_array_equal(y, Calls(maker).run())
    assert calls.run().tobytes() == y.tobytes()


def test_a_gradient_uses_what_its_run_was_sent(received):
    """Nothing is sent for it, and what was written meanwhile is the next run's."""
    maker = products("float64", M, N, 1)
    calls, tape = Calls(maker), None
    (weights,) = maker.values
    for change in (0, 1):
        weights += change
        due, tape = Calls(maker).grad(), calls.tape()
        got, _ = count(received, weights, lambda tape=tape: calls.run(tape=tape))
        assert got == sent(1)
        weights[:] += 5
        got, gradients = count(received, weights, lambda tape=tape: calls.grad(tape=tape))
        assert got == sent(0)
        weights[:] -= 5
        assert len(gradients) == len(due) == 2
        for a, b in zip(gradients, due, strict=True):
            np.testing.assert_array_equal(a, b)


def test_frozen_weights_stay_while_others_are_trained(received):
    """Those that are trained change with each step: they are not kept, others are."""
    maker = products("float64", M, N, 1)
    calls = Calls(maker)
    (weights,) = maker.values
    for wanted, times in [(None, [1, 1, 1]), ([True], [1, 1]), ([False], [1, 0, 0])]:
        for due in times:
            tape = calls.tape(wanted_params=wanted)
            options = {"tape": tape, "wanted_params": wanted}
            got, _ = count(received, weights, lambda options=options: calls.run(**options))
            assert got == sent(due)
    got, _ = count(received, weights, calls.run)
    assert got == sent(0)
    got, _ = count(received, weights, lambda: calls.run(tape=calls.tape()))
    assert got == sent(0), "equal values that are there are used"


def test_gradients_without_a_tape(received):
    """They find what runs have left, and leave what they don't differentiate by."""
    maker = products("float64", M, N, 1)
    calls = Calls(maker)
    (weights,) = maker.values
    for by_weights, due in [(True, 1), (True, 1), (False, 1), (True, 0), (False, 0)]:
        options = {"want_params": [by_weights]}
        got, _ = count(received, weights, lambda options=options: calls.grad(**options))
        assert got == sent(due)
    assert count(received, weights, calls.run)[0] == sent(0)


def test_threads_with_weights_of_their_own(received):
    """Runs of one program at once: each has its own values."""
    makers = [products("float64", 300, 300, 1) for _ in range(4)]
    for i, maker in enumerate(makers):
        maker.values = [maker.values[0] + (i + 1) // 2]  # two of them have the same
    due = [Calls(maker).run() for maker in makers]
    compiled, bad = _engine.Compiled(to_bytes(makers[0].program())), []

    def work(maker, expected):
        calls = Calls(maker)
        calls.compiled = compiled
        for i in range(30):
            tape = calls.tape() if i % 3 == 0 else None
            if not np.array_equal(calls.run(tape=tape), expected):
                bad.append(i)

    workers = [threading.Thread(target=work, args=pair) for pair in zip(makers, due, strict=True)]
    for w in workers:
        w.start()
    for w in workers:
        w.join()
    assert not bad


def test_memory_goes_with_the_program(far_library):
    """One copy for a program, or for each of its tapes, and none once they are gone."""
    far_library.bytes_held.restype = ctypes.c_int64
    maker = products("float64", 300, 300, 1)
    (weights,) = maker.values
    calls, before = Calls(maker, "far"), far_library.bytes_held()

    def copies():
        return (far_library.bytes_held() - before) / weights.nbytes

    for _ in range(3):
        weights += 1
        calls.run()
        assert copies() == sent(1)
    weights += 1
    tape = calls.tape()
    calls.run(tape=tape)
    assert copies() == sent(1), "what the program kept has gone"
    calls.run()
    assert copies() == sent(2)
    del tape
    assert copies() == sent(1)
    del calls
    assert copies() == 0


def test_tapes_of_other_backends_are_refused(far_library):
    maker = products("float64", M, N, 1)
    here, there = Calls(maker, "cpu"), Calls(maker, "far")
    for one, other in [(here, there), (there, here)]:
        tape = one.tape()
        one.run(tape=tape)
        with pytest.raises(ValueError, match="the tape: expected one of this backend"):
            other.grad(tape=tape)
