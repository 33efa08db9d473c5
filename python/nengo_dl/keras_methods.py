"""The methods of a simulator that Keras models have, too."""

from .keras_calls import predict


class KerasMethods:
    """Training, evaluating and predicting through the simulator's Keras model."""

    def predict(self, x=None, n_steps=None, stateful=False, **kwargs):
        """Run ``sim.keras_model.predict`` over any number of minibatches.

        ``sim.data`` stays as it is, and ``sample_every`` of Probes is ignored.

        Parameters
        ----------
        x : dict, list, array, or what Keras takes, optional
            Values for input Nodes as in `run_steps`, for any multiple of ``minibatch_size`` items.
        n_steps : int, optional
            Steps; needed where there is no data.
        stateful : bool
            Whether the state is kept. If not, every minibatch starts from the present state.
        **kwargs
            Arguments of `keras.Model.predict`.

        Returns
        -------
        dict
            Probe -> ``(batch, n_steps, size)``.
        """
        self._check_open("predict")
        return predict(self, "predict", x, n_steps, stateful, kwargs)

    def predict_on_batch(self, x=None, n_steps=None, stateful=False, **kwargs):
        """Run ``sim.keras_model.predict_on_batch``: `predict` for exactly one minibatch."""
        self._check_open("predict_on_batch")
        return predict(self, "predict_on_batch", x, n_steps, stateful, kwargs)
