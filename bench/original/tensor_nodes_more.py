"""SPEC 3 once more: layers with state, control flow, learning rules, many nodes."""

import functools

import nengo
import numpy as np
import tensorflow as tf
from models import network, outcome, rows, sgd, simulator, sizes
from training_networks import decode, ensemble

import nengo_dl


def _net(size=2, **settings):
    net = network(**settings)
    with net:
        net.inp = nengo.Node(np.zeros(size), label="inp")
    return net


def _node(func, size, **kwargs):
    return nengo_dl.TensorNode(func, shape_in=(size,), pass_time=False, **kwargs)


def _ran(net, steps=6, size=2, **kwargs):
    with simulator(net, minibatch_size=2, **kwargs) as sim:
        return {"p": sim.predict({net.inp: rows(2, steps, size)})[net.p]}


def _trained(net, steps=5, size=2, rate=0.1, epochs=10):
    x, y = rows(4, steps, size), rows(4, steps, net.p.size_in, seed=5)
    with simulator(net, minibatch_size=4) as sim:
        sim.compile(sgd(rate), loss={net.p: "mse"})
        history = sim.fit(x, y, epochs=epochs, verbose=0, shuffle=False).history
        trained = sizes(sim.keras_model.trainable_weights)
        return {"losses": history["loss"], "p": sim.predict(x)[net.p], "trained": trained}


def _dense(units, n_in, seed=0, **kwargs):
    kernel = tf.keras.initializers.Constant(rows(n_in, units, seed=seed))
    return tf.keras.layers.Dense(units, kernel_initializer=kernel, **kwargs)


def conditions():
    """N-01, N-08: what is computed depends on the time."""
    net = _net()
    with net:
        node = nengo_dl.TensorNode(
            lambda t, x: tf.cond(t < 0.0035, lambda: x, lambda: -2 * x), shape_in=(2,)
        )
        nengo.Connection(net.inp, node, synapse=None)
        net.p = nengo.Probe(node, synapse=0.002)
    return _ran(net)


def callables():
    """N-09: partials, objects with a call, bound methods."""

    class Scale:
        def __call__(self, x):
            return 2 * x

        def thrice(self, x):
            return 3 * x

    net = _net()
    with net:
        x = nengo_dl.Layer(functools.partial(tf.multiply, 0.5))(net.inp)
        x = nengo_dl.Layer(Scale())(x)
        net.p = nengo.Probe(nengo_dl.Layer(Scale().thrice)(x))
    return _ran(net)


def two_on_a_cycle():
    """N-08: two layers and a filter on one cycle, trained."""
    net = _net()
    with net:
        a = _node(_dense(2, 2, activation="tanh"), 2)
        b = _node(_dense(2, 2, seed=1, activation="tanh"), 2)
        nengo.Connection(net.inp, a, synapse=None)
        nengo.Connection(a, b, synapse=None)
        nengo.Connection(b, a, transform=0.4, synapse=0.003)
        net.p = nengo.Probe(b)
    return _trained(net)


def ensembles_and_nodes_on_a_cycle():
    """N-08, S-50: neurons, decoders and a layer in one loop, trained."""
    rng, net = np.random.RandomState(0), _net(1)
    with net:
        ens = ensemble(rng, 12, 1, nengo.LIFRate())
        node = _node(_dense(1, 1, activation="tanh"), 1)
        nengo.Connection(net.inp, ens, synapse=0.005)
        decode(rng, ens, node, 1, 0.005, scale=0.05)
        nengo.Connection(node, ens, synapse=0.01)
        net.p = nengo.Probe(node)
    return _trained(net, size=1, rate=1e-4)


def batch_normalization_over_steps():
    """S-47, N-06: averages of several steps, ten steps of training."""
    net = _net()
    with net:
        x = nengo_dl.Layer(_dense(4, 2))(net.inp)
        x = nengo_dl.Layer(tf.keras.layers.BatchNormalization(momentum=0.7))(x)
        net.p = nengo.Probe(nengo_dl.Layer(_dense(2, 4, seed=1))(x), synapse=0.002)
    return _trained(net)


def recurrent_layers():
    """N-06: a layer of Keras that has a sequence in each step."""
    net = _net(6)
    with net:
        layer = tf.keras.layers.SimpleRNN(
            3,
            kernel_initializer=tf.keras.initializers.Constant(rows(2, 3)),
            recurrent_initializer=tf.keras.initializers.Constant(rows(3, 3)),
        )
        net.p = nengo.Probe(nengo_dl.Layer(layer)(net.inp, shape_in=(3, 2), shape_out=(3,)))
    return _trained(net, steps=2, size=6)


def learning_rule_from_a_node():
    """N-08, O-15: a layer computes the error of an online rule."""
    rng, net = np.random.RandomState(0), _net(1)
    with net:
        ens = ensemble(rng, 12, 1, nengo.RectifiedLinear())
        out = nengo.Node(size_in=1)
        nengo.Connection(net.inp, ens, synapse=None)
        conn = decode(rng, ens, out, 1, None)
        conn.learning_rule_type = nengo.PES(1e-3)
        error = _node(lambda x: tf.tanh(x) - 0.3, 1)
        nengo.Connection(out, error, synapse=0.002)
        nengo.Connection(error, conn.learning_rule, synapse=None)
        net.p = nengo.Probe(out)
    return _ran(net, steps=12, size=1)


