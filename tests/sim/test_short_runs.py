"""Runs of a step: what they cost in calls, that they are the whole run, and that all see them."""

import sys
import traceback

import nengo
import numpy as np
import pytest
import tensorflow as tf

import nengo_dl

MOST_CALLS = 85  # Python calls of a step, with a function as input


def network(output, seed=0, learning=True):
    """An ensemble with an input Node, and a learning rule, so that parameters change, too."""
    with nengo.Network(seed=seed) as net:
        node = nengo.Node(output)
        net.a, net.b = nengo.Ensemble(30, 1), nengo.Ensemble(20, 1)
        nengo.Connection(node, net.a)
        net.p = nengo.Probe(net.b, synapse=0.01)
        if learning:
            learned = nengo.Connection(net.a, net.b, learning_rule_type=nengo.PES(1e-3))
            nengo.Connection(node, learned.learning_rule)
            net.w = nengo.Probe(learned, "weights")
        else:
            nengo.Connection(net.a, net.b)
    return net


def closed_loop(seed=0):
    """An ensemble whose input is what a function and a process of a Node make of its output."""
    with nengo.Network(seed=seed) as net:
        clock = nengo.Node(lambda t: np.sin(9 * t))
        noise = nengo.Node(nengo.processes.WhiteSignal(1.0, high=10, seed=1))
        net.a = nengo.Ensemble(30, 2)
        node = nengo.Node(lambda t, x: [0.5 * x[0], x[1] - t], size_in=2)
        nengo.Connection(net.a, node, synapse=0.02)
        nengo.Connection(node, net.a)
        nengo.Connection(clock, net.a[0])
        nengo.Connection(noise, net.a[1])
        net.p = nengo.Probe(net.a, synapse=0.01)
    return net


INPUTS = {
    "constant": 0.5,
    "function": lambda t: np.sin(9 * t),
    "process": nengo.processes.WhiteSignal(1.0, high=10, seed=1),
}


def make(name, dtype="float64", **kwargs):
    net = closed_loop() if name == "loop" else network(INPUTS[name], **kwargs)
    with net:
        nengo_dl.configure_settings(dtype=dtype)
    return net


# ---------------------------------------------------------------- what a step costs


def calls_of(step):
    """How many Python functions, and which functions of TensorFlow, are called in a step."""
    python, tensorflow = [], []

    def count(frame, event, function):
        if event == "call":
            python.append(frame.f_code.co_name)
        elif event == "c_call" and "tensorflow" in str(getattr(function, "__module__", "")):
            tensorflow.append(function.__name__)

    sys.setprofile(count)
    try:
        step()
    finally:
        sys.setprofile(None)
    return python, tensorflow


def test_calls_of_tensorflow_are_seen():
    variable = tf.Variable(1.0)
    assert calls_of(lambda: variable + 1.0)[1]


@pytest.mark.parametrize("name", [*INPUTS, "loop"])
def test_a_step_calls_no_tensorflow_and_little_python(Sim, name):
    with Sim(make(name, "float32")) as sim:
        sim.run_steps(2)
        sim.step()
        python, tensorflow = calls_of(sim.step)
        assert tensorflow == []
        assert len(python) <= MOST_CALLS, python
        assert calls_of(lambda: sim.run_steps(1, progress_bar=False))[1] == []
        assert calls_of(lambda: (sim.n_steps, sim.time))[1] == []


def test_a_function_of_a_node_is_called_without_python_around_it(Sim):
    with Sim(make("loop", "float32")) as sim:
        sim.run_steps(1)
        calls = {n: calls_of(lambda n=n: sim.run_steps(n))[0] for n in (10, 20)}
    # the function of the Node and the input Node's, and nothing else but the signal of white noise
    assert calls[20].count("<lambda>") - calls[10].count("<lambda>") == 20
    assert len(calls[20]) - len(calls[10]) == 20


# ---------------------------------------------------------------- the same as the whole run


