"""`predict`: data in, a dictionary of probes out."""

import nengo
import numpy as np
import tensorflow as tf

from ..arguments.data_forms import is_opaque
from ..plan.show import short_list
from .keras_side import refuse_steps
from .minibatches import all_rows
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


def predict(side, method, x, n_steps, stateful, kwargs):
    """Check arguments of ``predict`` or ``predict_on_batch`` and call Keras.

    Parameters
    ----------
    side : nengo_dl.training.keras_side.KerasSide
        Whose model to call.
    method : str
        Name of the method.
    x, n_steps, stateful
        As in `nengo_dl.Simulator.predict`.
    kwargs : dict
        Further arguments for Keras.

    Returns
    -------
    Results
        Probe -> array.
    """
    runtime = side.runtime
    single = method == "predict_on_batch"
    stateful = side.clean_arguments(kwargs, stateful, warn=not single)
    if not single:
        kwargs.setdefault("verbose", 0)
    if is_opaque(x):
        refuse_steps(x, n_steps)
        x = as_named(x, side.rules.names)
        runtime.feed.start(dict.fromkeys(runtime.nodes.nodes), None)
    else:
        values, _, n_steps = side.rules.for_call(x, n_steps, single)
        side.warn_one_step(n_steps, stateful)
        x = complete(runtime, values, n_steps, stateful)
        x = x if single else by_minibatch(x, runtime.minibatch_size)
    layer, model = runtime.layer, side.model
    before = layer.stateful, model.steps_per_execution
    try:
        # a callback of fit may call this, which has its own number of steps
        layer.stateful, model.steps_per_execution = stateful, model.untracked.given_steps
        with side.scope(), side.errors():
            outputs = getattr(model, method)(x, **kwargs)
    finally:
        layer.stateful, model.steps_per_execution = before
    found = {
        runtime.names.probes[name]: outputs[name].reshape(*outputs[name].shape[:2], *shape)
        for name, shape in runtime.value_shapes.items()
    }
    return Results(found, runtime.names)


def by_minibatch(rows, size):
    """A dataset of minibatches; arrays Keras would cast to its float type, one for all threads."""
    return tf.data.Dataset.from_tensor_slices(
        {
            name: value.reshape(len(value) // size, size, *value.shape[1:])
            for name, value in rows.items()
        }
    )


def complete(runtime, data, n_steps, stateful):
    """Make rows for all inputs of the Keras model.

    Nodes without data give their own: functions of time go on from minibatch to minibatch if the
    state does; processes always go on.

    Returns
    -------
    dict
        Name of an input -> array, ``n_steps`` included.
    """
    size = runtime.minibatch_size
    items = next(iter(data.values())).shape[0] if data else size
    feed, names = runtime.feed, runtime.names
    first = runtime.layer.n_steps
    groups = []
    for group in range(items // size):
        if group == 0 or feed.running or (feed.wanted and stateful):
            feed.start(data, first + (group * n_steps if stateful else 0))
            groups.append(all_rows(feed, n_steps))
        else:
            groups.append(groups[0])
    rows = {
        names[node]: (
            np.asarray(data[node], runtime.dtype)
            if node in data
            else np.concatenate([group[i] for group in groups])
        )
        for i, node in enumerate(runtime.nodes.nodes)
    }
    rows["n_steps"] = np.full((items, 1), n_steps, np.int32)
    return rows
