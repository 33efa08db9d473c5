"""Loss functions (SPEC M-04)."""

import keras
import nengo
import numpy as np
import pytest
import tensorflow as tf
from nengo.exceptions import ValidationError
from training_nets import linear, rows

import nengo_dl
from nengo_dl.losses import Regularize, nan_mse

SHAPE = (3, 5, 4)


def values(seed=0, shape=SHAPE):
    return np.random.default_rng(seed).standard_normal(shape)


def missing_targets():
    target = values(1)
    target[0, 1] = np.nan
    target[1, :, 2] = np.nan
    return target


def test_nan_mse():
    target, output = missing_targets(), values()
    error = np.nan_to_num(target - output)
    loss = nan_mse(target, output)
    assert loss.shape == () and loss.dtype == tf.float64
    np.testing.assert_allclose(loss, np.sum(error**2) / error.size, rtol=1e-14)
    np.testing.assert_allclose(nan_mse(values(1), output), np.mean((values(1) - output) ** 2))


def test_nan_mse_gradient():
    target, output = missing_targets(), tf.Variable(values())
    with tf.GradientTape() as tape:
        loss = nan_mse(target, output)
    gradient = tape.gradient(loss, output).numpy()
    expected = 2 * np.nan_to_num(output.numpy() - target) / target.size
    np.testing.assert_allclose(gradient, expected, rtol=1e-14)
    assert np.all(gradient[np.isnan(target)] == 0)


def test_all_targets_missing():
    output = tf.Variable(values())
    with tf.GradientTape() as tape:
        loss = nan_mse(np.full(SHAPE, np.nan), output)
    assert loss == 0
    assert not np.any(tape.gradient(loss, output))


def test_no_targets():
    """M-04: without targets everything is met."""
    output = tf.Variable(values())
    with tf.GradientTape() as tape:
        loss = nan_mse(None, output)
    assert loss == 0 and loss.dtype == tf.float64
    assert np.array_equal(tape.gradient(loss, output), np.zeros(SHAPE))
    with tf.device("/cpu:0"):
        traced = tf.function(nan_mse)(None, output)
    assert traced == 0


def test_other_arguments():
    """Lists, whole numbers and mixed types, as from an interactive session."""
    assert nan_mse([1.0, np.nan], [3, 1]) == 2
    assert nan_mse([1, 4], [3, 4]) == 2
    assert nan_mse(values(1).astype("float32"), values()).dtype == tf.float64


def test_errors_in_the_output_show():
    output = values()
    output[0, 0, 0] = np.nan
    assert np.isnan(nan_mse(values(1), output))


def test_nan_mse_in_training(Sim):
    """Only the steps that have targets move the weights."""
    net = linear()
    sim = Sim(net, minibatch_size=2)
    x = rows(2)
    y = np.full((2, 3, 1), np.nan)
    y[:, 0] = 1.0
    w = sim.data[net.w].weights.copy()
    sim.compile(keras.optimizers.SGD(0.125), loss={net.py: nan_mse})
    history = sim.fit(x, {net.py: y}, verbose=0).history
    error = (x @ w.T - 1)[:, 0]
    np.testing.assert_allclose(history["loss"], [np.sum(error**2) / 6])
    gradient = 2 / 6 * error.T @ x[:, 0]
    np.testing.assert_allclose(sim.data[net.w].weights, w - 0.125 * gradient, rtol=1e-12)


@pytest.mark.parametrize("order", [1, 2, 3, 0.5, np.inf, "euclidean"])
@pytest.mark.parametrize("axis", [None, 0, 1, -1])
def test_regularize(order, axis):
    output = values(shape=(2, 3, 4, 5))
    order_numpy = 2 if order == "euclidean" else order
    flat = output.reshape(2, 3, 20) if axis is None else output
    along = -1 if axis in (None, -1) else axis + 2
    norms = np.linalg.norm(flat, order_numpy, axis=along)
    with tf.device("/cpu:0"):
        loss = Regularize(order, axis, dtype="float64")(np.zeros_like(output), output)
    assert loss.shape == ()
    np.testing.assert_allclose(loss, norms.mean(), rtol=1e-12)


@pytest.mark.parametrize("order", [1, 2, 3, 0.5, np.inf, "euclidean"])
@pytest.mark.parametrize("axis", [None, 1])
def test_regularize_zeros(order, axis):
    """M-04: no gradient passes to a zero; to others it is that of the norm."""
    some = values(shape=(4, 3, 2, 5))
    some[0] = some[1, 1] = some[2, 0, :, 2] = 0
    x, others = tf.constant(some), some != 0
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        loss = tf.reduce_sum(Regularize(order, axis, dtype="float64")(None, x))
        flat = x if axis == 1 else tf.reshape(x, (4, 3, 10))
        due = tf.reduce_sum(tf.norm(flat, ord=order, axis=-1)) / (24 if axis == 1 else 12)
    got, due = tape.gradient(loss, x).numpy(), tape.gradient(due, x).numpy()
    assert not np.any(got[~others]) and np.any(got[others])
    np.testing.assert_allclose(got[others], due[others], rtol=1e-6)