@pytest.mark.parametrize("name", [*INPUTS, "loop"])
def test_steps_pieces_and_the_whole_are_equal(Sim, name):
    net, found = make(name), []
    for pieces in ([50], [1] * 50, [7, 1, 1, 30, 1, 10]):
        with Sim(net) as sim:
            for n in pieces:
                sim.step() if n == 1 else sim.run_steps(n)
            found.append([sim.data[net.p], sim.time, sim.n_steps])
    for other in found[1:]:
        for came, due in zip(other, found[0], strict=True):
            np.testing.assert_array_equal(came, due)
    with nengo.Simulator(net, progress_bar=False) as sim:
        sim.run_steps(50)
        np.testing.assert_allclose(found[0][0], sim.data[net.p], rtol=0, atol=1e-9)


def test_items_of_a_minibatch_are_single_runs(Sim):
    net = make("loop")
    with Sim(net, seed=5, minibatch_size=3) as sim:
        for _ in range(20):
            sim.step()
        batch = sim.data[net.p]
    for item in range(3):
        with Sim(net, seed=5 + item) as sim:
            sim.run_steps(20)
            np.testing.assert_array_equal(sim.data[net.p], batch[item])


# ---------------------------------------------------------------- all see the same state


def test_keras_and_files_see_the_state_of_steps(Sim, tmp_path):
    net = make("function", learning=False)
    with Sim(net) as sim, Sim(net) as whole:
        whole.run_steps(30)
        due = whole.data[net.p]
        for _ in range(10):
            sim.step()
        ahead = sim.predict(n_steps=10)[net.p][0]  # leaves the state as it is
        np.testing.assert_array_equal(ahead, due[10:20])
        np.testing.assert_array_equal(sim.predict(n_steps=10, stateful=True)[net.p][0], ahead)
        assert sim.n_steps == 20
        sim.step()
        np.testing.assert_array_equal(sim.data[net.p][-1], due[20])
        sim.save_params(tmp_path / "saved", include_state=True)
        after = [sim.step() or sim.data[net.p][-1] for _ in range(3)]
        sim.load_params(tmp_path / "saved", include_state=True)
        assert sim.n_steps == 21
        sim.clear_probes()
        sim.run_steps(3)
        np.testing.assert_array_equal(sim.data[net.p], after)
        np.testing.assert_array_equal(sim.data[net.p], due[21:24])


def test_assignments_between_steps(Sim):
    net = make("constant")
    with Sim(net) as sim:
        sim.run_steps(5)
        layer = sim.tensor_graph
        before = layer.get_state()
        weights = [variable.numpy() for variable in layer.weights]
        sim.run_steps(9)
        sim.step()
        first = sim.data[net.p][-1]
        layer.set_state(**before)
        assert sim.n_steps == 5
        for variable, value in zip(layer.weights, weights, strict=True):
            variable.assign(value)
        sim.run_steps(9)
        sim.step()
        np.testing.assert_array_equal(sim.data[net.p][-1], first)
        layer.set_state(**before)
        for variable, value in zip(layer.weights, weights, strict=True):
            variable.assign(0 * value)
        sim.run_steps(9)
        sim.step()
        assert not np.array_equal(sim.data[net.p][-1], first)


def test_training_between_steps(Sim):
    net = make("constant")
    with Sim(net) as sim:
        sim.compile(tf.keras.optimizers.SGD(0.1), loss={net.p: "mse"})
        sim.run_steps(5)
        state = sim.tensor_graph.get_state()
        sim.fit(n_steps=5, y={net.p: np.ones((1, 5, 1))}, verbose=0)
        for key, value in sim.tensor_graph.get_state().items():
            np.testing.assert_array_equal(value, state[key])
        trained = sim.tensor_graph.get_parameters()
        sim.step()
        ran = sim.data[net.p][-1]
    with Sim(net) as other:
        other.run_steps(5)
        other.tensor_graph.set_parameters(trained)
        other.step()
        np.testing.assert_array_equal(other.data[net.p][-1], ran)


def test_reset_and_runs_that_keep_nothing(Sim):
    net = make("process")
    with Sim(net) as sim:
        for _ in range(5):
            sim.step()
        first = sim.data[net.p].copy()
        sim.run_steps(1, stateful=False)
        assert sim.n_steps == 5
        sim.reset()
        for _ in range(5):
            sim.step()
        np.testing.assert_array_equal(sim.data[net.p], first)
    assert sim.n_steps == 5 and len(sim.data[net.p]) == 5  # closed


