"""Gradients of whole models through the layer, against central differences."""

import dataclasses

import keras
import nengo
import numpy as np
import pytest
import tensorflow as tf
from gradient_networks import (
    N_STEPS,
    NETWORKS,
    build,
    check,
    counts,
    gradients,
    inputs_of,
    loss_of,
    run,
    same,
    tape_bytes,
    variables_of,
)
from handmade import in_training

from nengo_dl.plan.training import training_program
from nengo_dl.tensor_graph import TensorGraph


@pytest.fixture
def layer_of(Sim):
    """Make a layer for a network, with options of the layer and another window of the engine."""

    def make(name, minibatch_size=2, window=0, settings=None, state=True, **kwargs):
        net, _ = build(name, **(settings or {}))
        runtime = Sim(net, minibatch_size=minibatch_size)._runtime
        training = training_program(runtime.plan.only_program())
        plan = in_training(runtime.plan, dataclasses.replace(training, window=window))
        layer = TensorGraph(plan, minibatch_size, callbacks=runtime.table, **kwargs)
        layer.stateful = False
        if state:  # away from zero, where derivatives may happen to agree
            before = layer.get_state()["state"]
            layer.set_state(before + 0.1 * np.random.RandomState(5).rand(*before.shape))
        return layer

    return make


# ---------------------------------------------------------------- numbers


@pytest.mark.parametrize("minibatch_size", [1, 3])
@pytest.mark.parametrize("name", list(NETWORKS))
def test_central_differences(name, minibatch_size, layer_of):
    layer = layer_of(name, minibatch_size)
    check(layer, inputs_of(layer))


@pytest.mark.parametrize("name", ["lmu", "synapses", "recurrent"])
def test_last_step_only(name, layer_of):
    layer = layer_of(name, keep_history=False)
    check(layer, inputs_of(layer))


@pytest.mark.parametrize("memory", [None, 0, 3000])
@pytest.mark.parametrize("name", list(NETWORKS))
def test_memory_and_windows_change_nothing(name, memory, layer_of):
    """A run of several windows, recorded fully, in part, or only at their borders."""
    n_steps = 40
    whole = layer_of(name)
    inputs = inputs_of(whole, n_steps)
    due = gradients(whole, inputs)
    layer = layer_of(name, window=7, tape_memory=memory)
    same(gradients(layer, inputs), due)


def test_memory_bounds_the_tape(layer_of):
    sizes = []
    for memory in (0, 100_000, None):
        layer = layer_of("lmu", window=50, tape_memory=memory)
        inputs = inputs_of(layer, 2000)
        result = layer.run_graph(inputs, 2000, False, training=True)
        sizes.append(tape_bytes(result.runs[0]))
    assert sizes[0] < sizes[1] < sizes[2]
    assert sizes[1] - sizes[0] <= 100_000 < sizes[2]


@pytest.mark.parametrize("name", [name for name in NETWORKS if name != "synapses"])
def test_inference_form_has_the_same_gradient(name, layer_of):
    """All neurons are rates here, so that both forms are one program; nothing is recorded."""
    layer = layer_of(name)
    inputs = inputs_of(layer)
    same(gradients(layer, inputs, training=False), gradients(layer, inputs))


def test_state_without_rows_has_no_gradient(layer_of):
    """Only the training form keeps the place in a Triangle's memory step by step."""
    layer = layer_of("synapses")
    with pytest.raises(tf.errors.InvalidArgumentError, match="Triangle.*has no gradient"):
        gradients(layer, inputs_of(layer), training=False)


@pytest.mark.parametrize("name", list(NETWORKS))
def test_minibatch_is_the_sum_of_its_items(name, layer_of):
    layer, single = layer_of(name, 3), layer_of(name, 1)
    inputs = inputs_of(layer)
    by_inputs, by_variables = gradients(layer, inputs)
    state = layer.get_state()["state"]
    by_item = {"the state", *(f"parameter {i}" for i in layer.learned)}
    parts = []
    for item in range(3):
        single.set_state(state[item])
        parts.append(gradients(single, [rows[item : item + 1] for rows in inputs]))
    for i, grad in enumerate(by_inputs):
        same(grad, np.concatenate([part[0][i] for part in parts]))
    for key, grad in by_variables.items():
        values = [part[1][key] for part in parts]
        same(grad, np.concatenate(values) if key in by_item else sum(values))


@pytest.mark.parametrize("name", list(NETWORKS))
def test_threads_change_nothing(name, layer_of):
    results = []
    for threads in (1, 2, 5):
        layer = layer_of(name, 6, threads=threads)
        results.append(gradients(layer, inputs_of(layer, 30)))
    for other in results[1:]:
        tf.nest.map_structure(np.testing.assert_array_equal, results[0], other)


def test_spikes_train_as_rates(Sim, double_net):
    """The training form of a spiking network is the network of its rates; its gradient, too."""
    values = []
    for neurons in (nengo.LIF(), nengo.LIFRate()):
        with double_net(seed=1) as net:
            net.config[nengo.Ensemble].neuron_type = neurons
            u = nengo.Node([0.3])
            a = nengo.Ensemble(20, 1)
            nengo.Connection(u, a, synapse=None)
            nengo.Probe(a, synapse=0.01)
        layer = Sim(net)._runtime.layer
        layer.stateful = False
        inputs = inputs_of(layer)
        by_inputs, by_variables = gradients(layer, inputs)
        by_variables.pop("the state")  # the spikes' voltages are in it, too
        values.append((run(layer, inputs), by_inputs, by_variables))
    same(values[0], values[1])


