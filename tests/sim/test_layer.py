"""The Keras layer and the Keras model around it, on programs written by hand."""

import threading

import keras
import numpy as np
import pytest
import tensorflow as tf
from handmade import (
    callback_plan,
    clock_plan,
    filter_plan,
    filter_reference,
    noise_plan,
)

from nengo_dl import _engine
from nengo_dl.tensor_graph import TensorGraph, build_keras_model, unique_names

GAIN = np.array([1.0, 2.0])


def rows(batch, steps, seed=0, dtype="float32"):
    return np.random.RandomState(seed).randn(batch, steps, 2).astype(dtype)


def counts(batch, steps):
    return np.full((batch, 1), steps, np.int32)


def close(came, due):
    np.testing.assert_allclose(came, due, rtol=1e-5, atol=1e-5)


# ---------------------------------------------------------------- variables


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_variables(dtype):
    layer = TensorGraph(filter_plan(dtype), minibatch_size=3, trainable_params=[True, False])
    assert layer.name == "TensorGraph" and not layer.supports_jit
    assert keras.config.floatx() == "float32"
    assert [w.name for w in layer.weights] == ["gain", "net.total"]
    assert [tuple(w.shape) for w in layer.base_params] == [(2,), (3, 2)]
    assert [w.name for w in layer.trainable_weights] == ["gain"]
    assert {w.dtype for w in layer.weights} == {dtype}
    assert layer.saved_state["state"].shape == (3, 2)
    assert layer.saved_state["state"].dtype == dtype
    np.testing.assert_array_equal(layer.get_state()["state"], np.full((3, 2), 0.5))
    np.testing.assert_array_equal(layer.get_param(0), [1, 2])


def test_values_given_instead_of_the_plans():
    total = np.arange(6).reshape(3, 2)
    layer = TensorGraph(filter_plan(), 3, param_values=[[5, 6], total], state=total + 1)
    np.testing.assert_array_equal(layer.get_param(0), [5, 6])
    np.testing.assert_array_equal(layer.get_param(1), total)
    np.testing.assert_array_equal(layer.get_state()["state"], total + 1)


@pytest.mark.parametrize(
    "kwargs, message",
    [
        ({"param_values": [[1, 2]]}, "param_values: expected 2 entries, got 1"),
        (
            {"param_values": [[1, 2, 3], [0, 0]]},
            r"'gain': expected shape \(2,\), got \(3,\)",
        ),
        (
            {"state": np.zeros((2, 2))},
            r"state: expected shape \(3, 2\) or \(2,\), got \(2, 2\)",
        ),
        ({"trainable_params": [True]}, "trainable_params: expected 2 entries, got 1"),
        ({"keep_history": [True]}, "keep_history: expected 2 entries, got 1"),
        ({"output_shapes": [(2,), (3,)]}, "'total': expected a shape of 2 elements, got .* of 3"),
        ({"input_keys": []}, "input_keys: expected 1 entries, got 0"),
    ],
)
def test_bad_arguments(kwargs, message):
    with pytest.raises(ValueError, match=message):
        TensorGraph(filter_plan(), 3, **kwargs)


def test_unique_names():
    assert unique_names(["a/b", "a.b", "", "x", "x", "<Node 'n: 1'>.bias", "<>"]) == [
        "a.b",
        "a.b_1",
        "unnamed",
        "x",
        "x_1",
        "Node_n__1.bias",
        "unnamed_1",
    ]


# ---------------------------------------------------------------- running


@pytest.mark.parametrize("stateful", [True, False])
@pytest.mark.parametrize("way", ["call", "function", "eager"])
def test_state_is_written_only_if_stateful(way, stateful):
    layer = TensorGraph(filter_plan(), minibatch_size=3)
    layer.stateful = stateful
    assert layer.stateful is stateful

    def run(u):
        if way == "eager":
            outputs, steps = layer.run_eager([u], u.shape[1], stateful=stateful)
            assert steps == u.shape[1]
            return outputs
        call = tf.function(layer) if way == "function" else layer
        *outputs, steps = call([u, counts(3, u.shape[1])])
        np.testing.assert_array_equal(steps, [u.shape[1]] * 3)
        return outputs

    y, total, steps = np.full((3, 2), 0.5), np.zeros((3, 2)), 0
    for seed, n in enumerate((7, 1, 4)):
        u = rows(3, n, seed)
        due = filter_reference(u, y, total, GAIN)
        for came, expected in zip(run(u), due, strict=True):
            close(came, expected)
        total = due[1][:, -1]  # learned parameters are written in any case
        if stateful:
            y, steps = due[0][:, -1], steps + n
        close(layer.get_state()["state"], y)
        close(layer.get_param(1), total)
        assert layer.n_steps == steps


