"""`predict` of data in memory: what Keras does around minibatches, without its price."""

import sys

import keras
import nengo
import numpy as np
import pytest
import tensorflow as tf
from training_nets import leaky, rows

import nengo_dl


class Log(keras.callbacks.Callback):
    """Writes down what it is told."""

    def __init__(self):
        super().__init__()
        self.told = []

    def __getattribute__(self, name):
        value = super().__getattribute__(name)
        if not name.startswith("on_predict"):
            return value

        def tell(*args, logs=None, **kwargs):
            *numbers, outputs = (*args, logs)
            shapes = {k: np.shape(v) for k, v in (outputs or {}).get("outputs", {}).items()}
            self.told.append((name, *numbers, shapes, dict(self.params or {})))
            return value(*args, **kwargs)

        return tell


def by_keras(sim, x):
    """The same data in a dataset, which Keras takes apart."""
    size = sim.minibatch_size
    values = {"x": x, "n_steps": np.full((len(x), 1), x.shape[1], np.int32)}
    return tf.data.Dataset.from_tensor_slices(values).batch(size)


@pytest.mark.parametrize("each", [None, 1, 2, 3])
@pytest.mark.parametrize("steps", [None, 1, 3])
@pytest.mark.parametrize("stateful", [False, True])
def test_callbacks_are_told_what_keras_tells(Sim, each, steps, stateful):
    sim = Sim(leaky(), minibatch_size=2)
    sim.compile(loss="mse", steps_per_execution=each)
    x = rows(10, 4, 1)
    told, found = [], []
    for data in (x, by_keras(sim, x)):
        log = Log()
        sim.reset()
        found.append(sim.predict(data, stateful=stateful, steps=steps, callbacks=[log]))
        told.append((log.told, sim.n_steps))
    assert told[0] == told[1]
    assert len(told[0][0]) >= 4
    ((ours,), (keras_own,)) = (values.values() for values in found)
    np.testing.assert_array_equal(ours, keras_own)


def test_stop_predicting(Sim):
    sim = Sim(leaky(), minibatch_size=2)
    x = rows(10, 4, 1)

    class Stop(keras.callbacks.Callback):
        def on_predict_batch_end(self, batch, logs=None):
            self.model.stop_predicting = batch == 2

    (found,) = sim.predict(x, callbacks=[Stop()]).values()
    (whole,) = sim.predict(x).values()
    np.testing.assert_array_equal(found, whole[:6])


def test_progress_is_shown(Sim, capsys):
    sim = Sim(leaky(), minibatch_size=2)
    sim.predict(rows(10, 4, 1))
    assert capsys.readouterr().out == ""
    sim.predict(rows(10, 4, 1), verbose=1)
    assert "5/5" in capsys.readouterr().out


def test_fewer_minibatches_than_steps(Sim):
    sim = Sim(leaky())
    with pytest.warns(UserWarning, match="ran out of data: expected 5 minibatches, got 3"):
        (found,) = sim.predict(rows(3, 4, 1), steps=5).values()
    assert len(found) == 3
    with pytest.raises(TypeError, match="nonsense"):
        sim.predict(rows(3, 4, 1), nonsense=1)
    with pytest.raises(TypeError, match="steps"):
        sim.predict_on_batch(rows(1, 4, 1), steps=1)


def test_a_list_of_callbacks_of_keras(Sim):
    sim = Sim(leaky())
    log = Log()
    given = keras.callbacks.CallbackList([log], model=sim.keras_model)
    sim.predict(rows(3, 4, 1), callbacks=given)
    assert [entry[0] for entry in log.told].count("on_predict_batch_end") == 3


def test_results_are_writable_and_own_their_memory(Sim):
    sim = Sim(leaky())
    for items in (1, 3):
        (found,) = sim.predict(rows(items, 4, 1)).values()
        copy = found.copy()
        sim.predict(-rows(items, 4, 1))
        np.testing.assert_array_equal(found, copy)
        found[:] = 0


@pytest.mark.parametrize("calls_tensorflow, traces", [(False, 0), (True, 1)])
def test_nothing_is_traced_anew(Sim, monkeypatch, calls_tensorflow, traces):
    """For other numbers of steps, items, or calls of other kinds."""
    net = leaky()
    if calls_tensorflow:
        with net:
            node = nengo_dl.TensorNode(lambda x: 2 * x, shape_in=(1,), pass_time=False)
            nengo.Connection(net.nodes[0], node)
    sim, calls = Sim(net, minibatch_size=2), []
    run_graph = sim.tensor_graph.run_graph

    def counted(*args, **kwargs):
        calls.append(args)
        return run_graph(*args, **kwargs)

    monkeypatch.setattr(sim.tensor_graph, "run_graph", counted)
    for steps in (3, 4, 5, 1):
        for items in (2, 6):
            sim.predict(rows(items, steps, 1), stateful=True)
            sim.predict_on_batch(rows(2, steps, 1), stateful=True)
    assert len(calls) == traces


def learning_net(function=None, dtype="float64"):
    """A net that learns, perhaps with a Python function in it; its first Node takes data."""
    with nengo.Network(seed=0) as net:
        nengo_dl.configure_settings(dtype=dtype)
        node = nengo.Node([0.5])
        a, b = nengo.Ensemble(20, 1), nengo.Ensemble(20, 1)
        nengo.Connection(node, a)
        conn = nengo.Connection(a, b, learning_rule_type=nengo.PES(1e-2))
        nengo.Connection(b, conn.learning_rule)
        if function is not None:
            inner = nengo.Node(function, size_in=1)
            nengo.Connection(b, inner)
            nengo.Connection(inner, a)
        nengo.Probe(b, synapse=0.01)
        nengo.Probe(conn, "weights")
    return net


