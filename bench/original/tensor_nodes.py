"""SPEC 3: TensorNode, Layer, tensor_layer."""

import nengo
import numpy as np
import tensorflow as tf
from models import network, outcome, outcomes, rows, sgd, simulator, sizes, texts, warned
from training_networks import ensemble

import nengo_dl


def _dense(units, n_in, seed=0, **kwargs):
    """A dense layer whose weights are given."""
    kernel = tf.keras.initializers.Constant(rows(n_in, units, seed=seed))
    return tf.keras.layers.Dense(units, kernel_initializer=kernel, **kwargs)


def _input(size=3):
    net = network()
    with net:
        net.inp = nengo.Node(np.zeros(size), label="inp")
    return net


def _trained(net, x, y, rate=0.1, epochs=3):
    with simulator(net, minibatch_size=len(x)) as sim:
        sim.compile(sgd(rate), loss={net.p: "mse"})
        found = {"before": sim.predict({net.inp: x})[net.p]}
        history = sim.fit({net.inp: x}, {net.p: y}, epochs=epochs, verbose=0, shuffle=False)
        found["losses"] = history.history["loss"]
        found["after"] = sim.predict({net.inp: x})[net.p]
        found["trained"] = sizes(sim.keras_model.trainable_weights)
        return found


def forms():
    """N-01, N-02: functions of the time, of values, of both."""
    net = _input(6)
    with net:
        time = nengo_dl.TensorNode(lambda t: tf.fill((2, 1), 2 * t), shape_out=(1,))
        value = nengo_dl.TensorNode(
            lambda x: tf.reduce_sum(x, axis=1), shape_in=(2, 3), shape_out=(3,), pass_time=False
        )
        both = nengo_dl.TensorNode(lambda t, x: x * t, shape_in=(6,), shape_out=(6,))
        nengo.Connection(net.inp, value, synapse=None)
        nengo.Connection(net.inp, both, synapse=None)
        probes = [nengo.Probe(node) for node in (time, value, both)]
    with simulator(net, minibatch_size=2) as sim:
        found = sim.predict({net.inp: rows(2, 4, 6)})
        sizes_of = [(node.size_in, node.size_out) for node in (time, value, both)]
        return {"sizes": sizes_of, **{f"p{i}": found[probe] for i, probe in enumerate(probes)}}


def inferred():
    """N-03, N-04: shapes that are found, and wrong ones."""
    with nengo.Network():
        nodes = [
            nengo_dl.TensorNode(lambda x: x[:, :2] + 1, shape_in=(3,), pass_time=False),
            nengo_dl.TensorNode(tf.keras.layers.Dense(7), shape_in=(3,), pass_time=False),
            nengo_dl.TensorNode(tf.keras.layers.Conv2D(2, 3), shape_in=(5, 5, 1), pass_time=False),
            nengo_dl.TensorNode(tf.keras.layers.Flatten(), shape_in=(2, 3), pass_time=False),
        ]
        found = {f"shape{i}": node.shape_out for i, node in enumerate(nodes)}
        make = nengo_dl.TensorNode
        found.update(
            outcomes(
                nothing=lambda: make(lambda: 0, pass_time=False),
                callable=lambda: make([0]),
                zero=lambda: make(lambda x: x, shape_in=(0,), pass_time=False),
                none=lambda: make(lambda x: x, shape_in=(None, 1), pass_time=False),
                fails=lambda: make(lambda x: 1 / 0, shape_in=(1,), pass_time=False),
                no_tensor=lambda: make(lambda x: np.zeros((1, 1)), shape_in=(1,), pass_time=False),
            )
        )
        found["text"] = np.array(str(nengo_dl.Layer(tf.keras.layers.Dense(2, name="d"))))
        return found


def wrong_outputs():
    """N-05, N-07: outputs of other sizes or types; other simulators."""

    def run(function):
        net = network()
        with net:
            node = nengo_dl.TensorNode(function, shape_out=(2,))
            nengo.Probe(node)
        return lambda: simulator(net, minibatch_size=2).run_steps(1) or None

    right = network()
    with right:
        nengo.Probe(nengo_dl.TensorNode(lambda t: tf.ones((1, 1)), shape_out=(1,)))
    refused = ("ValidationError", "RuntimeError", "BuildError")
    found = {
        "size": outcome(run(lambda t: tf.ones((2, 3)))) in refused,
        "batch": outcome(run(lambda t: tf.ones((1, 2)))) in refused,
        "dtype": outcome(run(lambda t: tf.ones((2, 2), tf.float64))) in refused,
        "array": outcome(run(lambda t: np.ones((2, 2), np.float32))) in refused,
    }
    found["core"] = outcome(lambda: nengo.Simulator(right, progress_bar=False).run_steps(1))
    return found