def test_toggling_stateful_traces_nothing_anew():
    layer = TensorGraph(filter_plan(), minibatch_size=1)
    traces = []

    @tf.function
    def call(u, n):
        traces.append(1)
        return layer([u, n])

    for stateful, due in ((True, 3), (False, 3), (True, 6)):
        layer.stateful = stateful
        call(tf.constant(rows(1, 3)), tf.constant(counts(1, 3)))
        assert layer.n_steps == due
    assert len(traces) == 1


def test_reset():
    layer = TensorGraph(filter_plan(), minibatch_size=2)
    u = rows(2, 5)
    first, _ = layer.run_eager([u], 5)
    layer.reset()
    assert layer.n_steps == 0
    second, _ = layer.run_eager([u], 5)
    np.testing.assert_array_equal(second[0], first[0])
    assert not np.allclose(second[1], first[1])  # learned
    layer.reset(params=True)
    third, _ = layer.run_eager([u], 5)
    np.testing.assert_array_equal(third[1], first[1])


def test_set_state_and_params():
    layer = TensorGraph(filter_plan(), minibatch_size=2)
    layer.set_state(state=[3, 4], n_steps=12)
    layer.set_param(0, [0, 1])
    outputs, _ = layer.run_eager([rows(2, 1)], 1)
    close(outputs[0], filter_reference(rows(2, 1), [3, 4], [0, 0], [0, 1])[0])
    assert layer.n_steps == 13
    with pytest.raises(ValueError, match=r"state: expected shape \(2, 2\) or \(2,\), got \(3,\)"):
        layer.set_state(state=np.zeros(3))


def test_keep_history_and_output_shapes():
    layer = TensorGraph(
        filter_plan(size=6),
        2,
        keep_history=[False, True],
        output_shapes=[(2, 3), (6, 1)],
    )
    u = np.random.RandomState(0).randn(2, 4, 6).astype(np.float32)
    y, total = filter_reference(u, np.full(6, 0.5), np.zeros(6), np.arange(1, 7))
    outputs, _ = layer.run_eager([u], 4, stateful=False)
    close(outputs[0], y[:, -1:].reshape(2, 1, 2, 3))
    layer.reset(params=True)
    model = build_keras_model(layer)
    assert model.output["y"].shape == (2, 1, 2, 3)
    result = model([u, counts(2, 4)])
    close(result["y"], y[:, -1:].reshape(2, 1, 2, 3))
    close(result["total"], total[..., None])


def test_integer_state():
    layer = TensorGraph(noise_plan(seed=3))
    first, _ = layer.run_eager([], 4)
    second, _ = layer.run_eager([], 3)
    due = np.random.RandomState(3).normal(size=(7, 3))
    np.testing.assert_allclose(np.concatenate([first[0], second[0]], axis=1)[0], due, rtol=1e-14)
    layer.reset()
    np.testing.assert_array_equal(layer.run_eager([], 4)[0][0], first[0])


@pytest.mark.parametrize("way", ["call", "eager"])
def test_steps_must_match_the_rows(way):
    layer = TensorGraph(filter_plan(), minibatch_size=2)
    error = ValueError if way == "eager" else tf.errors.InvalidArgumentError
    with pytest.raises(error, match=r"inputs\[0\].*expected"):
        if way == "eager":
            layer.run_eager([rows(2, 5)], 6)
        else:
            layer([rows(2, 5), counts(2, 6)])
    assert layer.n_steps == 0


def test_time_limit_cuts_the_outputs():
    layer = TensorGraph(clock_plan())
    outputs, steps = layer.run_eager([], 20_000_000, time_limit=1e-4)
    assert 0 < steps < 20_000_000
    assert outputs[0].shape == (1, steps, 1)
    assert layer.n_steps == steps and layer.last_run.error == ""


