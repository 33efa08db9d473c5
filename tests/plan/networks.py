"""Small networks, one per thing a Nengo user can do; the registry of the equivalence tests."""

import nengo
import numpy as np

NETWORKS = {}


def network(function):
    """Register a function that builds a network inside the open context."""
    name = function.__name__
    if name in NETWORKS:
        raise ValueError(f"network {name} is registered twice")
    NETWORKS[name] = function
    return function


def make(name):
    """Build a registered network."""
    with nengo.Network(seed=1) as net:
        NETWORKS[name]()
    return net


def sine(size=1):
    return nengo.Node(lambda t: np.sin(20 * t + np.arange(size)), label="sine")


@network
def feed_forward():
    a, b = nengo.Ensemble(30, 2), nengo.Ensemble(20, 1)
    nengo.Connection(sine(2), a, synapse=None)
    nengo.Connection(a, b, function=lambda x: x[0] * x[1])
    nengo.Probe(a, synapse=0.02)
    nengo.Probe(b)


@network
def recurrent():
    a, b = nengo.Ensemble(30, 2), nengo.Ensemble(30, 2)
    nengo.Connection(sine(), a[0], synapse=0.005)
    nengo.Connection(a, b, synapse=0.01)
    nengo.Connection(b, a, synapse=0.02, transform=[[0, 0.5], [-0.5, 0]])
    nengo.Connection(b, b, synapse=0.1)
    nengo.Probe(a, synapse=0.01)
    nengo.Probe(b, synapse=None)


@network
def constant_input():
    u = nengo.Node([0.3, -0.6])
    a = nengo.Ensemble(20, 2)
    nengo.Connection(u, a)
    nengo.Probe(u)
    nengo.Probe(u, synapse=0.01)
    nengo.Probe(a)


@network
def input_free():
    a = nengo.Ensemble(20, 1)
    nengo.Probe(a, synapse=0.01)
    nengo.Probe(a.neurons)
    nengo.Probe(a, "input")


@network
def slices():
    u = sine(4)
    a = nengo.Ensemble(40, 3)
    out = nengo.Node(size_in=5)
    nengo.Connection(u[::-1], out[:4], synapse=None)
    nengo.Connection(u[[0, 0, 2]], a[[2, 1, 0]])
    nengo.Connection(u[-1], out[4], synapse=0.02)
    nengo.Connection(a[[0, -1]], out[[3, 3]], synapse=0.01)
    nengo.Connection(u[1:3], out[:3:2], synapse=None)
    nengo.Connection(a.neurons[::7], out, transform=np.ones((5, 6)) * 1e-4)
    nengo.Connection(u[[True, False, True, False]], a.neurons[[3, 7]])
    nengo.Connection(u[0], a.neurons[4:20:2], transform=np.ones((8, 1)), synapse=None)
    nengo.Probe(out)
    nengo.Probe(out[1:4], synapse=0.01)
    nengo.Probe(out[[4, 0]])
    nengo.Probe(a[1])
    nengo.Probe(a.neurons[2:9:3], synapse=None)


@network
def repeated_indices():
    u = sine(2)
    a, b = nengo.Ensemble(10, 1), nengo.Ensemble(10, 1)
    nengo.Connection(u[[0, 1]], a[[0, 0]])
    nengo.Connection(u[[1, 1]], b[[0, -1]])
    out = nengo.Node(size_in=3)
    nengo.Connection(u[[0, 1, 1, 0]], out[[2, 0, 2, -1]], synapse=None)
    for probed in (a, b, out):
        nengo.Probe(probed)


@network
def scalars_and_vectors():
    u = sine(3)
    v = nengo.Node(size_in=3)
    nengo.Connection(u, v, transform=2.0)
    nengo.Connection(u, v, transform=[1.0, 0.5, -1.0], synapse=None)
    nengo.Connection(u, v, transform=1.0, synapse=0.02)
    nengo.Connection(u, v, transform=np.eye(3), synapse=None)
    nengo.Connection(u, v, transform=np.zeros((3, 3)), synapse=None)
    w = nengo.Node(size_in=1)
    nengo.Connection(u, w, transform=[[1, 2, 3]], synapse=None)
    nengo.Connection(u[0], w, synapse=0)
    nengo.Probe(v)
    nengo.Probe(w)


@network
def passthrough_chain():
    nodes = [nengo.Node(size_in=2) for _ in range(5)]
    nengo.Connection(sine(2), nodes[0], synapse=None)
    for pre, post in zip(nodes, nodes[1:], strict=False):
        nengo.Connection(pre, post, synapse=None)
    nengo.Connection(nodes[-1], nodes[1], synapse=0.01, transform=0.5)
    for node in nodes:
        nengo.Probe(node)
        nengo.Probe(node, synapse=0.003)