def test_data_between_nodes_own_values(Sim):
    """Rows that were made ahead are those of their steps, whoever had data in between."""
    net = make("function")
    node = net.nodes[0]
    with Sim(net) as sim:
        sim.run_steps(3)
        sim.run_steps(2, data={node: np.zeros((1, 2, 1))})
        sim.step()
        with Sim(net) as whole:
            values = np.sin(9 * 0.001 * np.arange(1, 7))
            values[3:5] = 0
            whole.run_steps(6, data={node: values[None, :, None]})
            np.testing.assert_array_equal(sim.data[net.p], whole.data[net.p])


# ---------------------------------------------------------------- functions of Nodes


VALUES = {
    "float": lambda t, x: float(x[0]) * 0.3,
    "integer": lambda t, x: 2,
    "large integer": lambda t, x: 2**60 + 1,
    "bool": lambda t, x: True,
    "float32": lambda t, x: np.float32(x[0]),
    "float64": lambda t, x: np.float64(x[0]) / 3,
    "list": lambda t, x: [x[0], 0.1],
    "list of integers": lambda t, x: [1, -3],
    "tuple": lambda t, x: (t, t / 3),
    "array": lambda t, x: x / 3,
    "the input": lambda t, x: x,
    "float32 array": lambda t, x: (x / 3).astype(np.float32),
    "integer array": lambda t, x: np.array([3, 4]),
    "strided array": lambda t, x: np.array([[t, 1.0], [2 * t, 1.0]])[:, 0],
    "one number": lambda t, x: np.array(0.25),
    "array of one": lambda t, x: np.array([t]),
    "row": lambda t, x: np.array([[t, 2.0]]),
    "changed input": lambda t, x: np.add(x, 1, out=x),
}
WRONG = {
    "none": lambda t, x: None,
    "nan": lambda t, x: np.nan,
    "infinite": lambda t, x: [0.0, np.inf],
    "nan in an array": lambda t, x: np.array([np.nan, 0.0]),
    "string": lambda t, x: "a",
    "three": lambda t, x: [1.0, 2.0, 3.0],
    "three in an array": lambda t, x: np.zeros(3),
    "object": lambda t, x: object(),
}


def function_net(function, dtype):
    with nengo.Network() as net:
        nengo_dl.configure_settings(dtype=dtype)
        source = nengo.Node(nengo.processes.WhiteNoise(seed=1), size_out=2)
        node = nengo.Node(function, size_in=2, size_out=2)
        nengo.Connection(source, node, synapse=0.01)
        net.p = nengo.Probe(node)
    return net


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", VALUES)
def test_values_are_taken_as_nengo_takes_them(Sim, name, dtype):
    net = function_net(VALUES[name], dtype)
    with Sim(net, seed=1) as sim:
        for _ in range(10):
            sim.step()
        found = sim.data[net.p]
    nengo.rc.set("precision", "bits", dtype[-2:])
    try:
        with nengo.Simulator(net, seed=1, progress_bar=False) as reference:
            reference.run_steps(10)
    finally:
        nengo.rc.set("precision", "bits", "64")
    exact = "integer" in name or name in ("bool", "one number")
    tolerance = {"float32": 1e-6, "float64": 1e-12}[dtype]
    np.testing.assert_allclose(found, reference.data[net.p], rtol=0 if exact else tolerance)


def clock_net(function):
    """A function of the time in a model that calls Python in every step."""
    with nengo.Network() as net:
        nengo_dl.configure_settings(dtype="float64")
        net.clock = nengo.Node(function, size_out=2)
        node = nengo.Node(lambda t, x: x + t, size_in=2)
        nengo.Connection(net.clock, node, synapse=None)
        net.p = nengo.Probe(node)
    return net


