"""The gradient of the op: exact numbers, TensorFlow's ways to ask for it, and errors."""

import threading

import numpy as np
import pytest
import tensorflow as tf
from gradient_networks import (
    counts,
    filter_in_tensorflow,
    filter_layer,
    gradients,
    inputs_of,
    loss_of,
    run,
    same,
)
from handmade import callback_plan, in_training

from nengo_dl import _engine
from nengo_dl.tensor_graph import TensorGraph


@pytest.mark.parametrize("record", [False, True])
@pytest.mark.parametrize("graph", [False, True])
def test_every_output_and_input_of_the_op(record, graph):
    """Outputs, learned parameters and state after the run; inputs, all parameters and state."""
    layer = filter_layer()
    rng = np.random.RandomState(0)
    values = [rng.randn(3, 7, 2), rng.randn(3, 2), rng.randn(3, 2), rng.randn(2)]
    given = [tf.constant(value) for value in values]
    weights = [rng.randn(3, 7, 2), rng.randn(3, 7, 2), rng.randn(3, 2), rng.randn(3, 2)]
    istate = np.zeros((3, 0), np.int32)

    def ours(u, y, total, gain):
        result = layer.run_ops[0]([u], [gain, total], y, istate, 0, 7, record=record)
        return (*result.outputs, *result.learned, result.state)

    def derivatives(function, u, y, total, gain):
        with tf.GradientTape() as tape:
            tape.watch([u, y, total, gain])
            outputs = function(u, y, total, gain)
            loss = tf.add_n([tf.reduce_sum(w * o) for w, o in zip(weights, outputs, strict=True)])
        return tape.gradient(loss, [u, y, total, gain])

    function = tf.function(derivatives, autograph=False) if graph else derivatives
    came = function(ours, *given)
    same(came, derivatives(filter_in_tensorflow, *given))
    if graph:  # differentiated from outside, too
        same(derivatives(tf.function(ours, autograph=False), *given), came)


def test_only_what_is_watched_is_computed():
    """The gradient op is asked for no more than the tape needs, eagerly and in a graph."""
    layer = filter_layer()
    u = inputs_of(layer, 5)[0]
    asked = []

    def step(rows):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(layer([rows, counts(3, 5)], training=True)[0])
        return tape.gradient(loss, layer.trainable_weights[0].value)

    graph = tf.function(step).get_concrete_function(u).graph
    for node in graph.get_operations():
        if node.type == "NengoDL>RunGrad":
            asked.append(
                [node.get_attr(name) for name in ("want_inputs", "want_params", "want_state")]
            )
    assert asked == [[[], [0, 1], False]]


def test_frozen_weight_has_no_gradient_and_the_rest_keeps_its_tape():
    layer = filter_layer()
    layer.base_params[0].trainable = False
    with tf.GradientTape() as tape:
        y, total, _ = layer([inputs_of(layer, 5)[0], counts(3, 5)], training=True)
        loss = tf.reduce_sum(y) + tf.reduce_sum(total)
    gain, learned = tape.gradient(loss, [weight.value for weight in layer.base_params])
    assert gain is None
    np.testing.assert_array_equal(learned, np.full((3, 2), 5.0))


def test_weight_that_is_watched_though_not_trainable():
    """It was not recorded for, so that the run is done again."""
    due = gradients(filter_layer(), inputs_of(filter_layer(), 5))[1]["parameter 0"]
    layer = filter_layer(trainable_params=[False, True])
    variable = layer.base_params[0]._value
    with tf.GradientTape() as tape:
        tape.watch(variable)
        loss = loss_of(layer([inputs_of(layer, 5)[0], counts(3, 5)], training=True)[:-1])
    same(tape.gradient(loss, variable), due)


def test_two_runs_on_one_tape():
    """The loss of two runs is the sum, and a run's inputs may be another's outputs."""
    layer = filter_layer()
    u = inputs_of(layer, 5)[0]
    with tf.GradientTape() as tape:
        tape.watch(u)
        first = run(layer, [u])[0]
        second = run(layer, [first])[0]
        loss = tf.reduce_sum(second**2)
    came = tape.gradient(loss, [u, layer.base_params[0].value])

    gain = tf.Variable([1.0, 2.0], dtype=tf.float64)
    y0 = layer.get_state()["state"]
    with tf.GradientTape() as tape:
        tape.watch(u)
        first = filter_in_tensorflow(u, y0, np.zeros((3, 2)), gain)[0]
        second = filter_in_tensorflow(first, y0, np.zeros((3, 2)), gain)[0]
        loss = tf.reduce_sum(second**2)
    same(came, tape.gradient(loss, [u, gain]))


