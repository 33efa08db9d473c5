"""The networks that are measured, but for the Legendre memory unit."""

from typing import Any, NoReturn

import keras
import nengo
import numpy as np

from ..tensor_node import Layer, TensorNode

CLASSES = 10


def cconv(dimensions: int, neurons_per_d: int, neuron_type: Any) -> nengo.Network:
    """Circular convolution of two vectors.

    Parameters
    ----------
    dimensions : int
        Length of the vectors.
    neurons_per_d : int
        Neurons for each product of two numbers.
    neuron_type : nengo.neurons.NeuronType
        Type of all neurons.

    Returns
    -------
    nengo.Network
        With ``inp_a``, ``inp_b`` and ``p``.
    """
    net = _network("cconv", neuron_type)
    with net:
        net.inp_a = nengo.Node(np.zeros(dimensions))
        net.inp_b = nengo.Node(np.ones(dimensions))
        bind = nengo.networks.CircularConvolution(neurons_per_d, dimensions)
        nengo.Connection(net.inp_a, bind.input_a)
        nengo.Connection(net.inp_b, bind.input_b)
        net.p = nengo.Probe(bind.output)
    return net


def integrator(dimensions: int, neurons_per_d: int, neuron_type: Any) -> nengo.Network:
    """Integrators side by side.

    Parameters
    ----------
    dimensions : int
        Number of integrators.
    neurons_per_d : int
        Neurons of each.
    neuron_type : nengo.neurons.NeuronType
        Type of all neurons.

    Returns
    -------
    nengo.Network
        With ``inp`` and ``p``.
    """
    tau = 0.01
    net = _network("integrator", neuron_type)
    with net:
        net.inp = nengo.Node(np.zeros(dimensions))
        array = nengo.networks.EnsembleArray(neurons_per_d, dimensions)
        nengo.Connection(array.output, array.input, synapse=tau)
        nengo.Connection(net.inp, array.input, transform=tau)
        net.p = nengo.Probe(array.output)
    return net


def pes(dimensions: int, neurons_per_d: int, neuron_type: Any) -> nengo.Network:
    """An ensemble that learns, by the PES rule, to pass its input on.

    Parameters
    ----------
    dimensions : int
        Length of the input.
    neurons_per_d : int
        Neurons for each of its numbers.
    neuron_type : nengo.neurons.NeuronType
        Type of all neurons.

    Returns
    -------
    nengo.Network
        With ``inp`` and ``p``.
    """
    net = _network("pes", neuron_type)
    with net:
        net.inp = nengo.Node(np.ones(dimensions))
        pre = nengo.Ensemble(neurons_per_d * dimensions, dimensions)
        post = nengo.Node(size_in=dimensions)
        nengo.Connection(net.inp, pre)
        learned = nengo.Connection(pre, post, learning_rule_type=nengo.PES())
        nengo.Connection(post, learned.learning_rule)
        nengo.Connection(net.inp, learned.learning_rule, transform=-np.eye(dimensions))
        net.p = nengo.Probe(post)
    return net


def basal_ganglia(dimensions: int, neurons_per_d: int, neuron_type: Any) -> nengo.Network:
    """Basal ganglia, which choose one of many actions.

    Parameters
    ----------
    dimensions : int
        Number of actions.
    neurons_per_d : int
        Neurons of each ensemble.
    neuron_type : nengo.neurons.NeuronType
        Type of all neurons.

    Returns
    -------
    nengo.Network
        With ``inp`` and ``p``.
    """
    net = _network("basal_ganglia", neuron_type)
    with net:
        net.inp = nengo.Node(np.ones(dimensions))
        ganglia = nengo.networks.BasalGanglia(dimensions, neurons_per_d)
        nengo.Connection(net.inp, ganglia.input)
        net.p = nengo.Probe(ganglia.output)
    return net