@network
def filters_that_feed_each_other():
    a, b = nengo.Node(size_in=1), nengo.Node(size_in=1)
    nengo.Connection(sine(), a[0], synapse=None)
    nengo.Connection(a, b, synapse=0.01)
    nengo.Connection(b, a, synapse=0.02)
    c, d = nengo.Node(size_in=2), nengo.Node(size_in=2)
    nengo.Connection(c, d, synapse=0)
    nengo.Connection(d, c, synapse=0)
    nengo.Connection(c, c, synapse=0.1)
    nengo.Connection(a, c[0], synapse=0)
    for node in (a, b, c, d):
        nengo.Probe(node)


@network
def ensemble_array():
    ea = nengo.networks.EnsembleArray(20, 6)
    nengo.Connection(sine(6), ea.input)
    nengo.Connection(ea.output, ea.input, synapse=0.1)
    ea.add_output("square", lambda x: x**2)
    nengo.Probe(ea.output, synapse=0.01)
    nengo.Probe(ea.square)
    neurons = ea.add_neuron_output()
    nengo.Probe(neurons[::13])


@network
def product_and_convolution():
    product = nengo.networks.Product(20, 2)
    conv = nengo.networks.CircularConvolution(20, 4)
    nengo.Connection(sine(2), product.input_a)
    nengo.Connection(sine(2), product.input_b)
    nengo.Connection(sine(4), conv.input_a)
    nengo.Connection(product.output, conv.input_b[:2])
    nengo.Probe(product.output)
    nengo.Probe(conv.output)


@network
def basal_ganglia():
    bg = nengo.networks.BasalGanglia(3)
    thal = nengo.networks.Thalamus(3)
    nengo.Connection(sine(3), bg.input)
    nengo.Connection(bg.output, thal.input)
    nengo.Probe(thal.output, synapse=0.01)


@network
def probes_of_everything():
    a = nengo.Ensemble(10, 2)
    conn = nengo.Connection(sine(2), a)
    back = nengo.Connection(a, a, synapse=0.05)
    nengo.Probe(a, "input")
    nengo.Probe(a, "input", synapse=0.01)
    nengo.Probe(a, "scaled_encoders")
    nengo.Probe(a.neurons, "voltage")
    nengo.Probe(a.neurons, "voltage", synapse=0.01)
    nengo.Probe(a.neurons, "refractory_time")
    nengo.Probe(a.neurons, "input")
    nengo.Probe(conn, "input")
    nengo.Probe(conn, "output")
    nengo.Probe(back, "output")
    nengo.Probe(back, "weights")
    nengo.Probe(a.neurons[3:5], "output", synapse=0.005)


@network
def neurons_to_neurons():
    rng = np.random.RandomState(0)
    a, b = nengo.Ensemble(12, 1), nengo.Ensemble(9, 1)
    nengo.Connection(sine(), a)
    nengo.Connection(a.neurons, b.neurons, transform=rng.randn(9, 12) * 0.01)
    nengo.Connection(b.neurons, b.neurons, transform=rng.randn(9, 9) * 0.01, synapse=0.02)
    nengo.Connection(a, b, solver=nengo.solvers.LstsqL2(weights=True))
    nengo.Probe(b.neurons)
    nengo.Probe(b.neurons, "input")


@network
def node_functions():
    a = nengo.Ensemble(15, 2)
    calls = nengo.Node(lambda t, x: x[::-1] * t, size_in=2, label="reverse")
    sink = nengo.Node(lambda t, x: None, size_in=2)
    nengo.Connection(sine(2), calls, synapse=None)
    nengo.Connection(calls, a)
    nengo.Connection(a, calls, synapse=0.01)
    nengo.Connection(a, sink)
    nengo.Connection(sine(2), a, function=lambda x: x**2)
    nengo.Probe(calls)
    nengo.Probe(a)


@network
def direct_mode():
    a = nengo.Ensemble(1, 2, neuron_type=nengo.Direct())
    b = nengo.Ensemble(1, 1, neuron_type=nengo.Direct())
    nengo.Connection(sine(2), a)
    nengo.Connection(a, b, function=lambda x: x[0] * x[1])
    nengo.Probe(a)
    nengo.Probe(b, synapse=0.01)


@network
def pes():
    a, b, error = nengo.Ensemble(20, 2), nengo.Ensemble(20, 2), nengo.Ensemble(20, 2)
    u = sine(2)
    nengo.Connection(u, a)
    conn = nengo.Connection(a, b, learning_rule_type=nengo.PES(1e-3), function=lambda x: [0, 0])
    nengo.Connection(b, error)
    nengo.Connection(u, error, transform=-1)
    nengo.Connection(error, conn.learning_rule)
    nengo.Probe(conn, "weights")
    nengo.Probe(conn.learning_rule, "delta")
    nengo.Probe(conn.learning_rule, "error")
    nengo.Probe(b)