def dense_layers():
    """N-06, N-09: layers of Keras and neurons in turn, trained."""
    net = _input()
    with net:
        x = nengo_dl.Layer(_dense(8, 3))(net.inp)
        x = nengo_dl.Layer(nengo.RectifiedLinear())(x, gain=np.ones(8), bias=np.zeros(8))
        x = nengo_dl.Layer(_dense(2, 8, seed=1, activation="tanh"))(x)
        net.p = nengo.Probe(x)
    return _trained(net, rows(4, 2, 3), rows(4, 2, 2, seed=3))


def convolutions():
    """N-06, N-09: pictures."""
    net = _input(32)
    kernel = tf.keras.initializers.Constant(rows(3, 3, 2, 4, seed=2))
    with net:
        layer = tf.keras.layers.Conv2D(4, 3, padding="same", kernel_initializer=kernel)
        x = nengo_dl.Layer(layer)(net.inp, shape_in=(4, 4, 2))
        x = nengo_dl.Layer(tf.keras.layers.AveragePooling2D(2))(x, shape_in=(4, 4, 4))
        net.p = nengo.Probe(x)
    return _trained(net, rows(4, 1, 32), rows(4, 1, 16, seed=3))


def batch_normalization():
    """S-47, N-06: averages that move in training, and are used outside of it."""
    net = _input()
    with net:
        x = nengo_dl.Layer(_dense(5, 3))(net.inp)
        x = nengo_dl.Layer(tf.keras.layers.BatchNormalization(momentum=0.8))(x)
        net.p = nengo.Probe(x)
    return _trained(net, rows(4, 1, 3), rows(4, 1, 5, seed=3), epochs=5)


def regularizers():
    """S-47: losses of layers are part of the loss."""
    net = _input()
    with net:
        net.p = nengo.Probe(
            nengo_dl.Layer(_dense(2, 3, kernel_regularizer=tf.keras.regularizers.L2(0.1)))(net.inp)
        )
    return _trained(net, rows(4, 1, 3), rows(4, 1, 2, seed=3))


def dropout():
    """S-46: nothing is dropped outside of training."""
    net = _input()
    with net:
        net.p = nengo.Probe(nengo_dl.Layer(tf.keras.layers.Dropout(0.9))(net.inp))
    with simulator(net, minibatch_size=2) as sim:
        return {"p": sim.predict({net.inp: rows(2, 3, 3)})[net.p]}


def in_a_loop():
    """N-08: a TensorNode on a cycle, trained by gradient descent."""
    net = _input(2)
    with net:
        node = nengo_dl.TensorNode(_dense(2, 4, activation="tanh"), shape_in=(4,), pass_time=False)
        nengo.Connection(net.inp, node[:2], synapse=None)
        nengo.Connection(node, node[2:], transform=[[0.5, 0.2], [-0.3, 0.4]], synapse=0.005)
        net.p = nengo.Probe(node)
    return _trained(net, rows(4, 8, 2), rows(4, 8, 2, seed=3), epochs=10)


def through_spikes():
    """N-08: spiking neurons before and behind, a filter between."""
    rng, net = np.random.RandomState(0), _input(1)
    with net:
        pre = ensemble(rng, 15, 1, nengo.LIF())
        nengo.Connection(net.inp, pre, synapse=None)
        node = nengo_dl.TensorNode(lambda x: tf.square(x[:, :3]), shape_in=(15,), pass_time=False)
        nengo.Connection(pre.neurons, node, transform=0.01, synapse=0.01)
        given = {"gain": np.ones(3), "bias": np.ones(3), "encoders": np.ones((3, 1))}
        post = nengo.Ensemble(3, 1, neuron_type=nengo.LIFRate(), **given)
        nengo.Connection(node, post.neurons, synapse=None)
        net.p = nengo.Probe(post.neurons)
    with simulator(net) as sim:
        sim.run_steps(40)
        return {"p": sim.data[net.p]}


def shared_layer():
    """N-06: one layer in two nodes has one set of weights."""
    net, layer = _input(), _dense(3, 3)
    with net:
        x = nengo_dl.Layer(layer)(net.inp)
        x = nengo_dl.Layer(layer)(x)
        net.p = nengo.Probe(x)
    return _trained(net, rows(4, 1, 3), rows(4, 1, 3, seed=3))


def whole_model():
    """N-06: a Keras model as a layer."""
    inner = tf.keras.Sequential([_dense(4, 3, activation="relu"), _dense(2, 4, seed=1)])
    net = _input()
    with net:
        net.p = nengo.Probe(nengo_dl.Layer(inner)(net.inp, shape_out=(2,)))
    return _trained(net, rows(4, 1, 3), rows(4, 1, 2, seed=3))


