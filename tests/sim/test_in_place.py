"""Runs on variables: what the op NengoDL>Bind binds, alone and in the layer."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tensorflow as tf
from handmade import filter_plan, filter_reference

from nengo_dl import _engine
from nengo_dl.ir.program import to_bytes
from nengo_dl.layer import tf_ops
from nengo_dl.tensor_graph import TensorGraph


def bind(dtype, variables, **changes):
    """Bind the program of `filter_plan` to variables."""
    gain, total = variables["gain"], variables["total"]
    arguments = {
        "program": to_bytes(filter_plan(dtype).only_program()),
        "keep_last": [0, 0],
        "callbacks": -1,
        "threads": 0,
        "backend": "cpu",
        "params": [gain.handle, total.handle],
        **{key: variables[key].handle for key in ("state", "istate", "steps_done")},
        **changes,
    }
    return _engine.Bound(int(tf_ops.load().nengo_dl_bind(**arguments)))


def bound(dtype="float64", batch=2, **changes):
    """Variables of `filter_plan`, and the program that is bound to them."""
    variables = {
        "state": tf.Variable(np.zeros((batch, 2), dtype)),
        "istate": tf.Variable(np.zeros((batch, 0), np.int32)),
        "steps_done": tf.Variable(np.int64(3)),
        "gain": tf.Variable(np.array([1, 2], dtype)),
        "total": tf.Variable(np.zeros((batch, 2), dtype)),
        **changes,
    }
    return variables, bind(dtype, variables)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_run_in_place(dtype):
    variables, program = bound(dtype)
    u = np.random.RandomState(0).randn(2, 5, 2).astype(dtype)
    outputs, first_step, steps, error = program.run([u], 5, 0.0)
    due = filter_reference(u, np.zeros((2, 2)), np.zeros((2, 2)), np.array([1, 2]))
    for came, expected in zip(outputs, due, strict=True):
        np.testing.assert_allclose(came, expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(variables["state"], due[0][:, -1], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(variables["total"], due[1][:, -1], rtol=1e-5, atol=1e-5)
    assert (first_step, steps, error) == (3, 5, "")
    assert variables["steps_done"].numpy() == program.steps_done == 8


@pytest.mark.parametrize(
    "changes, run, message",
    [
        ({}, {"inputs": [np.zeros((2, 4, 2))]}, r"inputs\[0\] \('u'\).*\(2, 5, 2\).*\(2, 4, 2\)"),
        ({}, {"inputs": [np.zeros((2, 5, 2), np.float32)]}, r"expected .* float64.* float32"),
        ({}, {"inputs": [np.zeros((2, 2, 5)).swapaxes(1, 2)]}, "not C-contiguous"),
        ({}, {"inputs": []}, "inputs: expected 1, as the program has, got 0"),
        ({}, {"n_steps": -1}, "n_steps .*expected 0 or more, got -1"),
        ({}, {"time_limit": np.nan}, "time_limit: expected 0 or more"),
        ({"istate": np.zeros((3, 0), np.int32)}, {}, "'istate': .* got shape \\[3,0\\]"),
        ({"total": np.zeros((3, 2))}, {}, "'net/total': .*2 times 2 elements .*got shape"),
        ({"gain": np.zeros(3)}, {}, "'gain': .*2 elements, got shape"),
        ({"state": np.zeros((2, 2), "f")}, {}, "'state': expected to hold double, got float"),
        ({"gain": np.zeros(2, "f")}, {}, "'gain': expected to hold double, got float"),
    ],
)
def test_wrong_use_of_a_bound_program(changes, run, message):
    variables, program = bound(**{name: tf.Variable(value) for name, value in changes.items()})
    arguments = {"inputs": [np.zeros((2, 5, 2))], "n_steps": 5, "time_limit": 0.0, **run}
    with pytest.raises(ValueError, match=message):
        program.run(**arguments)
    assert variables["steps_done"].numpy() == 3  # and not locked any more


@pytest.mark.parametrize("items", [0, 3])
def test_items_of_a_minibatch(items):
    _, program = bound()
    with pytest.raises(ValueError, match=f"items: expected 1 to 2, got {items}"):
        program.run_items([np.zeros((2, 5, 2))], 5, items, True)


@pytest.mark.parametrize("keep_state", [True, False])
@pytest.mark.parametrize("items", [1, 2])
def test_what_stays_of_a_minibatch(items, keep_state):
    """The state of the first items if it is to stay; what is learned in any case."""
    variables, program = bound()
    names = ("state", "total", "steps_done")
    before = [variables[name].numpy() for name in names]
    u = np.random.RandomState(0).randn(2, 5, 2)
    outputs, first_step, steps, error = program.run_items([u], 5, items, keep_state)
    assert (first_step, steps, error) == (3, 5, "")
    state, total, done = (variables[name].numpy() for name in names)
    kept = items if keep_state else 0
    np.testing.assert_array_equal(state[:kept], outputs[0][:kept, -1])
    np.testing.assert_array_equal(state[kept:], before[0][kept:])
    np.testing.assert_array_equal(total[:items], outputs[1][:items, -1])
    np.testing.assert_array_equal(total[items:], before[1][items:])
    assert done == (8 if keep_state else 3)


def test_one_variable_for_two():
    shared = tf.Variable(np.zeros((2, 2)))
    _, program = bound(state=shared, total=shared)
    with pytest.raises(ValueError, match="got two that are the same"):
        program.run([np.zeros((2, 5, 2))], 5, 0.0)
    assert not shared.numpy().any()


def test_a_bound_program_outlives_its_variables_names():
    _, program = bound()  # the variables are gone, what they held is not
    outputs, *_ = program.run([np.ones((2, 1, 2))], 1, 0.0)
    np.testing.assert_array_equal(outputs[1], np.ones((2, 1, 2)))


def test_a_bound_program_is_taken_over_once():
    with pytest.raises(IndexError, match="no bound program has the number 123456"):
        _engine.Bound(123456)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"program": b"nonsense"}, "NengoDL>Bind"),
        ({"keep_last": [0]}, "'keep_last': expected 2 entries, one per output, got 1"),
        ({"threads": -1}, "'threads'"),
        ({"callbacks": [1, 2]}, "expected a scalar"),
        ({"params": []}, "params: expected 2, .* got 0"),
    ],
)
def test_malformed_binding(change, message):
    variables, _ = bound()
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        bind("float64", variables, **change)


def test_binding_to_a_state_without_items():
    with pytest.raises(tf.errors.InvalidArgumentError, match="'state': expected shape"):
        bound(state=tf.Variable(np.zeros(4)))


# ---------------------------------------------------------------- layer


def rows(batch, steps, dtype="float32"):
    return np.random.RandomState(0).randn(batch, steps, 2).astype(dtype)


def close(came, due):
    np.testing.assert_allclose(came, due, rtol=1e-5, atol=1e-5)


def test_what_was_read_stays():
    """A run works in the variables' memory, but not while somebody looks at it."""
    layer = TensorGraph(filter_plan(), minibatch_size=2)
    state, learned = layer.saved_state["state"], layer.base_params[1]._value
    before = state.value(), learned.value(), layer.saved_state["n_steps"].value()
    copies = [np.array(value) for value in before]
    views = [np.asarray(memoryview(value)) for value in before]
    layer.run_eager([rows(2, 3)], 3)
    for value, view, copy in zip(before, views, copies, strict=True):
        np.testing.assert_array_equal(value, copy)
        np.testing.assert_array_equal(view, copy)
    close(learned.numpy(), rows(2, 3).sum(axis=1))
    assert not np.allclose(state.numpy(), copies[0])


