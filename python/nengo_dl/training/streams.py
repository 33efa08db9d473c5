"""Generators and datasets as the Keras model takes them: by name, with the number of steps."""

from collections.abc import Mapping

import keras
import nengo
import numpy as np
import tensorflow as tf


def as_named(x, side):
    """Let the elements of a generator or dataset have the forms that arrays may have.

    Inputs may be a dict from Nodes or their names, a tuple or list in the order of the input
    Nodes, or an array for the first of them; targets a dict from Probes, too. Without an entry
    ``n_steps`` the number of steps is the length of the data.

    Parameters
    ----------
    x : iterator, tf.data.Dataset or object
        Of anything else Keras takes care.
    side : nengo_dl.training.keras_side.KerasSide
        Whose model the data is for.
    """
    names, guard = side.rules.names, side.runtime.turns.user_code
    if isinstance(x, tf.data.Dataset):
        return x.map(lambda *element: _element(element, names, _tensor_steps))
    if hasattr(x, "__next__"):
        return (
            _element(item if isinstance(item, tuple) else (item,), names, _array_steps)
            for item in _guarded(x, guard)
        )
    if isinstance(x, keras.utils.PyDataset) and not x.use_multiprocessing:
        return _GuardedDataset(x, guard)
    return x


def _guarded(iterator, guard):
    """The elements of a generator, which run user code of the data."""
    while True:
        with guard:
            try:
                item = next(iterator)
            except StopIteration:
                return
        yield item


class _GuardedDataset(keras.utils.PyDataset):
    """A `keras.utils.PyDataset` whose items, which threads of Keras ask for, are user code."""

    def __init__(self, dataset, guard):
        super().__init__(workers=dataset.workers, max_queue_size=dataset.max_queue_size)
        self.dataset, self.guard = dataset, guard

    def __getitem__(self, index):
        with self.guard:
            return self.dataset[index]

    @property
    def num_batches(self):
        return self.dataset.num_batches

    # these are called by the thread of the call, and may do what its callbacks may

    def on_epoch_begin(self):
        self.dataset.on_epoch_begin()

    def on_epoch_end(self):
        self.dataset.on_epoch_end()


def _element(element, names, steps):
    x, *others = element
    x = _inputs(x, names)
    data = [value for name, value in x.items() if name in names.nodes]
    if "n_steps" not in x and data:
        x["n_steps"] = steps(data[0])
    return (x, *(_by_name(other, names) for other in others))


def _inputs(x, names):
    if isinstance(x, Mapping):
        return _by_name(x, names)
    values = x if isinstance(x, (list, tuple)) else [x]
    # the model's own input for the number of steps comes last
    return dict(zip((*names.nodes, "n_steps"), values, strict=False))


def _by_name(values, names):
    if isinstance(values, list):
        return tuple(values)  # as Keras takes them
    if not isinstance(values, Mapping):
        return values
    objects = (nengo.Node, nengo.Probe)
    return {names[key] if isinstance(key, objects) else key: v for key, v in values.items()}


def _tensor_steps(value):
    shape = tf.shape(value)
    return tf.fill((shape[0], 1), shape[1])


def _array_steps(value):
    items, steps = np.shape(value)[:2]
    return np.full((items, 1), steps, np.int32)
