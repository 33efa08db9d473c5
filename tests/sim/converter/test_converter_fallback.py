"""What has no native form, and operations that are no layers, run in TensorNodes (K-17, K-18)."""

import keras
import nengo
import numpy as np
import pytest
from layer_cases import random_inputs, with_random_weights
from nengo.exceptions import ValidationError

import nengo_dl

L = keras.layers
ROW = (5, 4)

ONE = {
    "Softmax": lambda x: L.Softmax()(x),
    "LayerNormalization": lambda x: L.LayerNormalization()(x),
    "Dropout": lambda x: L.Dropout(0.5)(x),
    "Lambda": lambda x: L.Lambda(lambda y: y**2)(x),
    "BatchNormalization": lambda x: L.BatchNormalization()(x),
    "ELU": lambda x: L.ELU()(x),
    "threshold": lambda x: L.ReLU(threshold=0.5)(x),
    "dilated": lambda x: L.Conv1D(3, 2, dilation_rate=2)(x),
    "causal": lambda x: L.Conv1D(3, 2, padding="causal")(x),
    "Conv1DTranspose": lambda x: L.Conv1DTranspose(2, 3)(x),
    "SimpleRNN": lambda x: L.SimpleRNN(3)(x),
    "GRU": lambda x: L.GRU(3, return_sequences=True)(x),
    "LSTM": lambda x: L.LSTM(3)(x),
    "Bidirectional": lambda x: L.Bidirectional(L.LSTM(2))(x),
    "self-attention": lambda x: L.MultiHeadAttention(2, 3)(x, x),
    "x * 2": lambda x: x * 2,
    "3 - x": lambda x: 3.0 - x,
    "x + 1 reshaped": lambda x: keras.ops.reshape(x + 1, (-1, 20)),
    "mean": lambda x: keras.ops.mean(x, axis=1, keepdims=True),
}
TWO = {
    "Multiply": lambda x, y: L.Multiply()([x, y]),
    "Maximum": lambda x, y: L.Maximum()([x, y]),
    "Dot": lambda x, y: L.Dot(axes=(1, 1))([x, y]),
    "MultiHeadAttention": lambda x, y: L.MultiHeadAttention(2, 3)(x, value=y),
    "x + y": lambda x, y: x + keras.ops.exp(y),
    "initial state": lambda x, y: L.GRU(4)(x, initial_state=y[:, 0]),
}


def model_of(make, n_inputs):
    inputs = [keras.Input(ROW) for _ in range(n_inputs)]
    return with_random_weights(keras.Model(inputs, make(*inputs)))


def assert_falls_back(model, **options):
    with pytest.warns(UserWarning, match="becomes a TensorNode"):
        converter = nengo_dl.Converter(model, **options)
    assert converter.verify(inputs=random_inputs(model), atol=1e-5)
    entries = [entry for entry in converter.report() if entry.status == "fallback"]
    assert entries and all("TensorNode" in entry.became and entry.why for entry in entries)
    return converter


@pytest.mark.parametrize("make", ONE.values(), ids=ONE)
def test_one_input(make):
    """K-17."""
    model = model_of(make, 1)
    assert_falls_back(model)
    with pytest.raises(TypeError, match="allow_fallback=True makes a TensorNode"):
        nengo_dl.Converter(model, allow_fallback=False)


@pytest.mark.parametrize("make", TWO.values(), ids=TWO)
def test_two_inputs(make):
    """K-18."""
    assert_falls_back(model_of(make, 2))


def test_the_layer_itself_is_in_the_node():
    layer = L.LayerNormalization()
    converter = assert_falls_back(model_of(layer, 1))
    node = converter.layers[layer]
    assert isinstance(node, nengo_dl.TensorNode) and node.tensor_func is layer
    assert node.shape_in == node.shape_out == ROW and node.label == layer.name


def test_several_outputs():
    """K-18."""
    x = keras.Input(ROW)
    layer = L.LSTM(3, return_state=True)
    model = with_random_weights(keras.Model(x, layer(x)))
    converter = assert_falls_back(model)
    assert [obj.size_out for obj in converter.layers[layer]] == [3, 3, 3]
    assert converter.layers[model.outputs[1]].size_out == 3