def test_two_threads():
    def work(seed):
        layer = TensorGraph(filter_plan("float64"), minibatch_size=2)
        parts = [layer.run_eager([rows(2, 50, seed, "float64")], 50)[0] for _ in range(20)]
        return [np.concatenate(part, axis=1) for part in zip(*parts, strict=True)]

    alone = [work(seed) for seed in (1, 2)]
    together = [None, None]

    def run(i):
        together[i] = work(i + 1)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for came, due in zip(together, alone, strict=True):
        for a, b in zip(came, due, strict=True):
            np.testing.assert_array_equal(a, b)


# ---------------------------------------------------------------- callbacks


@pytest.fixture
def table():
    """Registers Python functions for a test."""
    handles = []

    def add(*functions):
        handles.append(_engine.add_callbacks(list(functions)))
        return handles[-1]

    yield add
    for handle in handles:
        _engine.remove_callbacks(handle)


def test_callback(table):
    calls = []

    def double(item, time, ins, outs):
        calls.append((item, round(time, 6)))
        outs[0][...] = 2 * ins[0]

    layer = TensorGraph(callback_plan(), 2, callbacks=table(double))
    u = np.arange(6.0).reshape(2, 3, 1)
    for came in (
        layer.run_eager([u], 3, stateful=False)[0][0],
        layer([u, counts(2, 3)])[0],
        tf.function(layer)([u, counts(2, 3)])[0],
    ):
        np.testing.assert_array_equal(came, 2 * u)
    first = [(item, step * 0.001) for step in (1, 2, 3) for item in (0, 1)]
    assert calls[:6] == first and len(calls) == 18


def test_callback_error_surfaces(table):
    def fail_late(item, time, ins, outs):
        if time > 0.0025:
            raise KeyError("the third step")
        outs[0][...] = ins[0]

    handle = table(fail_late)
    layer = TensorGraph(callback_plan(), 2, callbacks=handle)
    u = np.arange(1.0, 11).reshape(2, 5, 1)
    with pytest.raises(tf.errors.UnknownError, match="the third step"):
        layer([u, counts(2, 5)])
    assert layer.n_steps == 0
    assert isinstance(_engine.callback_error(handle), KeyError)

    model = build_keras_model(layer)
    with pytest.raises(tf.errors.UnknownError, match="the third step"):
        model.predict([u, counts(2, 5)], batch_size=2, verbose=0)
    _engine.callback_error(handle)

    outputs, steps = layer.run_eager([u], 5)  # keeps what was done before
    assert steps == 2 and layer.n_steps == 2
    np.testing.assert_array_equal(outputs[0], u[:, :2])
    np.testing.assert_array_equal(layer.get_state()["state"], np.full((2, 1), 0.003))
    assert "the third step" in layer.last_run.error
    assert isinstance(_engine.callback_error(handle), KeyError)

    layer.reset()
    outputs, steps = layer.run_eager([u[:, :2]], 2)  # usable as before
    assert steps == 2 and layer.last_run.error == ""


def test_kept_row_is_of_a_finished_step(table):
    def fail_late(item, time, ins, outs):
        if time > 0.0025 and item:
            raise KeyError("the third step")
        outs[0][...] = 10 * ins[0]

    layer = TensorGraph(callback_plan(), 2, callbacks=table(fail_late), keep_history=False)
    u = np.arange(1.0, 11).reshape(2, 5, 1)
    (out, early), steps = layer.run_eager([u], 5)
    assert steps == 2
    np.testing.assert_array_equal(out, 10 * u[:, 1:2])
    np.testing.assert_array_equal(early, u[:, 1:2])
    (out, early), steps = layer.run_eager([u], 5)  # fails in its first step
    assert steps == 0
    assert not out.any() and not early.any()


def test_callback_reads_the_variables(table):
    def look(item, time, ins, outs):
        outs[0][...] = layer.get_state()["state"][0, 0] + layer.n_steps

    layer = TensorGraph(callback_plan(), 1, callbacks=table(look))
    layer.set_state(state=[5.0])
    for steps in (2, 1):  # a run changes them when it is over
        due = layer.get_state()["state"][0, 0] + layer.n_steps
        outputs, _ = layer.run_eager([np.zeros((1, steps, 1))], steps)
        np.testing.assert_array_equal(outputs[0], np.full((1, steps, 1), due))
    np.testing.assert_allclose(layer.get_state()["state"], [[5.006]])


