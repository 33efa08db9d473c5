"""`.keras` files: the whole model, in a process that knows nothing of the network."""

import subprocess
import sys
import textwrap

import keras
import nengo
import numpy as np
import pytest
import tensorflow as tf
from nengo.exceptions import ValidationError

import nengo_dl
from nengo_dl.config import configure_settings

STEPS = 12


def network(**settings):
    """Two inputs, spikes, noise with a state, learned weights, two probes."""
    with nengo.Network(seed=0) as net:
        configure_settings(**settings)
        net.u, net.v = nengo.Node([0.5, 0.1], label="u"), nengo.Node([0.2], label="v")
        drawn = nengo.processes.WhiteSignal(0.1, high=50)
        net.a = nengo.Ensemble(30, 2, neuron_type=nengo.AdaptiveLIF(), noise=drawn)
        net.b = nengo.Ensemble(20, 1, noise=nengo.processes.WhiteNoise(seed=3))
        nengo.Connection(net.u, net.a, transform=[[0.9, 0.1], [0, 1]])
        conn = nengo.Connection(net.a, net.b, function=lambda x: x[0] * x[1],
                                learning_rule_type=nengo.PES(1e-4))  # fmt: skip
        nengo.Connection(net.v, conn.learning_rule)
        net.p = nengo.Probe(net.b, synapse=0.01, label="p")
        net.q = nengo.Probe(net.a.neurons, label="q")
    return net


def data(items, seed=0):
    """Values of both inputs and a target, and the steps."""
    rng = np.random.RandomState(seed)
    x = {"u": rng.randn(items, STEPS, 2), "v": rng.randn(items, STEPS, 1)}
    x["n_steps"] = np.full((items, 1), STEPS, np.int32)
    return x, {"p": rng.randn(items, STEPS, 1)}


def trained(Sim, **settings):
    sim = Sim(network(**settings), minibatch_size=2)
    x, y = data(6)
    sim.compile(keras.optimizers.Adam(1e-3), loss={"p": "mse"}, metrics={"p": ["mae"]})
    sim.fit({k: x[k] for k in "uv"}, y, epochs=2, verbose=0)
    return sim


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_saved_and_loaded(Sim, tmp_path, dtype):
    """S-69: equal bits from the loaded model, and equal training afterwards."""
    sim = trained(Sim, dtype=dtype)
    sim.keras_model.save(tmp_path / "m.keras")
    other = keras.models.load_model(tmp_path / "m.keras")
    x, y = data(2, seed=1)
    for mine, theirs in zip(sim.keras_model.weights, other.weights, strict=True):
        assert mine.name == theirs.name
        np.testing.assert_array_equal(mine.value, theirs.value)
    sim.reset(include_trainable=False)
    expected = sim.predict({k: x[k] for k in "uv"})
    found = other.predict(x, batch_size=2, verbose=0)
    assert set(found) == {"p", "q", "steps_run"}
    np.testing.assert_array_equal(found["p"], expected[sim.model.probes[0]])
    np.testing.assert_array_equal(found["q"], expected[sim.model.probes[1]])
    assert np.any(found["q"])
    x, y = data(6, seed=2)
    history = other.fit(x, y, batch_size=2, shuffle=False, verbose=0).history
    ours = sim.fit({k: x[k] for k in "uv"}, y, shuffle=False, verbose=0).history
    assert set(ours) <= set(history) and "p_mae" in ours
    for name, values in ours.items():
        np.testing.assert_allclose(history[name], values, rtol=1e-5)


def test_in_a_fresh_process(Sim, tmp_path):
    """It takes no more than an import of the package."""
    sim = trained(Sim)
    sim.keras_model.save(tmp_path / "m.keras")
    x, _ = data(2, seed=1)
    np.savez(tmp_path / "x.npz", **x)
    code = """
    import sys
    import nengo_dl
    import keras
    import numpy as np
    folder = sys.argv[1]
    model = keras.models.load_model(folder + "/m.keras")
    with np.load(folder + "/x.npz") as x:
        found = model.predict(dict(x), batch_size=2, verbose=0)
    np.savez(folder + "/y.npz", **found)
    """
    command = [sys.executable, "-c", textwrap.dedent(code), str(tmp_path)]
    subprocess.run(command, check=True)
    sim.reset(include_trainable=False)
    expected = sim.predict({k: x[k] for k in "uv"})
    with np.load(tmp_path / "y.npz") as found:
        np.testing.assert_array_equal(found["p"], expected[sim.model.probes[0]])


