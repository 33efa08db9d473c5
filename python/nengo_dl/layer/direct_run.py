"""Runs of a layer without Keras and without a graph, for `.TensorGraph.run_eager`."""

import tensorflow as tf

from nengo_dl.keras_private import plain_variable
from nengo_dl.layer.tf_ops import load


class DirectRun:
    """What `.TensorGraph.run_graph` does for a plan of one program, as one op on its variables.

    Every other call of TensorFlow takes 5 to 50 us, of which a run of a thousand steps should not
    see many. A plain object, so that Keras does not track what it holds.

    Parameters
    ----------
    layer : `.TensorGraph`
        Whose variables and program to use.
    """

    def __init__(self, layer):
        (op,) = layer.training_ops if layer.in_training() else layer.run_ops
        saved = layer.saved_state
        self._dtype = tf.as_dtype(layer.plan.dtype)
        self._n_outputs = len(op.keep_last)
        self._bound = load().nengo_dl_bind(
            program=op.program,
            keep_last=tf.constant(op.keep_last, tf.int64, (self._n_outputs,)),
            callbacks=op.callbacks,
            threads=op.threads,
            state=saved["state"].handle,
            istate=saved["istate"].handle,
            steps_done=saved["n_steps"].handle,
            params=[plain_variable(weight).handle for weight in layer.base_params],
        )
        self._run = load().nengo_dl_run_in_place
        self._numbers = {}

    def __call__(self, inputs, n_steps, time_limit):
        """Run steps.

        Returns
        -------
        outputs : list of tensors
            As in `nengo_dl.layer.tf_ops.RunResult`.
        steps : (2,) int64 tensor
            Steps that were done before, and now.
        error : () string tensor
            What a callback that failed said, or empty.
        """
        return self._run(
            self._bound,
            self._number(n_steps, tf.int64),
            self._number(time_limit, tf.float64),
            [self._rows(rows) for rows in inputs],
            n_outputs=self._n_outputs,
            dtype=self._dtype,
        )

    def _rows(self, rows):
        if isinstance(rows, tf.Tensor) and rows.dtype == self._dtype:
            return rows
        return tf.constant(rows, self._dtype)

    def _number(self, value, dtype):
        """A scalar tensor; the last one is kept, since most runs have the steps of the last."""
        key, tensor = self._numbers.get(dtype, (None, None))
        if tensor is None or key != value:
            tensor = tf.constant(value, dtype)
            self._numbers[dtype] = value, tensor
        return tensor
