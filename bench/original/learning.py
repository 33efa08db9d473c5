"""SPEC 1.5 and 1.10 once more: what else may be trained, and how."""

import nengo
import numpy as np
import tensorflow as tf
from models import feedforward, network, outcome, rates, recurrent, rows, sgd, simulator, texts
from training_networks import decode, ensemble

import nengo_dl


def _losses(net, x, y, rate, epochs=4, **kwargs):
    with simulator(net, minibatch_size=len(x)) as sim:
        sim.compile(sgd(rate), loss={net.p: "mse"})
        found = sim.fit({net.inp: x}, {net.p: y}, epochs=epochs, verbose=0, shuffle=False, **kwargs)
        return {"losses": found.history["loss"], "p": sim.predict({net.inp: x})[net.p]}


def double():
    """S-50, C-07: ten steps of gradient descent in double precision, through a loop."""
    net = recurrent(nengo.LIFRate(), dtype="float64")
    return _losses(net, rows(4, 20, 1), rows(4, 20, 1, seed=1), 1e-5, epochs=10)


def neuron_types():
    """S-46, O-01 to O-03: through all types of neurons."""
    found = {}
    for kind in (
        nengo.Sigmoid(),
        nengo.Tanh(),
        nengo.LIFRate(),
        nengo.LIF(amplitude=0.1),
        nengo.RegularSpiking(nengo.LIFRate()),
        nengo_dl.LeakyReLU(0.1),
        nengo_dl.SpikingLeakyReLU(0.1),
        nengo_dl.SoftLIFRate(sigma=0.1),
    ):
        net = feedforward(kind)
        found[type(kind).__name__] = _losses(net, rows(4, 6, 2), rows(4, 6, 1, seed=1), 1e-5)[
            "losses"
        ]
    return found


def convolutions():
    """O-11: kernels of convolutions, through rectified neurons."""
    net = network()
    conv = nengo.Convolution(2, (4, 4, 1), kernel_size=(3, 3), init=rows(3, 3, 1, 2))
    back = nengo.ConvolutionTranspose(1, (2, 2, 2), kernel_size=(3, 3), init=rows(3, 3, 2, 1))
    with net:
        net.inp = nengo.Node(np.zeros(16))
        given = {"gain": np.ones(8), "bias": np.ones(8), "encoders": np.ones((8, 1))}
        hidden = nengo.Ensemble(8, 1, neuron_type=nengo.RectifiedLinear(), **given)
        out = nengo.Node(size_in=16)
        nengo.Connection(net.inp, hidden.neurons, transform=conv, synapse=None)
        nengo.Connection(hidden.neurons, out, transform=back, synapse=None)
        net.p = nengo.Probe(out)
    return _losses(net, rows(4, 1, 16), rows(4, 1, 16, seed=1), 0.1)


def sparse():
    """O-11: elements of sparse matrices, scalars, parts of signals."""
    net = network()
    with net:
        net.inp = nengo.Node(np.zeros(4))
        out = nengo.Node(size_in=3)
        matrix = nengo.Sparse((3, 4), indices=[(0, 1), (2, 3), (2, 0)], init=[0.5, -1, 2])
        nengo.Connection(net.inp, out, transform=matrix, synapse=None)
        nengo.Connection(net.inp[1:3], out[[2, 0]], transform=0.3, synapse=0.005)
        nengo.Connection(net.inp[::2], out[:2], transform=[1, 2], synapse=nengo.Alpha(0.01))
        net.p = nengo.Probe(out)
    return _losses(net, rows(4, 5, 4), rows(4, 5, 3, seed=1), 0.05)


def all_synapses():
    """O-08: through filters of all orders."""
    net = network()
    with net:
        net.inp = nengo.Node(np.zeros(2))
        out = nengo.Node(size_in=2)
        for index, synapse in enumerate(
            (0.01, 0, None, nengo.Alpha(0.02), nengo.LinearFilter([1, 0.3], [0.002, 0.05, 1]))
        ):
            matrix = rows(2, 2, seed=index)
            nengo.Connection(net.inp, out, transform=matrix, synapse=synapse)
        net.p = nengo.Probe(out, synapse=0.003)
    return _losses(net, rows(4, 8, 2), rows(4, 8, 2, seed=9), 0.05)


def two_outputs():
    """S-37: two Probes of an ensemble in a loop, one without a target."""
    net = recurrent(nengo.RectifiedLinear())
    with net:
        q = nengo.Probe(net.ens.neurons[:3], synapse=0.01)
        nengo.Probe(net.ens)
    x = rows(4, 6, 1)
    with simulator(net, minibatch_size=4) as sim:
        sim.compile(sgd(1e-5), loss={net.p: "mse", q: "mae"}, loss_weights={q: 1e-3})
        found = sim.fit({net.inp: x}, {net.p: rows(4, 6, 1), q: rows(4, 6, 3)}, epochs=3, verbose=0)
        return {key: values for key, values in found.history.items()}


