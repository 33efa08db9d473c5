"""Data of a `fit` or `evaluate` that lies in memory, handed out as stacks of minibatches."""

import dataclasses
import itertools
import math
import time
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from .stacks import Stacks

CHUNK_SECONDS = 0.1  # one call of a compiled loop, after which Ctrl-C and progress bars have a turn
CHUNK_STEPS = 4096
CHUNK_BYTES = 1 << 24  # of a stack: enough for a call to take no time, and the next comes soon


@dataclass(frozen=True)
class Layout:
    """How a stack of minibatches is laid out; what is traced depends on nothing else of the data.

    Parameters
    ----------
    given : tuple of bool
        For each input node, whether its rows are given by item.
    moving : tuple of bool
        For each input node, whether the rows that it makes differ from minibatch to minibatch.
    n_steps, items : int
        Steps and items of a minibatch.
    """

    given: tuple
    moving: tuple
    n_steps: int
    items: int

    def batch(self, index, x, y, weights, made):
        """Return minibatch ``index`` of a stack as Keras takes it: inputs, targets, weights."""
        x, made = iter(x), iter(made)
        inputs = []
        for given, moving in zip(self.given, self.moving, strict=True):
            values = next(x if given else made)
            if given or moving:
                values = values[index]
            inputs.append(values if given else values[: self.items])
        y = {name: value[index] for name, value in y.items()}
        weights = {name: value[index] for name, value in weights.items()}
        steps = tf.fill((self.items, 1), tf.constant(self.n_steps, tf.int32))
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
        self.nodes = runtime.nodes.nodes
        self.sample = {node: value[:size] for node, value in arrays.x.items()}
        x = [arrays.x[node] for node in self.nodes if node in arrays.x]
        self.y, self.weights = tuple(arrays.y), tuple(arrays.weights)
        dtype, y = np.dtype(runtime.dtype), list(arrays.y.values())
        types = [value.dtype if value.dtype.kind in "iu" else dtype for value in y]
        self.given = Stacks(
            [*x, *y, *arrays.weights.values()],
            [*[dtype] * len(x), *types, *[dtype] * len(self.weights)],
        )
        moving = {*runtime.nodes.processes, *(runtime.nodes.functions if stateful else ())}
        self.moving = moving.difference(arrays.x)
        self.layout = Layout(
            tuple(node in arrays.x for node in self.nodes),
            tuple(node in self.moving for node in self.nodes),
            self.n_steps,
            size,
        )
        self.seed = _drawn(runtime.seed)
        self.epoch = 0
        self.position, self.order, self.token = 0, None, None
        self.made, self.made_at = {}, None
        self._specs = {}
        made = sum(node.size_out for node in self.moving) * self.n_steps * dtype.itemsize
        self._bytes = max(1, (made + self.given.item_bytes) * size)  # of a minibatch
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

    def _rows(self, position, count):
        """Numbers of the items of some minibatches of equal size, or of what is left of them."""
        if position < self.whole:
            return self.order[position : position + count]
        return np.arange(self.whole * self.size, self.items, dtype=np.int32)[None]

    # ------------------------------------------------------------ rows of a stack of minibatches

    def parts(self, count):
        """Split the next minibatches into stacks of equal ones: the last one may have less items.

        Returns
        -------
        list of int
            Minibatches in each stack.
        """
        whole = min(count, self.whole - self.position)
        most = self._most()
        parts = [min(most, whole - start) for start in range(0, whole, most)]
        return [*parts, count - whole] if count > whole else parts

    def take(self, count):
        """Return the next stack of ``count`` minibatches: a `Layout`, and what `batch` needs."""
        rows = self._rows(self.position, count)
        made = self._generate(len(rows))
        self.position += len(rows)
        following = self._rows(self.position, self._most(self.chunk))
        layout, items = self.layout, rows.shape[1]
        if items != layout.items:
            layout = dataclasses.replace(layout, items=items)
        return layout, self._sorted(self.given.take(rows, following), made)

    def _sorted(self, given, made):
        """Stacks of all arrays as inputs, targets by name, weights by name, and what is made."""
        given = iter(given)
        x = list(itertools.islice(given, len(self.sample)))
        y = dict(zip(self.y, given, strict=False))
        return x, y, dict(zip(self.weights, given, strict=True)), made

    def specs(self, items):
        """Shapes and types of what `take` returns, for any number of minibatches of some items.

        Returns
        -------
        specs : tuple
            In the form of what `take` returns.
        text : str
            The same, written down.
        """
        if items not in self._specs:
            specs = self._make_specs(items)
            self._specs[items] = specs, repr(specs)
        return self._specs[items]

    def _make_specs(self, items):
        given = [tf.TensorSpec((None, items, *shape), dtype) for shape, dtype in self.given.shapes]
        made = [
            tf.TensorSpec(
                (*((None,) if node in self.moving else ()), self.size, self.n_steps, node.size_out),
                self.runtime.dtype,
            )
            for node in self.nodes
            if node not in self.sample
        ]
        return self._sorted(given, made)

    def close(self):
        """End what gathers minibatches; what was gathered too early is dropped."""
        self.given.close()

    def _generate(self, count):
        """Rows of nodes without data: for each minibatch, or once where all have the same."""
        missing = [node for node in self.nodes if node not in self.sample]
        if not missing:
            return []
        feed, first = self.runtime.feed, self.runtime.layer.n_steps
        if self.made_at != first:
            self.made, self.made_at = {}, first
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
        return self.given.ahead or self._most(self.chunk)

    def _most(self, wanted=CHUNK_STEPS):
        """Minibatches of a stack: as many as wanted, within what is good for its size."""
        return max(1, min(wanted, CHUNK_STEPS, CHUNK_BYTES // self._bytes))

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


def _drawn(seed):
    """Two numbers that follow the seed given to `keras.utils.set_random_seed`.

    They follow the simulator's if there is none where TensorFlow, being told to be deterministic,
    refuses to draw without one.
    """
    kinds = {"maxval": 2**31 - 1, "dtype": tf.int32}
    try:
        drawn = tf.random.uniform((2,), **kinds)
    except RuntimeError:
        drawn = tf.random.uniform((2,), seed=seed, **kinds)
    return drawn.numpy().tolist()
