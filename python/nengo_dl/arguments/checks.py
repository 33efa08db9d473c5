"""Checks on arguments of the simulator."""

import warnings

import numpy as np
from nengo.exceptions import ValidationError


def positive(name, value):
    """Return a positive integer, or say that it is none."""
    if isinstance(value, (int, np.integer)) and not isinstance(value, bool) and value > 0:
        return int(value)
    raise ValidationError(f"must be an integer above 0, got {value!r}", attr=name)


def step_count(n_steps):
    """Return a number of steps as an integer, or say that it is none."""
    if isinstance(n_steps, (int, np.integer)) and not isinstance(n_steps, bool) and n_steps >= 0:
        return int(n_steps)
    raise ValidationError(f"must be an integer, 0 or more, got {n_steps!r}", attr="n_steps")


def valid_device(device):
    """Check a device string as TensorFlow does."""
    if device is not None:
        import tensorflow as tf

        tf.DeviceSpec.from_string(device)
    return device


def whole_loops(n_steps, unroll):
    """Round a number of steps up to a multiple of ``unroll``, with a warning."""
    rest = n_steps % unroll
    if not rest:
        return int(n_steps)
    actual = int(n_steps) + unroll - rest
    warnings.warn(
        f"Number of steps ({n_steps}) is not evenly divisible by unroll_simulation ({unroll});"
        f" running for {actual} steps",
        RuntimeWarning,
        stacklevel=3,
    )
    return actual


def check_loop(n_steps, unroll, use_loop):
    """Without a loop there is just one number of steps."""
    if not use_loop and n_steps != unroll:
        raise ValidationError(
            f"with use_loop=False a run has exactly unroll_simulation={unroll} steps,"
            f" got {n_steps}",
            attr="n_steps",
        )


def warn_synapses(model, probes):
    """Warn before a single step of a model with synapses, which let nothing through in it."""
    network = model.toplevel
    connections = () if network is None else network.all_connections
    if any(obj.synapse is not None for obj in (*connections, *probes)):
        warnings.warn(
            "Running for one timestep, but the network contains synaptic filters, which need"
            " several steps to let a signal through; set their synapse to None, or run longer",
            UserWarning,
            stacklevel=5,
        )