def online_rules():
    """S-60: a learning rule goes on while other weights are trained."""
    net = feedforward(nengo.RectifiedLinear())
    with net:
        net.dec.learning_rule_type = nengo.PES(1e-4)
        nengo.Connection(net.dec.post, net.dec.learning_rule)
    return _losses(net, rows(4, 6, 2), rows(4, 6, 1, seed=1), 1e-4)


def schedules():
    """S-48: rates by a schedule, clipped gradients, a metric and a loss of one's own."""

    class Cube(tf.keras.losses.Loss):
        def call(self, y, p):
            return tf.abs(y - p) ** 3

    net = rates()
    x, y = rows(8, 1, 3), rows(8, 1, 1, seed=1)
    rate = tf.keras.optimizers.schedules.ExponentialDecay(0.2, 2, 0.5)
    with simulator(net, minibatch_size=4) as sim:
        sim.compile(
            tf.keras.optimizers.SGD(rate, clipnorm=0.5),
            loss={net.p: Cube()},
            metrics={net.p: [tf.keras.metrics.MeanAbsoluteError(name="mine")]},
        )
        history = sim.fit(x, y, epochs=4, verbose=0, shuffle=False).history
        return {"keys": texts(sorted(history)), "losses": history["loss"]}


def steps_of_epochs():
    """S-48: parts of epochs, later first epochs, weights of validation."""
    net = rates()
    x, y = rows(8, 1, 3), rows(8, 1, 1, seed=1)
    with simulator(net, minibatch_size=2) as sim:
        sim.compile(sgd(), loss={net.p: "mse"})
        options = {"verbose": 0, "shuffle": False}
        first = sim.fit(x, y, steps_per_epoch=2, epochs=2, **options)
        second = sim.fit(x, y, initial_epoch=2, epochs=5, **options)
        data = {"validation_data": (x, y, np.arange(8.0)), "validation_freq": 2}
        third = sim.fit(x, y, epochs=2, **data, **options)
        return {
            "first": first.history["loss"],
            "second": second.history["loss"],
            "epochs": second.epoch,
            "third": third.history["val_loss"],
        }


def evaluated_in_parts():
    """S-39, S-57: losses of several minibatches are averages; state goes on if asked."""
    net = feedforward()
    x, y = rows(6, 4, 2), rows(6, 4, 1, seed=1)
    with simulator(net, minibatch_size=2) as sim:
        sim.compile(sgd(), loss={net.p: "mse"})
        plain = sim.evaluate(x, y, verbose=0)["loss"]
        through = sim.evaluate(x, y, verbose=0, stateful=True)["loss"]
        steps = sim.evaluate(x, y, verbose=0, steps=2)["loss"]
        return {"plain": plain, "through": through, "steps": steps, "n": sim.n_steps}


def decoded_loops():
    """S-50: encoders, biases and decoders of ensembles that decode to each other."""
    rng, net = np.random.RandomState(5), network(dtype="float64")
    with net:
        net.inp = nengo.Node(np.zeros(2))
        a, b = (ensemble(rng, 15, 2, nengo.LIFRate()) for _ in range(2))
        nengo.Connection(net.inp, a)
        decode(rng, a, b, 2, 0.01, scale=0.03)
        decode(rng, b, a, 2, 0.02, scale=0.03)
        out = nengo.Node(size_in=2)
        decode(rng, b, out, 2, None, scale=0.03)
        net.p = nengo.Probe(out)
    return _losses(net, rows(4, 10, 2), rows(4, 10, 2, seed=1), 1e-5)


def trained_twice():
    """S-36, S-61: compiled anew, other losses; reset takes training back."""
    net = rates()
    x, y = rows(4, 1, 3), rows(4, 1, 1, seed=1)
    with simulator(net, minibatch_size=4) as sim:
        before = sim.predict(x)[net.p]
        sim.compile(sgd(), loss={net.p: "mse"})
        sim.fit(x, y, epochs=2, verbose=0)
        sim.compile(sgd(0.05), loss={net.p: "mae"})
        second = sim.fit(x, y, epochs=2, verbose=0).history["loss"]
        sim.reset(include_trainable=False)
        kept = sim.predict(x)[net.p]
        sim.reset()
        back = np.allclose(sim.predict(x)[net.p], before)
        return {"second": second, "kept": kept, "back": back}


def learning_phase():
    """C-11: evaluated by rates."""
    net = feedforward(nengo.LIF(), learning_phase=True)
    with simulator(net, minibatch_size=2) as sim:
        sim.compile(sgd(), loss={net.p: "mse"})
        return {"loss": sim.evaluate(rows(2, 5, 2), rows(2, 5, 1), verbose=0)["loss"]}


def biases_alone():
    """T-02, T-03, D-01: one ensemble may be trained again in a network that may not."""
    net = feedforward(trainable=False)
    net.config[net.ens].trainable = True
    found = _losses(net, rows(4, 6, 2), rows(4, 6, 1, seed=1), 1e-3)
    with simulator(net, minibatch_size=4) as sim:
        found["refused"] = outcome(lambda: sim.fit(rows(4, 6, 2), verbose=0))
    return found
