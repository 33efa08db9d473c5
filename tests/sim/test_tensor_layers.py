"""Keras layers in models: their weights, modes and losses, and the gradients of all that."""

from functools import partial

import keras
import nengo
import numpy as np
import pytest
import tensorflow as tf

from nengo_dl import Layer, TensorNode
from nengo_dl.config import configure_settings

SIZE = 3
STEP = 2e-6  # of weights, for differences of fourth order


def network(*layers, dtype="float64", synapse=None, cycle=False, **settings):
    """Layers one after the other, on a cycle if asked for."""
    with nengo.Network(seed=0) as net:
        configure_settings(dtype=dtype, **settings)
        x = net.u = nengo.Node(np.zeros(SIZE), label="u")
        for layer in layers:
            x = Layer(layer)(x, synapse=synapse)
            if cycle:
                nengo.Connection(x, x, synapse=0.01, transform=0.5)
        net.p = nengo.Probe(x, label="p")
    return net


def data(items=4, steps=1, size=SIZE, seed=0):
    return np.random.RandomState(seed).uniform(-1, 1, (items, steps, size))


def loss_of(sim, x, y, training=True):
    """The loss of the Keras model: of its output, and of its layers."""
    model, tensors = sim.keras_model, [tf.constant(x), tf.fill((len(x), 1), x.shape[1])]
    with sim.tensor_graph.keeping(False):
        found = model(tensors, training=training)["p"]
    return tf.reduce_mean((found - y) ** 2) + tf.add_n([tf.zeros((), x.dtype), *model.losses])


def check_weights(sim, steps=3):
    """Derivatives of the loss by some of the weights' elements, against differences."""
    size = sim.minibatch_size
    x, y = data(size, steps), data(size, steps, int(sim.model.probes[0].size_in), seed=1)
    weights = sim.keras_model.trainable_weights
    kept = [(w, w.numpy()) for w in sim.keras_model.non_trainable_variables]

    def loss():
        for weight, value in kept:
            weight.assign(value)
        return loss_of(sim, x, y)

    with tf.GradientTape() as tape:
        value = loss()
    found = tape.gradient(value, [w.value for w in weights])
    for weight, gradient in zip(weights, found, strict=True):
        before = weight.numpy()
        direction = np.random.RandomState(2).standard_normal(before.shape)
        at = {}
        for k in (-2, -1, 1, 2):
            weight.assign(before + k * STEP * direction)
            at[k] = float(loss())
        weight.assign(before)
        due = (8 * (at[1] - at[-1]) - (at[2] - at[-2])) / (12 * STEP)
        got = 0.0 if gradient is None else float(np.sum(np.asarray(gradient) * direction))
        np.testing.assert_allclose(got, due, rtol=1e-6, atol=1e-9, err_msg=weight.path)
    return weights


class Tanh(keras.layers.Layer):
    """A matrix, and tanh; with a loss, if asked for."""

    def __init__(self, loss=0.0, **kwargs):
        super().__init__(**kwargs)
        self.loss = loss

    def build(self, shape):
        self.w = self.add_weight(shape=(shape[-1], shape[-1]))

    def call(self, x):
        y = keras.ops.tanh(x @ self.w)
        if self.loss:
            self.add_loss(self.loss * keras.ops.sum(y**2))
        return y

    def compute_output_shape(self, shape):
        return shape


class Timed(Tanh):
    """With the time."""

    def build(self, shapes):
        super().build(shapes[-1])

    def call(self, inputs):
        t, x = inputs
        return super().call(x * (1 + 100 * t))

    def compute_output_shape(self, shapes):
        return shapes[-1]


def dense(n=SIZE, **kwargs):
    return keras.layers.Dense(n, activation="tanh", **kwargs)


GRADIENTS = {
    "dense": lambda: network(dense(4), dense()),
    "filtered": lambda: network(dense(4), dense(), synapse=0.01),
    "batch normalisation": lambda: network(dense(4), keras.layers.BatchNormalization(), dense(2)),
    "regularised": lambda: network(dense(kernel_regularizer="l2", bias_regularizer="l2")),
    "activity": lambda: network(dense(4, activity_regularizer="l2"), dense()),
    "own loss": lambda: network(Tanh(0.3), dense(2)),
    "on a cycle": lambda: network(Tanh(), cycle=True),
    "own loss on a cycle": lambda: network(Tanh(0.3), cycle=True),
    "two on one cycle": lambda: two_on_one_cycle(),
    "time": lambda: timed(),
    "nested": lambda: network(keras.Sequential([dense(4), keras.Sequential([dense(2)])])),
    "shared": lambda: shared(dense()),
}


