"""Python functions inside a run: semantics, errors, Ctrl-C (SPEC S-55, G-08, G-11)."""

import os
import re
import signal
import threading
import time

import keras
import nengo
import numpy as np
import pytest
from nengo.exceptions import SimulationError


class Leaky(nengo.neurons.NeuronType):
    """A neuron type in Python, with state and a random generator."""

    state = {"voltage": nengo.dists.Choice([0])}
    spiking = True

    def make_state(self, n_neurons, rng=np.random, dtype=None):
        state = super().make_state(n_neurons, rng=rng, dtype=dtype)
        state["rng"] = np.random.RandomState(rng.randint(2**31))
        return state

    def gain_bias(self, max_rates, intercepts):
        return np.ones_like(max_rates), np.zeros_like(max_rates)

    def max_rates_intercepts(self, gain, bias):
        return np.ones_like(gain), np.zeros_like(gain)

    def step(self, dt, J, output, voltage, rng):
        voltage += dt * (J - voltage) + 0.01 * rng.standard_normal(voltage.shape)
        output[...] = (voltage > 0) / dt


class Delay(nengo.synapses.Synapse):
    """A synapse in Python."""

    def make_state(self, shape_in, shape_out, dt, dtype=None, y0=0):
        return {"rows": np.zeros((3, *shape_in))}

    def make_step(self, shape_in, shape_out, dt, rng, state):
        rows = state["rows"]

        def step(t, x):
            oldest = rows[-1].copy()
            rows[1:] = rows[:-1].copy()
            rows[0] = x
            x[...] = np.nan  # a copy: nobody else may see it (G-11)
            return oldest

        return step


def custom(net):
    """A network whose every part is written in Python."""
    with net:
        wave = nengo.Node(lambda t: [np.sin(30 * t), t], size_out=2)
        ens = nengo.Ensemble(20, 2, neuron_type=Leaky())
        direct = nengo.Ensemble(1, 2, neuron_type=nengo.Direct())
        node = nengo.Node(lambda t, x: x * t, size_in=2)
        nengo.Connection(wave, ens.neurons, transform=np.ones((20, 2)), synapse=Delay())
        nengo.Connection(ens.neurons, node, transform=np.ones((2, 20)) / 1000)
        nengo.Connection(node, direct, function=lambda x: x**2, synapse=0.01)
        nengo.Connection(direct, node, function=np.cos, synapse=0)
        return [nengo.Probe(o) for o in (ens.neurons, node, direct)]


def test_equals_nengo(Sim, double_net, reference):
    """Neuron types, synapses, Direct mode, functions: the values of `nengo.Simulator`."""
    net = double_net()
    probes = custom(net)
    due = reference(net, probes, 60)
    # Nengo's own generators have moved on now, which must not matter: build anew
    net = double_net()
    probes = custom(net)
    sim = Sim(net)
    for _ in range(2):
        sim.run_steps(20)
        sim.run_steps(40)
        for probe, values in zip(probes, due, strict=True):
            np.testing.assert_allclose(sim.data[probe], values, rtol=1e-9, atol=1e-12)
        sim.reset()


class Counter(nengo.Process):
    """Counts in its closure, which no simulator sees, and in its state."""

    def make_state(self, shape_in, shape_out, dt, dtype=None):
        return {"count": np.zeros(1)}

    def make_step(self, shape_in, shape_out, dt, rng, state):
        calls = []

        def step(t, x=None):
            calls.append(t)
            state["count"] += 1
            return np.array([len(calls), state["count"][0]])

        return step


@pytest.mark.parametrize("include_processes", [True, False])
def test_reset(Sim, include_processes):
    """S-61: state begins anew; what a process keeps in Python only with `include_processes`."""
    with nengo.Network() as net:
        source = nengo.Node(Counter(), size_out=2)
        inside = nengo.Node(Counter(), size_in=1, size_out=2)
        noise = nengo.Ensemble(5, 1, noise=nengo.processes.WhiteNoise())
        p, q = nengo.Probe(source), nengo.Probe(inside)
        r = nengo.Probe(noise.neurons, "input")
    sim = Sim(net, minibatch_size=2)
    sim.run_steps(3)
    drawn = sim.data[r].copy()
    sim.reset(include_processes=include_processes)
    assert sim.n_steps == 0 and sim.data[p] == []
    sim.run_steps(2)
    closure, state = sim.data[q][1].T
    assert state.tolist() == [1, 2]
    assert closure.tolist() == ([1, 2] if include_processes else [4, 5])
    # the process of an input node only goes back as a whole (S-26)
    assert sim.data[p][1, 0].tolist() == ([1, 1] if include_processes else [4, 4])
    assert np.array_equal(sim.data[r], drawn[:, :2]) is include_processes


