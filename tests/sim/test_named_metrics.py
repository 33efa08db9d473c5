"""Metrics without targets, in flat lists, weighted ones, and those that need no targets."""

import keras
import nengo
import numpy as np
import pytest

from nengo_dl.losses import Regularize

X = np.ones((4, 1, 1))


def network(*labels):
    with nengo.Network(seed=0) as net:
        net.given = nengo.Node([1.0])
        three = nengo.Node(size_in=1)
        nengo.Connection(net.given, three, transform=3, synapse=None)
        net.found = [nengo.Probe(three, label=label) for label in labels]
    return net


@pytest.fixture
def single(Sim):
    return Sim(network("p"))


@pytest.fixture
def double(Sim):
    return Sim(network("p", "q"))


def test_what_needs_no_targets(double):
    double.compile("sgd", loss={"p": "mse"}, metrics={"q": Regularize()})
    assert double.evaluate(X, {"p": 0 * X}, verbose=0)["q_regularize"] == pytest.approx(3)
    double.compile("sgd", loss={"q": Regularize()}, metrics={"q": Regularize()})
    found = double.evaluate(X, verbose=0)
    assert found["q_regularize"] == found["q_loss"] == pytest.approx(3)


def test_no_targets(double):
    double.compile("sgd", loss={"p": "mse"}, metrics={"p": "mae", "q": ["mae", "mse"]})
    with pytest.warns(UserWarning, match="no targets for the metrics q_mae, q_mse: they are shown"):
        found = double.evaluate(X, {"p": 0 * X}, verbose=0)
    assert found["p_mae"] == pytest.approx(3) and found["q_mae"] == 0


def test_flat_lists(single, double):
    """As in Keras; with several Probes they go in order, as in NengoDL."""
    single.compile("sgd", loss="mse", metrics=["mae", "mape"], weighted_metrics=["mae", "mape"])
    found = single.evaluate(X, 0 * X + 1, sample_weight=np.array([1.0, 1, 1, 0]), verbose=0)
    names = "p_mae p_mape p_weighted_mae p_weighted_mape"
    assert list(found) == ["loss", "p_loss", *names.split()]
    assert found["p_weighted_mae"] == pytest.approx(2)
    double.compile("sgd", loss="mse", metrics=["mae", "mape"])
    found = double.evaluate(X, {"p": X, "q": X}, verbose=0)
    assert list(found) == ["loss", "p_loss", "q_loss", "p_mae", "q_mape"]


@pytest.mark.parametrize("shape", [(8,), (8, 1), (8, 2)])
@pytest.mark.parametrize("kind", ["AUC", "Precision", "Recall", "MeanAbsoluteError"])
def test_weights_of_items_and_steps(Sim, kind, shape):
    sim = Sim(network("p"), minibatch_size=2)
    rng = np.random.RandomState(0)
    y, w = rng.randint(0, 2, (8, 2, 1)).astype(float), rng.randint(0, 3, shape).astype(float)
    x = rng.uniform(0, 1 / 3, (8, 2, 1))
    sim.compile("sgd", loss="mse", weighted_metrics=[getattr(keras.metrics, kind)()])
    found = list(sim.evaluate(x, y, sample_weight=w, verbose=0).values())[-1]
    due = getattr(keras.metrics, kind)()
    weights = np.broadcast_to(w.reshape(8, -1), (8, 2))
    due.update_state(y.reshape(-1, 1), 3 * x.reshape(-1, 1), weights.reshape(-1))
    assert found == pytest.approx(float(due.result()), abs=1e-6)


def test_what_is_stateful_keeps_its_order(Sim):
    """Pieces of long sequences: each item goes on from its own state."""
    with nengo.Network(seed=0) as net:
        given = nengo.Node([0.0])
        filtered = nengo.Node(size_in=1)
        nengo.Connection(given, filtered, synapse=0.005)
        nengo.Probe(filtered)
    sim = Sim(net, minibatch_size=8)
    sim.compile(keras.optimizers.SGD(0.0), loss="mse")
    x = np.random.RandomState(0).normal(size=(8, 6, 1))
    whole = sim.fit(x, 0 * x, verbose=0).history["loss"][0]
    pieces = [x[:, k : k + 2] for k in (0, 2, 4)]
    losses = [sim.fit(p, 0 * p, stateful=True, verbose=0).history["loss"][0] for p in pieces]
    assert np.mean(losses) == pytest.approx(whole, rel=1e-5)


def test_generators_of_lists(single):
    single.compile("sgd", loss="mse")
    data = (([X[:1]], [0 * X[:1]]) for _ in range(4))
    assert single.evaluate(data, steps=4, verbose=0)["loss"] == pytest.approx(9)
