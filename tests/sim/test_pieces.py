"""A layer whose plan has several pieces: what one hands on, the next one takes."""

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
from handmade import filter_plan, filter_reference, in_training

from nengo_dl.tensor_graph import TensorGraph, build_keras_model

BATCH, STEPS = 3, 6


def two_filters(dtype="float64"):
    """The filter twice: the second takes what the first gives; outputs: both, and the last sum."""
    plan = in_training(filter_plan(dtype))
    (run,) = plan.pieces
    # values: 0 the input, 1 and 2 what the first filter gives, 3 and 4 what the second does
    second = replace(run, inputs=(1,), outputs=(3, 4), params=(2, 3), initial_state=np.ones(2))
    return replace(
        plan,
        pieces=(replace(run, outputs=(1, 2)), second),
        outputs=(replace(plan.outputs[0], name="first"), *plan.outputs),
        results=(1, 3, 4),
        params=plan.params * 2,
        param_values=(*plan.param_values, np.array([3.0, -1.0]), np.zeros(2)),
        weights=plan.weights * 2,
    )


def expected(u, state=((0.5, 0.5), (1, 1)), totals=(0, 0)):
    """The same in NumPy: the outputs, and the sum of the first filter."""
    y, total = filter_reference(u, state[0], totals[0], np.array([1.0, 2.0]))
    z, sums = filter_reference(y, state[1], totals[1], np.array([3.0, -1.0]))
    return [y, z, sums], total


def rows(seed=0):
    return np.random.RandomState(seed).randn(BATCH, STEPS, 2)


def assert_close(found, due):
    for ours, theirs in zip(found, due, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)


def test_values_state_and_learned_parameters_of_every_piece():
    layer = TensorGraph(two_filters(), BATCH)
    u, more = rows(), rows(1)
    found, steps = layer.run_eager([u], STEPS)
    due, total = expected(u)
    assert steps == STEPS and layer.n_steps == STEPS
    assert_close(found, due)
    state = layer.get_state()
    assert set(state) == {"state", "istate", "state_1", "istate_1", "n_steps"}
    assert_close((state["state"], state["state_1"]), [y[:, -1] for y in due[:2]])
    assert_close((layer.get_param(1), layer.get_param(3)), (total[:, -1], due[2][:, -1]))
    # it goes on from there
    again, _ = expected(more, (state["state"], state["state_1"]), (total[:, -1], due[2][:, -1]))
    assert_close(layer.run_eager([more], STEPS)[0], again)
    layer.reset(params=True)
    assert_close(layer.run_eager([u], STEPS)[0], due)


def test_state_may_be_given_for_every_piece():
    given = [np.array([3.0, 4.0]), np.array([5.0, 6.0])]
    layer = TensorGraph(two_filters(), BATCH, state=given)
    u = rows()
    assert_close(layer.run_eager([u], STEPS)[0], expected(u, given)[0])
    with pytest.raises(ValueError, match="state: "):
        TensorGraph(two_filters(), BATCH, state=given[:1])


def test_what_crosses_is_whole_though_only_its_last_step_is_wanted():
    layer = TensorGraph(two_filters(), BATCH, keep_history=[False, True, False])
    u = rows()
    found, _ = layer.run_eager([u], STEPS)
    assert [value.shape[1] for value in found] == [1, STEPS, 1]
    due, _ = expected(u)
    assert_close(found, [v[:, -n:] for v, n in zip(due, (1, STEPS, 1), strict=True)])


def test_gradients_pass_from_piece_to_piece():
    layer = TensorGraph(two_filters(), BATCH)
    layer.stateful = False
    u = tf.constant(rows())
    weights = [layer.base_params[0].value, layer.base_params[2].value]
    n_steps = tf.fill((BATCH, 1), STEPS)
    with tf.GradientTape() as tape:
        tape.watch(u)
        loss = tf.reduce_sum(layer([u, n_steps], training=True)[1] ** 2)
    found = tape.gradient(loss, [u, *weights])

    def of(u, first, second):
        y = filter_reference(u, 0.5, 0, first)[0]
        return np.sum(filter_reference(y, 1, 0, second)[0] ** 2)

    values = [u.numpy(), np.array([1.0, 2.0]), np.array([3.0, -1.0])]
    for number, gradient in enumerate(found):
        direction = np.random.RandomState(number).randn(*values[number].shape)
        ends = []
        for h in (1e-6, -1e-6):
            moved = list(values)
            moved[number] = values[number] + h * direction
            ends.append(of(*moved))
        due = (ends[0] - ends[1]) / 2e-6
        np.testing.assert_allclose(np.sum(gradient * direction), due, rtol=1e-6)


def test_weights_of_all_pieces_are_saved_and_trained(tmp_path):
    file = tmp_path / "x.weights.h5"
    layer = TensorGraph(two_filters(), BATCH)
    layer.set_param(2, [7, 8])
    layer.set_param(3, np.ones((BATCH, 2)))
    model = build_keras_model(layer)
    model.save_weights(file)
    other = TensorGraph(two_filters(), BATCH)
    build_keras_model(other).load_weights(file)
    for index in range(4):
        np.testing.assert_array_equal(other.get_param(index), layer.get_param(index))
    assert len(model.trainable_weights) == 4
    data = [tf.constant(rows()), tf.fill((BATCH, 1), STEPS)]
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(model(data, training=True)["y"] ** 2)
    gradients = tape.gradient(loss, model.trainable_weights)
    assert all(np.any(gradients[i] != 0) for i in (0, 2))
