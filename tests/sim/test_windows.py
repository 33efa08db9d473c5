"""Long runs of models with TensorFlow code, in windows of steps: as many numbers, and the same."""

import keras
import nengo
import numpy as np
import pytest
import tensorflow as tf
from tensor_networks import NETWORKS, as_tensor_node

import nengo_dl
from nengo_dl.layer.pieces import PieceRun
from nengo_dl.plan.pieces import Plan

WINDOW, STEPS, ITEMS = 4, 11, 2


class Counting(keras.layers.Layer):
    """Adds the number of its calls, draws, and has a loss."""

    def build(self, shape):
        self.calls = self.add_weight(shape=(), initializer="zeros", trainable=False)
        self.w = self.add_weight(shape=(shape[-1],), initializer="ones")
        self.drawn = keras.layers.Dropout(0.5, seed=1)

    def call(self, x, training=False):
        self.calls.assign_add(1)
        self.add_loss(tf.reduce_sum(x**2))
        return self.w * self.drawn(x, training=True) + self.calls


def dense(**kwargs):
    return keras.layers.Dense(3, kernel_initializer=keras.initializers.GlorotUniform(1), **kwargs)


def mixed(*more, keep=True, dtype="float64"):
    """Programs, a Python function, a call that is given the time, and others."""
    with nengo.Network(seed=0) as net:
        nengo_dl.configure_settings(dtype=dtype, keep_history=keep)
        net.u = nengo.Node(np.zeros(3), label="u")
        ens = nengo.Ensemble(30, 3, neuron_type=nengo.LIFRate())
        nengo.Connection(net.u, ens)
        python = nengo.Node(lambda t, x: np.cos(x + t), size_in=3, size_out=3)
        nengo.Connection(ens, python, synapse=0.005)
        x = nengo_dl.TensorNode(lambda t, x: x * tf.cos(100 * t), (3,), (3,))
        nengo.Connection(python, x, synapse=None)
        for layer in (dense(), *more):
            x = nengo_dl.Layer(layer)(x)
        net.p = nengo.Probe(x, synapse=0.01)
        net.q = nengo.Probe(x, synapse=None)
        net.r = nengo.Probe(ens.neurons[:2])
    return net


def learning():
    """A rule that learns from what TensorFlow gives."""
    with nengo.Network(seed=0) as net:
        nengo_dl.configure_settings(dtype="float64")
        net.u = nengo.Node(np.zeros(1))
        a, b = nengo.Ensemble(20, 1), nengo.Ensemble(20, 1)
        nengo.Connection(net.u, a)
        c = nengo.Connection(a, b, learning_rule_type=nengo.PES(1e-3))
        error = nengo_dl.TensorNode(tf.tanh, (1,), (1,), pass_time=False)
        nengo.Connection(b, error)
        nengo.Connection(error, c.learning_rule)
        nengo.Probe(b)
        nengo.Probe(error)
    return net


def tanh_net(name):
    with nengo.Network(seed=0) as net:
        nengo_dl.configure_settings(dtype="float64")
        NETWORKS[name](lambda *args: as_tensor_node(*args, module=tf.math))
    return net


@pytest.fixture
def in_turn(Sim, monkeypatch):
    """Makes simulators of a network, without windows and with some of `WINDOW` steps."""

    def make(network, items=ITEMS, **kwargs):
        sims = []
        for few in (1000, 1):
            monkeypatch.setattr(Plan, "steps_at_once", lambda *_: WINDOW)
            monkeypatch.setattr("nengo_dl.layer.windows.FEW_WINDOWS", few)
            keras.utils.set_random_seed(0)
            sims.append(Sim(network(), minibatch_size=items, seed=0, **kwargs))
        return sims

    return make


@pytest.fixture
def seen(monkeypatch):
    """Steps that pieces were run on, one after the other."""
    steps, at_once = [], PieceRun.at_once

    def spied(run, inputs):
        tf.numpy_function(lambda n: steps.append(int(n)), [run.n_steps], [])
        return at_once(run, inputs)

    monkeypatch.setattr(PieceRun, "at_once", spied)
    return steps


