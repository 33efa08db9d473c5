"""Options of the Converter, and what the network is made of (K-19 to K-25)."""

import keras
import nengo
import numpy as np
import pytest
import tensorflow as tf
from layer_cases import random_inputs, with_random_weights

import nengo_dl

L = keras.layers


def dense_model(activation="relu", n_layers=1, shape=(4,), **kwargs):
    x = y = keras.Input(shape)
    for _ in range(n_layers):
        y = L.Dense(3, activation=activation, **kwargs)(y)
    return with_random_weights(keras.Model(x, y))


def setting(converter, obj):
    return converter.net.config[obj].trainable


@pytest.mark.parametrize(
    "activation, neuron_type",
    [
        ("relu", nengo.RectifiedLinear()),
        (tf.nn.relu, nengo.RectifiedLinear()),
        ("sigmoid", nengo.Sigmoid(tau_ref=1)),
        (tf.nn.sigmoid, nengo.Sigmoid(tau_ref=1)),
        ("tanh", nengo.Tanh(tau_ref=1)),
        (tf.nn.tanh, nengo.Tanh(tau_ref=1)),
    ],
)
def test_neuron_types(activation, neuron_type):
    """K-20, K-24."""
    model = dense_model(activation)
    converter = nengo_dl.Converter(model)
    neurons = converter.layers[model.layers[1]]
    ens = neurons.ensemble
    assert ens.neuron_type == neuron_type and ens.label == f"{model.layers[1].name}.0"
    assert (ens.n_neurons, ens.dimensions) == (3, 1)
    np.testing.assert_array_equal(ens.bias, model.layers[1].bias.numpy())
    assert ens.gain.options.tolist() == [1]
    (conn,) = converter.net.connections
    np.testing.assert_array_equal(conn.transform.init, model.layers[1].kernel.numpy().T)
    assert setting(converter, conn) is True and setting(converter, neurons) is True


def test_identity_is_a_node_with_biases_from_another():
    """K-20."""
    model = dense_model(None)
    converter = nengo_dl.Converter(model)
    name = model.layers[1].name
    assert [n.label for n in converter.net.nodes[1:]] == [f"{name}.0", f"{name}.0.bias"]
    assert converter.net.nodes[2].output == [1]
    assert converter.net.ensembles == []


def test_biases_of_convolutions():
    """K-06: one weight for each filter, spread over its positions."""
    x = keras.Input((5, 4, 2))
    model = with_random_weights(keras.Model(x, L.Conv2D(3, 2, activation="relu")(x)))
    converter = nengo_dl.Converter(model)
    relay = next(node for node in converter.net.nodes if node.label.endswith("bias_relay"))
    assert relay.size_in == 3
    into = next(c for c in converter.net.connections if c.post is relay)
    spread = next(c for c in converter.net.connections if c.pre_obj is relay)
    assert spread.pre_slice == [0, 1, 2] * 12
    assert setting(converter, into) is True and setting(converter, spread) is False
    with nengo_dl.Simulator(converter.net, progress_bar=False) as sim:
        sizes = sorted(int(np.prod(w.shape)) for w in sim.keras_model.trainable_weights)
    assert sizes == [3, 24]


def test_frozen_layers_stay_frozen():
    """K-24."""
    x = keras.Input((4,))
    frozen = L.Dense(3, activation="relu", trainable=False)
    model = with_random_weights(keras.Model(x, L.Dense(2)(frozen(x))))
    converter = nengo_dl.Converter(model)
    assert converter.verify(training=True, inputs=random_inputs(model), atol=1e-5)
    with nengo_dl.Simulator(converter.net, progress_bar=False) as sim:
        sizes = sorted(int(np.prod(w.shape)) for w in sim.keras_model.trainable_weights)
    assert sizes == [2, 6]


def test_inference_only():
    """K-24."""
    model = dense_model()
    converter = nengo_dl.Converter(model, inference_only=True)
    assert converter.net.config[nengo.Network].inference_only is True
    with nengo_dl.Simulator(converter.net, progress_bar=False) as sim:
        assert sim.keras_model.trainable_weights == []
    assert converter.verify()


