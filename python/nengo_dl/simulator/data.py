"""What a simulator knows about its model: probed values and parameters of built objects."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import nengo
import numpy as np
from nengo.builder.connection import BuiltConnection
from nengo.builder.ensemble import BuiltEnsemble
from nengo.exceptions import ValidationError

from ..run.plan_state import probed_shape, sparse_value
from .history import History
from .raw import ProbedSteps, RawData


class Recorder:
    """Sorts the outputs of runs into histories.

    Parameters
    ----------
    histories : dict
        Probe -> `History`, in the order of the outputs.
    keep_history : list of bool
        Per probe; False keeps one row per run, that of its last step, whatever ``sample_every``.
    """

    def __init__(self, histories: dict[nengo.Probe, History], keep_history: Sequence[bool]) -> None:
        self.histories = histories
        self.keep_history = keep_history
        self.last: dict[int, tuple[History, np.ndarray]] = {}

    def record(self, outputs: Sequence[np.ndarray]) -> None:
        """Take the outputs of some steps."""
        for history, values, keep in zip(
            self.histories.values(), outputs, self.keep_history, strict=True
        ):
            if keep:
                history.append(values)
            else:
                self.last[id(history)] = (history, values)

    def finish(self) -> None:
        """Add what is known only when the run is over."""
        if self.last:
            for history, values in self.last.values():
                history.append(values)
            self.last = {}


class SimulationData(Mapping):
    """Maps Nengo objects to what the simulator has of them.

    A Probe gives its values, ``(steps, size)``, or ``(minibatch, steps, size)`` if the simulator
    has a ``minibatch_size``. Ensembles and Connections give what Nengo's builder made of them, with
    the present values of encoders, biases and weights. Shapes are those of `nengo.Simulator`: a
    scalar weight has shape ``()``, and a Probe of it gives ``(steps,)``.

    Parameters
    ----------
    model : nengo.builder.Model
        The built model.
    live : callable
        ``live(signal)`` returns the present value of a parameter, with a leading axis of
        minibatch items if each has its own, or None if the signal is no parameter of the
        program. The second value says whether there is such an axis: ``(value, batched)``.
    drop_batch : bool
        Whether the axis of minibatch items is left out.

    Attributes
    ----------
    raw : nengo_dl.simulator.raw.RawData
        The same objects in another form: probed values step by step, and what Nengo's builder made.
    """

    def __init__(
        self,
        model: nengo.builder.Model,
        live: Callable[[Any], tuple[np.ndarray, bool] | None],
        drop_batch: bool,
    ) -> None:
        self.model = model
        self.live = live
        self.drop_batch = drop_batch
        self.histories = {probe: History() for probe in model.probes}
        self.raw = RawData(
            model.params,
            {
                probe: ProbedSteps(history, probed_shape(model, probe), drop_batch)
                for probe, history in self.histories.items()
            },
        )

    def __getitem__(self, key: Any) -> Any:
        if key in self.histories:
            return self._probe(key)
        if key not in self.model.params:
            raise ValidationError(f"{key} is not in this simulator's model", attr="data")
        built = self.model.params[key]
        if isinstance(built, BuiltEnsemble):
            return self._ensemble(key, built)
        if isinstance(built, BuiltConnection):
            return self._connection(key, built)
        return built

    def __iter__(self) -> Iterator[Any]:
        return iter(self.model.params)

    def __len__(self) -> int:
        return len(self.model.params)

    def __contains__(self, key: object) -> bool:
        return key in self.model.params

    def __repr__(self) -> str:
        return f"<SimulationData of {self.model.label}: {len(self)} objects>"

    def reset(self) -> None:
        """Forget all probed values."""
        for history in self.histories.values():
            history.clear()

    def get_params(self, *obj_attrs: tuple[Any, str]) -> list[np.ndarray]:
        """Fetch several parameters at once.

        Parameters
        ----------
        *obj_attrs : tuple of (nengo object, str)
            Objects and names of attributes: ``scaled_encoders``, ``bias``, ``weights`` and so on.

        Returns
        -------
        list of ndarray
            Their values.
        """
        return [getattr(self[obj], attr) for obj, attr in obj_attrs]

    def _probe(self, probe: nengo.Probe) -> np.ndarray | list:
        values = self.histories[probe].array()
        if values is None:
            return []
        values = values.reshape(*values.shape[:2], *probed_shape(self.model, probe))
        return values[0] if self.drop_batch else values

    def _value(self, signal: Any, built: Any) -> tuple[Any, bool]:
        """Return the present value of a signal, or else what was built, and if it changed."""
        found = None if signal is None else self.live(signal)
        if found is None:
            return built, False
        value, batched = found
        if batched and self.drop_batch:
            value = value[0, ...]  # a scalar, too, stays an array
        if built is not None and value.shape == built.shape and np.array_equal(value, built):
            return built, False
        value.setflags(write=False)
        return value, True

    def _bias(self, signals: Mapping[str, Any], built: Any) -> tuple[Any, bool]:
        """Return the biases of an ensemble, and if they changed."""
        if "gain" not in signals:
            return self._value(signals.get("bias"), built)
        # of a ScaledEnsemble of the converter, whose parameter is multiplied by the gain
        signal, gain = signals["bias"], signals["gain"].initial_value
        value, changed = self._value(signal, signal.initial_value)
        return (gain * value, True) if changed else (built, False)

    def _ensemble(self, ens: nengo.Ensemble, built: BuiltEnsemble) -> BuiltEnsemble:
        signals = self.model.sig[ens]
        encoders, changed = self._value(signals.get("encoders"), built.scaled_encoders)
        bias, bias_changed = self._bias(self.model.sig[ens.neurons], built.bias)
        if built.gain is None:  # Direct mode
            return built._replace(scaled_encoders=encoders)
        gain, unscaled = built.gain, built.encoders
        if changed:
            norm = np.linalg.norm(encoders, axis=-1)
            gain = ens.radius * norm / np.linalg.norm(built.encoders, axis=-1)
            with np.errstate(divide="ignore", invalid="ignore"):
                unscaled = ens.radius * encoders / gain[..., None]
        max_rates, intercepts = built.max_rates, built.intercepts
        if changed or bias_changed:
            max_rates, intercepts = ens.neuron_type.max_rates_intercepts(gain, bias)
        return built._replace(
            gain=gain,
            bias=bias,
            encoders=unscaled,
            scaled_encoders=encoders,
            max_rates=max_rates,
            intercepts=intercepts,
        )

    def _connection(self, conn: nengo.Connection, built: BuiltConnection) -> BuiltConnection:
        if built.weights is None:
            return built
        signal = self.model.sig[conn].get("weights")
        if signal is not None and signal.sparse:
            found = self.live(signal)
            if found is None:
                return built
            return built._replace(weights=sparse_value(signal, built.weights, found[0]))
        weights, _ = self._value(signal, built.weights)
        return built._replace(weights=weights)
