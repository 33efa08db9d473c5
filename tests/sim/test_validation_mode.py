"""Validation of what is trained by rates: by spikes, as in NengoDL, or by rates as well."""

import warnings

import keras
import nengo
import numpy as np
import pytest
import tensorflow as tf
from nengo.exceptions import ValidationError

import nengo_dl

X = np.random.default_rng(0).uniform(-1, 1, (6, 1, 1))
WARNING = "validation by their spikes"


def network(neuron_type=None, synapse=None, **settings):
    """An ensemble that is probed as it is."""
    with nengo.Network(seed=0) as net:
        nengo_dl.configure_settings(dtype="float64", **settings)
        net.x = nengo.Node([0.0], label="x")
        ens = nengo.Ensemble(30, 1, neuron_type=neuron_type or nengo.LIF())
        out = nengo.Node(size_in=1)
        nengo.Connection(net.x, ens, synapse=None)
        nengo.Connection(ens, out, synapse=None)
        net.p = nengo.Probe(out, synapse=synapse, label="p")
    return net


def compiled(Sim, net, **kwargs):
    sim = Sim(net, minibatch_size=2)
    sim.compile(keras.optimizers.SGD(0.0), loss="mse", metrics="mae", **kwargs)
    return sim


def warned(call):
    """Whether a call warns of a validation by a few spikes."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        call()
    return sum(WARNING in str(warning.message) for warning in found)


def validation(kind, x, y):
    """Data for validation, as arrays or as a dataset."""
    if kind == "arrays":
        return (x, y)
    return tf.data.Dataset.from_tensor_slices((x, y)).batch(2)


@pytest.mark.parametrize("eager", [False, True])
@pytest.mark.parametrize("kind", ["arrays", "dataset"])
def test_values(Sim, kind, eager):
    """By rates: the loss of training. By spikes: that of `predict`. In any order."""
    sim = compiled(Sim, network(), run_eagerly=eager)
    by_spikes = np.mean((sim.predict(X)["p"] - X) ** 2)
    rates = Sim(network(learning_phase=True), minibatch_size=2)
    by_rates = np.mean((rates.predict(X)["p"] - X) ** 2)
    assert by_spikes > 10 * by_rates > 0
    for mode, due in (("spikes", by_spikes), ("rates", by_rates), ("spikes", by_spikes)):
        history = sim.fit(
            X, X, validation_data=validation(kind, X, X), validation_mode=mode, verbose=0
        ).history
        np.testing.assert_allclose(history["loss"], by_rates, rtol=1e-6)
        np.testing.assert_allclose(history["val_loss"], due, rtol=1e-6)
        found = sim.evaluate(*(validation("arrays", X, X)), validation_mode=mode, verbose=0)
        np.testing.assert_allclose(found["loss"], due, rtol=1e-6)
    np.testing.assert_allclose(sim.evaluate(X, X, verbose=0)["loss"], by_spikes, rtol=1e-6)


def test_state(Sim):
    """A stateful one leaves the state of rates: membranes stay, synapses go on."""
    net = network(synapse=0.01)
    sim, spiking = compiled(Sim, net), compiled(Sim, net)
    x = np.repeat(X, 20, axis=1)
    before = sim.tensor_graph.get_state()["state"]
    sim.evaluate(x, x, stateful=True, validation_mode="rates", verbose=0)
    spiking.evaluate(x, x, stateful=True, verbose=0)
    after = sim.tensor_graph.get_state()
    by_spikes = spiking.tensor_graph.get_state()["state"]
    assert after["n_steps"] == 60
    assert 0 < np.sum(after["state"] != before) < np.sum(by_spikes != before)


@pytest.mark.parametrize(
    ("net", "steps", "due"),
    [
        ({}, 1, 1),
        ({}, 5, 1),
        ({}, 30, 0),  # long enough
        ({"synapse": 0.01}, 5, 0),  # filtered
        ({"neuron_type": nengo.LIFRate()}, 1, 0),
        ({"neuron_type": nengo.PoissonSpiking(nengo.LIFRate())}, 1, 1),
        ({"surrogate": nengo_dl.surrogates.SuperSpike()}, 1, 0),  # trained by spikes
        ({"learning_phase": True}, 1, 0),  # validated by rates anyway
    ],
)
@pytest.mark.filterwarnings("ignore:No gradient reaches")
def test_warning(Sim, net, steps, due):
    """Once in a call that validates by a few spikes that nothing filters."""
    sim = compiled(Sim, network(**net))
    x = np.repeat(X, steps, axis=1)
    for kwargs in ({"validation_data": (x, x)}, {"validation_split": 0.3}):
        assert warned(lambda kwargs=kwargs: sim.fit(x, x, epochs=3, verbose=0, **kwargs)) == due
    rates = {"validation_data": (x, x), "validation_mode": "rates"}
    assert not warned(lambda: sim.fit(x, x, verbose=0, **rates))
    assert not warned(lambda: sim.fit(x, x, verbose=0))
    assert not warned(lambda: sim.evaluate(x, x, verbose=0))


def test_errors(Sim):
    sim = compiled(Sim, network())
    for method in (sim.fit, sim.evaluate):
        with pytest.raises(ValidationError, match="expected 'spikes' or 'rates', got 'both'"):
            method(X, X, validation_mode="both")
    sim = compiled(Sim, network(inference_only=True))
    with pytest.raises(ValidationError, match="needs a training mode"):
        sim.evaluate(X, X, validation_mode="rates")
    sim = compiled(Sim, network(learning_phase=False))
    with pytest.raises(ValidationError, match="learning_phase=False switches off"):
        sim.fit(X, X, validation_mode="rates")
