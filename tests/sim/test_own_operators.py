"""Operators, builders and functions of users' own, in forms that Nengo takes."""

import nengo
import numpy as np
import pytest
import scipy.sparse
from nengo.builder import Builder, Operator, Signal
from nengo.builder.operator import Copy, DotInc, Reset
from nengo.exceptions import BuildError

import nengo_dl


class Apply(Operator):
    """Sets a signal to a function of another one."""

    def __init__(self, fn, source, target):
        super().__init__()
        self.fn, self.sets, self.reads, self.incs, self.updates = fn, [target], [source], [], []

    def make_step(self, signals, dt, rng):
        source, target = signals[self.reads[0]], signals[self.sets[0]]

        def step():
            target[...] = self.fn(source)

        return step


class Built(nengo.Process):
    """A process that a function builds from operators."""

    def __init__(self, build, **kwargs):
        super().__init__(**kwargs)
        self.build = build


@Builder.register(Built)
def build_process(model, process, sig_in=None, sig_out=None, mode="set"):
    process.build(model, sig_in, sig_out)
    return sig_out


def sparse_signal(rows):
    return Signal(scipy.sparse.csr_matrix(np.array(rows)), name="A")


def applied(model, source, target):
    model.add_op(Apply(np.tanh, source, target))


def reads_sparse(model, source, target):
    model.add_op(Apply(lambda a: a.dot(np.ones(2)), sparse_signal([[1.0, 2.0], [0, 3.0]]), target))


def sparse_row(model, source, target):
    row = Signal(np.zeros(1), name="row")
    for op in (Reset(row), DotInc(sparse_signal([[5.0, 1.0]]), source, row), Copy(row, target)):
        model.add_op(op)


def sparse_square(model, source, target):
    model.add_op(Reset(target))
    model.add_op(DotInc(sparse_signal([[5.0, 1.0], [0, 2.0]]), source, target))


def inner_product(model, source, target):
    model.add_op(Reset(target))
    model.add_op(DotInc(source, source, target))


def assert_equal(Sim, reference, net, probe, steps=4):
    sim = Sim(net)
    sim.run_steps(steps)
    np.testing.assert_allclose(sim.data[probe], *reference(net, [probe], steps), rtol=1e-12)


@pytest.mark.parametrize("build", [applied, reads_sparse, sparse_row, sparse_square, inner_product])
def test_operators(Sim, reference, build):
    with nengo.Network() as net:
        nengo_dl.configure_settings(dtype="float64")
        node = nengo.Node(Built(build, default_size_in=2, default_size_out=2))
        nengo.Connection(nengo.Node([0.1, 0.2]), node, synapse=None)
        probe = nengo.Probe(node)
    assert_equal(Sim, reference, net, probe)


def test_nodes_that_a_builder_makes(Sim, reference):
    """They are no constants, though they have no input."""

    def time(model, source, target):
        model.add_op(Apply(lambda t: t, model.time, target))

    with nengo.Network() as net:
        nengo_dl.configure_settings(dtype="float64")
        node = nengo.Node(Built(time, default_size_in=0, default_size_out=1))
        probe = nengo.Probe(node)
    assert_equal(Sim, reference, net, probe)
    assert not Sim(net).tensor_graph.input_names


class Steps(nengo.Process):
    """Counts steps, with states and an output that may have no elements."""

    def make_state(self, shape_in, shape_out, dt, dtype=None):
        return {"none": np.zeros(0), "count": np.zeros(1)}

    def make_step(self, shape_in, shape_out, dt, rng, state):
        def step(t, x):
            state["count"] += x.sum()
            return state["count"] * np.ones(shape_out)

        return step


@pytest.mark.parametrize("size", [0, 2])
def test_signals_without_elements(Sim, reference, size):
    process = Steps(default_size_in=1, default_size_out=size)
    with nengo.Network() as net:
        nengo_dl.configure_settings(dtype="float64")
        one = nengo.Node([1.0])
        node = nengo.Node(process)
        nengo.Connection(one, node, synapse=None)
        probe = nengo.Probe(node if size else one)
    assert_equal(Sim, reference, net, probe)


def test_complex_states_are_refused(Sim):
    class Turns(Steps):
        def make_state(self, shape_in, shape_out, dt, dtype=None):
            return {"count": np.zeros(1, complex)}

    with nengo.Network() as net:
        nengo.Node(Turns(default_size_in=1, default_size_out=1))
    with pytest.raises(BuildError, match="Turns.*expected real numbers in signal .*complex128"):
        Sim(net)


class Delegating:
    """A function that hands all else on to another one."""

    def __init__(self, function, factor):
        self.function, self.factor = function, factor

    def __getattr__(self, name):
        return getattr(self.function, name)

    def __call__(self, t, x):
        return self.factor * self.function(t, x)


def test_functions_that_delegate(Sim, reference):
    pool = nengo_dl.MaxPool((4, 1), (2,), strides=(2,))
    with nengo.Network() as net:
        nengo_dl.configure_settings(dtype="float64")
        node = nengo.Node(Delegating(pool, 10), size_in=4, size_out=2)
        nengo.Connection(nengo.Node([1.0, 3, 4, 2]), node, synapse=None)
        probe = nengo.Probe(node)
    assert_equal(Sim, reference, net, probe)
