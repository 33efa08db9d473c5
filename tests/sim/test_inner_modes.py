"""The mode of training reaches layers within layers, and those that functions call."""

import keras
import nengo
import numpy as np
import pytest
import tensorflow as tf

import nengo_dl

ITEMS, STEPS, SIZE = 4, 5, 30
DATA = [np.ones((ITEMS, STEPS, SIZE), np.float32), np.full((ITEMS, 1), STEPS, np.int32)]


class Wrap(keras.layers.Layer):
    """A layer whose own ``call`` knows nothing of training."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def call(self, x):
        return self.inner(x)


def as_function(layer):
    return lambda x: layer(x)


def simulator(Sim, layer, **settings):
    with nengo.Network() as net:
        nengo_dl.configure_settings(**settings)
        given = nengo.Node(np.zeros(SIZE))
        nengo.Probe(nengo_dl.Layer(layer)(given), label="p")
    return Sim(net, minibatch_size=ITEMS)


@pytest.mark.parametrize("phase", [None, False, True])
@pytest.mark.parametrize("made", [lambda layer: layer, Wrap, as_function])
def test_dropout(Sim, made, phase):
    sim = simulator(Sim, made(keras.layers.Dropout(0.5)), learning_phase=phase)
    for training in (True, False, True):
        dropped = np.asarray(sim.keras_model(DATA, training=training)["p"]) == 0
        assert dropped.any() == (training if phase is None else phase)


def test_functions_run_eagerly(Sim):
    sim = simulator(Sim, as_function(keras.layers.Dropout(0.5)))
    sim.compile(keras.optimizers.SGD(0.0), loss="mse", run_eagerly=True)
    assert sim.fit(DATA[0], DATA[0], verbose=0).history["loss"][0] > 0.5
    assert sim.evaluate(DATA[0], DATA[0], verbose=0)["loss"] == 0


@pytest.mark.parametrize("phase", [None, False])
def test_normalisation(Sim, phase):
    """In training it is called in each step, wherever it is."""
    x = np.random.RandomState(0).normal(1, 1, DATA[0].shape)
    means = []
    for made in (lambda layer: layer, Wrap):
        layer = keras.layers.BatchNormalization(momentum=0.5)
        sim = simulator(Sim, made(layer), learning_phase=phase)
        sim.compile(keras.optimizers.SGD(0.0), loss="mse")
        sim.fit(x, x, verbose=0)
        means.append(np.asarray(layer.moving_mean))
    np.testing.assert_allclose(means[0], means[1], rtol=1e-6)
    steps = x.mean(axis=0).astype(np.float32)
    due = sum(steps[t] * 0.5 ** (STEPS - t) for t in range(STEPS))
    np.testing.assert_allclose(means[1], due if phase is None else 0, rtol=1e-4)


@pytest.mark.parametrize("cycle", [False, True])
def test_smaller_minibatches(Sim, cycle):
    """Layers train on the items that there are, as in Keras, and not on what fills them up."""
    x = np.random.RandomState(1).normal(1, 1, (6, 1, 3)).astype(np.float32)
    layer = keras.layers.BatchNormalization(momentum=0.0)
    regular = keras.layers.Activation("linear", activity_regularizer=keras.regularizers.L2(1.0))
    with nengo.Network() as net:
        given = nengo.Node(np.zeros(3))
        normed = nengo_dl.Layer(layer)(given)
        last = nengo_dl.Layer(regular)(normed)
        if cycle:
            nengo.Connection(last, normed, synapse=0, transform=0)
        nengo.Probe(last)
    sim = Sim(net, minibatch_size=4)
    sim.compile(keras.optimizers.SGD(0.0), loss="mse")
    data = tf.data.Dataset.from_tensor_slices(({"node": x, "n_steps": np.ones((6, 1), "int32")}, x))
    loss = sim.fit(data.batch(4), verbose=0).history["loss"][0]
    np.testing.assert_allclose(layer.moving_mean, x[4:].mean(axis=(0, 1)), rtol=1e-5)
    values = keras.Input((1, 3))
    normed = keras.layers.BatchNormalization(momentum=0.0)(values)
    model = keras.Model(
        values, keras.layers.Activation("linear", activity_regularizer="L2")(normed)
    )
    model.layers[-1].activity_regularizer = keras.regularizers.L2(1.0)
    model.compile(keras.optimizers.SGD(0.0), loss="mse")
    due = model.fit(x, x, batch_size=4, shuffle=False, verbose=0).history["loss"][0]
    assert loss == pytest.approx(due, rel=1e-5)


@pytest.mark.parametrize("phase", [True, False, None])
def test_learning_phase_trains_through_python(Sim, phase):
    """In any mode what Python functions gave is recorded; the numbers are NengoDL's."""
    with nengo.Network(seed=0) as net:
        nengo_dl.configure_settings(learning_phase=phase)
        a, b = nengo.Node([1.0]), nengo.Node(lambda t, x: x * 0.5 + t, size_in=1, size_out=1)
        out = nengo.Node(size_in=1)
        nengo.Connection(a, b, synapse=None)
        conn = nengo.Connection(b, out, transform=[[2.0]], synapse=None)
        net.py = nengo.Probe(out)
    sim = Sim(net, minibatch_size=2)
    sim.compile(keras.optimizers.SGD(0.1), loss="mse")
    history = sim.fit(y=np.zeros((2, 3, 1)), n_steps=3, epochs=2, verbose=0).history
    assert history["loss"] == pytest.approx([1.0080186, 0.9089692], rel=1e-6)
    assert sim.data[conn].weights == pytest.approx(1.8034768, rel=1e-6)