def python_beside_it():
    """N-08, O-14: Python functions before and behind, in one loop and in none."""
    net = _net()
    with net:
        python = nengo.Node(lambda t, x: x[::-1] + t, size_in=2)
        node = _node(lambda x: x * 0.5, 2)
        nengo.Connection(net.inp, python, synapse=None)
        nengo.Connection(python, node, synapse=None)
        nengo.Connection(node, python, synapse=0.004)
        behind = nengo.Node(lambda t, x: np.cumsum(x), size_in=2)
        nengo.Connection(node, behind, synapse=0.003)
        net.p = nengo.Probe(behind)
    return _ran(net)


def sliced():
    """N-08: parts of inputs and outputs, several connections to one node, networks in networks."""
    net = _net(4)
    with net:
        with nengo.Network():
            node = _node(
                lambda x: tf.stack([x[:, 0] * x[:, 1], x[:, 2]], axis=1), 3, shape_out=(2,)
            )
        nengo.Connection(net.inp[:2], node[[2, 0]], synapse=None)
        nengo.Connection(net.inp[3], node[1], transform=-1, synapse=0.002)
        nengo.Connection(net.inp[2], node[1], synapse=None)
        out = nengo.Node(size_in=3)
        nengo.Connection(node[1], out[0], synapse=None)
        nengo.Connection(node, out[1:], synapse=0.005)
        net.p = nengo.Probe(out)
    return _ran(net, size=4)


def settings():
    """C-05, C-08, C-10, S-06: the settings hold for networks with layers."""
    found = {}
    for name, options in {
        "inference": {"inference_only": True},
        "last": {"keep_history": False},
        "stateless": {"stateful": False},
        "no_loop": {"use_loop": False},
    }.items():
        net = _net(**options)
        with net:
            x = nengo_dl.Layer(_dense(3, 2))(net.inp)
            net.p = nengo.Probe(x, synapse=0.004)
        with simulator(net, minibatch_size=2, unroll_simulation=3) as sim:
            found[name] = sim.predict({net.inp: rows(2, 3, 2)})[net.p]
            found[f"{name}_weights"] = sizes(sim.keras_model.trainable_weights)
    return found


def runs_go_on():
    """S-57, S-61: filters around a layer go on from run to run, and are reset."""
    net = _net()
    with net:
        node = _node(tf.sin, 2)
        nengo.Connection(net.inp, node, synapse=0.01)
        net.p = nengo.Probe(node, synapse=0.005)
    with simulator(net) as sim:
        sim.run_steps(5, data={net.inp: np.ones((1, 5, 2))})
        sim.run_steps(5, data={net.inp: np.ones((1, 5, 2))})
        found = {"p": sim.data[net.p], "n": sim.n_steps}
        sim.reset()
        sim.run_steps(3)
        found["again"] = sim.data[net.p]
        return found


def added_losses():
    """S-47: losses that a layer adds; of what it gets NengoDL could not."""

    class Penalty(tf.keras.layers.Layer):
        def call(self, x):
            self.add_loss(0.1 * tf.reduce_mean(x**2))
            return x

    def train():
        net = _net()
        with net:
            x = nengo_dl.Layer(_dense(3, 2))(net.inp)
            net.p = nengo.Probe(nengo_dl.Layer(Penalty())(x, shape_out=(3,)))
        _trained(net)

    return {"outcome": outcome(train)}


def several_inputs():
    """N-09: branches that come together; a layer after an ensemble that is decoded."""
    rng, net = np.random.RandomState(0), _net()
    with net:
        ens = ensemble(rng, 20, 2, nengo.RectifiedLinear())
        nengo.Connection(net.inp, ens, synapse=None)
        left = nengo_dl.Layer(_dense(3, 2))(net.inp)
        right = _node(_dense(3, 2, seed=1), 2)
        decode(rng, ens, right, 2, 0.003)
        both = nengo.Node(size_in=6)
        nengo.Connection(left, both[:3], synapse=None)
        nengo.Connection(right, both[3:], synapse=None)
        net.p = nengo.Probe(nengo_dl.Layer(_dense(1, 6, seed=2))(both))
    return _trained(net, rate=1e-3)


def frozen_layer():
    """T-10: a layer that may not be trained."""
    net, fixed = _net(), _dense(3, 2)
    fixed.trainable = False
    with net:
        x = nengo_dl.Layer(fixed)(net.inp)
        net.p = nengo.Probe(nengo_dl.Layer(_dense(2, 3, seed=1))(x))
    return _trained(net)


def integers():
    """N-06: a layer that looks up rows of a table."""
    net = _net()
    with net:
        table = tf.keras.layers.Embedding(
            5, 3, embeddings_initializer=tf.keras.initializers.Constant(rows(5, 3))
        )
        node = _node(lambda x: tf.reshape(table(tf.cast(tf.abs(4 * x), tf.int32)), (-1, 6)), 2)
        nengo.Connection(net.inp, node, synapse=None)
        net.p = nengo.Probe(node)
    return _ran(net)
