"""Ctrl-C while the engine runs: it comes out of a Python function, or is held back to the end."""

import random
import signal
import threading
import time

import numpy as np
import pytest
from test_engine_callbacks import _engine, model, table

from nengo_dl.run.interrupt import interrupt

pytestmark = [pytest.mark.usefixtures("backend"), pytest.mark.calls_python]
COUNT, STEPS = 200, 40


def press_after(delay):
    """Send a real SIGINT to the main thread after some seconds."""

    def send():
        time.sleep(delay)
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    thread = threading.Thread(target=send)
    thread.start()
    return thread


@pytest.fixture
def ctrl_c():
    """Python's own handling of Ctrl-C, also where a shell started the tests in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def function(item, t, inputs, outputs):
    with interrupt:
        if round(1000 * t) % 4 == 0:
            time.sleep(5e-5)
        values = inputs[0][:, :2].copy()
    outputs[0][...] = values + item
    outputs[1][...] += 1


def run_with(maker, rows, handle, delay):
    """Run all steps, however often that is interrupted: outputs, state, errors on the way."""
    outputs, done, state, errors = [], 0, None, []
    thread = press_after(delay)
    while done < STEPS:
        x = np.ascontiguousarray(rows[:, done:])
        (z,), steps, error, state = maker.run(
            STEPS - done, 2, [x], state, callbacks=handle, first_step=done
        )
        outputs.append(z[:, :steps])
        done += steps
        if error is not None:
            assert done < STEPS and _engine.callback_error(handle) is error
            errors.append(error)
    thread.join()
    return np.concatenate(outputs, axis=1), state, errors


def test_at_random_moments(ctrl_c):
    """The steps before it stay, and from there it goes on as if nothing had happened."""
    rng, rows = random.Random(0), np.random.RandomState(0).randn(2, STEPS, 6)
    maker, inside, late = model(), 0, 0
    with table(function) as handle:
        start = time.perf_counter()
        (due,), steps, error, end = maker.run(STEPS, 2, [rows], callbacks=handle)
        longest = 2 * (time.perf_counter() - start)
        assert steps == STEPS and error is None
        weights = maker.values[0].copy()
        for _ in range(COUNT):
            maker.values[0][...] = 0
            try:
                with interrupt.hold():  # all but the function
                    z, state, errors = run_with(maker, rows, handle, rng.uniform(0, longest))
            except KeyboardInterrupt:
                late += 1
            assert all(isinstance(error, KeyboardInterrupt) for error in errors)
            inside += len(errors)
            np.testing.assert_array_equal(z, due)
            np.testing.assert_array_equal(state, end)
            np.testing.assert_array_equal(maker.values[0], weights)
    assert inside + late == COUNT and inside > COUNT / 20
