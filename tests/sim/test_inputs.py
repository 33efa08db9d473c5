"""Input nodes and what they give (SPEC S-21 to S-26)."""

import nengo
import numpy as np
import pytest
from nengo.exceptions import SimulationError


def test_functions_of_time(Sim, double_net):
    """S-22: called once per step, whatever the minibatch, with exact times as floats."""
    calls = []
    net = double_net()
    with net:
        node = nengo.Node(lambda t: calls.append(t) or t, size_out=1)
        p = nengo.Probe(node)
    sim = Sim(net, minibatch_size=3)
    sim.run_steps(5)
    sim.run_steps(5)
    assert calls == [(i + 1) * 0.001 for i in range(10)]
    assert all(type(t) is float for t in calls)
    assert np.array_equal(sim.data[p], np.tile(np.array(calls)[None, :, None], (3, 1, 1)))


@pytest.mark.parametrize("others", [False, True])
def test_side_effects(Sim, others):
    """S-23: functions run even if nobody uses them, but not if there is data for the node."""
    calls = {"a": 0, "b": 0, "silent": 0}

    def count(name, value):
        def function(t):
            calls[name] += 1
            return value

        return function

    with nengo.Network() as net:
        a = nengo.Node(count("a", 1.0), size_out=1)
        nengo.Node(count("b", 1.0), size_out=1)
        silent = nengo.Node(count("silent", None), size_out=0)
        p = nengo.Probe(a)
        if others:  # a function with input: all functions are called from within the run
            nengo.Connection(a, nengo.Node(lambda t, x: x, size_in=1), synapse=None)
    sim = Sim(net, minibatch_size=2)
    sim.run_steps(4)
    assert calls == {"a": 4, "b": 4, "silent": 4}
    sim.run_steps(4, data={a: np.full((2, 4, 1), 7)})
    assert calls == {"a": 4, "b": 8, "silent": 8}
    assert np.array_equal(sim.data[p][:, :, 0], [[1] * 4 + [7] * 4] * 2)
    sim.run_steps(4, data={silent: np.zeros((2, 4, 0))})
    assert calls == {"a": 8, "b": 12, "silent": 8}
    sim.predict({a: np.full((4, 4, 1), 9)})
    assert calls["a"] == 8


def test_captured_at_build(Sim):
    """S-23: changing the node later has no effect, also not after reset."""
    with nengo.Network() as net:
        node = nengo.Node(lambda t: 1.0)
        p = nengo.Probe(node)
    sim = Sim(net)
    node.output = lambda t: 2.0
    sim.run_steps(2)
    sim.reset()
    sim.run_steps(2)
    assert np.all(sim.data[p] == 1)


@pytest.mark.parametrize("others", [False, True])
@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "returned None|non-finite"),
        (np.nan, "invalid value|non-finite"),
        ([1, np.inf], "invalid value|non-finite"),
        ("x", "invalid type"),
        ([1, 2, 3], "invalid type"),
    ],
)
def test_bad_values(Sim, value, message, others):
    """S-24: what is wrong is said; the steps before are kept, and the run can go on."""
    with nengo.Network() as net:
        node = nengo.Node(
            lambda t: value if 0.0035 < t < 0.0045 else [t, t], size_out=2, label="wheels"
        )
        p = nengo.Probe(node)
        if others:
            nengo.Connection(node, nengo.Node(lambda t, x: x, size_in=2), synapse=None)
    sim = Sim(net)
    with pytest.raises(SimulationError, match=message) as info:
        sim.run_steps(10)
    assert "<lambda>" in str(info.value) and "<Node 'wheels'>" in str(info.value)
    assert sim.n_steps == 3 and sim.data[p].shape == (3, 2)
    sim.run_steps(2, data=np.ones((1, 2, 2)))
    sim.run_steps(2)
    assert np.allclose(sim.data[p][:, 0], [0.001, 0.002, 0.003, 1, 1, 0.006, 0.007])


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([1, 2, 3], r"expected 2 finite numbers.*\[1, 2, 3\].*from shape \(3,\) into shape \(2,\)"),
        ("x", "expected 2 finite numbers.*'x' of invalid type"),
        (None, "expected 2 finite numbers.*non-finite"),
    ],
)
def test_bad_values_of_a_node_with_input(Sim, value, message):
    """The Node is named, and how many numbers it has to return."""
    with nengo.Network() as net:
        nengo.Node(lambda t, x: value, size_in=1, size_out=2, label="wheels")
    with pytest.raises(SimulationError, match=f"<lambda>.*<Node 'wheels'>.*{message}"):
        Sim(net).run_steps(1)


def test_own_errors_of_a_function(Sim):
    """A SimulationError that the function itself raises is what the caller gets."""
    error = SimulationError("battery is empty")

    def function(t, x):
        raise error

    with nengo.Network() as net:
        nengo.Node(function, size_in=1, size_out=2)
    with pytest.raises(SimulationError) as info:
        Sim(net).run_steps(1)
    assert info.value is error


