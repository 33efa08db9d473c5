"""Train a network on handwritten digits and run it with spiking neurons.

The 1,797 digits of scikit-learn, 8 x 8 pixels each, are split 80/20. A network of LIF neurons is
trained in two ways: by the rates of its neurons, after which the same weights run with spikes; and
with spikes, whose derivatives are replaced by a surrogate.

    python docs/examples/digits.py --help
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before TensorFlow is imported

import keras  # noqa: E402
import nengo  # noqa: E402
import numpy as np  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402
from sklearn.datasets import load_digits  # noqa: E402
from sklearn.model_selection import train_test_split  # noqa: E402

import nengo_dl  # noqa: E402

DT = 0.001  # seconds per step
STEPS = 60  # steps for which a digit is shown to spiking neurons
MINIBATCH = 36
N_CLASSES = 10
MOVES = ((0, 0), (0, 1), (1, 0), (0, -1), (-1, 0))  # rows and columns
N_RASTER = 60  # neurons whose spikes are drawn


def load_data(seed):
    """Images with pixels from 0 to 1 and their classes, as (train, test) pairs.

    Digits to learn are there five times: as they are, and moved by one pixel to each side.
    """
    images, classes = load_digits(return_X_y=True)
    train_x, test_x, train_y, test_y = train_test_split(
        images / 16, classes, test_size=0.2, random_state=seed, stratify=classes
    )
    train_x = np.concatenate([moved(train_x, *step) for step in MOVES])
    train_y = np.tile(train_y, len(MOVES))
    whole = len(train_x) // MINIBATCH * MINIBATCH  # the rest would not fill a minibatch
    return (train_x[:whole], train_y[:whole]), (test_x, test_y)


def moved(images, rows, columns):
    """Images moved by some pixels; what leaves them on one side is lost."""
    padded = np.pad(images.reshape(-1, 8, 8), ((0, 0), (1, 1), (1, 1)))
    return padded[:, 1 - rows : 9 - rows, 1 - columns : 9 - columns].reshape(-1, 64)


class DigitNetwork:
    """Pixels, two layers of LIF neurons, a value for each class.

    ``settings`` go to `nengo_dl.configure_settings`.
    """

    def __init__(self, n_neurons, seed, **settings):
        with nengo.Network(seed=seed) as self.net:
            nengo_dl.configure_settings(stateful=False, **settings)
            self.net.config[nengo.Ensemble].gain = nengo.dists.Choice([1])
            self.net.config[nengo.Ensemble].bias = nengo.dists.Uniform(0.5, 1.5)
            self.net.config[nengo.Ensemble].neuron_type = nengo.LIF(amplitude=0.01)
            self.net.config[nengo.Connection].synapse = None
            self.image = nengo.Node(np.zeros(64))
            layer = self.image
            for size in n_neurons:
                neurons = nengo.Ensemble(size, 1).neurons
                nengo.Connection(layer, neurons, transform=nengo_dl.dists.Glorot())
                layer = neurons
            classes = nengo.Node(size_in=N_CLASSES)
            nengo.Connection(layer, classes, transform=nengo_dl.dists.Glorot())
            self.now = nengo.Probe(classes, label="now")
            self.filtered = nengo.Probe(classes, synapse=nengo.Alpha(0.01), label="filtered")
            self.spikes = nengo.Probe(layer[:N_RASTER], label="spikes")

    def simulator(self):
        """A simulator of this network."""
        return nengo_dl.Simulator(self.net, dt=DT, minibatch_size=MINIBATCH, progress_bar=False)


def shown(images, steps):
    """Images shown for some steps: ``(items, steps, pixels)``."""
    return np.repeat(images[:, None, :], steps, axis=1)


def last_step(function):
    """A loss or metric of the last step."""

    def of_last_step(y_true, y_pred):
        return function(y_true[:, -1], y_pred[:, -1])

    of_last_step.__name__ = "accuracy"
    return of_last_step


def train(sim, probe, data, test, steps, epochs, rate):
    """Fit the classes of ``probe`` in the last of ``steps`` steps.

    Returns the accuracy on test digits after each epoch, and seconds per epoch.
    """
    decay = keras.optimizers.schedules.CosineDecay(rate, epochs * len(data[0]) // MINIBATCH)
    sim.compile(
        keras.optimizers.Adam(decay),
        loss={probe: last_step(keras.losses.SparseCategoricalCrossentropy(from_logits=True))},
        metrics={probe: last_step(keras.metrics.sparse_categorical_accuracy)},
    )
    (x, y), (test_x, test_y) = [(shown(x, steps), y[:, None, None]) for x, y in (data, test)]
    start = time.perf_counter()
    history = sim.fit(
        x, {probe: y}, validation_data=(test_x, {probe: test_y}), epochs=epochs, verbose=0
    )
    return history.history[f"val_{sim.get_name(probe)}_accuracy"], (
        time.perf_counter() - start
    ) / epochs


def accuracy(values, classes):
    """Share of items whose highest value in the last step is that of their class."""
    return np.mean(values[:, -1].argmax(axis=-1) == classes)


def draw(path, curves, image, digit, spikes, values):
    """Learning curves, one digit, the spikes it causes and the decision, as a PNG file."""
    times = np.arange(1, STEPS + 1) * DT * 1000
    fig = Figure(figsize=(15, 4), layout="constrained")
    curve, left, middle, right = fig.subplots(1, 4, width_ratios=(2, 1, 2, 2))
    for label, accuracies in curves.items():
        curve.plot(np.arange(1, len(accuracies) + 1), accuracies, label=label)
    curve.set(title="accuracy on test digits", xlabel="epoch", ylim=(0.8, 1))
    curve.legend(loc="lower right")
    left.imshow(image.reshape(8, 8), cmap="gray_r")
    left.set(title=f"shown: {digit}", xticks=[], yticks=[])
    middle.eventplot([times[train > 0] for train in spikes.T], colors="black", linewidths=0.8)
    middle.set(title=f"spikes of {spikes.shape[1]} neurons", xlabel="time (ms)", ylabel="neuron")
    for number, value in enumerate(values.T):
        right.plot(times, value, label=str(number))
    right.set(title=f"decided: {values[-1].argmax()}", xlabel="time (ms)")
    right.legend(title="digit", loc="upper left", bbox_to_anchor=(1, 1))
    fig.savefig(path, dpi=120)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--neurons", type=int, nargs="+", default=[256, 128], help="per layer")
    parser.add_argument("--epochs", type=int, default=30, help="of rate training (%(default)s)")
    parser.add_argument(
        "--surrogate-epochs", type=int, default=8, help="of training with spikes (%(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of everything (%(default)s)")
    parser.add_argument(
        "--output", type=Path, default=Path("digits.png"), help="picture (%(default)s)"
    )
    args = parser.parse_args()
    for name in ("epochs", "surrogate_epochs", *(["neurons"] * len(args.neurons))):
        value = getattr(args, name)
        if min(value if name == "neurons" else [value]) < 1:
            parser.error(f"--{name.replace('_', '-')} is {value}; it must be at least 1")
    return args


def main():
    args = parse_arguments()
    data, test = load_data(args.seed)
    images, classes = test
    inputs = shown(images, STEPS)
    print(f"{sum(args.neurons)} LIF neurons, {len(data[0])} digits to learn, {len(images)} to test")

    keras.utils.set_random_seed(args.seed)
    rates = DigitNetwork(args.neurons, args.seed, lif_smoothing=0.1, learning_phase=True)
    with rates.simulator() as sim, tempfile.TemporaryDirectory() as folder:
        rate_curve, seconds = train(sim, rates.now, data, test, 1, args.epochs, 0.003)
        print(f"training by rates: {args.epochs} epochs, {seconds * 1000:.0f} ms per epoch")
        values = sim.predict(shown(images, 1))[rates.now]
        print(f"accuracy with rates: {accuracy(values, classes):.1%}")
        sim.save_params(Path(folder) / "digits")
        spiking = DigitNetwork(args.neurons, args.seed)
        with spiking.simulator() as spiking_sim:
            spiking_sim.load_params(Path(folder) / "digits")
            result = spiking_sim.predict(inputs)
    print(f"accuracy with spikes: {accuracy(result[spiking.filtered], classes):.1%}")

    surrogate = DigitNetwork(args.neurons, args.seed, surrogate=nengo_dl.surrogates.SuperSpike())
    with surrogate.simulator() as sim:
        curve, seconds = train(
            sim, surrogate.filtered, data, test, STEPS, args.surrogate_epochs, 0.003
        )
        print(
            f"training with spikes, {STEPS} steps: {args.surrogate_epochs} epochs, "
            f"{seconds * 1000:.0f} ms per epoch"
        )
        result = sim.predict(inputs)
    values, spikes = result[surrogate.filtered], result[surrogate.spikes]
    print(f"accuracy with spikes, trained with spikes: {accuracy(values, classes):.1%}")

    curves = {"by rates": rate_curve, "with spikes": curve}
    draw(args.output, curves, images[0], classes[0], spikes[0], values[0])
    decided = values[0, -1].argmax()
    print(f"picture: {args.output}, shown is a {classes[0]}, decided was {decided}")


if __name__ == "__main__":
    main()
