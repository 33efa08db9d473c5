"""Runs within TensorFlow's control flow, differentiated within the function or from outside."""

import gc
import resource
from pathlib import Path

import keras
import nengo
import numpy as np
import pytest
import tensorflow as tf
from gradient_networks import filter_layer, same

import nengo_dl

STEPS = 7


def repeated(run, u):
    """A `tf.while_loop` around runs, each of which gets what the last one gave."""
    return tf.while_loop(lambda i, _: i < 3, lambda i, u: (i + 1, run(u)), (0, u))[1]


def chosen(run, u):
    """A run in a branch of a `tf.cond`, and none in the other one."""
    return tf.cond(tf.reduce_sum(u) > -1e9, lambda: run(u), lambda: u)


def nested(run, u):
    """Branches in a loop, which run in some of its turns."""

    def turn(i, u):
        return i + 1, tf.cond(i % 2 == 0, lambda: run(u), lambda: 2 * u)

    return tf.while_loop(lambda i, _: i < 4, turn, (0, u))[1]


def plain(run, u):
    """No control flow."""
    return run(u)


class Cell(keras.layers.Layer):
    """A step of it is a run of several."""

    state_size = output_size = STEPS * 2

    def __init__(self, run):
        super().__init__(dtype="float64")
        self.run = run

    def call(self, x, states):
        """What comes in and the state before are run."""
        after = self.run(tf.reshape(x + states[0], (-1, STEPS, 2)))
        return x, [tf.reshape(after, (-1, STEPS * 2))]


def recurrent_layer(run, u):
    """A Keras RNN."""
    rows = tf.reshape(tf.stack([u, 2 * u], axis=1), (-1, 2, STEPS * 2))
    return keras.layers.RNN(Cell(run), return_state=True, dtype="float64")(rows)[1]


def gradients(layer, inside, flow, record):
    """Derivatives by the input and the weights, of a tape inside of the function or outside."""
    u = tf.constant(np.random.RandomState(0).randn(3, STEPS, 2))
    n_steps = tf.fill((3, 1), STEPS)
    wanted = [u, *layer.trainable_weights]

    def loss():
        return tf.reduce_sum(flow(lambda u: layer([u, n_steps], training=record)[0], u) ** 2)

    def differentiated(function):
        with tf.GradientTape() as tape:
            tape.watch(u)
            value = function()
        return tape.gradient(value, wanted)

    if inside:
        return tf.function(lambda: differentiated(loss), autograph=False)()
    return differentiated(tf.function(loss, autograph=False))


@pytest.mark.parametrize("record", [True, False])
@pytest.mark.parametrize("flow", [plain, repeated, chosen, nested, recurrent_layer])
def test_a_gradient_tape_outside_of_the_function(flow, record):
    """The same gradients as of one inside; what a run recorded reaches its gradient."""
    layer = filter_layer()
    due = gradients(layer, True, flow, record)
    assert all(np.any(value.numpy()) for value in due[:2])
    same(gradients(layer, False, flow, record), due)


@pytest.mark.parametrize("persistent", [False, True])
def test_a_model_with_a_loop_through_tensorflow(persistent):
    """A plan with a loop of TensorFlow, whose gradient is asked for from outside, or twice."""
    with nengo.Network(seed=0) as net:
        a = nengo.Node([1, 2])
        node = nengo_dl.Layer(keras.layers.Dense(2, kernel_initializer="ones"))(a)
        nengo.Connection(node, node, synapse=0.01, transform=0.5)
        nengo.Connection(nengo.Ensemble(10, 2, neuron_type=nengo.Tanh()), node)
        nengo.Probe(node, label="probe")
    with nengo_dl.Simulator(net, progress_bar=False) as sim:
        model = sim.keras_model
        x = [np.ones((1, 5, 2), np.float32), np.full((1, 1), 5, np.int32)]

        def loss():
            return tf.reduce_sum(model(x, training=True)["probe"] ** 2)

        def differentiated(function):
            with tf.GradientTape(persistent=persistent) as tape:
                value = function()
            first = tape.gradient(value, model.trainable_variables)
            return tape.gradient(value, model.trainable_variables) if persistent else first

        due = tf.function(lambda: differentiated(loss))()
        got = differentiated(tf.function(loss))
    same(got, due, rtol=1e-5)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="there is no /proc here")
def test_tapes_of_a_loop_go_with_their_gradient():
    """Nothing keeps them: memory does not grow by a tape from call to call."""
    layer, steps = filter_layer(), 100_000
    u, n_steps = tf.ones((3, steps, 2), tf.float64), tf.fill((3, 1), steps)
    run = tf.function(
        lambda: repeated(lambda u: layer([u, n_steps], training=True)[0] / 100, u), autograph=False
    )

    def resident():
        with tf.GradientTape() as tape:
            value = tf.reduce_sum(run())
        tape.gradient(value, layer.trainable_weights)
        del tape
        gc.collect()
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

    for _ in range(3):
        before = resident()
    for _ in range(10):
        after = resident()
    assert after - before < 3 * u.numpy().nbytes  # a tape of each turn
