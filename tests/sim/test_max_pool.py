"""`nengo_dl.MaxPool`: one network for both simulators, values and gradients of TensorFlow."""

import copy
import pickle

import keras
import nengo
import numpy as np
import pytest
import tensorflow as tf
from nengo.exceptions import ValidationError

from nengo_dl import MaxPool, configure_settings

OPTIONS = [
    ((7, 3), {"pool_size": 2}),
    ((7, 3), {"pool_size": 3, "strides": 1, "padding": "same"}),
    ((6, 5, 4), {"pool_size": (2, 3)}),
    ((6, 5, 4), {"pool_size": 3, "strides": (2, 1), "padding": "same"}),
    ((6, 5, 4), {"pool_size": 2, "strides": 3, "padding": "same", "ties": "share"}),
    ((4, 6, 5), {"pool_size": 2, "padding": "same", "channels_last": False}),
    ((4, 5, 3, 2), {"pool_size": 2, "strides": 1}),
    ((4, 5, 3, 2), {"pool_size": (2, 3, 2), "padding": "same"}),
    ((2, 2, 3, 2, 2), {"pool_size": 2, "padding": "same"}),
]


def network(pool, x, dtype="float64"):
    """A Node with an image for each step, pooled."""
    with nengo.Network() as net:
        configure_settings(dtype=dtype)
        images = nengo.Node(nengo.processes.PresentInput(x, 0.001))
        node = nengo.Node(pool, size_in=pool.input_shape.size)
        nengo.Connection(images, node, synapse=None)
        probe = nengo.Probe(node)
    return net, images, probe


def random_images(pool, n=5, seed=0):
    """Values below zero: what is beyond the edges must not win."""
    return np.random.RandomState(seed).uniform(-2, -1, (n, pool.input_shape.size))


@pytest.mark.parametrize("shape, options", OPTIONS)
def test_both_simulators(shape, options, Sim):
    pool = MaxPool(shape, **options)
    x = random_images(pool)
    net, _, probe = network(pool, x)
    with nengo.Simulator(net, progress_bar=False) as sim:
        sim.run_steps(5)
        expected = sim.data[probe]
    assert expected.shape == (5, pool.output_shape.size)
    sim = Sim(net)
    sim.run_steps(5)
    np.testing.assert_array_equal(sim.data[probe], expected)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape, options", OPTIONS[:-1])
def test_equals_tensorflow(shape, options, dtype, Sim):
    if len(shape) == 4 and dtype == "float64":
        pytest.skip("TensorFlow has no three-dimensional pooling of this precision")
    pool = MaxPool(shape, **options)
    x = random_images(pool).astype(dtype)
    net, images, probe = network(pool, x, dtype)
    found = Sim(net, minibatch_size=5).predict({images: x[:, None]})[probe][:, 0]
    image = x.reshape(5, *shape)
    image = image if pool.channels_last else np.moveaxis(image, 1, -1)
    image, padding = tf.constant(image), pool.padding.upper()
    expected = tf.nn.max_pool(image, pool.pool_size, pool.strides, padding).numpy()
    expected = expected if pool.channels_last else np.moveaxis(expected, -1, 1)
    np.testing.assert_array_equal(found, expected.reshape(5, -1))


def test_the_plan(Sim):
    """It is an op of the engine: neither Python nor TensorFlow is called."""
    pool = MaxPool((6, 5, 4), 2)
    net, _, _ = network(pool, random_images(pool))
    plan = Sim(net).plan
    assert not plan.callbacks and not plan.calls
    program = plan.only_program()
    kinds = [op.kind for region in program.regions for op in region.ops]
    assert kinds.count("max_pool") == 1 and "callback" not in kinds
    assert "max_pool(" in str(plan)


def test_a_subclass_runs_in_python(Sim):
    """What it computes is not known."""

    class Twice(MaxPool):
        def __call__(self, t, x):
            return 2 * super().__call__(t, x)

    pool = Twice((4, 1), 2)
    x = random_images(pool, 3)
    net, _, probe = network(pool, x)
    sim = Sim(net)
    sim.run_steps(3)
    assert len(sim.plan.callbacks) == 1
    np.testing.assert_array_equal(sim.data[probe], 2 * x.reshape(3, 2, 2).max(axis=2))


def test_nan_is_not_lost(Sim):
    pool = MaxPool((6, 1), 2)
    x = np.array([[1.0, np.nan, np.nan, 2.0, 3.0, 4.0]])
    with nengo.Network() as net:
        images = nengo.Node(np.zeros(6))
        node = nengo.Node(pool, size_in=6)
        nengo.Connection(images, node, synapse=None)
        probe = nengo.Probe(node)
    found = Sim(net).predict({images: x[None]})[probe]
    np.testing.assert_array_equal(found, [[[np.nan, np.nan, 4.0]]])
    np.testing.assert_array_equal(pool(0.0, x[0]), found[0, 0])


