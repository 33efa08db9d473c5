"""SPEC 4: the converter of Keras models."""

import nengo
import numpy as np
import tensorflow as tf
from models import outcome, outcomes, rows, sgd, simulator, sizes, texts, warned

import nengo_dl

layers = tf.keras.layers


def _model(shape, *stages):
    """A functional Keras model whose weights are given."""
    x = inp = tf.keras.Input(shape, name="input")
    for stage in stages:
        x = stage(x)
    model = tf.keras.Model(inp, x)
    _fill(model)
    return model


def _fill(model):
    """Give a model weights that are the same everywhere."""
    values = [0.5 * rows(*weight.shape, seed=i) for i, weight in enumerate(model.weights)]
    positive = ["variance" in weight.name for weight in model.weights]
    model.set_weights([abs(value) if positive[i] else value for i, value in enumerate(values)])


def _converted(model, steps=1, scale=1.0, **kwargs):
    """What the converted network predicts, and how it is made."""
    converter = nengo_dl.Converter(model, **kwargs)
    net = converter.net
    x = scale * rows(4, int(np.prod(model.inputs[0].shape[1:])))
    with simulator(net, minibatch_size=4) as sim:
        data = np.repeat(x[:, None], steps, axis=1)
        found = sim.predict({converter.inputs[model.inputs[0]]: data})
        return {
            "p": found[converter.outputs[model.outputs[0]]],
            "objects": [len(net.all_ensembles), len(net.all_probes)],
            "neurons": texts(sorted({type(e.neuron_type).__name__ for e in net.all_ensembles})),
            "tensor_nodes": sum(isinstance(n, nengo_dl.TensorNode) for n in net.all_nodes),
            "trained": sizes(sim.keras_model.trainable_weights),
        }


def dense():
    """K-01, K-03, K-04, K-20: layers with all native activations."""
    return _converted(
        _model((5,), *(layers.Dense(4, activation=a) for a in (None, "relu", "sigmoid", "tanh")))
    )


def convolution():
    """K-05, K-06, K-12: a convolutional network."""
    return _converted(
        _model(
            (8, 8, 2),
            layers.Conv2D(3, 3, activation="relu"),
            layers.Conv2D(4, 3, strides=2, padding="same", activation="relu"),
            layers.Flatten(),
            layers.Dense(5),
        )
    )


def other_convolutions():
    """K-05: of lines and volumes."""
    return {
        "line": _converted(_model((9, 2), layers.Conv1D(3, 4, activation="relu")))["p"],
        "volume": _converted(_model((4, 4, 4, 1), layers.Conv3D(2, 2)))["p"],
    }


def sequential():
    """K-02: warned of, and converted."""
    stages = [tf.keras.Input((4,)), layers.Dense(3, activation="relu"), layers.Dense(2)]
    model = tf.keras.Sequential(stages)
    _fill(model)
    return {"warning": texts(warned(lambda: nengo_dl.Converter(model), "equential"))}


def pooling():
    """K-07, K-08: averages, and the maximum as an average."""
    found = {
        "average": _converted(_model((4, 4, 2), layers.AveragePooling2D(2)))["p"],
        "global": _converted(_model((4, 4, 2), layers.GlobalAveragePooling2D()))["p"],
        "line": _converted(_model((6, 2), layers.AveragePooling1D(3)))["p"],
    }
    for name in ("MaxPooling2D", "GlobalMaxPooling2D"):
        model = _model((4, 4, 2), getattr(layers, name)())
        found[name] = _converted(model, max_to_avg_pool=True)["p"]
    return found


def batch_normalization():
    """K-09: by its averages, for inference."""
    model = _model((4,), layers.Dense(3), layers.BatchNormalization(), layers.Activation("relu"))
    found = _converted(model, inference_only=True)
    found["fallback"] = _converted(model)["tensor_nodes"]
    return found


def activations():
    """K-10: layers that are activations."""
    found = {}
    for layer in (layers.ReLU(), layers.LeakyReLU(0.2), layers.Activation("tanh")):
        found[type(layer).__name__] = _converted(_model((6,), layer))["p"]
    return found


def merging():
    """K-11: layers with several inputs."""
    found = {}
    for layer in (layers.Add(), layers.Average(), layers.Concatenate()):
        inp = tf.keras.Input((4,))
        a, b = layers.Dense(3, activation="relu")(inp), layers.Dense(3)(inp)
        model = tf.keras.Model(inp, layer([a, b]))
        _fill(model)
        found[type(layer).__name__] = _converted(model)["p"]
    return found


def shapes():
    """K-12 to K-14: reshaping, repeating, padding."""
    return {
        "reshape": _converted(_model((4, 3), layers.Reshape((2, 6)), layers.Flatten()))["p"],
        "repeat": _converted(_model((3, 2), layers.UpSampling1D(2)))["p"],
        "repeat_2": _converted(_model((3, 3, 2), layers.UpSampling2D((2, 3))))["p"],
        "pad": _converted(_model((3, 2), layers.ZeroPadding1D(2)))["p"],
        "pad_2": _converted(_model((3, 3, 2), layers.ZeroPadding2D(((1, 0), (2, 1)))))["p"],
    }


def fallback():
    """K-17, K-19: layers that stay layers."""
    model = _model((5,), layers.Dense(4, activation="softmax"), layers.LayerNormalization())
    found = _converted(model)
    regular = _model((5,), layers.Dense(3, kernel_regularizer="l2"))
    found["regularizer"] = _converted(regular)["tensor_nodes"]
    found["inference"] = _converted(regular, inference_only=True)["tensor_nodes"]
    found.update(outcomes(refused=lambda: nengo_dl.Converter(model, allow_fallback=False)))
    return found