@network
def pes_on_neurons():
    a, b = nengo.Ensemble(10, 1), nengo.Ensemble(12, 1)
    u = sine()
    nengo.Connection(u, a)
    conn = nengo.Connection(
        a.neurons[1:8],
        b.neurons,
        transform=np.zeros((12, 7)),
        learning_rule_type=nengo.PES(1e-4, pre_synapse=None),
    )
    nengo.Connection(u, conn.learning_rule, synapse=None)
    nengo.Probe(conn, "weights", sample_every=0.001)
    nengo.Probe(b.neurons)


@network
def rls():
    a, b = nengo.Ensemble(15, 1), nengo.Node(size_in=1)
    u = sine()
    nengo.Connection(u, a)
    conn = nengo.Connection(a, b, learning_rule_type=nengo.RLS(1e-2), function=lambda x: 0)
    nengo.Connection(b, conn.learning_rule, synapse=None)
    nengo.Connection(u, conn.learning_rule, transform=-1, synapse=None)
    nengo.Probe(conn, "weights")
    nengo.Probe(conn.learning_rule, "inv_gamma")
    nengo.Probe(b)


def _unsupervised(rule):
    a, b = nengo.Ensemble(8, 1), nengo.Ensemble(9, 1)
    nengo.Connection(sine(), a)
    conn = nengo.Connection(
        a,
        b,
        solver=nengo.solvers.LstsqL2(weights=True),
        learning_rule_type=rule,
    )
    nengo.Probe(conn, "weights")
    nengo.Probe(conn.learning_rule, "delta")
    nengo.Probe(conn.learning_rule, "pre_filtered")
    nengo.Probe(b.neurons)


@network
def bcm():
    _unsupervised(nengo.BCM(1e-9))


@network
def oja():
    _unsupervised(nengo.Oja(1e-6))


@network
def two_rules():
    a, b = nengo.Ensemble(8, 1), nengo.Ensemble(9, 1)
    nengo.Connection(sine(), a)
    conn = nengo.Connection(
        a,
        b,
        solver=nengo.solvers.LstsqL2(weights=True),
        learning_rule_type=[nengo.BCM(1e-9), nengo.Oja(1e-6)],
    )
    nengo.Probe(conn, "weights")
    nengo.Probe(b.neurons)


@network
def voja():
    a, b = nengo.Ensemble(10, 2), nengo.Ensemble(11, 2)
    u = sine(2)
    nengo.Connection(u, a)
    conn = nengo.Connection(a, b, learning_rule_type=nengo.Voja(learning_rate=1e-2))
    other = nengo.Connection(u, b, learning_rule_type=nengo.Voja(post_synapse=None))
    nengo.Connection(sine(), other.learning_rule, synapse=None)
    nengo.Probe(conn.learning_rule, "scaled_encoders")
    nengo.Probe(conn.learning_rule, "delta")
    nengo.Probe(b.neurons)


@network
def large_learned_weights():
    a, b = nengo.Ensemble(80, 1), nengo.Ensemble(70, 1)
    nengo.Connection(sine(), a)
    conn = nengo.Connection(
        a, b, solver=nengo.solvers.LstsqL2(weights=True), learning_rule_type=nengo.BCM(1e-9)
    )
    nengo.Probe(conn, "weights")
    nengo.Probe(b)


@network
def sparse():
    rng = np.random.RandomState(0)
    matrix = nengo.Sparse(
        (6, 5),
        indices=[(5, 0), (0, 1), (2, 3), (2, 1), (3, 4), (0, 0)],
        init=rng.randn(6),
    )
    out = nengo.Node(size_in=6)
    nengo.Connection(sine(5), out, transform=matrix)
    nengo.Connection(sine(5), out, transform=matrix, synapse=None)
    nengo.Probe(out)


@network
def convolutions():
    rng = np.random.RandomState(0)
    options = [
        {"strides": (1, 1), "padding": "valid"},
        {"strides": (2, 1), "padding": "same"},
        {"strides": (3, 2), "padding": "same", "channels_last": False},
    ]
    for option in options:
        shape = (5, 6, 2) if option.get("channels_last", True) else (2, 5, 6)
        for kind in (nengo.Convolution, nengo.ConvolutionTranspose):
            transform = kind(3, shape, init=rng.randn(3, 3, 2, 3), **option)
            out = nengo.Node(size_in=transform.size_out)
            nengo.Connection(sine(60), out, transform=transform, synapse=None)
            nengo.Probe(out)


@network
def convolution_1d_and_groups():
    rng = np.random.RandomState(0)
    line = nengo.Convolution(
        4, (9, 2), init=rng.randn(4, 2, 4), kernel_size=(4,), strides=(2,), padding="same"
    )
    back = nengo.ConvolutionTranspose(
        2, (4, 3), init=rng.randn(5, 3, 2), kernel_size=(5,), strides=(2,), padding="same"
    )
    groups = nengo.Convolution(4, (5, 5, 2), init=rng.randn(3, 3, 1, 4), groups=2)
    for transform in (line, back, groups):
        out = nengo.Ensemble(transform.size_out, 1).neurons
        nengo.Connection(sine(transform.size_in), out, transform=transform)
        nengo.Probe(out)