def test_weights_are_the_layers():
    x, y = keras.Input(ROW), keras.Input(ROW)
    attention, dense = L.MultiHeadAttention(1, 2), L.Dense(2, kernel_regularizer="l2")
    model = with_random_weights(keras.Model([x, y], dense(attention(x, y))))
    converter = assert_falls_back(model)
    inputs = random_inputs(model)
    feed = {node: v.reshape(3, 1, -1) for node, v in zip(converter.net.nodes, inputs, strict=False)}
    with nengo_dl.Simulator(converter.net, minibatch_size=3, progress_bar=False) as sim:
        ours = {id(weight) for weight in sim.keras_model.weights}
        assert {id(weight) for weight in (*attention.weights, *dense.weights)} <= ours
        with_random_weights(model, seed=1)
        found = sim.predict(feed)[converter.outputs[model.output]]
    expected = model.predict(inputs, verbose=0).reshape(3, 1, -1)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_calls_of_one_layer_share_its_weights():
    """K-25: fallbacks may be repeated."""
    x, y = keras.Input(ROW), keras.Input(ROW)
    shared = L.LSTM(4, return_sequences=True)
    model = with_random_weights(keras.Model([x, y], L.Add()([shared(x), shared(shared(y))])))
    converter = assert_falls_back(model)
    with nengo_dl.Simulator(converter.net, progress_bar=False) as sim:
        assert sum(w.shape == (4, 16) for w in sim.keras_model.trainable_weights) == 2
    with pytest.raises(KeyError, match="called several times"):
        converter.layers[shared]


TRAINED = {
    **{name: ONE[name] for name in ("LayerNormalization", "LSTM", "self-attention", "x * 2")},
    "regularised": lambda x: L.Dense(3, kernel_regularizer=keras.regularizers.L2(0.1))(x),
    "after others": lambda x: L.GRU(2)(L.Dense(4, activation="relu")(x)),
    "elu": lambda x: L.Dense(4, activation="elu")(x),
}


@pytest.mark.parametrize("make", TRAINED.values(), ids=TRAINED)
def test_training(make):
    """K-27, with what falls back."""
    model = model_of(make, 1)
    with pytest.warns(UserWarning, match="a TensorNode"):
        converter = nengo_dl.Converter(model)
    inputs = random_inputs(model)
    assert converter.verify(training=True, inputs=inputs, atol=1e-5, rtol=1e-4)
    assert converter.verify(inputs=inputs, atol=1e-5)


@pytest.mark.parametrize("shape", [(3,), ROW])
def test_activation_functions_without_neurons(shape):
    """K-20: the function alone runs in a TensorNode; weights and biases are native."""
    x = keras.Input(shape)
    model = with_random_weights(keras.Model(x, L.Dense(3, activation="softmax")(x)))
    with pytest.warns(UserWarning, match="has no neuron type: a TensorNode calls it"):
        converter = nengo_dl.Converter(model)
    assert converter.verify(inputs=random_inputs(model), atol=1e-5)
    node = converter.layers[model.layers[-1]]
    assert node.tensor_func is keras.activations.softmax
    assert any(
        isinstance(conn.transform, nengo.transforms.Dense) for conn in converter.net.connections
    )
    assert converter.report()[-1].status == "fallback"
    with pytest.raises(TypeError, match="Unsupported activation type"):
        nengo_dl.Converter(model, allow_fallback=False)


@pytest.mark.parametrize("arg", ["kernel_regularizer", "bias_regularizer", "activity_regularizer"])
@pytest.mark.parametrize("make", [L.Dense, lambda n, **kw: L.Conv1D(n, 2, **kw)])
def test_regularisers(arg, make):
    """K-19."""
    layer = make(3, **{arg: "l2"})
    with pytest.warns(UserWarning, match=r"not supported \(unless inference_only=True\)"):
        converter = nengo_dl.Converter(model_of(layer, 1))
    assert converter.layers[layer].tensor_func is layer


class Rounded(L.Layer):
    """Says its shape, but not that it gives integers."""

    def compute_output_shape(self, shape):
        return shape

    def call(self, x):
        return keras.ops.cast(keras.ops.round(9 * x), "int32")


