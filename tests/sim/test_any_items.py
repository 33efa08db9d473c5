"""Any number of items: the last minibatch is filled up, and what fills it up leaves no trace."""

import keras
import nengo
import numpy as np
import pytest
import tensorflow as tf
from nengo.exceptions import ValidationError
from training_nets import RATE, descent, leaky, linear, of_linear, rows, weights

SIZES = [1, 3, 4, 5, 9]


def forms(x, y=None, size=4):
    """Data as arrays, as datasets and as a generator, with the other arguments of a call."""
    x = {"x": x}
    dataset = tf.data.Dataset.from_tensor_slices((x,) if y is None else (x, {"py": y}))
    yield (x,) if y is None else (x, {"py": y})
    yield (dataset.batch(size),)
    yield ((part for part in dataset.batch(size).as_numpy_iterator()),)


@pytest.mark.filterwarnings("ignore:Your input ran out of data")
@pytest.mark.parametrize("items", SIZES)
@pytest.mark.parametrize("form", range(3))
def test_predict(Sim, form, items):
    """As many rows as items, with the values that each has alone."""
    net, x = leaky(), rows(items, size=1)
    alone, sim = Sim(net), Sim(net, minibatch_size=4)
    due = [alone.predict(x[i : i + 1])[net.py][0] for i in range(items)]
    before = sim.tensor_graph.get_state()
    found = sim.predict(*list(forms(x))[form])[net.py]
    assert found.shape == (items, 3, 1) and np.array_equal(found, due)
    for name, value in sim.tensor_graph.get_state().items():
        assert np.array_equal(value, before[name])


@pytest.mark.parametrize("steps", [None, 1, 2, 5])
def test_minibatches_per_call(Sim, steps):
    net, x, y = leaky(), rows(9, size=1), rows(9, size=1, seed=1)
    sim = Sim(net, minibatch_size=2)
    due = sim.predict(x)[net.py]
    sim.compile("sgd", loss="mse", **({} if steps is None else {"steps_per_execution": steps}))
    assert np.array_equal(sim.predict(x)[net.py], due)
    for data in list(forms(x, y, size=2))[: 2 if steps else 3]:
        found = sim.evaluate(*data, verbose=0)["loss"]
        np.testing.assert_allclose(found, np.mean((due - y) ** 2), rtol=1e-12)


def test_state_of_what_fills_up(Sim):
    """An item that is not there leaves the state where the minibatch before it has left it."""
    net, x = leaky(), rows(3, size=1)
    sim, first, second = Sim(net, minibatch_size=2), Sim(net), Sim(net)
    sim.predict(x, stateful=True)
    for i in (0, 2):
        first.predict(x[i : i + 1], stateful=True)
    second.predict(x[1:2], stateful=True)
    state = sim.tensor_graph.get_state()
    for row, one in enumerate((first, second)):
        assert np.array_equal(state["state"][row], one.tensor_graph.get_state()["state"][0])
    assert state["n_steps"] == 6  # time goes on for both
    assert not np.array_equal(*state["state"])


def test_generators_of_what_fills_up(Sim):
    """Noise within the model likewise."""
    with nengo.Network(seed=0) as net:
        x = nengo.Node([0.0], label="x")
        ens = nengo.Ensemble(5, 1, noise=nengo.processes.WhiteNoise(seed=1))
        nengo.Connection(x, ens)
        nengo.Probe(ens, label="py")
    sim = Sim(net, minibatch_size=2, seed=3)
    before = sim.tensor_graph.get_state()["istate"]
    sim.predict(rows(1, size=1), stateful=True)
    after = sim.tensor_graph.get_state()["istate"]
    assert not np.array_equal(before[0], after[0]) and np.array_equal(before[1], after[1])