@pytest.mark.parametrize(
    "layer, key",
    [
        (lambda: L.ReLU(), tf.nn.relu),
        (lambda: L.ReLU(), nengo.RectifiedLinear()),
        (lambda: L.Activation("relu"), keras.activations.relu),
        (lambda: L.LeakyReLU(negative_slope=0.25), nengo_dl.LeakyReLU(negative_slope=0.25)),
        (lambda: L.ReLU(negative_slope=0.5), nengo_dl.LeakyReLU(negative_slope=0.5)),
        (lambda: L.Dense(4, activation="elu"), keras.activations.elu),
        (lambda: L.Dense(4), None),
    ],
)
def test_swapped_activations(layer, key, recwarn):
    """K-21: before and after the table of neuron types."""
    x = keras.Input((4,))
    model = keras.Model(x, layer()(x))
    if key is None:
        key = keras.activations.linear
    converter = nengo_dl.Converter(model, swap_activations={key: nengo.LIF(tau_rc=0.1)})
    assert converter.net.ensembles[0].neuron_type == nengo.LIF(tau_rc=0.1)
    assert converter.swap_activations.unused_keys() == set()
    assert not [w for w in recwarn if "swap_activations" in str(w.message)]
    assert converter.report()[-1].status == "approximate"


def test_neurons_with_a_maximum():
    """K-10, K-21: two groups of them, of which one takes off what goes beyond it."""
    x = keras.Input((4,))
    layer = L.ReLU(max_value=0.5)
    model = keras.Model(x, layer(x))
    spiking = {tf.nn.relu: nengo.SpikingRectifiedLinear()}
    for options in ({}, {"swap_activations": spiking, "scale_firing_rates": 1000}):
        converter = nengo_dl.Converter(model, allow_fallback=False, **options)
        labels = [ens.label for ens in converter.net.ensembles]
        assert labels == [f"{layer.name}.0", f"{layer.name}.0.beyond"]
        data = np.array([[-1, 0.25, 0.5, 2]])
        with nengo_dl.Simulator(converter.net, progress_bar=False) as sim:
            assert sim.keras_model.trainable_weights == []
            found = sim.predict(np.tile(data[:, None], (1, 100, 1)))
        mean = found[converter.outputs[model.output]].mean(axis=1)
        np.testing.assert_allclose(mean, [[0, 0.25, 0.5, 0.5]], atol=0.01)


def test_swaps_of_swaps_and_unused_ones():
    """K-21."""
    swaps = {keras.activations.relu: tf.nn.tanh, nengo.Tanh(tau_ref=1): nengo.LIF()}
    converter = nengo_dl.Converter(dense_model(), swap_activations=swaps)
    assert converter.net.ensembles[0].neuron_type == nengo.LIF()
    message = r"have \(relu of keras, .*\), got relu of tensorflow, LIF\(\), which no layer has"
    unused = {tf.nn.relu: nengo.LIF(), nengo.LIF(): nengo.LIFRate()}
    with pytest.warns(UserWarning, match=message):
        converter = nengo_dl.Converter(dense_model(), swap_activations=unused)
    assert converter.swap_activations.unused_keys() == set(unused)


@pytest.mark.parametrize(
    "swaps, message",
    [
        (
            {keras.activations.relu: nengo.SpikingRectifiedLinear},
            r"expected a neuron type, got the class SpikingRectifiedLinear; did you mean "
            r"SpikingRectifiedLinear\(\)\?",
        ),
        ({keras.activations.relu: "lif"}, "expected functions or neuron types .* got 'lif'"),
        (nengo.LIF(), "expected a dict, got LIF"),
    ],
)
def test_swaps_that_are_none(swaps, message):
    """K-21."""
    with pytest.raises(TypeError, match=f"swap_activations: {message}"):
        nengo_dl.Converter(dense_model(), swap_activations=swaps)


