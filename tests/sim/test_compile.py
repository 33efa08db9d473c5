"""Arguments of compile and losses and metrics by probe (SPEC S-36 to S-39, S-49, X-12 to X-26)."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from nengo.exceptions import SimulatorClosed, ValidationError
from training_nets import linear, of_linear, rows, snapshot, unchanged


@pytest.fixture
def sim(Sim):
    return of_linear(Sim)


X = rows(4)
PRED = {"py": X.sum(-1, keepdims=True) * 0.5, "pz": X.sum(-1, keepdims=True) * -0.5}
TARGET = {"py": rows(4, 3, 1, 1), "pz": rows(4, 3, 1, 2)}
MSE = {name: np.mean((PRED[name] - TARGET[name]) ** 2) for name in PRED}
MAE = {name: np.mean(np.abs(PRED[name] - TARGET[name])) for name in PRED}


def evaluate(sim, y=None, **compiled):
    sim.compile(**compiled)
    return sim.evaluate(X, TARGET if y is None else y, verbose=0)


def expect(found, **due):
    assert list(found) == list(due)
    assert list(found.values()) == pytest.approx(list(due.values()))


def test_loss_is_a_keyword(sim):
    """S-36: what NengoDL's compile refuses."""
    with pytest.raises(TypeError):
        sim.compile("adam", "mse")
    sim.compile(loss="mse")
    assert isinstance(sim.keras_model.optimizer, keras.optimizers.RMSprop)
    with pytest.raises(TypeError, match="sample_weight_mode"):
        sim.compile(loss="mse", sample_weight_mode="temporal")
    sim.close()
    with pytest.raises(SimulatorClosed):
        sim.compile(loss="mse")


def test_losses_by_probe(sim):
    """S-37 to S-39: one for all, a list, a dict; names also where there is just one."""
    net = sim.net
    both = {"loss": MSE["py"] + MSE["pz"], "py_loss": MSE["py"], "pz_loss": MSE["pz"]}
    for loss in ("mse", ["mse", keras.losses.MeanSquaredError()], {net.pz: "mse", "py": "mse"}):
        expect(evaluate(sim, loss=loss), **both)
    for loss in (["mse", None], {net.py: "mse"}, {"py": "mse"}):
        expect(evaluate(sim, loss=loss), loss=MSE["py"], py_loss=MSE["py"])
    with pytest.warns(UserWarning, match="Number of elements in the loss"):
        expect(evaluate(sim, loss=["mse"]), loss=MSE["py"], py_loss=MSE["py"])
    mixed = evaluate(sim, loss={net.pz: "mae", net.py: "mse"})
    expect(mixed, loss=MSE["py"] + MAE["pz"], py_loss=MSE["py"], pz_loss=MAE["pz"])


def test_loss_weights(sim):
    """S-37, X-16: a list or a dict, which may be partial."""
    due = {"py_loss": MSE["py"], "pz_loss": MSE["pz"]}
    for weights in ([2, 1], {sim.net.py: 2.0}, {"py": 2}):
        found = evaluate(sim, loss="mse", loss_weights=weights)
        expect(found, loss=2 * MSE["py"] + MSE["pz"], **due)


def test_metrics(sim):
    """S-37, S-39, X-18: forms of metrics and their names."""
    net = sim.net
    loss = {"loss": MSE["py"], "py_loss": MSE["py"]}
    compiled = {"loss": {net.py: "mse"}}
    expect(evaluate(sim, metrics="mae", **compiled), **loss, py_mae=MAE["py"], pz_mae=MAE["pz"])
    for metrics in (["mae", "mse"], {net.py: "mae", "pz": ["mse"]}, [["mae"], ["mse"]]):
        found = evaluate(sim, metrics=metrics, **compiled)
        expect(found, **loss, py_mae=MAE["py"], pz_mse=MSE["pz"])

    def shifted(y_true, y_pred):
        return tf.reduce_mean(tf.abs(y_true - y_pred), -1) + 1

    several = {net.py: [shifted, keras.metrics.MeanSquaredError(name="own"), "mae", "mae"]}
    found = evaluate(sim, metrics=several, **compiled)
    due = {"py_shifted": MAE["py"] + 1, "py_own": MSE["py"]}
    expect(found, **loss, **due, py_mae=MAE["py"], py_mae_1=MAE["py"])
    # an object with a state counts for each probe by itself
    metric = keras.metrics.MeanSquaredError(name="own")
    found = evaluate(sim, metrics=metric, **compiled)
    expect(found, **loss, py_own=MSE["py"], pz_own=MSE["pz"])
    assert metric.name == "own"


