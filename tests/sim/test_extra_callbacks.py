"""Keras callbacks for simulators (SPEC M-05, M-06, S-57)."""

import importlib.util

import keras
import nengo
import numpy as np
import pytest
import tensorflow as tf
from nengo.exceptions import ValidationError
from training_nets import leaky, linear, rows

from nengo_dl import callbacks

with_tensorboard = pytest.mark.skipif(
    importlib.util.find_spec("tensorboard") is None, reason="tensorboard is not installed"
)


# ---------------------------------------------------------------- IsolateState


def test_isolate_state(Sim):
    """S-58, M-06."""
    net = leaky()
    sim = Sim(net)
    sim.run_steps(10)
    isolate = callbacks.IsolateState(sim)
    before = sim.tensor_graph.get_state()
    once = sim.predict(np.ones((1, 4, 1)))[net.py]
    sim.run_steps(3)
    sim.predict(np.ones((1, 1, 1)), stateful=True, callbacks=[isolate])
    x = np.ones((3, 4, 1))
    found = sim.predict(x, stateful=True, callbacks=[isolate])[net.py]
    np.testing.assert_array_equal(found, np.repeat(once, 3, axis=0))
    after = sim.tensor_graph.get_state()
    assert all(np.array_equal(before[key], after[key]) for key in before)
    assert sim.n_steps == 10
    moving = sim.predict(x, stateful=True)[net.py]
    assert np.all(moving[1] > found[1]) and np.all(moving[2] > moving[1])


def test_isolate_state_while_training_and_testing(Sim):
    net = leaky()
    x, y = np.ones((3, 4, 1)), np.zeros((3, 4, 1))

    def losses(isolate):
        sim = Sim(net)
        sim.compile(keras.optimizers.SGD(0.0), loss="mse")
        own = [callbacks.IsolateState(sim)] if isolate else []
        seen = []
        log = keras.callbacks.LambdaCallback(
            on_train_batch_end=lambda batch, logs: seen.append(logs["loss"])
        )
        sim.fit(x, y, stateful=True, verbose=0, callbacks=[*own, log])
        steps = sim.n_steps
        tested = sim.evaluate(x, y, stateful=True, verbose=0, callbacks=own)["loss"]
        return seen, steps, tested

    seen, steps, tested = losses(True)
    np.testing.assert_allclose(seen, seen[0])
    np.testing.assert_allclose(tested, seen[0])
    assert steps == 0
    seen, steps, tested = losses(False)
    assert seen[0] < seen[1] < seen[2] < tested
    assert steps == 12


# ---------------------------------------------------------------- tensorboard


@pytest.fixture
def net():
    with nengo.Network(seed=0) as net:
        net.x = nengo.Node([0.0], label="x")
        net.a = nengo.Ensemble(10, 1, label="a", neuron_type=nengo.RectifiedLinear())
        net.b = nengo.Ensemble(8, 1, neuron_type=nengo.RectifiedLinear())
        net.direct = nengo.Ensemble(1, 1, neuron_type=nengo.Direct())
        net.xa = nengo.Connection(net.x, net.a, synapse=None)
        net.ab = nengo.Connection(net.a, net.b, synapse=None, label="ab")
        net.neurons = nengo.Connection(
            net.a.neurons, net.b.neurons, transform=np.ones((8, 10)) * 1e-4, synapse=None
        )
        net.sparse = nengo.Connection(
            net.a.neurons,
            net.b.neurons,
            transform=nengo.Sparse((8, 10), indices=[(0, 0), (3, 4)], init=[1e-4, 2e-4]),
            synapse=None,
            label="sparse",
        )
        net.p = nengo.Probe(net.b)
    return net


def events(folder):
    """All summaries in a folder: list of (step, value)."""
    found = []
    for path in sorted(folder.rglob("*tfevents*")):
        for record in tf.data.TFRecordDataset(str(path)):
            event = tf.compat.v1.Event.FromString(record.numpy())
            found += [(event.step, value) for value in event.summary.value]
    return found