def test_clone_and_json(Sim):
    """`clone_model` and `to_json` give a model with the values that the network was built with."""
    sim = trained(Sim)
    x, _ = data(2)
    cloned = keras.models.clone_model(sim.keras_model)
    read = keras.models.model_from_json(sim.keras_model.to_json())
    sim.reset()
    expected = sim.predict({k: x[k] for k in "uv"})[sim.model.probes[0]]
    for model in (cloned, read):
        np.testing.assert_array_equal(model.predict(x, batch_size=2, verbose=0)["p"], expected)


def test_checkpoints_of_whole_models(Sim, tmp_path):
    """Keras' default way: a file that can be loaded after every epoch."""
    sim = Sim(network(), minibatch_size=2)
    sim.compile("sgd", loss={"p": "mse"})
    x, y = data(4)
    best = keras.callbacks.ModelCheckpoint(tmp_path / "best.keras", monitor="loss")
    sim.fit({k: x[k] for k in "uv"}, y, epochs=2, verbose=0, callbacks=[best])
    loaded = keras.models.load_model(tmp_path / "best.keras")
    for mine, theirs in zip(sim.keras_model.weights, loaded.weights, strict=True):
        np.testing.assert_array_equal(mine.value, theirs.value)


def test_python_is_refused_before_training(Sim, tmp_path):
    """With the name of the Node, and nothing has changed."""
    with nengo.Network(seed=0) as net:
        u = nengo.Node([0.0])
        node = nengo.Node(lambda t, x: x, size_in=1, label="home-made")
        out = nengo.Node(size_in=1)
        nengo.Connection(u, node)
        nengo.Connection(u, out, transform=2.0, synapse=None)
        nengo.Probe(node)
        nengo.Probe(out, label="out")
    sim = Sim(net)
    sim.compile("sgd", loss={"out": "mse"})
    before = [w.value.numpy() for w in sim.keras_model.weights]
    x = np.ones((3, 5, 1))
    whole = keras.callbacks.ModelCheckpoint(tmp_path / "best.keras", monitor="loss")
    with pytest.raises(ValidationError, match="home-made.*save_weights_only"):
        sim.fit(x, {"out": x}, verbose=0, callbacks=[whole])
    for weight, value in zip(sim.keras_model.weights, before, strict=True):
        np.testing.assert_array_equal(weight.value, value)
    with pytest.raises(ValidationError, match="home-made"):
        sim.keras_model.save(tmp_path / "m.keras")
    weights = keras.callbacks.ModelCheckpoint(
        tmp_path / "best.weights.h5", monitor="loss", save_weights_only=True
    )
    sim.fit(x, {"out": x}, verbose=0, callbacks=[weights])
    assert (tmp_path / "best.weights.h5").exists()


def test_saved_models(Sim, tmp_path):
    """TensorFlow runs what was exported, in a process that knows nothing but the ops."""
    with nengo.Network(seed=0) as net:
        given = nengo.Node([0.0])
        ensemble = nengo.Ensemble(10, 1)
        nengo.Connection(given, ensemble)
        nengo.Probe(ensemble, label="p")
    sim = Sim(net)
    x = np.linspace(-1, 1, 5, dtype=np.float32).reshape(1, 5, 1)
    due = sim.predict(x)[net.probes[0]]
    sim.keras_model.export(tmp_path / "folder", verbose=False)
    script = f"""
import numpy as np, tensorflow as tf
from nengo_dl.layer import tf_ops
tf_ops.load()
model = tf.saved_model.load({str(tmp_path / "folder")!r})
found = model.serve([tf.constant({x.tolist()}), tf.constant([[5]])])
np.save({str(tmp_path / "found.npy")!r}, found["p"].numpy())
"""
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)
    np.testing.assert_array_equal(np.load(tmp_path / "found.npy"), due)


def dense():
    return keras.layers.Dense(3)


def around(inner):
    """A model with a layer inside."""
    return keras.Sequential([keras.Input((3,)), inner, keras.layers.ReLU()])


def in_two_nodes():
    layer = dense()
    return layer, layer


def inside_the_first():
    layer = dense()
    return around(layer), layer


def inside_the_second():
    layer = dense()
    return layer, around(layer)


def inside_a_wrapper():
    layer = dense()
    return keras.layers.TimeDistributed(layer), layer


def without_weights():
    """No layer with weights in common, but one without."""
    relu = keras.layers.ReLU()
    first, second = (keras.Sequential([keras.Input((3,)), dense(), relu]) for _ in range(2))
    return first, second, relu


def network_of(layers):
    """Layers in a row."""
    with nengo.Network(seed=0) as net:
        before = nengo.Node([1.0, 2.0, 3.0], label="u")
        for layer in layers:
            shape = (2, 3) if isinstance(layers[0], keras.layers.TimeDistributed) else (3,)
            node = nengo_dl.TensorNode(layer, shape_in=shape, shape_out=shape, pass_time=False)
            nengo.Connection(before, node[:3] if len(shape) > 1 else node, synapse=None)
            before = node if len(shape) == 1 else node[3:]
        nengo.Probe(before, label="p")
    return net