@pytest.mark.parametrize(
    "function",
    [
        lambda t: [t, 1.0],
        lambda t: t,
        lambda t: np.array([[t, 2 * t]]),
        lambda t: [3, t],
    ],
)
def test_functions_of_the_time_are_called_once_for_all_items(Sim, function):
    times = []
    net = clock_net(lambda t: times.append(t) or function(t))
    with Sim(net, minibatch_size=3) as sim:
        for _ in range(3):
            sim.step()
        sim.run_steps(2)
        found = sim.data[net.p]
        assert len(times) == 5
        data = np.random.RandomState(0).randn(3, 2, 2)
        sim.run_steps(2, data={net.clock: data})
        assert len(times) == 5
        np.testing.assert_allclose(sim.data[net.p][:, 5:], data + [[0.006] * 2, [0.007] * 2])
        sim.step()
        assert len(times) == 6
    with nengo.Simulator(net, progress_bar=False) as reference:
        reference.run_steps(5)
    for item in found:
        np.testing.assert_array_equal(item, reference.data[net.p])


@pytest.mark.parametrize("name", WRONG)
def test_wrong_values_name_the_node_and_leave_what_was_before(Sim, name):
    net = function_net(lambda t, x: x if t < 0.0035 else WRONG[name](t, x), "float64")
    with Sim(net, seed=1) as sim:
        for _ in range(3):
            sim.step()
        before = sim.tensor_graph.get_state()
        for _ in range(2):
            with pytest.raises(nengo.exceptions.SimulationError, match="expected 2 finite numbers"):
                sim.step()
        assert sim.n_steps == 3 and len(sim.data[net.p]) == 3
        for key, value in sim.tensor_graph.get_state().items():
            np.testing.assert_array_equal(value, before[key])


@pytest.mark.parametrize("value", [None, np.nan, [1.0, 2.0, 3.0], "a"])
def test_wrong_values_of_functions_of_the_time(Sim, value):
    net = clock_net(lambda t: [t, t] if t < 0.0025 else value)
    with Sim(net, minibatch_size=2) as sim:
        sim.run_steps(2)
        with pytest.raises(nengo.exceptions.SimulationError, match="expected 2 finite numbers"):
            sim.step()
        assert sim.n_steps == 2


def test_too_large_for_single_precision_is_what_nengo_makes_of_it(Sim):
    net = function_net(lambda t, x: 1e300, "float32")
    with Sim(net) as sim, np.errstate(over="ignore"):
        sim.step()
        assert np.isinf(sim.data[net.p]).all()


def test_what_a_function_keeps_stays(Sim):
    kept = []
    net = function_net(lambda t, x: kept.append((t, x, x.copy())) or x, "float64")
    with Sim(net) as sim:
        for _ in range(3):
            sim.step()
        sim.run_steps(3)
    assert [type(t) for t, *_ in kept] == [float] * 6
    for _, x, copy in kept:
        np.testing.assert_array_equal(x, copy)
        assert x.flags.writeable and x.flags.owndata


def test_errors_come_as_they_were_raised(Sim):
    class Mine(Exception):
        pass

    def function(t, x):
        if t > 0.0025:
            raise Mine("the third step")
        return x

    net = function_net(function, "float32")
    with Sim(net) as sim:
        sim.run_steps(2)
        with pytest.raises(nengo.exceptions.SimulationError, match="Mine: the third step") as found:
            sim.step()
        cause = found.value.__cause__
        assert isinstance(cause, Mine)
        assert traceback.extract_tb(cause.__traceback__)[-1].name == "function"
        with pytest.raises(nengo.exceptions.SimulationError):
            sim.predict(n_steps=3)
        assert sim.n_steps == 2


def test_invalid_operations_are_errors_in_every_way_to_run(Sim):
    net = function_net(lambda t, x: x * (np.float64(0) / np.float64(0)), "float64")
    with Sim(net) as sim:
        for run in (sim.step, lambda: sim.predict(n_steps=2), lambda: sim.run_steps(2)):
            with pytest.raises(nengo.exceptions.SimulationError, match="FloatingPointError"):
                run()
        assert np.geterr()["invalid"] == "warn"


def test_the_function_must_not_call_its_simulator(Sim):
    sims = []
    net = function_net(lambda t, x: sims[0].step() if t > 0.0025 else x, "float64")
    with Sim(net) as sim:
        sims.append(sim)
        sim.run_steps(2)
        with pytest.raises(nengo.exceptions.SimulationError, match="step|run_steps"):
            sim.step()
        assert sim.n_steps == 2
    sims.clear()
