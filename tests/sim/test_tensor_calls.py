"""When a function is called on all steps at once, and when once per step; what it may return."""

import keras
import nengo
import numpy as np
import pytest
import tensorflow as tf
from nengo.exceptions import SimulationError, ValidationError

from nengo_dl import Layer, TensorNode
from nengo_dl.config import configure_settings

SIZE, BATCH, STEPS = 2, 3, 6


def network(func, shape_in=(SIZE,), dtype="float64", cycle=False, **kwargs):
    """An input node, a TensorNode, and probes of both."""
    with nengo.Network(seed=0) as net:
        configure_settings(dtype=dtype)
        net.u = nengo.Node(np.zeros(int(np.prod(shape_in))), label="u")
        net.node = TensorNode(func, shape_in=shape_in, **kwargs)
        nengo.Connection(net.u, net.node, synapse=None)
        if cycle:
            nengo.Connection(net.node, net.node, synapse=0)
        net.p = nengo.Probe(net.node, label="p")
    return net


def rows(size=SIZE):
    return np.random.RandomState(0).uniform(-1, 1, (BATCH, STEPS, size))


def modes(sim):
    (call,) = sim.tensor_graph.called.calls
    return call.stepwise


class Counter(keras.layers.Layer):
    """Adds the number of its calls."""

    def build(self, shape):
        self.count = self.add_weight(shape=(), initializer="zeros", trainable=False)

    def call(self, x):
        self.count.assign_add(1)
        return x + self.count


def of_a_minibatch(x):
    """Looks at the number of items in Python."""
    if x.shape[0] != BATCH:
        raise KeyError(x.shape[0])
    return 2 * x


TIMES = 0.001 * np.arange(1, STEPS + 1)[:, None]
# function, its arguments beside x, what it gives, why it is called once per step
FUNCTIONS = {
    "elements": (tf.exp, {"pass_time": False}, np.exp, ""),
    "matrix": (
        lambda x: x @ tf.constant([[1.0, 2], [3, 4]], x.dtype), {"pass_time": False},
        lambda x: x @ [[1.0, 2], [3, 4]], "",
    ),
    "time": (lambda t, x: x * t, {}, lambda x: x * TIMES, ""),
    "batch": (
        lambda x: x - tf.reduce_mean(x, axis=0), {"pass_time": False},
        lambda x: x - x.mean(axis=0), "",
    ),
    "large values": (  # what an item gets depends on others where some are large
        lambda x: tf.clip_by_norm(x, 1.0, axes=[0]), {"pass_time": False},
        lambda x: x / np.maximum(np.sqrt(np.sum(x**2, axis=0, keepdims=True)), 1), "",
    ),
    "if values": (
        lambda x: tf.cond(tf.reduce_max(x) > 0.8, lambda: tf.zeros_like(x), lambda: x),
        {"pass_time": False},
        lambda x: np.where(x.max(axis=(0, 2), keepdims=True) > 0.8, 0, x), "",
    ),
    "fixed shape": (
        lambda x: tf.reshape(tf.reshape(x, (BATCH, SIZE, 1)), (BATCH, SIZE)),
        {"pass_time": False, "shape_out": (SIZE,)}, lambda x: x, "",
    ),
    "looks": (of_a_minibatch, {"pass_time": False, "shape_out": (SIZE,)}, lambda x: 2 * x, ""),
    "unique": (
        lambda x: x + 0 * tf.unique(tf.reshape(x, (-1,)))[0][0],
        {"pass_time": False, "shape_out": (SIZE,)}, lambda x: x, "at once (ValueError)",
    ),
    "draws": (
        lambda x: x + 0 * tf.random.uniform(tf.shape(x), dtype=x.dtype), {"pass_time": False},
        lambda x: x, "RandomUniform",
    ),
    "if": (
        lambda t, x: x if t > 0.0035 else -x, {}, lambda x: np.where(TIMES > 0.0035, x, -x), None,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions(Sim, name):
    """The same values either way; the plan says which."""
    func, kwargs, due, why = FUNCTIONS[name]
    kwargs = {"shape_out": (SIZE,)} | kwargs if name == "if" else kwargs
    sim = Sim(network(func, **kwargs), minibatch_size=BATCH)
    found = sim.predict(rows())[sim.model.probes[0]]
    np.testing.assert_allclose(found, due(rows()), rtol=1e-9)
    sim.run_steps(STEPS, data={sim.model.toplevel.u: rows()})
    np.testing.assert_allclose(sim.data[sim.model.probes[0]], due(rows()), rtol=1e-9)
    if why is not None:
        assert (why in modes(sim)[False]) and bool(why) == bool(modes(sim)[False])
        text = str(sim.plan)
        assert ("called once per step: " if why else "called on all steps") in text


class Coupled(keras.layers.Layer):
    """Couples items by a weight that is 0 at first."""

    def build(self, shape):
        self.much = self.add_weight(shape=(), initializer="zeros")

    def call(self, x):
        return x + self.much * keras.ops.mean(x, axis=0)


def test_items_that_weights_couple_later(Sim):
    """Nobody sees it when the simulator is made."""
    sim = Sim(network(Coupled(), pass_time=False), minibatch_size=BATCH)
    sim.tensor_graph.called.calls[0].layer.much.assign(1)
    found = sim.predict(rows())[sim.model.probes[0]]
    np.testing.assert_allclose(found, rows() + rows().mean(axis=0), rtol=1e-6)
    sim.run_steps(STEPS, data={sim.model.toplevel.u: rows()})
    np.testing.assert_allclose(sim.data[sim.model.probes[0]], found, rtol=1e-6)


LARGE = tf.ones((200, SIZE), tf.float64)[:1]


@pytest.mark.parametrize("layer, known", [
    (lambda: keras.layers.Dense(3, activation="relu"), True),
    (lambda: keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)]), True),
    (lambda: keras.layers.Dense(3, activation=lambda x: x - keras.ops.mean(x)), False),
    (lambda: keras.layers.Softmax(axis=0), False),
    (lambda: keras.layers.Softmax(axis=None), False),
    (lambda: keras.layers.Activation(keras.ops.flip), False),
    (lambda: keras.layers.Activation("softmax"), True),
    (lambda: tf.nn.relu, True),
    (lambda: lambda x: tf.where(x > 0, 2 * tf.exp(-x), 1.5), True),
    (lambda: lambda x: x * tf.constant([1.0, 2.0], tf.float64), False),
    (lambda: lambda x: x * LARGE, False),
    (lambda: lambda x: x - tf.reduce_max(x), False),
    (Coupled, False),
])  # fmt: skip
def test_what_gets_one_minibatch(Sim, layer, known):
    sim = Sim(network(layer(), pass_time=False), minibatch_size=BATCH)
    assert ("called on all steps and items at once" in str(sim.plan)) == known


