"""Runs of a layer whose model calls TensorFlow, without Keras, for `.TensorGraph.run_eager`."""

import tensorflow as tf


class TracedRun:
    """What `.TensorGraph.run_graph` does, traced: a loop of TensorFlow is slow otherwise.

    A plain object, so that Keras does not track what it holds.

    Parameters
    ----------
    layer : `.TensorGraph`
        What to run.
    """

    def __init__(self, layer):
        self._layer = layer
        self._functions = {}  # whether the state is kept, and there are few steps -> traced

    def __call__(self, inputs, n_steps, stateful):
        """Run steps, all of them or none.

        Returns
        -------
        outputs : list of tensors
            As in `nengo_dl.layer.tf_ops.GraphResult`.
        steps : int
            Steps that were done.
        error : str
            What went wrong, or empty.
        """
        key = stateful, n_steps <= self._layer.most_at_once
        if key not in self._functions:
            self._functions[key] = self._trace(inputs, *key)
        try:
            outputs = self._functions[key](inputs, tf.constant(n_steps, tf.int64))
        except tf.errors.OpError as e:
            return [], 0, e.message
        return outputs, n_steps, ""

    def _trace(self, inputs, stateful, few_steps):
        layer = self._layer

        def run(inputs, n_steps):
            with layer.keeping(stateful, few_steps):
                return layer.run_graph(inputs, n_steps, stateful).outputs

        rows = [tf.TensorSpec((t.shape[0], None, t.shape[2]), t.dtype) for t in inputs]
        signature = [rows, tf.TensorSpec((), tf.int64)]
        return tf.function(run, input_signature=signature, autograph=False)
