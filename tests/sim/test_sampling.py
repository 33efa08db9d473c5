"""Probes with ``sample_every``: rows of the steps that are asked for, which alone are made."""

import time

import nengo
import numpy as np
import pytest

import nengo_dl
from nengo_dl import _engine
from nengo_dl.run.sampling import Sampling
from nengo_dl.tensor_graph import TensorGraph

RULES = {
    "none": None,
    "PES": nengo.PES(1e-3),
    "BCM": nengo.BCM(1e-9),
    "Oja": nengo.Oja(1e-6),
    "Voja": nengo.Voja(),
    "RLS": nengo.RLS(1e-3),
}
PERIODS = [0.1, 0.0107, 0.0033, 0.0025, 0.002, 0.001, 0.0005, None]


def learning(net, rule, n=20, periods=PERIODS):
    """A connection whose weights, or encoders, change, probed with all periods."""
    with net:
        node = nengo.Node(lambda t: np.sin(50 * t))
        a, b = nengo.Ensemble(n, 1, seed=1), nengo.Ensemble(n, 1, seed=2)
        nengo.Connection(node, a)
        whole = rule in ("none", "BCM", "Oja")
        solver = nengo.solvers.LstsqL2(weights=whole)
        conn = nengo.Connection(a, b, solver=solver, learning_rule_type=RULES[rule])
        if rule in ("PES", "RLS"):
            nengo.Connection(b, conn.learning_rule)
        if rule == "Voja":
            target, attr = conn.learning_rule, "scaled_encoders"
        else:
            target, attr = conn, "weights"
        return [nengo.Probe(target, attr, sample_every=every) for every in periods]


@pytest.mark.parametrize("rule", RULES)
def test_values_are_those_of_nengo(Sim, double_net, rule):
    net = double_net()
    probes = learning(net, rule)
    sim = Sim(net, minibatch_size=2)
    with nengo.Simulator(net, progress_bar=False) as ref:
        for steps in (1, 7, 250, 3):
            sim.run_steps(steps)
            ref.run_steps(steps)
    for probe in probes:
        due = ref.data[probe]
        for values in sim.data[probe]:
            assert values.shape == due.shape
            np.testing.assert_allclose(values, due, rtol=1e-12, atol=1e-12)
    changes = np.ptp(ref.data[probes[-1]], axis=0).max()
    assert (changes > 1e-9) == (rule != "none")


@pytest.mark.parametrize("rule", sorted(set(RULES) - {"none"}))
def test_probed_weights_change_at_once(Sim, rule):
    """A Probe of them does not keep the engine from doing rule and change as one."""
    net = nengo.Network(seed=0)
    learning(net, rule, periods=[None, 0.01])
    assert f"{rule.lower()}, change weights" in str(Sim(net).plan)


def asked_of_engine(monkeypatch):
    """Lists that fill with the steps and the bytes of every call of the engine."""
    steps, sizes = [], []
    run_eager = TensorGraph.run_eager

    def run(layer, inputs, n_steps, *args):
        outputs, done = run_eager(layer, inputs, n_steps, *args)
        owners = [values if values.base is None else values.base for values in outputs]
        steps.append(n_steps)
        sizes.append(sum(owner.nbytes for owner in owners))
        return outputs, done

    monkeypatch.setattr(TensorGraph, "run_eager", run)
    return steps, sizes


@pytest.mark.parametrize("rule", ["none", "PES", "BCM"])
@pytest.mark.parametrize("kept", ["sampled", "last"])
def test_steps_that_are_not_kept_cost_nothing(Sim, monkeypatch, rule, kept):
    """No row is made of them, and a run has no more pieces because of them."""
    net = nengo.Network(seed=0)
    (probe,) = learning(net, rule, 300, [0.05 if kept == "sampled" else None])
    if kept == "last":
        with net:
            nengo_dl.configure_settings(keep_history=False)
    sim = Sim(net)
    monkeypatch.setattr("nengo_dl.run.runtime.TIME_LIMIT", 0)  # steps end pieces, not the time
    steps, sizes = asked_of_engine(monkeypatch)
    sim.run_steps(200)
    shape = sim.data[probe].shape
    assert steps == [200] and shape[0] == (4 if kept == "sampled" else 1)
    assert sizes == [4 * np.prod(shape)]


@pytest.mark.parametrize("elsewhere", ["tensor_node", "not_on_the_cpu"])
def test_rows_are_chosen_where_the_engine_makes_all(Sim, double_net, monkeypatch, elsewhere):
    if elsewhere == "not_on_the_cpu":
        monkeypatch.setattr(TensorGraph, "_on_cpu", lambda self: False)
    net = double_net()
    probes = learning(net, "PES")
    if elsewhere == "tensor_node":
        with net:
            x = nengo_dl.TensorNode(lambda t, x: 2 * x, shape_in=(1,), pass_time=True)
            nengo.Connection(net.all_nodes[0], x)
            probes.append(nengo.Probe(x, sample_every=0.0033))
    sim, ref = Sim(net), Sim(net)
    assert sim.tensor_graph.direct is None
    every = [probe.sample_every for probe in probes]
    for steps in (3, 40):
        sim.run_steps(steps)
    for probe, period in zip(probes, every, strict=True):
        times = sim.trange() if period is None else sim.trange(period)
        assert sim.data[probe].shape[0] == len(times)
        chosen = np.round(times / sim.dt).astype(int) - 1
        values = ref.predict(n_steps=43)[probe][0]  # of all steps
        np.testing.assert_allclose(sim.data[probe], values[chosen], rtol=1e-12)
        ref.reset()