def rows(sim, items=ITEMS, steps=STEPS):
    """Data for the first node."""
    node = sim.model.toplevel.nodes[0]
    return np.random.RandomState(0).uniform(-1, 1, (items, steps, node.size_out))


def assert_alike(found, due):
    assert len(found) == len(due)
    for ours, theirs in zip(found, due, strict=True):
        assert np.shape(ours) == np.shape(theirs)
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-12)


def everything(sim, outputs):
    """Outputs, and what lives on."""
    layer = sim.tensor_graph
    state = layer.get_state()
    learned = [layer.get_param(i) for i in layer.learned]
    weights = [variable.numpy() for variable in layer.called.variables]
    return [*outputs, *(state[key] for key in sorted(state)), *learned, *weights]


@pytest.mark.parametrize("name", ["joined", "nothing_before", "two_on_one_cycle", "learning"])
def test_windows_change_nothing(in_turn, seen, name):
    results = []
    for sim in in_turn(learning if name == "learning" else lambda: tanh_net(name)):
        data = None
        if sim.model.toplevel.nodes[0].size_in == 0:
            data = rows(sim, 2 * ITEMS)
        outputs = [list(sim.predict(data, n_steps=STEPS, stateful=True).values()) for _ in "12"]
        results.append(everything(sim, sum(outputs, [])))
    assert set(seen) == {STEPS, WINDOW, STEPS % WINDOW}
    assert_alike(*results)


@pytest.mark.parametrize("keep", [True, False])
@pytest.mark.parametrize("steps", [3, 2 * WINDOW, STEPS])
def test_any_number_of_steps(in_turn, steps, keep):
    """In all doors: predict with fewer items, too, eager calls, and steps that are not known."""
    results = []
    for sim in in_turn(lambda: mixed(Counting(), dense(), keep=keep)):
        layer, model = sim.tensor_graph, sim.keras_model
        outputs = [*sim.predict(rows(sim, 3, steps), stateful=True).values()]
        x = tf.constant(rows(sim, ITEMS, steps))
        data = [x, tf.fill((ITEMS, 1), steps)]
        with layer.keeping(True):
            outputs += model(data, training=False).values()
        outputs += layer.run_eager([x], steps)[0]
        results.append(everything(sim, outputs))
    assert_alike(*results)


@pytest.mark.parametrize("keep", [True, False])
@pytest.mark.parametrize("steps", [0, 3, STEPS])
def test_steps_that_are_not_known(in_turn, seen, steps, keep):
    results = []
    for known in (True, False):
        _, sim = in_turn(lambda: mixed(dense(activity_regularizer="l2"), keep=keep))
        specs = [tf.TensorSpec((ITEMS, None, 3), "float64"), tf.TensorSpec((ITEMS, 1), "int32")]

        def call(*data, sim=sim, known=known):
            with sim.tensor_graph.keeping(True, few_steps=known):
                outputs = sim.keras_model(list(data), training=False)
            return list(outputs.values()), sim.tensor_graph.losses

        function = tf.function(call, input_signature=specs, autograph=False)
        outputs, losses = function(tf.constant(rows(sim, ITEMS, steps)), tf.fill((ITEMS, 1), steps))
        assert len(losses) == 1
        results.append(everything(sim, [*outputs, *losses]))
    assert seen == [steps, *([WINDOW, WINDOW, 3] if steps == STEPS else [steps])]
    assert_alike(*results)


def test_losses_and_draws(in_turn, seen):
    results = []
    for sim in in_turn(lambda: mixed(Counting(), dense(activity_regularizer="l2"))):
        sim.compile(loss={sim.model.toplevel.p: "mse"})
        y = np.zeros((2 * ITEMS, STEPS, 3))
        for validation in ({}, {"validation_mode": "rates"}):
            found = sim.evaluate(rows(sim, 2 * ITEMS), {sim.model.toplevel.p: y}, **validation)
            results.append(everything(sim, found.values()))
    assert seen == [STEPS] * 4 + [WINDOW, WINDOW, 3] * 4
    assert_alike(results[0], results[2])
    assert_alike(results[1], results[3])