def spiking():
    """K-20 to K-23: neurons that spike, scaled, with synapses."""
    model = _model((4,), layers.Dense(6, activation="relu"), layers.Dense(3))
    model.layers[1].set_weights([rows(4, 6, seed=7), np.zeros(6)])
    swap = {tf.keras.activations.relu: nengo.SpikingRectifiedLinear()}
    found = {"relu": _converted(model, 20, 50.0, swap_activations=swap)["p"]}
    found["scaled"] = _converted(
        model, 20, 3.0, swap_activations=swap, scale_firing_rates=100, synapse=0.005
    )["p"]
    found["by_layer"] = _converted(
        model, 20, 3.0, swap_activations=swap, scale_firing_rates={model.layers[1]: 50}
    )["p"]
    types = {nengo.RectifiedLinear(): nengo.LIFRate(), tf.nn.tanh: nengo.Tanh()}
    found["rates"] = _converted(model, 1, 5.0, swap_activations=types)["p"]
    return found


def shared():
    """K-25, K-26: layers that are used twice."""
    inp = tf.keras.Input((3,))
    layer = layers.Dense(3, activation="relu")
    model = tf.keras.Model(inp, layer(layer(inp)))
    _fill(model)
    found = _converted(model, split_shared_weights=True)
    found.update(outcomes(refused=lambda: nengo_dl.Converter(model)))
    return found


def nested():
    """K-01: models in models."""
    inner = _model((4,), layers.Dense(3, activation="relu"), layers.Dense(2))
    model = _model((5,), layers.Dense(4), inner)
    return _converted(model)


def trained():
    """K-27, S-40: training of what was converted."""
    model = _model((5,), layers.Dense(6, activation="relu"), layers.Dense(2))
    converter = nengo_dl.Converter(model)
    node, probe = converter.inputs[model.inputs[0]], converter.outputs[model.outputs[0]]
    x, y = rows(4, 1, 5), rows(4, 1, 2, seed=9)
    with simulator(converter.net, minibatch_size=4) as sim:
        sim.compile(sgd(), loss={probe: "mse"})
        history = sim.fit({node: x}, {probe: y}, epochs=4, verbose=0, shuffle=False)
        return {"losses": history.history["loss"], "p": sim.predict({node: x})[probe]}


def verified():
    """K-27: the check of a conversion."""
    convolution = layers.Conv2D(2, 3, activation="relu")
    model = _model((8, 8, 1), convolution, layers.Flatten(), layers.Dense(3))
    converter = nengo_dl.Converter(model)
    return {
        "inference": converter.verify(atol=1e-5),
        "training": converter.verify(training=True, atol=1e-5),
    }


def attributes():
    """K-26, K-29: objects by layer and tensor."""
    first = layers.Dense(3, activation="relu", name="first")
    model = _model((4,), first, layers.Dense(2, name="second"))
    converter = nengo_dl.Converter(model)
    found = [converter.layers[model.get_layer(name)] for name in ("first", "second")]
    return {
        "kinds": texts(type(obj).__name__ for obj in found),
        "label": np.array(converter.net.ensembles[0].label),
        "inputs": len(converter.inputs),
        "same": converter.model is model,
        "error": outcome(lambda: converter.layers[3]),
    }


def temporal():
    """K-15: time is an axis of the model."""
    inp = tf.keras.Input((None, 4))
    x = layers.TimeDistributed(layers.Dense(3, activation="relu"))(inp)
    model = tf.keras.Model(inp, x)
    _fill(model)
    converter = nengo_dl.Converter(model, temporal_model=True)
    with simulator(converter.net, minibatch_size=2) as sim:
        found = sim.predict({converter.inputs[model.inputs[0]]: rows(2, 5, 4)})
        return {"p": found[converter.outputs[model.outputs[0]]]}


def own_converter():
    """K-28, E-08: a converter for a layer of one's own."""

    class AddOne(layers.Layer):
        def call(self, x):
            return x + 1

    @nengo_dl.Converter.register(AddOne)
    class ConvertAddOne(nengo_dl.converter.LayerConverter):
        def convert(self, node_id):
            output = self.add_nengo_obj(node_id)
            self.add_connection(node_id, output)
            bias = nengo.Node(np.ones(output.size_in))
            connection = nengo.Connection(bias, output, synapse=None)
            self.set_trainable(connection, False)
            return output

    found = _converted(_model((4,), layers.Dense(3), AddOne(), layers.Dense(2)))
    again = nengo_dl.Converter.register(AddOne)
    found["warning"] = texts(warned(lambda: again(ConvertAddOne), "already has a converter"))
    return found


def inference_only():
    """K-24: nothing of the result is trained."""
    model = _model((4,), layers.Dense(3, activation="relu"))
    net = nengo_dl.Converter(model, inference_only=True).net
    found = _converted(model, inference_only=True)
    found["setting"] = nengo_dl.config.get_setting(net, "inference_only", False)
    return found


def several_inputs():
    """K-18: what could not be converted there."""
    inp = tf.keras.Input((4,))
    a, b = layers.Dense(3)(inp), layers.Dense(3)(inp)
    product = tf.keras.Model(inp, layers.Multiply()([a, b]))
    operation = tf.keras.Model(inp, 2 * layers.Dense(3)(inp))
    return outcomes(
        product=lambda: _converted(product) and None,
        operation=lambda: _converted(operation) and None,
    )


def other_layers():
    """K-16, K-17: what has no spiking layers beside Keras, and stays what it is."""
    found = {}
    for layer in (layers.Softmax(), layers.Permute((2, 1)), layers.Conv2DTranspose(2, 3)):
        shape = (4, 4, 1) if "transpose" in layer.name else (4, 3)
        found[type(layer).__name__] = _converted(_model(shape, layer, layers.Flatten()))["p"]
    return found
