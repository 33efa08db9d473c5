"""`fit` warns of learning rates that are larger than what they change."""

import warnings

import keras
import nengo
import numpy as np
import pytest

import nengo_dl

X = np.random.default_rng(0).uniform(-1, 1, (320, 1, 1))


def network(transform=None, **settings):
    """Decoders of an ensemble, or weights of its neurons."""
    with nengo.Network(seed=0) as net:
        nengo_dl.configure_settings(**settings)
        x = nengo.Node([0.0], label="x")
        ens = nengo.Ensemble(50, 1, label="ens")
        out = nengo.Node(size_in=1)
        nengo.Connection(x, ens, synapse=None)
        if transform is None:
            net.conn = nengo.Connection(ens, out, synapse=None)
        else:
            net.conn = nengo.Connection(ens.neurons, out, transform=transform, synapse=None)
        nengo.Probe(out, label="p")
    return net


def size(sim, net):
    """Root of the mean square of the weights."""
    return float(np.sqrt(np.mean(np.square(sim.data[net.conn].weights))))


def messages(sim, **kwargs):
    """Warnings of a `fit` about the learning rate, and its losses."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        history = sim.fit(X, X**2, verbose=0, **kwargs).history
    found = [str(warning.message) for warning in found]
    return [text for text in found if "learning rate" in text], history["loss"]


def test_what_is_warned_of(Sim):
    """Ten times the size of decoders destroys them; a third of it trains them."""
    net = network()
    losses = {}
    for factor in (10, 1 / 3):
        sim = Sim(net, minibatch_size=32)
        sim.compile(keras.optimizers.Adam(factor * size(sim, net)), loss="mse")
        before = sim.evaluate(X, X**2, validation_mode="rates", verbose=0)["loss"]
        found, losses[factor] = messages(sim, epochs=10)
        assert len(found) == (factor > 1)
        assert (losses[factor][0] > before) == (factor > 1)
    assert losses[1 / 3][-1] < before / 100


def test_message(Sim):
    net = network()
    sim = Sim(net, minibatch_size=32)
    sim.compile("adam", loss="mse")
    third = f"{size(sim, net) / 3:.0e}"
    ((text,), _) = messages(sim)
    assert "Adam is 0.001" in text and third in text and "weights" in text
    assert "encoders" not in text and "bias" not in text  # these are large
    assert messages(sim)[0] == []  # once
    sim.compile("adam", loss="mse")
    assert len(messages(sim)[0]) == 1


@pytest.mark.parametrize("name", ["Adam", "AdamW", "Adamax", "Nadam", "Lion", "RMSprop"])
def test_optimizers_whose_steps_have_a_size(Sim, name):
    net = network()
    sim = Sim(net, minibatch_size=32)
    for factor in (0.5, 2):
        optimizer = getattr(keras.optimizers, name)(factor * size(sim, net))
        sim.reset()
        sim.compile(optimizer, loss="mse")
        assert len(messages(sim)[0]) == (factor > 1)


def schedule():
    return keras.optimizers.schedules.PolynomialDecay(0.1, 1000)


@pytest.mark.parametrize(
    ("net", "optimizer", "due"),
    [
        (network, lambda: keras.optimizers.SGD(0.1), 0),
        (network, lambda: keras.optimizers.Adagrad(0.1), 0),
        (network, lambda: keras.optimizers.Adafactor(0.1), 0),
        (network, lambda: keras.optimizers.Adam(schedule()), 1),
        (network, lambda: keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam()), 1),
        (lambda: network(trainable=False), keras.optimizers.Adam, 0),
        (lambda: network(nengo_dl.dists.Glorot()), keras.optimizers.Adam, 0),
        (lambda: network(np.zeros((1, 50))), keras.optimizers.Adam, 0),
    ],
)
@pytest.mark.filterwarnings("ignore:The model does not have any trainable weights")
def test_what_is_not(Sim, net, optimizer, due):
    sim = Sim(net(), minibatch_size=32)
    sim.compile(optimizer(), loss="mse")
    assert len(messages(sim)[0]) == due