def test_what_changes_something_is_called_in_every_step(Sim):
    sim = Sim(network(Counter(), pass_time=False), minibatch_size=BATCH)
    before = sim.tensor_graph.called.calls[0].layer.count.numpy()
    found = sim.predict(rows(), verbose=0)[sim.model.probes[0]]
    due = rows() + before + np.arange(1, STEPS + 1)[:, None]
    np.testing.assert_allclose(found, due, rtol=1e-6)
    assert "AssignVariableOp" in str(sim.plan)


def test_what_is_printed_is_printed_once_per_step(Sim, capfd):
    """N-08."""

    def func(t, x):
        with tf.control_dependencies([tf.print("at", t)]):
            return tf.identity(x)

    sim = Sim(network(func))
    capfd.readouterr()
    sim.run_steps(3)
    assert capfd.readouterr().err.split() == ["at", "0.001", "at", "0.002", "at", "0.003"]


def test_on_a_cycle(Sim):
    sim = Sim(network(tf.exp, pass_time=False, cycle=True))
    assert modes(sim) == dict.fromkeys((False, True), "it is on a cycle")
    assert "Loop, one step at a time" in str(sim.plan)


def test_layers_say_it_for_training(Sim):
    sim = Sim(network(keras.layers.BatchNormalization(), pass_time=False))
    assert not modes(sim)[False] and "AssignVariableOp" in modes(sim)[True]
    assert "in training called once per step" in str(sim.plan)


def test_recurrent_layers(Sim):
    """The sequence is within the input of a step; a stateful one goes on from step to step."""
    lstm = keras.layers.LSTM(4)
    sim = Sim(network(lstm, (5, 3), pass_time=False), minibatch_size=BATCH)
    found = sim.predict(rows(15))[sim.model.probes[0]]
    due = lstm(rows(15).reshape(-1, 5, 3)).numpy().reshape(BATCH, STEPS, 4)
    np.testing.assert_allclose(found, due, rtol=1e-9)
    assert not modes(sim)[False]
    stateful = keras.layers.GRU(4, stateful=True)
    sim = Sim(network(stateful, (5, 3), pass_time=False), minibatch_size=BATCH)
    assert "Assign" in modes(sim)[False]
    stateful.reset_states()
    first, second = (sim.predict(rows(15))[sim.model.probes[0]] for _ in range(2))
    assert np.abs(first[:, 0] - second[:, 0]).max() > 1e-3


