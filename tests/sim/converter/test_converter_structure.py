"""Models inside of models, names of things, and what the converter says of them (K-01 to K-29)."""

import keras
import nengo
import numpy as np
import pytest
from layer_cases import random_inputs, with_random_weights

import nengo_dl
from nengo_dl.benchmarks.legendre import LMUCell
from nengo_dl.converter import Converter, LayerConverter

L = keras.layers


def two_ends():
    x, y = keras.Input((3,), name="x"), keras.Input((2,), name="y")
    a = L.Dense(4, activation="relu", name="a")(x)
    b = L.Dense(4, name="b")(y)
    out = L.Concatenate(name="out")([a, b])
    return with_random_weights(keras.Model([x, y], [out, a, out], name="ends"))


def test_inputs_outputs_and_layers():
    """K-26."""
    model = two_ends()
    converter = Converter(model)
    assert converter.net.label == "ends" and converter.model is model
    x, y = (converter.inputs[tensor] for tensor in model.inputs)
    assert [x.label, y.label] == ["x", "y"]
    np.testing.assert_array_equal(x.output, np.zeros(3))
    assert len(converter.inputs) == 2 and len(converter.outputs) == 2
    assert list(converter.inputs) == [(model.inputs[0],), (model.inputs[1],)]
    assert [probe.target for probe in converter.net.probes] == [
        converter.outputs[tensor].target for tensor in model.outputs[:2]
    ]
    assert len(converter.layers) == 5
    assert all(isinstance(key, tuple) for key in converter.layers)
    a = model.get_layer("a")
    for key in (a, a.output, [a.output], (a.output,)):
        assert converter.layers[key] == converter.net.ensembles[0].neurons
        assert key in converter.layers
    for key in (L.Dense(3), "a", keras.Input((3,)), L.Dense(1)(model.inputs[0])):
        assert key not in converter.layers
        with pytest.raises(KeyError):
            converter.layers[key]
    assert converter.verify(inputs=random_inputs(model), atol=1e-5)
    assert converter.verify(inputs=dict(zip("xy", random_inputs(model), strict=True)), atol=1e-5)


def test_keys_that_are_not_there():
    """K-26: they say what is."""
    model = two_ends()
    converter = Converter(model)
    a, b = model.get_layer("a"), model.get_layer("b")
    there = "there are x, y"
    for key, got in (("x", "the name 'x'"), (a, "Dense 'a'"), (a.output, "<KerasTensor .*>")):
        with pytest.raises(KeyError, match=rf"an input of the model .* \({there}\), got {got}"):
            converter.inputs[key]
    there = f"there are {model.outputs[0].name}, {a.output.name}"
    with pytest.raises(KeyError, match=rf"an output of the model as the key \({there}\)"):
        converter.outputs[b.output]
    there = "there are (y|x|a|b), .*, out"
    with pytest.raises(KeyError, match=rf"or its output, .* \({there}\), got Dense 'other'"):
        converter.layers[L.Dense(3, name="other")]


def inner_model(name="inner"):
    x = keras.Input((3,))
    dense = L.Dense(3, activation="relu")
    return with_random_weights(keras.Model(x, dense(x), name=name)), dense


def test_a_model_in_a_model():
    """K-01: a network for it; its layers are found, too."""
    inner, dense = inner_model()
    x = keras.Input((3,))
    model = with_random_weights(keras.Model(x, L.Dense(2)(inner(x))))
    converter = Converter(model)
    (net,) = converter.net.networks
    assert net.label == "inner.0"
    (ens,) = net.ensembles
    assert converter.layers[dense] == converter.layers[inner] == ens.neurons
    assert converter.verify(training=True, inputs=random_inputs(model), atol=1e-5)


