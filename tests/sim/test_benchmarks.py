"""Networks to measure simulators by, and their command line (SPEC M-07)."""

import keras
import nengo
import numpy as np
import pytest

from nengo_dl import benchmarks, config
from nengo_dl.benchmarks import __main__ as command_line
from nengo_dl.benchmarks import legendre

SMALL = {
    "cconv": {"dimensions": 4, "neurons_per_d": 10},
    "integrator": {"dimensions": 4, "neurons_per_d": 10},
    "pes": {"dimensions": 4, "neurons_per_d": 10},
    "basal_ganglia": {"dimensions": 4, "neurons_per_d": 10},
    "random_network": {
        "dimensions": 4,
        "neurons_per_d": 10,
        "n_ensembles": 3,
        "connections_per_ensemble": 2,
    },
}
# ensembles, nodes, connections and neurons, as in NengoDL
SIZES = {
    "cconv": (24, 14, 83, 120),
    "integrator": (4, 3, 10, 40),
    "pes": (1, 2, 4, 40),
    "basal_ganglia": (20, 18, 71, 200),
    "random_network": (3, 2, 12, 120),
}


@pytest.mark.parametrize("name", SMALL)
def test_networks(name, Sim, reference):
    """M-07: as large as NengoDL's, with inputs and a Probe by name; equal to Nengo."""
    net = getattr(benchmarks, name)(**SMALL[name], neuron_type=nengo.RectifiedLinear())
    assert (
        len(net.all_ensembles), len(net.all_nodes), len(net.all_connections), net.n_neurons
    ) == SIZES[name]  # fmt: skip
    inputs = [net.inp_a, net.inp_b] if name == "cconv" else [net.inp]
    assert all(node.size_in == 0 and node.size_out == 4 for node in inputs)
    assert {type(ens.neuron_type) for ens in net.all_ensembles} == {nengo.RectifiedLinear}
    with net:
        config.configure_settings(dtype="float64")
    sim = Sim(net)
    sim.run_steps(30)
    (expected,) = reference(net, [net.p], 30)
    assert np.allclose(sim.data[net.p], expected, atol=1e-9)


def test_pes_learns(Sim):
    """M-07: the error has the sign that Nengo's rule takes; NengoDL's network walked away."""
    net = benchmarks.pes(2, 50, nengo.LIF())
    sim = Sim(net)
    sim.run(1.0)
    assert np.allclose(np.mean(sim.data[net.p][-200:], axis=0), 1, atol=0.05)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_native_lmu(Sim, dtype):
    """M-07: 102,017 numbers are trained; one step's output is kept."""
    net = benchmarks.lmu(1000, 1, native_nengo=True, dtype=dtype)
    sim = Sim(net, minibatch_size=2)
    trained = sim.keras_model.trainable_weights
    assert sum(weight.shape.num_elements() for weight in trained) == 102017
    assert {weight.dtype for weight in trained} == {dtype}
    assert sim.predict(n_steps=5)[net.p].shape == (2, 1, 10)


def test_lmu_is_the_same_by_keras(Sim):
    """M-07: the layer and the network of Nengo objects compute the same, with the same weights."""
    theta, rng = 7, np.random.RandomState(0)
    cell = legendre.LMUCell(theta, dtype="float64")
    layer = keras.layers.RNN(cell, dtype="float64")
    layer.build((None, theta, 2))
    output = 10 * legendre.UNITS
    assert sum(np.prod(w.shape) for w in layer.trainable_weights) + output == 102017 + 213

    net = benchmarks.lmu(theta, 2, native_nengo=True, dtype="float64")
    with net:
        hidden = nengo.Probe(net.ensembles[0].neurons)
    values = {tuple(w.shape): 0.1 * rng.standard_normal(w.shape) for w in layer.trainable_weights}
    for weight in layer.trainable_weights:
        weight.assign(values[tuple(weight.shape)])
    for conn in net.connections:
        key = tuple(reversed(conn.transform.shape)) if hasattr(conn.transform, "shape") else ()
        if key in values:
            conn.transform = nengo.Dense((key[1], key[0]), init=values[key].T)
    x = rng.standard_normal((3, theta, 2))
    sim = Sim(net, minibatch_size=3)
    ours = sim.predict({net.inp: x})[hidden]
    assert np.allclose(ours[:, -1], layer(x), atol=1e-12) and np.std(ours) > 0.1