def two_on_one_cycle():
    with nengo.Network(seed=0) as net:
        configure_settings(dtype="float64")
        net.u = nengo.Node(np.zeros(SIZE), label="u")
        first, second = (TensorNode(Tanh(), shape_in=(SIZE,), pass_time=False) for _ in range(2))
        ens = nengo.Ensemble(20, SIZE, neuron_type=nengo.Tanh())
        nengo.Connection(net.u, first, synapse=None)
        nengo.Connection(first, second, synapse=None)
        nengo.Connection(second, ens, synapse=0.01)
        nengo.Connection(ens, first, synapse=None)
        net.p = nengo.Probe(second, label="p")
    return net


def timed():
    with nengo.Network(seed=0) as net:
        configure_settings(dtype="float64")
        net.u = nengo.Node(np.zeros(SIZE), label="u")
        node = TensorNode(Timed(), shape_in=(SIZE,))
        nengo.Connection(net.u, node, synapse=None)
        net.p = nengo.Probe(node, label="p")
    return net


def shared(layer):
    return network(layer, layer)


@pytest.mark.parametrize("name", GRADIENTS)
def test_gradients_of_weights(Sim, name):
    sim = Sim(GRADIENTS[name](), minibatch_size=2)
    # trials leave nothing behind: of a graph that is gone
    assert len(sim.keras_model.losses) == 2 * (name == "regularised")
    assert check_weights(sim)
    if "loss" not in name and name != "activity":
        sim.check_gradients(atol=1e-6)


def test_trains_as_keras_does(Sim):
    """N-06, S-47: the losses of plain Keras, with a regulariser and batch normalisation."""
    layers = [dense(8), keras.layers.BatchNormalization(), dense(2, kernel_regularizer="l2")]
    sim = Sim(network(*layers, dtype="float32"), minibatch_size=4)
    x, y = data(24), data(24, size=2, seed=1)
    made = [type(layer).from_config(layer.get_config()) for layer in layers]
    model = keras.Sequential([keras.Input((SIZE,)), *made])
    model.set_weights([w.numpy() for w in sim.keras_model.weights])
    sim.compile(keras.optimizers.SGD(0.1), loss="mse")
    losses = sim.fit(x, y, epochs=3, shuffle=False, verbose=0).history["loss"]
    model.compile(keras.optimizers.SGD(0.1), loss="mse")
    options = {"epochs": 3, "shuffle": False, "verbose": 0, "batch_size": 4}
    due = model.fit(x[:, 0], y[:, 0], **options).history["loss"]
    np.testing.assert_allclose(losses, due, rtol=1e-5)
    after = [w.numpy() for w in sim.keras_model.weights]
    for ours, theirs in zip(after, model.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)


def test_modes(Sim):
    """S-46: training in fit alone; validation, evaluate and predict are inference."""
    norm, drop = keras.layers.BatchNormalization(), keras.layers.Dropout(0.5, seed=0)
    sim = Sim(network(norm, drop), minibatch_size=4)
    mean = norm.moving_mean.numpy()
    x = data(8)
    sim.compile(keras.optimizers.SGD(0.0), loss="mse")
    inference = sim.predict(x)[sim.model.probes[0]]
    np.testing.assert_array_equal(sim.predict(x)[sim.model.probes[0]], inference)
    due = np.mean((inference - x) ** 2)
    np.testing.assert_allclose(sim.evaluate(x, x, verbose=0)["loss"], due, rtol=1e-6)
    sim.run_steps(2, data={sim.model.toplevel.u: np.ones((4, 2, SIZE))})
    np.testing.assert_array_equal(norm.moving_mean.numpy(), mean)
    found = sim.fit(x, x, validation_data=(x, x), verbose=0).history
    assert np.abs(norm.moving_mean.numpy() - mean).max() > 1e-5
    assert found["loss"][0] > 1.5 * found["val_loss"][0]