def test_learned_weights_of_what_fills_up(Sim):
    """Learning rules change the weights of the items that are there."""
    with nengo.Network(seed=0) as net:
        x = nengo.Node([1.0], label="x")
        pre, post = nengo.Ensemble(10, 1), nengo.Node(size_in=1)
        nengo.Connection(x, pre)
        conn = nengo.Connection(pre, post, learning_rule_type=nengo.PES())
        nengo.Connection(x, conn.learning_rule)
        nengo.Probe(post, label="py")
    sim = Sim(net, minibatch_size=3, seed=0)
    before = np.array(sim.data[conn].weights)
    for call in (
        lambda: sim.predict(rows(2, 20, 1)),
        lambda: sim.predict(tf.data.Dataset.from_tensor_slices({"x": rows(2, 20, 1)}).batch(3)),
    ):
        call()
        after = np.array(sim.data[conn].weights)
        assert np.all(np.any(after[:2] != before[:2], axis=(1, 2)))
        assert np.array_equal(after[2], before[2])
        before = after


def squares(y_true, y_pred):
    """A loss that is a number for the minibatch, whatever its items are weighted with."""
    return tf.reduce_mean((y_true - y_pred) ** 2)


@pytest.mark.filterwarnings("ignore:Your input ran out of data")
@pytest.mark.parametrize("items", SIZES)
@pytest.mark.parametrize("eager", [False, True])
@pytest.mark.parametrize("loss", ["mse", squares, keras.losses.MeanSquaredError()])
def test_evaluate(Sim, items, eager, loss):
    """Averages over the items that are there."""
    net, x, y = leaky(), rows(items, size=1), rows(items, size=1, seed=1)
    sim = Sim(net, minibatch_size=4)
    sim.compile("sgd", loss=loss, metrics="mae", run_eagerly=eager)
    error = sim.predict(x)[net.py] - y
    for data in forms(x, y):
        found = sim.evaluate(*data, verbose=0)
        due = [np.mean(error**2), np.mean(error**2), np.mean(abs(error))]
        np.testing.assert_allclose(list(found.values()), due, rtol=1e-6)


def test_weights_of_items(Sim):
    x, y, weight = rows(5, size=1), rows(5, size=1, seed=1), np.arange(1.0, 6)
    sim = Sim(leaky(), minibatch_size=2)
    sim.compile("sgd", loss="mse", weighted_metrics="mae")
    error = sim.predict(x)["py"] - y
    found = sim.evaluate(x, y, sample_weight=weight, verbose=0)
    np.testing.assert_allclose(found["loss"], np.mean(weight[:, None, None] * error**2))
    due = np.sum(weight[:, None, None] * abs(error)) / np.sum(weight) / 3
    np.testing.assert_allclose(found["py_mae"], due, rtol=1e-6)


def test_nodes_give_their_own_values(Sim):
    """A process goes on from minibatch to minibatch, for the items that are there."""
    with nengo.Network(seed=0) as net:
        x = nengo.Node([0.0], label="x")
        noise = nengo.Node(nengo.processes.WhiteNoise(seed=2))
        out = nengo.Node(size_in=1)
        nengo.Connection(x, out, synapse=None)
        nengo.Connection(noise, out, synapse=None)
        p = nengo.Probe(out, label="py")
    sim = Sim(net, minibatch_size=2, seed=0)
    x, y = np.zeros((3, 4, 1)), np.zeros((3, 4, 1))
    values = sim.predict(x)[p]
    assert values.shape == (3, 4, 1) and np.array_equal(values[0], values[1])
    assert not np.any(values[0] == values[2])
    sim.reset()
    sim.compile("sgd", loss="mse")
    found = sim.evaluate(x, y, verbose=0)["loss"]
    np.testing.assert_allclose(found, np.mean(values**2), rtol=1e-6)


@pytest.mark.parametrize("items", [1, 3, 5])
def test_validation(Sim, items):
    x, y, test_x, test_y = rows(4), rows(4, size=1), rows(items, seed=2), rows(items, size=1)
    sim = of_linear(Sim)
    sim.compile(keras.optimizers.SGD(RATE), loss={"py": "mse"})
    for validation in ((test_x, {"py": test_y}), list(forms(test_x, test_y, 2))[1][0]):
        history = sim.fit(x, {"py": y}, validation_data=validation, verbose=0).history
        error = test_x @ weights(sim, sim.net.w).T - test_y
        np.testing.assert_allclose(history["val_loss"], np.mean(error**2))