# ---------------------------------------------------------------- Keras


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_model_names_and_shapes(dtype):
    """S-12: as the Keras model has them."""
    layer = TensorGraph(
        filter_plan(dtype), 3, input_names=["node"], output_names=["probe", "probe_1"]
    )
    model = build_keras_model(layer)
    assert model.name == "keras_model"
    assert [tuple(t.shape) for t in model.outputs] == [(3, None, 2), (3, None, 2), (3,)]
    assert model.output_names == ["probe", "probe_1", "steps_run"]
    assert [(t.name, t.shape, t.dtype) for t in model.inputs] == [
        ("node", (3, None, 2), dtype),
        ("n_steps", (3, 1), "int32"),
    ]
    assert {k: (v.shape, v.dtype) for k, v in model.output.items()} == {
        "probe": ((3, None, 2), dtype),
        "probe_1": ((3, None, 2), dtype),
        "steps_run": ((3,), "int32"),
    }
    assert [w.name for w in model.weights] == ["gain", "net.total"]


def test_names_that_the_model_needs():
    layer = TensorGraph(
        filter_plan(), 3, input_names=["TensorGraph"], output_names=["steps_run", "steps_run"]
    )
    model = build_keras_model(layer)
    assert [tensor.name for tensor in model.inputs] == ["TensorGraph_1", "n_steps"]
    assert model.output_names == ["steps_run", "steps_run_1", "steps_run_2"]
    assert len(model([rows(3, 4), counts(3, 4)])) == 3


def test_layer_alone():
    """S-13: without a simulator."""
    key = object()
    layer = TensorGraph(filter_plan(), 2, input_keys=[key])
    inputs, n_steps = layer.build_inputs()
    assert list(inputs) == [key]
    outputs = layer([*inputs.values(), n_steps])
    assert [tuple(out.shape) for out in outputs] == [(2, None, 2), (2, None, 2), (2,)]
    assert layer.n_steps == 0  # nothing has run yet


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("stateful", [False, True])
def test_predict_in_several_minibatches(stateful, dtype):
    layer = TensorGraph(filter_plan(dtype), minibatch_size=2)
    model = build_keras_model(layer)
    layer.stateful = stateful
    u = rows(6, 5, dtype=dtype)
    floatx = keras.config.floatx()
    keras.config.set_floatx(dtype)
    try:
        came = model.predict({"u": u, "n_steps": counts(6, 5)}, batch_size=2, verbose=0)
    finally:
        keras.config.set_floatx(floatx)
    y, total = np.full((2, 2), 0.5), np.zeros((2, 2))
    for i in range(3):
        part = slice(2 * i, 2 * i + 2)
        due = filter_reference(u[part], y, total, GAIN)
        close(came["y"][part], due[0])
        close(came["total"][part], due[1])
        total = due[1][:, -1]
        y = due[0][:, -1] if stateful else y
    assert came["y"].dtype == dtype
    np.testing.assert_array_equal(came["steps_run"], np.full(6, 5))
    assert layer.n_steps == (15 if stateful else 0)


def test_predict_with_other_lengths_and_flags():
    """One model, one traced function: lengths and the stateful flag may change between calls."""
    layer = TensorGraph(filter_plan(), minibatch_size=2)
    model = build_keras_model(layer)
    for steps, stateful, due in (
        (3, True, 3),
        (8, False, 3),
        (1, True, 4),
        (8, True, 12),
    ):
        layer.stateful = stateful
        result = model.predict([rows(2, steps), counts(2, steps)], batch_size=2, verbose=0)
        assert result["y"].shape == (2, steps, 2)
        assert layer.n_steps == due


def test_model_without_inputs():
    model = build_keras_model(TensorGraph(clock_plan(), minibatch_size=2))
    result = model.predict(counts(2, 3), batch_size=2, verbose=0)
    np.testing.assert_allclose(result["time"][..., 0], [[0.001, 0.002, 0.003]] * 2, rtol=1e-6)


def test_two_models_side_by_side():
    layers = [TensorGraph(filter_plan(), minibatch_size=2) for _ in range(2)]
    models = [build_keras_model(layer) for layer in layers]
    layers[1].set_param(0, [7, 8])
    u = rows(2, 3)
    for model, gain in zip(models, (GAIN, np.array([7, 8])), strict=True):
        result = model.predict([u, counts(2, 3)], batch_size=2, verbose=0)
        close(
            result["y"],
            filter_reference(u, np.full((2, 2), 0.5), np.zeros((2, 2)), gain)[0],
        )