@pytest.mark.parametrize("by_layer", [False, True])
def test_scaled_firing_rates(by_layer):
    """K-22: the same output, by neurons with a higher input and a lower amplitude."""
    model = dense_model(n_layers=2)
    scale = {model.layers[1]: 5} if by_layer else 5
    base = nengo.RectifiedLinear(amplitude=2)
    swaps = {nengo.RectifiedLinear(): base}
    converter = nengo_dl.Converter(model, scale_firing_rates=scale, swap_activations=swaps)
    first, second = converter.net.ensembles
    assert first.gain.options.tolist() == [5] and first.neuron_type.amplitude == 0.4
    np.testing.assert_allclose(first.bias, 5 * model.layers[1].bias.numpy())
    assert second.gain.options.tolist() == [1 if by_layer else 5]
    assert base.amplitude == 2
    assert nengo_dl.Converter(model, scale_firing_rates=scale).verify(
        inputs=random_inputs(model), atol=1e-5
    )


def test_scaled_firing_rates_without_amplitude():
    """K-22."""
    with pytest.warns(UserWarning, match="does not support amplitude .Sigmoid."):
        converter = nengo_dl.Converter(dense_model("sigmoid"), scale_firing_rates=5)
    assert converter.net.ensembles[0].gain.options.tolist() == [5]
    assert "amplitude" in converter.report()[-1].why


def test_synapse():
    """K-23: on what comes from neurons, and on nothing else."""
    x = keras.Input((4, 1))
    y = L.Flatten()(L.Conv1D(2, 2, activation="relu")(x))
    z = L.Dense(3)(y)
    model = keras.Model(x, [L.Dense(2, activation="relu")(z), z])
    converter = nengo_dl.Converter(model, synapse=0.01)
    filtered = [conn for conn in converter.net.connections if conn.synapse is not None]
    assert [type(conn.pre) for conn in filtered] == [nengo.ensemble.Neurons]
    assert filtered[0].synapse == nengo.Lowpass(0.01)
    of_neurons, of_node = (converter.outputs[tensor] for tensor in model.outputs)
    assert of_neurons.synapse == nengo.Lowpass(0.01) and of_node.synapse is None


def test_shared_weights():
    """K-25."""
    x = keras.Input((3,))
    shared = L.Dense(3, activation="relu")
    model = with_random_weights(keras.Model(x, shared(shared(x))))
    with pytest.raises(ValueError, match="split_shared_weights=True gives each call"):
        nengo_dl.Converter(model)
    converter = nengo_dl.Converter(model, split_shared_weights=True)
    assert converter.verify(inputs=random_inputs(model), atol=1e-5)
    labels = [ens.label for ens in converter.net.ensembles]
    assert labels == [f"{shared.name}.0", f"{shared.name}.1"]
    assert "copy" in converter.report()[-1].why
    with pytest.raises(ValueError, match="parameters that may be trained"):
        converter.verify(training=True)


def test_layers_without_weights_may_be_repeated():
    """K-25."""
    x = keras.Input((3,))
    relu = L.ReLU()
    model = keras.Model(x, relu(L.Dense(3)(relu(x))))
    assert nengo_dl.Converter(model).verify()


def test_spiking_neurons_give_the_same_in_the_mean():
    model = dense_model(shape=(4,))
    spiking = {keras.activations.relu: nengo.SpikingRectifiedLinear()}
    converter = nengo_dl.Converter(model, swap_activations=spiking, scale_firing_rates=500)
    inputs = random_inputs(model)
    with nengo_dl.Simulator(converter.net, minibatch_size=3, progress_bar=False) as sim:
        found = sim.predict(np.tile(inputs[0][:, None], (1, 200, 1)))
    rates = found[converter.outputs[model.output]].mean(axis=1)
    np.testing.assert_allclose(rates, model.predict(inputs, verbose=0), atol=0.02)


def test_networks_without_tensor_nodes_run_in_nengo():
    """K-29."""
    x = keras.Input((5, 4, 2))
    y = L.Conv2D(3, 2, padding="same", activation="relu")(x)
    y = L.Flatten()(L.AveragePooling2D(2, padding="same")(y))
    model = with_random_weights(keras.Model(x, L.Dense(2, activation="tanh")(y)))
    converter = nengo_dl.Converter(model)
    (inputs,) = random_inputs(model, items=1)
    converter.inputs[model.input].output = inputs.ravel()
    probe = converter.outputs[model.output]
    with nengo.Simulator(converter.net, progress_bar=False) as sim:
        sim.run_steps(1)
    np.testing.assert_allclose(sim.data[probe], model.predict(inputs, verbose=0), atol=1e-5)
