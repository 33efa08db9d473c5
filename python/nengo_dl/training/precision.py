"""Keras' precision while a simulator uses Keras, and nobody else's for longer than needed.

Keras has two: the dtype policy, which layers take, is one for each thread; the float type, by
which optimizers, metrics and constants go, is one for the process.
"""

import contextlib
import threading


class _Float:
    """The process' float type, lent to all threads at a time that want the same one."""

    def __init__(self):
        self._changed = threading.Condition()
        self._levels = []  # nested: [float type, what it was before, threads that hold it]

    @contextlib.contextmanager
    def __call__(self, dtype):
        """Set the float type; wait until no other thread needs another one.

        Parameters
        ----------
        dtype : str
            ``"float32"`` or ``"float64"``.
        """
        level = self._enter(dtype, threading.get_ident())
        try:
            yield
        finally:
            self._leave(level, threading.get_ident())

    def _enter(self, dtype, thread):
        import keras

        with self._changed:
            self._changed.wait_for(lambda: self._is_free(dtype, thread))
            if not self._levels or self._levels[-1][0] != dtype:
                self._levels.append([dtype, keras.config.floatx(), []])
                keras.config.set_floatx(dtype)
            self._levels[-1][2].append(thread)
            return self._levels[-1]

    def _is_free(self, dtype, thread):
        holders = {holder for level in self._levels for holder in level[2]}
        return holders <= {thread} or (len(self._levels) == 1 and self._levels[0][0] == dtype)

    def _leave(self, level, thread):
        import keras

        with self._changed:
            level[2].remove(thread)
            if not level[2]:
                self._levels.remove(level)
                keras.config.set_floatx(level[1])
            self._changed.notify_all()


float_type = _Float()
_nothing = contextlib.nullcontext()


def python_float_type(runtime, data):
    """The simulator's float type while Python functions of the model may run.

    Parameters
    ----------
    runtime : nengo_dl.run.runtime.Runtime
        What runs the model.
    data : dict
        Input node -> values of those that get data.

    Returns
    -------
    context manager
    """
    if not runtime.plan.callbacks and not runtime.feed.timed(data):
        return _nothing
    import keras

    return _nothing if keras.config.floatx() == runtime.dtype else float_type(runtime.dtype)


class _Policies(threading.local):
    """The dtype policies that this thread has entered and not left, and what was there before."""

    def __init__(self):
        self.entered = []
        self.before = None


_policies = _Policies()


@contextlib.contextmanager
def policy(dtype):
    """Let layers that this thread makes have a precision; leave it in any order.

    Parameters
    ----------
    dtype : str
        ``"float32"`` or ``"float64"``.
    """
    import keras

    here, entry = _policies.entered, [dtype]
    if not here:
        _policies.before = keras.config.dtype_policy()
    here.append(entry)
    keras.config.set_dtype_policy(dtype)
    try:
        yield
    finally:
        # not remove(): entries of one precision are equal; another thread may close a simulator
        here[:] = [other for other in here if other is not entry]
        if here is _policies.entered:
            keras.config.set_dtype_policy(here[-1][0] if here else _policies.before)


@contextlib.contextmanager
def scope(dtype, device):
    """Make and run layers in a precision and on a TensorFlow device (None: wherever they are)."""
    import tensorflow as tf

    on_device = contextlib.nullcontext() if device is None else tf.device(device)
    with policy(dtype), on_device:
        yield