INTEGERS = {
    "Discretization": lambda x: L.Discretization([0.0])(x),
    "Hashing": lambda x: L.Hashing(5)(L.Discretization([0.0])(x)),
    "and an Embedding": lambda x: L.Embedding(3, 2)(L.Discretization([0.0])(x)),
    "Lambda": lambda x: L.Lambda(lambda y: y > 0)(x),
    "Rounded": lambda x: Rounded()(x),
    "argmax": lambda x: keras.ops.argmax(x, axis=-1),
    "activation": lambda x: L.Dense(3, activation=lambda y: y > 0)(x),
    "integer activation": lambda x: L.Activation(lambda y: keras.ops.cast(y * 9, "int32"))(x),
}


@pytest.mark.filterwarnings("ignore:.*TensorNode")
@pytest.mark.parametrize("make", INTEGERS.values(), ids=INTEGERS)
def test_integers_and_bools(make):
    """K-17, K-20: they are numbers of the simulator's precision."""
    model = model_of(make, 1)
    assert nengo_dl.Converter(model).verify(inputs=random_inputs(model))


def test_masks_are_refused():
    """K-17."""
    x = keras.Input(ROW)
    model = keras.Model(x, L.LSTM(2)(L.Masking()(x)))
    with pytest.raises(TypeError, match="passes a mask on"), pytest.warns(UserWarning):
        nengo_dl.Converter(model)


def test_what_does_not_keep_the_batch_is_refused():
    x = keras.Input(ROW)
    model = keras.Model(x, keras.ops.sum(x, axis=0, keepdims=True))
    with (
        pytest.raises(ValidationError, match="expected an output whose shape begins with"),
        pytest.warns(UserWarning),
    ):
        nengo_dl.Converter(model)


def test_embedding():
    x = keras.Input((3,), dtype="int32")
    model = with_random_weights(keras.Model(x, L.Embedding(5, 2)(x)))
    with pytest.warns(UserWarning, match="becomes a TensorNode"):
        converter = nengo_dl.Converter(model)
    assert converter.verify(inputs=np.array([[0, 4, 2], [1, 1, 3]]))


def test_inner_models_of_unknown_input_shape():
    """Such a model runs as a whole."""
    x = keras.Input((None, 4))
    inner = keras.Model(x, L.GlobalAveragePooling1D()(L.Conv1D(3, 2)(x)))
    converter = assert_falls_back(model_of(lambda y: L.Dense(2)(inner(y)), 1))
    assert converter.layers[inner].tensor_func is inner


def test_a_layer_as_activation():
    x = keras.Input((3,))
    model = with_random_weights(keras.Model(x, L.Dense(4, activation=L.ELU())(x)))
    with pytest.warns(UserWarning, match="a TensorNode calls it"):
        converter = nengo_dl.Converter(model)
    assert converter.verify(inputs=random_inputs(model), atol=1e-5)


@pytest.mark.filterwarnings("ignore:.*does not have a `quantize` method")
@pytest.mark.parametrize("temporal", [False, True])
@pytest.mark.parametrize("mode", ["int8", "int4", "float8"])
def test_quantized_layers(mode, temporal):
    """K-17: the layer itself computes with its kernel, which is scaled, or packed, integers."""
    x = keras.Input((3, 8) if temporal else (8,))
    y = L.Dense(6, activation="relu")(x)
    inner = keras.Sequential([keras.Input((6,)), L.Dense(4, activation="tanh")])
    model = keras.Model(x, y if temporal else inner(y))
    with_random_weights(model).quantize(mode)
    with pytest.warns(UserWarning, match=f"is quantized .{mode}., which has no native form"):
        converter = nengo_dl.Converter(model, temporal_model=temporal)
    inputs = [np.random.RandomState(0).normal(size=(3, *x.shape[1:]))]
    assert converter.verify(inputs=inputs, atol=1e-5)
    with nengo_dl.Simulator(converter.net, progress_bar=False) as sim:
        trained = sum(int(np.prod(w.shape)) for w in sim.keras_model.trainable_weights)
    assert trained == sum(int(np.prod(w.shape)) for w in model.trainable_weights)
    with pytest.raises(TypeError, match="is quantized .* allow_fallback=True makes a TensorNode"):
        nengo_dl.Converter(model, temporal_model=temporal, allow_fallback=False)
