"""Minibatches of fewer items than a layer has: filled up, and what of them is written back."""

from __future__ import annotations

from typing import Any

import tensorflow as tf


def filled_up(rows: list[Any], n_steps: Any, size: int) -> tuple[list[Any], Any]:
    """Rows of a whole minibatch, and how many of its items count; None if all do."""
    items = n_steps.shape[0]
    if items == size:
        return rows, None
    rows = [tf.convert_to_tensor(values) for values in rows]

    def copied():
        copies = tf.minimum(tf.range(size), items - 1)
        return [tf.gather(values, copies) for values in rows]

    if items is not None:
        if not 0 < items < size:
            raise ValueError(f"expected 1 to minibatch_size={size} items, got {items}")
        return copied(), items
    items = tf.shape(n_steps)[0]
    full = tf.cond(items == size, lambda: rows, copied) if rows else rows
    return [tf.ensure_shape(values, (size, *values.shape[1:])) for values in full], items


def write_rows(variable: tf.Variable, value: tf.Tensor, items: Any) -> None:
    """Set the first ``items`` rows of a variable, all of them if that is None."""
    if items is not None:
        count = tf.reshape(tf.range(variable.shape[0]), (-1, *[1] * (variable.shape.rank - 1)))
        changed = count < items
        value = tf.where(changed, value, variable.value())
    variable.assign(value)
