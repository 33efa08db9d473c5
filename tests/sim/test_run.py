"""Running: steps, times, probes, equality with `nengo.Simulator` (SPEC S-15, S-51 to S-54)."""

from functools import partial

import nengo
import numpy as np
import pytest
from nengo.exceptions import ReadonlyError, ValidationError

import nengo_dl


def varied(net):
    """A network with a bit of everything; returns its probes."""
    with net:
        const = nengo.Node([0.3, -0.2])
        wave = nengo.Node(lambda t: np.sin(20 * t))
        noise = nengo.Node(nengo.processes.WhiteNoise(), size_out=2)
        a = nengo.Ensemble(30, 2, noise=nengo.processes.FilteredNoise())
        b = nengo.Ensemble(40, 1, neuron_type=nengo.AdaptiveLIF())
        nengo.Connection(const, a)
        nengo.Connection(noise, a, synapse=None, transform=0.01)
        nengo.Connection(wave, b, synapse=nengo.Alpha(0.01))
        nengo.Connection(a, b, function=lambda x: x[0] * x[1])
        nengo.Connection(b, b, synapse=0.1)
        return [
            nengo.Probe(a, synapse=0.01),
            nengo.Probe(b.neurons),
            nengo.Probe(b.neurons, "voltage"),
            nengo.Probe(noise, sample_every=0.003),
            nengo.Probe(b, sample_every=0.0025),
        ]


def test_equals_nengo(Sim, double_net, reference):
    """The same values as `nengo.Simulator` for the same seed, noise included."""
    net = double_net()
    probes = varied(net)
    due = reference(net, probes, 150, seed=5)
    sim = Sim(net, seed=5)
    for steps in (1, 49, 100):
        sim.run_steps(steps)
    for probe, values in zip(probes, due, strict=True):
        np.testing.assert_allclose(sim.data[probe], values, rtol=1e-9, atol=1e-12)


def test_steps_and_times(Sim):
    """S-15, S-16, S-51: steps, times, rounding, errors."""
    sim = Sim(nengo.Network(), dt=0.002)
    assert (sim.n_steps, sim.time) == (0, 0)
    sim.step()
    sim.run(0.0095)
    assert type(sim.n_steps) is int and sim.n_steps == 6
    assert type(sim.time) is float and sim.time == 6 * 0.002
    with pytest.raises(ValidationError, match="negative"):
        sim.run(-0.1)
    with pytest.warns(UserWarning, match="0 timesteps"):
        sim.run(0)
    sim.run_steps(0)
    assert sim.n_steps == 6
    with pytest.raises(ReadonlyError, match="dt"):
        sim.dt = 3
    with pytest.raises(AttributeError):
        sim.n_steps = 3


def test_unroll(Sim):
    """S-06, S-52: more steps than asked for, with a warning."""
    with nengo.Network() as net:
        node = nengo.Node(lambda t: t)
        p = nengo.Probe(node)
    sim = Sim(net, unroll_simulation=5)
    assert sim.unroll == 5
    with pytest.warns(RuntimeWarning, match="unroll_simulation"):
        sim.run_steps(7)
    assert sim.n_steps == 10 and sim.data[p].shape == (10, 1)
    with pytest.warns(RuntimeWarning, match="unroll_simulation"):
        sim.step()
    assert sim.n_steps == 15
    with pytest.raises(ValidationError, match="unroll_simulation"):
        sim.predict(n_steps=7)


@pytest.mark.parametrize("every", [0.001, 0.0005, 0.002, 0.0015, 0.0107])
def test_sample_every(Sim, every):
    """S-53, S-54: aligned to the global count of steps; trange fits."""
    with nengo.Network() as net:
        nengo_dl.configure_settings(dtype="float64")
        node = nengo.Node(lambda t: t)
        p = nengo.Probe(node, sample_every=every)
    sim = Sim(net)
    for steps in (1, 2, 7, 13):
        sim.run_steps(steps)
    assert np.allclose(sim.data[p][:, 0], sim.trange(sample_every=every))
    with pytest.warns(DeprecationWarning):
        assert np.array_equal(sim.trange(dt=every), sim.trange(every))
    with pytest.raises(ValidationError, match="sample_every"):
        sim.trange(dt=every, sample_every=every)
    assert len(sim.trange()) == 23
    # predict ignores it (S-33)
    assert sim.predict(n_steps=5)[p].shape == (1, 5, 1)