def test_a_model_in_a_model_in_a_sequential_model():
    inner, dense = inner_model()
    model = keras.Sequential([keras.Input((3,)), keras.Sequential([inner, L.Dense(4)]), L.Dense(2)])
    converter = Converter(with_random_weights(model))
    assert [net.label.split(".")[-1] for net in converter.net.all_networks] == ["0", "0"]
    assert dense in converter.layers and model.layers[0] in converter.layers
    assert converter.verify(training=True, inputs=random_inputs(model), atol=1e-5)


def test_a_model_with_several_ends_in_a_model():
    inner = two_ends()
    x, y = keras.Input((3,)), keras.Input((2,))
    out, a, _ = inner([x, y])
    model = keras.Model([x, y], [L.Dense(2)(out), a])
    converter = Converter(with_random_weights(model))
    assert converter.verify(inputs=random_inputs(model), atol=1e-5)


def test_a_model_that_is_used_twice():
    """K-25, K-26."""
    inner, dense = inner_model()
    x = keras.Input((3,))
    model = keras.Model(x, inner(inner(x)))
    with pytest.raises(ValueError, match="split_shared_weights=True gives each call"):
        Converter(model)
    converter = Converter(model, split_shared_weights=True)
    assert converter.verify(inputs=random_inputs(model), atol=1e-5)
    assert [net.label for net in converter.net.networks] == ["inner.0", "inner.1"]
    for key in (inner, dense, dense.output):
        with pytest.raises(KeyError, match="several times"):
            converter.layers[key]
    assert converter.layers[model.output] == converter.net.networks[1].ensembles[0].neurons


def test_a_layer_that_another_model_uses_too():
    """Calls that are not part of the model do not matter."""
    inner, dense = inner_model()
    x = keras.Input((3,))
    model = keras.Model(x, L.Dense(2)(dense(x)))
    converter = Converter(model)
    assert converter.net.ensembles[0].label == f"{dense.name}.1"
    assert converter.layers[dense] == converter.net.ensembles[0].neurons


def test_a_part_of_a_model():
    model = two_ends()
    part = keras.Model(model.get_layer("a").output, L.Dense(2)(model.get_layer("a").output))
    assert Converter(part).verify()


def test_sequential():
    """K-02: its layers and tensors are those of the functional model inside."""
    model = keras.Sequential([keras.Input((4,)), L.Dense(3, activation="relu"), L.Dense(2)])
    converter = Converter(model)
    assert type(converter.model) is not type(model)
    assert isinstance(converter.model.layers[0], L.InputLayer)
    assert converter.layers[model.layers[0]] == converter.net.ensembles[0].neurons
    assert converter.inputs[model.inputs[0]] is converter.inputs[converter.model.inputs[0]]
    assert converter.outputs[model.outputs[0]] is converter.net.probes[0]


class Subclassed(keras.Model):
    def call(self, x):
        return x


class Named(keras.Model):
    """Nothing but a functional model of another name."""

    def __init__(self):
        x = keras.Input((3,))
        super().__init__(x, L.Dense(2)(x))


def test_what_can_not_be_converted():
    """K-03, K-18."""
    with pytest.raises(TypeError, match="a subclass of keras.Model with a call of its own"):
        Converter(Subclassed())
    with pytest.raises(TypeError, match="expected a Keras model, got Dense"):
        Converter(L.Dense(2))
    with pytest.raises(ValueError, match="of unknown input shape"):
        Converter(keras.Sequential([L.Dense(2)]))
    x = keras.Input((None, 4))
    with pytest.raises(ValueError, match="expected a known shape, got .None, 4."):
        Converter(keras.Model(x, L.Dense(2)(x)))
    with pytest.raises(TypeError, match="which is the batch$"):
        y = keras.Input((4,))
        Converter(keras.Model(y, L.Concatenate(axis=0)([y, y])))
    assert Converter(Named()).verify()


def test_time_distributed_needs_a_temporal_model():
    """K-15."""
    x = keras.Input((5, 4))
    model = keras.Model(x, L.TimeDistributed(L.Dense(2))(x))
    with pytest.raises(TypeError, match="only be converted when temporal_model=True"):
        Converter(model)