def test_runs_after_assignments():
    layer = TensorGraph(filter_plan("float64"), minibatch_size=1)
    u = rows(1, 4, dtype="float64")
    layer.run_eager([u], 4)
    layer.saved_state["state"].assign([[3.0, 4.0]])
    layer.base_params[1].assign([[7.0, 8.0]])
    layer.base_params[0].assign([10.0, 20.0])
    layer.saved_state["n_steps"].assign(100)
    y, total = layer.run_eager([u], 4)[0]
    due = filter_reference(u, [[3.0, 4.0]], [[7.0, 8.0]], np.array([10.0, 20.0]))
    close(y, due[0])
    close(total, due[1])
    assert layer.n_steps == 104


@pytest.fixture
def asynchronously():
    """Calls functions in a thread where TensorFlow's ops are only begun when their call returns."""

    def call(function):
        tf.config.experimental.set_synchronous_execution(False)
        try:
            return function()
        finally:
            tf.config.experimental.set_synchronous_execution(True)

    with ThreadPoolExecutor(1) as pool:
        yield lambda function: pool.submit(call, function).result()


@pytest.mark.parametrize("method", ["run", "minibatch", "n_steps"])
def test_runs_after_assignments_that_have_only_begun(asynchronously, method):
    layer = TensorGraph(filter_plan("float64"), minibatch_size=1)
    u, state, start = rows(1, 4, dtype="float64"), [[3.0, 4.0]], np.array([1, 2])

    def run():
        matrix = tf.ones((2000, 2000))
        product = matrix @ matrix  # what follows waits for it
        # `tf.Variable.assign` waits sometimes
        for key, value in (("state", np.array(state)), ("n_steps", np.int64(100))):
            handle = layer.saved_state[key].handle
            tf.raw_ops.AssignVariableOp(resource=handle, value=tf.constant(value))
        if method == "n_steps":
            assert layer.n_steps == 100
            return product
        if method == "run":
            y, _ = layer.run_eager([u], 4)[0]
        else:
            y, _ = layer.direct.minibatch([u], 4, True)
        close(y, filter_reference(u, state, np.zeros((1, 2)), start)[0])
        assert layer.n_steps == 104

        assert product.shape == matrix.shape

    asynchronously(run)


def test_elsewhere_than_on_the_cpu(monkeypatch):
    """Where variables are on another device, runs work on what is read from them."""
    monkeypatch.setattr(TensorGraph, "_on_cpu", lambda self: False)
    layer = TensorGraph(filter_plan(), minibatch_size=3)
    assert layer.direct is None
    u = rows(3, 5)
    outputs, steps = layer.run_eager([u], 5)
    due = filter_reference(u, np.full((3, 2), 0.5), np.zeros((3, 2)), np.array([1, 2]))
    for came, expected in zip(outputs, due, strict=True):
        close(came, expected)
    assert steps == 5 and layer.n_steps == 5
    close(layer.get_param(1), due[1][:, -1])
