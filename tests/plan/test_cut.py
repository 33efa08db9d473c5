"""Models that call TensorFlow: how they are cut, and that their parts run as the whole does.

What is called is NumPy here: a Node with the same function is what nengo.Simulator runs.
"""

import nengo
import numpy as np
import pytest
from planned import build, plan, run_nengo, run_twin

from nengo_dl.plan.pieces import Call, Loop, Run
from nengo_dl.tensor_node import TensorNode

NETWORKS = {}


def network(function):
    """Register a network: it is given what makes a Node from a function of arrays."""
    NETWORKS[function.__name__] = function
    return function


def as_node(func, size_in, size_out, **kwargs):
    return nengo.Node(lambda t, x: func(x), size_in=size_in, size_out=size_out, **kwargs)


def as_tensor_node(func, size_in, size_out, **kwargs):
    return TensorNode(
        func, shape_in=(size_in,), shape_out=(size_out,), pass_time=False, **kwargs
    )


def ensemble(n, d=1, **kwargs):
    return nengo.Ensemble(n, d, neuron_type=nengo.LIFRate(), **kwargs)


@network
def in_a_row(node):
    u, e, f = nengo.Node(np.sin), ensemble(20), ensemble(30)
    t = node(np.exp, 1, 1)
    nengo.Connection(u, e)
    nengo.Connection(e, t)
    nengo.Connection(t, f, synapse=None)
    for obj in (t, f):
        nengo.Probe(obj)
    nengo.Probe(e, synapse=0.01)


@network
def two_in_a_row(node):
    u = nengo.Node([0.3, 0.5])
    one, two = node(np.sin, 2, 2), node(np.square, 2, 2)
    nengo.Connection(u, one, synapse=None)
    nengo.Connection(one, two, synapse=None)
    nengo.Connection(two[0], ensemble(10), synapse=0.02)
    nengo.Probe(two)
    nengo.Probe(two[1])
    nengo.Probe(u, synapse=None)


@network
def nothing_before(node):
    t = node(np.cos, 2, 2)
    nengo.Probe(t)
    nengo.Probe(t[::-1], synapse=0.01)


@network
def joined(node):
    """What TensorFlow and what the engine made is added up, slice by slice."""
    u, e, t = nengo.Node(np.cos), ensemble(20), node(np.square, 1, 1)
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
    t = node(np.tanh, 1, 1)
    nengo.Connection(u, e)
    nengo.Connection(e, t)
    nengo.Connection(t, f)
    nengo.Connection(f, e, transform=0.5)
    nengo.Probe(f)
    nengo.Probe(t)
    nengo.Probe(e, synapse=0.01)


@network
def on_its_own_cycle(node):
    t = node(lambda x: np.cos(x) + 0.1, 2, 2)
    nengo.Connection(t, t, synapse=0)
    nengo.Connection(t, ensemble(10, 2), synapse=None)
    nengo.Probe(t)
    nengo.Probe(t, synapse=0.02)


@network
def two_on_one_cycle(node):
    one, two = node(np.cos, 2, 2), node(np.tanh, 2, 2)
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
        t = node(np.tanh, 1, 1)
        nengo.Connection(u, t, synapse=None)
        nengo.Connection(t, t, synapse=0.01, transform=0.8)
        nengo.Probe(t)
        u = t


@network
def delayed_for_others(node):
    """What a cycle updates is read outside as it was before the step."""
    t = node(np.cos, 1, 1)
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
    error = node(lambda x: x - 0.5, 1, 1)
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
        e, t = ensemble(10, seed=0), node(np.sin, 1, 1)
        nengo.Connection(u, e, synapse=None)
        nengo.Connection(e, t, synapse=None)
        nengo.Probe(t)
        u = t


@network
def large_and_updated(node):
    """More than a variable with rows may have, on a cycle through a call and before one."""
    t = node(lambda x: np.tanh(x) + 0.1, 5000, 5000)
    again = node(np.square, 5000, 5000)
    nengo.Connection(t, t, synapse=0.01)
    nengo.Connection(t, again, synapse=0.02)
    nengo.Probe(again[:3])


def made(name, node):
    with nengo.Network(seed=0) as net:
        net.config[nengo.Probe].synapse = None
        NETWORKS[name](node)
    return net


@pytest.mark.parametrize("name", NETWORKS)
def test_parts_run_as_the_whole_does(name):
    n_steps = 12
    due = run_nengo(made(name, as_node), n_steps)
    model = build(made(name, as_tensor_node))
    weights = [s.base for op in model.operators for s in op.all_signals if "weights" in s.name]
    planned = plan(model, trainable=weights.__contains__)
    assert planned.calls
    found = run_twin(planned, model, n_steps)
    for probe, ours, theirs in zip(model.probes, found, due, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-9, err_msg=str(probe))


def kinds(name):
    return [type(piece) for piece in plan(build(made(name, as_tensor_node))).pieces]


def test_what_is_on_no_cycle_is_called_on_all_steps():
    assert kinds("in_a_row") == [Run, Call, Run]
    assert kinds("two_in_a_row") == [Run, Call, Call, Run]
    assert kinds("nothing_before") == [Run, Call, Run]


def test_the_cycle_alone_is_a_loop():
    pieces = plan(build(made("on_a_cycle", as_tensor_node))).pieces
    assert [type(piece) for piece in pieces] == [Run, Loop, Run]
    assert len(pieces[1].delayed) == 2
    assert kinds("two_cycles").count(Loop) == 2


def test_several_functions_in_python_are_called_step_by_step():
    """Those on both sides of a call take turns, as in Nengo."""
    calls = []

    def note(name):
        def function(t, x):
            calls.append((round(t, 3), name))
            return x

        return nengo.Node(function, size_in=1, size_out=1)

    with nengo.Network() as net:
        before, t, after = note("before"), as_tensor_node(np.exp, 1, 1), note("after")
        nengo.Connection(before, t, synapse=None)
        nengo.Connection(t, after, synapse=None)
        nengo.Probe(after)
    model = build(net)
    planned = plan(model)
    assert [type(piece) for piece in planned.pieces] == [Loop]
    del calls[:]
    run_twin(planned, model, 2)
    names = ("before", "after")
    assert calls[-4:] == [(time, name) for time in (0.001, 0.002) for name in names]
