"""The networks that are simulated, in terms that Nengo 3.2 and Nengo 4.1 share.

Each function makes a network and its probe. ``NETWORKS`` names them. Inputs are constant, so that
nothing but the network takes time.
"""

import nengo
import numpy as np
import scipy.sparse


def integrators(n_integrators, neurons_each=100, seed=0):
    """An array of LIF integrators, driven by a constant input each."""
    with nengo.Network(seed=seed) as net:
        source = nengo.Node([0.5] * n_integrators)
        array = nengo.networks.EnsembleArray(neurons_each, n_integrators)
        nengo.Connection(source, array.input, transform=0.1, synapse=0.1)
        nengo.Connection(array.output, array.input, synapse=0.1)
        probe = nengo.Probe(array.output, synapse=0.01)
    return net, probe


def integrator(neurons=100, seed=0):
    """One LIF ensemble that integrates a constant input."""
    with nengo.Network(seed=seed) as net:
        source = nengo.Node([0.5])
        ensemble = nengo.Ensemble(neurons, 1)
        nengo.Connection(source, ensemble, transform=0.1, synapse=0.1)
        nengo.Connection(ensemble, ensemble, synapse=0.1)
        probe = nengo.Probe(ensemble, synapse=0.01)
    return net, probe


def feedforward(sizes=(784, 256, 10), seed=0):
    """Layers of LIF neurons with dense random weights between their neurons."""
    with nengo.Network(seed=seed) as net:
        net.config[nengo.Connection].synapse = None
        layer = nengo.Node([0.5] * sizes[0])
        for size in sizes[1:]:
            ensemble = nengo.Ensemble(
                size, 1, gain=nengo.dists.Choice([1.0]), bias=nengo.dists.Choice([1.0])
            )
            scale = (3.0 / (layer.size_out if isinstance(layer, nengo.Node) else len(layer))) ** 0.5
            if not isinstance(layer, nengo.Node):
                scale *= 0.02  # spikes are 1/dt high, 20 of them a second make 0.02 of that
            nengo.Connection(
                layer, ensemble.neurons, transform=nengo.dists.Uniform(-scale, scale), synapse=None
            )
            layer = ensemble.neurons
        probe = nengo.Probe(layer, synapse=0.01)
    return net, probe


def unit_vector(rng, dimensions):
    """A random vector of length 1."""
    vector = rng.randn(dimensions)
    return vector / np.linalg.norm(vector)


def circular_convolution(dimensions, neurons_each, seed=0):
    """Binds two vectors; ``neurons_each`` per dimension of the transformed vectors."""
    rng = np.random.RandomState(seed)
    with nengo.Network(seed=seed) as net:
        bind = nengo.networks.CircularConvolution(neurons_each, dimensions)
        for operand in (bind.input_a, bind.input_b):
            nengo.Connection(nengo.Node(unit_vector(rng, dimensions)), operand, synapse=None)
        probe = nengo.Probe(bind.output, synapse=0.01)
    return net, probe


def basal_ganglia(actions=32, neurons_each=64, seed=0):
    """Basal ganglia and thalamus choose one of many actions."""
    saliences = np.random.RandomState(seed).uniform(0.2, 0.5, size=actions)
    saliences[0] = 0.9
    with nengo.Network(seed=seed) as net:
        values = nengo.Node(saliences)
        ganglia = nengo.networks.BasalGanglia(actions, n_neurons_per_ensemble=neurons_each)
        thalamus = nengo.networks.Thalamus(actions, n_neurons_per_ensemble=neurons_each)
        nengo.Connection(values, ganglia.input, synapse=None)
        nengo.Connection(ganglia.output, thalamus.input)
        probe = nengo.Probe(thalamus.output, synapse=0.01)
    return net, probe


def pes(dimensions=32, neurons_per_dimension=50, seed=0):
    """Learns to pass a vector on, by the PES rule."""
    rng = np.random.RandomState(seed)
    with nengo.Network(seed=seed) as net:
        target = nengo.Node(unit_vector(rng, dimensions))
        pre = nengo.Ensemble(dimensions * neurons_per_dimension, dimensions)
        post = nengo.Ensemble(dimensions * neurons_per_dimension, dimensions)
        error = nengo.Node(size_in=dimensions)
        nengo.Connection(target, pre, synapse=None)
        learned = nengo.Connection(
            pre, post, function=np.zeros_like, learning_rule_type=nengo.PES(1e-4)
        )
        nengo.Connection(post, error)
        nengo.Connection(target, error, transform=-1, synapse=None)
        nengo.Connection(error, learned.learning_rule)
        probe = nengo.Probe(post, synapse=0.01)
    return net, probe


