"""What only training sees: losses of activities, low-rank factors, statistics, noise (K-19)."""

import keras
import pytest
from layer_cases import CASES, model_of, random_inputs, with_random_weights

from nengo_dl.converter import Converter

L = keras.layers
L2 = keras.regularizers.L2(0.5)
pytestmark = pytest.mark.filterwarnings("ignore:.*becomes a TensorNode", "ignore:.*has no neuron")

LAYERS = [
    pytest.param(cases[0], id=cls.__name__)
    for cls, cases in CASES.items()
    if issubclass(cls, L.Layer) and cls is not L.InputLayer
]


@pytest.mark.parametrize("case", LAYERS)
def test_regularised_layers_fall_back(case):
    """K-19: whatever layer it is, unless nothing is trained."""
    model = model_of(case)
    layer = model.layers[-1]
    layer.activity_regularizer = L2
    options = {**case.options, "inference_only": False}
    assert Converter(model, **options).report()[-1].status == "fallback"
    with pytest.raises(TypeError, match="allow_fallback=True makes a TensorNode"):
        Converter(model, allow_fallback=False, **options)
    options["inference_only"] = True
    assert Converter(model, allow_fallback=False, **options).report()[-1].status == "native"


def trained_as_in_keras(layer, shape, **options):
    """Whether a layer between two others is trained as in Keras; what became of it."""
    x = keras.Input(shape)
    y = L.Dense(4)(x)
    model = with_random_weights(keras.Model(x, L.Dense(2)(layer(y))))
    converter = Converter(model, **options)
    assert converter.verify(training=True, inputs=random_inputs(model), atol=1e-5, rtol=1e-4)
    return converter.report()[2].status


REGULARISED = {
    "Activation": lambda: L.Activation("relu", activity_regularizer=L2),
    "Identity": lambda: L.Identity(activity_regularizer=L2),
    "BatchNormalization": lambda: L.BatchNormalization(trainable=False, activity_regularizer=L2),
}
OF_STEPS = {
    "TimeDistributed": lambda: L.TimeDistributed(L.Dense(3), activity_regularizer=L2),
    "LSTM": lambda: L.LSTM(3, return_sequences=True, activity_regularizer=L2),
    "GRU": lambda: L.GRU(3, return_sequences=True, activity_regularizer=L2),
}


@pytest.mark.parametrize("make", REGULARISED.values(), ids=REGULARISED)
@pytest.mark.parametrize("temporal", [False, True])
def test_losses_of_activities(make, temporal):
    """K-19: they count, for all items and steps."""
    assert trained_as_in_keras(make(), (5, 4), temporal_model=temporal) == "fallback"


@pytest.mark.parametrize("make", OF_STEPS.values(), ids=OF_STEPS)
def test_losses_of_activities_of_steps(make):
    """K-19."""
    assert trained_as_in_keras(make(), (5, 4), temporal_model=True) == "fallback"


@pytest.mark.parametrize(
    "layer, status",
    [
        (lambda: L.Dense(3, activity_regularizer=L2), "native"),
        (lambda: L.Dense(3, activity_regularizer=L2, kernel_regularizer="l2"), "fallback"),
        (lambda: L.LayerNormalization(activity_regularizer=L2), "fallback"),
    ],
)
def test_losses_that_keras_leaves_out(layer, status):
    """K-15: within TimeDistributed layers."""
    found = trained_as_in_keras(L.TimeDistributed(layer()), (5, 4), temporal_model=True)
    assert found == status


@pytest.mark.parametrize("make", [lambda: L.Dense(3), lambda: L.Conv1D(3, 2)])
def test_low_rank_factors(make):
    """K-17: they are trained, and the kernel that they belong to is not."""
    x = keras.Input((5, 4))
    layer = make()
    model = keras.Model(x, layer(x))
    layer.enable_lora(2)
    with_random_weights(model)
    converter = Converter(model)
    assert converter.report()[-1].status == "fallback"
    assert converter.verify(training=True, inputs=random_inputs(model), atol=1e-5, rtol=1e-4)
    converter = Converter(model, inference_only=True)
    assert converter.report()[-1].status == "native"
    assert converter.verify(inputs=random_inputs(model), atol=1e-5)
