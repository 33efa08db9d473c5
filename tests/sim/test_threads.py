"""One simulator in several threads: calls run one after the other."""

import subprocess
import sys
import threading
import time
from pathlib import Path

import keras
import nengo
import numpy as np
import pytest
from nengo.exceptions import SimulationError, SimulatorClosed
from training_nets import leaky, linear, rows, weights

import nengo_dl
from nengo_dl.run import turns


def at_once(*calls):
    """Call functions in a thread each, all at the same time; returns results and errors."""
    start, found = threading.Barrier(len(calls)), [None] * len(calls)

    def run(place, call):
        start.wait()
        try:
            found[place] = call()
        except Exception as e:
            found[place] = e

    threads = [threading.Thread(target=run, args=pair) for pair in enumerate(calls)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    return found


def test_predict_in_many_threads(Sim):
    """Each gets what it would get alone, and the state does not move."""
    net = leaky()
    sim = Sim(net, minibatch_size=2)
    sim.run_steps(3)
    before = sim.tensor_graph.get_state()
    data = rows(48, 20, 1).reshape(24, 2, 20, 1)
    due = [sim.predict(x)[net.py] for x in data]

    def some(k):
        method = (sim.predict, sim.predict_on_batch)[k % 2]
        return [method(x)[net.py] for x in data[k::8]]

    for _ in range(3):
        found = at_once(*(lambda k=k: some(k) for k in range(8)))
        for k, values in enumerate(found):
            np.testing.assert_array_equal(values, due[k::8])
    after = sim.tensor_graph.get_state()
    assert all(np.array_equal(before[key], after[key]) for key in before)


def test_predict_beside_calls_that_keep_the_state(Sim):
    """A run or a stateful call in another thread is there before or after, never in between."""
    net = leaky()
    sim, other = Sim(net), Sim(net)
    x = rows(3, 10, 1)
    states = [other.predict(x)[net.py]]
    for _ in range(20):
        other.predict(x, stateful=True)
        states.append(other.predict(x)[net.py])

    def move():
        for _ in range(20):
            sim.predict(x, stateful=True)

    def look():
        return [sim.predict(x)[net.py] for _ in range(30)]

    _, *looks = at_once(move, look, look, look)
    for look in looks:
        for values in look:
            assert any(np.array_equal(values, state) for state in states)
    assert sim.n_steps == other.n_steps == 600


def test_runs_of_all_threads_are_recorded(Sim):
    net = leaky()
    sim, due = Sim(net), Sim(net)
    due.run_steps(400)
    looks = []

    def run():
        for _ in range(50):
            sim.run_steps(2)

    def look():
        while sim.n_steps < 400:
            looks.append(np.array(sim.data[net.py]))

    assert at_once(run, run, run, run, look) == [None] * 5
    np.testing.assert_array_equal(sim.data[net.py], due.data[net.py])
    for values in looks:
        np.testing.assert_array_equal(values.ravel(), due.data[net.py][: len(values)].ravel())


def test_training_and_predicting_at_once(Sim):
    """Parameters are those before or after a fit."""
    net = linear()
    sim = Sim(net, minibatch_size=2)
    sim.compile(keras.optimizers.SGD(0.1), loss={net.py: "mse"})
    x, y = rows(8), np.ones((8, 3, 1))
    before = sim.predict(x)[net.py]
    fitted = threading.Event()

    def train():
        sim.fit(x, y, epochs=20, shuffle=False, verbose=0)
        fitted.set()

    def look():
        values = []
        while not fitted.is_set():
            values.append(sim.predict(x)[net.py])
        return values

    _, looks = at_once(train, look)
    after = sim.predict(x)[net.py]
    assert not np.allclose(before, after)
    for values in looks:
        assert np.array_equal(values, before) or np.array_equal(values, after)
    alone = Sim(net, minibatch_size=2)
    alone.compile(keras.optimizers.SGD(0.1), loss={net.py: "mse"})
    alone.fit(x, y, epochs=20, shuffle=False, verbose=0)
    np.testing.assert_array_equal(weights(sim, net.w), weights(alone, net.w))


def test_closing_waits(Sim):
    """A call that runs is finished; one that waits meanwhile finds the simulator closed."""
    net = leaky()
    sim = Sim(net)
    x = rows(1, 4, 1)
    due = sim.predict(x)[net.py]
    running, closing = threading.Event(), threading.Event()

    class Slow(keras.callbacks.Callback):
        def on_predict_begin(self, logs=None):
            running.set()
            closing.wait(30)
            time.sleep(2)

    def close():
        running.wait(30)
        closing.set()
        sim.close()

    def late():
        closing.wait(30)
        time.sleep(1)  # until close() waits, too
        return sim.predict(x)[net.py]

    found = at_once(lambda: sim.predict(x, callbacks=[Slow()]), close, late)
    np.testing.assert_array_equal(found[0][net.py], due)
    assert found[1] is None
    if not isinstance(found[2], SimulatorClosed):  # on a busy machine it may have its turn before
        np.testing.assert_array_equal(found[2], due)


def test_waiting_long_is_said(Sim, monkeypatch):
    monkeypatch.setattr(turns, "LONG", 0.05)
    net = leaky()
    sim = Sim(net)
    running = threading.Event()

    class Slow(keras.callbacks.Callback):
        def on_predict_begin(self, logs=None):
            running.set()
            time.sleep(0.5)

    def wait():
        running.wait(30)
        with pytest.warns(UserWarning, match="run_steps has been waiting .* for predict"):
            sim.run_steps(1, progress_bar=False)

    found = at_once(lambda: sim.predict(n_steps=2, callbacks=[Slow()]), wait)
    assert found[1] is None and sim.n_steps == 1


def test_python_functions_must_not_call_their_simulator(Sim):
    """They would wait for the run that waits for them."""
    sims = []
    with nengo.Network() as net:
        ahead = nengo.Node(lambda t: call(t) if t > 0.0025 else t)
        node = nengo.Node(lambda t, x: call(x) if x > 2 else x, size_in=1)
        nengo.Connection(ahead, node, synapse=None)
        nengo.Probe(node)

    def call(_):
        assert sims[0].n_steps >= 0  # looking is free
        return sims[0].predict(n_steps=1)

    sims.append(Sim(net))
    (sim,) = sims
    for run in (
        lambda: sim.run_steps(5),
        lambda: sim.predict(n_steps=5),
        lambda: sim.predict_on_batch({ahead: np.full((1, 1, 1), 3.0)}, n_steps=1),
    ):
        with pytest.raises(SimulationError, match="was called by Python code of its own model"):
            run()
    sim.reset()
    sim.run_steps(2)
    assert sim.n_steps == 2


@pytest.mark.parametrize("method", ["fit", "evaluate", "predict", "own predict", "run_steps"])
def test_callbacks_must_not_close_their_simulator(Sim, method):
    """They may call what leaves something to go on with."""
    net = linear()
    sim = Sim(net)
    x, y = rows(2), {net.py: rows(2, size=1)}
    sim.compile("sgd", loss={net.py: "mse"})

    class Closes(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            sim.close()

        on_test_batch_end = on_predict_batch_end = on_train_batch_end

    class Bar(nengo.utils.progress.ProgressBar):
        def update(self, progress):
            sim.close()

        def close(self):
            pass

    kwargs = {"callbacks": [Closes()], "verbose": 0}
    inputs = [x, np.full((2, 1), 3, np.int32)]
    calls = {
        "fit": lambda: sim.fit(x, y, **kwargs),
        "evaluate": lambda: sim.evaluate(x, y, **kwargs),
        "predict": lambda: sim.predict(x, **kwargs),
        "own predict": lambda: sim.keras_model.predict(inputs, batch_size=1, **kwargs),
        "run_steps": lambda: sim.run_steps(5, progress_bar=Bar()),
    }
    with pytest.raises(SimulationError, match="close of a simulator .* runs that code"):
        calls[method]()
    assert not sim.closed
    sim.run_steps(2)
    sim.close()
    assert sim.closed


@pytest.mark.parametrize("form", ["generator", "PyDataset", "workers"])
def test_data_must_not_call_their_simulator(Sim, form):
    net = linear()
    sim = Sim(net, minibatch_size=2)
    sim.compile("sgd", loss={net.py: "mse"})

    def batch(asks):
        x = {"x": rows(2), "n_steps": np.full((2, 1), 3)}
        return x, {"py": sim.predict(rows(2))[net.py] if asks else np.ones((2, 3, 1))}

    class Batches(keras.utils.PyDataset):
        asks = False

        def __getitem__(self, index):
            return batch(self.asks and index == 1)

        def __len__(self):
            return 2

        def on_epoch_end(self):  # like a callback
            assert sim.predict(rows(2))[net.py].shape == (2, 3, 1)

    data = Batches(workers=3 if form == "workers" else 1)
    sim.fit((batch(False) for _ in range(2)) if form == "generator" else data, verbose=0)
    data.asks = True
    with pytest.raises(Exception, match="was called by Python code of its own model or data"):
        sim.fit((batch(k) for k in range(2)) if form == "generator" else data, verbose=0)
    assert sim.predict(rows(2))[net.py].shape == (2, 3, 1)


def test_one_keras_model(Sim):
    """It is made once, whichever thread asks first."""
    sim = Sim(leaky())
    first, *others = at_once(*(lambda: sim.keras_model for _ in range(4)))
    assert isinstance(first, keras.Model) and all(model is first for model in others)


def test_methods_of_the_keras_model(Sim):
    """Its own calls are calls of the simulator."""
    net = linear()
    sim = nengo_dl.Simulator(net, minibatch_size=2, progress_bar=False)
    with sim:
        sim.compile(keras.optimizers.SGD(0.0), loss={net.py: "mse"})
        x, y = rows(8), np.ones((8, 3, 1))
        inputs = {sim.get_name(net.x): x, "n_steps": np.full((8, 1), 3)}
        due = sim.keras_model.predict(inputs, batch_size=2, verbose=0)
        loss = sim.evaluate(x, y, verbose=0)["loss"]

        def fit():
            return sim.keras_model.fit(inputs, {"py": y}, batch_size=2, verbose=0).history["loss"]

        def predict():
            return sim.keras_model.predict(inputs, batch_size=2, verbose=0)

        def evaluate():
            return sim.evaluate(x, y, verbose=0)["loss"]

        fitted, predicted, evaluated = at_once(fit, predict, evaluate)
        assert fitted == pytest.approx([loss]) and evaluated == pytest.approx(loss)
        assert all(np.array_equal(predicted[name], due[name]) for name in due)


def test_interrupted_on_the_way_into_user_code(Sim):
    """Ctrl-C there must not let all later calls look as if they came from within."""

    class Own(nengo.Process):
        def make_step(self, shape_in, shape_out, dt, rng, state):
            return lambda t, x: x

    with nengo.Network() as net:
        node = nengo.Node(Own(default_size_in=1, default_size_out=1), size_in=1)
        nengo.Probe(node)
    sim = Sim(net)
    guard = sim._runtime.turns.user_code
    enter = type(guard).__enter__

    class Interrupted(type(guard)):
        def __enter__(self):
            enter(self)
            raise KeyboardInterrupt

    guard.__class__ = Interrupted
    with pytest.raises((KeyboardInterrupt, SimulationError)):
        sim.run_steps(2)
    guard.__class__ = Interrupted.__base__
    sim.run_steps(2)
    assert sim.n_steps == 2


@pytest.mark.slow
def test_the_process_ends_while_daemon_threads_work():
    """As where Keras works in them; tests/engine/test_end_of_python.py has the engine's."""
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, Path(__file__).with_name("daemon_threads.py")],
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0 and done.stdout.endswith("main ends\n"), done.stderr[-5000:]


def test_predict_leaves_keras_tree_alone(Sim, monkeypatch):
    """It lets go of the GIL in C++: Python aborts a process that ends meanwhile."""
    with nengo.Network() as net:
        probe = nengo.Probe(nengo.Node([1.0]))
    sim = Sim(net)
    sim.predict(n_steps=1)
    called = []
    flatten = keras.tree.flatten
    monkeypatch.setattr(keras.tree, "flatten", lambda *args: called.append(args) or flatten(*args))
    assert sim.predict(n_steps=3)[probe].shape == (1, 3, 1) and not called
    sim.predict(n_steps=3, callbacks=[keras.callbacks.Callback()])
    assert called
