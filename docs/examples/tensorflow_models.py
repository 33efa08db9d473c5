"""Ways to have TensorFlow in a Nengo network.

A function as a TensorNode; a whole Keras model, trained before, as one layer; the same model layer
by layer; written in Nengo; and converted. The models have the same weights and give the same
numbers.

    python docs/examples/tensorflow_models.py --help
"""

import common
import keras
import nengo
import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure

import nengo_dl

MINIBATCH = 36
HIDDEN = 32


def sine():
    """The sine of the time, calculated by TensorFlow, as an ensemble of Nengo represents it."""
    with nengo.Network(seed=0) as net:
        node = nengo_dl.TensorNode(lambda t: tf.reshape(tf.sin(2 * np.pi * t), (1, 1)))
        ensemble = nengo.Ensemble(100, 1)
        nengo.Connection(node, ensemble, synapse=None)
        exact, represented = nengo.Probe(node), nengo.Probe(ensemble, synapse=0.01)
    with nengo_dl.Simulator(net, progress_bar=False) as sim:
        sim.run(1.0)
        return sim.trange(), sim.data[exact], sim.data[represented]


def keras_model(x, y, epochs):
    """A trained classifier of digits."""
    layers = keras.layers
    model = keras.Sequential(
        [layers.Input((64,)), layers.Dense(HIDDEN, activation="relu"), layers.Dense(10)]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.003), loss)
    model.fit(x, y, epochs=epochs, verbose=0)
    return model


class CopyOf(keras.layers.Layer):
    """A layer that holds a copy of a model, with its weights, so that the model stays as it is."""

    def __init__(self, model, **kwargs):
        super().__init__(**kwargs)
        self.original = model

    def build(self, input_shape):
        """Make the copy."""
        self.copy = keras.models.clone_model(self.original)
        self.copy.set_weights(self.original.get_weights())

    def call(self, inputs):
        """Run it."""
        return self.copy(inputs)


def whole_model(model):
    """One layer that is the model."""
    with nengo.Network() as net:
        nengo_dl.configure_settings(stateful=False, use_loop=False)
        image = nengo.Node(np.zeros(64))
        probe = nengo.Probe(nengo_dl.Layer(CopyOf(model))(image))
    return net, probe


def layer_by_layer(model):
    """Keras' layers, with Nengo's neurons between them."""
    hidden, classes = model.layers
    dense = [
        keras.layers.Dense(
            layer.units,
            kernel_initializer=keras.initializers.Constant(layer.kernel.numpy()),
            bias_initializer=keras.initializers.Constant(layer.bias.numpy()),
        )
        for layer in (hidden, classes)
    ]
    with nengo.Network() as net:
        nengo_dl.configure_settings(stateful=False, use_loop=False)
        net.config[nengo.Ensemble].gain = nengo.dists.Choice([1])
        net.config[nengo.Ensemble].bias = nengo.dists.Choice([0])
        image = nengo.Node(np.zeros(64))
        x = nengo_dl.Layer(dense[0])(image)
        x = nengo_dl.Layer(nengo.RectifiedLinear())(x)
        probe = nengo.Probe(nengo_dl.Layer(dense[1])(x))
    return net, probe


def pure_nengo(model):
    """No TensorFlow: an ensemble with the biases, connections with the weights."""
    (kernel, bias), (out_kernel, out_bias) = [layer.get_weights() for layer in model.layers]
    with nengo.Network() as net:
        nengo_dl.configure_settings(stateful=False, use_loop=False)
        image = nengo.Node(np.zeros(64))
        neurons = nengo.Ensemble(
            HIDDEN, 1, neuron_type=nengo.RectifiedLinear(), gain=np.ones(HIDDEN), bias=bias
        ).neurons
        classes, one = nengo.Node(size_in=10), nengo.Node([1])
        nengo.Connection(image, neurons, transform=kernel.T, synapse=None)
        nengo.Connection(neurons, classes, transform=out_kernel.T, synapse=None)
        nengo.Connection(one, classes, transform=out_bias[:, None], synapse=None)
        probe = nengo.Probe(classes)
    return net, probe


def converted(model):
    """What the converter makes of the model."""
    converter = nengo_dl.Converter(model)
    with converter.net:
        nengo_dl.configure_settings(stateful=False, use_loop=False)
    return converter.net, converter.outputs[converter.model.outputs[0]]


def main():
    args = common.arguments(__doc__, "tensorflow_models.png")
    times, exact, represented = sine()
    print(f"error of the represented sine: {np.sqrt(np.mean((exact - represented) ** 2)):.2f}")

    (x, y), (test_x, test_y) = common.digits(args.seed)
    model = keras_model(x, y, 5 if args.short else 30)
    expected = model.predict(test_x, verbose=0)
    print(f"accuracy of the Keras model: {common.accuracy(expected[:, None], test_y):.1%}")
    for make in (whole_model, layer_by_layer, pure_nengo, converted):
        net, probe = make(model)
        with nengo_dl.Simulator(net, minibatch_size=MINIBATCH, progress_bar=False) as sim:
            # the other input nodes are biases
            values = sim.predict({net.all_nodes[0]: common.shown(test_x)})[probe]
        print(
            f"{make.__name__}: accuracy {common.accuracy(values, test_y):.1%}, "
            f"differs from Keras by {abs(values[:, 0] - expected).max():.0e}"
        )
    fig = Figure(figsize=(5, 3), layout="constrained")
    axes = fig.subplots()
    axes.plot(times, represented, label="an ensemble's")
    axes.plot(times, exact, label="TensorFlow's")
    axes.set(title="sine of the time", xlabel="time (s)")
    axes.legend()
    fig.savefig(args.output, dpi=80)
    print(f"picture: {args.output}")


if __name__ == "__main__":
    main()
