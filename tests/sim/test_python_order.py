"""All Python of a model is called in Nengo's order, in runs of any length."""

import nengo
import numpy as np
import pytest

from nengo_dl.run.process_rows import ProcessRows

STEPS = 500
WAYS = {"run": [STEPS], "pieces": [200, 1, 100, 199], "steps": [1] * STEPS}


class Plant(nengo.Process):
    """A body in a world: what it does there is seen by whoever looks at the world."""

    def __init__(self, world):
        self.world = world
        super().__init__(default_size_in=1, default_size_out=1)

    def make_state(self, shape_in, shape_out, dt, dtype=None):
        return {"x": np.zeros(shape_out)}

    def make_step(self, shape_in, shape_out, dt, rng, state):
        def step(t, u):
            state["x"] += dt * (u - 3 * state["x"]) + 0.01 * rng.standard_normal(shape_out)
            self.world["x"] = float(state["x"][0])
            return state["x"]

        return step


class Sensor(nengo.Process):
    """Reads the world and counts its looks in its state."""

    def __init__(self, world, size_out=1):
        self.world = world
        super().__init__(default_size_in=0, default_size_out=size_out)

    def make_state(self, shape_in, shape_out, dt, dtype=None):
        return {"n": np.zeros(1)}

    def make_step(self, shape_in, shape_out, dt, rng, state):
        def step(t):
            state["n"] += 1
            self.world["looks"] = self.world.get("looks", 0) + 1
            return self.world["x"] + 0.1 * rng.standard_normal(shape_out) + state["n"][0] % 7

        return step


class Echo(nengo.neurons.RectifiedLinear):
    """Neurons that write down what they do."""

    def __init__(self, world):
        self.world = world
        super().__init__()

    def step(self, dt, J, output):
        super().step(dt, J, output)
        self.world["x"] += float(output.sum())


class Decay(nengo.synapses.Synapse):
    """A synapse that writes down what it passes on."""

    def __init__(self, world):
        self.world = world
        super().__init__(default_size_in=1, default_size_out=1)

    def make_state(self, shape_in, shape_out, dt, dtype=None, y0=0):
        return {"y": np.zeros(shape_out)}

    def make_step(self, shape_in, shape_out, dt, rng, state):
        def step(t, x):
            state["y"] += 0.1 * (x - state["y"])
            self.world["x"] = float(state["y"][0])
            return state["y"]

        return step


def closed_loop(net, world):
    """A function sees the plant, the plant gets what a function makes of that."""
    with net:
        seen = nengo.Node(lambda t: [world["x"], np.sin(20 * t)], size_out=2)
        drive = nengo.Node(lambda t, x: x[1] - 2 * x[0], size_in=2)
        plant = nengo.Node(Plant(world))
        nengo.Connection(seen, drive, synapse=0.005)
        nengo.Connection(drive, plant, synapse=None)
        return [seen, plant]


def plant_alone(net, world):
    """The function of an input node looks at a process that has an input."""
    with net:
        seen = nengo.Node(lambda t: world["x"], size_out=1)
        plant = nengo.Node(Plant(world))
        nengo.Connection(nengo.Node(np.ones(1)), plant, synapse=None)
        return [seen, plant]


def sensor_beside_motor(net, world):
    """A process of an input node looks at what a function did."""

    def move(t, x):
        world["x"] = 0.9 * world["x"] + x[0]
        return world["x"]

    with net:
        sensor = nengo.Node(Sensor(world))
        motor = nengo.Node(move, size_in=1)
        nengo.Connection(sensor, motor, synapse=0.01)
        return [sensor, motor]


def neurons(net, world):
    """Input nodes look at what a neuron type of one's own did."""
    with net:
        sensor = nengo.Node(Sensor(world))
        seen = nengo.Node(lambda t: world["x"] / 100, size_out=1)
        ens = nengo.Ensemble(2, 1, neuron_type=Echo(world), gain=[1, 1], bias=[0, 0.5],
                             encoders=[[1], [-1]])  # fmt: skip
        nengo.Connection(seen, ens.neurons, transform=[[1], [1]], synapse=0.1)
        return [sensor, seen]


