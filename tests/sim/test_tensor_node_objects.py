"""Making TensorNodes and Layers: arguments, shapes, errors (SPEC section 3)."""

import functools

import keras
import nengo
import numpy as np
import pytest
import tensorflow as tf
from nengo.exceptions import SimulationError, ValidationError

import nengo_dl
from nengo_dl import Layer, TensorNode, tensor_layer


@pytest.fixture(autouse=True)
def net():
    with nengo.Network() as net:
        yield net


def test_sizes_and_lists(net):
    """N-01, N-02: it is a Node; sizes are products of shapes."""
    node = TensorNode(lambda t, x: x, shape_in=(2, 3), shape_out=(3, 2), label="node")
    assert isinstance(node, nengo.Node) and net.nodes == [node]
    assert (node.size_in, node.size_out, node.pass_time) == (6, 6, True)
    assert "node" in repr(node) and "unlabeled" in repr(TensorNode(tf.zeros, shape_out=(1,)))
    alone = TensorNode(lambda t: tf.reshape(t, (1, 1)))
    assert (alone.size_in, alone.size_out, alone.shape_in) == (0, 1, None)


@pytest.mark.parametrize("kwargs, message", [
    ({"tensor_func": tf.exp, "pass_time": False}, "shape_in"),
    ({"tensor_func": 3}, "function or Keras Layer"),
    ({"tensor_func": tf.exp, "shape_in": (None, 2)}, "int"),
    ({"tensor_func": tf.exp, "shape_in": (0,)}, ">= 1"),
    ({"tensor_func": tf.exp, "shape_in": (2,), "shape_out": (1.5,)}, "int"),
    ({"tensor_func": lambda t: 3}, "returns a tensor"),
    ({"tensor_func": lambda t: t}, "set shape_out"),
    ({"tensor_func": lambda t: np.zeros((1, 2))}, "returns a tensor"),
    ({"tensor_func": lambda t, x: x @ x, "shape_in": (2,)}, "set shape_out"),
])  # fmt: skip
def test_refused(kwargs, message):
    """N-03, N-04."""
    with pytest.raises(ValidationError, match=message):
        TensorNode(**kwargs)


def test_the_function_is_called_once_for_its_shape():
    """N-04: on zeros of one item, at time 0, in single precision."""
    seen = []

    def func(t, x):
        seen.append((t, x))
        return tf.zeros((1, 4, 5))

    assert TensorNode(func, shape_in=(2, 3)).shape_out == (4, 5)
    ((t, x),) = seen
    assert t.shape == () and x.shape == (1, 2, 3) and t.dtype == x.dtype == tf.float32
    assert TensorNode(func, shape_in=(2, 3), shape_out=(20,)).size_out == 20 and len(seen) == 1


class Times(keras.layers.Layer):
    """Weights that are made in build, and nothing said of the shape of its output."""

    def build(self, shape):
        self.w = self.add_weight(shape=(shape[-1], 4), initializer="ones")

    def call(self, x):
        return x @ self.w


def test_shapes_of_layers():
    """N-04: of a layer that says it nothing is built."""
    dense = keras.layers.Dense(5)
    assert TensorNode(dense, shape_in=(3,), pass_time=False).shape_out == (5,)
    assert not dense.built
    assert TensorNode(Times(), shape_in=(3,), pass_time=False).shape_out == (4,)
    conv = keras.layers.Conv2D(2, 3)
    assert TensorNode(conv, shape_in=(6, 5, 1), pass_time=False).shape_out == (4, 3, 2)


def test_nengo_cannot_run_it(net):
    """N-07."""
    nengo.Connection(TensorNode(lambda t: tf.ones((1, 1))), nengo.Node(size_in=1))
    with nengo.Simulator(net, progress_bar=False) as sim:
        with pytest.raises(SimulationError, match="Cannot call TensorNode output function"):
            sim.step()


def test_layer(net):
    """N-09: the node, its connection, and where the size comes from."""
    a = nengo.Node(np.zeros(4))
    node, conn = Layer(tf.exp)(a, return_conn=True)
    assert (node.size_in, node.pass_time, conn.synapse) == (4, False, None)
    assert (conn.pre, conn.post) == (a, node)
    wide = Layer(tf.exp)(a, transform=np.ones((7, 4)), synapse=0.1)
    assert wide.size_in == 7 and net.connections[-1].synapse == nengo.Lowpass(0.1)
    shaped = Layer(keras.layers.Conv1D(3, 2))(a, shape_in=(2, 2))
    assert (shaped.shape_in, shaped.shape_out) == ((2, 2), (1, 3))
    named = Layer(functools.partial(tf.add, y=1.0))(a, label="added", shape_out=(4,))
    assert named.label == "added"
    assert not any(net.config[c].trainable for c in net.connections)


def test_layer_of_neurons(net):
    """N-09: an Ensemble, of which the neurons are returned."""
    a = nengo.Node(np.zeros(4))
    neurons = Layer(nengo.LIF())(a, gain=np.ones(4), bias=np.zeros(4))
    (ens,) = net.ensembles
    assert neurons is not None and neurons.ensemble is ens
    assert (ens.n_neurons, ens.dimensions, ens.neuron_type) == (4, 1, nengo.LIF())


def test_layer_in_an_inner_network_marks_its_connection_at_the_top(net):
    """N-09: and says nothing of other objects."""
    a = nengo.Node(np.zeros(4))
    with nengo.Network() as inner:
        _, conn = Layer(tf.exp)(a, return_conn=True)
        other = nengo.Connection(a, nengo.Ensemble(4, 1).neurons)
    assert net.config[conn].trainable is False and net.config[other].trainable is None
    assert nengo.Connection not in inner.config.params or not hasattr(
        inner.config[nengo.Connection], "trainable"
    )


def test_names():
    """N-09."""
    assert str(Layer(tf.exp)) == "Layer(exp)"
    assert str(Layer(keras.layers.Dense(3, name="units"))) == "Layer(units)"


def test_tensor_layer():
    """N-10."""
    a = nengo.Node(np.zeros(2))
    with pytest.warns(DeprecationWarning, match="Layer"):
        node = tensor_layer(a, keras.layers.Dense(3))
    assert isinstance(node, TensorNode) and node.size_out == 3


def test_it_is_no_input_node(net):
    """What it gives, nothing can be given for."""
    node = TensorNode(lambda t: tf.reshape(t, (1, 1)))
    nengo.Probe(node)
    with nengo_dl.Simulator(net, progress_bar=False) as sim:
        with pytest.raises(ValidationError, match="Node"):
            sim.predict({node: np.zeros((1, 3, 1))})


@pytest.mark.parametrize(
    "cls, message",
    [
        (nengo.LIF, r"expected a neuron type, got the class LIF; did you mean LIF\(\)\?"),
        (
            keras.layers.Dense,
            r"expected a Keras layer, got the class Dense; did you mean Dense\(\.\.\.\)\?",
        ),
    ],
)
def test_classes_in_place_of_instances(cls, message):
    with pytest.raises(ValidationError, match=message):
        nengo_dl.Layer(cls)
    with nengo.Network(), pytest.raises(ValidationError, match=message):
        nengo_dl.TensorNode(cls, shape_in=(2,), pass_time=False)
