"""S-57: `sim.keras_model` starts from the simulator's state and leaves it, however it is used."""

import keras
import nengo
import numpy as np
import pytest
import tensorflow as tf
from training_nets import leaky

import nengo_dl

STEPS = 5


@pytest.fixture
def sim(Sim):
    """A simulator of two items that has run for a while."""
    net = leaky()
    sim = Sim(net, minibatch_size=2)
    sim.net = net
    sim.run_steps(7)
    return sim


def given(items=2):
    return [np.ones((items, STEPS, 1)), np.full((items, 1), STEPS, np.int32)]


def larger(sim):
    """A model of which that of the simulator is a part."""
    x = keras.Input(batch_shape=(2, STEPS, 1), dtype="float64")
    n_steps = keras.Input(batch_shape=(2, 1), dtype="int32")
    out = sim.keras_model([x, n_steps])["py"]
    return keras.Model([x, n_steps], keras.layers.Rescaling(1.0, dtype="float64")(out))


def called(sim):
    return sim.keras_model(given())["py"]


def traced(sim):
    return tf.function(sim.keras_model)(given())["py"]


def predicted(sim):
    return sim.keras_model.predict(given(4), batch_size=2, verbose=0)["py"][2:]


def predicted_on_batch(sim):
    return sim.keras_model.predict_on_batch(given())["py"]


def under_a_tape(sim):
    with tf.GradientTape() as tape:
        out = sim.keras_model(given(), training=True)["py"]
    assert all(g is not None for g in tape.gradient(out, sim.keras_model.trainable_variables))
    return out


def inside_a_larger_model(sim):
    model = larger(sim)
    model.predict(given(), batch_size=2, verbose=0)
    return model(given())


def trained(sim):
    """By the model's own methods; a learning rate of zero leaves the parameters."""
    y = {"py": np.zeros((4, STEPS, 1))}
    sim.compile(keras.optimizers.SGD(0.0), loss="mse")
    model = sim.keras_model
    model.fit(given(4), y, batch_size=2, epochs=2, validation_data=(given(4), y), verbose=0)
    model.evaluate(given(4), y, batch_size=2, verbose=0)
    model.train_on_batch(given(), {"py": y["py"][:2]})
    model.test_on_batch(given(), {"py": y["py"][:2]})
    return called(sim)


def trained_inside_a_larger_model(sim):
    model = larger(sim)
    model.compile(keras.optimizers.SGD(0.0), loss="mse")
    model.fit(given(4), np.zeros((4, STEPS, 1)), batch_size=2, verbose=0)
    return model(given())


USES = [
    called,
    traced,
    predicted,
    predicted_on_batch,
    under_a_tape,
    inside_a_larger_model,
    trained,
    trained_inside_a_larger_model,
]


@pytest.mark.parametrize("use", USES)
def test_starts_from_the_state_and_leaves_it(sim, use):
    before = sim.tensor_graph.get_state()
    due = sim.predict(np.ones((2, STEPS, 1)))[sim.net.py]
    for _ in range(2):
        np.testing.assert_allclose(np.array(use(sim)), due, rtol=1e-12)
    after = sim.tensor_graph.get_state()
    assert all(np.array_equal(before[key], after[key]) for key in before)
    assert sim.n_steps == 7
    sim.run_steps(STEPS)
    np.testing.assert_allclose(sim.data[sim.net.py][:, 7:], due, rtol=1e-12)
    moved = np.array(use(sim))
    np.testing.assert_allclose(moved, sim.predict(np.ones((2, STEPS, 1)))[sim.net.py], rtol=1e-12)
    assert np.all(moved > due)


@pytest.mark.parametrize("use", [called, predicted_on_batch, traced])
def test_keeps_the_state_if_told(sim, use):
    """Which calls of the simulator itself do not care about."""
    due = sim.predict(np.ones((4, STEPS, 1)), stateful=True)[sim.net.py]
    assert sim.n_steps == 7 + 2 * STEPS
    sim.reset()
    sim.run_steps(7)
    sim.tensor_graph.stateful = True
    for k in range(2):
        np.testing.assert_array_equal(
            sim.predict(np.ones((2, STEPS, 1)))[sim.net.py], due[2 * k : 2 * k + 2]
        )
        np.testing.assert_array_equal(np.array(use(sim)), due[2 * k : 2 * k + 2])
        assert sim.n_steps == 7 + (k + 1) * STEPS


def test_setting(Sim):
    """S-59: the setting reaches the Keras model: it keeps no state even in a stateful network."""
    net = leaky()
    with net:
        nengo_dl.configure_settings(stateful=False)
    sim = Sim(net, minibatch_size=2)
    first = np.array(called(sim))
    np.testing.assert_array_equal(np.array(called(sim)), first)
    np.testing.assert_array_equal(predicted(sim), first)
    assert sim.n_steps == 0 and not sim.tensor_graph.stateful


def test_from_callbacks_of_a_stateful_call(sim):
    """What a callback does with the Keras model is a use of its own."""
    due = sim.predict(np.ones((6, STEPS, 1)), stateful=True)[sim.net.py]
    sim.reset()
    sim.run_steps(7)
    y = {"py": np.zeros((6, STEPS, 1))}
    sim.compile(keras.optimizers.SGD(0.0), loss="mse")
    other = np.full((2, STEPS, 1), 3.0)
    expected = []

    class Use(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            before = sim.n_steps
            model, n_steps = sim.keras_model, given()[1]
            model.predict([other, n_steps], batch_size=2, verbose=0)
            loss = model.evaluate([other, n_steps], {"py": other}, batch_size=2, verbose=0)
            values = sim.predict(other)[sim.net.py]
            expected.append((np.ravel(loss)[0], np.mean((values - other) ** 2)))
            assert sim.n_steps == before

    validation = (np.ones((2, STEPS, 1)), {"py": np.zeros((2, STEPS, 1))})
    history = sim.fit(
        np.ones((6, STEPS, 1)), y, stateful=True, shuffle=False, verbose=0, callbacks=[Use()],
        validation_data=validation,
    ).history  # fmt: skip
    assert history["loss"][0] == pytest.approx(np.mean(due**2))
    ((loss, right),) = expected
    assert loss == pytest.approx(right)


def test_data_for_python_input_nodes(Sim):
    """The model takes the data that it is given, whatever ran before."""
    with nengo.Network() as net:
        clock = nengo.Node(lambda t: t)
        double = nengo.Node(lambda t, x: 2 * x, size_in=1)
        nengo.Connection(clock, double, synapse=None)
        p = nengo.Probe(double, label="p")
    sim = Sim(net)
    assert sim.plan.callbacks
    data = [np.full((1, 3, 1), 5.0), np.full((1, 1), 3, np.int32)]

    def values():
        return np.array(sim.keras_model(data)["p"]).ravel()

    assert np.array_equal(values(), [10, 10, 10])
    for run in (lambda: sim.run_steps(2), lambda: sim.predict(n_steps=2)):
        run()
        assert np.array_equal(values(), [10, 10, 10])
    look = keras.callbacks.LambdaCallback(on_predict_batch_end=lambda batch, logs: sim.run_steps(1))
    batches = tf.data.Dataset.from_tensors({"node": data[0], "n_steps": data[1]}).repeat(3)
    batches = batches.map(lambda x: {sim.get_name(clock): x["node"], "n_steps": x["n_steps"]})
    seen = sim.predict(batches, callbacks=[look])[p]
    assert np.array_equal(seen.ravel(), np.full(9, 10))
