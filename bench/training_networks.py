"""The networks of the training benchmarks, in terms that Nengo 3.2 and Nengo 4.1 share.

Each function makes a network with the attributes ``inp`` (input node), ``p`` (probe), ``n_steps``
and ``batch``. Everything random is drawn here, so that it is the same under any version of Nengo.
"""

import functools

import nengo
import numpy as np


def ensemble(rng, n_neurons, dimensions, neuron_type, max_rate=100.0):
    """An ensemble whose encoders, gains and biases are given as numbers."""
    encoders = rng.randn(n_neurons, dimensions)
    encoders /= np.linalg.norm(encoders, axis=1, keepdims=True)
    intercepts = rng.uniform(-0.9, 0.9, size=n_neurons)
    max_rates = rng.uniform(0.5 * max_rate, max_rate, size=n_neurons)
    gain, bias = neuron_type.gain_bias(max_rates, intercepts)
    return nengo.Ensemble(
        n_neurons, dimensions, encoders=encoders, gain=gain, bias=bias, neuron_type=neuron_type
    )


def decode(rng, source, target, size, synapse, scale=0.01):
    """A connection whose decoders are given as numbers, small and random."""
    decoders = scale * rng.randn(source.n_neurons, size) / np.sqrt(source.n_neurons)
    return nengo.Connection(
        source,
        target,
        function=lambda x: np.zeros(size),
        solver=nengo.solvers.NoSolver(decoders),
        synapse=synapse,
    )


def output(rng, source, size, synapse=0.01):
    """A probed node behind decoders of ``source``."""
    node = nengo.Node(size_in=size)
    decode(rng, source, node, size, None)
    return nengo.Probe(node, synapse=synapse)


def rate(n_steps=60, batch=8):
    """LIFRate and RectifiedLinear neurons in a row, with synapses between them."""
    rng = np.random.RandomState(0)
    with nengo.Network(seed=0) as net:
        net.inp = nengo.Node(np.zeros(4))
        first = ensemble(rng, 40, 3, nengo.LIFRate())
        second = ensemble(rng, 30, 2, nengo.RectifiedLinear())
        transform = rng.uniform(-0.7, 0.7, size=(3, 4))
        nengo.Connection(net.inp, first, transform=transform, synapse=0.005)
        decode(rng, first, second, 2, nengo.Alpha(0.01), scale=0.05)
        net.p = output(rng, second, 2)
    net.n_steps, net.batch = n_steps, batch
    return net


def soft_lif(n_steps=60, batch=8):
    """Spiking neurons, trained by the smoothed rate curve."""
    import nengo_dl

    rng = np.random.RandomState(1)
    with nengo.Network(seed=0) as net:
        nengo_dl.configure_settings(lif_smoothing=0.02)
        net.inp = nengo.Node(np.zeros(3))
        first = ensemble(rng, 40, 3, nengo.LIF(tau_rc=0.03, amplitude=0.01))
        second = ensemble(rng, 30, 2, nengo.LIF(tau_ref=0.003))
        nengo.Connection(net.inp, first, synapse=None)
        weights = rng.randn(30, 40) * 0.3
        nengo.Connection(first.neurons, second.neurons, transform=weights, synapse=0.01)
        net.p = output(rng, second, 2)
    net.n_steps, net.batch = n_steps, batch
    return net


def recurrent(n_neurons=200, n_steps=100, batch=32):
    """A recurrent ensemble of LIF neurons, whose rates are trained."""
    rng = np.random.RandomState(2)
    with nengo.Network(seed=0) as net:
        net.inp = nengo.Node(np.zeros(2))
        neurons = ensemble(rng, n_neurons, 2, nengo.LIF())
        nengo.Connection(net.inp, neurons, synapse=0.05)
        decode(rng, neurons, neurons, 2, 0.05, scale=0.02)
        net.p = output(rng, neurons, 1)
    net.n_steps, net.batch = n_steps, batch
    return net


def population(size, neuron_type):
    """Neurons with a bias of 1 that take currents."""
    return nengo.Ensemble(
        size,
        1,
        gain=np.ones(size),
        bias=np.ones(size),
        encoders=np.ones((size, 1)),
        neuron_type=neuron_type,
    ).neurons


def uniform(rng, n_out, n_in):
    """Weights that keep the variance of what they pass on (Glorot and Bengio, 2010)."""
    limit = np.sqrt(6 / (n_out + n_in))
    return rng.uniform(-limit, limit, size=(n_out, n_in))


def mlp(sizes=(784, 256, 10), n_steps=20, batch=100, neuron_type=None, synapse=0.005, loop=False):
    """Layers of neurons, by default LIF, with dense weights between them.

    With ``loop``, the layers but the last one have weights among their neurons, too.
    """
    rng = np.random.RandomState(3)
    with nengo.Network(seed=0) as net:
        net.inp = layer = nengo.Node(np.zeros(sizes[0]))
        for index, size in enumerate(sizes[1:]):
            neurons = population(size, neuron_type or nengo.LIF(amplitude=0.01))
            weights = uniform(rng, size, layer.size_out)
            nengo.Connection(
                layer, neurons, transform=weights, synapse=None if index == 0 else synapse
            )
            if loop and index < len(sizes) - 2:
                weights = 0.5 * uniform(rng, size, size)
                nengo.Connection(neurons, neurons, transform=weights, synapse=synapse)
            layer = neurons
        net.p = nengo.Probe(layer, synapse=synapse)
    net.n_steps, net.batch = n_steps, batch
    return net


def with_surrogate(net, surrogate="SuperSpike"):
    """Train a network by its spikes, which the original can not."""
    import nengo_dl

    with net:
        nengo_dl.configure_settings(surrogate=surrogate)
    return net


