"""Train a memory of neurons through time, then with parts before and behind it.

A vector is shown for ten steps, and is to be held for forty more. Then pairs of words come one
after the other, are bound, kept in such a memory, and asked for: all of it is trained at once, by a
loss for each part, at the times when its output is known.

    python docs/examples/spa_memory.py --help
"""

import tempfile
from pathlib import Path

import common
import keras
import nengo
import numpy as np
from matplotlib.figure import Figure
from vectors import bound, recognised, vocabulary

import nengo_dl

DIMENSIONS = 16
NEURONS = 20  # for a product
MEMORY_NEURONS = 8  # for a number of the memory
WORDS = 8
MINIBATCH = 25
STEPS, SHOWN = 50, 10  # a vector is shown for the first of the steps
TAU = 0.05  # seconds, of the synapse from the memory back to itself


def memory():
    """Integrators with a synapse from each to itself."""
    array = nengo.networks.EnsembleArray(MEMORY_NEURONS, DIMENSIONS)
    nengo.Connection(array.output, array.input, synapse=TAU)
    return array


def configured(seed):
    """An empty network of rate neurons without synapses."""
    net = nengo.Network(seed=seed)
    net.config[nengo.Ensemble].neuron_type = nengo.RectifiedLinear()
    net.config[nengo.Connection].synapse = None
    return net


def simulator(net):
    """A simulator of a minibatch."""
    return nengo_dl.Simulator(net, minibatch_size=MINIBATCH, progress_bar=False)


def hold(rng, seed, items, epochs):
    """Train a memory alone; returns a target, its values before and after, and the losses."""
    net = configured(seed)
    with net:
        source = nengo.Node(np.zeros(DIMENSIONS))
        array = memory()
        gain = TAU / (SHOWN * 0.001)  # what is shown has been added up once when it ends
        nengo.Connection(source, array.input, transform=gain, synapse=TAU)
        probe = nengo.Probe(array.output, label="memory")
    vectors = vocabulary(rng, items, DIMENSIONS)
    x = np.zeros((items, STEPS, DIMENSIONS))
    x[:, :SHOWN] = vectors[:, None]
    target = np.full_like(x, np.nan)
    target[:, SHOWN:] = vectors[:, None]
    with simulator(net) as sim:
        sim.compile(keras.optimizers.Adam(1e-4), loss={probe: nengo_dl.losses.nan_mse})
        found = [sim.predict(x[:MINIBATCH])[probe][0]]
        losses = [sim.evaluate(x, {probe: target}, verbose=0)["loss"]]
        sim.fit(x, {probe: target}, epochs=epochs, verbose=0)
        losses.append(sim.evaluate(x, {probe: target}, verbose=0)["loss"])
        found.append(sim.predict(x[:MINIBATCH])[probe][0])
    return vectors[0], found, losses


class Pairs:
    """Binds pairs of words, keeps their sum, and answers questions."""

    def __init__(self, seed):
        self.net = configured(seed)
        convolution = nengo.networks.CircularConvolution
        with self.net:
            sources = [nengo.Node(np.zeros(DIMENSIONS), label=n) for n in ("one", "two", "asked")]
            bind = convolution(NEURONS, DIMENSIONS)
            array = memory()
            unbind = convolution(NEURONS, DIMENSIONS, invert_b=True)
            nengo.Connection(sources[0], bind.input_a)
            nengo.Connection(sources[1], bind.input_b)
            gain = TAU / (SHOWN * 0.001)
            nengo.Connection(bind.output, array.input, transform=gain, synapse=TAU)
            nengo.Connection(array.output, unbind.input_a)
            nengo.Connection(sources[2], unbind.input_b)
            parts = {"binding": bind, "memory": array, "answer": unbind}
            self.probes = {n: nengo.Probe(part.output, label=n) for n, part in parts.items()}

    @staticmethod
    def data(rng, words, items):
        """Inputs, targets (NaN where any value will do), and the words that answer."""
        chosen = np.stack([rng.permutation(len(words))[:4] for _ in range(items)])
        vectors = words[chosen]
        x = {name: np.zeros((items, STEPS, DIMENSIONS)) for name in ("one", "two", "asked")}
        y = {name: np.full_like(x["one"], np.nan) for name in ("binding", "memory", "answer")}
        for pair, steps in enumerate((slice(SHOWN), slice(SHOWN, 2 * SHOWN))):
            one, two = vectors[:, 2 * pair, None], vectors[:, 2 * pair + 1, None]
            x["one"][:, steps], x["two"][:, steps] = one, two
            y["binding"][:, steps] = bound(one, two)
        total = bound(vectors[:, 0], vectors[:, 1]) + bound(vectors[:, 2], vectors[:, 3])
        y["memory"][:, 2 * SHOWN :] = total[:, None]
        x["asked"][:, 2 * SHOWN :] = vectors[:, :1]
        y["answer"][:, 2 * SHOWN :] = vectors[:, 1:2]
        return x, y, chosen[:, 1]


def draw(path, target, found):
    """Some numbers of a memory before and after training, as a PNG file."""
    fig = Figure(figsize=(8, 3), layout="constrained")
    for axes, values, title in zip(
        fig.subplots(1, 2, sharey=True), found, ("before", "after"), strict=True
    ):
        for i, color in enumerate(("C0", "C1", "C2", "C3")):
            axes.axhline(target[i], color=color, linestyle="--", linewidth=0.8)
            axes.plot(values[:, i], color=color)
        axes.set(title=f"memory {title} training", xlabel="time (ms)")
    fig.savefig(path, dpi=80)


def main():
    args = common.arguments(__doc__, "spa_memory.png")
    rng = np.random.RandomState(args.seed)
    items, epochs = (200, 4) if args.short else (1000, 30)
    target, found, losses = hold(rng, args.seed, items, epochs)
    print(f"memory: loss {losses[0]:.4f}, after training {losses[1]:.4f}")
    draw(args.output, target, found)

    words = vocabulary(rng, WORDS, DIMENSIONS)
    x, y, _ = Pairs.data(rng, words, items)
    test_x, _, answers = Pairs.data(rng, words, 100)
    network = Pairs(args.seed)
    with simulator(network.net) as sim, tempfile.TemporaryDirectory() as folder:
        sim.compile(
            keras.optimizers.Adam(1e-4),
            loss=dict.fromkeys(network.probes, nengo_dl.losses.nan_mse),
            loss_weights={"binding": 0.5, "memory": 1.0, "answer": 2.0},
        )
        history = sim.fit(x, y, epochs=epochs, verbose=0).history
        for name in network.probes:
            first, *_, last = history[f"{name}_loss"]
            print(f"{name}: loss {first:.4f} in the first epoch, {last:.4f} in the last one")
        sim.save_params(Path(folder) / "pairs")
        with simulator(network.net) as fresh:
            for label in ("before", "after"):
                if label == "after":
                    fresh.load_params(Path(folder) / "pairs")
                values = fresh.predict(test_x)["answer"][:, -1]
                print(f"recognised {label} training: {recognised(values, words, answers):.1%}")
    print(f"picture: {args.output}")


if __name__ == "__main__":
    main()
