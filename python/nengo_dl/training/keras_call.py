"""One call of Keras' `fit` or `evaluate`: what the model needs for it, and what is put back."""

import math
from contextlib import contextmanager

import keras
import tensorflow as tf

from .minibatches import Minibatches

DATASET_STEPS = 8  # minibatches of a dataset or generator in one call
_BATCH_HOOKS = (
    "on_batch_begin",
    "on_batch_end",
    "on_train_batch_begin",
    "on_train_batch_end",
    "on_test_batch_begin",
    "on_test_batch_end",
)


class _EpochNumber(keras.callbacks.Callback):
    """Tells the data which epoch it is, on which the order of items depends."""

    def __init__(self, data):
        super().__init__()
        self.data = data

    def on_epoch_begin(self, epoch, logs=None):
        self.data.epoch = epoch


class KerasCall:
    """One call of Keras: sets up the model for it, and puts back what was.

    Parameters
    ----------
    side : nengo_dl.training.keras_side.KerasSide
        Whose model is called.
    kwargs : dict
        Arguments of the call; callbacks are added.
    stateful : bool
        Whether the state is kept.
    """

    def __init__(self, side, kwargs, stateful):
        self.side, self.model, self.kwargs, self.stateful = side, side.model, kwargs, stateful
        self.data = {"train": None, "test": None}
        self.opaque_validation = False
        self.lent = None, ()  # the caller's CallbackList and what was added to it

    def use(self, kind, arrays, shuffle=False):
        """Take arrays for training or testing; returns what stands for them in Keras."""
        with self.side.scope():
            data = Minibatches(self.side.runtime, arrays, self.stateful, shuffle)
        self.data[kind] = data
        return tf.data.Dataset.range(data.length)

    @contextmanager
    def ready(self, kind):
        """Let the model use the data, the state and the callbacks of this call."""
        side, model, state = self.side, self.model, self.model.untracked
        runtime, layer = side.runtime, side.runtime.layer
        before = state.data, state.callbacks, state.auto_steps
        stateful, steps = layer.stateful, model.steps_per_execution
        with side.scope(), side.errors():
            try:
                state.data, layer.stateful = self.data, self.stateful
                runtime.feed.start(dict.fromkeys(runtime.nodes.nodes), None)
                state.callbacks = None
                if self.data[kind] is not None:
                    self._add_callbacks(kind)
                if state.auto_steps:
                    model.steps_per_execution = self._steps_per_call(kind)
                    state.auto_steps = model.steps_per_execution > 1
                yield
            finally:
                state.data, state.callbacks, state.auto_steps = before
                layer.stateful, model.steps_per_execution = stateful, steps
                self._give_back()

    def _steps_per_call(self, kind):
        """Minibatches of which Keras knows nothing one by one."""
        given = self.kwargs.get("callbacks") or []
        if isinstance(given, keras.callbacks.CallbackList):
            given = given.callbacks
        if any(map(needs_each_batch, keras.tree.flatten(given))):
            return 1
        steps = [self.kwargs.get(name) for name in ("steps_per_epoch", "steps", "validation_steps")]
        steps = [number for number in steps if number]
        if self.data[kind] is None or self.opaque_validation:
            self.model.untracked.callbacks = None
            # a call ends where an epoch does
            return 1 if self.model.run_eagerly else math.gcd(DATASET_STEPS, *steps)
        return steps[0] if steps else self.data[kind].length

    def _add_callbacks(self, kind):
        """Make Keras' list of callbacks, and keep it for calls in the middle of an epoch."""
        given, data = self.kwargs.get("callbacks"), self.data[kind]
        training = kind == "train"
        number = [_EpochNumber(data)] if training else []
        if isinstance(given, keras.callbacks.CallbackList):
            self.lent = given, number
            given.callbacks.extend(number)
        else:
            verbose = self.kwargs.get("verbose", "auto")
            given = keras.tree.flatten(given) if given else []
            steps = self.kwargs.get("steps_per_epoch" if training else "steps")
            given = keras.callbacks.CallbackList(
                [*given, *number],
                add_history=training,
                add_progbar=verbose != 0,
                verbose=verbose,
                epochs=self.kwargs.get("epochs", 1) if training else 1,
                steps=steps or data.length,
                model=self.model,
            )
        self.kwargs["callbacks"] = self.model.untracked.callbacks = given

    def _give_back(self):
        """Take our callback out of a list that belongs to the caller."""
        given, number = self.lent
        for callback in number:
            given.callbacks.remove(callback)


def needs_each_batch(callback):
    """Whether a Keras callback has to be called for every minibatch."""
    kinds = keras.callbacks
    if isinstance(callback, kinds.ProgbarLogger):
        return False
    if type(callback) in (kinds.ModelCheckpoint, kinds.BackupAndRestore):
        return callback.save_freq != "epoch"
    if type(callback) is kinds.TensorBoard:
        return callback.update_freq != "epoch" or callback.write_steps_per_second
    default = kinds.Callback
    return any(
        getattr(getattr(callback, hook), "__func__", None) is not getattr(default, hook)
        for hook in _BATCH_HOOKS
    )