# ---------------------------------------------------------------- TensorFlow's ways


@pytest.mark.parametrize("training", [False, True])
def test_ways_to_differentiate(training, layer_of):
    layer = layer_of("lmu")
    inputs = inputs_of(layer)
    due = gradients(layer, inputs, training)

    def call(layer, inputs, training):
        return run(layer, inputs, training)

    def all_inside(*rows):
        return gradients(layer, list(rows), training)

    same(gradients(layer, inputs, training, call), due)  # again
    same(tf.function(all_inside, autograph=False)(*inputs), due)
    inner = tf.function(lambda *rows: run(layer, list(rows), training), autograph=False)
    same(gradients(layer, inputs, training, lambda layer, rows, _: inner(*rows)), due)
    variables = variables_of(layer)
    for function in (lambda rows: run(layer, rows, training), lambda rows: inner(*rows)):
        with tf.GradientTape(persistent=True) as tape:
            tape.watch([inputs, layer.saved_state["state"]])
            loss = loss_of(function(inputs))
        for _ in range(2):
            same(tape.gradient(loss, [inputs, variables]), due)


# ---------------------------------------------------------------- Keras


def test_larger_keras_model(layer_of):
    """Gradients pass through the layer to the Keras layers before it, and come from those after."""
    layer = layer_of("lmu")
    keras.utils.set_random_seed(0)
    nodes, n_steps = layer.build_inputs()
    (node,) = nodes.values()
    before = keras.layers.Dense(1, dtype="float64", activation="tanh")
    after = keras.layers.Dense(3, dtype="float64")
    out, memory, _ = layer([before(node), n_steps])
    model = keras.Model([node, n_steps], after(out))
    data = [*inputs_of(layer), counts(2, N_STEPS)]

    def loss():
        return tf.reduce_sum(model(data, training=True) ** 2)

    with tf.GradientTape() as tape:
        value = loss()
    weights = [weight._value for weight in model.trainable_weights]
    assert len(weights) == 4 + len(layer.trainable_weights)
    for variable, grad in zip(weights, tape.gradient(value, weights), strict=True):
        way = np.random.RandomState(0).randn(*variable.shape)
        center, ends = variable.numpy(), []
        for sign in (1, -1):
            variable.assign(center + sign * 1e-6 * way)
            ends.append(float(loss()))
        variable.assign(center)
        due = (ends[0] - ends[1]) / 2e-6
        np.testing.assert_allclose(
            np.sum(grad * way), due, rtol=1e-6, atol=1e-7 * abs(float(value))
        )


@pytest.mark.filterwarnings("error:.*TensorGraph")
def test_keras_fit_follows_the_gradient(layer_of, recwarn):
    layer = layer_of("lmu")
    nodes, n_steps = layer.build_inputs()
    tensors = [*nodes.values(), n_steps]
    model = keras.Model(tensors, layer(tensors)[0])
    rate = 1e-3
    model.compile(optimizer=keras.optimizers.SGD(rate), loss="mse")
    inputs = inputs_of(layer)
    target = np.random.RandomState(2).randn(2, N_STEPS, 2)
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean((run(layer, inputs)[0] - target) ** 2)
    weights = layer.trainable_weights
    grads = tape.gradient(loss, [weight.value for weight in weights])
    before = [weight.numpy() for weight in weights]
    data = [*inputs, counts(2, N_STEPS)]
    model.fit(
        data, target, batch_size=2, shuffle=False, verbose=0
    )  # items have states of their own
    for weight, value, grad in zip(weights, before, grads, strict=True):
        step = 0 if grad is None else rate * grad
        np.testing.assert_allclose(weight.numpy(), value - step, rtol=1e-6, atol=1e-9)
    assert [str(w.message) for w in recwarn if "TensorGraph" in str(w.message)] == []


def test_optimizer_made_inside_a_function(Sim):
    """A larger model's optimizer names its variables after ours, in a scope of TensorFlow."""
    with nengo.Network(seed=0) as net:
        node = nengo.Node([0.5], label="a node")
        ens = nengo.Ensemble(5, 1, label="an: 'ensemble'", neuron_type=nengo.RectifiedLinear())
        nengo.Connection(node, ens, synapse=None)
        probe = nengo.Probe(ens, synapse=None)
    sim = Sim(net, minibatch_size=2)
    rows, n_steps = (
        keras.Input(batch_shape=t.shape, dtype=t.dtype) for t in sim.keras_model.inputs
    )
    outputs = sim.keras_model([keras.layers.Dense(1)(rows), n_steps])
    model = keras.Model([rows, n_steps], outputs[sim.get_name(probe)])
    model.compile("adam", loss="mse")
    before = [weight.numpy() for weight in model.trainable_weights]
    data = [np.ones((2, 4, 1)), np.full((2, 1), 4, np.int32)]
    model.fit(data, np.zeros((2, 4, 1)), batch_size=2, verbose=0)
    assert len(before) == 2 + len(sim.keras_model.trainable_weights)
    for weight, value in zip(model.trainable_weights, before, strict=True):
        assert np.any(weight.numpy() != value), weight.path