def test_accuracy(Sim):
    """Metrics and losses that Keras chooses by shape."""
    net = linear((3, 3))
    sim = Sim(net, minibatch_size=2)
    x = rows(4, 3, 3)
    labels = np.argmax(rows(4, 3, 3, seed=1), -1)[..., None]
    due = np.mean(np.argmax(sim.predict(x)[net.py], -1) == labels[..., 0])
    for y in (labels, np.eye(3)[labels[..., 0]]):
        sim.compile(loss={net.py: "crossentropy"}, metrics={net.py: ["accuracy", "ce"]})
        found = sim.evaluate(x, {net.py: y}, verbose=0)
        assert list(found) == ["loss", "py_loss", "py_accuracy", "py_ce"]
        assert found["py_accuracy"] == pytest.approx(due)
        assert found["py_ce"] == pytest.approx(found["loss"])


def test_values_of_losses(sim):
    """S-49: whatever shape a loss returns, its mean counts."""
    shapes = {
        "float": lambda y, p: 0.25,
        "scalar": lambda y, p: tf.reduce_mean((y - p) ** 2),
        "items": lambda y, p: tf.reduce_mean((y - p) ** 2, (1, 2)),
        "steps": lambda y, p: tf.reduce_mean((y - p) ** 2, 2),
        "all": lambda y, p: (y - p) ** 2,
    }
    for name, loss in shapes.items():
        due = 0.25 if name == "float" else MSE["py"]
        found = evaluate(sim, loss={"py": loss}, y={"py": TARGET["py"]})
        expect(found, loss=due, py_loss=due)


def test_losses_see_whole_sequences(sim):
    """S-43: tensors of (minibatch_size, n_steps, size); targets of another length."""
    seen = []

    def loss(y_true, y_pred):
        seen.append((tuple(y_true.shape), tuple(y_pred.shape)[::2]))
        return tf.reduce_mean((y_true[:, 0] - y_pred[:, -1]) ** 2)

    found = evaluate(sim, {"py": TARGET["py"][:, :1]}, loss={"py": loss})
    expect(
        found, loss=found["loss"], py_loss=np.mean((TARGET["py"][:, 0] - PRED["py"][:, -1]) ** 2)
    )
    assert set(seen) == {((2, 1, 1), (2, 1))}


@pytest.mark.parametrize("kind", [np.int32, np.int64, np.uint8])
@pytest.mark.parametrize("make", ["function", "object"])
def test_integer_labels(Sim, kind, make):
    """X-24: integer targets stay integers, in functions and in objects of the user."""
    net = linear((3, 3))
    sim = Sim(net, minibatch_size=2)
    x = rows(4, 3, 3)
    labels = np.argmax(rows(4, 3, 3, seed=1), -1)[..., None].astype(kind)

    def pick(y_true, y_pred):
        assert y_true.dtype == kind
        return -tf.gather(y_pred, tf.cast(y_true, tf.int32), batch_dims=2)[..., 0]

    class Pick(keras.losses.Loss):
        def call(self, y_true, y_pred):
            return pick(y_true, y_pred)

    sim.compile(loss={net.py: pick if make == "function" else Pick()})
    due = -np.mean(np.take_along_axis(sim.predict(x)[net.py], labels.astype(int), -1))
    assert sim.evaluate(x, {net.py: labels}, verbose=0)["loss"] == pytest.approx(due)
    sim.compile(loss={net.py: keras.losses.SparseCategoricalCrossentropy(from_logits=True)})
    first = sim.evaluate(x, {net.py: labels}, verbose=0)["loss"]
    assert first == pytest.approx(sim.evaluate(x, {net.py: labels * 1.0}, verbose=0)["loss"])


def test_reductions(sim):
    """Objects keep their reduction."""
    found = evaluate(sim, loss={"py": keras.losses.MeanSquaredError(reduction="sum")})
    expect(found, loss=6 * MSE["py"], py_loss=6 * MSE["py"])  # of 2 items and 3 steps


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"loss": {"nothing": "mse"}}, ValidationError, "'nothing' is not a valid probe name"),
        ({"loss": {"x": "mse"}}, ValidationError, "'x' is not a valid probe name.*py, pz"),
        ({"loss": {3: "mse"}}, ValidationError, "3 is not a valid probe name"),
        ({"loss": "nonsense"}, ValueError, "nonsense"),
        ({"loss": [["mse"], None]}, ValidationError, "expected a single entry"),
        ({"loss": 3}, ValueError, "3"),
        ({"loss": ["mse"] * 3}, ValidationError, r"loss: .*each of 2 Probes \(py, pz\), got 3"),
        ({"loss": "mse", "loss_weights": [1, 2, 3]}, ValidationError, "loss_weights: .*got 3"),
        ({"loss": "mse", "metrics": {"nothing": "mae"}}, ValidationError, "not a valid probe"),
        ({"loss": "mse", "metrics": "nonsense"}, ValueError, "nonsense"),
        ({"loss": "mse", "loss_weights": {"nothing": 1}}, ValidationError, "not a valid probe"),
        ({"optimizer": "nonsense", "loss": "mse"}, ValueError, "nonsense"),
        ({"loss": "mse", "nonsense": 1}, TypeError, "nonsense"),
    ],
)
def test_errors_change_nothing(sim, arguments, error, message):
    """X-15, X-26: a wrong argument is found at once, and what was compiled before stays."""
    sim.compile("adam", loss="mse")
    before, due = snapshot(sim), sim.evaluate(X, TARGET, verbose=0)
    with pytest.raises(error, match=message):
        sim.compile(**arguments)
    assert unchanged(before, snapshot(sim))
    assert sim.evaluate(X, TARGET, verbose=0) == due