@pytest.mark.parametrize("func, message", [
    (lambda x: 3, r"got shape \(\) and dtype int32"),
    (lambda x: None, "a tensor, got NoneType"),
    (lambda x: x[:, :1], r"shape \(3, 2\) and dtype float64, got shape \(3, 1\)"),
    (lambda x: tf.cast(x, tf.float16), "got shape .* and dtype float16"),
    (lambda x: x[:1], r"got shape \(1, 2\)"),
    (lambda x: x @ x, "raised ValueError: .*Dimensions must be equal"),
    (lambda x: tf.numpy_function(lambda y: y, [x], tf.int64), "shape <unknown> and dtype int64"),
])  # fmt: skip
def test_what_does_not_fit_is_refused(Sim, func, message):
    """N-05: when the simulator is made, by the node."""
    net = network(func, shape_out=(2,), pass_time=False, label="culprit")
    with pytest.raises(ValidationError, match=message) as error:
        Sim(net, minibatch_size=BATCH)
    assert "culprit" in str(error.value)


@pytest.mark.parametrize("call", [tf.py_function, tf.numpy_function])
def test_python_in_tensorflow(Sim, call):
    """N-04: of a result whose shape is not known, it is that of the node."""

    def func(x):
        return call(lambda y: 2 * y, [x], tf.float64)

    sim = Sim(network(func, shape_out=(2,), pass_time=False), minibatch_size=BATCH)
    np.testing.assert_array_equal(sim.predict(rows(2))[sim.model.probes[0]], 2 * rows(2))


def test_another_shape_of_the_same_size(Sim):
    """N-02: the output is flattened."""
    net = network(lambda x: tf.reshape(x, (-1, 2, 3)), (6,), shape_out=(3, 2), pass_time=False)
    sim = Sim(net, minibatch_size=BATCH)
    np.testing.assert_array_equal(sim.predict(rows(6))[net.p], rows(6))


def test_errors_of_python_nodes_come_through(Sim):
    """S-55."""

    def fails(t):
        if t > 0.0025:
            raise ValueError("no more")
        return [0.0, 0.0]

    with nengo.Network() as net:
        node = TensorNode(tf.exp, shape_in=(2,), pass_time=False)
        relay = nengo.Node(lambda t, x: x if t < 0.0025 else fails(t), size_in=2)
        nengo.Connection(node, relay, synapse=None)
        nengo.Connection(relay, node, synapse=0)
    sim = Sim(net)
    with pytest.raises(SimulationError, match="no more"):
        sim.run_steps(5)
    sim.run_steps(2)
    assert sim.n_steps == 2


def test_errors_of_tensorflow_come_through(Sim):
    net = network(lambda x: tf.debugging.check_numerics(x, "not finite"), pass_time=False)
    sim = Sim(net)
    with pytest.raises(RuntimeError, match="not finite"):
        sim.run_steps(2, data={net.u: np.full((1, 2, 2), np.inf)})
    sim.run_steps(2, data={net.u: np.ones((1, 2, 2))})
    assert sim.n_steps == 2


def test_long_runs_are_cut_into_pieces(Sim, monkeypatch):
    """However many steps there are, a call has so many rows at most."""
    net = network(keras.layers.Dense(4000), pass_time=False, dtype="float32")
    sim, sizes = Sim(net, minibatch_size=4), []
    run = type(sim.tensor_graph).run_eager

    def counted(self, inputs, n_steps, *args):
        sizes.append(n_steps)
        return run(self, inputs, n_steps, *args)

    monkeypatch.setattr(type(sim.tensor_graph), "run_eager", counted)
    sim.run_steps(3000)
    assert sum(sizes) == 3000 and max(sizes) * 4 * 4000 * 4 <= 1 << 25
    assert sim.data[net.p].shape == (4, 3000, 4000)


def test_only_the_last_step_is_kept(Sim):
    net = network(tf.exp, pass_time=False)
    with net:
        configure_settings(keep_history=True)
    net.config[net.p].keep_history = False
    sim = Sim(net, minibatch_size=BATCH)
    found = sim.predict(rows())[net.p]
    np.testing.assert_allclose(found, np.exp(rows()[:, -1:]), rtol=1e-9)


def test_state_is_kept_and_left(Sim):
    """S-57: runs go on where the last one ended, predict leaves it."""
    with nengo.Network(seed=0) as net:
        u = nengo.Node(np.ones(1))
        x = Layer(tf.square)(u)
        net.p = nengo.Probe(x, synapse=0.01)
    sim = Sim(net)
    sim.run_steps(5)
    first = sim.predict(n_steps=3)[net.p]
    np.testing.assert_array_equal(sim.predict(n_steps=3)[net.p], first)
    sim.run_steps(3)
    np.testing.assert_allclose(sim.data[net.p][-3:], first[0], rtol=1e-6)
    sim.reset(include_trainable=False)
    sim.run_steps(8)
    assert sim.data[net.p][0, 0] == 0 and sim.n_steps == 8
