"""What a simulator for deep learning adds to Nengo.

A network that calculates sin(x²) is run by both simulators, on a minibatch of several signals, and
on data given for the run. Then its encoders, biases and decoders are trained; and a function is
written once in Python and once in TensorFlow, which runs on all items and steps at once.

    python docs/examples/from_nengo.py --help
"""

import time

import common
import keras
import nengo
import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure

import nengo_dl

NEURONS = 50
SETTLE = 10  # last steps that a loss of spiking neurons counts


class Chain:
    """A signal, its square, and the sine of that; each is decoded from an ensemble."""

    def __init__(self, seed, **settings):
        with nengo.Network(seed=seed) as self.net:
            nengo_dl.configure_settings(**settings)
            self.source = nengo.Node(nengo.processes.WhiteSignal(1.0, high=5, rms=0.5))
            first, second = nengo.Ensemble(NEURONS, 1), nengo.Ensemble(NEURONS, 1)
            result = nengo.Node(size_in=1)
            nengo.Connection(self.source, first)
            nengo.Connection(first, second, function=np.square)
            nengo.Connection(second, result, function=np.sin, synapse=None)
            self.result = nengo.Probe(result, synapse=0.01)


def compared(seed):
    """The outputs of both simulators, and of a minibatch."""
    chain = Chain(seed, dtype="float64")
    with nengo.Simulator(chain.net, progress_bar=False) as sim:
        sim.run(1.0)
        expected = sim.data[chain.result]
    with nengo_dl.Simulator(chain.net, progress_bar=False) as sim:
        sim.run(1.0)
        found, times = sim.data[chain.result], sim.trange()
    print(f"the simulators differ by {abs(expected - found).max():.0e}")

    with nengo_dl.Simulator(chain.net, minibatch_size=3, progress_bar=False) as sim:
        sim.run(1.0)
        print(f"three signals at once: output of shape {sim.data[chain.result].shape}")
        data = np.repeat([[[-0.8]], [[0.0]], [[0.8]]], 200, axis=1)
        sim.reset()
        sim.run_steps(200, data={chain.source: data})
        means = sim.data[chain.result][:, 100:].mean(axis=1).ravel()
    print(f"given -0.8, 0 and 0.8: {np.array2string(means, precision=2)}; sin(x²): 0.60 0.00 0.60")
    return times, expected, found


def of_last_steps(y_true, y_pred):
    """Mean squared error when the output has settled."""
    return tf.reduce_mean(tf.square(y_true[:, -SETTLE:] - y_pred[:, -SETTLE:]))


def trained(seed, short):
    """Train encoders and biases by rates, in single steps; returns the losses with spikes."""
    with nengo.Network(seed=seed) as net:
        nengo_dl.configure_settings(trainable=False)
        net.config[nengo.Ensemble].trainable = True  # its encoders and biases, but no decoders
        net.config[nengo.Connection].synapse = None
        source, result = nengo.Node([0]), nengo.Node(size_in=1)
        ensemble = nengo.Ensemble(NEURONS, 1, neuron_type=nengo.LIF())
        nengo.Connection(source, ensemble)
        nengo.Connection(ensemble, result)  # decodes what it is given
        now, filtered = nengo.Probe(result), nengo.Probe(result, synapse=0.02)
    rng = np.random.RandomState(seed)
    x = rng.uniform(-1, 1, size=(1024 if short else 4096, 1, 1))
    target = np.sin(3 * x)  # which the decoders know nothing of
    test = np.repeat(x[:64], 100, axis=1)
    with nengo_dl.Simulator(net, minibatch_size=64, progress_bar=False) as sim:
        losses = []
        for epochs in (0, 5 if short else 40):
            if epochs:
                sim.compile(keras.optimizers.Adam(0.05), loss={now: "mse"})
                sim.fit(x, {now: target}, epochs=epochs, verbose=0)
            sim.compile(loss={filtered: of_last_steps})
            losses.append(sim.evaluate(test, {filtered: np.sin(3 * test)}, verbose=0)["loss"])
    return losses


def exponentials(steps):
    """exp in Python and in TensorFlow: their greatest difference, and the seconds of each."""
    found, seconds = [], []
    data = np.random.uniform(size=(16, steps, 10))
    for name in ("Node", "TensorNode"):
        with nengo.Network() as net:
            source = nengo.Node(np.zeros(10))
            if name == "Node":
                node = nengo.Node(lambda t, x: np.exp(x), size_in=10)
            else:
                node = nengo_dl.TensorNode(tf.exp, shape_in=(10,), pass_time=False)
            nengo.Connection(source, node, synapse=None)
            probe = nengo.Probe(node)
        with nengo_dl.Simulator(net, minibatch_size=16, progress_bar=False) as sim:
            sim.predict(data)  # the first call compiles
            start = time.perf_counter()
            found.append(sim.predict(data)[probe])
            seconds.append(time.perf_counter() - start)
    return abs(found[0] - found[1]).max(), seconds


def main():
    args = common.arguments(__doc__, "from_nengo.png")
    times, expected, found = compared(args.seed)
    before, after = trained(args.seed, args.short)
    print(f"loss with spikes: {before:.3f}, after training of encoders and biases: {after:.3f}")
    difference, (python, tensorflow) = exponentials(500)
    print(
        f"exp: {python:.3f} s in Python, {tensorflow:.3f} s in TensorFlow, "
        f"equal to {difference:.0e}"
    )
    fig = Figure(figsize=(6, 3), layout="constrained")
    axes = fig.subplots()
    axes.plot(times, expected, linewidth=4, color="lightgray", label="nengo.Simulator")
    axes.plot(times, found, linewidth=1, label="nengo_dl.Simulator")
    axes.set(title="sin(x²) of a random signal", xlabel="time (s)")
    axes.legend()
    fig.savefig(args.output, dpi=80)
    print(f"picture: {args.output}")


if __name__ == "__main__":
    main()