def synapse(net, world):
    """A function looks at what a synapse of one's own passed on."""
    with net:
        seen = nengo.Node(lambda t: np.cos(world["x"] + 30 * t), size_out=1)
        target = nengo.Node(size_in=1)
        nengo.Connection(seen, target, synapse=Decay(world))
        return [seen, target]


def sources_only(net, world):
    """Nothing but input nodes, all of which run ahead, together."""

    def move(t):
        world["x"] = np.sin(20 * t) + world.get("looks", 0)
        return world["x"]

    with net:
        first = nengo.Node(Sensor(world, size_out=2))
        mover = nengo.Node(move, size_out=1)
        second = nengo.Node(Sensor(world))
        noise = nengo.Node(nengo.processes.WhiteNoise(seed=3), size_out=1)
        return [first, mover, second, noise]


LOOPS = [closed_loop, plant_alone, sensor_beside_motor, neurons, synapse, sources_only]


def run_loop(make, net, simulate):
    """Values of the probes of one of the networks, in a new world."""
    world = {"x": 0.0}
    with net:
        probes = [nengo.Probe(node) for node in make(net, world)]
    return simulate(net, probes)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("make", LOOPS)
def test_any_length_of_run(Sim, double_net, reference, make, way):
    """500 steps in one run, in pieces and one by one: all bits of `nengo.Simulator`."""

    def simulate(net, probes):
        sim = Sim(net, seed=5)
        for n_steps in WAYS[way]:
            sim.run_steps(n_steps)
        return [sim.data[probe] for probe in probes]

    due = run_loop(make, double_net(), lambda net, ps: reference(net, ps, STEPS, seed=5))
    for values, expected in zip(run_loop(make, double_net(), simulate), due, strict=True):
        assert np.array_equal(values, expected)
        assert np.ptp(expected) > 0.1


@pytest.mark.parametrize(
    ("make", "ahead"),
    [*((make, 0) for make in LOOPS[:-1]), (sources_only, 4)],
)
def test_what_runs_ahead(Sim, double_net, make, ahead):
    """Python runs ahead only where nothing calls Python while the model runs."""

    def simulate(net, probes):
        sim = Sim(net)
        made = [line for line in sim.plan.feeds if "constant" not in line]
        return len(made), len(sim.plan.callbacks)

    found, called = run_loop(make, double_net(), simulate)
    assert found == ahead and bool(called) == (ahead == 0)


def test_native_processes_run_ahead(Sim, double_net):
    """Native processes of input nodes run ahead, whatever the rest of the model is."""
    net = double_net()
    with net:
        noise = nengo.Node(nengo.processes.WhiteNoise(), size_out=1)
        nengo.Connection(noise, nengo.Node(lambda t, x: x, size_in=1), synapse=None)
    sim = Sim(net)
    (spec,) = sim.plan.callbacks
    assert "function" in spec.name and "WhiteNoise, native" in str(sim.plan)


def test_data_instead_of_a_sensor(Sim, double_net):
    """A process that the program calls gives way to data, and goes on where it was after that."""
    world = {"x": 0.0}
    net = double_net()
    with net:
        sensor, motor = sensor_beside_motor(net, world)
        p = nengo.Probe(sensor)
    sim = Sim(net, minibatch_size=2)
    sim.run_steps(3)
    assert world["looks"] == 6  # every item looks for itself
    sim.run_steps(2, data={sensor: np.full((2, 2, 1), 7.0)})
    assert np.array_equal(sim.data[p][:, 3:], np.full((2, 2, 1), 7.0)) and world["looks"] == 6
    out = sim.predict({sensor: np.full((4, 2, 1), 9.0)})
    assert np.array_equal(out[p], np.full((4, 2, 1), 9.0)) and world["looks"] == 6
    sim.run_steps(2, stateful=False)
    sim.run_steps(1)
    assert sim.n_steps == 6 and world["looks"] == 12


