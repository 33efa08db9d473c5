"""Of which steps a run keeps rows: Probes with ``sample_every``."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


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

        Nengo's test is of the number of a step, ``n % period < 1``, with a first step that is 1.

        Returns
        -------
        list of (None or int64 array)
            In order, counted from 0.
        """
        numbers = np.arange(first_step + 1, first_step + n_steps + 1)
        found: dict[float | None, np.ndarray | None] = {None: None}
        for period in self.periods:
            if period not in found:
                found[period] = np.flatnonzero(numbers % period < 1)
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
