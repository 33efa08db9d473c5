"""What a simulator lets see of the model that Nengo's builder made, as `nengo.Simulator` does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from nengo.utils.simulator import operator_dependency_graph

from ..run.randomness import step_order
from .lifecycle import Lifecycle
from .signals import Signals

if TYPE_CHECKING:
    from nengo.builder.operator import Operator


class Insight(Lifecycle):
    """Operators and signals of the model, and random numbers for whoever asks for some."""

    _drop_batch: bool
    _rng: np.random.RandomState | None = None  # made when it is asked for

    @property
    def step_order(self) -> list[Operator]:
        """list : Nengo's operators in the order in which `nengo.Simulator` runs them."""
        return step_order(self.model.operators)

    @property
    def dg(self) -> dict[Operator, set[Operator]]:
        """dict : Nengo's operator -> those that have to run after it in a step."""
        return operator_dependency_graph(self.model.operators)

    @property
    def rng(self) -> np.random.RandomState:
        """numpy.random.RandomState : A generator of the seed; `reset` makes it anew.

        The model does not draw from it.
        """
        self._check_open("rng")
        if self._rng is None:
            self._rng = np.random.RandomState(self._runtime.seed)
        return self._rng

    @property
    def signals(self) -> Signals:
        """nengo_dl.simulator.signals.Signals : Present values of signals that live on."""
        self._check_open("signals")
        return Signals(self.model, self._signal, self._write_signal, self._drop_batch)