def test_a_temporal_model():
    """K-15: the first axis is the time, of any length."""
    x = keras.Input((None, 6, 2))
    y = L.TimeDistributed(L.Conv1D(3, 2, activation="relu"))(x)
    y = L.TimeDistributed(L.Flatten())(y)
    y = L.Concatenate()([L.Dense(4, activation="tanh")(y), L.Dropout(0.5)(L.Softmax()(y))])
    model = with_random_weights(keras.Model(x, L.LayerNormalization()(y)))
    with pytest.warns(UserWarning, match="becomes a TensorNode"):
        converter = Converter(model, temporal_model=True)
    assert converter.verify()
    inputs = np.random.RandomState(0).uniform(-1, 1, (3, 7, 6, 2))
    assert converter.verify(inputs=inputs, atol=1e-5)


@pytest.mark.filterwarnings("ignore:.*becomes a TensorNode")
@pytest.mark.parametrize(
    "layer",
    [
        lambda: L.Flatten(),
        lambda: L.Conv1D(2, 3),
        lambda: L.GlobalAveragePooling1D(),
        lambda: L.Permute((2, 1)),
        lambda: L.ZeroPadding1D(1),
        lambda: L.LSTM(2),
        lambda: L.SimpleRNN(2),
        lambda: L.GRU(2, return_sequences=True, go_backwards=True),
        lambda: L.GRU(2, return_sequences=True, dropout=0.5),
        lambda: L.Bidirectional(L.GRU(2, return_sequences=True)),
        lambda: L.Reshape((-1, 2)),
        lambda: lambda x: x[:, 1:],
        lambda: lambda x: L.MultiHeadAttention(1, 2)(x, x),
        lambda: lambda x: L.Concatenate(axis=1)([x, x]),
    ],
)
def test_steps_of_a_temporal_model_are_not_combined(layer):
    """K-12."""
    x = keras.Input((6, 4))
    model = keras.Model(x, layer()(x))
    with pytest.raises(
        (TypeError, nengo.exceptions.ValidationError), match="steps|time|begins|temporal"
    ):
        Converter(model, temporal_model=True)


class Sum(L.Layer):
    """A cell that adds up its input."""

    state_size = output_size = 4

    def call(self, x, states):
        return x + states[0], [x + states[0]]


RECURRENT = {
    "LSTM": lambda: L.LSTM(3, return_sequences=True),
    "GRU": lambda: L.GRU(3, return_sequences=True),
    "two LSTMs": lambda: L.RNN([L.LSTMCell(3), L.LSTMCell(2)], return_sequences=True),
    "Sum": lambda: L.RNN(Sum(), return_sequences=True),
    "LMU": lambda: L.RNN(LMUCell(20, 4, 5), return_sequences=True),
    "SimpleRNN": lambda: L.SimpleRNN(3, activation="elu", return_sequences=True),
    "Softmax": lambda: L.TimeDistributed(L.Softmax()),
}


@pytest.mark.parametrize("layer", [lambda: L.Dense(4), lambda: L.Conv1D(4, 2)])
def test_time_distributed_twice(layer):
    """K-15: the inner one goes along another axis than the time."""
    x = keras.Input((5, 3, 4, 2))
    wrapped = L.TimeDistributed(L.TimeDistributed(layer()))
    model = with_random_weights(keras.Model(x, wrapped(x)))
    with pytest.warns(UserWarning, match="A TimeDistributed within TimeDistributed has no native"):
        converter = Converter(model, temporal_model=True)
    assert converter.verify(training=True, inputs=random_inputs(model), atol=1e-5)


