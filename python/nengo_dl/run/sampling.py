"""Of which steps a run keeps rows: Probes with ``sample_every``."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def is_sampled(numbers: np.ndarray, period: float) -> np.ndarray:
    """Nengo's test of the numbers of steps, of which the first is 1: whether there is a value."""
    return numbers % period < 1


class Sampling:
    """The steps at which Probes with ``sample_every`` have values.

    Parameters
    ----------
    periods : sequence of (float or None)
        Per output: steps from value to value; None: rows are what they are without it.
    """

    def __init__(self, periods: Sequence[float | None]) -> None:
        self.periods = tuple(periods)

    def __bool__(self) -> bool:
        return any(period is not None for period in self.periods)

    def steps(self, first_step: int, n_steps: int) -> list[np.ndarray | None]:
        """Per output, which of the ``n_steps`` steps after ``first_step`` ones have rows.

        Returns
        -------
        list of (None or int64 array)
            In order, counted from 0.
        """
        numbers = np.arange(first_step + 1, first_step + n_steps + 1)
        found: dict[float | None, np.ndarray | None] = {None: None}
        for period in self.periods:
            if period not in found:
                found[period] = np.flatnonzero(is_sampled(numbers, period))
        return [found[period] for period in self.periods]

    def shares(self, keep_history: Sequence[bool]) -> list[float]:
        """Per output, what part of its steps has rows, about.

        Parameters
        ----------
        keep_history : sequence of bool
            Per output; False: only the last step of a run has.
        """
        return [
            min(1.0, 1 / (period or 1)) if keep else 0.0
            for period, keep in zip(self.periods, keep_history, strict=True)
        ]
