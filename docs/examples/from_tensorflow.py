"""What Keras does, done in Nengo: an auto-encoder of digits.

The same two dense layers are trained as a Keras model and as a Nengo network, with rates. Then the
network runs with spiking neurons, whose values jump unless a low-pass filter smooths them. At last,
Keras' batch normalisation stands between Nengo objects, and TensorFlow code prints from inside.

    python docs/examples/from_tensorflow.py --help
"""

import tempfile
from pathlib import Path

import common
import keras
import nengo
import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure

import nengo_dl

MINIBATCH = 36
HIDDEN = 32
STEPS = 100  # for which spiking neurons see a digit
AMPLITUDE = 0.01  # of a spike: neurons that fire at 100 Hz put out 1


def keras_autoencoder(x, test_x, epochs):
    """Train two dense layers in Keras; returns the loss on digits for testing."""
    layers = keras.layers
    model = keras.Sequential(
        [layers.Input((64,)), layers.Dense(HIDDEN, activation="relu"), layers.Dense(64)]
    )
    model.compile(keras.optimizers.Adam(0.003), loss="mse")
    model.fit(x, x, batch_size=MINIBATCH, epochs=epochs, verbose=0)
    return model.evaluate(test_x, test_x, verbose=0)


class Autoencoder:
    """The same in Nengo: pixels, neurons, pixels."""

    def __init__(self, neuron_type, seed, synapse=None):
        with nengo.Network(seed=seed) as self.net:
            nengo_dl.configure_settings(stateful=False)
            self.image = nengo.Node(np.zeros(64))
            hidden = nengo.Ensemble(
                HIDDEN,
                1,
                neuron_type=neuron_type,
                gain=nengo.dists.Choice([1 / AMPLITUDE]),
                bias=nengo.dists.Choice([0]),
            ).neurons
            glorot = nengo_dl.dists.Glorot()
            result = nengo.Node(size_in=64)
            nengo.Connection(self.image, hidden, transform=glorot, synapse=None)
            nengo.Connection(hidden, result, transform=glorot, synapse=None)
            self.result = nengo.Probe(result, synapse=synapse)

    def simulator(self):
        """A simulator of this network."""
        return nengo_dl.Simulator(self.net, minibatch_size=MINIBATCH, progress_bar=False)


def nengo_autoencoder(x, test_x, epochs, seed, file):
    """Train the network as rates; returns the loss on digits for testing."""
    network = Autoencoder(nengo.RectifiedLinear(AMPLITUDE), seed)
    with network.simulator() as sim:
        sim.compile(keras.optimizers.Adam(0.003), loss="mse")
        sim.fit(common.shown(x), common.shown(x), epochs=epochs, verbose=0)
        sim.save_params(file)
        return sim.evaluate(common.shown(test_x), common.shown(test_x), verbose=0)["loss"]


def spiking_pixels(test_x, seed, file, synapse):
    """Pixels in the last step, of the same weights with spiking neurons."""
    network = Autoencoder(nengo.SpikingRectifiedLinear(AMPLITUDE), seed, synapse)
    with network.simulator() as sim:
        sim.load_params(file)
        return sim.predict(common.shown(test_x, STEPS))[network.result]


def normalised(images):
    """Keras' batch normalisation and a printing function inside of a Nengo network."""

    def tell(values):
        tf.print("a minibatch of shape", tf.shape(values))
        return values

    with nengo.Network() as net:
        image = nengo.Node(np.zeros(64))
        told = nengo_dl.TensorNode(tell, shape_in=(64,), pass_time=False)
        nengo.Connection(image, told, synapse=None)
        normal = nengo_dl.Layer(keras.layers.BatchNormalization(momentum=0.0))(told)
        probe = nengo.Probe(normal)
    values = common.shown(images)
    with nengo_dl.Simulator(net, minibatch_size=len(images), progress_bar=False) as sim:
        sim.compile(keras.optimizers.SGD(0.0), loss="mse")
        sim.fit(values, np.zeros_like(values), epochs=1, verbose=0)  # learns means and variances
        result = sim.predict(values)[probe]
    return result[..., images.std(axis=0) > 0.1]


def draw(path, rows):
    """Ten digits for each way to make them, as a PNG file."""
    fig = Figure(figsize=(7, 3.5), layout="constrained")
    for axes, (label, images) in zip(fig.subplots(len(rows), 1), rows.items(), strict=True):
        axes.imshow(np.hstack(images[:10].reshape(-1, 8, 8)), cmap="gray_r", vmin=0, vmax=1)
        axes.set(xticks=[], yticks=[])
        axes.set_ylabel(label, rotation=0, ha="right", va="center")
    fig.savefig(path, dpi=80)


def main():
    args = common.arguments(__doc__, "from_tensorflow.png")
    (x, _), (test_x, _) = common.digits(args.seed, MINIBATCH)
    epochs = 3 if args.short else 40
    print(f"loss of an image of means: {np.mean((test_x - x.mean(axis=0)) ** 2):.4f}")
    print(f"loss in Keras: {keras_autoencoder(x, test_x, epochs):.4f}")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "autoencoder"
        loss = nengo_autoencoder(x, test_x, epochs, args.seed, file)
        print(f"loss in Nengo, rates: {loss:.4f}")
        rows = {"digits": test_x}
        for label, synapse in {"spikes": None, "filtered": nengo.Lowpass(0.03)}.items():
            rows[label] = spiking_pixels(test_x, args.seed, file, synapse)[:, -1]
            print(f"loss in Nengo, {label}: {np.mean((rows[label] - test_x) ** 2):.4f}")
    values = normalised(x[:MINIBATCH])
    print(f"after batch normalisation: mean {values.mean():.2f}, variance {values.var():.2f}")
    draw(args.output, rows)
    print(f"picture: {args.output}")


if __name__ == "__main__":
    main()
