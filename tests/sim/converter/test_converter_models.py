"""Whole models, converted."""

from collections import Counter

import keras
import nengo
import numpy as np
import pytest
import tensorflow as tf
from layer_cases import random_inputs, with_random_weights

import nengo_dl

L = keras.layers


def outputs(converter, model, inputs):
    """What both give, (items, size)."""
    items = len(inputs[0])
    feed = {
        converter.inputs[tensor]: values.reshape(items, 1, -1)
        for tensor, values in zip(model.inputs, inputs, strict=True)
    }
    with nengo_dl.Simulator(converter.net, minibatch_size=items, progress_bar=False) as sim:
        found = sim.predict(feed)[converter.outputs[model.outputs[0]]][:, 0]
    return found, np.reshape(model.predict(inputs, verbose=0), found.shape)


@pytest.mark.filterwarnings("ignore:.*becomes a TensorNode")
def test_a_model_of_keras():
    keras.utils.set_random_seed(0)
    model = keras.applications.MobileNetV2((32, 32, 3), weights=None, classes=10)
    (inputs,) = random_inputs(model, items=64)
    for layer in model.layers:
        if isinstance(layer, L.BatchNormalization):
            layer.momentum = 0.0
    model(inputs, training=True)  # batch normalisation has the statistics of these
    converter = nengo_dl.Converter(model, inference_only=True)
    statuses = Counter(entry.status for entry in converter.report())
    assert statuses["native"] >= 150 and statuses["approximate"] == 0
    found, expected = outputs(converter, model, [inputs[:4]])
    assert np.ptp(expected, axis=0).max() > 1e-2  # it depends on the input
    np.testing.assert_allclose(found, expected, atol=1e-4)


def transformer_encoder(blocks=2, length=6, width=8):
    x = y = keras.Input((length, width))
    for _ in range(blocks):
        attended = L.MultiHeadAttention(2, 4, dropout=0.1)(y, y)
        y = L.LayerNormalization()(L.Add()([y, L.Dropout(0.1)(attended)]))
        hidden = L.Dense(2 * width, activation="gelu")(y)
        y = L.LayerNormalization()(y + L.Dense(width)(hidden))
    return with_random_weights(keras.Model(x, L.Dense(3)(L.GlobalAveragePooling1D()(y))))