@pytest.mark.filterwarnings("ignore:.*TensorNode")
@pytest.mark.parametrize("make", RECURRENT.values(), ids=RECURRENT)
def test_recurrent_layers_of_temporal_models(make):
    """K-18: one step at a time, with the layer's own weights."""
    x = keras.Input((None, 4))
    layer = make()
    model = with_random_weights(keras.Model(x, L.Dense(2)(layer(x))))
    converter = Converter(model, temporal_model=True)
    inputs = random_inputs(model)
    assert converter.verify(inputs=inputs, atol=1e-5)
    assert converter.verify(training=True, inputs=inputs, atol=1e-5, rtol=1e-4)
    with pytest.raises(TypeError, match="allow_fallback|Unsupported activation"):
        Converter(model, temporal_model=True, allow_fallback=False)


def test_report():
    x = keras.Input((4, 4, 1))
    y = L.MaxPooling2D(2, name="pool")(L.Conv2D(2, 1, activation="relu", name="conv")(x))
    model = keras.Model(x, L.Softmax(name="prob")(L.Flatten(name="flat")(y)))
    with pytest.warns(UserWarning, match="becomes a TensorNode"):
        converter = Converter(model, max_to_avg_pool=True)
    report = converter.report()
    assert [(e.layer, e.type, e.status) for e in report[1:]] == [
        ("conv", "Conv2D", "native"),
        ("pool", "MaxPooling2D", "approximate"),
        ("flat", "Flatten", "native"),
        ("prob", "Softmax", "fallback"),
    ]
    assert report[1].became == "32 RectifiedLinear()"
    assert report[4].why == "There is no converter for layers of type Softmax"
    lines = str(report).splitlines()
    assert lines[0].split() == ["layer", "type", "became", "status", "why"]
    assert len(lines) == 7
    assert lines[3].split() == ["conv", "Conv2D", "32", "RectifiedLinear()", "native"]
    report.clear()  # a copy
    assert len(converter.report()) == 5


class AddOne(L.Layer):
    def call(self, x):
        return x + 1


@pytest.fixture
def add_one():
    """Registers a converter for `AddOne`, until the end of the test."""

    @Converter.register(AddOne)
    class ConvertAddOne(LayerConverter):
        def convert(self, node_id):
            size = int(np.prod(self.output_shape(node_id)))
            obj = self.add_nengo_obj(node_id, biases=np.ones(size))
            self.add_connection(node_id, obj)
            return obj

    yield ConvertAddOne
    del Converter.converters[AddOne]


def test_register(add_one):
    """K-28, K-29."""
    x = keras.Input((2, 3))
    layer = AddOne()
    model = keras.Model(x, layer(x))
    converter = Converter(model, allow_fallback=False)
    assert converter.verify()
    ours = converter.get_converter(layer)
    assert isinstance(ours, add_one) and converter.get_converter(layer) is ours
    assert ours.input_shape(0) == ours.output_shape(0) == (2, 3)
    assert ours.input_shape(0, full_shape=True) == (None, 2, 3)
    assert (ours.layer, ours.converter) == (layer, converter)
    bias = converter.net.connections[0]
    with converter.net:
        LayerConverter.set_trainable(bias, False)
    with nengo_dl.Simulator(converter.net, progress_bar=False) as sim:
        assert sim.keras_model.trainable_weights == []


def test_register_again(add_one):
    """K-28."""
    with pytest.warns(UserWarning, match="already has a converter. Overwriting."):
        Converter.register(AddOne)(add_one)


def test_subclasses_of_a_layer_have_no_converter_of_their_own(add_one):
    """K-28: by exact type."""

    class AddOneMore(AddOne):
        pass

    x = keras.Input((2,))
    with pytest.raises(TypeError, match="no converter for layers of type AddOneMore"):
        Converter(keras.Model(x, AddOneMore()(x)), allow_fallback=False)