def random_network(
    dimensions: int,
    neurons_per_d: int,
    neuron_type: Any,
    n_ensembles: int,
    connections_per_ensemble: int,
    seed: int = 0,
) -> nengo.Network:
    """Ensembles each of which passes its vector on to random ones.

    Parameters
    ----------
    dimensions : int
        Dimensions of each ensemble.
    neurons_per_d : int
        Neurons for each of its dimensions.
    neuron_type : nengo.neurons.NeuronType
        Type of all neurons.
    n_ensembles : int
        Number of ensembles.
    connections_per_ensemble : int
        To how many of them, perhaps itself, each one goes.
    seed : int
        Draws them, and is that of the network.

    Returns
    -------
    nengo.Network
        With ``inp`` and ``p``.
    """
    rng = np.random.RandomState(seed)
    net = _network("random", neuron_type, seed)
    with net:
        net.inp = nengo.Node(np.zeros(dimensions))
        out = nengo.Node(size_in=dimensions)
        ensembles = [
            nengo.Ensemble(neurons_per_d * dimensions, dimensions) for _ in range(n_ensembles)
        ]
        for pre in ensembles:
            nengo.Connection(net.inp, pre)
            nengo.Connection(pre, out)
            for post in rng.choice(n_ensembles, connections_per_ensemble, replace=False):
                nengo.Connection(pre, ensembles[post])
        net.p = nengo.Probe(out)
    return net


def mnist(use_tensor_layer: bool = True) -> nengo.Network:
    """A convolutional network for pictures of 28 x 28 points.

    Parameters
    ----------
    use_tensor_layer : bool
        Whether its layers are objects of the network, with neurons between them; otherwise all of
        it is one TensorNode.

    Returns
    -------
    nengo.Network
        With ``inp`` and ``p``.
    """
    layers = keras.layers
    relu, picture = nengo.RectifiedLinear(), (28, 28, 1)
    with nengo.Network() as net:
        net.config[nengo.Ensemble].gain = nengo.dists.Choice([1])
        net.config[nengo.Ensemble].bias = nengo.dists.Choice([0])
        net.config[nengo.Connection].synapse = None
        net.inp = nengo.Node(np.ones(28 * 28))
        if use_tensor_layer:
            x = Layer(layers.Conv2D(32, 3))(net.inp, shape_in=picture)
            x = Layer(relu)(x)
            x = Layer(layers.Conv2D(32, 3))(x, shape_in=(26, 26, 32))
            x = Layer(relu)(x)
            x = Layer(layers.AveragePooling2D(2, 2))(x, shape_in=(24, 24, 32))
            x = Layer(layers.Dense(128))(x)
            x = Layer(relu)(x)
            x = Layer(layers.Dropout(0.4))(x)
            x = Layer(layers.Dense(CLASSES))(x)
        else:
            model = keras.Sequential(
                [
                    keras.Input(picture),
                    layers.Conv2D(32, 3, activation="relu"),
                    layers.Conv2D(32, 3, activation="relu"),
                    layers.AveragePooling2D(2, 2),
                    layers.Flatten(),
                    layers.Dense(128, activation="relu"),
                    layers.Dropout(0.4),
                    layers.Dense(CLASSES),
                ]
            )
            x = TensorNode(model, shape_in=picture, pass_time=False)
            nengo.Connection(net.inp, x)
        net.p = nengo.Probe(x)
    return net


def spaun(dimensions: int) -> NoReturn:
    """Spaun, a model of a brain that solves tasks: not on this version of Nengo.

    Parameters
    ----------
    dimensions : int
        Dimensions of its semantic pointers.

    Raises
    ------
    ImportError
        Its package is written for Nengo 2, and can't be used beside the one that this needs.
    """
    raise ImportError(
        f"spaun({dimensions}) needs the package of Spaun (github.com/xchoo/spaun2.0), which "
        f"expected Nengo 2, got Nengo {nengo.__version__}; basal_ganglia and random_network are "
        "large models without it"
    )


def _network(label: str, neuron_type: Any, seed: int = 0) -> nengo.Network:
    net = nengo.Network(label=label, seed=seed)
    net.config[nengo.Ensemble].neuron_type = neuron_type
    return net
