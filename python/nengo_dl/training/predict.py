"""`predict`: data in, a dictionary of probes out."""

import contextlib

import keras
import nengo
import numpy as np
import tensorflow as tf

from ..arguments.checks import warn_user
from ..arguments.data_forms import is_opaque
from ..plan.show import short_list
from ..run.interrupt import interrupt
from .calls import Call
from .keras_side import refuse_steps
from .minibatches import all_rows
from .precision import python_float_type
from .streams import as_named


class Results(dict):
    """Values of probes: Probe -> array. A Probe's label, or its name, stands for it, too.

    Parameters
    ----------
    values : dict
        Probe -> array.
    names : nengo_dl.arguments.names.Names
        Names of the probes.
    """

    def __init__(self, values, names):
        super().__init__(values)
        self._names = names

    def _probe(self, key):
        """The Probe that is meant by a name; `KeyError` if there is none, or more than one."""
        found = [probe for probe in self if probe.label == key]
        if len(found) > 1:
            which = ", ".join(repr(self._names[probe]) for probe in found)
            raise KeyError(
                f"{len(found)} Probes are labelled {key!r}; use a Probe (names: {which})"
            )
        found = found or [probe for probe in self if self._names[probe] == key]
        if not found:
            there = ", ".join(repr(self._names[probe]) for probe in self) or "none"
            raise KeyError(f"no Probe is labelled {key!r}; the names of Probes are {there}")
        return found[0]

    def __missing__(self, key):
        if isinstance(key, str):
            return self[self._probe(key)]
        if isinstance(key, nengo.Probe):
            raise KeyError(f"{key} is from a different network than this simulator's")
        raise KeyError(key)

    def __contains__(self, key):
        try:
            self[key]
        except KeyError:
            return False
        return True

    def get(self, key, default=None):
        """The values of a Probe, given it or its name, or ``default`` if there is no such Probe."""
        return self[key] if key in self else default

    def __repr__(self):
        shapes = [f"{self._names[probe]} {value.shape}" for probe, value in self.items()]
        return f"<Results: {short_list(shapes)}>"


def predict(side, x, n_steps, stateful, kwargs, single=False):
    """Check arguments of ``predict`` or ``predict_on_batch`` and run minibatches.

    Parameters
    ----------
    side : nengo_dl.training.keras_side.KerasSide
        What runs the model.
    x, n_steps, stateful
        As in `nengo_dl.Simulator.predict`.
    kwargs : dict
        Further arguments of `keras.Model.predict`.
    single : bool
        Whether it is ``predict_on_batch``, which takes a single minibatch and no such arguments.

    Returns
    -------
    Results
        Probe -> array.
    """
    runtime, feed = side.runtime, side.runtime.feed
    method = "predict_on_batch" if single else "predict"
    stateful = side.clean_arguments(method, kwargs, stateful, warn=not single)
    given = feed.given
    try:
        with as_before_on_errors(runtime, stateful):
            if is_opaque(x):
                outputs = _opaque(side, x, n_steps, stateful, kwargs, single)
            else:
                outputs = _arrays(side, x, n_steps, stateful, kwargs, single)
    finally:
        feed.given = given
    found = {
        runtime.names.probes[name]: outputs[name].reshape(*outputs[name].shape[:2], *shape)
        for name, shape in runtime.value_shapes.items()
    }
    return Results(found, runtime.names)


def _arrays(side, x, n_steps, stateful, kwargs, single):
    """Run minibatches that lie in memory."""
    values, _, n_steps = side.rules.for_call(x, n_steps, "one" if single else "any")
    side.warn_one_step(n_steps, stateful)
    with python_float_type(side.runtime, values), side.scope(), side.errors():
        batches = complete(side.runtime, values, n_steps, stateful)
        run = _on_batch if single else _in_turn
        return run(side, ArrayRuns(side, batches, n_steps, stateful), **kwargs)


@contextlib.contextmanager
def as_before_on_errors(runtime, stateful):
    """If what is within is left by an exception, Ctrl-C for one, it leaves no trace.

    But for what Python functions and processes keep.

    Parameters
    ----------
    runtime : nengo_dl.run.runtime.Runtime
        What runs the model.
    stateful : bool
        Whether the state changes within.
    """
    layer = runtime.layer
    state = layer.get_state() if stateful else {}
    learned = [(index, layer.get_param(index)) for index in layer.learned]
    with runtime.feed.put_back_on_errors():
        try:
            yield
        except BaseException:
            layer.set_state(**state)
            for index, value in learned:
                layer.set_param(index, value)
            raise


def _opaque(side, x, n_steps, stateful, kwargs, single):
    """Let Keras take datasets and generators apart."""
    refuse_steps(x, n_steps)
    runtime = side.runtime
    runtime.feed.start(dict.fromkeys(runtime.nodes.nodes), None)
    if not single:
        kwargs.setdefault("verbose", 0)
    method = side.model.predict_on_batch if single else side.model.predict
    with side.scope(), side.errors():
        return method(as_named(x, side), call=Call(stateful), **kwargs)


