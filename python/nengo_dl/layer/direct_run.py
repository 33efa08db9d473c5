"""Runs of a layer without Keras and without TensorFlow, for `.TensorGraph.run_eager`."""

import numpy as np
import tensorflow as tf
from tensorflow.python.eager import context

from nengo_dl import _engine
from nengo_dl.keras_private import plain_variable
from nengo_dl.layer.tf_ops import load


class DirectRun:
    """What `.TensorGraph.run_graph` does for a plan of one program, by the engine itself.

    It works on the layer's variables, in their memory where nobody else looks at it, and locks
    them as TensorFlow's own ops do: whatever assigns or reads them sees no difference. A call of
    TensorFlow takes 5 to 50 us, of which a run of a single step should see none. A plain object,
    so that Keras does not track what it holds.

    Parameters
    ----------
    layer : `.TensorGraph`
        Whose variables and program to use.
    """

    def __init__(self, layer):
        (op,) = layer.training_ops if layer.in_training() else layer.run_ops
        saved = layer.saved_state
        self._dtype, self._size = np.dtype(layer.plan.dtype), layer.minibatch_size
        self._backend = op.backend
        number = load().nengo_dl_bind(
            program=op.program,
            keep_last=tf.constant(op.keep_last, tf.int64, (len(op.keep_last),)),
            callbacks=op.callbacks,
            threads=op.threads,
            backend=op.backend,
            state=saved["state"].handle,
            istate=saved["istate"].handle,
            steps_done=saved["n_steps"].handle,
            params=[plain_variable(weight).handle for weight in layer.base_params],
        )
        self._bound = _engine.Bound(int(number))
        here = context.context()
        self._here, self._may_be_late = here._thread_local_data, here._default_is_async

    def _wait(self):
        """Wait for the ops that this thread has begun, where TensorFlow runs them asynchronously.

        What assigned a variable may not have done so yet. To ask TensorFlow which way it goes takes
        4 us, a third of a short run, and is done only where a thread has ever chosen a way.
        """
        if not self._may_be_late and self._here.executor is None:
            return
        if not tf.config.experimental.get_synchronous_execution():
            context.async_wait()

    @property
    def samples(self):
        """bool : Whether a run can keep rows of some steps alone; a GPU keeps those of all."""
        return self._backend == "cpu"

    def __call__(self, inputs, n_steps, time_limit, kept_steps=None):
        """Run steps.

        Parameters
        ----------
        inputs, n_steps, time_limit
            As of `.TensorGraph.run_eager`.
        kept_steps : list of (None or int64 array), optional
            Per output, which of these steps have rows.

        Returns
        -------
        outputs : tuple of arrays
            As in `nengo_dl.layer.tf_ops.RunResult`.
        first_step : int
            Steps that were done before.
        steps : int
            Steps that were done now.
        error : str
            What a callback that failed said, or empty.
        """
        self._wait()
        dtype = self._dtype
        rows = [np.ascontiguousarray(rows, dtype) for rows in inputs]
        return self._bound.run(rows, n_steps, time_limit, kept_steps)

    def minibatch(self, inputs, n_steps, stateful):
        """Run a minibatch as `.TensorGraph.call` does, all of its steps or none.

        Parameters
        ----------
        inputs : list of arrays, shape (items, n_steps, size)
            Rows of each model input, of as many items as a minibatch has, or fewer.
        n_steps : int
            Steps to do.
        stateful : bool
            Whether the state stays.

        Returns
        -------
        list of arrays, shape (items, n_steps or 1, size)
        """
        items = len(inputs[0]) if inputs else self._size
        if not 0 < items <= self._size:
            raise ValueError(f"expected 1 to minibatch_size={self._size} items, got {items}")
        rows = [np.ascontiguousarray(rows, self._dtype) for rows in inputs]
        if items < self._size:  # filled up with copies of the last one, of which nothing stays
            there = np.minimum(np.arange(self._size), items - 1)
            rows = [values[there] for values in rows]
        self._wait()
        outputs, _, _, error = self._bound.run_items(rows, n_steps, items, stateful)
        if error:
            raise RuntimeError(error)
        return [values[:items] for values in outputs]

    @property
    def steps_done(self):
        """int : Steps done, as saved in the layer."""
        self._wait()
        return self._bound.steps_done
