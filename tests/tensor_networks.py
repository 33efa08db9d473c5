"""Networks that call TensorFlow, and the same ones with Nodes in Python.

What makes a Node is given, ``node(func, size_in, size_out)``, and calls ``func(module, x)``; the
module is NumPy or `tf.math`.
"""

import nengo
import numpy as np

from nengo_dl.tensor_node import TensorNode

NETWORKS = {}


def network(function):
    """Register a network: it is given what makes a Node from a function of arrays."""
    NETWORKS[function.__name__] = function
    return function


def as_node(func, size_in, size_out):
    """A Node of Nengo."""
    return nengo.Node(lambda t, x: func(np, x), size_in=size_in, size_out=size_out)


def as_tensor_node(func, size_in, size_out, module=np):
    """A TensorNode; with the module NumPy one that the planner's tests can call."""
    return TensorNode(
        lambda x: func(module, x), shape_in=(size_in,), shape_out=(size_out,), pass_time=False
    )


def ensemble(n, d=1, **kwargs):
    return nengo.Ensemble(n, d, neuron_type=nengo.LIFRate(), **kwargs)


@network
def in_a_row(node):
    u, e, f = nengo.Node(np.sin), ensemble(20), ensemble(30)
    t = node(lambda m, x: m.exp(x), 1, 1)
    nengo.Connection(u, e)
    nengo.Connection(e, t)
    nengo.Connection(t, f, synapse=None)
    for obj in (t, f):
        nengo.Probe(obj)
    nengo.Probe(e, synapse=0.01)


@network
def two_in_a_row(node):
    u = nengo.Node([0.3, 0.5])
    one, two = node(lambda m, x: m.sin(x), 2, 2), node(lambda m, x: m.square(x), 2, 2)
    nengo.Connection(u, one, synapse=None)
    nengo.Connection(one, two, synapse=None)
    nengo.Connection(two[0], ensemble(10), synapse=0.02)
    nengo.Probe(two)
    nengo.Probe(two[1])
    nengo.Probe(u, synapse=None)


@network
def nothing_before(node):
    t = node(lambda m, x: m.cos(x), 2, 2)
    nengo.Probe(t)
    nengo.Probe(t[::-1], synapse=0.01)


@network
def joined(node):
    """What TensorFlow and what the engine made is added up, slice by slice."""
    u, e, t = nengo.Node(np.cos), ensemble(20), node(lambda m, x: m.square(x), 1, 1)
    both = nengo.Node(size_in=3)
    nengo.Connection(u, e)
    nengo.Connection(e, both[:2], transform=[[1], [2]], synapse=0.01)
    nengo.Connection(u, t, synapse=0.01)
    nengo.Connection(t, both[1:], transform=[[1], [-1]], synapse=None)
    nengo.Connection(both, ensemble(30, 3), synapse=None)
    nengo.Probe(both)


@network
def on_a_cycle(node):
    u, e, f = nengo.Node(np.sin), ensemble(20), ensemble(30)
    t = node(lambda m, x: m.tanh(x), 1, 1)
    nengo.Connection(u, e)
    nengo.Connection(e, t)
    nengo.Connection(t, f)
    nengo.Connection(f, e, transform=0.5)
    nengo.Probe(f)
    nengo.Probe(t)
    nengo.Probe(e, synapse=0.01)


@network
def on_its_own_cycle(node):
    t = node(lambda m, x: m.cos(x) + 0.1, 2, 2)
    nengo.Connection(t, t, synapse=0)
    nengo.Connection(t, ensemble(10, 2), synapse=None)
    nengo.Probe(t)
    nengo.Probe(t, synapse=0.02)


@network
def two_on_one_cycle(node):
    one, two = node(lambda m, x: m.cos(x), 2, 2), node(lambda m, x: m.tanh(x), 2, 2)
    e = ensemble(30, 2)
    nengo.Connection(one, two, synapse=None)
    nengo.Connection(two, e, synapse=0.01)
    nengo.Connection(e, one, synapse=None)
    nengo.Connection(two, one, synapse=nengo.Alpha(0.01))
    for obj in (one, two, e):
        nengo.Probe(obj)


@network
def two_cycles(node):
    u = nengo.Node(np.sin)
    for _ in range(2):
        t = node(lambda m, x: m.tanh(x), 1, 1)
        nengo.Connection(u, t, synapse=None)
        nengo.Connection(t, t, synapse=0.01, transform=0.8)
        nengo.Probe(t)
        u = t


@network
def delayed_for_others(node):
    """What a cycle updates is read outside as it was before the step."""
    t = node(lambda m, x: m.cos(x), 1, 1)
    e = ensemble(20)
    nengo.Connection(t, t, synapse=0.02)
    nengo.Connection(t, e, synapse=0.02)
    relay = nengo.Node(size_in=1)
    nengo.Connection(t, relay, synapse=0.03)
    nengo.Connection(relay, t, synapse=None)
    nengo.Connection(relay, ensemble(10), synapse=None)
    nengo.Probe(relay)
    nengo.Probe(e, synapse=0.01)


@network
def learned_on_a_cycle(node):
    u, e = nengo.Node(np.sin), ensemble(20)
    error = node(lambda m, x: x - 0.5, 1, 1)
    out = nengo.Node(size_in=1)
    nengo.Connection(u, e)
    learned = nengo.Connection(e, out, learning_rule_type=nengo.PES(1e-3), synapse=0.01)
    nengo.Connection(out, error)
    nengo.Connection(error, learned.learning_rule)
    nengo.Probe(learned, "weights")
    nengo.Probe(out)


@network
def weights_shared_across(node):
    """Equal ensembles before and after a call share a weight."""
    u = nengo.Node([0.5])
    for _ in range(3):
        e, t = ensemble(10, seed=0), node(lambda m, x: m.sin(x), 1, 1)
        nengo.Connection(u, e, synapse=None)
        nengo.Connection(e, t, synapse=None)
        nengo.Probe(t)
        u = t


@network
def large_and_updated(node):
    """More than a variable with rows may have, on a cycle through a call and before one."""
    t = node(lambda m, x: m.tanh(x) + 0.1, 5000, 5000)
    again = node(lambda m, x: m.square(x), 5000, 5000)
    nengo.Connection(t, t, synapse=0.01)
    nengo.Connection(t, again, synapse=0.02)
    nengo.Probe(again[:3])


def made(name, node):
    with nengo.Network(seed=0) as net:
        net.config[nengo.Probe].synapse = None
        NETWORKS[name](node)
    return net