@pytest.mark.parametrize("eager", [False, True])
def test_fit_of_a_dataset(Sim, eager):
    """It trains on the items that are there; arrays drop what fills no minibatch, as ever."""
    x, y = rows(5), rows(5, size=1, seed=1)
    sim = of_linear(Sim)
    sim.compile(keras.optimizers.SGD(RATE), loss={"py": "mse"}, run_eagerly=eager)
    dataset = tf.data.Dataset.from_tensor_slices((x, {"py": y})).batch(2)
    history = sim.fit(dataset, epochs=2, verbose=0).history
    w, losses = np.full((1, 2), 0.5), []
    for _ in range(2):
        losses.append([])
        for part in (slice(0, 2), slice(2, 4), slice(4, 5)):
            losses[-1].append(np.mean((x[part] @ w.T - y[part]) ** 2))
            w, _ = descent(x[part], y[part], size=2, w=w)
    np.testing.assert_allclose(weights(sim, sim.net.w), w)
    np.testing.assert_allclose(history["loss"], np.average(losses, axis=1, weights=[2, 2, 1]))
    sim = of_linear(Sim)
    sim.compile(keras.optimizers.SGD(RATE), loss={"py": "mse"})
    with pytest.warns(UserWarning, match="truncated"):
        sim.fit(x, {"py": y}, shuffle=False, verbose=0)
    assert np.allclose(weights(sim, sim.net.w), descent(x[:4], y[:4])[0])


@pytest.mark.parametrize(
    ("items", "fraction", "training"),
    [
        (8, 0.25, 6),
        (8, 0.3, 6),
        (8, 0.4, 4),
        (8, 0.05, 6),
        (8, 0.95, 2),
        (20, 0.1, 18),
        (9, 0.2, 6),
    ],
)
def test_validation_split(Sim, items, fraction, training):
    """The last whole minibatches, as many as are nearest to the fraction, and at least one."""
    x, y = rows(items), rows(items, size=1, seed=1)
    sim = of_linear(Sim)
    sim.compile(keras.optimizers.SGD(RATE), loss={"py": "mse"})
    if items % 2:
        with pytest.warns(UserWarning, match="truncated"):
            sim.fit(x, {"py": y}, validation_split=fraction, shuffle=False, verbose=0)
        x, y = x[:-1], y[:-1]
        sim.keras_model.set_weights(linear_weights(Sim))
    history = sim.fit(x, {"py": y}, validation_split=fraction, shuffle=False, verbose=0).history
    w, losses = descent(x[:training], y[:training])
    assert np.allclose(history["loss"], losses)
    assert np.allclose(history["val_loss"], np.mean((x[training:] @ w.T - y[training:]) ** 2))


def linear_weights(Sim):
    """What a new simulator of the linear network has."""
    return Sim(linear(), minibatch_size=2).keras_model.get_weights()


def test_keras_model_itself(Sim):
    net, x = linear(), rows(3)
    sim = Sim(net, minibatch_size=4)
    due = sim.predict(x)[net.py]
    outputs = sim.keras_model([x, np.full((3, 1), 3, np.int32)])
    assert np.array_equal(outputs["py"], due) and outputs["steps_run"].shape == (3,)
    with pytest.raises(ValueError, match="expected 1 to minibatch_size=4 items, got 5"):
        sim.keras_model([rows(5), np.full((5, 1), 3, np.int32)])
    for items in (1, 3, 5):  # exactly one minibatch, as ever
        with pytest.raises(ValidationError, match="minibatch_size|does not match"):
            sim.predict_on_batch(rows(items))


def test_numbers_that_differ(Sim):
    """A dataset with other numbers of inputs than targets is refused; nothing is trained."""
    sim = of_linear(Sim)
    sim.compile("sgd", loss={"py": "mse"})
    before = weights(sim, sim.net.w)
    for eager in (False, True):
        sim.compile("sgd", loss={"py": "mse"}, run_eagerly=eager)

        def one(x_items, y_items):
            yield {"x": rows(x_items)}, {"py": rows(y_items, size=1)}

        for numbers in ((2, 1), (1, 2), (3, 3)):
            for method in (sim.fit, sim.evaluate):
                with pytest.raises(ValidationError, match=r"minibatch_size=2 items.*\.batch\(2\)"):
                    method(one(*numbers), verbose=0)
    assert np.array_equal(weights(sim, sim.net.w), before)
