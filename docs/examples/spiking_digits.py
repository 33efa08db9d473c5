"""Train a network of Keras layers and LIF neurons as rates, and evaluate it with spikes.

Keras layers and Nengo's neurons stand in one network, a `nengo_dl.Layer` each. Training takes one
step per digit, as rates do not change; spikes are counted over thirty.

    python docs/examples/spiking_digits.py --help
"""

import common
import keras
import nengo
import numpy as np
from matplotlib.figure import Figure

import nengo_dl

MINIBATCH = 36
STEPS = 30  # of a millisecond each


class DigitNetwork:
    """Two convolutions with LIF neurons behind them, and a dense layer."""

    def __init__(self, seed):
        layers = keras.layers
        with nengo.Network(seed=seed) as self.net:
            nengo_dl.configure_settings(stateful=False, lif_smoothing=0.1)
            self.net.config[nengo.Ensemble].gain = nengo.dists.Choice([1])
            self.net.config[nengo.Ensemble].bias = nengo.dists.Choice([1])
            self.net.config[nengo.Connection].synapse = None
            self.image = nengo.Node(np.zeros(64))
            x = nengo_dl.Layer(layers.Conv2D(16, 3))(self.image, shape_in=(8, 8, 1))
            first = nengo_dl.Layer(nengo.LIF(amplitude=0.01))(x)
            x = nengo_dl.Layer(layers.Conv2D(32, 3, strides=2))(first, shape_in=(6, 6, 16))
            second = nengo_dl.Layer(nengo.LIF(amplitude=0.01))(x)
            classes = nengo_dl.Layer(layers.Dense(10))(second)
            self.now = nengo.Probe(classes, label="now")
            self.filtered = nengo.Probe(classes, synapse=0.02, label="filtered")
            self.spikes = nengo.Probe(second, label="spikes")


def last_accuracy(y_true, y_pred):
    """Accuracy in the last step."""
    return keras.metrics.sparse_categorical_accuracy(y_true[:, -1], y_pred[:, -1])


def spiking_accuracy(sim, network, images, classes):
    """Evaluate the filtered output over all steps; targets have as many steps as the images."""
    sim.compile(loss={network.filtered: last_accuracy})
    x, y = common.shown(images, STEPS), common.shown(classes, STEPS)
    return sim.evaluate({network.image: x}, {network.filtered: y}, verbose=0)["loss"]


def draw(path, image, spikes, values, classes):
    """A digit, the spikes it causes, the decision, and accuracy over time, as a PNG file."""
    times = np.arange(1, STEPS + 1)
    fig = Figure(figsize=(12, 3.5), layout="constrained")
    left, middle, right, last = fig.subplots(1, 4, width_ratios=(2, 3, 3, 3))
    left.imshow(image.reshape(8, 8), cmap="gray_r")
    left.set(title=f"shown: {classes[0]}", xticks=[], yticks=[])
    middle.eventplot([times[train > 0] for train in spikes.T], colors="black")
    middle.set(title="spikes of the second layer", xlabel="time (ms)", ylabel="neuron")
    for number, value in enumerate(values[0].T):
        right.plot(times, value, label=str(number))
    right.set(title=f"decided: {values[0, -1].argmax()}", xlabel="time (ms)")
    right.legend(fontsize="x-small", loc="upper left")
    last.plot(times, (values.argmax(axis=-1) == classes[:, None]).mean(axis=0))
    last.set(title="accuracy over time", xlabel="time (ms)", ylim=(0, 1))
    fig.savefig(path, dpi=80)


def main():
    args = common.arguments(__doc__, "spiking_digits.png")
    (x, y), (test_x, test_y) = common.digits(args.seed, MINIBATCH)
    network = DigitNetwork(args.seed)
    with nengo_dl.Simulator(network.net, minibatch_size=MINIBATCH, progress_bar=False) as sim:
        before = spiking_accuracy(sim, network, test_x, test_y)
        print(f"accuracy with spikes before training: {before:.1%}")
        sim.compile(
            keras.optimizers.Adam(0.003),
            loss={network.now: keras.losses.SparseCategoricalCrossentropy(from_logits=True)},
        )
        sim.fit(
            {network.image: common.shown(x)},
            {network.now: common.shown(y)},
            epochs=4 if args.short else 20,
            verbose=0,
        )
        after = spiking_accuracy(sim, network, test_x, test_y)
        print(f"accuracy with spikes after training as rates: {after:.1%}")
        result = sim.predict(common.shown(test_x, STEPS))
    draw(args.output, test_x[0], result[network.spikes][0], result[network.filtered], test_y)
    print(f"picture: {args.output}")


if __name__ == "__main__":
    main()
