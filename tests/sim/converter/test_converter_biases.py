"""Biases of layers whose firing rates are scaled: the same parameters as without a scale (K-22)."""

import keras
import nengo
import numpy as np
import pytest
from layer_cases import random_inputs

import nengo_dl
from nengo_dl.converter.scaled import ScaledEnsemble

L = keras.layers
pytestmark = pytest.mark.filterwarnings("ignore:Number of elements in the data")


@pytest.fixture
def model():
    x = keras.Input((4,))
    y = L.ReLU(max_value=0.5)(L.Dense(5, activation="relu", name="a")(x))
    model = keras.Model(x, L.Dense(3, activation="relu", name="b")(y))
    rng = np.random.RandomState(0)
    for weight in model.weights:
        weight.assign(rng.uniform(-0.3, 0.7, weight.shape))
    return model


def simulator(model, scale, **options):
    converter = nengo_dl.Converter(model, scale_firing_rates=scale, **options)
    return nengo_dl.Simulator(converter.net, minibatch_size=3, seed=0, progress_bar=False)


def outputs(sim, model):
    (found,) = sim.predict(random_inputs(model)[0][:, None]).values()
    return found[:, 0]


@pytest.mark.parametrize("scales", [(None, 100), (100, None), (100, 2)])
def test_files_of_any_scale_load_at_another(model, scales, tmp_path):
    """K-22: trained parameters, which are other ones than those of the model."""
    first, second = scales
    data = random_inputs(model)[0][:, None]
    with simulator(model, first) as sim:
        sim.compile(keras.optimizers.SGD(0.1), loss="mse")
        sim.fit(data, np.ones((3, 1, 3)), epochs=5, verbose=0)
        expected, names = outputs(sim, model), [w.path for w in sim.keras_model.weights]
        sim.save_params(tmp_path / "params")
        sim.keras_model.save_weights(tmp_path / "x.weights.h5")
    with simulator(model, second) as sim:
        assert [w.path for w in sim.keras_model.weights] == names
        assert not np.allclose(outputs(sim, model), expected, rtol=1e-2)
        sim.load_params(tmp_path / "params")
        np.testing.assert_allclose(outputs(sim, model), expected, rtol=1e-5)
    with simulator(model, second) as sim:
        sim.keras_model.load_weights(tmp_path / "x.weights.h5")
        np.testing.assert_allclose(outputs(sim, model), expected, rtol=1e-5)


def test_training_does_not_depend_on_the_scale(model):
    """Adam changes a bias by its learning rate, whatever the scale is."""
    losses = {}
    for scale in (None, 1000):
        with simulator(model, scale) as sim:
            sim.compile(keras.optimizers.Adam(0.05), loss="mse")
            data = random_inputs(model)[0][:, None]
            history = sim.fit(data, np.ones((3, 1, 3)), epochs=10, verbose=0)
            losses[scale] = history.history["loss"]
    np.testing.assert_allclose(losses[None], losses[1000], rtol=1e-4)
    assert losses[None][-1] < 0.5 * losses[None][0]


@pytest.mark.parametrize("frozen", [False, True])
def test_they_are_trained_unless_the_layer_is_frozen(model, frozen):
    """Those by which a maximum is taken off never are."""
    model.get_layer("a").trainable = not frozen
    counts = []
    for scale in (None, 100):
        with simulator(model, scale) as sim:
            counts.append(sum(int(np.prod(w.shape)) for w in sim.keras_model.trainable_weights))
    assert counts == [18 if frozen else 43] * 2
    converter = nengo_dl.Converter(model, scale_firing_rates=100)
    assert converter.verify(training=True, inputs=random_inputs(model), atol=1e-5, rtol=1e-4)


def test_settings_of_neurons(model):
    converter = nengo_dl.Converter(model, scale_firing_rates=100)
    neurons = converter.layers[model.get_layer("a")]
    assert isinstance(neurons.ensemble, ScaledEnsemble)
    converter.net.config[neurons].trainable = False
    with nengo_dl.Simulator(converter.net, progress_bar=False) as sim:
        assert sum(int(np.prod(w.shape)) for w in sim.keras_model.trainable_weights) == 38


def test_data_of_the_ensemble(model):
    """Has the biases times the gain, as Nengo's; they are those of the network at first."""
    with simulator(model, 100) as sim:
        ens = sim.model.toplevel.ensembles[0]
        before = sim.data[ens]
        np.testing.assert_array_equal(before.bias, ens.bias.astype(np.float32))
        values = np.float32([1, -2, 3, -4, 5])
        named = next(w for w in sim.keras_model.weights if w.path.endswith("a.0.bias"))
        named.assign(values)
        found = sim.data[ens]
        np.testing.assert_allclose(found.bias, 100 * values)
        np.testing.assert_allclose(found.intercepts, -values, rtol=1e-6)
        np.testing.assert_allclose(sim.get_nengo_params(ens)["bias"], 100 * values)


def test_frozen_networks_run_in_nengo(model):
    inputs = random_inputs(model, items=1)
    with simulator(model, 100) as sim:
        sim.compile(keras.optimizers.SGD(0.1), loss="mse")
        data = random_inputs(model)[0][:, None]
        sim.fit(data, np.ones((3, 1, 3)), epochs=5, verbose=0)
        expected = outputs(sim, model)[0]
        net = sim.model.toplevel
        sim.freeze_params(net)
    net.nodes[0].output = inputs[0][0]
    with nengo.Simulator(net, progress_bar=False) as sim:
        sim.run_steps(1)
        np.testing.assert_allclose(sim.data[net.probes[0]][0], expected, rtol=1e-4, atol=1e-6)