@pytest.mark.parametrize("eager", [False, True])
@pytest.mark.parametrize("as_dataset", [False, True])
@pytest.mark.parametrize("kind", ["function", "object"])
def test_targets_that_a_loss_of_ones_own_does_not_fit(sim, eager, as_dataset, kind):
    """The message names Probe, loss and shapes, and nothing has changed."""

    def own(y_true, y_pred):
        return tf.reduce_mean((y_true - y_pred) ** 2)

    class Own(keras.losses.Loss):
        def call(self, y_true, y_pred):
            return own(y_true, y_pred)

    wrong = rows(4, 3, 2)
    loss = own if kind == "function" else Own(name="own")
    sim.compile("adam", loss={"pz": loss}, run_eagerly=eager)
    arguments = X, {"pz": wrong[:, :2]}
    if as_dataset:
        x = {"x": X, "n_steps": np.full((4, 1), 3, np.int32)}
        arguments = (tf.data.Dataset.from_tensor_slices((x, arguments[1])).batch(2),)
    before = snapshot(sim)
    for method in (sim.evaluate, sim.fit):
        with pytest.raises(
            ValidationError, match=r"Targets for 'pz' don't fit its loss own.*, 2\)"
        ):
            method(*arguments, verbose=0)
    assert unchanged(before, snapshot(sim))


def test_an_optimizer_is_for_one_simulator(Sim, sim):
    """That it was used before is said by compile, and nothing has changed."""
    optimizer = keras.optimizers.Adam()
    for _ in range(2):  # by the same simulator it may be used again
        sim.compile(optimizer, loss="mse")
        sim.fit(X, TARGET, verbose=0)
    other = Sim(linear(), minibatch_size=2)
    other.compile("sgd", loss="mse")
    before = snapshot(other)
    with pytest.raises(
        ValidationError, match="optimizer: this Adam has been used for other weights"
    ):
        other.compile(optimizer, loss="mse")
    assert unchanged(before, snapshot(other))


def test_run_eagerly(sim):
    """Losses may use NumPy when everything is run eagerly."""

    def loss(y_true, y_pred):
        return np.mean((y_true.numpy() - y_pred.numpy()) ** 2)

    found = evaluate(sim, loss={"py": loss}, run_eagerly=True)
    expect(found, loss=MSE["py"], py_loss=MSE["py"])


def test_jit(sim):
    """The op is never compiled by XLA."""
    sim.compile(loss="mse")
    assert not sim.keras_model.jit_compile
    with pytest.warns(UserWarning, match="jit_compile=False"):
        sim.compile(loss="mse", jit_compile=True)
    assert not sim.keras_model.jit_compile


def test_classes_that_are_ignored(Sim):
    """The mean is of what counts, as Keras takes it."""
    net = linear((2, 4))
    sim = Sim(net, minibatch_size=4)
    x = rows(4)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=-1)
    labels = np.arange(12).reshape(4, 3, 1) % 4
    labels[:2, 1:] = -1
    sim.compile(loss={"py": loss})
    logits = sim.predict(x, verbose=0)[net.py]
    due = float(loss(labels, logits))
    found = sim.evaluate(x, {"py": labels}, verbose=0)["loss"]
    np.testing.assert_allclose(found, due, rtol=1e-6)
    weight = np.array([1.0, 2.0, 0.0, 3.0])
    found = sim.evaluate(x, {"py": labels}, sample_weight=weight, verbose=0)["loss"]
    np.testing.assert_allclose(found, float(loss(labels, logits, weight[:, None])), rtol=1e-6)


def test_weights_with_more_axes_than_values(sim):
    """Axes of one are left out; others are refused."""
    x, y = rows(2, steps=1), np.zeros((2, 1, 1))
    sim.compile(loss={"py": lambda y_true, y_pred: tf.reduce_mean((y_true - y_pred) ** 2, (1, 2))})
    weight = np.array([1.0, 3.0])
    due = sim.evaluate(x, {"py": y}, sample_weight=weight, verbose=0)["loss"]
    for more in (weight[:, None], weight[:, None, None]):
        found = sim.evaluate(x, {"py": y}, sample_weight=more, verbose=0)["loss"]
        np.testing.assert_allclose(found, due)
    with pytest.raises(
        ValueError, match=r"weights for values of the loss, .* \(2,\), got .*\(2, 3\)"
    ):
        sim.evaluate(rows(2), {"py": np.zeros((2, 3, 1))}, sample_weight=np.ones((2, 3)))