def random_ensembles(n_ensembles=20, dimensions=8, neurons_each=400, fan_in=4, seed=0):
    """Ensembles of which each gets random combinations of what some others stand for."""
    rng = np.random.RandomState(seed)
    with nengo.Network(seed=seed) as net:
        source = nengo.Node(unit_vector(rng, dimensions))
        ensembles = [nengo.Ensemble(neurons_each, dimensions) for _ in range(n_ensembles)]
        gathered = nengo.Node(size_in=n_ensembles * dimensions)
        for index, target in enumerate(ensembles):
            nengo.Connection(source, target, synapse=None)
            for pre in rng.choice(n_ensembles, fan_in, replace=False):
                rotation, _ = np.linalg.qr(rng.randn(dimensions, dimensions))
                nengo.Connection(
                    ensembles[pre],
                    target,
                    transform=rotation / fan_in,
                    synapse=float(rng.choice([0.005, 0.01, 0.05])),
                )
            place = slice(index * dimensions, (index + 1) * dimensions)
            nengo.Connection(target, gathered[place], synapse=None)
        probe = nengo.Probe(gathered, synapse=0.01)
    return net, probe


def chain(length=10, neurons_each=500, seed=0):
    """Ensembles in a row, each of which passes a number on."""
    with nengo.Network(seed=seed) as net:
        before = nengo.Node([0.5])
        for _ in range(length):
            ensemble = nengo.Ensemble(neurons_each, 1)
            nengo.Connection(before, ensemble)
            before = ensemble
        probe = nengo.Probe(before, synapse=0.01)
    return net, probe


def spiking(n_neurons=2000, density=None, seed=0):
    """Spiking neurons with random weights between all of them, or a part of the pairs.

    Without any, they fire at 42 Hz; the weights add a current with a deviation of 0.5 to theirs.
    """
    rng = np.random.RandomState(seed)
    scale = 0.5 / 42 / np.sqrt(n_neurons * (density or 1))
    if density is None:
        weights = scale * rng.randn(n_neurons, n_neurons)
    else:
        draw = lambda n: scale * rng.randn(n)  # noqa: E731
        weights = nengo.Sparse(
            (n_neurons, n_neurons),
            init=scipy.sparse.random(
                n_neurons, n_neurons, density, random_state=rng, data_rvs=draw
            ),
        )
    with nengo.Network(seed=seed) as net:
        neurons = nengo.Ensemble(
            n_neurons, 1, gain=np.ones(n_neurons), bias=np.full(n_neurons, 1.5)
        ).neurons
        nengo.Connection(neurons, neurons, transform=weights, synapse=0.005)
        probe = nengo.Probe(neurons[:100], synapse=0.01)
    return net, probe


def convolutions(rate=50, seed=0):
    """Three convolutions of a constant picture, with neurons that spike between them."""
    rng = np.random.RandomState(seed)
    with nengo.Network(seed=seed) as net:
        layer, shape = nengo.Node(rng.uniform(0, 1, 28 * 28)), (28, 28, 1)
        for filters, stride in [(32, 1), (64, 2), (128, 2)]:
            kernel = rng.uniform(-1, 1, (3, 3, shape[-1], filters)) / np.sqrt(3 * shape[-1])
            transform = nengo.Convolution(filters, shape, strides=(stride, stride), init=kernel)
            shape, size = transform.output_shape.shape, transform.size_out
            spiking = nengo.SpikingRectifiedLinear(amplitude=1 / rate)
            neurons = nengo.Ensemble(
                size, 1, neuron_type=spiking, gain=np.full(size, rate), bias=np.zeros(size)
            ).neurons
            nengo.Connection(layer, neurons, transform=transform, synapse=None)
            layer = neurons
        probe = nengo.Probe(layer[:100], synapse=0.01)
    return net, probe


def python_node(neurons=100, seed=0):
    """An ensemble and a Python function in a loop, which is called in every step."""
    with nengo.Network(seed=seed) as net:
        ensemble = nengo.Ensemble(neurons, 1)
        node = nengo.Node(lambda t, x: 0.9 * x + 0.05, size_in=1)
        nengo.Connection(ensemble, node, synapse=0.1)
        nengo.Connection(node, ensemble)
        probe = nengo.Probe(ensemble, synapse=0.01)
    return net, probe


NETWORKS = {
    "integrators-128x100": lambda: integrators(128),
    "integrator-100": integrator,
    "feedforward-784-256-10": feedforward,
    "convolution-64x50": lambda: circular_convolution(64, 50),
    "convolution-128x100": lambda: circular_convolution(128, 100),
    "basal-ganglia-32x64": basal_ganglia,
    "pes-32": pes,
    "random-20x8": random_ensembles,
    "chain-10x500": chain,
    "dense-2000": spiking,
    "sparse-2000": lambda: spiking(density=0.05),
    "convolutions": convolutions,
    "python-node": python_node,
}
IN_PYTHON = ("python-node",)  # those that call Python functions in every step