@pytest.mark.parametrize("graph", [False, True])
@pytest.mark.parametrize("pfor", [False, True])
def test_jacobian(graph, pfor):
    layer = filter_layer(1)
    u = inputs_of(layer, 4)[0]

    def jacobian(u):
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(u)
            y = run(layer, [u])[0][0, :, 0]
        return tape.jacobian(y, u, experimental_use_pfor=pfor)

    function = tf.function(jacobian, autograph=False) if graph else jacobian
    came = function(u)[:, 0, :, 0]
    due = [[0.9 ** (t - s) if s <= t else 0 for s in range(4)] for t in range(4)]
    np.testing.assert_allclose(came, due, rtol=1e-12)


@pytest.mark.parametrize("graph", [False, True])
def test_no_second_derivatives(graph):
    layer = filter_layer()
    u = inputs_of(layer, 5)[0]

    def second(u):
        with tf.GradientTape() as outer:
            outer.watch(u)
            with tf.GradientTape() as inner:
                inner.watch(u)
                loss = tf.reduce_sum(run(layer, [u])[0] ** 2)
            first = inner.gradient(loss, u)
        return outer.gradient(first, u)

    function = tf.function(second, autograph=False) if graph else second
    with pytest.raises((LookupError, tf.errors.UnimplementedError), match="no second derivatives"):
        function(u)


def test_indexed_gradients():
    """Gathering from an output gives its gradient as slices."""
    layer = filter_layer()
    u = inputs_of(layer, 5)[0]
    with tf.GradientTape() as tape:
        tape.watch(u)
        loss = tf.reduce_sum(tf.gather(run(layer, [u])[0], [2, 0]))
    grad = tape.gradient(loss, u).numpy()
    assert grad[0].any() and grad[2].any() and not grad[1].any()


# ---------------------------------------------------------------- errors


def op_arguments(layer, steps=5):
    batch = layer.minibatch_size
    return {
        "inputs": inputs_of(layer, steps),
        "params": [layer.get_param(i) for i in range(len(layer.base_params))],
        "state": layer.get_state()["state"],
        "istate": np.zeros((batch, 0), np.int32),
        "first_step": 0,
        "n_steps": steps,
    }


def test_partial_run_has_no_gradient():
    def fail_late(item, time, ins, outs):
        if time > 0.0025:
            raise KeyError("the third step")
        outs[0][...] = ins[0]

    table = _engine.add_callbacks([fail_late])
    try:
        plan = in_training(callback_plan())
        layer = TensorGraph(plan, 1, callbacks=table)
        u = tf.constant(np.ones((1, 5, 1)))
        with tf.GradientTape() as tape:
            tape.watch(u)
            result = layer.run_graph([u], 5, False, partial=True, training=True)
            loss = tf.reduce_sum(result.outputs[1])
        assert int(result.steps) == 2
        with pytest.raises(tf.errors.InvalidArgumentError, match="expected 5 steps, got 2"):
            tape.gradient(loss, u)
    finally:
        _engine.remove_callbacks(table)


def test_callbacks_pass_nothing_but_the_rest_has_its_gradient():
    """Recorded, a program with Python functions has a gradient; it is not run again without."""
    calls = []

    def double(item, time, ins, outs):
        calls.append(time)
        outs[0][...] = 2 * ins[0]

    table = _engine.add_callbacks([double])
    try:
        plan = in_training(callback_plan())
        layer = TensorGraph(plan, 1, callbacks=table, tape_memory=0)
        u = tf.constant(np.ones((1, 5, 1)))
        for training in (True, False):
            with tf.GradientTape() as tape:
                tape.watch(u)
                out, early, _ = layer([u, counts(1, 5)], training=training)
                loss = tf.reduce_sum(out) + 3 * tf.reduce_sum(early)
            calls.clear()
            if training:
                np.testing.assert_array_equal(tape.gradient(loss, u), np.full((1, 5, 1), 3.0))
            else:
                with pytest.raises(tf.errors.InvalidArgumentError, match="Python functions"):
                    tape.gradient(loss, u)
            assert calls == []
    finally:
        _engine.remove_callbacks(table)


def grad_arguments(layer, **changes):
    """Arguments of NengoDL>RunGrad for a recorded run of `filter_layer`."""
    run_arguments = op_arguments(layer)
    result = layer.run_ops[0](**run_arguments, record=True)
    attrs = {k: v for k, v in layer.run_ops[0]._attrs.items()}
    arguments = {
        **run_arguments,
        "first_step": tf.constant(0, tf.int64),
        "n_steps": tf.constant(5, tf.int64),
        "steps": result.steps,
        "tape": result.tape,
        "output_grads": [np.ones((3, 5, 2)), np.ones((3, 5, 2))],
        "learned_grads": [np.ones((3, 2))],
        "state_out_grad": np.ones((3, 2)),
        "wanted": [0, 1],
        "want_inputs": [0],
        "want_params": [0, 1],
        "want_state": True,
        "n_input_grads": 1,
        "n_param_grads": 2,
        "n_state_grads": 1,
        **{
            k: attrs[k]
            for k in (
                "program",
                "output_sizes",
                "keep_last",
                "learned",
                "callbacks",
                "threads",
                "memory",
            )
        },
    }
    return {**arguments, **changes}


