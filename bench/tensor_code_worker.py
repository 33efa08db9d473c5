"""Runs models that call TensorFlow, here or in the original NengoDL; see `tensor_code.py`.

It runs under the original's Python, too: only what Python 3.8 and both packages know is used here.
"""

import argparse
import resource

import nengo
import numpy as np
from protocol import Channel, limit_threads, timed

BATCH = 50


def convolutions(keras, nengo_dl, spiking):
    """The network of NengoDL's MNIST example: convolutions as Keras layers, neurons between."""
    with nengo.Network(seed=0) as net:
        net.config[nengo.Ensemble].max_rates = nengo.dists.Choice([100])
        net.config[nengo.Ensemble].intercepts = nengo.dists.Choice([0])
        net.config[nengo.Connection].synapse = None
        neurons = nengo.LIF(amplitude=0.01) if spiking else nengo.LIFRate(amplitude=0.01)
        nengo_dl.configure_settings(stateful=False)
        x = net.inp = nengo.Node(np.zeros(28 * 28))
        shape = (28, 28, 1)
        for filters, strides in ((32, 1), (64, 2), (128, 2)):
            layer = keras.layers.Conv2D(filters=filters, strides=strides, kernel_size=3)
            x = nengo_dl.Layer(layer)(x, shape_in=shape)
            shape = tuple(x.shape_out)
            x = nengo_dl.Layer(neurons)(x)
        out = nengo_dl.Layer(keras.layers.Dense(units=10))(x)
        net.out, net.filtered = nengo.Probe(out), nengo.Probe(out, synapse=0.1)
    return net


def cycle(tf, nengo_dl):
    """A TensorNode in the loop of an ensemble."""
    with nengo.Network(seed=0) as net:
        net.inp, ens = nengo.Node(np.zeros(8)), nengo.Ensemble(200, 8)
        node = nengo_dl.TensorNode(tf.tanh, shape_in=(8,), shape_out=(8,), pass_time=False)
        nengo.Connection(net.inp, ens)
        nengo.Connection(ens, node)
        nengo.Connection(node, ens)
        net.out = nengo.Probe(node)
    return net


def converted(keras, nengo_dl):
    """A small convolutional network of Keras, as spiking neurons."""
    inp = keras.Input((28, 28, 1))
    x = keras.layers.Conv2D(16, 3, activation="relu")(inp)
    x = keras.layers.Conv2D(32, 3, strides=2, activation="relu")(x)
    x = keras.layers.Flatten()(x)
    out = keras.layers.Dense(10)(x)
    model = keras.Model(inp, out)
    relu = keras.activations.relu
    swap = {relu: nengo.SpikingRectifiedLinear(amplitude=0.01)}
    found = nengo_dl.Converter(model, swap_activations=swap, synapse=0.01, inference_only=True)
    net = found.net
    net.inp, net.out = found.inputs[inp], found.outputs[out]
    return net


class Calls:
    """One simulator, and what may be asked of it."""

    def __init__(self):
        import tensorflow as tf

        import nengo_dl

        self.tf, self.keras, self.nengo_dl = tf, tf.keras, nengo_dl
        self.sim = None

    def load(self, case, unroll):
        """Make the simulator and the data of a case."""
        if self.sim is not None:
            self.sim.close()
        draw, items, steps, name = np.random.RandomState(0), BATCH, 30, case.partition(" ")[0]
        if name == "cycle":
            net, items, steps = cycle(self.tf, self.nengo_dl), int(case.split()[1]), 1000
        elif name == "converted":
            net = converted(self.keras, self.nengo_dl)
        else:
            net = convolutions(self.keras, self.nengo_dl, name == "predict")
        if name == "train":
            steps, items = 1, 10 * BATCH
        size = net.inp.size_out
        self.x = draw.rand(items, steps, size).astype(np.float32)
        self.y = draw.randint(0, 10, (items, steps, 1))
        self.net, self.call = net, self.fit if name == "train" else self.predict
        self.sim = self.nengo_dl.Simulator(
            net, minibatch_size=min(items, BATCH), unroll_simulation=min(steps, unroll),
            progress_bar=False,
        )  # fmt: skip
        if name == "train":
            loss = self.keras.losses.SparseCategoricalCrossentropy(from_logits=True)
            self.sim.compile(self.keras.optimizers.SGD(0.001), loss={net.out: loss})
        return {}

    def fit(self):
        """An epoch."""
        self.sim.fit(self.x, {self.net.out: self.y}, epochs=1, verbose=0)

    def predict(self):
        """All steps of a minibatch."""
        self.sim.predict(self.x)

    def time(self, repeat, warm_up):
        """Seconds of a call."""
        return timed(self.call, repeat, warm_up)[0]

    def grow(self, n_steps):
        """Megabytes by which a run of so many steps raises the most that was ever taken."""
        with nengo.Network(seed=0) as net:
            self.nengo_dl.configure_settings(keep_history=True)
            u = nengo.Node(np.zeros(100))
            x = self.nengo_dl.Layer(self.keras.layers.Dense(2000))(u)
            p = nengo.Probe(self.nengo_dl.Layer(self.keras.layers.Dense(1))(x))
        net.config[p].keep_history = False
        with self.nengo_dl.Simulator(net, minibatch_size=4, progress_bar=False) as sim:
            sim.run_steps(500)
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            sim.run_steps(n_steps)
            after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return {"megabytes": (after - before) / 1024}


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    channel = Channel()
    limit_threads(args.threads)
    calls = Calls()
    channel.answer()
    channel.serve({name: getattr(calls, name) for name in ("load", "time", "grow")})
