"""Objects of legacy Keras (the package tf_keras), which is no Keras 3, are refused where given."""

import os
import subprocess
import sys

import keras
import nengo
import numpy as np
import pytest
import tensorflow as tf
from nengo.exceptions import ValidationError

import nengo_dl
from nengo_dl.keras_private import said_of_legacy


def legacy(name, module="tf_keras.src.engine"):
    """An object of a class that stands for one of legacy Keras, with a subclass of a user's."""
    base = type(name, (), {"__module__": module, "__call__": lambda self, *args: tf.zeros(())})
    return type(f"My{name}", (base,), {})()


def refused(what, name, package="tf_keras"):
    message = f"expected {what} of Keras 3 .* got My{name} of {package}, the legacy Keras"
    return pytest.raises(ValidationError, match=message)


@pytest.mark.parametrize("package", ["tf_keras", "tensorflow.python.keras"])
def test_layers(package):
    """Instances and classes, in a TensorNode or a Layer."""
    layer = legacy("Dense", f"{package}.layers")
    with nengo.Network():
        for given in (layer, type(layer)):
            with refused("a layer", "Dense", package):
                nengo_dl.Layer(given)
            with refused("a layer", "Dense", package):
                nengo_dl.TensorNode(given, shape_in=(1,), shape_out=(1,))


def test_models():
    with pytest.raises(TypeError, match="a model of Keras 3 .* got MyFunctional of tf_keras"):
        nengo_dl.Converter(legacy("Functional"))


def test_training(Sim):
    """Losses and metrics in lists and dicts, optimizers, callbacks."""
    with nengo.Network() as net:
        probe = nengo.Probe(nengo.Node([0.0]))
    sim, given = Sim(net), legacy("It")
    for what, arguments in {
        "an optimizer": {"optimizer": given},
        "a loss": {"loss": {probe: given}},
        "a metric": {"loss": "mse", "metrics": ["mae", given]},
    }.items():
        with refused(what, "It"):
            sim.compile(**arguments)
    sim.compile(loss="mse")
    with refused("a callback", "It"):
        sim.fit(n_steps=1, y=np.zeros((1, 1, 1)), callbacks=[keras.callbacks.History(), given])


def test_all_else_is_taken():
    """Keras 3, functions, and packages with a name that begins in the same way."""
    others = (
        keras.layers.Dense(1),
        keras.optimizers.Adam,
        keras.losses.get("mse"),
        len,
        None,
        "mse",
    )
    assert not any(said_of_legacy(other, "a layer") for other in others)
    assert said_of_legacy(legacy("Dense", "tf_keras_extras"), "a layer") is None


def test_tf_keras_itself():
    """With the package, where it is installed."""
    pytest.importorskip("tf_keras")
    script = (
        "import nengo, nengo_dl, tensorflow as tf\n"
        "with nengo.Network():\n"
        "    nengo_dl.Layer(tf.keras.layers.Dense(3))(nengo.Node([0.0]))\n"
    )
    env = {**os.environ, "TF_USE_LEGACY_KERAS": "1"}
    done = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True)
    assert "got Dense of tf_keras, the legacy Keras" in done.stderr