WRONG = {
    "output_grads": (
        [np.ones((3, 5, 2)), np.ones((3, 4, 2))],
        r"output_grads\[1\].*(expected|steps)",
    ),
    "learned_grads": ([np.ones((2, 2))], r"learned_grads\[0\].*expected"),
    "state_out_grad": (np.ones((3, 3)), "state_out_grad.*expected"),
    "state": (np.ones((2, 2)), "expected"),
    "inputs": ([np.ones((3, 6, 2))], "expected"),
    "n_steps": (tf.constant(-1, tf.int64), "n_steps.*expected"),
    "steps": (tf.constant(3, tf.int64), "stopped early.*expected 5 steps, got 3"),
    "tape": (
        tf.raw_ops.EmptyTensorList(element_shape=-1, max_num_elements=1, element_dtype=tf.int32),
        "'tape': expected what this run recorded",
    ),
    "want_inputs": ([1], "want_inputs.*ascending"),
    "want_params": ([1, 0], "want_params.*ascending"),
    "wanted": ([0], "want_params.*wanted.*total"),
    "n_param_grads": (1, "n_param_grads.*2, got 1"),
    "n_state_grads": (0, "n_state_grads.*1, got 0"),
    "memory": (-2, "memory.*-1 for no limit, got -2"),
    "threads": (-1, "threads.*0 or more"),
    "learned": ([0], "learned"),
    "keep_last": ([0], "keep_last"),
    "output_sizes": ([2, 3], "(output_sizes|output_grads)"),
}


@pytest.mark.parametrize("graph", [False, True])
@pytest.mark.parametrize("which", list(WRONG))
def test_wrong_argument_of_the_gradient_is_named(which, graph):
    layer = filter_layer()
    value, message = WRONG[which]
    arguments = grad_arguments(layer, **{which: value})
    op = tf_load().nengo_dl_run_grad

    def call():
        return op(**arguments)

    function = tf.function(call, autograph=False) if graph else call
    with pytest.raises((ValueError, tf.errors.InvalidArgumentError), match=message):
        function()


def test_right_arguments_of_the_gradient():
    by_inputs, by_params, by_state = tf_load().nengo_dl_run_grad(**grad_arguments(filter_layer()))
    assert [g.shape for g in (*by_inputs, *by_params, *by_state)] == [
        (3, 5, 2),
        (2,),
        (3, 2),
        (3, 2),
    ]
    none = grad_arguments(filter_layer(), want_inputs=[], want_params=[], want_state=False)
    none.update(n_input_grads=0, n_param_grads=0, n_state_grads=0)
    assert tf_load().nengo_dl_run_grad(**none) == ([], [], [])


def test_tape_of_another_run():
    """Of other steps, or of another program: found out, not believed."""
    layer = filter_layer()
    arguments = grad_arguments(layer)
    other = layer.run_ops[0](**op_arguments(layer, 500), record=True)
    with pytest.raises(tf.errors.InvalidArgumentError, match="tape"):
        tf_load().nengo_dl_run_grad(**{**arguments, "tape": other.tape})


def test_cancelled_gradient():
    """The gradient of a long run stops when TensorFlow cancels it."""
    from tensorflow.python.eager import cancellation

    n_steps = 3_000_000
    arguments = grad_arguments(filter_layer())
    arguments.update(
        state=np.ones((1, 2)),
        state_out_grad=np.ones((1, 2)),
        inputs=[tf.ones((1, n_steps, 2), tf.float64)],
        params=[np.ones(2), np.ones((1, 2))],
        istate=np.zeros((1, 0), np.int32),
        n_steps=tf.constant(n_steps, tf.int64),
        steps=tf.constant(n_steps, tf.int64),
        tape=tf.zeros_like(arguments["tape"]),  # holds nothing
        memory=0,
        output_grads=[tf.ones((1, n_steps, 2), tf.float64)] * 2,
        learned_grads=[np.ones((1, 2))],
    )
    call = tf.function(lambda: tf_load().nengo_dl_run_grad(**arguments), autograph=False)
    manager = cancellation.CancellationManager()
    cancelable = manager.get_cancelable_function(call.get_concrete_function())
    timer = threading.Timer(0.1, manager.start_cancel)
    timer.start()
    with pytest.raises(tf.errors.CancelledError, match="RunGrad"):
        cancelable()
    timer.join()


def tf_load():
    from nengo_dl.layer import tf_ops

    return tf_ops.load()
