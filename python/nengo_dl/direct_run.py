"""Runs of a layer without Keras and without a graph, for `.TensorGraph.run_eager`."""

import tensorflow as tf


class DirectRun:
    """What `.TensorGraph.run_graph` does, eagerly and with nothing around the op.

    Raw reads and assignments take 8 us each, those of `tf.Variable` up to 50, and a concrete
    function hands the work to another thread, which costs more than all of them. A plain object,
    so that Keras does not track what it holds.
    """

    def __init__(self, layer):
        self._run_op = layer.run_op
        self._dtype = tf.as_dtype(layer.program.dtype)
        self._params = [weight._value.handle for weight in layer.base_params]
        self._learned = [self._params[i] for i in layer.learned]
        self._saved = {key: variable.handle for key, variable in layer.saved_state.items()}
        self._empty = {  # nothing to read or write
            key: variable.value()
            for key, variable in layer.saved_state.items()
            if variable.shape.num_elements() == 0
        }
        self._numbers = {}

    def __call__(self, inputs, n_steps, stateful, time_limit):
        dtype, saved = self._dtype, self._saved
        first_step = _read(saved["n_steps"], tf.int64)
        result = self._run_op(
            [tf.constant(rows, dtype) for rows in inputs],
            [_read(param, dtype) for param in self._params],
            self._state("state", dtype),
            self._state("istate", tf.int32),
            first_step,
            self._number(n_steps, tf.int64),
            self._number(time_limit, tf.float64),
            partial=True,
        )
        for handle, value in zip(self._learned, result.learned, strict=True):
            _assign(handle, value)
        if stateful:
            self._save(result, int(first_step))
        return result

    def _state(self, key, dtype):
        return self._empty[key] if key in self._empty else _read(self._saved[key], dtype)

    def _save(self, result, first_step):
        saved = self._saved
        if "state" not in self._empty:
            _assign(saved["state"], result.state)
        if "istate" not in self._empty:
            _assign(saved["istate"], result.istate)
        _assign(saved["n_steps"], tf.constant(first_step + int(result.steps), tf.int64))

    def _number(self, value, dtype):
        """A scalar tensor; the last one is kept, since most runs have the steps of the last."""
        key, tensor = self._numbers.get(dtype, (None, None))
        if tensor is None or key != value:
            tensor = tf.constant(value, dtype)
            self._numbers[dtype] = value, tensor
        return tensor


def _read(handle, dtype):
    return tf.raw_ops.ReadVariableOp(resource=handle, dtype=dtype)


def _assign(handle, value):
    tf.raw_ops.AssignVariableOp(resource=handle, value=value)
