"""Runs of the pieces of a plan in windows of steps: what they hand on exists for a window only."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from nengo_dl.plan.pieces import Plan

FEW_WINDOWS = 4  # as many are run at once: little to save, and the start of each takes a moment


def most_at_once(plan: Plan, items: int) -> float:
    """Most steps of so many items for which no windows are made, where that is known beforehand.

    A plan of one program has windows of its own: all of its steps are run at once.
    """
    return math.inf if plan.single else FEW_WINDOWS * plan.steps_at_once(items)


def window_of(run: Any, inputs: Sequence[Any]) -> int | None:
    """Steps of a window; None if all steps are run at once.

    That is where there are known to be few, and where values are recorded for the gradient.

    Parameters
    ----------
    run : nengo_dl.layer.pieces.PieceRun
        The run.
    inputs : sequence of tensors, shape (items, n_steps, size)
        Rows of the plan's inputs.
    """
    layer = run.layer
    if run.record or layer.few_steps or run.plan.single:
        return None
    steps = known_steps(run.n_steps, inputs)
    if steps is not None and steps <= layer.most_at_once:
        return None
    return layer.plan.steps_at_once(layer.minibatch_size)


def known_steps(n_steps: Any, inputs: Sequence[Any]) -> int | None:
    """How many steps there are, if that is known before they are run."""
    known = tf.get_static_value(tf.convert_to_tensor(n_steps))
    if known is not None:
        return int(known)
    return inputs[0].shape[1] if inputs else None


def in_windows(run: Any, inputs: Sequence[Any], window: int) -> list[Any]:
    """Run the pieces on one window of steps after the other.

    Parameters
    ----------
    run : nengo_dl.layer.pieces.PieceRun
        The run: what lives, its losses, and what says that all is done, is replaced.
    inputs : sequence of tensors, shape (items, n_steps, size)
        Rows of the plan's inputs.
    window : int
        Steps of a window; the last one has the rest.

    Returns
    -------
    list of tensors, shape (items, n_steps or 1, size)
        The plan's outputs.
    """
    keeps, n_steps = run.layer.keep_history, tf.cast(run.n_steps, tf.int32)
    runs, params, traced = list(run.live.states), list(run.live.params), []

    def one_window(number, done, losses, living, arrays):
        count = tf.minimum(window, n_steps - done)
        part = run.part(run.live.from_tensors(living, runs, params), done, count)
        outputs = part.at_once([value[:, done : done + count] for value in inputs])
        traced[:] = [(outputs, len(part.losses))]
        arrays = [
            _put(array, value, number if keep else 0)
            for array, value, keep in zip(arrays, outputs, keeps, strict=True)
        ]
        with tf.control_dependencies(part.finished):
            done += count
        sums = [a + b for a, b in zip(losses, part.losses, strict=False)]
        return number + 1, done, [*sums, *losses[len(sums) :]], part.live.of(runs, params), arrays

    none = [tf.zeros((), run.plan.dtype)] * len(run.plan.pieces)  # a piece has a loss at most
    zero = tf.constant(0)
    _, done, losses, living, arrays = tf.while_loop(
        lambda number, done, *_: (number < 1) | (done < n_steps),  # once without steps, too
        one_window,
        (zero, zero, none, run.live.of(runs, params), _arrays(run, n_steps, window)),
        parallel_iterations=1,
    )
    ((outputs, n_losses),) = traced
    steps = known_steps(run.n_steps, inputs)
    run.live, run.finished = run.live.from_tensors(living, runs, params), [done]
    run.losses = losses[:n_losses]
    return [
        _joined(array, run, value, steps if keep else value.shape[1])
        for array, value, keep in zip(arrays, outputs, keeps, strict=True)
    ]


def _arrays(run, n_steps, window):
    """Where the outputs of windows are put, item by item: all of them, or the last one's."""
    windows, items = tf.maximum(1, -(-n_steps // window)), run.layer.minibatch_size
    return [
        tf.TensorArray(
            run.plan.dtype,
            windows * items if keep else items,
            infer_shape=False,
            element_shape=(None, port.size),
        )
        for keep, port in zip(run.layer.keep_history, run.plan.outputs, strict=True)
    ]


def _put(array, value, number):
    """Put the output of a window, (items, n_steps, size), where it belongs."""
    items = value.shape[0]
    return array.scatter(tf.range(items) * (array.size() // items) + number, value)


def _joined(array, run, value, steps):
    """Outputs of all windows as those of all steps; ``value`` is that of a window."""
    joined, items, size = array.concat(), run.layer.minibatch_size, value.shape[2]
    joined = tf.reshape(joined, (items, tf.shape(joined)[0] // items, size))
    return tf.ensure_shape(joined, (items, steps, size))
