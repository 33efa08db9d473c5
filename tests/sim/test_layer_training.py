"""The layer's training mode, its saved weights, and where its variables live."""

import dataclasses
import subprocess
import sys
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf
from gradient_networks import tape_bytes
from handmade import filter_plan, in_training

from nengo_dl.tensor_graph import TensorGraph, build_keras_model

DOUBLED = 2.0


def other_training_form(plan):
    """Give a plan of `handmade.filter_plan` a training form whose filter has another gain."""
    first, *rest = plan.only_program().regions
    ops = tuple(
        dataclasses.replace(op, attrs={**op.attrs, "b": DOUBLED}) if op.kind == "lowpass" else op
        for op in first.ops
    )
    regions = (dataclasses.replace(first, ops=ops), *rest)
    return in_training(plan, dataclasses.replace(plan.only_program(), regions=regions))


def layer_and_outputs(**kwargs):
    """A layer and the first outputs of its two forms."""
    layer = TensorGraph(other_training_form(filter_plan("float64")), 2, **kwargs)
    layer.stateful = False
    layer.set_state(np.zeros(2))
    rows = tf.constant(np.random.RandomState(0).randn(2, 4, 2))
    inference = np.zeros((2, 4, 2))
    y = np.zeros((2, 2))
    for t in range(4):
        y = 0.9 * y + [1, 2] * rows[:, t]
        inference[:, t] = y
    return layer, [rows, tf.fill((2, 1), 4)], inference, DOUBLED * inference


@pytest.mark.parametrize("graph", [False, True])
def test_mode_follows_the_call(graph):
    layer, data, inference, training = layer_and_outputs()
    call = tf.function(layer) if graph else layer
    np.testing.assert_allclose(call(data)[0], inference)
    np.testing.assert_allclose(call(data, training=True)[0], training)
    np.testing.assert_allclose(call(data, training=False)[0], inference)
    np.testing.assert_allclose(layer.run_eager(data[:1], 4)[0][0], inference)


@pytest.mark.parametrize("learning_phase", [False, True])
def test_learning_phase_pins_the_mode(learning_phase):
    layer, data, *due = layer_and_outputs(learning_phase=learning_phase)
    due = due[learning_phase]
    for training in (None, False, True):
        np.testing.assert_allclose(layer(data, training=training)[0], due)
    for stateful in (False, True):
        np.testing.assert_allclose(layer.run_eager(data[:1], 4, stateful=stateful)[0][0], due)


def test_keras_passes_the_mode_on():
    layer, data, inference, training = layer_and_outputs()
    model = build_keras_model(layer)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        np.testing.assert_allclose(model(data)["y"], inference)
        np.testing.assert_allclose(model(data, training=True)["y"], training)
    keras.config.set_floatx("float64")
    try:
        came = model.predict(data, batch_size=2, verbose=0)["y"]
    finally:
        keras.config.set_floatx("float32")
    np.testing.assert_allclose(came, inference)


def test_without_training_form():
    plan = filter_plan("float64")
    layer = TensorGraph(plan, 2)
    data = [np.ones((2, 3, 2)), tf.fill((2, 1), 3)]
    layer.stateful = False
    np.testing.assert_array_equal(layer(data, training=True)[0], layer(data)[0])
    with pytest.raises(ValueError, match="learning_phase=True: .*inference only"):
        TensorGraph(plan, 2, learning_phase=True)


def test_training_form_must_fit():
    plan = in_training(filter_plan(), filter_plan(size=3).only_program())
    with pytest.raises(ValueError, match="training form.*state_size.* 2, got 3"):
        TensorGraph(plan, 2)


def test_only_training_mode_records():
    layer, data, *_ = layer_and_outputs()
    for training, recorded in ((None, False), (False, False), (True, True)):
        result = layer.run_graph(data[:1], 4, False, training=training)
        assert bool(tape_bytes(result.runs[0])) is recorded
    pinned, data, *_ = layer_and_outputs(learning_phase=True)
    assert tape_bytes(pinned.run_graph(data[:1], 4, False).runs[0]) is None


# ---------------------------------------------------------------- saved weights


@pytest.mark.filterwarnings("error")
def test_weights_are_saved_and_loaded(tmp_path):
    file = tmp_path / "x.weights.h5"
    layer = TensorGraph(filter_plan(), 3, param_values=[[5, 6], np.arange(6).reshape(3, 2)])
    build_keras_model(layer).save_weights(file)
    # whether weights are trainable doesn't matter
    other = TensorGraph(filter_plan(), 3, trainable_params=[False, True])
    build_keras_model(other).load_weights(file)
    np.testing.assert_array_equal(other.get_param(0), [5, 6])
    np.testing.assert_array_equal(other.get_param(1), np.arange(6).reshape(3, 2))


def test_learned_weights_belong_to_a_minibatch_size(tmp_path):
    file = tmp_path / "x.weights.h5"
    layer = TensorGraph(filter_plan(), 3, param_values=[[5, 6], np.arange(6).reshape(3, 2)])
    build_keras_model(layer).save_weights(file)
    other = TensorGraph(filter_plan(), 2)
    with pytest.raises(ValueError, match=r"net.total.*\(2, 2\).*minibatch_size.*got \(3, 2\)"):
        build_keras_model(other).load_weights(file)
    np.testing.assert_array_equal(other.get_param(0), [1, 2])  # nothing was loaded
    layer.set_param(1, [7, 8])  # the same for all items: any number of them may have it
    build_keras_model(layer).save_weights(file)
    build_keras_model(other).load_weights(file)
    np.testing.assert_array_equal(other.get_param(1), [[7, 8]] * 2)


def test_other_number_of_weights():
    layer = TensorGraph(filter_plan(), 2)
    message = (
        "missing: net.total; not of this network: other; that do not fit: gain: expected shape"
    )
    with pytest.raises(ValueError, match=message):
        layer.load_own_variables({"other": np.zeros(2), "gain": np.zeros(3)})


# ---------------------------------------------------------------- devices


def test_variables_live_where_the_kernel_is():
    """In a process of its own, since devices can't be added later."""
    code = """
import sys
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from handmade import filter_plan
from nengo_dl.tensor_graph import TensorGraph
with tf.device("/cpu:1"):
    assert tf.Variable(0.0).device.endswith("CPU:1")
    layer = TensorGraph(filter_plan(), 2)
    variables = [*layer.saved_state.values(), *(w.value for w in layer.weights)]
    assert [v.device[-5:] for v in variables] == ["CPU:0"] * 5, variables
"""
    folder = __file__.rpartition("/")[0]
    code = f"import sys; sys.path.insert(0, {folder!r})\n{code}"
    subprocess.run([sys.executable, "-c", code], check=True)
