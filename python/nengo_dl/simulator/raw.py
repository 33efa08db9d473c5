"""``sim.data.raw``: probed values step by step, and what Nengo's builder made of other objects."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from nengo.exceptions import ValidationError

if TYPE_CHECKING:
    import nengo

    from .history import History


class ProbedSteps(Sequence):
    """The values of a probe, an array for each step (or time of ``sample_every``).

    ``del steps[:]`` forgets them, so that the values of the next run are the first ones.

    Parameters
    ----------
    history : History
        The values.
    shape : tuple of int
        Of the value of a step.
    drop_batch : bool
        Whether arrays have no axis of minibatch items.
    """

    def __init__(self, history: History, shape: tuple[int, ...], drop_batch: bool) -> None:
        self._history, self._shape, self._drop_batch = history, shape, drop_batch

    def _values(self) -> np.ndarray | list:
        """All values, with an axis of steps first."""
        values = self._history.array()
        if values is None:
            return []
        values = values.reshape(*values.shape[:2], *self._shape)
        return values[0] if self._drop_batch else np.moveaxis(values, 1, 0)

    def __len__(self) -> int:
        return len(self._history)

    def __getitem__(self, index: Any) -> Any:
        values = self._values()
        return list(values[index]) if isinstance(index, slice) else values[index]

    def __iter__(self) -> Iterator[np.ndarray]:
        return iter(self._values())

    def __delitem__(self, index: Any) -> None:
        if not isinstance(index, slice) or range(len(self))[index] != range(len(self)):
            raise ValidationError(
                f"probed values are deleted all at once: expected del raw[probe][:], got {index!r}",
                "raw",
            )
        self._history.clear()

    def __repr__(self) -> str:
        return f"<ProbedSteps: {len(self)}>"


class RawData(Mapping):
    """Maps Nengo objects to what `nengo.Simulator` keeps of them.

    A Probe gives its `ProbedSteps`; other objects give what Nengo's builder made of them, with the
    values from before any training or learning.

    Parameters
    ----------
    built : Mapping
        Nengo object -> what Nengo's builder made of it.
    probed : dict
        Probe -> `ProbedSteps`.
    """

    def __init__(self, built: Mapping[Any, Any], probed: dict[nengo.Probe, ProbedSteps]) -> None:
        self._built, self._probed = built, probed

    def __getitem__(self, key: Any) -> Any:
        return self._probed[key] if key in self._probed else self._built[key]

    def __iter__(self) -> Iterator[Any]:
        return iter(self._built)

    def __len__(self) -> int:
        return len(self._built)

    def __repr__(self) -> str:
        return f"<RawData of {len(self)} objects>"
