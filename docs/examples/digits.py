"""Recognise handwritten digits with spiking neurons, without gradient descent.

One Nengo ensemble of LIF neurons looks at the 8 x 8 pixels of scikit-learn's 1,797 digits. Its
decoders are solved by least squares on 80 % of them; the other 20 % are then shown for 100 ms each
and told apart by the decoded spikes. All of them run as minibatches in ``nengo_dl.Simulator``, the
first few in ``nengo.Simulator`` too.

    python docs/examples/digits.py --help
"""

import argparse
import time
from pathlib import Path

import nengo
import numpy as np
from matplotlib.figure import Figure
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import nengo_dl

DT = 0.001  # seconds per step
STEPS = 100  # steps for which each digit is shown
N_CLASSES = 10
N_RASTER = 60  # neurons whose spikes are recorded


def load_data(seed=0):
    """Images as zero-mean vectors of length 1, and their classes, as (train, test) pairs."""
    images, classes = load_digits(return_X_y=True)
    images = images - images.mean(axis=1, keepdims=True)
    images /= np.linalg.norm(images, axis=1, keepdims=True)
    train_x, test_x, train_y, test_y = train_test_split(
        images, classes, test_size=0.2, random_state=seed, stratify=classes
    )
    return (train_x, train_y), (test_x, test_y)


def patch_encoders(images, n_neurons, rng, side=4):
    """Encoders cut out of training images: each neuron looks at one patch of one image."""
    encoders = np.zeros((n_neurons, 8, 8))
    corners = rng.integers(0, 8 - side + 1, size=(n_neurons, 2))
    sources = images[rng.integers(0, len(images), size=n_neurons)].reshape(-1, 8, 8)
    for encoder, source, (row, col) in zip(encoders, sources, corners, strict=True):
        window = np.s_[row : row + side, col : col + side]
        encoder[window] = source[window] - source[window].mean()
    # A patch of plain background prefers no direction: such a neuron gets random weights.
    flat = np.ptp(encoders, axis=(1, 2)) < 0.05
    encoders[flat] = rng.standard_normal((flat.sum(), 8, 8))
    return encoders.reshape(n_neurons, 64)


class DigitNetwork:
    """The network, its nodes and its probes.

    ``shown`` is the image that the input node puts out where no data is given to it, as in
    ``nengo.Simulator``.
    """

    def __init__(self, train, n_neurons, dtype="float32", seed=0):
        images, classes = train
        self.shown = images[0]
        with nengo.Network(seed=seed) as self.net:
            nengo_dl.configure_settings(dtype=dtype)
            self.image = nengo.Node(lambda t: self.shown, size_out=64)
            neurons = nengo.Ensemble(
                n_neurons,
                dimensions=64,
                encoders=patch_encoders(images, n_neurons, np.random.default_rng(seed)),
                intercepts=nengo.dists.Uniform(-0.2, 0.6),
                max_rates=nengo.dists.Uniform(100, 200),
                eval_points=images,
                normalize_encoders=True,
            )
            decision = nengo.Node(size_in=N_CLASSES)
            nengo.Connection(self.image, neurons, synapse=None)
            nengo.Connection(
                neurons,
                decision,
                eval_points=images,
                scale_eval_points=False,
                function=np.eye(N_CLASSES)[classes],
                solver=nengo.solvers.LstsqL2(reg=0.05),
                synapse=None,
            )
            self.decision = nengo.Probe(decision, synapse=0.03)
            self.spikes = nengo.Probe(neurons.neurons[:N_RASTER])


def run_nengo(digits, images):
    """Show the images one after the other to ``nengo.Simulator``; scores and seconds."""
    scores = np.empty((len(images), STEPS, N_CLASSES))
    with nengo.Simulator(digits.net, dt=DT, progress_bar=False) as sim:
        start = time.perf_counter()
        for score, image in zip(scores, images, strict=True):
            digits.shown = image
            sim.reset()
            sim.run_steps(STEPS)
            score[:] = sim.data[digits.decision]
        seconds = time.perf_counter() - start
    return scores, seconds


