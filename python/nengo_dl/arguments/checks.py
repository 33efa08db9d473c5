"""Checks on arguments of the simulator, and warnings at the line that gave them."""

import math
import numbers
import sys
import warnings

import numpy as np
from nengo.exceptions import ValidationError

PACKAGE = __name__.partition(".")[0]


def warn_user(message, category=UserWarning):
    """Warn at the line outside of this package from which it was called.

    Parameters
    ----------
    message : str
        What to say.
    category : type
        Class of the warning.
    """
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and _is_ours(frame):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)


def _is_ours(frame):
    return frame.f_globals.get("__name__", "").partition(".")[0] == PACKAGE


def is_integer(value):
    """Whether a value is an integer, and not a bool."""
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def is_number(value):
    """Whether a value is a real number, or an array of a single one, and not a bool."""
    if isinstance(value, np.ndarray) and value.shape == ():
        value = value[()]
    return isinstance(value, numbers.Real) and not isinstance(value, (bool, np.bool_))


def positive(name, value):
    """Return a positive integer, or say that it is none."""
    if is_integer(value) and value > 0:
        return int(value)
    raise ValidationError(f"must be an integer above 0, got {value!r}", attr=name)


def step_count(n_steps):
    """Return a number of steps as an integer, or say that it is none."""
    if is_integer(n_steps) and n_steps >= 0:
        return int(n_steps)
    raise ValidationError(f"must be an integer, 0 or more, got {n_steps!r}", attr="n_steps")


def random_seed(seed):
    """Return a seed of NumPy's generators as an integer, or say that it is none."""
    if is_integer(seed) and 0 <= seed < 2**32:
        return int(seed)
    raise ValidationError(f"must be an integer from 0 to 2**32 - 1, got {seed!r}", attr="seed")


def seconds(name, value, zero=True, obj=None):
    """Return a time as a float, or say that it is none; 0 is one only if ``zero``."""
    if is_number(value) and math.isfinite(value) and (value > 0 or (zero and value == 0)):
        return float(value)
    least = "not negative" if zero else "above 0"
    raise ValidationError(f"must be a number of seconds, finite and {least}, got {value!r}",
                          attr=name, obj=obj)  # fmt: skip


def valid_device(device):
    """Check a device string as TensorFlow does, and say if it is none that runs a model."""
    if device is not None:
        import tensorflow as tf

        kind = tf.DeviceSpec.from_string(device).device_type
        if kind not in (None, "CPU", "GPU"):
            warn_user(
                f"device {device!r}: there is no engine for a {kind}, the model runs on the"
                " CPU; leave `device` out, or use '/cpu:0' or '/gpu:0'"
            )
    return device


def whole_loops(n_steps, unroll):
    """Round a number of steps up to a multiple of ``unroll``, with a warning."""
    rest = n_steps % unroll
    if not rest:
        return int(n_steps)
    actual = int(n_steps) + unroll - rest
    warn_user(
        f"Number of steps ({n_steps}) is not evenly divisible by unroll_simulation ({unroll});"
        f" running for {actual} steps",
        RuntimeWarning,
    )
    return actual


def warn_synapses(model, probes):
    """Warn before a single step of a model with synapses, which let nothing through in it."""
    network = model.toplevel
    connections = () if network is None else network.all_connections
    if any(obj.synapse is not None for obj in (*connections, *probes)):
        warn_user(
            "Running for one timestep, but the network contains synaptic filters, which need"
            " several steps to let a signal through; set their synapse to None, or run longer"
        )
