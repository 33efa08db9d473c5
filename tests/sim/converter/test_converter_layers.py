"""Every layer that has a converter computes what it does in Keras (K-01 to K-15)."""

import warnings

import numpy as np
import pytest
from layer_cases import CASES, MAXIMA, case, model_of, random_inputs

import nengo_dl
from nengo_dl.converter import LayerConverter

ALL = [
    pytest.param(case, id=f"{cls.__name__}-{i}")
    for cls, cases in CASES.items()
    for i, case in enumerate(cases)
]
FIRST = [pytest.param(cases[0], id=cls.__name__) for cls, cases in CASES.items() if cases[0].single]


def converted(model, **options):
    """Convert a model without any warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        return nengo_dl.Converter(model, allow_fallback=False, **options)


def test_every_registered_layer_has_a_case():
    registered = {cls for cls in nengo_dl.Converter.converters if cls is not None}
    assert len(registered) > 40
    assert registered == {*CASES}
    for converter in nengo_dl.Converter.converters.values():
        assert issubclass(converter, LayerConverter)


@pytest.mark.parametrize("layer", ALL)
def test_functional(layer):
    """K-04, K-05, K-07, K-08, K-09, K-10, K-11, K-12, K-13, K-14."""
    model = model_of(layer)
    converter = converted(model, **layer.options)
    assert converter.verify(inputs=random_inputs(model), atol=1e-5)
    assert [entry.status for entry in converter.report()] == ["native"] * len(converter.report())


@pytest.mark.parametrize("layer", FIRST)
def test_sequential(layer):
    """K-02: layers of a Sequential model are found, too."""
    model = model_of(layer, sequential=True)
    converter = converted(model, **layer.options)
    assert converter.verify(inputs=random_inputs(model), atol=1e-5)
    assert model.layers[-1] in converter.layers
    assert converter.model.inputs[0] is model.inputs[0]


@pytest.mark.parametrize("cls", [cls for cls in CASES], ids=lambda cls: cls.__name__)
def test_the_case_has_the_layer(cls):
    for layer in CASES[cls]:
        assert cls in {type(operation) for operation in model_of(layer).operations}


TRAINED = [
    pytest.param(cases[0], id=cls.__name__)
    for cls, cases in CASES.items()
    if "inference_only" not in cases[0].options
]


@pytest.mark.parametrize("layer", TRAINED)
def test_training(layer):
    """K-27: as many parameters, and the same output after three steps of SGD."""
    model = model_of(layer, dense_before=True)
    before = model.get_weights()
    converter = converted(model, **layer.options)
    assert converter.verify(training=True, inputs=random_inputs(model), atol=1e-5, rtol=1e-4)
    for weight, value in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, value)


@pytest.mark.parametrize("cls", MAXIMA, ids=lambda cls: cls.__name__)
def test_averages_of_maxima(cls):
    """K-08: averages, if they are asked for."""
    maximum, average, shape = MAXIMA[cls]
    model = model_of(case(maximum, shape))
    assert type(model.layers[-1]) is cls
    converter = converted(model, max_to_avg_pool=True)
    assert converter.report()[-1].status == "approximate"
    inputs = random_inputs(model)
    with pytest.raises(ValueError, match="the network differs from the Keras model"):
        converter.verify(inputs=inputs)
    other = model_of(case(average, shape))
    with nengo_dl.Simulator(converter.net, minibatch_size=3, progress_bar=False) as sim:
        found = sim.predict(inputs[0].reshape(3, 1, -1))[converter.outputs[model.output]]
    np.testing.assert_allclose(
        found, other.predict(inputs[0], verbose=0).reshape(3, 1, -1), atol=1e-5
    )
