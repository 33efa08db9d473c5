"""`Simulator.signals`: the values of Nengo's signals, as far as they are kept between steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import nengo
import numpy as np


class Signals(Mapping):
    """Maps signals of the built model to their present values.

    Only what lives from step to step has a value here: parameters and state. Values that are
    computed anew in every step may not even exist as an array; put a Probe on them.

    Parameters
    ----------
    model : nengo.builder.Model
        The built model.
    live : callable
        ``live(signal)`` returns ``(value, batched)`` or None.
    drop_batch : bool
        Whether the axis of minibatch items is left out.
    """

    def __init__(
        self,
        model: nengo.builder.Model,
        live: Callable[[Any], tuple[np.ndarray, bool] | None],
        drop_batch: bool,
    ) -> None:
        self.live = live
        self.drop_batch = drop_batch
        operators = model.operators
        self.all = list(dict.fromkeys(s for op in operators for s in op.all_signals))
        # what is only incremented is state, unless all its increments are zero
        changing = (op.sets + op.updates for op in operators)
        self.changing = {s.base for signals in changing for s in signals}

    def __getitem__(self, signal: nengo.builder.signal.Signal) -> np.ndarray:
        found = self.live(signal)
        if found is not None:
            value, batched = found
            return value[0] if batched and self.drop_batch else value
        if signal.base not in self.changing:
            return signal.initial_value
        raise KeyError(f"{signal} is computed anew in every step and not kept; probe it instead")

    def __iter__(self) -> Iterator[Any]:
        for signal in self.all:
            try:
                self[signal]
            except KeyError:
                continue
            yield signal

    def __len__(self) -> int:
        return sum(1 for _ in self)
