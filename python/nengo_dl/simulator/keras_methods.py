"""The methods of a simulator that Keras models have, too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..run.interrupt import in_one_piece
from ..training import fit as training
from ..training.predict import predict
from .lifecycle import Lifecycle, in_turn

if TYPE_CHECKING:
    import keras
    import nengo
    import numpy as np


class KerasMethods(Lifecycle):
    """Training, evaluating and predicting through the simulator's Keras model."""

    @in_turn
    @in_one_piece
    def compile(
        self,
        optimizer: str | keras.optimizers.Optimizer = "rmsprop",
        *,
        loss: Any = None,
        metrics: Any = None,
        loss_weights: Any = None,
        weighted_metrics: Any = None,
        **kwargs: Any,
    ) -> None:
        """Set optimizer, losses and metrics for `fit` and `evaluate`.

        Probes without a loss are not trained on. Nothing changes if an argument is wrong.

        Parameters
        ----------
        optimizer : str or keras.optimizers.Optimizer
            The optimizer.
        loss : str, callable, keras.losses.Loss, list or dict
            One loss for every Probe, a list with one for each in order (None for those without),
            or a dict from Probes or their names. A function gets targets and values
            ``(minibatch_size, n_steps, size)``; the mean of what it returns is the loss.
        metrics, weighted_metrics : str, callable, keras.metrics.Metric, list or dict
            One metric for every Probe; a list with an entry, which may be a list, for each in
            order; or a dict. Weighted ones take ``sample_weight`` into account; a flat list of
            them is for every Probe. A Metric object is used as it is, and holds the result
            afterwards; if it is given several times, the first Probe has it and all others have
            copies, made from its ``get_config()``.
        loss_weights : list or dict, optional
            Factors of losses in their sum, 1 if not given.
        **kwargs
            Further arguments of `keras.Model.compile`, ``run_eagerly`` for one. Without
            ``steps_per_execution`` as many minibatches are run in a go as callbacks permit.
        """
        self._keras.compile(
            optimizer,
            loss=loss,
            metrics=metrics,
            loss_weights=loss_weights,
            weighted_metrics=weighted_metrics,
            **kwargs,
        )

    @in_turn
    @in_one_piece
    def fit(
        self,
        x: Any = None,
        y: Any = None,
        n_steps: int | None = None,
        stateful: bool = False,
        *,
        validation_mode: str = "spikes",
        **kwargs: Any,
    ) -> keras.callbacks.History:
        """Optimize parameters with ``sim.keras_model.fit``.

        Parameters
        ----------
        x : dict, list, array, or what Keras takes, optional
            Values for input Nodes as in `run_steps`, for any number of items; `fit` drops those
            that do not fill a minibatch, with a warning.
            Generators and datasets give ``(x, y)`` or ``(x, y, sample_weight)`` by name, ``x``
            with ``n_steps``.
        y : dict, list or array, optional
            Targets ``(items, n_steps, size)``: a dict from Probes or their names, a list in the
            order of the Probes, or an array for the first of them. Probes without a target, or
            without a loss, are not trained on.
        n_steps : int, optional
            Steps; needed where there is no data.
        stateful : bool
            Whether the state is kept. If not, every minibatch starts from the present state.
        validation_mode : str
            How validation runs spiking neurons: ``"spikes"``, as they are; or ``"rates"``, as in
            training, by their rates (with spikes where they have a surrogate).
        **kwargs
            Arguments of `keras.Model.fit`. ``validation_data`` is ``(x, y)``,
            ``(x, y, sample_weight)`` in the forms above, or a dataset; ``sample_weight`` an array
            for all Probes, or a dict.

        Returns
        -------
        keras.callbacks.History
            ``history.history`` has ``"loss"``, ``"<probe>_loss"`` and ``"<probe>_<metric>"``,
            and the same with ``"val_"`` in front.
        """
        return training.fit(self._keras, x, y, n_steps, stateful, validation_mode, kwargs)

    @in_turn
    @in_one_piece
    def evaluate(
        self,
        x: Any = None,
        y: Any = None,
        n_steps: int | None = None,
        stateful: bool = False,
        *,
        validation_mode: str = "spikes",
        **kwargs: Any,
    ) -> dict[str, float]:
        """Compute losses and metrics with ``sim.keras_model.evaluate``.

        Parameters
        ----------
        x, y, n_steps, stateful, validation_mode
            As in `fit` and its validation, for any number of items.
        **kwargs
            Arguments of `keras.Model.evaluate`.

        Returns
        -------
        dict
            ``"loss"``, ``"<probe>_loss"`` and ``"<probe>_<metric>"``, in this order.
        """
        return training.evaluate(self._keras, x, y, n_steps, stateful, validation_mode, kwargs)

    @in_turn
    @in_one_piece
    def predict(
        self,
        x: Any = None,
        n_steps: int | None = None,
        stateful: bool = False,
        **kwargs: Any,
    ) -> dict[nengo.Probe | str, np.ndarray]:
        """Run ``sim.keras_model.predict`` for any number of items.

        ``sim.data`` stays as it is, and ``sample_every`` of Probes is ignored.

        Parameters
        ----------
        x : dict, list, array, or what Keras takes, optional
            Values for input Nodes as in `run_steps`, for any number of items.
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
        return predict(self._keras, x, n_steps, stateful, kwargs)

    @in_turn
    @in_one_piece
    def predict_on_batch(
        self,
        x: Any = None,
        n_steps: int | None = None,
        stateful: bool = False,
        **kwargs: Any,
    ) -> dict[nengo.Probe | str, np.ndarray]:
        """Run ``sim.keras_model.predict_on_batch``: `predict` for exactly one minibatch."""
        return predict(self._keras, x, n_steps, stateful, kwargs, single=True)
