"""Data of a `fit` or `evaluate` that lies in memory, handed out as stacks of minibatches."""

import math
import time
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

CHUNK_SECONDS = 0.1  # one call of a compiled loop, after which Ctrl-C and progress bars have a turn
CHUNK_STEPS = 4096
CHUNK_BYTES = 1 << 26  # rows that nodes make for one call


@dataclass(frozen=True)
class Layout:
    """How a stack of minibatches is laid out; what is traced depends on nothing else of the data.

    Parameters
    ----------
    given : tuple of bool
        For each input node, whether its rows are given by item.
    moving : tuple of bool
        For each input node, whether the rows that it makes differ from minibatch to minibatch.
    n_steps : int
        Steps of a minibatch.
    """

    given: tuple
    moving: tuple
    n_steps: int

    def batch(self, index, order, x, y, weights, made):
        """Return minibatch ``index`` of a stack as Keras takes it: inputs, targets, weights."""
        rows, items = order[index], order.shape[1]
        x, made = iter(x), iter(made)
        inputs = []
        for given, moving in zip(self.given, self.moving, strict=True):
            values = next(x if given else made)
            if given:
                values = tf.gather(values, rows)
            else:
                values = (values[index] if moving else values)[:items]
            inputs.append(values)
        y = {name: tf.gather(value, rows) for name, value in y.items()}
        weights = {name: tf.gather(value, rows) for name, value in weights.items()}
        steps = tf.fill((items, 1), tf.constant(self.n_steps, tf.int32))
        return [*inputs, steps], y, weights or None


