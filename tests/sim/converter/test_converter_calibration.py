"""Scales by which spiking neurons fire as often as asked: ``scale_firing_rates="calibrate"``."""

import keras
import nengo
import numpy as np
import pytest
import tensorflow as tf
from layer_cases import random_inputs

import nengo_dl
from nengo_dl.converter import Converter

L = keras.layers
RELU, ELU = keras.activations.relu, keras.activations.elu
SPIKES = nengo.SpikingRectifiedLinear()
SPIKING = {RELU: SPIKES}


@pytest.fixture
def model():
    keras.utils.set_random_seed(0)
    x = keras.Input((6, 6, 1))
    inner = keras.Sequential([keras.Input((48,)), L.Dense(20, activation="relu")])
    y = L.Conv2D(3, 3, activation="relu")(x)
    return keras.Model(x, L.Dense(3)(inner(L.Flatten()(y))))


@pytest.fixture
def data(model):
    return random_inputs(model, items=64)[0]


def neuron_layers(model):
    return [model.layers[1], model.layers[3].layers[0]]


def mean_rates(converter, data, steps):
    """Mean firing rate of each ensemble, in Hz, and the mean output, in the last half of the steps.

    Until then synapses have settled, without which single spikes, and not rates, are rectified.
    """
    with converter.net:
        ensembles = [neurons[0].ensemble for neurons in converter.neurons.values()]
        probes = [nengo.Probe(ens.neurons) for ens in ensembles]
    (node,), (out,) = converter.inputs.values(), converter.outputs.values()
    x = np.tile(data.reshape(len(data), 1, -1), (1, steps, 1))
    with nengo_dl.Simulator(converter.net, minibatch_size=len(data), progress_bar=False) as sim:
        found = sim.predict({node: x})
    amplitudes = [ens.neuron_type.amplitude for ens in ensembles]
    rates = [found[p][:, steps // 2 :].mean() / a for p, a in zip(probes, amplitudes, strict=True)]
    return rates, found[out][:, steps // 2 :].mean(axis=1)


@pytest.mark.parametrize("by_layer", [False, True])
def test_rates_are_as_asked(model, data, by_layer):
    first, second = neuron_layers(model)
    asked = {first: 40, second: 80} if by_layer else 60
    converter = Converter(
        model,
        swap_activations=SPIKING,
        scale_firing_rates="calibrate",
        calibration_data=data,
        target_rates=asked,
        synapse=0.02,
    )
    rates, output = mean_rates(converter, data, steps=400)
    np.testing.assert_allclose(rates, [40, 80] if by_layer else [60, 60], rtol=0.1)
    expected = model.predict(data, verbose=0)
    assert np.abs(output - expected).max() < 0.1 * np.ptp(expected)
    notes = [entry.why for entry in converter.report() if "Hz" in entry.why]
    assert len(notes) == 2 and notes[0].startswith("SpikingRectifiedLinear stands for relu; ")
    assert f"{40 if by_layer else 60} Hz in the mean" in notes[0]


def test_only_some_layers(model, data):
    first, second = neuron_layers(model)
    converter = Converter(
        model,
        scale_firing_rates="calibrate",
        calibration_data=[data[:5]],
        target_rates={second: 30},
    )
    assert converter.scale_of(first) == 1 and converter.scale_of(second) != 1
    assert converter.verify(inputs=[data[:5]], atol=1e-5)


def test_neurons_with_a_nonlinear_rate(model, data):
    with pytest.warns(UserWarning, match="rate of LIF is not proportional to its input"):
        converter = Converter(
            model,
            swap_activations={keras.activations.relu: nengo.LIF()},
            scale_firing_rates="calibrate",
            calibration_data=data,
        )
    assert any("not proportional" in entry.why for entry in converter.report())


def test_regular_spiking_of_a_linear_type(model, data, recwarn):
    spiking = nengo.RegularSpiking(nengo.RectifiedLinear())
    converter = Converter(
        model,
        swap_activations={keras.activations.relu: spiking},
        scale_firing_rates="calibrate",
        calibration_data=data,
    )
    assert not [w for w in recwarn if "proportional" in str(w.message)]
    assert len(converter.net.ensembles) == 1


def test_silent_layers(model, data):
    model.layers[1].bias.assign([-100, -100, -100])
    with pytest.warns(UserWarning, match="is silent for all of the calibration data"):
        converter = Converter(model, scale_firing_rates="calibrate", calibration_data=data)
    assert converter.scale_of(model.layers[1]) == 1


def test_what_is_asked_for_has_to_be_complete(model, data):
    with pytest.raises(ValueError, match="expected a number, .* got 'calibrate' without data"):
        Converter(model, scale_firing_rates="calibrate")
    with pytest.raises(ValueError, match="got 'automatic' with data"):
        Converter(model, scale_firing_rates="automatic", calibration_data=data)
    with pytest.raises(ValueError, match="calibration_data: expected 1 arrays"):
        Converter(model, scale_firing_rates="calibrate", calibration_data=[data, data])


def test_all_items_count(model):
    """Those that are left behind the last whole minibatch, too."""
    data = np.random.RandomState(0).uniform(0, 1, (40, *model.inputs[0].shape[1:]))
    few = data.copy()
    few[32:] *= 100
    scales = [
        Converter(model, scale_firing_rates="calibrate", calibration_data=d, target_rates=100)
        for d in (data, few)
    ]
    ratios = [a.scale_of(model.layers[1]) / b.scale_of(model.layers[1]) for a, b in [scales]]
    assert ratios[0] > 5


@pytest.mark.parametrize("scale", [0, -5.0, np.inf, "1"])
def test_scales_are_above_zero(model, scale):
    scales = {model.layers[1]: scale}
    with pytest.raises(
        ValueError, match="scale_firing_rates of layer .*: expected a number above 0"
    ):
        Converter(model, scale_firing_rates=scales)


def test_digits():
    """A convolutional network, trained in Keras, is as good with spikes, at less than 200 Hz."""
    datasets = pytest.importorskip("sklearn.datasets")
    keras.utils.set_random_seed(0)
    images, classes = datasets.load_digits(return_X_y=True)
    order = np.random.RandomState(0).permutation(len(images))
    images, classes = images[order].reshape(-1, 8, 8, 1) / 16, classes[order]
    model = keras.Sequential([keras.Input((8, 8, 1)), L.Conv2D(16, 3, activation="relu")])
    model.add(L.Conv2D(24, 3, strides=2, activation="relu"))
    for layer in (L.Flatten(), L.Dense(10)):
        model.add(layer)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.003), loss=loss)
    model.fit(images[:1400], classes[:1400], batch_size=50, epochs=12, verbose=0)
    test, labels = images[1400:], classes[1400:]
    converter = Converter(
        model,
        swap_activations=SPIKING,
        scale_firing_rates="calibrate",
        calibration_data=images[:320],
        target_rates=100,
        synapse=0.01,
        inference_only=True,
    )
    rates, output = mean_rates(converter, test, steps=100)
    of_rates = np.mean(model.predict(test, verbose=0).argmax(axis=1) == labels)
    of_spikes = np.mean(output.argmax(axis=1) == labels)
    assert of_rates > 0.95 and abs(of_rates - of_spikes) <= 0.01
    assert max(rates) < 200 and min(rates) > 80


@pytest.mark.parametrize("by_rates", [False, True])
def test_keys_without_effect(model, data, by_rates):
    """K-22: a name, a layer of another model, a layer without neurons."""
    first, second = neuron_layers(model)
    keys = [first.name, L.Dense(3), model.layers[-1]]
    name = "target_rates" if by_rates else "scale_firing_rates"
    options = {"scale_firing_rates": "calibrate", "calibration_data": data} if by_rates else {}
    for key, got in zip(keys, ["the name '.*'", "<Dense .*>", "<Dense .*>"], strict=True):
        text = (
            rf"{name}: expected as keys layers .* that have neurons \({first.name}, {second.name}"
        )
        with pytest.warns(UserWarning, match=text + rf"\), got {got}: no effect"):
            Converter(model, **{**options, name: {key: 50, first: 50}})


def test_keys_with_an_effect(model, data, recwarn):
    layers = neuron_layers(model)
    scales = dict.fromkeys(layers, 50)
    Converter(model, scale_firing_rates=scales)
    calibrate = {"scale_firing_rates": "calibrate", "calibration_data": data}
    Converter(model, target_rates=scales, **calibrate)
    swaps = {keras.activations.relu: keras.activations.linear}  # no neurons are left
    Converter(model, swap_activations=swaps, **calibrate)
    assert not [w for w in recwarn if "keys" in str(w.message)]


@pytest.mark.parametrize("bad, text", [(np.nan, "NaN"), (np.inf, "infinite ones")])
def test_data_that_is_no_number(model, data, bad, text):
    data[3, 2, 1, 0] = bad
    with pytest.raises(ValueError, match=f"calibration_data of '.*': expected numbers, got {text}"):
        Converter(model, scale_firing_rates="calibrate", calibration_data=data)


def test_activities_that_are_no_numbers(model, data):
    with pytest.warns(UserWarning, match="gives (inf|nan) for all of the calibration data"):
        Converter(model, scale_firing_rates="calibrate", calibration_data=data * 1e38)


def test_data_that_is_not_used(model, data):
    with pytest.warns(UserWarning, match='expected it with scale_firing_rates="calibrate", got 5'):
        Converter(model, scale_firing_rates=5, calibration_data=data)


SWAPS = {
    "without neurons of its own": {ELU: SPIKES},
    "amplitude": {ELU: nengo.SpikingRectifiedLinear(amplitude=0.25)},
    "leaky": {ELU: nengo_dl.SpikingLeakyReLU(negative_slope=0.5)},
    "regular": {ELU: nengo.RegularSpiking(nengo.RectifiedLinear(), amplitude=0.5)},
    "swapped twice": {ELU: RELU, nengo.RectifiedLinear(): SPIKES},
}


@pytest.mark.parametrize("swaps", SWAPS.values(), ids=SWAPS)
def test_neurons_that_only_swaps_make(swaps, data, recwarn):
    """K-21, K-22: they are scaled, and what comes after them gets their output."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((36,)), L.Dense(20, activation="elu"), L.Dense(20)])
    model.add(L.ReLU())
    data = data.reshape(64, 36)
    layers = [model.layers[0], model.layers[2]]
    converter = Converter(
        model,
        swap_activations=swaps,
        scale_firing_rates="calibrate",
        calibration_data=data,
        target_rates=dict.fromkeys(layers, 50),
        synapse=0.02,
    )
    assert not [w for w in recwarn if "target_rates" in str(w.message)]
    assert [*converter.scale_firing_rates] == layers
    ensembles = converter.net.ensembles
    with converter.net:
        probes = [nengo.Probe(ens.neurons) for ens in ensembles]
    with nengo_dl.Simulator(converter.net, minibatch_size=64, progress_bar=False) as sim:
        found = sim.predict(np.tile(data[:, None], (1, 300, 1)))
    for ens, probe in zip(ensembles, probes, strict=True):
        output = np.abs(found[probe][:, 150:].mean(axis=1)).mean()
        rate = output / ens.neuron_type.amplitude
        np.testing.assert_allclose(rate, 50, rtol=0.1)


@pytest.mark.filterwarnings("ignore:.*is not proportional")
def test_neurons_with_other_rates_that_only_swaps_make(model, data):
    """K-22: they are scaled as if their rate were proportional to their input."""
    model = keras.Sequential([keras.Input((36,)), L.Dense(20, activation="elu")])
    scales = [
        Converter(
            model,
            swap_activations={ELU: neurons},
            scale_firing_rates="calibrate",
            calibration_data=data.reshape(64, 36),
        ).scale_of(model.layers[0])
        for neurons in (nengo.LIF(), SPIKES)
    ]
    assert scales[0] == scales[1] != 1


def test_idle_neurons_do_not_count():
    """K-10: those that take off what goes beyond a maximum."""
    x = keras.Input((5,))
    model = keras.Model(x, L.ReLU(max_value=6.0)(x))
    data = random_inputs(model, items=20)[0]
    converter = Converter(
        model,
        swap_activations={tf.nn.relu: SPIKES},
        scale_firing_rates="calibrate",
        calibration_data=data,
    )
    expected = 100 / np.maximum(data, 0).mean()
    np.testing.assert_allclose(converter.scale_of(model.layers[1]), expected, rtol=1e-5)


@pytest.mark.parametrize("rates", ["x", 0, -5.0, np.nan, None, [5]])
@pytest.mark.parametrize("by_layer", [False, True])
def test_rates_that_are_none(model, data, rates, by_layer):
    with pytest.raises(ValueError, match="target_rates: expected a rate in Hz, .*, got "):
        Converter(
            model,
            scale_firing_rates="calibrate",
            calibration_data=data,
            target_rates={model.layers[1]: rates} if by_layer else rates,
        )