@pytest.mark.parametrize("kind", [nengo.LIF, nengo.AdaptiveLIF, nengo_dl.LeakyReLU])
def test_regularize_silent_neurons(Sim, kind):
    """M-04: a blank item does not make weights NaN."""
    with nengo.Network(seed=0) as net:
        inp = nengo.Node(np.zeros(4))
        half = {"intercepts": nengo.dists.Choice([0]), "max_rates": nengo.dists.Choice([100])}
        ens = nengo.Ensemble(10, 4, neuron_type=kind(), **half)
        nengo.Connection(inp, ens, synapse=None)
        p = nengo.Probe(ens.neurons)
    x = np.random.RandomState(0).randn(8, 3, 4)
    x[0] = 0
    with net:
        nengo_dl.configure_settings(trainable=True)
    sim = Sim(net, minibatch_size=8)
    sim.compile(keras.optimizers.SGD(1e-6), loss={p: Regularize()})
    before = sim.keras_model.get_weights()
    sim.fit({inp: x}, epochs=2, verbose=0)
    after = sim.keras_model.get_weights()
    assert all(np.all(np.isfinite(weight)) for weight in after)
    assert any(np.any(a != b) for a, b in zip(before, after, strict=True))


def test_regularize_weighs_items():
    output, weight = values(), np.array([1.0, 0.0, 2.0])
    loss = Regularize(dtype="float64")(np.zeros_like(output), output, weight[:, None])
    expected = (np.linalg.norm(output, axis=-1) * weight[:, None]).sum() / 15
    np.testing.assert_allclose(loss, expected, rtol=1e-12)


def test_targets_do_not_matter():
    output = values()
    targets = [None, 7, "none", *(np.full(shape, 7.0) for shape in ((3, 5, 4), (3, 1, 1)))]
    losses = [float(Regularize(dtype="float64")(target, output)) for target in targets]
    np.testing.assert_allclose(losses, np.linalg.norm(output, axis=-1).mean(), rtol=1e-12)
    weight = np.array([[1.0], [0.0], [2.0]])
    weighted = Regularize(dtype="float64", reduction="sum")(None, output, weight)
    np.testing.assert_allclose(weighted, (np.linalg.norm(output, axis=-1) * weight).sum())
    np.testing.assert_allclose(Regularize().call(None, output), np.linalg.norm(output, axis=-1))


def test_regularize_in_training(Sim):
    """Weights shrink that have no other aim."""
    net = linear((4, 3))
    sim = Sim(net, minibatch_size=2)
    x = rows(8, size=4)
    sim.compile(keras.optimizers.SGD(0.1), loss={net.py: "mse", net.pz: Regularize(order=1)})
    y = {net.py: np.zeros((8, 3, 3)), net.pz: np.zeros((8, 3, 1))}
    expected = np.abs(x @ sim.data[net.v].weights.T).sum(axis=-1).mean()
    np.testing.assert_allclose(sim.evaluate(x, y, verbose=0)["pz_loss"], expected)
    sim.fit(x, y, epochs=5, verbose=0)
    assert sim.evaluate(x, y, verbose=0)["pz_loss"] < 0.3 * expected


def test_regularize_spikes_of_an_ensemble(Sim):
    with nengo.Network(seed=0) as net:
        ensemble = nengo.Ensemble(20, 1, neuron_type=nengo.RectifiedLinear())
        probe = nengo.Probe(ensemble.neurons)
    sim = Sim(net)
    sim.compile(loss={probe: Regularize()})
    rates = sim.predict(n_steps=4)[probe]
    found = sim.evaluate(n_steps=4, y={probe: np.zeros((1, 4, 1))}, verbose=0)["loss"]
    np.testing.assert_allclose(found, np.linalg.norm(rates, axis=-1).mean(), rtol=1e-5)


def test_config_round_trip():
    loss = Regularize(order=1, axis=0, name="small", reduction="sum")
    again = Regularize.from_config(loss.get_config())
    assert (again.order, again.axis, again.name, again.reduction) == (1, 0, "small", "sum")
    assert repr(again) == "Regularize(order=1, axis=0)"


@pytest.mark.parametrize(
    "kwargs, name",
    [
        ({"order": 0}, "order"),
        ({"order": -np.inf}, "order"),
        ({"order": np.nan}, "order"),
        ({"order": "fro"}, "order"),
        ({"order": None}, "order"),
        ({"axis": 1.5}, "axis"),
        ({"axis": (0, 1)}, "axis"),
        ({"axis": True}, "axis"),
    ],
)
def test_bad_arguments(kwargs, name):
    with pytest.raises(ValidationError, match=rf"Regularize\.{name}: must be"):
        Regularize(**kwargs)


@pytest.mark.parametrize(
    "axis, shape, message",
    [
        (1, SHAPE, "axis is out of range"),
        (-2, SHAPE, "axis is out of range"),
        (None, (3, 4), "expected values of shape"),
    ],
)
def test_values_of_another_shape(axis, shape, message):
    with pytest.raises(ValueError, match=message):
        Regularize(axis=axis)(np.zeros(shape), np.ones(shape))