def test_pinned_modes(Sim):
    """C-11: whatever Keras says."""
    norm = keras.layers.BatchNormalization()
    sim = Sim(network(norm, learning_phase=True), minibatch_size=4)
    sim.predict(data(4))
    assert np.any(norm.moving_mean.numpy())
    norm = keras.layers.BatchNormalization()
    sim = Sim(network(norm, learning_phase=False), minibatch_size=4)
    sim.compile(keras.optimizers.SGD(0.1), loss="mse")
    sim.fit(data(4), data(4), verbose=0)
    assert not np.any(norm.moving_mean.numpy())


def test_inference_only(Sim):
    """C-05: also where all of the model is TensorFlow."""
    sim = Sim(network(dense(), inference_only=True), minibatch_size=4)
    assert not sim.plan.trains and list(sim.tensor_graph.called.calls[0].stepwise) == [False]
    sim.compile(keras.optimizers.SGD(0.1), loss="mse")
    with pytest.raises(nengo.exceptions.SimulationError, match="inference_only"):
        sim.fit(data(4), data(4), verbose=0)


def test_moving_averages_are_of_every_step(Sim):
    """N-06: once per step, as the original does."""
    norm = keras.layers.BatchNormalization(momentum=0.5)
    sim = Sim(network(norm), minibatch_size=4)
    sim.compile(keras.optimizers.SGD(0.0), loss="mse")
    x, mean = data(4, 3), np.zeros(SIZE)
    sim.fit(x, x, verbose=0)
    for step in range(3):
        mean = 0.5 * mean + 0.5 * x[:, step].mean(axis=0)
    np.testing.assert_allclose(norm.moving_mean.numpy(), mean, rtol=1e-6)


def test_weights_of_the_model(Sim):
    """T-10, N-06: by the names of nodes, the same in every process; trainable as the layer says."""
    fixed = dense(4)
    fixed.trainable = False
    net = network(fixed, keras.Sequential([dense(2), keras.layers.BatchNormalization()]))
    sim = Sim(net)
    assert len(sim.keras_model.weights) == 8 and len(sim.keras_model.trainable_weights) == 4
    names = list(sim.tensor_graph.called.weights)
    assert names[:3] == ["TensorNode_1.kernel", "TensorNode_1.bias", "TensorNode_2.kernel"]


def test_nothing_is_trainable_for_inference(Sim):
    """T-01, T-10: nor are the weights of layers, which another simulator may train."""
    layer = keras.Sequential([dense(2), keras.layers.BatchNormalization()])
    sim = Sim(network(layer, inference_only=True))
    read = keras.models.model_from_json(sim.keras_model.to_json())
    for model in (sim.keras_model, sim.tensor_graph, read):
        assert len(model.weights) == 6
        assert model.trainable_weights == model.trainable_variables == []
        assert model.non_trainable_weights == model.weights
        assert model.non_trainable_variables == model.variables
    assert layer.trainable and len(layer.trainable_weights) == 4
    assert len(Sim(network(layer)).keras_model.trainable_weights) == 4


def test_files(Sim, tmp_path):
    """S-64, S-65: save_params, save_weights and whole models have the layers' weights."""
    sim = Sim(network(dense(), keras.layers.BatchNormalization(), cycle=True))
    x = data(1, 3)
    due = sim.predict(x)[sim.model.probes[0]]
    sim.save_params(tmp_path / "params")
    sim.keras_model.save_weights(tmp_path / "x.weights.h5")
    sim.keras_model.save(tmp_path / "x.keras")
    checkpoint = tf.train.Checkpoint(model=sim.keras_model).save(tmp_path / "checkpoint")
    loaders = (
        lambda other: other.load_params(tmp_path / "params"),
        lambda other: other.keras_model.load_weights(tmp_path / "x.weights.h5"),
        lambda other: (
            tf.train.Checkpoint(model=other.keras_model)
            .restore(checkpoint)
            .assert_existing_objects_matched()
        ),
    )
    for load in loaders:
        other = Sim(network(dense(), keras.layers.BatchNormalization(), cycle=True))
        assert np.abs(other.predict(x)[other.model.probes[0]] - due).max() > 1e-3
        load(other)
        np.testing.assert_array_equal(other.predict(x)[other.model.probes[0]], due)
    model = keras.models.load_model(tmp_path / "x.keras")
    # which Keras hands its inputs in single precision
    found = model.predict({"u": x, "n_steps": np.full((1, 1), 3)}, verbose=0)["p"]
    np.testing.assert_allclose(found, due, rtol=1e-5, atol=1e-7)