def run_nengo_dl(digits, images, minibatch):
    """Show the images in minibatches to ``nengo_dl.Simulator``; scores, spikes and seconds."""
    # The last minibatch is filled up with blank images, whose scores are dropped again.
    n_items = -(-len(images) // minibatch) * minibatch
    data = np.zeros((n_items, STEPS, 64))
    data[: len(images)] = images[:, None, :]
    with nengo_dl.Simulator(digits.net, dt=DT, minibatch_size=minibatch, progress_bar=False) as sim:
        sim.predict({digits.image: data[:minibatch]})  # the first call makes Keras trace the model
        start = time.perf_counter()
        result = sim.predict({digits.image: data}, verbose=0)
        seconds = time.perf_counter() - start
    n = len(images)
    return result[digits.decision][:n], result[digits.spikes][:n], seconds


def decide(scores):
    """The class with the highest decoded value when the image is taken away."""
    return scores[:, -1].argmax(axis=-1)


def draw(path, image, spikes, scores):
    """One digit, the spikes it causes and the classes decoded from them, as a PNG file."""
    times = np.arange(1, STEPS + 1) * DT * 1000
    fig = Figure(figsize=(13, 4), layout="constrained")
    left, middle, right = fig.subplots(1, 3, width_ratios=(1, 2, 2))
    left.imshow(image.reshape(8, 8), cmap="gray")
    left.set(title="image", xticks=[], yticks=[])
    middle.eventplot([times[train > 0] for train in spikes.T], colors="black", linewidths=0.8)
    middle.set(title=f"spikes of {spikes.shape[1]} neurons", xlabel="time (ms)", ylabel="neuron")
    for digit, score in enumerate(scores.T):
        right.plot(times, score, label=str(digit))
    right.set(title="decoded classes", xlabel="time (ms)")
    right.legend(title="digit", loc="upper left", bbox_to_anchor=(1, 1))
    fig.savefig(path, dpi=120)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--neurons", type=int, default=3000, help="LIF neurons (%(default)s)")
    parser.add_argument("--minibatch", type=int, default=60, help="digits at once (%(default)s)")
    parser.add_argument(
        "--compare", type=int, default=40, help="digits to run in nengo.Simulator (%(default)s)"
    )
    parser.add_argument(
        "--output", type=Path, default=Path("digits.png"), help="picture (%(default)s)"
    )
    args = parser.parse_args()
    for name in ("neurons", "minibatch", "compare"):
        if getattr(args, name) < 1:
            parser.error(f"--{name} is {getattr(args, name)}; it must be at least 1")
    return args


def main():
    args = parse_arguments()
    train, (images, classes) = load_data()
    part = images[: args.compare]
    print(f"{args.neurons} LIF neurons, decoders solved on {len(train[0])} digits")

    digits = DigitNetwork(train, args.neurons)
    scores, spikes, seconds = run_nengo_dl(digits, images, args.minibatch)
    accuracy = np.mean(decide(scores) == classes)
    print(f"accuracy on {len(images)} test digits of {STEPS} ms: {accuracy:.1%}")
    print(
        f"nengo_dl.Simulator  {len(images):4d} digits  {seconds:7.3f} s  "
        f"{seconds / len(images) * 1000:8.3f} ms per digit"
    )

    reference, seconds = run_nengo(digits, part)
    print(
        f"nengo.Simulator     {len(part):4d} digits  {seconds:7.3f} s  "
        f"{seconds / len(part) * 1000:8.3f} ms per digit"
    )

    # Like with like: Nengo computes in double precision, so this comparison does too.
    double = DigitNetwork(train, args.neurons, dtype="float64")
    exact, _, _ = run_nengo_dl(double, part, min(args.minibatch, len(part)))
    print(
        f"largest difference of a decoded value over {len(part)} digits: "
        f"{np.abs(exact - reference).max():.1e} in float64; "
        f"classes that differ in float32: "
        f"{np.count_nonzero(decide(scores[: len(part)]) != decide(reference))}"
    )

    draw(args.output, images[0], spikes[0], scores[0])
    print(f"picture: {args.output}")


if __name__ == "__main__":
    main()
