"""NaN targets: refused where they would spoil parameters, taken where they mean something."""

import numpy as np
import pytest
from nengo.exceptions import ValidationError
from training_nets import linear, rows, snapshot, unchanged, weights

import nengo_dl

X = rows(4)
Y = np.where(np.arange(4)[:, None, None] == 1, np.nan, rows(4, 3, 1, 1))


def test_refused_before_anything_is_trained(Sim):
    net = linear()
    sim = Sim(net, minibatch_size=2)
    sim.compile("sgd", loss={net.py: "mse"})
    before = snapshot(sim)
    with pytest.raises(ValidationError, match="'py' have 3 NaN.*mean_squared_error.*nan_mse"):
        sim.fit(X, {net.py: Y}, verbose=0)
    assert unchanged(before, snapshot(sim))


def test_taken_by_nan_mse(Sim):
    net = linear()
    sim = Sim(net, minibatch_size=2)
    sim.compile("sgd", loss={net.py: nengo_dl.losses.nan_mse})
    before = weights(sim, net.w).copy()
    history = sim.fit(X, {net.py: Y}, verbose=0).history
    assert np.isfinite(history["loss"]).all()
    assert np.isfinite(weights(sim, net.w)).all() and np.any(weights(sim, net.w) != before)
