"""Ctrl-C is delivered between two pieces of work; what was done stays, what follows is right."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import keras
import nengo
import numpy as np
import pytest
from training_nets import of_linear, rows

from nengo_dl.run.interrupt import interrupt

SCRIPT = Path(__file__).with_name("interrupted.py")


def press():
    """Press Ctrl-C; Python calls the handler before the next line."""
    os.kill(os.getpid(), signal.SIGINT)


@pytest.fixture(autouse=True)
def ctrl_c():
    """Python's own handling of Ctrl-C, also where a shell started the tests in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield signal.default_int_handler
    signal.signal(signal.SIGINT, before)


@pytest.mark.slow
def test_at_random_moments():
    """Of build, run, predict and fit, while TensorFlow traces, too (NENGO_DL_INTERRUPTS: more)."""
    count = os.environ.get("NENGO_DL_INTERRUPTS", "40")
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(
        [sys.executable, SCRIPT, count, "0"],
        capture_output=True,
        text=True,
        env=environment,
    )
    assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-5000:]
    assert done.stdout.count("was left") == 4


def test_held_back_until_the_end():
    done = []
    with pytest.raises(KeyboardInterrupt):
        with interrupt.hold():
            with interrupt.hold():
                press()
                done.append(1)
            done.append(2)
    assert done == [1, 2] and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    interrupt.check()  # it is delivered once
    with interrupt.hold():
        interrupt.check()


def test_delivered_between_two_pieces():
    with pytest.raises(KeyboardInterrupt):
        with interrupt.hold():
            press()
            interrupt.check()
            raise AssertionError("not delivered")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_delivered_after_an_error():
    with pytest.raises(KeyboardInterrupt) as caught, interrupt.hold():
        press()
        raise ValueError("of the work")
    assert isinstance(caught.value.__context__, ValueError)


def test_user_code_is_interrupted_at_once():
    done = []
    with interrupt.hold():
        with pytest.raises(KeyboardInterrupt), interrupt:
            press()
            done.append("after it")
        with pytest.raises(KeyboardInterrupt), interrupt:
            with interrupt.hold():  # a simulator in a function of another one
                press()
                done.append(1)
            done.append("after the inner one")
        done.append(2)
        press()
        with pytest.raises(KeyboardInterrupt), interrupt:  # pressed before it
            done.append("in it")
    assert done == [1, 2]


def test_a_handler_of_the_user_is_called_late():
    calls = []
    handler = lambda signum, frame: calls.append((signum, frame is None))  # noqa: E731
    signal.signal(signal.SIGINT, handler)
    with interrupt.hold():
        press()
        assert calls == []
        interrupt.check()
        assert calls == [(signal.SIGINT, False)]
        press()
        with interrupt:
            assert len(calls) == 2
            press()
            assert len(calls) == 3
        press()
    assert len(calls) == 4 and signal.getsignal(signal.SIGINT) is handler


def test_ignored_signals_stay_ignored():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with interrupt.hold():
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        press()
        interrupt.check()
        with interrupt:
            press()
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def test_a_handler_that_is_set_within_stays():
    def handler(signum, frame):
        raise AssertionError("nobody pressed anything")

    with interrupt.hold(), interrupt:
        signal.signal(signal.SIGINT, handler)
    assert signal.getsignal(signal.SIGINT) is handler


def test_ours_put_back_too_late():
    with interrupt.hold(), interrupt:
        ours = signal.getsignal(signal.SIGINT)
    signal.signal(signal.SIGINT, ours)  # as one that saved and restored it
    with pytest.raises(KeyboardInterrupt):
        press()
    with pytest.raises(KeyboardInterrupt), interrupt.hold():
        press()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_other_threads_hold_nothing_back():
    inside, leave = threading.Event(), threading.Event()

    def work():
        with interrupt.hold(), interrupt:
            inside.set()
            leave.wait()

    thread = threading.Thread(target=work)
    thread.start()
    inside.wait()
    try:
        with pytest.raises(KeyboardInterrupt):
            press()
        with pytest.raises(KeyboardInterrupt), interrupt.hold():
            press()
            interrupt.check()
    finally:
        leave.set()
        thread.join()


def test_between_objects_of_a_build(Sim):
    """Nothing of it stays; the next one is built."""
    pressing, calls = False, []

    def function(x):
        calls.append(x)
        if pressing:
            press()
        return x

    with nengo.Network(seed=0) as net:
        ensembles = [nengo.Ensemble(10, 1, label=str(i)) for i in range(3)]
        for ens in ensembles:
            nengo.Connection(ens, nengo.Node(size_in=1), function=function)
    pressing = True  # when Nengo makes the Connections, it calls the function, too
    before = len(calls)
    with pytest.raises(KeyboardInterrupt):
        Sim(net)
    assert len(calls) > before + 100  # what was begun was done
    pressing = False
    Sim(net).run_steps(3)


class Press(keras.callbacks.Callback):
    """Presses Ctrl-C at the end of an epoch."""

    def __init__(self, epoch):
        super().__init__()
        self.epoch, self.left = epoch, False

    def on_epoch_end(self, epoch, logs=None):
        if epoch == self.epoch:
            press()
            self.left = True


