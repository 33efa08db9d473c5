"""What we use of Keras beside its public interface, in one place.

Keras promises nothing about these names from one version to the next;
tests/sim/test_keras_private.py looks for each of them in the Keras that is installed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

# owner, as a path from the module keras, and the name of what it has
USED = (
    ("Variable", "_value"),
    ("callbacks.TensorBoard", "_should_write_train_graph"),
)


def plain_variable(weight: keras.Variable) -> tf.Variable:
    """The TensorFlow variable of a weight.

    The public ``value`` of a weight is cast to a lower precision where a layer with mixed precision
    calls another one; and it takes a multiple of the time, which short runs would notice.
    """
    return weight._value


class NoTrainingGraph:
    """Keeps a `keras.callbacks.TensorBoard` from writing the graph of training for a while.

    Parameters
    ----------
    callback : keras.callbacks.TensorBoard
        The callback; it looks for the graph of training whatever method of the model is called.
    """

    def __init__(self, callback: keras.callbacks.TensorBoard):
        self._callback = callback
        self._before = callback._should_write_train_graph
        callback._should_write_train_graph = False

    def end(self) -> None:
        """Let the callback do as it did before."""
        self._callback._should_write_train_graph = self._before