def test_names_in_plan(Sim):
    """What runs in Python shows in the plan: the object, what it is for, and why."""
    with nengo.Network() as net:
        node = nengo.Node(lambda t, x: x, size_in=1, label="echo")
        sink = nengo.Node(lambda t, x: None, size_in=1, size_out=0, label="sink")
        leaky = nengo.Ensemble(
            4, 1, neuron_type=Leaky(), label="leaky",
            noise=nengo.processes.WhiteNoise(nengo.dists.Exponential(1)),
        )  # fmt: skip
        direct = nengo.Ensemble(1, 1, neuron_type=nengo.Direct(), label="direct")
        nengo.Node(np.sin, label="wave")
        nengo.Node(nengo.processes.WhiteNoise(), size_out=1, label="noise")
        data = {0.0: lambda t: [t]}
        nengo.Node(nengo.processes.Piecewise(data), label="pieces")
        nengo.Connection(leaky.neurons, node, transform=np.ones((1, 4)), synapse=Delay())
        nengo.Connection(direct, sink, function=np.cos)
    text = str(Sim(net).plan)
    for line in (
        r"Runs on the CPU, on one thread: its Python functions take turns",
        r"function '<lambda>' for <Node 'echo'> \(test_callbacks.py:\d+\): it calls a Python",
        r"function '<lambda>' for <Node 'sink'> ",
        r"neuron type Leaky\(\) for <Ensemble 'leaky'>.*: neuron type Leaky has no native form",
        r"process WhiteNoise\(.*Exponential.* for <Ensemble 'leaky'>.*: noise from Exponential",
        r"function 'cos' for <Connection from <Ensemble 'direct'>",
        r"process Delay\(.*Delay has no native form",
        r"function 'sin' for <Node 'wave'>: .* in turn with other functions",
        r"noise: process WhiteNoise, native",
        r"process Piecewise\(.* for <Node 'pieces'>.*functions or interpolation",
    ):
        assert re.search(line, text), f"{line}\n{text}"


def test_items(Sim, double_net):
    """State and generators of items are their own; item 0 is what a single run gives."""
    net = double_net()
    probes = custom(net)
    sim = Sim(net, minibatch_size=3)
    sim.run_steps(30)
    alone = Sim(net)
    alone.run_steps(30)
    for probe in probes:
        assert np.array_equal(sim.data[probe][0], alone.data[probe])
    spikes = sim.data[probes[0]]
    assert not np.array_equal(spikes[0], spikes[1]) and not np.array_equal(spikes[1], spikes[2])


def test_arguments(Sim, double_net):
    """Functions get a float and a fresh copy of their input, per item."""
    seen = []
    net = double_net()
    with net:
        u = nengo.Node([1.0, 2.0])
        v = nengo.Node(lambda t, x: seen.append((t, x)), size_in=2, size_out=0)
        nengo.Connection(u, v, synapse=None)
    Sim(net, minibatch_size=2).run_steps(3)
    assert [t for t, _ in seen] == [0.001, 0.001, 0.002, 0.002, 0.003, 0.003]
    arrays = [x for _, x in seen]
    assert all(type(t) is float for t, _ in seen) and len({id(x) for x in arrays}) == 6
    assert all(x.base is None and np.array_equal(x, [1, 2]) for x in arrays)


@pytest.mark.parametrize("how", ["input", "source", "source beside", "direct", "synapse"])
def test_errors(Sim, how):
    """S-55: SimulationError with its cause and the name; the run can go on."""
    fail = {"on": True}

    def faulty(x):
        if fail["on"] and np.max(x) > 0.0055:
            raise LookupError("no such thing")
        return x

    class Broken(Delay):
        def make_step(self, *args):
            return lambda t, x: faulty(x)

    with nengo.Network() as net:
        clock = nengo.Node(lambda t: t)
        if how == "input":
            target = nengo.Node(lambda t, x: faulty(x), size_in=1, size_out=1)
            nengo.Connection(clock, target, synapse=None)
        elif how.startswith("source"):
            target = nengo.Node(faulty, size_out=1)
            if how == "source beside":
                nengo.Connection(clock, nengo.Node(lambda t, x: x, size_in=1), synapse=None)
        elif how == "direct":
            target = nengo.Ensemble(1, 1, neuron_type=nengo.Direct())
            nengo.Connection(clock, target, synapse=None)
            nengo.Connection(target, nengo.Node(size_in=1), function=faulty)
        else:
            target = nengo.Node(size_in=1)
            nengo.Connection(clock, target, synapse=Broken())
        p, q = nengo.Probe(clock), nengo.Probe(target)
    sim = Sim(net, minibatch_size=2)
    name = {"input": "lambda", "synapse": "Broken"}.get(how, "faulty")
    with pytest.raises(SimulationError, match=f"{name}.*LookupError.*no such thing") as info:
        sim.run_steps(50)
    assert isinstance(info.value.__cause__, LookupError)
    assert sim.n_steps == 5 and sim.data[p].shape == sim.data[q].shape == (2, 5, 1)
    if how != "source":  # S-34: generated before Keras is called
        with pytest.raises(SimulationError, match=name) as info:
            sim.predict(n_steps=50)
        assert isinstance(info.value.__cause__, LookupError)
    fail["on"] = False
    sim.run_steps(5)
    assert sim.n_steps == 10 and np.allclose(sim.data[p][1, :, 0], np.arange(1, 11) * 0.001)


