"""A loop of TensorFlow over steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf


def over_steps(
    n_steps: Any, items: int, n_outputs: int, dtype: Any, carried: Sequence[Any], one_step: Callable
) -> tuple[list[Any], list[Any], Any]:
    """Call a function for one step after the other.

    Parameters
    ----------
    n_steps : tensor
        Steps to do.
    items : int
        Items of the minibatch.
    n_outputs : int
        How many outputs there are.
    dtype : str or tf.DType
        Precision of the outputs.
    carried : sequence of tensors
        What the first step is given of the one before it.
    one_step : callable
        ``one_step(step, carried)`` returns the outputs of a step, (items, size) each, and what the
        next one is given.

    Returns
    -------
    outputs : list of tensors, shape (items, n_steps, size)
        Those of all steps.
    carried : list of tensors
        What the last step gave.
    steps : tensor
        Steps that were done.
    """
    n_steps, count = tf.cast(n_steps, tf.int32), len(carried)
    arrays = [tf.TensorArray(dtype, n_steps) for _ in range(n_outputs)]

    def body(step, *rest):
        outputs, after = one_step(step, list(rest[:count]))
        written = [a.write(step, v) for a, v in zip(rest[count:], outputs, strict=True)]
        return step + 1, *after, *written

    steps, *rest = tf.while_loop(
        lambda step, *_: step < n_steps,
        body,
        (tf.constant(0), *carried, *arrays),
        parallel_iterations=1,
    )
    stacked = [tf.reshape(a.stack(), (-1, items, a.element_shape[-1])) for a in rest[count:]]
    return [tf.transpose(value, (1, 0, 2)) for value in stacked], rest[:count], steps