class Minibatches:
    """Arrays for input nodes, probes and items, by minibatch.

    Given arrays are shuffled over the items of an epoch. What input nodes make themselves is made
    for one minibatch after the other, in the order in which they run: processes go on from
    minibatch to minibatch, functions of time do so if the state does.

    Parameters
    ----------
    runtime : nengo_dl.run.runtime.Runtime
        What runs the model.
    arrays : nengo_dl.training.arrays.Arrays
        The data, checked.
    stateful : bool
        Whether a minibatch goes on where the one before it stopped.
    shuffle : bool or str
        False, True, or ``"batch"``: only within each minibatch.
    """

    def __init__(self, runtime, arrays, stateful, shuffle=False):
        self.runtime, self.stateful, self.shuffle = runtime, stateful, shuffle
        size = self.size = runtime.minibatch_size
        self.n_steps = arrays.n_steps
        self.items, self.whole = arrays.items, arrays.items // size
        self.length = math.ceil(arrays.items / size)
        dtype = runtime.dtype
        self.nodes = runtime.nodes.nodes
        self.sample = {node: value[:size] for node, value in arrays.x.items()}
        self.x = [tf.constant(arrays.x[n], dtype) for n in self.nodes if n in arrays.x]
        self.y = {name: _tensor(value, dtype) for name, value in arrays.y.items()}
        self.weights = {name: tf.constant(w, dtype) for name, w in arrays.weights.items()}
        moving = {*runtime.nodes.processes, *(runtime.nodes.functions if stateful else ())}
        self.moving = moving.difference(arrays.x)
        self.layout = Layout(
            tuple(node in arrays.x for node in self.nodes),
            tuple(node in self.moving for node in self.nodes),
            self.n_steps,
        )
        # two numbers that follow the seed given to keras.utils.set_random_seed
        self.seed = tf.random.uniform((2,), maxval=2**31 - 1, dtype=tf.int32).numpy().tolist()
        self.epoch = 0
        self.position, self.order, self.token = 0, None, None
        self.made, self.made_at = {}, None
        self.chunk = 1

    # ------------------------------------------------------------ order

    def begin(self, token):
        """Start an epoch, unless ``token`` is the object with which the present one was started."""
        if token is not self.token:
            self.token, self.position, self.order = token, 0, self._permutation()

    @property
    def left(self):
        """int : Minibatches of the epoch that are left."""
        return self.length - self.position

    def _permutation(self):
        items = np.arange(self.whole * self.size, dtype=np.int32).reshape(self.whole, self.size)
        if not self.shuffle:
            return items
        # depends on the number of the epoch, not on those before it: training can be resumed
        rng = np.random.default_rng([*self.seed, self.epoch])
        if self.shuffle == "batch":
            return rng.permuted(items, axis=1)
        return rng.permutation(items.reshape(-1)).reshape(items.shape)

    # ------------------------------------------------------------ rows of a stack of minibatches

    def stacks(self, count):
        """Split the next minibatches into stacks of equal ones: the last one may have less items.

        Returns
        -------
        list of int
            Minibatches in each stack.
        """
        whole = min(count, self.whole - self.position)
        return [part for part in (whole, count - whole) if part]

    def take(self, count):
        """Return what `batch` needs for the next stack of ``count`` minibatches."""
        if self.position < self.whole:
            order = self.order[self.position : self.position + count]
        else:
            order = np.arange(self.whole * self.size, self.items, dtype=np.int32)[None]
        made = self._generate(len(order))
        self.position += len(order)
        return tf.constant(order), self.x, self.y, self.weights, made

    def specs(self, items):
        """Shapes and types of what `take` returns, for any number of minibatches of some items."""

        def spec(tensor):
            return tf.TensorSpec((None, *tensor.shape[1:]), tensor.dtype)

        made = [
            tf.TensorSpec(
                (*((None,) if node in self.moving else ()), self.size, self.n_steps, node.size_out),
                self.runtime.dtype,
            )
            for node in self.nodes
            if node not in self.sample
        ]
        return (
            tf.TensorSpec((None, items), tf.int32),
            [spec(x) for x in self.x],
            {name: spec(y) for name, y in self.y.items()},
            {name: spec(w) for name, w in self.weights.items()},
            made,
        )

    def _generate(self, count):
        """Rows of nodes without data: for each minibatch, or once where all have the same."""
        feed, first = self.runtime.feed, self.runtime.layer.n_steps
        if self.made_at != first:
            self.made, self.made_at = {}, first
        missing = [node for node in self.nodes if node not in self.sample]
        groups = []
        for k in range(count if self.moving else 1):
            # sources are called in the program, and have to know that they get no data
            sources = self.runtime.nodes.sources
            made = {node: rows for node, rows in self.made.items() if node not in sources}
            feed.start({**self.sample, **made}, first + (k * self.n_steps if self.stateful else 0))
            if self.moving or len(self.made) < len(missing):
                groups.append(dict(zip(self.nodes, all_rows(feed, self.n_steps), strict=True)))
                kept = [n for n in missing if n not in self.moving and n not in self.made]
                self.made.update((node, tf.constant(groups[-1][node])) for node in kept)
        return [
            tf.stack([group[node] for group in groups]) if node in self.moving else self.made[node]
            for node in missing
        ]

    # ------------------------------------------------------------ length of a call

    def next_chunk(self):
        """Minibatches of the next call, so that it takes about `CHUNK_SECONDS`."""
        made = sum(node.size_out for node in self.moving)
        row = max(1, made * self.size * self.n_steps * np.dtype(self.runtime.dtype).itemsize)
        return max(1, min(self.chunk, CHUNK_STEPS, CHUNK_BYTES // row))

    def timed(self, count, seconds):
        """Say how long a call took."""
        per_call = int(count * min(8.0, CHUNK_SECONDS / max(seconds, 1e-9)))
        self.chunk = max(1, per_call)


def all_rows(feed, n_steps):
    """Rows of all input nodes for a number of steps: list of ``(minibatch, n_steps, size)``."""
    pieces, done = [], 0
    while True:
        inputs, steps = feed.next(done, n_steps - done)
        pieces.append(inputs)
        feed.used(steps)
        done += steps
        if done >= n_steps:
            break
    feed.finish()
    if len(pieces) == 1:
        return pieces[0]
    return [np.concatenate(parts, axis=1) for parts in zip(*pieces, strict=True)]


def run_chunks(data, total, run, stopped=None, progress=None):
    """Run minibatches in calls of a length that suits their speed.

    Parameters
    ----------
    data : Minibatches
        The data.
    total : int
        Minibatches to run.
    run : callable
        ``run(count)`` runs some and returns Keras' logs.
    stopped : callable
        Whether to stop, asked between calls.
    progress : callable
        ``progress(done, logs)`` is called between calls.

    Returns
    -------
    dict
        The last logs.
    """
    done = 0
    while True:
        count = min(data.next_chunk(), total - done)
        start = time.perf_counter()
        logs = run(count)
        data.timed(count, time.perf_counter() - start)
        done += count
        if done >= total or stopped():
            return logs
        progress(done, logs)


def _tensor(value, dtype):
    """Targets as a tensor; integers stay what they are, all else gets the model's type."""
    return tf.constant(value) if value.dtype.kind in "iu" else tf.constant(value, dtype)