def test_pieces(Sim, double_net, monkeypatch):
    """A run in many pieces gives what a run in one piece gives."""
    net = double_net()
    probes = varied(net)
    whole = Sim(net, seed=1)
    whole.run_steps(60)
    monkeypatch.setattr("nengo_dl.plan.pieces.AT_ONCE_BYTES", 7 * 8 * 74)
    pieces = Sim(net, seed=1)
    steps = []
    run_eager = pieces.tensor_graph.run_eager

    def counting(inputs, n_steps, *args):
        steps.append(n_steps)
        return run_eager(inputs, n_steps, *args)

    monkeypatch.setattr(pieces.tensor_graph, "run_eager", counting)
    pieces.run_steps(60)
    assert len(steps) > 5 and sum(steps) == 60
    for probe in probes:
        assert np.array_equal(pieces.data[probe], whole.data[probe])


def test_out_of_time(Sim, double_net, monkeypatch):
    """Rows that a piece did not get to use are used by the next one."""
    net = double_net()
    calls = []
    probes = varied(net)
    with net:
        node = nengo.Node(lambda t: calls.append(t) or t)
        probes.append(nengo.Probe(node))
    whole = Sim(net, seed=1)
    whole.run_steps(60)
    calls.clear()
    pieces = Sim(net, seed=1)
    run_eager = pieces.tensor_graph.run_eager

    def slow(inputs, n_steps, *args):
        short = max(1, n_steps // 3)
        return run_eager([rows[:, :short] for rows in inputs], short, *args)

    monkeypatch.setattr(pieces.tensor_graph, "run_eager", slow)
    pieces.run_steps(60)
    assert len(calls) == 60 and pieces.n_steps == 60
    for probe in probes:
        assert np.array_equal(pieces.data[probe], whole.data[probe])


def test_progress_bar(Sim, capsys):
    """Nengo's own bar, once per run; none if not asked for."""

    class Bar(nengo.utils.progress.ProgressBar):
        seen = ()
        closed = 0

        def update(self, progress):
            self.seen += (progress.n_steps,)
            self.last = progress

        def close(self):
            self.closed += 1

    bar = Bar()
    sim = Sim(nengo.Network(), progress_bar=bar)
    assert bar.closed == 1
    bar = Bar()
    sim.run_steps(20, progress_bar=bar)
    assert bar.closed == 1 and bar.last.finished and bar.last.n_steps == bar.last.max_steps == 20
    sim.run_steps(20, progress_bar=True)
    assert "Simulation finished" in capsys.readouterr().out
    sim.progress_bar = False
    sim.run_steps(20)
    sim.step()
    assert not capsys.readouterr().out
    for refuse in (partial(Sim, nengo.Network()), partial(sim.run_steps, 3)):
        with pytest.raises(ValidationError, match="expected a bool or a progress bar .*, got 'x'"):
            refuse(progress_bar="x")


def integrators(net):
    """Ensembles that do not depend on each other; returns their probe."""
    with net:
        array = nengo.networks.EnsembleArray(50, 64)
        nengo.Connection(nengo.Node(np.linspace(-1, 1, 64)), array.input, synapse=0.1)
        nengo.Connection(array.output, array.input, synapse=0.1)
        return nengo.Probe(array.output, synapse=0.01)


def test_the_plan_shows_fused_kernels_and_shared_ops(Sim, double_net, monkeypatch):
    net = double_net()
    integrators(net)
    plan = Sim(net, seed=0).plan
    lines = str(plan).splitlines()
    start = next(i for i, line in enumerate(lines) if "fused: encode, LIF, decode, filter" in line)
    kinds = ["dense", "neurons", "dense", "lowpass"]
    for line, kind in zip(lines[start + 1 : start + 5], kinds, strict=True):
        assert line.startswith("    ") and kind in line
    assert any(
        "shared out among 2 threads" in line and "at most 50% of the work" in line for line in lines
    )
    monkeypatch.setenv("NENGO_DL_FUSE", "0")
    assert "fused: " not in str(plan)


def test_threads_for_a_single_item_change_no_bit(Sim, double_net):
    values = []
    for threads in (1, 2, 3):
        net = double_net(seed=1)
        probe = integrators(net)
        with net:
            nengo_dl.configure_settings(threads=threads)
        sim = Sim(net, seed=0)
        sim.run_steps(400)
        values.append(sim.data[probe])
    assert np.ptp(values[0]) > 0.1
    np.testing.assert_array_equal(values[1], values[0])
    np.testing.assert_array_equal(values[2], values[0])
