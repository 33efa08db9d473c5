"""Calling a simulator's Keras model: data in, dictionaries of probes out."""

import contextlib
import warnings
from collections.abc import Mapping

import numpy as np
from nengo.exceptions import SimulationError, ValidationError

from ..arguments.checks import check_loop, step_count
from ..arguments.data_forms import by_node, check_data, is_opaque, truncate
from .minibatches import all_rows

# arguments that Keras 2 took and Keras 3 refuses
DROPPED = ("workers", "use_multiprocessing", "max_queue_size")


def clean_arguments(sim, kwargs, stateful, sizes=("batch_size",), warn=True):
    """Take arguments out that Keras 3 does not know or that the simulator decides.

    Parameters
    ----------
    sim : nengo_dl.Simulator
        The simulator.
    kwargs : dict
        Arguments for Keras; it is changed.
    stateful : bool
        Whether the state is to be kept.
    sizes : tuple of str
        Arguments that say how many items a minibatch has.
    warn : bool
        Whether to warn if the network keeps no state.

    Returns
    -------
    bool
        Whether the state is kept.
    """
    for name in sizes:
        if kwargs.pop(name, None) is not None:
            warnings.warn(
                f"Batch size is determined statically by minibatch_size; {name} is ignored",
                UserWarning,
                stacklevel=4,
            )
    for name in DROPPED:
        if kwargs.pop(name, None) is not None:
            warnings.warn(f"Keras 3 has no argument {name}; it is ignored", stacklevel=4)
    if stateful and not sim.stateful and warn:
        warnings.warn(
            "Ignoring stateful=True, since the network is configured with stateful=False",
            UserWarning,
            stacklevel=4,
        )
    return bool(stateful and sim.stateful)


@contextlib.contextmanager
def keras_errors(runtime):
    """Raise what a Python function of the model raised instead of what TensorFlow made of it."""
    try:
        yield
    except Exception as e:
        error = runtime.take_error()
        if error is not None:
            raise error from (error.__cause__ or e)
        raise


def predict(sim, method, x, n_steps, stateful, kwargs):
    """Check arguments of ``predict`` or ``predict_on_batch`` and call Keras.

    Parameters
    ----------
    sim : nengo_dl.Simulator
        The simulator.
    method : str
        Name of the method.
    x, n_steps, stateful
        As in `nengo_dl.Simulator.predict`.
    kwargs : dict
        Further arguments for Keras.

    Returns
    -------
    dict
        Probe -> array.
    """
    stateful = clean_arguments(sim, kwargs, stateful, warn=method == "predict")
    if is_opaque(x):
        if n_steps is not None:
            raise SimulationError(
                f"n_steps can't be given together with a {type(x).__name__}, which has the number"
                " of steps in its own n_steps"
            )
    else:
        x, n_steps = arrays(sim, method, x, n_steps)
        sim._warn_one_step(n_steps, stateful)
    return call_keras(sim, sim._runtime, method, x, n_steps, stateful, kwargs)


def arrays(sim, method, x, n_steps):
    """Sort given data out by node; returns it with the number of steps."""
    names, size = sim._runtime.names, sim.minibatch_size
    values = by_node(x, names)
    if not values and n_steps is None:
        raise ValidationError("Must specify either input data or n_steps", "n_steps", sim)
    n_steps = None if n_steps is None else step_count(n_steps)
    single = method == "predict_on_batch"
    if not single:
        values = truncate(values, size)
    _, steps = check_data(values, names, size, sim.unroll, n_steps, size if single else None)
    if steps % sim.unroll:
        raise ValidationError(
            f"n_steps ({steps}) is not evenly divisible by unroll_simulation ({sim.unroll})",
            "n_steps",
            sim,
        )
    check_loop(steps, sim.unroll, sim._use_loop)
    return values, steps


def call_keras(sim, runtime, method, x, n_steps, stateful, kwargs):
    """Call ``predict`` or ``predict_on_batch`` of the simulator's Keras model.

    Parameters
    ----------
    sim : nengo_dl.Simulator
        The simulator.
    runtime : nengo_dl.run.runtime.Runtime
        What runs it.
    method : str
        Name of the method.
    x : dict or object
        Input node -> array; or, with ``n_steps=None``, what goes to Keras as it is.
    n_steps : int or None
        Steps of the run.
    stateful : bool
        Whether the state is kept.
    kwargs : dict
        Further arguments for Keras.

    Returns
    -------
    dict
        Probe -> array.
    """
    if n_steps is None:
        x = as_tuples(x)
        runtime.feed.start(dict.fromkeys(runtime.nodes.nodes), None)
    else:
        x = complete(runtime, x, n_steps, stateful)
    if method == "predict":
        kwargs.setdefault("verbose", 0)
        if n_steps is not None:
            kwargs["batch_size"] = sim.minibatch_size
    layer, model = runtime.layer, sim.keras_model
    before = layer.stateful, model.steps_per_execution
    try:
        # a callback of fit may call this, which has its own number of steps
        layer.stateful, model.steps_per_execution = stateful, model.own.given_steps
        with sim._scope(), keras_errors(runtime):
            if method == "predict" and n_steps is not None:
                x = model.in_own_precision(x, kwargs)
            outputs = getattr(model, method)(x, **kwargs)
    finally:
        layer.stateful, model.steps_per_execution = before
    return {probe: outputs[name] for name, probe in runtime.names.probes.items()}


def as_tuples(x):
    """Wrap dictionaries from a generator, which Keras 3 would not take for inputs."""
    if not hasattr(x, "__next__"):
        return x
    return ((item,) if isinstance(item, Mapping) else item for item in x)


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
