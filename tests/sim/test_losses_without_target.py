"""Losses that have no target: those that need none count, others are warned of (SPEC S-38)."""

import warnings

import keras
import nengo
import numpy as np
import pytest
import tensorflow as tf
from nengo.exceptions import ValidationError
from training_nets import of_linear, rows, weights

from nengo_dl.losses import Regularize, nan_mse

X, Y = rows(4), rows(4, 3, 1, 1)
PRED = X.sum(-1, keepdims=True) * 0.5
MSE, NORM = np.mean((PRED - Y) ** 2), np.mean(np.abs(PRED))
ITEMS = np.array([1.0, 0, 2, 0.5])


@pytest.fixture
def sim(Sim):
    return of_linear(Sim)


def dataset(y=None, *weight):
    x = {"x": X, "n_steps": np.full((4, 1), 3, np.int32)}
    return tf.data.Dataset.from_tensor_slices((x, {} if y is None else y, *weight)).batch(2)


@pytest.fixture
def no_warning():
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="There are no targets")
        yield


@pytest.mark.parametrize("eager", [False, True])
def test_regularize_needs_none(sim, no_warning, eager):
    sim.compile(loss={"py": "mse", "pz": Regularize()}, run_eagerly=eager, metrics={"pz": "mae"})
    due = {"loss": MSE + NORM, "py_loss": MSE, "pz_loss": NORM, "pz_mae": 0}
    with pytest.warns(UserWarning, match="no targets for the metrics pz_mae"):
        sim.evaluate(X, {"py": Y}, verbose=0)
    for arguments in ((X, {"py": Y}), (X, [Y, None]), (dataset({"py": Y}),)):
        assert sim.evaluate(*arguments, verbose=0) == pytest.approx(due)
    found = sim.evaluate(X, {"py": Y}, sample_weight=ITEMS, verbose=0)
    weighted = np.mean(ITEMS[:, None, None] * np.abs(PRED))
    assert found["pz_loss"] == pytest.approx(weighted)
    weights_as_tensor = ITEMS[:, None]
    found = sim.evaluate(dataset({"py": Y}, weights_as_tensor), verbose=0)
    assert found["pz_loss"] == pytest.approx(weighted)


@pytest.mark.parametrize("shape", [(1, 0), (1, 3), (1, 2, 3), (1,), ()])
@pytest.mark.parametrize("form", ["arrays", "dataset", "validation"])
def test_what_stands_for_targets(Sim, shape, form):
    """Nobody looks at targets of `Regularize`: whatever has as many items will do."""
    with nengo.Network(seed=0) as net:
        node, out = nengo.Node(np.ones(3)), nengo.Node(size_in=2)
        conn = nengo.Connection(node, out, transform=np.full((2, 3), 2.0), synapse=None)
        probe = nengo.Probe(conn, "weights", label="w")
    sim = Sim(net, minibatch_size=2)
    metrics = {probe: Regularize(order=1)}
    sim.compile(keras.optimizers.SGD(0.0), loss={probe: Regularize()}, metrics=metrics)
    x, dummy = np.ones((4, 1, 3)), np.empty((4, *shape), dtype=bool)
    data = (x, {probe: dummy})
    if form == "dataset":
        data = (tf.data.Dataset.from_tensor_slices((x, {"w": dummy})).batch(2),)
    if form == "validation":
        history = sim.fit(x, validation_data=data, verbose=0).history
        assert history["val_loss"][0] == history["loss"][0] == pytest.approx(24**0.5)
    else:
        found = sim.evaluate(*data, verbose=0)
        assert found == pytest.approx({"loss": 24**0.5, "w_loss": 24**0.5, "w_regularize": 12.0})
        assert sim.fit(*data, verbose=0).history["loss"][0] == pytest.approx(24**0.5)


def test_targets_that_a_metric_reads(sim):
    """They are looked at as ever; so are those of Probes without a loss."""
    sim.compile(loss={"pz": Regularize()}, metrics={"pz": "mae"})
    for name in ("pz", "py"):
        with pytest.raises(ValidationError, match="expected rank 3.*got rank 2"):
            sim.evaluate(X, {name: np.zeros((4, 3))}, verbose=0)
    with pytest.raises(ValidationError, match="Batch size.*3.*expected size .4"):
        sim.evaluate(X, {"pz": np.zeros((3, 3, 1))}, verbose=0)


def test_training_on_nothing_else(sim, no_warning):
    """Weights shrink, from arrays and from datasets, in validation too."""
    sim.compile(keras.optimizers.SGD(0.1), loss={"pz": Regularize()})
    assert sim.evaluate(X, verbose=0)["loss"] == pytest.approx(NORM)
    history = sim.fit(X, epochs=2, validation_data=(X, None), verbose=0).history
    assert history["pz_loss"][0] > history["val_pz_loss"][0] > history["val_pz_loss"][1]
    before = weights(sim, sim.net.v)
    sim.fit(dataset(), verbose=0)
    assert np.abs(weights(sim, sim.net.v)).sum() < np.abs(before).sum()
    assert np.all(weights(sim, sim.net.w) == 0.5)


def test_what_does_not_fit(sim):
    sim.compile(loss={"pz": Regularize(axis=3)})
    with pytest.raises(
        ValueError, match=r"'pz' doesn't fit its loss regularize.*\(2, 3, 1\).*out of"
    ):
        sim.fit(X, verbose=0)


@pytest.mark.parametrize("eager", [False, True])
@pytest.mark.parametrize("as_dataset", [False, True])
def test_others_are_warned_of_once(sim, eager, as_dataset):
    arguments = (dataset({"py": Y}),) if as_dataset else (X, {"py": Y})
    message = "There are no targets for nan_mse of 'pz': it counts as 0"
    for _ in range(2):  # each time that it is compiled
        losses = {"py": "mse", "pz": nan_mse}
        sim.compile(keras.optimizers.SGD(0.0), loss=losses, run_eagerly=eager)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for _ in range(2):
                found = sim.evaluate(*arguments, verbose=0)
            sim.fit(*arguments, verbose=0)
        assert found == pytest.approx({"loss": MSE, "py_loss": MSE, "pz_loss": 0})
        warned = [str(w.message) for w in caught if "no targets" in str(w.message)]
        assert len(warned) == 1 and message in warned[0]


def test_validation_is_warned_of_too(sim):
    sim.compile(loss="mse")
    with pytest.warns(UserWarning, match="no targets for mean_squared_error of 'py'"):
        sim.fit(X, {"py": Y, "pz": Y}, validation_data=(X, {"pz": Y}), verbose=0)