def built_layer():
    """N-06: weights of a layer that was built before are its first ones."""
    layer = tf.keras.layers.Dense(2)
    layer.build((None, 3))
    layer.set_weights([rows(3, 2), rows(2)])
    net = _input()
    with net:
        net.p = nengo.Probe(nengo_dl.Layer(layer)(net.inp))
    with simulator(net, minibatch_size=2) as sim:
        return {"p": sim.predict({net.inp: rows(2, 2, 3)})[net.p]}


def own_layer():
    """N-06: a class of one's own, with the training flag and a weight that is not trained."""

    class Scale(tf.keras.layers.Layer):
        def build(self, shape):
            self.scale = self.add_weight(name="scale", shape=(shape[-1],), initializer="ones")
            self.fixed = self.add_weight(
                name="fixed", shape=(), initializer="ones", trainable=False
            )

        def call(self, x, training=None):
            return x * self.scale * self.fixed * (2.0 if training else 1.0)

    net = _input()
    with net:
        net.p = nengo.Probe(nengo_dl.Layer(Scale())(net.inp, shape_out=(3,)))
    return _trained(net, rows(4, 1, 3), rows(4, 1, 3, seed=3))


def arguments_of_layers():
    """N-09, N-10, T-06: transforms, synapses, connections, the old name."""
    net = _input(4)
    with net:
        layer = nengo_dl.Layer(lambda x: x + 1)
        matrix = rows(2, 4)
        x, conn = layer(net.inp, transform=matrix, synapse=0.01, return_conn=True)
        neurons = nengo_dl.Layer(nengo.RectifiedLinear())(x, transform=2.0)
        p, q = nengo.Probe(x), nengo.Probe(neurons)
        warning = warned(lambda: nengo_dl.tensor_layer(net.inp, tf.tanh), "deprecated")
    with simulator(net, minibatch_size=2) as sim:
        found = sim.predict({net.inp: rows(2, 5, 4)})
        return {
            "p": found[p],
            "type": texts(type(obj).__name__ for obj in (x, conn, neurons)),
            "trainable": net.config[conn].trainable,
            "warning": texts(warning),
            "kind": q.target is neurons,
        }


def double():
    """N-01, C-07: tensors have the precision of the simulator."""
    net = network(dtype="float64")
    seen = []
    with net:
        net.inp = nengo.Node(np.zeros(2))

        def function(t, x):
            seen.append((t.dtype.name, x.dtype.name))
            return x * t

        node = nengo_dl.TensorNode(function, shape_in=(2,), shape_out=(2,))
        nengo.Connection(net.inp, node, synapse=None)
        net.p = nengo.Probe(node)
    with simulator(net, minibatch_size=2) as sim:
        return {"p": sim.predict({net.inp: rows(2, 4, 2)})[net.p], "dtypes": texts(seen[-1])}


def saved():
    """S-66, N-06: weights of layers are saved, and go on from the file."""
    net = _input()
    with net:
        net.p = nengo.Probe(nengo_dl.Layer(_dense(2, 3))(net.inp))
    x, y = rows(4, 1, 3), rows(4, 1, 2, seed=3)
    with simulator(net, minibatch_size=4) as sim:
        sim.compile(sgd(), loss={net.p: "mse"})
        sim.fit(x, y, epochs=2, verbose=0)
        sim.save_params("layer")
        first = sim.predict(x)[net.p]
        sim.fit(x, y, epochs=2, verbose=0)
        sim.load_params("layer")
        return {"first": first, "loaded": sim.predict(x)[net.p]}


def reset():
    """S-61: a reset does not touch weights of Keras layers."""
    net = _input()
    with net:
        net.p = nengo.Probe(nengo_dl.Layer(_dense(2, 3))(net.inp))
    x, y = rows(4, 1, 3), rows(4, 1, 2, seed=3)
    with simulator(net, minibatch_size=4) as sim:
        sim.compile(sgd(), loss={net.p: "mse"})
        sim.fit(x, y, epochs=2, verbose=0)
        sim.reset()
        return {"p": sim.predict(x)[net.p]}


def gradients():
    """S-72: a check of gradients through a TensorNode."""
    net = network(dtype="float64")
    with net:
        net.inp = nengo.Node(np.zeros(2))
        node = nengo_dl.TensorNode(lambda t, x: tf.sin(x) + t, shape_in=(2,), shape_out=(2,))
        nengo.Connection(net.inp, node, synapse=0.002)
        net.p = nengo.Probe(node)
    with simulator(net) as sim:
        return {"analytic": sim.check_gradients([rows(1, 3, 2)], atol=1e-4)[net.p]["analytic"][0]}
