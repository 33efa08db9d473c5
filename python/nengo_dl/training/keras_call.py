"""One call of Keras' `fit` or `evaluate`: what the model needs for it, and what is put back."""

import math
from contextlib import contextmanager

import keras
import tensorflow as tf

from .calls import Call
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
    """One call of Keras: what the model needs for it, and what is put back after it.

    Parameters
    ----------
    side : nengo_dl.training.keras_side.KerasSide
        Whose model is called.
    kwargs : dict
        Arguments of the call; callbacks are added.
    stateful : bool
        Whether the state is kept.
    rates : bool
        Whether tests run neurons as training does.
    """

    def __init__(self, side, kwargs, stateful, rates):
        self.side, self.model, self.kwargs = side, side.model, kwargs
        self.call = Call(stateful, rates=rates)
        self.opaque_validation = False
        self.lent = None, ()  # the caller's CallbackList and what was added to it

    def use(self, kind, arrays, shuffle=False):
        """Take arrays for training or testing; returns what stands for them in Keras."""
        with self.side.scope():
            data = Minibatches(self.side.runtime, arrays, self.call.stateful, shuffle)
        self.call.data[kind] = data
        return tf.data.Dataset.range(data.length)

    @contextmanager
    def ready(self, kind):
        """Make what the model needs; returns it as an argument of its methods."""
        side, call, feed = self.side, self.call, self.side.runtime.feed
        call.asked = {
            "train": self.kwargs.get("steps_per_epoch"),
            "test": self.kwargs.get("validation_steps" if kind == "train" else "steps"),
        }
        given = feed.given
        with side.scope(), side.errors():
            try:
                feed.start(dict.fromkeys(side.runtime.nodes.nodes), None)
                if call.data[kind] is not None:
                    self._add_callbacks(kind)
                if self.model.untracked.auto_steps:
                    call.steps = self._steps_per_call(kind)
                    call.in_chunks = call.steps > 1
                yield {"call": call}
            finally:
                feed.given = given
                for data in filter(None, call.data.values()):
                    data.close()
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
        if self.call.data[kind] is None or self.opaque_validation:
            self.call.callbacks = None
            # a call ends where an epoch does
            return 1 if self.model.run_eagerly else math.gcd(DATASET_STEPS, *steps)
        # neither training nor validation does more than it is asked for
        return math.gcd(*steps) if steps else self.call.data[kind].length

    def _add_callbacks(self, kind):
        """Make Keras' list of callbacks, and keep it for calls in the middle of an epoch."""
        given, data = self.kwargs.get("callbacks"), self.call.data[kind]
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
        self.kwargs["callbacks"] = self.call.callbacks = given

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
