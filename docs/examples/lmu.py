"""Recognise digits that are read pixel by pixel, with a Legendre memory unit of Nengo objects.

The 64 pixels of a digit come one per step, in an order drawn at random. A linear memory keeps the
last 64 values, as coefficients of Legendre polynomials; a hidden layer reads and writes it. The
answer counts in the last step. See Voelker, Kajić and Eliasmith, "Legendre Memory Units", 2019.

    python docs/examples/lmu.py --help
"""

import tempfile
from pathlib import Path

import common
import keras
import nengo
import numpy as np
import tensorflow as tf
from scipy.signal import cont2discrete

import nengo_dl

STEPS = 64  # pixels
ORDER = 24  # Legendre polynomials
HIDDEN = 64
MINIBATCH = 36


class LegendreMemoryUnit(nengo.Network):
    """A memory and a hidden layer, each of which knows what the other held a step ago.

    Parameters
    ----------
    order, hidden : int
        Polynomials, and size of the hidden layer.
    theta : float
        Steps that the memory spans.
    in_tensorflow : bool
        Whether TensorFlow calculates the hidden layer, otherwise neurons of Nengo's do.
    """

    def __init__(self, order, hidden, theta, in_tensorflow):
        super().__init__()
        a, b = delay_matrices(order, theta)
        glorot, small = nengo_dl.dists.Glorot(), nengo.dists.Uniform(-0.05, 0.05)
        with self:
            self.x = nengo.Node(size_in=1)
            written, memory = nengo.Node(size_in=1), nengo.Node(size_in=order)
            if in_tensorflow:
                self.h = nengo_dl.TensorNode(tf.tanh, shape_in=(hidden,), pass_time=False)
            else:
                self.h = nengo.Ensemble(
                    hidden,
                    1,
                    neuron_type=nengo.Tanh(tau_ref=1),
                    gain=np.ones(hidden),
                    bias=np.zeros(hidden),
                ).neurons
            # a synapse of 0 is a delay by one step
            nengo.Connection(self.x, written, synapse=None)
            nengo.Connection(memory, written, transform=small, synapse=0)
            nengo.Connection(self.h, written, transform=small, synapse=0)
            fixed = [
                nengo.Connection(memory, memory, transform=a, synapse=0),
                nengo.Connection(written, memory, transform=b, synapse=None),
            ]
            nengo.Connection(self.x, self.h, transform=glorot, synapse=None)
            nengo.Connection(self.h, self.h, transform=glorot, synapse=0)
            nengo.Connection(memory, self.h, transform=glorot, synapse=None)
            nengo_dl.configure_settings(trainable=None)  # adds the parameter to the config
            for connection in fixed:
                self.config[connection].trainable = False


def delay_matrices(order, theta):
    """Matrices of the differential equation of a delay by ``theta``, over one step."""
    i, j = np.mgrid[:order, :order]
    scale = (2 * np.arange(order)[:, None] + 1) / theta
    a = scale * np.where(i < j, -1, (-1.0) ** (i - j + 1))
    b = scale * (-1.0) ** np.arange(order)[:, None]
    a, b, *_ = cont2discrete((a, b, np.eye(order), np.zeros((order, 1))), dt=1.0, method="zoh")
    return a, b


def network(seed, in_tensorflow):
    """Input, memory unit, classes; returns the network and its Probe."""
    with nengo.Network(seed=seed) as net:
        nengo_dl.configure_settings(stateful=False, keep_history=False)
        pixel = nengo.Node([0])
        unit = LegendreMemoryUnit(ORDER, HIDDEN, STEPS, in_tensorflow)
        classes = nengo.Node(size_in=10)
        nengo.Connection(pixel, unit.x, synapse=None)
        nengo.Connection(unit.h, classes, transform=nengo_dl.dists.Glorot(), synapse=None)
        return net, nengo.Probe(classes, label="classes")


def train(net, probe, data, epochs, file=None):
    """Train through all steps, perhaps save the parameters, return the losses of the epochs."""
    with nengo_dl.Simulator(net, minibatch_size=MINIBATCH, progress_bar=False) as sim:
        sim.compile(
            keras.optimizers.Adam(0.003),
            loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        )
        x, y = data
        history = sim.fit(x, {probe: y.reshape(-1, 1, 1)}, epochs=epochs, verbose=0)
        if file:
            sim.save_params(file)
    return history.history["loss"]


def main():
    args = common.arguments(__doc__)
    order = np.random.RandomState(args.seed).permutation(STEPS)
    (x, y), (test_x, test_y) = common.digits(args.seed, MINIBATCH)
    x, test_x = x[:, order, None], test_x[:, order, None]  # a pixel per step
    net, probe = network(args.seed, in_tensorflow=False)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "lmu"
        losses = train(net, probe, (x, y), 6 if args.short else 40, file)
        print(f"loss in the first epoch {losses[0]:.2f}, in the last one {losses[-1]:.2f}")
        with nengo_dl.Simulator(net, minibatch_size=MINIBATCH, progress_bar=False) as sim:
            sim.load_params(file)
            values = sim.predict(test_x)[probe]  # of the last step only
    print(f"accuracy after {STEPS} steps: {common.accuracy(values, test_y):.1%}")

    net, probe = network(args.seed, in_tensorflow=True)
    few = x[: 5 * MINIBATCH], y[: 5 * MINIBATCH]
    losses = train(net, probe, few, 3)
    print(f"with a hidden layer in TensorFlow, loss {losses[0]:.2f}, then {losses[-1]:.2f}")


if __name__ == "__main__":
    main()