@pytest.mark.filterwarnings("ignore:.*(F|f)alling back to a? ?TensorNode")
@pytest.mark.parametrize("inference_only", [False, True])
def test_transformer_encoder(inference_only):
    model = transformer_encoder()
    converter = nengo_dl.Converter(model, inference_only=inference_only)
    found, expected = outputs(converter, model, random_inputs(model))
    assert np.ptp(expected, axis=0).max() > 1e-3
    np.testing.assert_allclose(found, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.filterwarnings("ignore:.*(F|f)alling back to a? ?TensorNode")
def test_text_model():
    x = keras.Input((7,), dtype="int32")
    y = L.Bidirectional(L.LSTM(4, return_sequences=True))(L.Embedding(11, 3)(x))
    y = L.Dense(3, activation="softmax")(L.GRU(5)(L.SpatialDropout1D(0.2)(y)))
    model = with_random_weights(keras.Model(x, y))
    converter = nengo_dl.Converter(model)
    inputs = [np.random.RandomState(0).randint(11, size=(3, 7))]
    found, expected = outputs(converter, model, inputs)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_residual_network():
    """Nothing falls back, in training either."""
    x = keras.Input((6, 6, 3))
    y = z = L.Conv2D(4, 3, padding="same", activation="relu")(x)
    y = L.SeparableConv2D(4, 3, padding="same", activation="relu")(y)
    y = L.Add()([z, y])
    y = L.AveragePooling2D(3, strides=2, padding="same")(y)
    y = L.Concatenate()([y, L.DepthwiseConv2D(2, padding="same")(y)])
    y = L.Dense(5, activation="sigmoid")(L.Flatten()(L.Cropping2D(1)(L.ZeroPadding2D(2)(y))))
    model = with_random_weights(keras.Model(x, L.Subtract()([L.Dense(2)(y), L.Dense(2)(y)])))
    converter = nengo_dl.Converter(model, allow_fallback=False)
    assert converter.verify(inputs=random_inputs(model), atol=1e-5)
    assert converter.verify(training=True, inputs=random_inputs(model), atol=1e-4, rtol=1e-3)


def input_gradients(converter, model, x, weights):
    """Derivatives of the weighted sum of outputs by the inputs, here and in Keras."""
    rows = tf.constant(x.reshape(len(x), 1, -1))
    with nengo_dl.Simulator(converter.net, minibatch_size=len(x), progress_bar=False) as sim:
        with tf.GradientTape() as tape:
            tape.watch(rows)
            out = sim.keras_model([rows, tf.ones((len(x), 1), tf.int32)], training=True)
            out = out[sim.get_name(converter.outputs[model.output])]
            loss = tf.reduce_sum(tf.reshape(out, weights.shape) * weights)
        found = tape.gradient(loss, rows)
    image = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(image)
        loss = tf.reduce_sum(model(image, training=True) * weights)
    return found.numpy().reshape(x.shape), tape.gradient(loss, image).numpy()


def test_a_network_with_max_pooling():
    """K-08: no call of TensorFlow or Python is left; values and gradients are those of Keras."""
    x = keras.Input((9, 9, 3))
    keras.utils.set_random_seed(0)
    y = L.Conv2D(8, 3, activation="relu", use_bias=False)(x)
    y = L.MaxPooling2D(2)(L.MaxPooling2D(3, strides=2, padding="same")(y))
    y = L.GlobalMaxPooling2D()(L.Conv2D(6, 2, activation="relu", use_bias=False)(y))
    model = keras.Model(x, L.Dense(3, use_bias=False)(y))
    converter = nengo_dl.Converter(model, allow_fallback=False)
    assert all(entry.status == "native" for entry in converter.report())
    inputs = random_inputs(model, items=4)
    assert converter.verify(inputs=inputs, atol=1e-5)
    assert converter.verify(training=True, inputs=inputs, atol=1e-5, rtol=1e-4)
    weights = np.random.RandomState(1).normal(size=(4, 3)).astype(np.float32)
    found, expected = input_gradients(converter, model, inputs[0], weights)
    assert np.count_nonzero(expected) > 100
    np.testing.assert_allclose(found, expected, atol=1e-4)
    with nengo_dl.Simulator(converter.net, progress_bar=False) as sim:
        assert not sim.plan.callbacks and not sim.plan.calls
        ops = [op for region in sim.plan.only_program().regions for op in region.ops]
    assert sum(op.kind == "max_pool" for op in ops) == 3


@pytest.mark.parametrize(
    "layer, shape",
    [
        (L.MaxPooling1D(3, strides=2), (9, 2)),
        (L.MaxPooling2D(2), (6, 6, 2)),
        (L.MaxPooling2D(3, strides=1, padding="same"), (5, 4, 2)),
        (L.MaxPooling3D(2), (4, 4, 4, 2)),
        (L.GlobalMaxPooling1D(), (9, 2)),
        (L.GlobalMaxPooling2D(), (4, 4, 2)),
        (L.GlobalMaxPooling3D(), (2, 3, 2, 2)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_equal_values_share_the_gradient_as_in_keras(layer, shape):
    """K-08. In three dimensions as by XLA; TensorFlow's own code counts it for each of them."""
    x = keras.Input(shape)
    model = keras.Model(x, layer(x))
    data = np.random.RandomState(0).randint(-2, 1, size=(3, *shape)).astype(np.float32)
    weights = np.random.RandomState(1).normal(size=(3, *model.output.shape[1:]))
    converter = nengo_dl.Converter(model, allow_fallback=False)
    found, expected = input_gradients(converter, model, data, weights.astype(np.float32))
    if isinstance(layer, L.MaxPooling3D):

        @tf.function(jit_compile=True)
        def gradient(image):
            return tf.gradients(tf.reduce_sum(layer(image) * weights), image)[0]

        assert not np.allclose(found, expected)
        expected = gradient(tf.constant(data)).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-7)


def test_max_pooling_of_spikes():
    """K-08: as in Nengo, where the function of the Node is called in each step."""
    x = keras.Input((6, 6, 1))
    y = L.MaxPooling2D(2)(L.Conv2D(4, 3, activation="relu")(x))
    model = with_random_weights(keras.Model(x, L.Dense(2)(L.Flatten()(y))))
    model.set_weights([np.abs(weight) for weight in model.get_weights()])
    converter = nengo_dl.Converter(
        model,
        swap_activations={keras.activations.relu: nengo.SpikingRectifiedLinear()},
        scale_firing_rates=50,
    )
    converter.net.seed = 0  # of the first voltages
    with converter.net:
        pooled = nengo.Probe(converter.layers[y])
        converter.net.nodes[0].output = np.random.RandomState(0).uniform(0, 1, 36)
        nengo_dl.configure_settings(dtype="float64")
    with nengo.Simulator(converter.net, progress_bar=False) as sim:
        sim.run_steps(50)
        expected = sim.data[pooled]
    assert 0.1 < np.mean(expected > 0) < 0.9
    with nengo_dl.Simulator(converter.net, progress_bar=False) as sim:
        sim.run_steps(50)
        np.testing.assert_allclose(sim.data[pooled], expected)


def test_trained_parameters_go_to_a_spiking_network(tmp_path):
    """D-03: train the converted network, save, and run it with spikes."""
    keras.utils.set_random_seed(0)
    x = keras.Input((6, 6, 1))
    y = L.Conv2D(4, 3, activation=tf.nn.relu)(x)
    model = keras.Model(x, L.Dense(2)(L.Flatten()(y)))
    rng = np.random.RandomState(0)
    classes = rng.randint(2, size=200)
    images = rng.uniform(0, 1, (200, 1, 36)).astype(np.float32)
    images[:, 0, :18] += 0.5 * classes[:, None]  # the upper half is brighter
    converter = nengo_dl.Converter(model)
    with nengo_dl.Simulator(converter.net, minibatch_size=20, seed=0, progress_bar=False) as sim:
        sim.compile(
            keras.optimizers.Adam(0.02),
            loss={
                converter.outputs[model.output]: keras.losses.SparseCategoricalCrossentropy(
                    from_logits=True
                )
            },
        )
        sim.fit(
            {converter.inputs[x]: images},
            {converter.outputs[model.output]: classes[:, None, None]},
            epochs=15,
            verbose=0,
        )
        trained = sim.predict(images)[converter.outputs[model.output]][:, 0].argmax(axis=1)
        sim.save_params(str(tmp_path / "trained"))
    spiking = nengo_dl.Converter(
        model,
        swap_activations={tf.nn.relu: nengo.SpikingRectifiedLinear()},
        scale_firing_rates=200,
        synapse=0.005,
    )
    with nengo_dl.Simulator(spiking.net, minibatch_size=20, progress_bar=False) as sim:
        sim.load_params(str(tmp_path / "trained"))
        found = sim.predict(np.tile(images, (1, 60, 1)))[spiking.outputs[model.output]]
    assert np.mean(trained == classes) > 0.9
    assert np.mean(found[:, 30:].mean(axis=1).argmax(axis=1) == trained) > 0.95