def test_delay():
    """M-07: the matrices of a delay: exactly held over a step, of the length that was asked for."""
    a, b = legendre.delay(6, 5)
    state, held = np.zeros((6, 1)), []
    for step in range(60):
        state = a @ state + b * np.sin(step / 5)
        held.append(np.sum(state))  # all polynomials are 1 at the end of the delay
    assert np.allclose(held[20:], np.sin((np.arange(20, 60) - 4.5) / 5), atol=0.01)


def test_lmu_in_a_layer(Sim):
    """M-07: the layer in a TensorNode has as many parameters, and one step for the sequence."""
    net = benchmarks.lmu(20, 1)
    sim = Sim(net, minibatch_size=2)
    trained = sim.keras_model.trainable_weights
    assert sum(weight.shape.num_elements() for weight in trained) == 102017
    assert sim.predict({net.inp: np.ones((2, 1, 20))})[net.p].shape == (2, 1, 10)


@pytest.mark.parametrize("use_tensor_layer", [True, False])
def test_mnist_is_trained(Sim, use_tensor_layer):
    """M-07: both forms learn."""
    net = benchmarks.mnist(use_tensor_layer)
    sim = Sim(net, minibatch_size=2)
    x = np.random.RandomState(0).uniform(size=(2, 1, 784))
    sim.compile(keras.optimizers.SGD(0.01), loss={net.p: "mse"})
    y = np.ones((2, 1, 10))
    before = sim.evaluate(x, y, verbose=0)["loss"]
    sim.fit(x, y, epochs=20, verbose=0)
    assert sim.evaluate(x, y, verbose=0)["loss"] < 0.7 * before  # nothing is dropped there


def test_mnist():
    """M-07: its layers, as objects of the network and in one."""
    net = benchmarks.mnist()
    assert [ens.n_neurons for ens in net.ensembles] == [21632, 18432, 128]
    assert len(net.nodes) == 7 and net.inp.size_out == 784 and net.p.size_in == 10
    net = benchmarks.mnist(use_tensor_layer=False)
    assert not net.ensembles and len(net.nodes) == 2 and net.p.size_in == 10


def test_spaun():
    """M-07: its package knows Nengo 2 only, which is said."""
    with pytest.raises(ImportError, match="expected Nengo 2, got Nengo 4"):
        benchmarks.spaun(2)


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("name", ["cconv", "lmu"])
def test_run_profile(name, train, capsys):
    """M-07: seconds; settings of the network follow."""
    if name == "lmu":
        net = benchmarks.lmu(5, 1, native_nengo=True)
    else:
        net = benchmarks.cconv(2, 5, nengo.RectifiedLinear())
    seconds = benchmarks.run_profile(
        net,
        train,
        n_steps=6,
        do_profile=False,
        reps=2,
        dtype="float64",
        minibatch_size=2,
        progress_bar=False,
    )
    assert 0 < seconds < 60
    assert config.get_setting(net, "inference_only") is not train
    assert config.get_setting(net, "dtype") == "float64"
    out = capsys.readouterr().out
    assert "Warmup time: " in out and f"Execution time: {seconds}" in out


def test_command_line(monkeypatch, tmp_path, capsys):
    """M-07: build and profile in a row; a profile lies in the present folder."""
    monkeypatch.chdir(tmp_path)
    build = "build --benchmark random_network --dimensions 2 --neurons_per_d 5 --neuron_type LIF"
    build += " --kwarg n_ensembles=2 --kwarg connections_per_ensemble=1"
    profile = "profile --n_steps 10 --batch_size 2 --unroll 5"
    command_line.main(f"{build} {profile} --time-only".split())
    assert "Execution time" in capsys.readouterr().out and not list(tmp_path.iterdir())
    command_line.main(f"{build} {profile} --train".split())
    assert [path.name for path in tmp_path.iterdir()] == ["profile"]
    assert list(tmp_path.rglob("*.xplane.pb"))


def test_command_line_errors(capsys):
    """M-07: a profile of nothing; unknown words."""
    with pytest.raises(ValueError, match="profile expected a network from the command build"):
        command_line.main(["profile"])
    for words in ([], ["build"], ["build", "--benchmark", "nope"], ["build", "--kwarg", "x"]):
        with pytest.raises(SystemExit):
            command_line.main(words)
    assert "random_network" in capsys.readouterr().err