class Doubled:
    """Is called as a function, but has no name."""

    def __call__(self, x):
        return 2 * x


@pytest.mark.parametrize(
    "func, name", [(tf.exp, "exp"), (partial(tf.pow, y=2), "partial"), (Doubled(), "Doubled")]
)
def test_functions_are_no_data(Sim, tmp_path, func, name):
    sim = Sim(network(func))
    with pytest.raises(nengo.exceptions.ValidationError, match=f"'{name}'.*save_weights_only"):
        sim.keras_model.save(tmp_path / "x.keras")


def test_reset(Sim):
    """S-61: parameters of layers go back to where they were when the simulator was made."""
    layer = dense()
    sim = Sim(network(layer), minibatch_size=4)
    before = [w.numpy() for w in layer.weights]
    sim.compile(keras.optimizers.SGD(0.1), loss="mse")
    sim.fit(data(4), data(4, seed=1), verbose=0)
    trained = [w.numpy() for w in layer.weights]
    assert np.abs(trained[0] - before[0]).max() > 1e-4
    sim.reset(include_trainable=False)
    np.testing.assert_array_equal(layer.weights[0].numpy(), trained[0])
    sim.reset()
    np.testing.assert_array_equal(layer.weights[0].numpy(), before[0])


def test_a_layer_in_two_places_shares_its_weights(Sim):
    """N-06: within a model, and from one simulator to the next."""
    layer = dense()
    sim = Sim(shared(layer))
    assert len(sim.keras_model.weights) == 2
    layer.kernel.assign(np.eye(SIZE))
    x = data(1)
    found = sim.predict(x)[sim.model.probes[0]]
    np.testing.assert_allclose(found, np.tanh(np.tanh(x)), rtol=1e-6)
    other = Sim(network(layer))
    np.testing.assert_allclose(other.predict(x)[other.model.probes[0]], np.tanh(x), rtol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_precision(Sim, dtype):
    """Layers that are not built yet are in the simulator's; others compute in their own."""
    new, built = dense(), dense()
    built.build((None, SIZE))
    Sim(network(new, built, dtype=dtype)).predict(data(1))
    assert (new.kernel.dtype, built.kernel.dtype) == (dtype, "float32")


def test_a_whole_keras_model(Sim):
    """N-06, D-08: with two inputs and outputs within, as a layer of a model."""
    u = keras.Input((SIZE,))
    hidden = keras.layers.Dense(5, activation="relu")(u)
    model = keras.Model(u, keras.layers.Concatenate()([hidden, u]))
    sim = Sim(network(model, dtype="float32"), minibatch_size=2)
    x = data(2, 4).astype(np.float32)
    due = model.predict(x.reshape(-1, SIZE), verbose=0).reshape(2, 4, -1)
    np.testing.assert_allclose(sim.predict(x)[sim.model.probes[0]], due, rtol=1e-5)


def test_names_of_other_objects(Sim, tmp_path):
    """A layer's weights never have the names of an Ensemble's parameters."""
    with nengo.Network(seed=0) as net:
        given = nengo.Node(np.ones(3))
        ensemble = nengo.Ensemble(5, 3, label="hidden")
        nengo.Connection(given, ensemble)
        dense = keras.layers.Dense(3)
        node = TensorNode(dense, shape_in=(3,), pass_time=False, label="hidden")
        nengo.Connection(ensemble, node)
    sim = Sim(net)
    assert list(sim.tensor_graph.called.weights) == ["hidden.kernel", "hidden.bias_1"]
    assert "hidden.bias" in sim.tensor_graph.weight_names
    sim.save_params(tmp_path / "params")
    before = dense.get_weights()
    dense.set_weights([0 * value for value in before])
    sim.load_params(tmp_path / "params")
    np.testing.assert_array_equal(dense.kernel, before[0])
