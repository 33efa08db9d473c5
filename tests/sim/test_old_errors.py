"""What a Python function raised in one call is not raised by another one, nor hides its errors."""

import time

import keras
import nengo
import numpy as np
import pytest
import tensorflow as tf
from nengo.exceptions import SimulationError

from nengo_dl.run import runtime

STEPS = 5
ROWS = np.zeros((1, STEPS, 1), np.float32)


class Function:
    """Of a Node: it fails if it is told to, and takes its time otherwise."""

    fails = None

    def __call__(self, t, x):
        if self.fails is not None:
            raise self.fails
        time.sleep(0.002)
        return x


def build(Sim):
    """A simulator with such a function, and a weight to train."""
    function = Function()
    with nengo.Network(seed=0) as net:
        u, out = nengo.Node([0.0]), nengo.Node(size_in=1)
        node = nengo.Node(function, size_in=1)
        nengo.Connection(u, node, synapse=None)
        nengo.Connection(u, out, transform=2.0, synapse=None)
        nengo.Probe(node)
        nengo.Probe(out, label="out")
    sim = Sim(net)
    sim.compile("sgd", loss={"out": "mse"})
    return sim, function


def inputs():
    return [tf.constant(ROWS), tf.fill((1, 1), STEPS)]


def call(sim):
    """The Keras model, eagerly."""
    sim.keras_model(inputs())


def predict(sim):
    """Keras' own method."""
    sim.keras_model.predict(inputs(), verbose=0)


def fail(sim, function, how, error):
    """Let a call of the Keras model fail, of which the simulator is told nothing."""
    function.fails = error
    with pytest.raises(tf.errors.UnknownError, match=type(error).__name__):
        how(sim)
    function.fails = None


@pytest.mark.parametrize("error", [ZeroDivisionError("old"), KeyboardInterrupt()], ids=["", "^C"])
@pytest.mark.parametrize("how", [call, predict])
def test_a_run_that_is_fine(Sim, monkeypatch, how, error):
    """Though it is cut into pieces by the time they take."""
    monkeypatch.setattr(runtime, "TIME_LIMIT", 0.001)
    sim, function = build(Sim)
    fail(sim, function, how, error)
    sim.run_steps(STEPS)
    assert sim.n_steps == STEPS


@pytest.mark.parametrize("within", [False, True])
def test_errors_of_keras_callbacks(Sim, within):
    """They are raised, whatever failed before or, if that was caught, meanwhile."""
    sim, function = build(Sim)

    class Broken(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if within:
                fail(sim, function, call, ZeroDivisionError("old"))
            raise ValueError("the callback's own")

    if not within:
        fail(sim, function, call, ZeroDivisionError("old"))
    with pytest.raises(ValueError, match="the callback's own"):
        sim.fit(ROWS, {"out": ROWS}, verbose=0, callbacks=[Broken()])


@pytest.mark.parametrize("method", ["run_steps", "predict", "fit"])
def test_the_newest_error(Sim, method):
    """Of two of a kind."""
    sim, function = build(Sim)
    fail(sim, function, call, ZeroDivisionError("old"))
    function.fails = ZeroDivisionError("new")
    calls = {
        "run_steps": lambda: sim.run_steps(STEPS, data=ROWS),
        "predict": lambda: sim.predict(ROWS),
        "fit": lambda: sim.fit(ROWS, {"out": ROWS}, verbose=0),
    }
    with pytest.raises(SimulationError, match="ZeroDivisionError: new") as e:
        calls[method]()
    assert e.value.__cause__ is function.fails
