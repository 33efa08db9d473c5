"""`Simulator.signals`: the values of Nengo's signals, as far as they are kept between steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import nengo
import numpy as np
from numpy.typing import ArrayLike


class Signals(Mapping):
    """Maps signals of the built model to their present values.

    Only what lives from step to step has a value here: parameters and state. Values that are
    computed anew in every step may not even exist as an array; put a Probe on them.

    Arrays are read-only copies, and stay so: the model never sees what is written to an array.
    ``sim.signals[signal] = value`` changes a parameter or state, and the next step goes on from it.

    Parameters
    ----------
    model : nengo.builder.Model
        The built model.
    live : callable
        ``live(signal)`` returns ``(value, batched)`` or None.
    write : callable
        ``write(signal, value)`` changes a value.
    drop_batch : bool
        Whether the axis of minibatch items is left out.
    """

    def __init__(
        self,
        model: nengo.builder.Model,
        live: Callable[[Any], tuple[np.ndarray, bool] | None],
        write: Callable[[Any, Any], None],
        drop_batch: bool,
    ) -> None:
        self.live = live
        self.write = write
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
            return _read_only(value[0] if batched and self.drop_batch else value)
        self._expect_kept(signal, "probe it instead")
        return signal.initial_value if signal.sparse else _read_only(signal.initial_value)

    def __setitem__(self, signal: nengo.builder.signal.Signal, value: ArrayLike) -> None:
        if self.live(signal) is None:
            self._expect_kept(signal, "connect a Node to what it belongs to instead")
        self.write(signal, value)

    def _expect_kept(self, signal: nengo.builder.signal.Signal, instead: str) -> None:
        if signal.base in self.changing:
            raise KeyError(f"{signal} is computed anew in every step and not kept; {instead}")

    def __iter__(self) -> Iterator[Any]:
        for signal in self.all:
            try:
                self[signal]
            except KeyError:
                continue
            yield signal

    def __len__(self) -> int:
        return sum(1 for _ in self)


def _read_only(value: np.ndarray) -> np.ndarray:
    """A copy that NumPy lets nobody make writeable: its memory belongs to ``bytes``."""
    return np.ndarray(np.shape(value), np.asarray(value).dtype, np.asarray(value).tobytes())