SHARED = (in_two_nodes, inside_the_first, inside_the_second, inside_a_wrapper, without_weights)


@pytest.mark.parametrize("way", ["file", "clone", "json"])
@pytest.mark.parametrize("make", SHARED)
def test_layers_in_several_places(Sim, tmp_path, make, way):
    """N-06: the same layer object shares weights, after a file or a copy, too."""
    sim = Sim(network_of(make()))
    model, file = sim.keras_model, tmp_path / "m.keras"
    if way == "file":
        model.save(file)
        other = keras.models.load_model(file)
    elif way == "clone":
        other = keras.models.clone_model(model)
    else:
        other = keras.models.model_from_json(model.to_json())
    assert [w.shape for w in other.weights] == [w.shape for w in model.weights]
    other.set_weights([w + 0.1 for w in model.get_weights()])
    model.set_weights(other.get_weights())
    x = {"u": data(1)[0]["u"] @ np.ones((2, 3)), "n_steps": np.full((1, 1), STEPS, np.int32)}
    found, due = (m.predict(x, batch_size=1, verbose=0)["p"] for m in (other, model))
    assert np.any(due)
    np.testing.assert_array_equal(found, due)


@keras.saving.register_keras_serializable("nengo_dl_tests")
class Forgetful(keras.layers.Layer):
    """A layer with another one inside, of which its configuration says nothing."""

    def __init__(self, inner=None, **kwargs):
        super().__init__(**kwargs)
        self.inner = inner

    def get_config(self):
        return {"name": self.name}

    def call(self, x):
        return x if self.inner is None else self.inner(x)

    def compute_output_shape(self, shape):
        return shape


def test_layers_whose_places_cannot_be_said(Sim, tmp_path):
    """Refused when saved, and before training; weights can be saved."""
    layer = dense()
    for layers, message in (
        ((around(layer), around(layer)), "both have the layer 'dense.*written twice"),
        ((Forgetful(layer), layer), "has other layers within it"),
    ):
        sim = Sim(network_of(layers))
        for save in (
            sim.keras_model.to_json,
            lambda s=sim: s.keras_model.save(tmp_path / "m.keras"),
        ):
            with pytest.raises(ValidationError, match=message):
                save()
        sim.keras_model.save_weights(tmp_path / "m.weights.h5")
        sim.compile("sgd", loss={"p": "mse"})
        whole = keras.callbacks.ModelCheckpoint(tmp_path / "best.keras", monitor="loss")
        x = np.ones((1, STEPS, 3))
        with pytest.raises(ValidationError, match=message):
            sim.fit({"u": x}, {"p": x}, verbose=0, callbacks=[whole])


class Exported(tf.Module):
    """A function around a Keras model, as some save it: it shows TensorFlow the model."""

    def __init__(self, model):
        super().__init__()
        self.model = model


def test_graphs_that_call_python_are_not_exported(Sim, tmp_path):
    """They would look for the functions of another process; checkpoints have none of them."""
    with nengo.Network(seed=0) as net:
        node = nengo.Node(lambda t, x: x, size_in=1, label="home-made")
        nengo.Connection(nengo.Node([0.0]), node)
        nengo.Probe(node)
    model = Sim(net).keras_model
    for save in (
        lambda path: model.export(path),
        lambda path: tf.saved_model.save(model, path),
        lambda path: tf.saved_model.save(Exported(model), path),
    ):
        with pytest.raises(ValidationError, match="home-made.*save_weights"):
            save(tmp_path / "saved")
    assert not list(tmp_path.iterdir())
    tf.train.Checkpoint(model).save(tmp_path / "checkpoint")


def test_exported(Sim, tmp_path):
    """A graph without Python, TensorFlow's functions included, is exported as it is."""
    with nengo.Network(seed=0) as net:
        u = nengo.Node([0.5])
        twice = nengo_dl.TensorNode(lambda x: 2 * x, shape_in=(1,), pass_time=False)
        nengo.Connection(u, twice, synapse=None)
        nengo.Probe(twice, synapse=0.01)
    model = Sim(net).keras_model
    inputs = [np.ones((1, STEPS, 1), np.float32), np.full((1, 1), STEPS, np.int32)]
    model.export(tmp_path / "exported", verbose=False)
    loaded = tf.saved_model.load(tmp_path / "exported")
    came = loaded.serve([tf.constant(x) for x in inputs])
    expected = model(inputs)
    assert expected.keys() == came.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(came[name], value)
