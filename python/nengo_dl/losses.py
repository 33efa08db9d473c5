"""Loss functions beside those of Keras."""

import numbers
from typing import Any

import numpy as np
from nengo.exceptions import ValidationError

from .keras_private import check_keras

check_keras()

import keras  # noqa: E402
import tensorflow as tf  # noqa: E402


def nan_mse(y_true: Any, y_pred: Any) -> tf.Tensor:
    """Mean squared error where targets that are NaN count as met.

    They stay in the denominator of the mean: the more targets are missing, the smaller the loss.

    Parameters
    ----------
    y_true : tensor or None
        Targets, NaN where anything will do; None if it will everywhere.
    y_pred : tensor
        Values of the same shape.

    Returns
    -------
    tensor
        The mean over all elements, a scalar. (So a ``sample_weight`` of Keras scales all of it.)
    """
    y_pred = tf.convert_to_tensor(y_pred)
    if not y_pred.dtype.is_floating:
        y_pred = tf.cast(y_pred, keras.config.floatx())
    y_true = tf.cast(np.nan if y_true is None else y_true, y_pred.dtype)
    # not of the error: where an error of NaN is masked its gradient would still be NaN
    y_true = tf.where(tf.math.is_nan(y_true), tf.stop_gradient(y_pred), y_true)
    return tf.reduce_mean(tf.square(y_true - y_pred))


class Regularize(keras.losses.Loss):
    """The norm of a Probe's values in each step, averaged over steps and items.

    Its gradient by values that are 0, such as those of silent neurons, is 0.

    Put a Probe on what is to be kept small, and give it this loss. It needs no targets, and does
    not look at any: called by itself it takes None for them.

    Parameters
    ----------
    order : float or str
        Order of the norm, as ``ord`` of ``tf.norm``: a positive number, ``np.inf``,
        ``"euclidean"``.
    axis : int, optional
        Axis of the probed value over which the norm is taken, not counting the axes of items and
        steps. By default over all its elements.
    **kwargs
        Further arguments of ``keras.losses.Loss``.

    Attributes
    ----------
    needs_target : bool
        False: the simulator computes the loss, by its ``call``, also of Probes without targets.
    """

    needs_target = False

    def __init__(
        self,
        order: float | str = 2,
        axis: int | None = None,
        name: str = "regularize",
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, **kwargs)
        number = isinstance(order, numbers.Real) and not isinstance(order, bool)
        if order != "euclidean" and not (number and float(order) > 0):
            raise ValidationError(
                f"must be a positive number, np.inf or 'euclidean', got {order!r}",
                attr="order",
                obj=self,
            )
        if axis is not None and (isinstance(axis, bool) or not isinstance(axis, numbers.Integral)):
            raise ValidationError(f"must be an integer or None, got {axis!r}", "axis", self)
        self.order = order
        self.axis = axis

    def __repr__(self) -> str:
        return f"Regularize(order={self.order!r}, axis={self.axis!r})"

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> tf.Tensor:
        """The mean of the norms, or their sum with ``reduction="sum"``."""
        # Keras would make a tensor of the targets
        return super().__call__(0.0, y_pred, sample_weight)

    def call(self, y_true: Any, y_pred: tf.Tensor) -> tf.Tensor:
        """Norms of each item and step, before the average."""
        y_pred = tf.convert_to_tensor(y_pred)
        if y_pred.shape.rank < 3:
            raise ValueError(
                f"{self}: expected values of shape (items, steps, size), got {tuple(y_pred.shape)}"
            )
        if self.axis is None:
            shape = tf.shape(y_pred)
            y_pred = tf.reshape(y_pred, (shape[0], shape[1], np.prod(y_pred.shape[2:])))
            return self._norms(y_pred, -1)
        rank = y_pred.shape.rank - 2
        if not -rank <= self.axis < rank:
            raise ValueError(
                f"{self}: the probed value has {rank} axes of its own, shape"
                f" {tuple(y_pred.shape[2:])}; axis is out of range"
            )
        return self._norms(y_pred, 2 + self.axis % rank)

    def _norms(self, values: tf.Tensor, axis: int) -> tf.Tensor:
        # no gradient passes to a zero, where that of `tf.norm` may be NaN
        values = tf.where(values == 0, tf.zeros_like(values), values)
        return tf.norm(values, ord=self.order, axis=axis)

    def get_config(self) -> dict[str, Any]:
        """Arguments of the constructor."""
        return {**super().get_config(), "order": self.order, "axis": self.axis}