def press_ctrl_c(after):
    timer = threading.Timer(after, lambda: os.kill(os.getpid(), signal.SIGINT))
    timer.start()
    return timer


@pytest.fixture
def ctrl_c():
    """Python's own handling of Ctrl-C, also where a shell started the tests in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("where", ["engine", "function", "source"])
def test_interrupt(Sim, where, ctrl_c):
    """Ctrl-C ends a run of days; what was simulated stays, and the run can go on."""
    with nengo.Network() as net:
        ens = nengo.Ensemble(50, 1)
        nengo.Connection(ens, ens)
        p = nengo.Probe(ens)
        if where == "function":
            slow = nengo.Node(lambda t, x: time.sleep(0.01), size_in=1, size_out=0)
            nengo.Connection(ens, slow)
        if where == "source":
            nengo.Node(lambda t: time.sleep(0.01), size_out=0)
    sim = Sim(net)
    sim.run_steps(2)
    handler = signal.getsignal(signal.SIGINT)
    timer = press_ctrl_c(0.5)
    with pytest.raises(KeyboardInterrupt):
        sim.run_steps(10**11)
    timer.join()
    assert signal.getsignal(signal.SIGINT) is handler
    done = sim.n_steps
    assert done > 2 and len(sim.data[p]) == done
    sim.run_steps(3)
    assert sim.n_steps == done + 3 and len(sim.data[p]) == done + 3


def test_threads(Sim, double_net):
    """Two simulators in two threads give what they give alone, with functions and without."""
    nets = [double_net(), double_net()]
    probes = [custom(nets[0]), None]
    with nets[1]:
        ens = nengo.Ensemble(50, 1, noise=nengo.processes.WhiteNoise())
        nengo.Connection(ens, ens)
        probes[1] = [nengo.Probe(ens.neurons)]
    sims = [Sim(net, seed=1) for net in nets]
    due = []
    for sim, found in zip(sims, probes, strict=True):
        sim.run_steps(300)
        due.append([sim.data[p].copy() for p in found])
        sim.reset()

    def work(sim):
        for _ in range(30):
            sim.run_steps(10)

    threads = [threading.Thread(target=work, args=(sim,)) for sim in sims]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for sim, found, values in zip(sims, probes, due, strict=True):
        for probe, value in zip(found, values, strict=True):
            assert np.array_equal(sim.data[probe], value)


def test_functions_of_two_sizes_after_another_compile(Sim):
    """Every `compile` leads to a program of its own; functions see their own values in each."""
    sizes, seen = (2, 50, 7), {}
    with nengo.Network(seed=0) as net:
        net.x = nengo.Node(np.zeros(1), label="x")
        net.y = nengo.Node(size_in=1)
        net.w = nengo.Connection(net.x, net.y, synapse=None)
        net.py = nengo.Probe(net.y)
        for size in sizes:
            node = nengo.Node(
                lambda t, x, n=size: seen[n].append(x.copy()), size_in=size, size_out=0
            )
            nengo.Connection(net.x, node, transform=np.full((size, 1), size), synapse=None)
    sim = Sim(net, minibatch_size=2)
    data = np.arange(1.0, 7.0).reshape(2, 3, 1)
    for attempt in range(4):
        sim.compile(keras.optimizers.SGD(0.0), loss="mse" if attempt % 2 else "mae")
        seen.update((size, []) for size in sizes)
        sim.fit(data, data, epochs=1, shuffle=False, verbose=0)
        for size in sizes:
            due = size * data.transpose(1, 0, 2).reshape(-1, 1)
            np.testing.assert_array_equal(seen[size], np.repeat(due, size, axis=1))