def test_every_item_has_its_own_process(Sim, double_net, reference):
    """The state and the random numbers of a process that the program calls are its item's."""

    def make(net, world):
        with net:
            sensor = nengo.Node(Sensor({"x": 0.0}))
            nengo.Connection(sensor, nengo.Node(lambda t, x: x, size_in=1), synapse=None)
        return [sensor]

    def simulate(net, probes):
        sim = Sim(net, minibatch_size=2, seed=5)
        sim.run_steps(20)
        first = sim.data[probes[0]].copy()
        sim.reset()
        sim.run_steps(20)
        assert np.array_equal(sim.data[probes[0]], first)
        return first

    values = run_loop(make, double_net(), simulate)
    for item in range(2):
        ref = run_loop(
            make, double_net(), lambda net, ps, s=5 + item: reference(net, ps, 20, seed=s)
        )
        assert np.array_equal(values[item], ref[0])


class Looking(nengo.Process):
    """Writes down what NumPy does about errors while it runs, and has state of unusual forms."""

    def __init__(self, seen, **sizes):
        self.seen = seen
        super().__init__(**sizes)

    def make_state(self, shape_in, shape_out, dt, dtype=None):
        return {"none": np.zeros(0), "whole": np.zeros((2, 1), np.int64), "one": np.zeros(())}

    def make_step(self, shape_in, shape_out, dt, rng, state):
        def step(t, x=None):
            self.seen.append(np.geterr())
            state["whole"] += 1
            state["one"] += rng.rand()
            return state["whole"].sum() + state["one"] + state["none"].sum()

        return step


def looks(seen, what):
    """A network whose Python code looks at NumPy's settings; all nodes have one element."""
    source, sink = {"default_size_in": 0, "default_size_out": 1}, {"default_size_in": 1}

    def function(t, *x):
        seen.append(np.geterr())
        return t

    made = {
        "process": lambda: [nengo.Node(Looking(seen, **source))],
        "processes": lambda: [nengo.Node(Looking(seen, **source)) for _ in range(2)],
        "function": lambda: [nengo.Node(function, size_out=1)],
        "beside": lambda: [nengo.Node(function, size_out=1), nengo.Node(Looking(seen, **source))],
        "input": lambda: [nengo.Node(function, size_in=1, size_out=1)],
        "process with input": lambda: [nengo.Node(Looking(seen, default_size_out=1, **sink))],
        "all": lambda: [
            nengo.Node(Looking(seen, **source)),
            nengo.Node(function, size_out=1),
            nengo.Node(function, size_in=1, size_out=1),
        ],
    }
    with nengo.Network(seed=1) as net:
        return net, [nengo.Probe(node) for node in made[what]()]


@pytest.mark.parametrize("size", [1, 2])
@pytest.mark.parametrize(
    "what",
    ["process", "processes", "function", "beside", "input", "process with input", "all"],
)
def test_settings_of_numpy_while_python_runs(Sim, what, size):
    """They are Nengo's, `invalid` raises, and state of all forms goes on."""
    (seen, ours), values = ([], []), []
    net, probes = looks(seen, what)
    with (
        np.errstate(over="raise", invalid="ignore"),
        nengo.Simulator(net, seed=3, progress_bar=False) as sim,
    ):
        sim.run_steps(12)
        values = [sim.data[probe] for probe in probes]
    net, probes = looks(ours, what)
    with np.errstate(over="raise", invalid="ignore"):
        sim = Sim(net, seed=3, minibatch_size=size)
        for n_steps in (5, 1, 6):
            sim.run_steps(n_steps)
    assert {str(found) for found in ours} == {str(found) for found in seen}
    assert {(found["invalid"], found["divide"]) for found in ours} == {("raise", "ignore")}
    for probe, due in zip(probes, values, strict=True):
        np.testing.assert_allclose(sim.data[probe][0], due, rtol=1e-6)


def test_processes_ahead_are_called_without_the_engine(Sim, monkeypatch):
    """Where several run ahead in turn, no program runs for each step of each."""
    runs, generate = [], ProcessRows.generate
    monkeypatch.setattr(
        ProcessRows, "generate", lambda *args: runs.append(args[1:]) or generate(*args)
    )
    for what, expected in (("process", 1), ("processes", 0), ("beside", 0)):
        net, _ = looks([], what)
        Sim(net).run_steps(50)
        assert len(runs) == expected
        runs.clear()
