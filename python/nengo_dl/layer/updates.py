"""One op that updates all weights, where Keras has some ten operations for each of them."""

import contextlib
import functools

import keras
import tensorflow as tf

from nengo_dl.keras_private import (
    idle_without_gradients,
    moments_of,
    own_update,
    plain_variable,
)
from nengo_dl.layer.tf_ops import load

# what is derived from them may do otherwise
_ADAM = (keras.optimizers.Adam, keras.optimizers.AdamW)


@contextlib.contextmanager
def merged_updates(optimizer):
    """Let an optimizer change all weights at once while a step of training is made.

    The numbers are the same, bit by bit. Optimizers other than Adam do as they always do, but that
    none fails where no weight has a gradient.
    """
    with contextlib.ExitStack() as changes:
        changes.enter_context(idle_without_gradients(optimizer))
        if type(optimizer) in _ADAM and not optimizer.amsgrad:
            changes.enter_context(own_update(optimizer, functools.partial(_adam, optimizer)))
        yield


def _adam(optimizer, of_keras, gradients, weights, learning_rate):
    """Do a step of Adam: one op for the weights of each precision."""
    groups, others = {}, []
    for gradient, weight in zip(gradients, weights, strict=True):
        variable = plain_variable(weight)
        known = variable.dtype in (tf.float32, tf.float64) and _on_cpu(variable)
        if known and isinstance(gradient, tf.Tensor):  # not some rows, which Keras adds by itself
            groups.setdefault(variable.dtype, []).append((gradient, variable))
        else:
            others.append((gradient, weight))
    for dtype, pairs in groups.items():
        # as Keras computes them: in this precision, of numbers that are rounded to it
        rate, step = keras.ops.cast(learning_rate, dtype.name), optimizer.iterations + 1
        step = keras.ops.cast(step, dtype.name)
        first, second = (
            keras.ops.power(keras.ops.cast(beta, dtype.name), step)
            for beta in (optimizer.beta_1, optimizer.beta_2)
        )
        gradients, variables = zip(*pairs, strict=True)
        means, squares = moments_of(optimizer, variables)
        with tf.device("/cpu:0"):
            load().nengo_dl_adam(
                variables=[variable.handle for variable in variables],
                first=[variable.handle for variable in means],
                second=[variable.handle for variable in squares],
                gradients=[tf.cast(gradient, dtype) for gradient in gradients],
                alpha=rate * keras.ops.sqrt(1 - second) / (1 - first),
                rates=tf.constant(
                    [1 - optimizer.beta_1, 1 - optimizer.beta_2, optimizer.epsilon], dtype
                ),
            )
    if others:
        of_keras(*map(list, zip(*others, strict=True)), learning_rate)


def _on_cpu(variable):
    """Whether the only kernel there is can have a variable, one of eager mode at that."""
    return tf.DeviceSpec.from_string(variable.device).device_type == "CPU"
