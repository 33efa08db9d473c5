"""SPEC 8, in short: scripts of NengoDL's users."""

import nengo
import numpy as np
import tensorflow as tf
from models import network, rows, sgd, simulator, sizes
from training_networks import ensemble

import nengo_dl


def _weights(*shape, seed=0):
    return tf.keras.initializers.Constant(rows(*shape, seed=seed))


def chain():
    """D-01, S-57, T-02: an input and functions of it, in minibatches; some of it is trained."""
    rng, net = np.random.RandomState(0), network(trainable=False)
    with net:
        net.inp = nengo.Node(nengo.processes.WhiteSignal(1, high=5, seed=1))
        a, b = (ensemble(rng, 30, 1, nengo.RectifiedLinear()) for _ in range(2))
        nengo.Connection(net.inp, a, synapse=None)
        solver = nengo.solvers.NoSolver(0.01 * rng.randn(30, 1))
        nengo.Connection(a, b, function=np.square, solver=solver)
        solver = nengo.solvers.NoSolver(0.01 * rng.randn(30, 1))
        out = nengo.Node(size_in=1)
        nengo.Connection(b, out, function=np.sin, solver=solver, synapse=None)
        net.p = nengo.Probe(out)
    net.config[nengo.Ensemble].trainable = True
    with simulator(net, minibatch_size=3) as sim:
        sim.run_steps(20)
        found = {"p": sim.data[net.p], "trained": sizes(sim.keras_model.trainable_weights)}
        sim.compile(sgd(1e-4), loss={net.p: "mse"})
        x = rows(12, 1, 1)
        found["losses"] = sim.fit(x, x**2, epochs=3, verbose=0, shuffle=False).history["loss"]

        def last(y, p):
            return tf.reduce_mean((y[:, -10:] - p[:, -10:]) ** 2)

        sim.compile(loss={net.p: last})
        x = rows(3, 25, 1)
        found["evaluated"] = sim.evaluate(x, x**2, verbose=0)["loss"]
        return found


def autoencoder():
    """D-02: dense layers of neurons, trained as one of Keras; spikes instead, then."""
    n_in, n_hidden = 12, 5

    def build(neuron_type):
        net = network()
        with net:
            net.inp = nengo.Node(np.zeros(n_in))
            ens = nengo.Ensemble(
                n_hidden,
                1,
                gain=np.ones(n_hidden),
                bias=np.zeros(n_hidden),
                neuron_type=neuron_type,
            )
            net.config[nengo.Connection].synapse = None
            nengo.Connection(net.inp, ens.neurons, transform=rows(n_hidden, n_in))
            out = nengo.Node(size_in=n_in)
            nengo.Connection(ens.neurons, out, transform=rows(n_in, n_hidden, seed=1))
            net.p = nengo.Probe(out)
        return net

    x = rows(8, 1, n_in, low=0)
    net = build(nengo.RectifiedLinear())
    with simulator(net, minibatch_size=4) as sim:
        sim.compile(tf.keras.optimizers.RMSprop(1e-3), loss={net.p: "mse"})
        losses = sim.fit(x, x, epochs=4, verbose=0, shuffle=False).history["loss"]
        sim.freeze_params(net)
    with simulator(net, minibatch_size=4) as sim:
        frozen = sim.predict(x)[net.p]
    spiking = build(nengo.SpikingRectifiedLinear())
    with simulator(spiking, minibatch_size=4) as sim:
        spikes = sim.predict(np.tile(x, (1, 20, 1)))[spiking.p]
    return {"losses": losses, "frozen": frozen, "spikes": spikes}


def legendre_memory():
    """D-04: a memory of nodes, a function between them, one output at the end."""
    order, units = 6, 4
    net = network(trainable=None, stateful=False, keep_history=False)
    with net:
        net.config[nengo.Connection].synapse = None
        net.inp = nengo.Node(np.zeros(1))
        u, m = nengo.Node(size_in=1), nengo.Node(size_in=order)
        h = nengo_dl.TensorNode(tf.nn.tanh, shape_in=(units,), pass_time=False)
        nengo.Connection(net.inp, u, transform=[[1.0]])
        nengo.Connection(h, u, transform=rows(1, units), synapse=0)
        nengo.Connection(m, u, transform=rows(1, order, seed=1), synapse=0)
        fixed = [
            nengo.Connection(m, m, transform=0.5 * rows(order, order, seed=2), synapse=0),
            nengo.Connection(u, m, transform=rows(order, 1, seed=3)),
        ]
        for conn in fixed:
            net.config[conn].trainable = False
        nengo.Connection(net.inp, h, transform=rows(units, 1, seed=4))
        nengo.Connection(h, h, transform=rows(units, units, seed=5), synapse=0)
        nengo.Connection(m, h, transform=rows(units, order, seed=6))
        out = nengo.Node(size_in=3)
        nengo.Connection(h, out, transform=rows(3, units, seed=7))
        net.p = nengo.Probe(out)
    x = rows(8, 12, 1)
    y = np.random.RandomState(0).randint(3, size=(8, 1, 1))
    with simulator(net, minibatch_size=4, unroll_simulation=4) as sim:
        loss = tf.losses.SparseCategoricalCrossentropy(from_logits=True)
        sim.compile(
            tf.optimizers.Adam(0.01), loss={net.p: loss}, metrics=["sparse_categorical_accuracy"]
        )
        history = sim.fit(x, y, epochs=4, verbose=0, shuffle=False).history
        return {
            "losses": history["loss"],
            "trained": sizes(sim.keras_model.trainable_weights),
            "p": sim.predict(x)[net.p],
            "evaluated": list(sim.evaluate(x, y, verbose=0).values()),
            "n": sim.n_steps,
        }


def pictures():
    """D-06: convolutions and spiking neurons by Layer; trained at one step, run at many."""
    net = network()
    with net:
        net.config[nengo.Ensemble].max_rates = nengo.dists.Choice([100])
        net.config[nengo.Ensemble].intercepts = nengo.dists.Choice([0])
        net.config[nengo.Connection].synapse = None
        net.inp = nengo.Node(np.zeros(64))
        kernel = _weights(3, 3, 1, 4)
        layer = tf.keras.layers.Conv2D(4, 3, kernel_initializer=kernel)
        x = nengo_dl.Layer(layer)(net.inp, shape_in=(8, 8, 1))
        x = nengo_dl.Layer(
            nengo.LIF(amplitude=0.01, initial_state={"voltage": nengo.dists.Choice([0])})
        )(x)
        x = nengo_dl.Layer(tf.keras.layers.AveragePooling2D(2))(x, shape_in=(6, 6, 4))
        layer = tf.keras.layers.Dense(3, kernel_initializer=_weights(36, 3, seed=1))
        out = nengo_dl.Layer(layer)(x)
        net.p = nengo.Probe(out, label="p")
        net.q = nengo.Probe(out, synapse=0.1, label="q")
    x = rows(8, 1, 64)
    y = np.random.RandomState(0).randint(3, size=(8, 1, 1))
    with simulator(net, minibatch_size=4) as sim:
        loss = tf.losses.SparseCategoricalCrossentropy(from_logits=True)
        sim.compile(sgd(0.01), loss={net.p: loss})
        found = sim.fit(x, {net.p: y}, epochs=3, verbose=0, shuffle=False)
        long = np.tile(x, (1, 30, 1))
        return {
            "losses": found.history["loss"],
            "spikes": sim.predict(long[:4])[net.q],
            "steps": sim.predict(long)[net.p].shape,
        }