def test_training_keeps_all_steps(in_turn, seen):
    _, sim = in_turn(lambda: mixed(dense()))
    sim.compile(keras.optimizers.SGD(0.01), loss={sim.model.toplevel.p: "mse"})
    y = {sim.model.toplevel.p: np.zeros((ITEMS, STEPS, 3))}
    sim.fit(rows(sim), y, validation_data=(rows(sim), y), verbose=0)
    assert seen == [STEPS, WINDOW, WINDOW, 3]


def test_every_door(in_turn, seen):
    """Nowhere do values of more steps than a window's pass from one piece to the next."""
    _, sim = in_turn(mixed)
    x, n_steps = rows(sim), np.full((ITEMS, 1), STEPS, np.int32)
    sim.predict(x)
    sim.predict_on_batch(x)
    sim.keras_model([x, n_steps], training=False)
    sim.keras_model.predict([x, n_steps], verbose=0)
    sim.keras_model.predict(tf.data.Dataset.from_tensors(((x, n_steps),)), verbose=0)
    sim.tensor_graph.run_eager([x], STEPS)
    sim.tensor_graph.run_eager([x], STEPS, stateful=False)
    assert seen == [WINDOW, WINDOW, 3] * 7


def test_an_error_leaves_no_trace(in_turn):
    """In the second window."""

    def fail(t, x):
        if t > (WINDOW + 1.5) * 1e-3:
            raise OSError("too late")
        return x

    def network():
        net = learning()
        with net:
            nengo.Connection(net.ensembles[1], nengo.Node(fail, size_in=1))
        return net

    _, sim = in_turn(network)
    layer, x = sim.tensor_graph, rows(sim)
    before = everything(sim, ())
    with pytest.raises(nengo.exceptions.SimulationError, match="too late"):
        sim.predict(x, stateful=True)
    assert layer.run_eager([x], STEPS) == ([], 0) and "too late" in layer.last_run.error
    assert_alike(everything(sim, ()), before)
    sim.predict(x[:, : WINDOW + 1], stateful=True)
    assert layer.n_steps == WINDOW + 1


@pytest.mark.parametrize("how", ["eager", "inside", "outside", "steps not known"])
def test_gradients_pass_through_windows(in_turn, how):
    """Of calls that are not in training mode."""
    results = []
    for sim in in_turn(lambda: tanh_net("on_a_cycle" if how == "inside" else "in_a_row")):
        model, layer = sim.keras_model, sim.tensor_graph
        x, n_steps = tf.constant(rows(sim)), tf.fill((ITEMS, 1), STEPS)

        def loss(x, model=model, layer=layer, n_steps=n_steps):
            outputs = model([x, n_steps], training=False)
            return tf.add_n([tf.reduce_sum(outputs[name] ** 2) for name in layer.output_names])

        def gradient(x, of, model=model):
            with tf.GradientTape() as tape:
                tape.watch(x)
                value = of(x)
            return tape.gradient(value, [x, *model.trainable_weights])

        spec = [tf.TensorSpec((ITEMS, None if "not" in how else STEPS, 1), "float64")]
        if how == "eager":
            found = gradient(x, loss)
        elif how == "inside":
            found = tf.function(lambda x, f=gradient, g=loss: f(x, g), autograph=False)(x)
        else:
            found = gradient(x, tf.function(loss, input_signature=spec, autograph=False))
        assert all(np.any(value != 0) for value in found)
        results.append(found)
    assert_alike(*results)


def test_one_program_stays_one_op(in_turn):
    def plain():
        with nengo.Network(seed=0) as net:
            nengo_dl.configure_settings(dtype="float64")
            nengo.Probe(nengo.Ensemble(5, 1), synapse=0.01)
            nengo.Probe(nengo.Node(np.zeros(3)))
        return net

    _, sim = in_turn(plain)
    assert sim.tensor_graph.most_at_once == np.inf
    specs = [tf.TensorSpec((ITEMS, None, 3), "float64"), tf.TensorSpec((ITEMS, 1), "int32")]
    function = tf.function(lambda *x: sim.keras_model(list(x), training=False), autograph=False)
    kinds = [op.type for op in function.get_concrete_function(*specs).graph.get_operations()]
    assert kinds.count("NengoDL>Run") == 1 and "While" not in kinds
