"""Layers of temporal models that run in TensorNodes get one step at a time: which may (K-12)."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from layer_cases import random_inputs, with_random_weights

import nengo_dl

L = keras.layers
ops = keras.ops
pytestmark = pytest.mark.filterwarnings("ignore:.*becomes a TensorNode", "ignore:.*has no neuron")


class Lag(L.Layer):
    """The difference of a step and the one before."""

    def call(self, x):
        return x - ops.roll(x, 1, axis=1)


class Count(L.Layer):
    """Counts its calls."""

    def build(self, shape):
        self.calls = self.add_weight(shape=(), initializer="zeros", trainable=False)

    def call(self, x):
        self.calls.assign_add(1)
        return x + self.calls


class Noise(L.Layer):
    """Other numbers each time."""

    def call(self, x):
        return x + tf.random.normal(tf.shape(x))


class WithNormalisation(L.Layer):
    """Has a layer inside that takes means over items and steps in training."""

    def build(self, shape):
        self.inner = L.BatchNormalization()
        self.inner.build(shape)

    def call(self, x, training=None):
        return self.inner(x, training=training)


MIXES = {
    "GroupNormalization": L.GroupNormalization(3),
    "UnitNormalization": L.UnitNormalization(axis=1),
    "LayerNormalization": L.LayerNormalization(axis=1),
    "Softmax": L.Softmax(axis=1),
    "reversed": lambda x: x[:, ::-1],
    "cumsum": lambda x: ops.cumsum(x, axis=1),
    "flip": lambda x: ops.flip(x, axis=1),
    "roll": lambda x: ops.roll(x, 1, axis=1),
    "Lambda": L.Lambda(lambda v: v - v[:, :1]),
    "only large ones": L.Lambda(lambda v: ops.where(v > 30, v - v[:, :1], v)),
    "Lag": Lag(),
    "activation": L.Dense(3, activation=lambda v: v - ops.mean(v, axis=1, keepdims=True)),
    "Reshape to parts": L.Reshape((-1, 2)),
    "Reshape to several": L.Reshape((-1, 12)),
    "activation alone": L.Activation(lambda v: ops.softmax(v, axis=1)),
}
RESHAPED = {name: layer for name, layer in MIXES.items() if name.startswith("Reshape")}
KEEPS = {
    "Reshape": L.Reshape((-1, 2, 3)),
    "GroupNormalization": L.TimeDistributed(L.GroupNormalization(3)),
    "UnitNormalization": L.UnitNormalization(),
    "LayerNormalization": L.LayerNormalization(),
    "Softmax": L.Softmax(),
    "Softmax(axis=2)": L.Softmax(axis=2),
    "cumsum": lambda x: ops.cumsum(x, axis=2),
    "log": lambda x: ops.log(ops.abs(x)),
    "two inputs": lambda x: x * L.Dense(1)(x),
    "Lambda": L.Lambda(lambda v: v**2),
    "Dropout": L.Dropout(0.5),
    "noise": L.Dropout(0.5, noise_shape=(None, None, 1)),
    "BatchNormalization": L.BatchNormalization(trainable=False),
    "BatchNormalization of each": L.TimeDistributed(L.BatchNormalization()),
    "activation": L.Dense(3, activation="softmax"),
    "cell": L.SimpleRNN(3, activation=lambda v: ops.softmax(v, axis=1), return_sequences=True),
}


def model_of(layer, steps):
    x = keras.Input((steps, 6))
    return with_random_weights(keras.Model(x, layer(x)))


@pytest.mark.parametrize("layer", MIXES.values(), ids=MIXES)
def test_layers_that_combine_steps_are_refused(layer):
    """K-12."""
    model = model_of(layer, 4)
    with pytest.raises(TypeError, match="would combine (or split )?steps of a temporal model"):
        nengo_dl.Converter(model, temporal_model=True)


@pytest.mark.parametrize("layer", RESHAPED.values(), ids=RESHAPED)
def test_reshaped_steps_of_any_number(layer):
    """K-12: the number of steps is open before and after."""
    model = model_of(layer, None)
    with pytest.raises(TypeError, match="would combine or split steps .* in .None, None, 6., got"):
        nengo_dl.Converter(model, temporal_model=True)


@pytest.mark.parametrize("steps", [None, 4])
@pytest.mark.parametrize("layer", KEEPS.values(), ids=KEEPS)
def test_layers_that_do_not(layer, steps, recwarn):
    model = model_of(layer, steps)
    converter = nengo_dl.Converter(model, temporal_model=True)
    inputs = [values if steps is None else values[:, :steps] for values in random_inputs(model)]
    assert converter.verify(inputs=inputs, atol=1e-5)
    assert not [w for w in recwarn if "could not be tried" in str(w.message)]


def test_embedding():
    x = keras.Input((None,), dtype="int32")
    model = with_random_weights(keras.Model(x, L.Embedding(5, 2)(x)))
    converter = nengo_dl.Converter(model, temporal_model=True)
    assert converter.verify(inputs=np.array([[0, 4, 2], [1, 1, 3]]))


@pytest.mark.parametrize(
    "layer", [Noise(), L.Lambda(lambda v: v * np.nan), L.Lambda(lambda v: 1 / 0)]
)
def test_layers_that_can_not_be_tried(layer):
    x = keras.Input((4, 6))
    if isinstance(layer, L.Lambda):
        layer._output_shape = (4, 6)
    model = keras.Model(x, layer(x))
    with pytest.warns(UserWarning, match="whether it combines steps.* could not be tried"):
        nengo_dl.Converter(model, temporal_model=True)


def test_trying_leaves_no_trace():
    layer = Count()
    model = model_of(layer, 4)
    layer.calls.assign(3)
    with pytest.warns(UserWarning, match="could not be tried .it gives other values each time"):
        nengo_dl.Converter(model, temporal_model=True)
    assert layer.calls.numpy() == 3


@pytest.mark.parametrize("inference_only", [False, True])
def test_batch_normalisation_of_steps(inference_only):
    """K-09: a scale for each step."""
    model = model_of(L.BatchNormalization(axis=1), 4)
    with pytest.raises(TypeError, match="would combine steps of a temporal model"):
        nengo_dl.Converter(model, temporal_model=True, inference_only=inference_only)


IN_TRAINING = {
    "BatchNormalization": (L.BatchNormalization, "in training a step by itself gives another"),
    "within a layer": (WithNormalisation, "in training a step by itself gives another"),
    "SpatialDropout1D": (lambda: L.SpatialDropout1D(0.5), "the same noise"),
    "noise_shape": (lambda: L.Dropout(0.5, noise_shape=(None, 1, 6)), "the same noise"),
    "noise_shape of steps": (lambda: L.AlphaDropout(0.5, noise_shape=(3, 4, 6)), "the same noise"),
}


@pytest.mark.parametrize("make, text", IN_TRAINING.values(), ids=IN_TRAINING)
def test_layers_that_combine_steps_in_training(make, text):
    """K-09, K-17: of statistics over items and steps, or noise of all steps."""
    model = model_of(make(), 4)
    with pytest.raises(TypeError, match=f"would combine steps.*{text}.* or set inference_only"):
        nengo_dl.Converter(model, temporal_model=True)
    inputs = [values[:, :4] for values in random_inputs(model)]
    converter = nengo_dl.Converter(model, temporal_model=True, inference_only=True)
    assert converter.verify(inputs=inputs, atol=1e-5)


def test_noise_that_is_drawn_for_each_step():
    """K-17: of channels that are the steps."""
    x = keras.Input((4, 3, 2))
    layer = L.SpatialDropout2D(0.5, data_format="channels_first")
    converter = nengo_dl.Converter(keras.Model(x, layer(x)), temporal_model=True)
    assert converter.verify()


def test_normalisation_of_each_step_is_trained_as_in_keras():
    """K-09."""
    x = keras.Input((4, 6))
    layer = L.TimeDistributed(L.BatchNormalization(momentum=0.5))
    model = with_random_weights(keras.Model(x, L.Dense(2)(layer(x))))
    converter = nengo_dl.Converter(model, temporal_model=True)
    inputs = [values[:, :4] for values in random_inputs(model)]
    assert converter.verify(training=True, inputs=inputs, atol=1e-4, rtol=1e-4)