def test_empty_node(Sim):
    """S-25 [B]: a Node without output has no values, and runs."""
    with nengo.Network() as net:
        node = nengo.Node()
        p = nengo.Probe(nengo.Node([1]))
    sim = Sim(net)
    sim.run_steps(3)
    sim.run_steps(3, data={node: np.zeros((1, 3, 0))})
    assert sim.data[p].shape == (6, 1)


def test_process_state(Sim, double_net, reference):
    """S-26: processes go on from call to call; reset(include_processes=True) rewinds them."""
    net = double_net()
    with net:
        node = nengo.Node(nengo.processes.WhiteNoise(), size_out=1)
        p = nengo.Probe(node)
    (due,) = reference(net, [p], 40, seed=3)
    sim = Sim(net, seed=3)
    sim.run_steps(10)
    sim.run_steps(10, stateful=False)
    sim.run_steps(10)
    assert np.array_equal(sim.data[p], due[:30]) and sim.n_steps == 20
    sim.reset(include_processes=False)
    sim.run_steps(10)
    assert np.array_equal(sim.data[p], due[30:])
    sim.reset()
    sim.run_steps(40)
    assert np.array_equal(sim.data[p], due)


def test_process_minibatches(Sim, double_net):
    """S-25 [B]: any number of minibatches, every item with a stream of its own."""
    net = double_net()
    with net:
        inp = nengo.Node([0])
        node = nengo.Node(nengo.processes.WhiteNoise(), size_out=1)
        p = nengo.Probe(node)
    for size in (1, 2):
        sim = Sim(net, minibatch_size=size)
        rows = sim.predict({inp: np.zeros((4, 10, 1))})[p]
        assert rows.shape == (4, 10, 1)
        assert len({row.tobytes() for row in rows}) == 4


def test_custom_process(Sim, double_net, reference):
    """A process written in Python runs per item, with Nengo's generator."""

    class Walk(nengo.Process):
        def make_state(self, shape_in, shape_out, dt, dtype=None):
            return {"x": np.zeros(shape_out)}

        def make_step(self, shape_in, shape_out, dt, rng, state):
            def step(t):
                assert type(t) is float
                state["x"][...] += rng.standard_normal(shape_out)
                return state["x"]

            return step

    net = double_net()
    with net:
        p = nengo.Probe(nengo.Node(Walk(), size_out=2))
    sim = Sim(net, minibatch_size=2, seed=6)
    sim.run_steps(10)
    sim.run_steps(10)
    for item in range(2):
        (due,) = reference(net, [p], 20, seed=6 + item)
        assert np.array_equal(sim.data[p][item], due)


def test_process_raises(Sim):
    """An exception in a process names it and keeps the steps before."""

    class Bad(nengo.Process):
        def make_step(self, shape_in, shape_out, dt, rng, state):
            def step(t):
                if t > 0.0055:
                    raise KeyError("gone")
                return t

            return step

    with nengo.Network() as net:
        p = nengo.Probe(nengo.Node(Bad(), size_out=1))
        q = nengo.Probe(nengo.Node(lambda t: t))
    sim = Sim(net)
    with pytest.raises(SimulationError, match="Bad") as info:
        sim.run_steps(20)
    assert isinstance(info.value.__cause__, KeyError)
    assert sim.n_steps == 5 and sim.data[p].shape == sim.data[q].shape == (5, 1)


def test_shared_state_in_nengos_order(Sim, double_net):
    """Functions of time and functions with input see each other's effects step by step."""
    world = {"x": 0.0}

    def sense(t):
        return world["x"]

    def act(t, x):
        world["x"] = 0.5 * x[0] + t
        return world["x"]

    net = double_net()
    with net:
        sensor = nengo.Node(sense, size_out=1)
        actor = nengo.Node(act, size_in=1)
        nengo.Connection(sensor, actor, synapse=None)
        probes = [nengo.Probe(sensor), nengo.Probe(actor)]
    with nengo.Simulator(net, progress_bar=False) as ref:
        ref.run_steps(20)
    world["x"] = 0.0
    sim = Sim(net)
    sim.run_steps(20)
    for probe in probes:
        assert np.array_equal(sim.data[probe], ref.data[probe])


def test_exact_times_in_single_precision(Sim):
    """Functions that compare times decide as in `nengo.Simulator`, wherever they are called."""
    times = {"source": [], "function": [], "process": []}

    class Clock(nengo.Process):
        def make_step(self, shape_in, shape_out, dt, rng, state):
            return lambda t, *x: times["process"].append(t) or np.zeros(shape_out)

    with nengo.Network() as net:
        source = nengo.Node(lambda t: times["source"].append(t) or t, size_out=1)
        node = nengo.Node(lambda t, x: times["function"].append(t), size_in=1, size_out=0)
        nengo.Connection(source, node, synapse=None)
        nengo.Node(Clock(), size_out=1)
    sim = Sim(net)
    sim.run_steps(200)
    due = [(i + 1) * 0.001 for i in range(200)]
    assert times == {"source": due, "function": due, "process": due}