def left(sim):
    """All that a call may change."""
    layer = sim.tensor_graph
    return [*layer.get_state().values(), *(layer.get_param(i) for i in layer.learned)]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("function", [None, lambda t, x: x * np.sin(9 * t)])
def test_the_engine_alone_does_what_the_graph_does(Sim, function, dtype):
    """Whole minibatches and the start of one, with state and without: outputs and what is left."""
    net = learning_net(function, dtype)
    ways = Sim(net, minibatch_size=3), Sim(net, minibatch_size=3)
    ways[1].tensor_graph.direct = None
    before = left(ways[0])
    for items, stateful in ((3, False), (2, True), (7, True), (1, False), (3, True)):
        found = [sim.predict(rows(items, 5, 1), stateful=stateful) for sim in ways]
        for came, due in zip(found[0].values(), found[1].values(), strict=True):
            assert came.dtype == due.dtype and came.flags.writeable and due.flags.writeable
            np.testing.assert_array_equal(came, due)
        for came, due in zip(left(ways[0]), left(ways[1]), strict=True):
            np.testing.assert_array_equal(came, due)
    changed = [np.any(one != other) for one, other in zip(left(ways[0]), before, strict=True)]
    assert sum(changed) >= 3  # state, number of steps, what is learned


@pytest.mark.parametrize("stateful", [True, False])
def test_nothing_stays_of_a_minibatch_that_fails(Sim, stateful):
    def function(t, x):
        if t > 0.0045:
            raise ValueError("the fifth step")
        return x

    sim = Sim(learning_net(function), minibatch_size=2)
    sim.run_steps(1)
    before = left(sim)
    for items in (2, 1):
        with pytest.raises(nengo.exceptions.SimulationError, match="the fifth step"):
            sim.predict(rows(items, 6, 1), stateful=stateful)
        for came, due in zip(left(sim), before, strict=True):
            np.testing.assert_array_equal(came, due)
    sim.predict(rows(2, 3, 1), stateful=True)
    assert sim.n_steps == 4


def test_a_warm_call_takes_a_thousand_calls_of_python(Sim):
    """Those of Keras, with an iterator of tf.data, take 32,000."""
    with nengo.Network(seed=0) as net:
        u = nengo.Node([0.5])
        a = nengo.Ensemble(50, 1)
        nengo.Connection(u, a)
        nengo.Probe(a)
    sim = Sim(net)
    x = rows(1, 10, 1)

    def cost(call):
        call()
        events = []
        before = sys.getprofile()
        sys.setprofile(lambda frame, event, arg: events.append(event))
        try:
            call()
        finally:
            sys.setprofile(before)
        return sum(event in ("call", "c_call") for event in events)

    assert 0 < cost(lambda: sim.predict({u: x})) < 1000
    assert 0 < cost(lambda: sim.predict_on_batch({u: x})) < 1000


def test_rows_that_input_nodes_make(Sim):
    """Constants, functions and processes beside data, over several minibatches."""
    with nengo.Network(seed=0) as net:
        nengo_dl.configure_settings(dtype="float64")
        data = nengo.Node([0.0])
        nodes = [
            nengo.Node([2.0]),
            nengo.Node(lambda t: 1000 * t),
            nengo.Node(nengo.processes.WhiteSignal(1.0, 10, seed=0), size_out=1),
        ]
        probes = [nengo.Probe(node) for node in (data, *nodes)]
    sim, due = Sim(net, minibatch_size=2), Sim(net, minibatch_size=2)
    x = rows(6, 3, 1)
    due.run_steps(9)
    for stateful in (False, True):
        sim.reset()
        found = [sim.predict({data: x}, stateful=stateful)[p] for p in probes]
        if stateful:
            continue
        given, constant, clock, signal = found
        np.testing.assert_array_equal(given, x)
        np.testing.assert_array_equal(constant, np.full((6, 3, 1), 2.0))
        np.testing.assert_allclose(clock, np.tile([[[1.0], [2.0], [3.0]]], (6, 1, 1)))
        assert signal.shape == (6, 3, 1)
    sim.reset()
    on = sim.predict({data: x}, stateful=True)
    for probe in probes[2:]:
        joined = np.concatenate([on[probe][k : k + 2] for k in (0, 2, 4)], axis=1)
        np.testing.assert_allclose(joined, due.data[probe], rtol=1e-12)


@pytest.mark.parametrize("form", [np.int64, np.float16, np.float64, bool, "tensor", "list"])
def test_types_of_data(Sim, form):
    """Whatever a number is, it is taken for the same."""
    net = leaky(dtype="float32")
    sim = Sim(net, minibatch_size=2)
    x = np.random.default_rng(0).integers(2, size=(4, 3, 1))
    due = sim.predict(x.astype(np.float32))[net.py]
    if form == "tensor":
        given = tf.constant(x, tf.float64)
    else:
        given = {net.x: x.tolist()} if form == "list" else x.astype(form)
    for call in (sim.predict, lambda data: sim.predict_on_batch(_first(data))):
        found = call(given)[net.py]
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, due[: len(found)])


def _first(data):
    return {node: values[:2] for node, values in data.items()} if type(data) is dict else data[:2]
