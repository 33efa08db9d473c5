"""Simulators of different precision beside each other: Keras has one float type for all."""

import threading

import keras
import nengo
import numpy as np
import pytest

import nengo_dl


def network(dtype):
    with nengo.Network(seed=0) as net:
        nengo_dl.configure_settings(dtype=dtype)
        net.u = nengo.Node([0.5, -0.2])
        ens = nengo.Ensemble(30, 2, neuron_type=nengo.RectifiedLinear())
        nengo.Connection(net.u, ens, synapse=None)
        net.p = nengo.Probe(ens, synapse=0.01)
    return net


def train(dtype, start=None):
    """Losses of some epochs, on arrays and on a dataset, and values predicted afterwards."""
    net = network(dtype)
    rng = np.random.RandomState(1)
    x, y = rng.randn(8, 6, 2), rng.randn(8, 6, 2)
    with nengo_dl.Simulator(net, minibatch_size=4, progress_bar=False) as sim:
        schedule = keras.optimizers.schedules.ExponentialDecay(0.013, 7, 0.9)
        optimizer = keras.optimizers.Adam(schedule)
        sim.compile(optimizer, loss="mse", metrics=["mae"])
        if start is not None:
            start.wait()
        losses = []
        for _ in range(6):
            found = sim.fit({net.u: x}, {net.p: y}, epochs=2, verbose=0, shuffle=False).history
            losses += [found["loss"], found["probe_mae"]]
        return np.array(losses), sim.predict({net.u: x})[net.p]


@pytest.mark.parametrize("eagerly", [False, True])
def test_two_threads(eagerly, monkeypatch):
    """Each gets what it gets alone."""
    if eagerly:
        compiled = nengo_dl.Simulator.compile
        monkeypatch.setattr(
            nengo_dl.Simulator,
            "compile",
            lambda *args, **kwargs: compiled(*args, run_eagerly=True, **kwargs),
        )
    alone = {dtype: train(dtype) for dtype in ("float32", "float64")}
    start, found, threads = threading.Barrier(4), {}, []
    for k, dtype in enumerate(["float32", "float64"] * 2):
        thread = threading.Thread(
            target=lambda k=k, dtype=dtype: found.update({k: (dtype, train(dtype, start))})
        )
        threads.append(thread)
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    for dtype, (losses, outputs) in found.values():
        assert outputs.dtype == dtype
        np.testing.assert_array_equal(losses, alone[dtype][0])
        np.testing.assert_array_equal(outputs, alone[dtype][1])
    assert keras.config.floatx() == "float32"
    assert keras.config.dtype_policy().name == "float32"


def test_double_precision_is_double():
    """Arrays reach the model, and losses come back, with all their digits."""
    net = network("float64")
    x = 1 + np.random.RandomState(0).randn(4, 3, 2) * 1e-9
    with nengo_dl.Simulator(net, progress_bar=False) as sim:
        a, b = sim.predict({net.u: x})[net.p][:2, -1]
        assert a.dtype == np.float64 and 0 < np.abs(a - b).max() < 1e-8
        np.testing.assert_array_equal(sim.predict_on_batch({net.u: x[1:2]})[net.p][0, -1], b)
        sim.compile("sgd", loss="mse")
        loss = sim.evaluate({net.u: x}, {net.p: np.ones((4, 3, 2))}, verbose=0)["loss"]
        assert float(np.float32(loss)) != loss


def test_closing_in_another_order():
    floatx, policy = keras.config.floatx(), keras.config.dtype_policy().name
    a = nengo_dl.Simulator(network("float64"), progress_bar=False)
    b = nengo_dl.Simulator(network("float32"), progress_bar=False)
    c = nengo_dl.Simulator(network("float64"), progress_bar=False)
    a.__enter__()
    assert keras.layers.Dense(1).dtype == "float64"
    b.__enter__()
    assert keras.layers.Dense(1).dtype == "float32"
    c.__enter__()
    a.__exit__(None, None, None)
    assert keras.layers.Dense(1).dtype == "float64"
    c.__exit__(None, None, None)
    assert keras.layers.Dense(1).dtype == "float32"
    b.__exit__(None, None, None)
    assert keras.config.floatx() == floatx
    assert keras.config.dtype_policy().name == policy


def test_an_open_simulator_changes_nothing_for_other_threads():
    found = []
    with nengo_dl.Simulator(network("float64"), progress_bar=False):
        thread = threading.Thread(
            target=lambda: found.append((keras.config.floatx(), keras.layers.Dense(1).dtype))
        )
        thread.start()
        thread.join()
    assert found == [("float32", "float32")]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_float_type_inside_python_functions(Sim, dtype):
    """S-64: it is the simulator's in functions of the model, whatever runs them, and no longer."""
    seen = []

    def function(t, x=None):
        seen.append(keras.config.floatx())
        return 1.0

    class Watch(nengo.Process):
        def make_state(self, *args, **kwargs):
            return {}

        def make_step(self, shape_in, shape_out, dt, rng, state):
            return function

    with nengo.Network(seed=0) as net:
        nengo_dl.configure_settings(dtype=dtype)
        x = nengo.Node(function)
        nengo.Node(Watch(default_size_out=1))
        inner = nengo.Node(function, size_in=1)
        nengo.Connection(x, inner)
        nengo.Probe(inner, label="p")
    with nengo.Network(seed=0) as ahead:  # nothing is called while it runs
        nengo_dl.configure_settings(dtype=dtype)
        nengo.Probe(nengo.Node(function), label="p")
    y = np.zeros((1, 2, 1))
    for sim in (Sim(net), Sim(ahead)):
        sim.compile("sgd", loss="mse")
        for call in (
            lambda sim=sim: sim.run_steps(2),
            lambda sim=sim: sim.step(),
            lambda sim=sim: sim.predict(n_steps=2),
            lambda sim=sim: sim.predict_on_batch(n_steps=2),
            lambda sim=sim: sim.evaluate(y=y, n_steps=2, verbose=0),
        ):
            seen.clear()
            call()
            assert set(seen) == {dtype} and keras.config.floatx() == "float32"


def test_float_type_after_an_error(Sim):
    def fails(t):
        raise ZeroDivisionError("on purpose")

    with nengo.Network() as net:
        nengo_dl.configure_settings(dtype="float64")
        nengo.Probe(nengo.Node(fails, size_out=1))
    sim = Sim(net)
    for call in (lambda: sim.run_steps(2), lambda: sim.predict(n_steps=2)):
        with pytest.raises(nengo.exceptions.SimulationError, match="on purpose"):
            call()
        assert keras.config.floatx() == "float32"


@pytest.mark.parametrize(("dtype", "step"), [("float32", "int32"), ("float64", "int64")])
def test_signals_of_step_and_time(Sim, dtype, step):
    """In the precision of the simulator, as those of `nengo.Simulator` in Nengo's precision."""
    with nengo.Network() as net:
        nengo_dl.configure_settings(dtype=dtype)
        nengo.Probe(nengo.Node([1.0]))
    model = Sim(net).model
    assert (model.step.dtype, model.time.dtype) == (step, dtype)
    assert nengo.rc.get("precision", "bits") == "64"