def convolutional(n_steps=10, batch=20, filters=(16, 32), neuron_type=None):
    """Convolutions with stride 2 of a picture of 28 x 28, and a dense layer."""
    rng = np.random.RandomState(5)
    with nengo.Network(seed=0) as net:
        net.inp = layer = nengo.Node(np.zeros(28 * 28))
        shape = (28, 28, 1)
        for n in filters:
            kernel = uniform(rng, n, 9 * shape[-1]).T.reshape(3, 3, shape[-1], n)
            transform = nengo.Convolution(n, shape, strides=(2, 2), init=kernel)
            shape = transform.output_shape.shape
            neurons = population(transform.size_out, neuron_type or nengo.RectifiedLinear())
            nengo.Connection(layer, neurons, transform=transform, synapse=None)
            layer = neurons
        out = nengo.Node(size_in=10)
        weights = uniform(rng, 10, layer.size_out)
        nengo.Connection(layer, out, transform=weights, synapse=0.005)
        net.p = nengo.Probe(out)
    net.n_steps, net.batch = n_steps, batch
    return net


def adaptive(n_neurons=200, n_steps=100, batch=32):
    """A recurrent ensemble that is trained while PES changes what another one passes on."""
    rng = np.random.RandomState(6)
    with nengo.Network(seed=0) as net:
        net.inp = nengo.Node(np.zeros(2))
        first = ensemble(rng, n_neurons, 2, nengo.AdaptiveLIFRate())
        second = ensemble(rng, n_neurons, 2, nengo.LIFRate())
        nengo.Connection(net.inp, first, synapse=0.05)
        decode(rng, first, first, 2, 0.05, scale=0.02)
        learned = decode(rng, first, second, 2, 0.01)
        learned.learning_rule_type = nengo.PES(1e-4)
        error = nengo.Node(size_in=2)
        decode(rng, second, error, 2, 0.01)
        nengo.Connection(net.inp, error, transform=-np.eye(2), synapse=None)
        nengo.Connection(error, learned.learning_rule)
        net.p = output(rng, second, 2)
    net.n_steps, net.batch = n_steps, batch
    return net


def legendre(order, theta, dt=0.001):
    """Matrices of the discrete Legendre delay (Voelker, Kajic and Eliasmith, 2019)."""
    from scipy.linalg import expm

    q = np.arange(order)
    row, col = np.meshgrid(q, q, indexing="ij")
    a = np.where(row < col, -1.0, (-1.0) ** (row - col + 1)) * (2 * row + 1) / theta
    b = ((-1.0) ** q * (2 * q + 1) / theta)[:, None]
    # zero-order hold: both at once from the exponential of the joint matrix
    joint = np.zeros((order + 1, order + 1))
    joint[:order, :order], joint[:order, order:] = a * dt, b * dt
    power = expm(joint)
    return power[:order, :order], power[:order, order:]


def lmu(order=256, units=212, theta=1.0, n_steps=100, batch=64):
    """A Legendre memory unit of nodes and tanh neurons; 102,017 numbers are trained.

    One step goes through all of it: the memory takes a sum of the input, the hidden units and
    itself; the hidden units that of the input, themselves and the memory of the same step.
    """
    rng = np.random.RandomState(4)
    weights = functools.partial(uniform, rng)
    import nengo_dl

    a, b = legendre(order, theta)
    with nengo.Network(seed=0) as net:
        nengo_dl.configure_settings(trainable=None)
        net.config[nengo.Connection].synapse = None
        net.inp = nengo.Node(np.zeros(1))
        u = nengo.Node(size_in=1)
        m = nengo.Node(size_in=order)
        h = nengo.Ensemble(
            units,
            1,
            neuron_type=nengo.Tanh(tau_ref=1),
            gain=np.ones(units),
            bias=np.zeros(units),
            encoders=np.ones((units, 1)),
        ).neurons
        net.config[h].trainable = False
        nengo.Connection(net.inp, u, transform=np.ones((1, 1)))
        nengo.Connection(h, u, transform=weights(1, units), synapse=0)
        nengo.Connection(m, u, transform=np.zeros((1, order)), synapse=0)
        fixed = [
            nengo.Connection(m, m, transform=a, synapse=0),
            nengo.Connection(u, m, transform=b),
        ]
        for connection in fixed:
            net.config[connection].trainable = False
        nengo.Connection(net.inp, h, transform=weights(units, 1))
        nengo.Connection(h, h, transform=weights(units, units), synapse=0)
        nengo.Connection(m, h, transform=weights(units, order))
        out = nengo.Node(size_in=10)
        nengo.Connection(h, out, transform=weights(10, units))
        net.p = nengo.Probe(out)
    net.n_steps, net.batch = n_steps, batch
    return net


NETWORKS = {
    "rate": rate,
    "soft-lif": soft_lif,
    "recurrent-50": lambda: recurrent(50, 60, 8),
    "mlp-784-256-10": mlp,
    "mlp-recurrent-256": lambda: mlp(n_steps=25, loop=True),
    "recurrent-200": recurrent,
    "lmu": lmu,
    "rate-mlp": lambda: mlp(n_steps=1, neuron_type=nengo.RectifiedLinear(), synapse=None),
    "surrogate-784-256-10": lambda: with_surrogate(mlp(n_steps=25)),
    "surrogate-recurrent": lambda: with_surrogate(mlp(n_steps=25, loop=True)),
    "convolutional": convolutional,
    "convolutional-1": lambda: convolutional(n_steps=1),
    "adaptive": adaptive,
}
