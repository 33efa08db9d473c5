"""What `Converter.verify` takes for equal (K-27)."""

import keras
import numpy as np
import pytest

from nengo_dl.converter import Converter
from nengo_dl.converter.verify import _compare

L = keras.layers


def convolutions(seed):
    keras.utils.set_random_seed(seed)
    x = keras.Input((14, 14, 1))
    y = L.Conv2D(16, 3, activation="relu")(x)
    y = L.AveragePooling2D(2)(L.Conv2D(32, 3, activation="relu")(y))
    y = L.Dense(64, activation="relu")(L.Flatten()(y))
    return keras.Model(x, L.Dense(10)(y))


def random_inputs(seed):
    return [np.random.RandomState(seed).normal(size=(8, 14, 14, 1))]


@pytest.mark.parametrize("training", [False, True])
def test_right_networks_are_right(training):
    """K-27: sums in another order differ by some 1e-7 of the largest ones."""
    for seed in range(5):
        converter = Converter(convolutions(seed))
        assert converter.verify(training)
        assert converter.verify(training, inputs=random_inputs(seed))


@pytest.mark.parametrize("layer", [1, 2, 5, 6])
def test_weights_that_differ_by_one_percent(layer):
    model = convolutions(0)
    converter = Converter(model)
    kernel = model.layers[layer].kernel
    kernel.assign(1.01 * kernel)
    for inputs in (None, random_inputs(0)):
        with pytest.raises(ValueError, match="the network differs from the Keras model by up to"):
            converter.verify(inputs=inputs)


def test_one_of_few_weights():
    x = keras.Input((4,))
    model = keras.Model(x, L.Dense(3)(L.Dense(5, activation="tanh")(x)))
    rng = np.random.RandomState(0)
    for weight in model.weights:
        weight.assign(rng.uniform(0.2, 0.5, weight.shape) * rng.choice([-1, 1], weight.shape))
    converter = Converter(model)
    for layer in model.layers[1:]:
        before = layer.kernel.numpy()
        for i in range(before.size):
            kernel = before.copy()
            kernel.flat[i] *= 1.01
            layer.kernel.assign(kernel)
            with pytest.raises(ValueError, match="the network differs"):
                converter.verify()
        layer.kernel.assign(before)
    assert converter.verify()


def test_tolerances_that_are_given_mean_what_they_did():
    expected = np.array([[1.0, -200.0], [0.0, 3.0]], np.float32)
    for options, error in (((1e-3, 0), 5e-4), ((0, 1e-3), 0.1), ((None, 1e-5), 5e-3)):
        _compare("y", expected, expected + np.array([[0, error], [0, 0]]), *options)
        with pytest.raises(ValueError, match="by up to"):
            _compare("y", expected, expected + np.array([[0, 4 * error], [0, 0]]), *options)
    with pytest.raises(ValueError, match="by up to"):
        _compare("y", expected, expected + 1e-6, 1e-8, 1e-5)  # next to zero


@pytest.mark.filterwarnings("ignore:.*a TensorNode calls it")
@pytest.mark.parametrize("training", [False, True])
def test_layers_that_the_first_call_builds(training):
    """K-27: such as activation functions with weights."""
    x = keras.Input((4,))
    model = keras.Model(x, L.Dense(3, activation=L.PReLU("ones"))(x))
    assert len(model.weights) == 2
    assert Converter(model).verify(training)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_weights_of_low_precision(dtype):
    """K-05: of a type that NumPy doesn't have, say; the network has single precision."""
    x = keras.Input((5, 5, 1))
    y = L.Flatten()(L.Conv2D(4, 3, activation="relu", dtype=dtype)(x))
    model = keras.Model(x, L.Dense(2, dtype=dtype)(y))
    assert Converter(model, allow_fallback=False).verify(atol=0.05)


def test_outputs_of_zeros():
    zeros = np.zeros((2, 3), np.float32)
    _compare("y", zeros, zeros + 1e-9, None, 1e-5)
    with pytest.raises(ValueError, match="by up to"):
        _compare("y", zeros, zeros + 1e-7, None, 1e-5)
    with pytest.raises(ValueError, match="by up to"):
        _compare("y", zeros, zeros + np.nan, None, 1e-5)
