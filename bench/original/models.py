"""What the programs share: models that are the same numbers in every version of Nengo."""

import warnings

import nengo
import numpy as np
import tensorflow as tf
from training_networks import decode, ensemble

import nengo_dl


def simulator(net, **kwargs):
    """A simulator without a progress bar."""
    kwargs.setdefault("progress_bar", False)
    kwargs.setdefault("seed", 0)
    return nengo_dl.Simulator(net, **kwargs)


def network(**settings):
    """An empty network with a seed, and settings of NengoDL."""
    net = nengo.Network(seed=0)
    if settings:
        with net:
            nengo_dl.configure_settings(**settings)
    return net


def rows(*shape, seed=0, low=-1, high=1):
    """Random numbers that are the same everywhere."""
    return np.random.RandomState(seed).uniform(low, high, size=shape)


def feedforward(neuron_type=None, synapse=0.005, **settings):
    """Two numbers, an ensemble, a number: with ``inp``, ``ens``, ``dec`` and ``p``."""
    rng = np.random.RandomState(1)
    net = network(**settings)
    with net:
        net.inp = nengo.Node(np.array([0.3, -0.4]), label="inp")
        net.ens = ensemble(rng, 20, 2, neuron_type or nengo.RectifiedLinear())
        out = nengo.Node(size_in=1)
        net.enc = nengo.Connection(
            net.inp, net.ens, transform=[[0.8, 0.1], [0.2, -0.9]], synapse=synapse
        )
        net.dec = decode(rng, net.ens, out, 1, None)
        net.p = nengo.Probe(out, synapse=synapse, label="p")
    return net


def rates(n_out=1, **settings):
    """Layers of rate neurons, without synapses: with ``inp``, ``first``, ``last`` and ``p``."""
    rng = np.random.RandomState(2)
    net = network(**settings)
    with net:
        net.inp = nengo.Node(np.zeros(3), label="inp")
        net.hidden = nengo.Ensemble(
            8,
            1,
            gain=np.ones(8),
            bias=rng.uniform(0, 1, 8),
            encoders=np.ones((8, 1)),
            neuron_type=nengo.RectifiedLinear(),
        )
        out = nengo.Node(size_in=n_out)
        net.first = nengo.Connection(
            net.inp, net.hidden.neurons, transform=rng.uniform(-0.5, 0.5, (8, 3)), synapse=None
        )
        net.last = nengo.Connection(
            net.hidden.neurons, out, transform=rng.uniform(-0.5, 0.5, (n_out, 8)), synapse=None
        )
        net.p = nengo.Probe(out, label="p")
    return net


def recurrent(neuron_type=None, **settings):
    """An ensemble with a connection to itself: with ``inp``, ``ens`` and ``p``."""
    rng = np.random.RandomState(3)
    net = network(**settings)
    with net:
        net.inp = nengo.Node(np.array([0.5]), label="inp")
        net.ens = ensemble(rng, 25, 1, neuron_type or nengo.LIF())
        nengo.Connection(net.inp, net.ens, synapse=0.01)
        decode(rng, net.ens, net.ens, 1, 0.02, scale=0.02)
        out = nengo.Node(size_in=1)
        decode(rng, net.ens, out, 1, None, scale=0.02)
        net.p = nengo.Probe(out, synapse=0.01, label="p")
    return net


def sgd(rate=0.1):
    """Plain gradient descent."""
    return tf.keras.optimizers.SGD(rate)


def outcomes(**calls):
    """Per call, the class of its error."""
    return {name: outcome(call) for name, call in calls.items()}


def outcome(function):
    """The class of the error that a function raises, or "no error"."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            function()
    except Exception as e:
        return type(e).__name__
    return "no error"


def warned(function, *parts):
    """Per part of a message, whether a call warns of it, and of which category it is."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        function()
    return [
        sorted({type(w.message).__name__ for w in caught if part in str(w.message)})
        for part in parts
    ]


def texts(values):
    """An array of texts."""
    return np.array([str(value) for value in values])


def sizes(weights):
    """Number of elements of all weights together."""
    return sum(int(np.prod(weight.shape)) for weight in weights)