@pytest.mark.parametrize("returned", [3, None, [], "network"])
def test_what_convert_returns(add_one, returned, monkeypatch):
    """K-28: a network has to say where its output is."""
    x = keras.Input((2,))
    model = keras.Model(x, AddOne()(x))

    def convert(self, node_id):
        if returned != "network":
            return returned
        with nengo.Network() as net:
            net.output = nengo.Node(size_in=2)
        self.add_connection(node_id, net.output)
        self.connect(nengo.Node([1, 1]), net.output)
        return net

    monkeypatch.setattr(add_one, "convert", convert)
    if returned == "network":
        assert Converter(model).verify()
    else:
        with pytest.raises((TypeError, ValueError), match="expected .* got"):
            Converter(model)


def test_unsupported_args(add_one, monkeypatch):
    """K-19, K-28."""
    x = keras.Input((2,))
    layer = AddOne(name="plus")
    layer.height, layer.width = 1, 2
    model = keras.Model(x, layer(x))
    monkeypatch.setattr(add_one, "unsupported_args", [("height", 1)])
    monkeypatch.setattr(add_one, "unsupported_training_args", ["width"])
    assert Converter(model, inference_only=True, allow_fallback=False).verify()
    text = r"plus.width has value 2 != None, which is not supported \(unless inference_only=True\)."
    with pytest.warns(UserWarning, match=text + " It becomes a TensorNode"):
        Converter(model)
    monkeypatch.setattr(add_one, "allow_fallback", False)
    with pytest.raises(TypeError, match=text + " Layer 'plus' can't be made"):
        Converter(model)
    layer.height = 3
    with pytest.raises(TypeError, match="plus.height has value 3 != 1, which is not supported. L"):
        Converter(model, inference_only=True)


def test_verify_finds_differences():
    """K-27."""
    x = keras.Input((3,))
    model = with_random_weights(keras.Model(x, L.Dense(2, activation="relu")(x)))
    converter = Converter(model)
    inputs = random_inputs(model)
    assert converter.verify(inputs=inputs, atol=1e-5)
    converter.net.ensembles[0].neuron_type = nengo.Tanh()
    with pytest.raises(ValueError, match="the network differs from the Keras model"):
        converter.verify(inputs=inputs)
    with pytest.raises(ValueError, match="inputs: expected 1 arrays, got 2"):
        converter.verify(inputs=inputs * 2)


@pytest.mark.parametrize("axis, shape", [(3, (4, 3, 5, 5)), (-1, (4, 3, 5, 5)), (2, (4, 6, 3))])
def test_normalisation_of_each_step(axis, shape):
    """The axis is counted without that of steps."""
    x = keras.Input(shape)
    layer = L.BatchNormalization(axis=axis)
    model = keras.Model(x, L.TimeDistributed(layer)(x))
    rng = np.random.RandomState(0)
    layer.set_weights([rng.uniform(0.5, 2, w.shape) for w in layer.get_weights()])
    assert Converter(model, temporal_model=True, inference_only=True).verify()


def test_models_of_each_step():
    """Run in a TensorNode."""
    x = keras.Input((4, 3))
    inner = keras.Sequential([keras.Input((3,)), L.Dense(2, activation="relu"), L.Dense(5)])
    model = keras.Model(x, L.TimeDistributed(inner)(x))
    with pytest.warns(UserWarning, match="A Sequential within TimeDistributed has no native form"):
        converter = Converter(model, temporal_model=True)
    assert converter.verify(training=False)
    with pytest.raises(TypeError, match="A Sequential within TimeDistributed"):
        Converter(model, temporal_model=True, allow_fallback=False)


@pytest.mark.parametrize("axis, shape, temporal", [(-2, (6, 4), True), (-2, (4,), False)])
def test_concatenation_of_items_or_steps(axis, shape, temporal):
    """Counted from the end, too."""
    x = keras.Input(shape)
    model = keras.Model(x, L.Concatenate(axis=axis)([x, x]))
    with pytest.raises(TypeError, match=f"axis has value {axis}, which is the batch"):
        Converter(model, temporal_model=temporal)