@with_tensorboard
def test_summaries(net, Sim, tmp_path):
    """M-05."""
    sim = Sim(net, minibatch_size=2)
    sim.compile(keras.optimizers.SGD(0.1), loss={net.p: "mse"})
    objects = [net.a, net.b.neurons, net.b, net.ab, net.neurons, net.sparse]
    made = callbacks.NengoSummaries(tmp_path, sim, objects)
    before = np.array(sim.data[net.b].bias)
    sim.fit(rows(4, 3, 1), rows(4, 3, 1), epochs=2, verbose=0, callbacks=[made])
    found = events(tmp_path)
    tags = [
        "Ensemble_a_encoders",
        "Ensemble.neurons_None_bias",
        "Ensemble_None_encoders",
        "Connection_ab_weights",
        "Connection_None_weights",
        "Connection_sparse_weights",
    ]
    assert [(step, value.tag) for step, value in found] == [(e, t) for e in (0, 1) for t in tags]
    last = {value.tag: tf.make_ndarray(value.tensor) for step, value in found if step == 1}
    bias = sim.data[net.b].bias
    assert not np.array_equal(bias, before)
    table = last["Ensemble.neurons_None_bias"]  # rows: left edge, right edge, count
    assert table[:, 2].sum() == 8
    np.testing.assert_allclose([table[0, 0], table[-1, 1]], [bias.min(), bias.max()], rtol=1e-5)
    assert last["Connection_ab_weights"][:, 2].sum() == 10
    assert last["Connection_sparse_weights"][:, 2].sum() == 2


@with_tensorboard
@pytest.mark.parametrize(
    "choose, message",
    [
        (lambda net: net.x, "Unknown summary object .*should be an Ensemble, Neurons"),
        (lambda net: 5, "Unknown summary object 5"),
        (lambda net: net.xa, "does not have any weights to log"),
        (lambda net: net.direct.neurons, "does not have any bias to log"),
        (lambda net: nengo.Ensemble(1, 1, add_to_container=False), "not in this simulator"),
    ],
    ids=["node", "number", "no weights", "no bias", "stranger"],
)
def test_bad_objects(net, Sim, tmp_path, choose, message):
    sim = Sim(net)
    with pytest.raises(ValidationError, match=message):
        callbacks.NengoSummaries(tmp_path / "log", sim, [net.a, choose(net)])
    assert not (tmp_path / "log").exists()


@with_tensorboard
def test_tensorboard_profiles_predict(Sim, tmp_path):
    """M-06."""
    net = linear()
    sim = Sim(net, minibatch_size=2)
    x = rows(8)
    plain = sim.predict(x)[net.py]
    board = callbacks.TensorBoard(log_dir=str(tmp_path / "p"), profile_batch=(2, 3))
    found = sim.predict(x, callbacks=[board])[net.py]
    np.testing.assert_array_equal(found, plain)
    assert list((tmp_path / "p").rglob("*.xplane.pb"))
    quiet = callbacks.TensorBoard(log_dir=str(tmp_path / "q"), profile_batch=0)
    sim.predict(x, callbacks=[quiet])
    assert not list((tmp_path / "q").rglob("*.xplane.pb"))


@with_tensorboard
def test_tensorboard_of_training(Sim, tmp_path):
    net = linear()
    sim = Sim(net, minibatch_size=2)
    sim.compile("sgd", loss={net.py: "mse"})
    board = callbacks.TensorBoard(log_dir=str(tmp_path), histogram_freq=1)
    history = sim.fit(rows(4), rows(4, size=1), epochs=2, verbose=0, callbacks=[board]).history
    found = [(step, v) for step, v in events(tmp_path) if v.tag == "epoch_loss"]
    np.testing.assert_allclose(
        [float(tf.make_ndarray(v.tensor)) for _, v in found], history["loss"], rtol=1e-5
    )
    sim.predict(rows(4), callbacks=[board])  # the same callback serves again
    sim.fit(rows(4), rows(4, size=1), verbose=0, callbacks=[board])


@pytest.mark.parametrize(
    "make",
    [lambda sim, path: callbacks.TensorBoard(path),
     lambda sim, path: callbacks.NengoSummaries(path, sim, [])],
    ids=["TensorBoard", "NengoSummaries"],
)  # fmt: skip
def test_error_without_tensorboard(make, Sim, tmp_path, monkeypatch):
    sim = Sim(linear())
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *args: None if name == "tensorboard" else real(name, *args),
    )
    with pytest.raises(ImportError, match="pip install tensorboard"):
        make(sim, str(tmp_path))
