"""Gradients of calls of TensorFlow on all steps at once: those of one step after the other."""

import logging

import keras
import numpy as np
import pytest
import tensorflow as tf
from test_tensor_calls import BATCH, STEPS, modes, network, rows

from nengo_dl import configure_settings

OWN = "it has a gradient of its own"


@tf.custom_gradient
def spike(x):
    """A step, with a surrogate gradient."""
    return tf.cast(x > 0, x.dtype), lambda by_result: by_result / (1 + 10 * tf.abs(x)) ** 2


@tf.custom_gradient
def clipped(x):
    """Of a gradient that is too large all items get less."""
    return tf.identity(x), lambda by_result: tf.clip_by_norm(by_result, 0.1)


class Spikes(keras.layers.Layer):
    def build(self, shape):
        self.weights_in = self.add_weight(shape=(shape[-1], 3), initializer="glorot_normal")
        self.offset = self.add_weight(shape=(3,), trainable=False)

    def call(self, x):
        return spike(x @ self.weights_in + self.offset)


class Recurrent(keras.Model):
    """Something inside that Keras' own layers make a loop of TensorFlow's of."""

    def __init__(self):
        super().__init__()
        self.inner = keras.layers.GRU(4)

    def call(self, x):
        return 2 * self.inner(keras.ops.reshape(x, (-1, 2, 1)))


def masked():
    return keras.Sequential([
        keras.layers.Reshape((2, 1)), keras.layers.Masking(), keras.layers.LSTM(3),
    ])  # fmt: skip


# what is called, how its gradient comes about (None: by TensorFlow's vectorized ops)
CALLS = {
    "surrogate": (lambda: lambda x: spike(x), OWN),
    "over items": (lambda: lambda x: clipped(x), OWN),
    "passed through": (lambda: lambda x: tf.grad_pass_through(tf.round)(x), OWN),
    "of Keras": (lambda: lambda x: keras.ops.stop_gradient(x) * x, None),
    "weights": (Spikes, OWN),
    "recurrent": (Recurrent, "it can't be called for several steps at once (ValueError)"),
    "masked": (masked, None),
    "recurrent convolution": (lambda: keras.Sequential([
        keras.layers.Reshape((2, 1, 1)), keras.layers.ConvLSTM1D(2, 1),
    ]), None),
}  # fmt: skip


def loss_of(results):
    weights = tf.cast(1 + tf.range(results.shape[1]), results.dtype)
    return tf.reduce_sum(tf.sin(results) * weights[:, None])


def one_by_one(call, x, training):
    """Gradients by the input and by weights of a plain loop over steps."""
    takes = {"training": training} if isinstance(call, keras.layers.Layer) else {}
    with tf.GradientTape() as tape:
        tape.watch(x)
        found = [call(x[:, t], **takes) for t in range(x.shape[1])]
        loss = loss_of(tf.stack([tf.reshape(f, (BATCH, -1)) for f in found], axis=1))
    return tape.gradient(loss, [x, *_weights(call)])


def _weights(call):
    return [w.value for w in getattr(call, "trainable_variables", [])]


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("n_steps", [1, STEPS])
@pytest.mark.parametrize("name", CALLS)
def test_gradients_are_those_of_steps(Sim, name, n_steps, compiled):
    make, why = CALLS[name]
    call = make()
    sim = Sim(network(call, pass_time=False), minibatch_size=BATCH)
    (runner,) = sim.tensor_graph.called.calls
    assert not any(modes(sim).values())
    if why is not None:
        assert f"called on all steps at once, for gradients once per step: {why}" in str(sim.plan)
    x = tf.constant(rows()[:, :n_steps])
    model = tf.function(sim.keras_model) if compiled else sim.keras_model
    for training in (False, True):
        with tf.GradientTape() as tape:
            tape.watch(x)
            inputs = [x, tf.fill((BATCH, 1), n_steps)]
            loss = loss_of(model(inputs, training=training)["p"])
        found = tape.gradient(loss, [x, *_weights(call)])
        for got, due in zip(found, one_by_one(call, x, training), strict=True):
            np.testing.assert_allclose(got, due, rtol=1e-6, atol=1e-9)
            assert np.any(due)
    assert runner.layer is None or runner.layer is call


def test_time_and_no_input(Sim):
    """A function of time alone, with weights."""
    weight = tf.Variable(2.0, dtype=tf.float64)
    net = network(lambda t, x: spike(tf.fill((BATCH, 2), t * weight) + x))
    sim = Sim(net, minibatch_size=BATCH)
    with tf.GradientTape() as tape:
        inputs = [np.zeros((BATCH, STEPS, 2)), np.full((BATCH, 1), STEPS)]
        loss = tf.reduce_sum(sim.keras_model(inputs)["p"])
    times = 0.001 * np.arange(1, STEPS + 1)
    due = 2 * BATCH * np.sum(times / (1 + 10 * 2 * times) ** 2)
    np.testing.assert_allclose(tape.gradient(loss, weight), due, rtol=1e-6)