@pytest.mark.parametrize("how", ["arrays", "dataset"])
def test_fit_keeps_whole_epochs(Sim, how):
    """It ends before the next minibatch, with the weights of those that were done."""
    import tensorflow as tf

    x, y = rows(4), rows(4, size=1)
    sim, same = of_linear(Sim), of_linear(Sim)
    for one in (sim, same):
        one.compile("adam", loss={"py": "mse"})

    def fit(one, **kwargs):
        data = (x, {"py": y})
        if how == "dataset":
            data = (tf.data.Dataset.from_tensor_slices(({"x": x}, {"py": y})).batch(2),)
        return one.fit(*data, shuffle=False, verbose=0, **kwargs)

    callback = Press(1)
    with pytest.raises(KeyboardInterrupt):
        fit(sim, epochs=5, callbacks=[callback])
    assert callback.left
    fit(same, epochs=2)
    for found, due in zip(
        sim.keras_model.get_weights(), same.keras_model.get_weights(), strict=True
    ):
        assert np.array_equal(found, due)
    assert fit(sim, epochs=2).history == fit(same, epochs=2).history
    assert sim.evaluate(x, {"py": y}, verbose=0) == same.evaluate(x, {"py": y}, verbose=0)


def test_predict_ends_between_minibatches(Sim):
    class PressFirst(keras.callbacks.Callback):
        batches = 0

        def on_predict_batch_end(self, batch, logs=None):
            self.batches += 1
            press()

    sim, x, first = of_linear(Sim), rows(8), PressFirst()
    due = sim.predict(x)
    with pytest.raises(KeyboardInterrupt):
        sim.predict(x, callbacks=[first])
    assert first.batches == 1
    found = sim.predict(x)
    assert all(np.array_equal(found[probe], due[probe]) for probe in due)


@pytest.mark.parametrize("stateful", [False, True])
def test_predict_leaves_no_trace(Sim, stateful):
    """It gave nothing: state, learned weights and processes are those before it."""
    with nengo.Network(seed=0) as net:
        noise, data = nengo.Node(nengo.processes.WhiteNoise(seed=1)), nengo.Node(size_in=0)
        ens, out = nengo.Ensemble(10, 1), nengo.Node(size_in=1)
        nengo.Connection(noise, ens)
        conn = nengo.Connection(ens, out, learning_rule_type=nengo.PES())
        nengo.Connection(noise, conn.learning_rule)
        p = nengo.Probe(out, synapse=0.01)
    x = np.zeros((3, 5, 0))

    class PressSecond(keras.callbacks.Callback):
        def on_predict_batch_begin(self, batch, logs=None):
            if batch == 1:
                press()

    sim, same = Sim(net, seed=1), Sim(net, seed=1)
    for one in (sim, same):
        one.run_steps(3)
    with pytest.raises(KeyboardInterrupt):
        sim.predict({data: x}, stateful=stateful, callbacks=[PressSecond()])
    found, due = (one.predict({data: x}, stateful=stateful)[p] for one in (sim, same))
    assert np.array_equal(found, due) and np.all(np.ptp(found, axis=1))
    for one in (sim, same):
        one.run_steps(3)
    assert np.array_equal(sim.data[p], same.data[p])
    assert np.array_equal(sim.data[conn].weights, same.data[conn].weights)


def test_predict_calls_a_handler_of_the_user(Sim):
    """And goes on if that raises nothing."""
    calls = []
    signal.signal(signal.SIGINT, lambda *args: calls.append(len(calls)))

    class PressAlways(keras.callbacks.Callback):
        def on_predict_batch_end(self, batch, logs=None):
            before = len(calls)
            press()
            assert len(calls) == before  # not yet

    sim = of_linear(Sim)
    assert len(sim.predict(rows(8), callbacks=[PressAlways()])[sim.net.py]) == 8
    assert len(calls) == 4


@pytest.mark.parametrize("method", ["run_steps", "predict"])
def test_after_the_last_row(Sim, method):
    """Ctrl-C on the way out of the functions of input Nodes, when all their rows are made."""
    with nengo.Network() as net:
        p = nengo.Probe(nengo.Node(lambda t: t))
    sim = Sim(net)
    guard = sim._runtime.turns.user_code
    leave = type(guard).__exit__

    class Interrupted(type(guard)):
        def __exit__(self, *exc_info):
            leave(self, *exc_info)
            raise KeyboardInterrupt

    guard.__class__ = Interrupted
    with pytest.raises(KeyboardInterrupt):
        sim.run_steps(5) if method == "run_steps" else sim.predict(n_steps=5)
    guard.__class__ = Interrupted.__base__
    steps = 5 if method == "run_steps" else 0
    assert sim.n_steps == steps and len(sim.data[p]) == steps
    sim.run_steps(2)
    np.testing.assert_allclose(sim.data[p][:, 0], np.arange(1, steps + 3) * 1e-3, rtol=1e-6)