@pytest.mark.parametrize("ties", ["first", "share"])
def test_gradients_of_equal_values(ties, Sim):
    """Those of TensorFlow's pooling, or of its reduction."""
    pool = MaxPool((4, 4, 2), 4, ties=ties)
    rng = np.random.RandomState(0)
    x = rng.randint(3, size=(6, 1, 32)).astype(np.float32)
    weights = rng.normal(size=(6, 1, 2)).astype(np.float32)
    net, _, _ = network(pool, x[0], "float32")
    keras_model = Sim(net, minibatch_size=6).keras_model
    rows = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(rows)
        out = keras_model([rows, tf.ones((6, 1), tf.int32)], training=True)["probe"]
        loss = tf.reduce_sum(out * weights)
    found = tape.gradient(loss, rows)
    with tf.GradientTape() as tape:
        tape.watch(rows)
        image = tf.reshape(rows, (6, 4, 4, 2))
        if ties == "first":
            out = tf.nn.max_pool(image, 4, 4, "VALID")
        else:
            out = tf.reduce_max(image, axis=(1, 2))
        loss = tf.reduce_sum(tf.reshape(out, (6, 1, 2)) * weights)
    expected = tape.gradient(loss, rows)
    assert np.count_nonzero(expected) == (12 if ties == "first" else np.sum(x == 2))
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_gradients_in_a_loop(Sim):
    """Outside of loops the differences of the contract tests tell."""
    pool = MaxPool((4, 3, 2), (2, 3), strides=(1, 2), padding="same", ties="share")
    with nengo.Network(seed=0) as net:
        configure_settings(dtype="float64")
        images = nengo.Node(np.zeros(24))
        node = nengo.Node(pool, size_in=24)
        nengo.Connection(images, node, synapse=None)
        nengo.Connection(node, node, transform=np.random.RandomState(0).randn(24, 16) / 4)
        nengo.Probe(node)
    sim = Sim(net, minibatch_size=2)
    assert any(region.kind == "loop" for region in sim.plan.only_program().regions)
    data = np.random.RandomState(1).normal(size=(2, 6, 24))
    sim.check_gradients([data], atol=1e-7, rtol=1e-6)


def test_training(Sim):
    """Filters before the maximum become those that the data was made with."""
    rng = np.random.RandomState(0)
    filters, due = rng.uniform(-1, 1, size=(2, 8, 4))
    pool = MaxPool((4, 2), 2)
    with nengo.Network(seed=0) as net:
        images = nengo.Node(np.zeros(4))
        node = nengo.Node(pool, size_in=8)
        conn = nengo.Connection(images, node, transform=filters, synapse=None)
        probe = nengo.Probe(node)
    x = rng.normal(size=(200, 1, 4))
    y = np.array([pool(0.0, due @ row) for row in x[:, 0]])[:, None]
    sim = Sim(net, minibatch_size=20)
    sim.compile(keras.optimizers.Adam(0.02), loss={probe: "mse"})
    losses = sim.fit({images: x}, {probe: y}, epochs=60, verbose=0).history["loss"]
    assert losses[-1] < 1e-3 * losses[0]
    assert np.abs(sim.data[conn].weights - filters).max() > 0.1


def test_pooled_spikes(Sim):
    """Most of a window is equal, where neurons spike."""
    pool = MaxPool((8, 8, 2), 2)
    with nengo.Network(seed=0) as net:
        a = nengo.Ensemble(128, 1, neuron_type=nengo.SpikingRectifiedLinear())
        node = nengo.Node(pool, size_in=128)
        nengo.Connection(a.neurons, node, synapse=None)
        spikes, pooled = nengo.Probe(a.neurons), nengo.Probe(node)
    sim = Sim(net)
    sim.run_steps(50)
    data = sim.data[spikes].reshape(50, 4, 2, 4, 2, 2)
    assert 0 < np.mean(data > 0) < 0.5
    np.testing.assert_array_equal(sim.data[pooled], data.max(axis=(2, 4)).reshape(50, -1))


def test_copies():
    pool = MaxPool((4, 6, 5), 2, strides=(1, 2), padding="same", channels_last=False, ties="share")
    for other in (copy.deepcopy(pool), pickle.loads(pickle.dumps(pool))):
        assert other == pool and other.native_op == pool.native_op
        x = random_images(pool)[0]
        np.testing.assert_array_equal(other(0.0, x), pool(0.0, x))
    assert pool != MaxPool((4, 6, 5), 2)
    assert pool.output_shape.shape == (4, 6, 3)


@pytest.mark.parametrize(
    "shape, options, message",
    [
        ((4,), {"pool_size": 2}, "expected 1 to 8 spatial dimensions"),
        ((1,) * 10, {"pool_size": 1}, "expected 1 to 8 spatial dimensions"),
        ((4, 4, 1), {"pool_size": (2, 2, 2)}, r"pool_size: expected one number, or 2"),
        ((4, 4, 1), {"pool_size": 2, "strides": (1,)}, r"strides: expected one number, or 2"),
        ((4, 4, 1), {"pool_size": 0}, "pool_size: Element 0 must be >= 1"),
        ((4, 4, 1), {"pool_size": 1.5}, "pool_size: Element 0 must be an int"),
        ((4, 2, 1), {"pool_size": 3}, "expected windows that fit into the image"),
        ((4, 4, 1), {"pool_size": 2, "padding": "full"}, "padding"),
        ((4, 4, 1), {"pool_size": 2, "ties": "last"}, "ties"),
    ],
)
def test_validation(shape, options, message):
    with pytest.raises(ValidationError, match=message):
        MaxPool(shape, **options)