def test_what_is_not_trained_has_no_gradient_to_look_for(Sim):
    net = network(lambda x: spike(x), pass_time=False)
    with net:
        configure_settings(inference_only=True)
    assert OWN not in str(Sim(net).plan)


# ---------------------------------------------------------------- layers that change afterwards


def trained(Sim, layer, change):
    """Weights of a layer after a minibatch, and the loss of it."""
    keras.utils.set_random_seed(0)
    net = network(layer, pass_time=False, dtype="float32")
    sim = Sim(net, minibatch_size=BATCH)
    change(layer)
    sim.compile(keras.optimizers.SGD(0.1), loss="mse")
    history = sim.fit(rows(), {net.p: np.zeros((BATCH, STEPS, 2))}, verbose=0)
    return [history.history["loss"], *map(np.array, layer.get_weights())]


def test_a_layer_that_is_trained_later(Sim):
    """Batch normalisation changes its averages in every step, then."""

    def frozen():
        layer = keras.layers.BatchNormalization(momentum=0.5)
        layer.trainable = False
        return layer

    def train(layer):
        layer.trainable = True

    due = trained(Sim, keras.layers.BatchNormalization(momentum=0.5), train)
    for got, expected in zip(trained(Sim, frozen(), train), due, strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-5)


def test_eager_calls_of_a_layer_that_is_frozen_later(Sim):
    """What was made of it for eager calls is made anew."""

    class Switched(keras.layers.Layer):
        def call(self, x):
            return (2 if self.trainable else 3) * tf.reverse(x, [1])

    layer = Switched()
    sim = Sim(network(layer, pass_time=False), minibatch_size=BATCH)
    inputs = [rows(), np.full((BATCH, 1), STEPS)]
    for factor, layer.trainable in ((2, True), (3, False), (2, True)):
        found = sim.keras_model(inputs)["p"]
        np.testing.assert_allclose(found, factor * rows()[..., ::-1], rtol=1e-9)


def test_a_layer_that_is_regularised_later(Sim):
    def regularise(layer):
        layer.activity_regularizer = keras.regularizers.L2(1.0)

    def layer(**kwargs):
        return keras.layers.Dense(2, kernel_initializer="ones", **kwargs)

    due = trained(Sim, layer(activity_regularizer=keras.regularizers.L2(1.0)), lambda _: None)
    for got, expected in zip(trained(Sim, layer(), regularise), due, strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-5)


# ---------------------------------------------------------------- how it is made


def test_eager_calls_make_it_once(Sim):
    made = []

    def func(x):
        made.append(x)
        return x @ tf.constant([[1.0, 2], [3, 4]], x.dtype)

    sim = Sim(network(func, pass_time=False), minibatch_size=BATCH)
    inputs = [rows(), np.full((BATCH, 1), STEPS)]
    first = sim.keras_model(inputs)["p"]
    before = len(made)
    for _ in range(3):
        np.testing.assert_array_equal(sim.keras_model(inputs)["p"], first)
    assert len(made) == before
    np.testing.assert_allclose(first, rows() @ [[1, 2], [3, 4]], rtol=1e-9)


def test_no_steps(Sim):
    """Whatever is called has results of the right shape."""
    net = network(lambda x: x @ tf.ones((2, 3), x.dtype), pass_time=False)
    sim = Sim(net, minibatch_size=BATCH)
    assert sim.predict(n_steps=0)[net.p].shape == (BATCH, 0, 3)
    assert sim.predict(np.zeros((2 * BATCH, 0, 2)))[net.p].shape == (2 * BATCH, 0, 3)


def test_nothing_is_logged(Sim):
    """Where TensorFlow can't make one call of it."""
    records = []

    class Handler(logging.Handler):
        def emit(self, record):
            records.append(record)

    handler = Handler()
    tf.get_logger().addHandler(handler)
    try:
        func = lambda x: tf.image.resize(x, (1, 1))  # noqa: E731
        net = network(func, (2, 1, 1), pass_time=False, dtype="float32")
        sim = Sim(net, minibatch_size=BATCH)
    finally:
        tf.get_logger().removeHandler(handler)
    assert "can't be called for several steps" in str(sim.plan)
    assert not [r for r in records if r.levelno >= logging.ERROR]