def test_a_run_that_an_error_ends(Sim):
    """What was simulated before stays."""

    def fails(t):
        if t > 0.0255:
            raise ValueError("too late")
        return t

    with nengo.Network() as net:
        node = nengo.Node(fails)
        probes = [nengo.Probe(node, sample_every=every) for every in (0.01, 0.0025, None)]
    sim = Sim(net)
    with pytest.raises(ValueError, match="too late"):
        sim.run_steps(100)
    assert sim.n_steps == 25 and [len(sim.data[probe]) for probe in probes] == [2, 10, 25]
    np.testing.assert_allclose(sim.data[probes[1]][:, 0], sim.trange(0.0025), rtol=1e-6)


def test_a_run_that_time_ends(Sim):
    with nengo.Network() as net:
        slow = nengo.Node(lambda t, x: time.sleep(0.001) or np.full(40, t), size_in=1)
        nengo.Connection(slow[0], slow)
        nengo.Probe(slow, sample_every=0.003)
    sim = Sim(net)
    layer, sampling = sim.tensor_graph, sim._runtime.sampling
    before = 0
    for _ in range(3):
        (values,), steps = layer.run_eager([], 10000, True, 0.02, sampling.steps)
        due = np.arange(before + 1, before + steps + 1)
        due = due[due % 3 < 1] * sim.dt
        assert 0 < steps < 10000 and values.shape == (1, len(due), 40)
        np.testing.assert_allclose(values[0, :, 7], due, rtol=1e-6)
        owner = values if values.base is None else values.base
        assert owner.nbytes == 4 * 40 * len(due)
        before += steps


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("size", [1, 3])
def test_threads_and_windows_keep_the_same_rows(Sim, threads, size):
    """Also of values that the threads make some steps each."""
    with nengo.Network(seed=0) as net:
        nengo_dl.configure_settings(threads=threads)
        noise = nengo.Node(nengo.processes.WhiteNoise(seed=1), size_out=200)
        ens = nengo.networks.EnsembleArray(50, 200, seed=3)
        nengo.Connection(noise, ens.input)
        everything = nengo.Probe(ens.output)
        probes = [nengo.Probe(ens.output, sample_every=p) for p in (0.0107, 0.05, 0.5)]
    sim = Sim(net, minibatch_size=size)
    sim.run_steps(777)
    sim.run_steps(400)
    numbers = np.arange(1, 1178)
    for probe in probes:
        chosen = numbers % (probe.sample_every / sim.dt) < 1
        assert np.array_equal(sim.data[probe], sim.data[everything][:, chosen])


def test_steps():
    sampling = Sampling([None, 2.0, 2.5, 0.5])
    assert sampling and not Sampling([None, None])
    none, *kept = sampling.steps(3, 5)  # steps 4 to 8
    assert none is None
    assert [rows.tolist() for rows in kept] == [[0, 2, 4], [1, 4], [0, 1, 2, 3, 4]]
    assert sampling.shares([True, True, True, False]) == [1.0, 0.5, 0.4, 0.0]


@pytest.mark.parametrize(
    "kept, message",
    [
        ([], "kept_steps: expected 1, as the program has, got 0"),
        ([[1, 2]], r"kept_steps\[0\] .*expected a .*int64.*got a list"),
        ([np.array([1.0])], "expected a .*int64.*got a .*float64"),
        ([np.array([[1], [2]])], r"expected a \(2,\) array"),
        ([np.array([0, 5])], "expected steps of 0 to 4, in order and each once, got 5"),
        ([np.array([-1, 2])], "got -1"),
        ([np.array([2, 2])], "got 2"),
        ([np.array([3, 2])], "got 2"),
    ],
)
def test_wrong_lists_of_steps(Sim, monkeypatch, kept, message):
    with nengo.Network() as net:
        nengo.Probe(nengo.Node([1.0]))
    taken = []
    bound = _engine.Bound
    monkeypatch.setattr(_engine, "Bound", lambda number: taken.append(bound(number)) or taken[-1])
    sim = Sim(net)
    rows = [np.ones((1, 5, port.size), np.float32) for port in sim.tensor_graph.plan.inputs]
    with pytest.raises(ValueError, match=message):
        taken[-1].run(rows, 5, 0.0, kept)
    (values,), _, steps, _ = taken[-1].run(rows, 5, 0.0, [np.array([1, 4])])
    assert values.shape == (1, 2, 1) and steps == 5