class ArrayRuns:
    """Minibatches that lie in memory, run without Keras' iterators.

    Making one takes Keras tens of milliseconds in every call, which is many times what a run takes.
    A model that calls no TensorFlow is run by the engine alone, so that nothing has to be traced.

    Parameters
    ----------
    side : nengo_dl.training.keras_side.KerasSide
        What runs the model.
    batches : list of lists of arrays
        Rows of all inputs for each minibatch.
    n_steps : int
        Steps of each.
    stateful : bool
        Whether the state is written back.
    """

    def __init__(self, side, batches, n_steps, stateful):
        self.batches, self.n_steps = batches, n_steps
        self.side, self.stateful = side, stateful
        self.layer = side.runtime.layer
        self.names = [*self.layer.output_names, "steps_run"]

    def __call__(self, number):
        """Run a minibatch: name of an output -> array."""
        interrupt.check()
        rows = self.batches[number]
        items = len(rows[0]) if rows else self.layer.minibatch_size
        direct = self.layer.direct
        if direct is None:
            outputs = self._traced(rows, items)
        else:
            outputs = direct.minibatch(rows, self.n_steps, self.stateful)
            outputs.append(np.full(items, self.n_steps, np.int32))
        return dict(zip(self.names, outputs, strict=True))

    def _traced(self, rows, items):
        """The same by a function of TensorFlow."""
        tensors = [tf.convert_to_tensor(values, self.side.runtime.dtype) for values in rows]
        steps = tf.fill((items, 1), np.int32(self.n_steps))
        whole = items == self.layer.minibatch_size  # the last minibatch may be smaller
        few_steps = self.n_steps <= self.layer.most_at_once
        function = self.side.predict_function(self.stateful, whole, few_steps)
        return [value.numpy() for value in function(*tensors, steps)]


def _on_batch(side, runs):
    """Run a single minibatch."""
    return runs(0)


def _in_turn(side, runs, verbose=0, steps=None, callbacks=None):
    """Do what `keras.Model.predict` does with its arguments."""
    there, each = len(runs.batches), side.minibatches_per_call
    if steps is not None and steps > there:
        warn_user(f"Your input ran out of data: expected {steps} minibatches, got {there}")
    steps = there if steps is None else min(steps, there)
    # as in Keras, the last call is a whole one
    calls = [range(k, min(k + each, there)) for k in range(0, steps, each)]
    if callbacks is None and not verbose:
        found = [runs(number) for numbers in calls for number in numbers]
    else:
        found = _with_callbacks(side.model, runs, calls, steps, verbose, callbacks)
    return _joined(found, runs.names)


def _joined(found, names):
    """Outputs of several minibatches as those of one."""
    if len(found) == 1:
        return found[0]
    return {name: np.concatenate([outputs[name] for outputs in found]) for name in names}


def _with_callbacks(model, runs, calls, steps, verbose, callbacks):
    """Run minibatches, and tell callbacks of Keras before and after those of each call."""
    if not isinstance(callbacks, keras.callbacks.CallbackList):
        callbacks = keras.callbacks.CallbackList(
            callbacks,
            add_progbar=verbose != 0,
            verbose=verbose,
            epochs=1,
            steps=steps,
            model=model,
        )
    found = []
    with model.in_call("predict", Call()):
        each = model.steps_per_execution
        model.stop_predicting = False
        callbacks.on_predict_begin()
        for numbers in calls:
            callbacks.on_predict_batch_begin(numbers.start)
            group = [runs(number) for number in numbers]
            found.extend(group)
            outputs = {
                name: tf.convert_to_tensor(value)
                for name, value in _joined(group, runs.names).items()
            }
            callbacks.on_predict_batch_end(numbers.start + each - 1, {"outputs": outputs})
            if model.stop_predicting:
                break
        callbacks.on_predict_end()
    return found


def complete(runtime, data, n_steps, stateful):
    """Make rows for all inputs of each minibatch.

    Nodes without data give their own: functions of time go on from minibatch to minibatch if the
    state does; processes always go on.

    Returns
    -------
    list of lists of arrays
        Per minibatch, the rows of each input; the same list if nothing differs.
    """
    size, nodes = runtime.minibatch_size, runtime.nodes.nodes
    items = next(iter(data.values())).shape[0] if data else size
    feed, first = runtime.feed, runtime.layer.n_steps
    data = {node: np.asarray(values, runtime.dtype) for node, values in data.items()}
    batches, made = [], None
    for start in range(0, items, size):
        if made is None or feed.running or (feed.wanted and stateful):
            sample = {node: values[:size] for node, values in data.items()}
            feed.start(sample, first + (len(batches) * n_steps if stateful else 0))
            made = all_rows(feed, n_steps)
        elif not data:
            batches.append(batches[-1])
            continue
        batches.append(
            [
                data[node][start : start + size] if node in data else rows[: items - start]
                for node, rows in zip(nodes, made, strict=True)
            ]
        )
    return batches
