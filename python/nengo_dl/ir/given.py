"""What a plan is made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from nengo.builder import Signal

from .signals import values_shape


@dataclass(frozen=True, eq=False)
class Weight:
    """A tensor of parameters of a model: those of one object, or equal ones of several.

    Which parameters share a weight follows from the model alone, so that all plans of a model have
    the same weights in the same order, whatever they make of them.
    """

    name: str
    members: dict[str, Signal]  # by their own names; base signals of one shape
    trainable: bool

    @property
    def member_shape(self) -> tuple[int, ...]:
        """Shape of a member to Nengo; of a sparse matrix that of its entries."""
        return values_shape(next(iter(self.members.values())))

    def turned(self, learned: bool) -> tuple[int, int] | None:
        """Rows and columns of members that are matrices, if the outside keeps their transposes.

        Nengo's have a row for each output, Keras' for each input. Those that learning rules change
        (``learned``) stay Nengo's.
        """
        shape = self.member_shape
        return shape if len(shape) == 2 and not learned else None

    def shape(self, learned: bool) -> tuple[int, ...]:
        """Shape outside, of an item if each of the minibatch has its own (``learned``)."""
        shape = self.member_shape
        if self.turned(learned):
            shape = shape[::-1]
        return shape if len(self.members) == 1 else (len(self.members), *shape)


@dataclass(frozen=True, eq=False)
class Simulation:
    """What TensorFlow code of users may ask about the simulation that it is for."""

    minibatch_size: int = 1
    inference_only: bool = False
    lif_smoothing: float | None = None
    rng: np.random.RandomState | None = None  # one for all operators, in their order


@dataclass(frozen=True, eq=False)
class Given:
    """What `nengo_dl.plan.make_plan` was given; its parameters are explained there."""

    operators: tuple
    dt: float
    dtype: str = "float32"
    time: object = None
    inputs: tuple = ()
    outputs: tuple = ()
    weights: tuple[Weight, ...] = ()
    surrogate: Callable | None = None
    names: dict | None = None
    simplifications: tuple = ()
    merge: bool = True
    simulation: Simulation = field(default_factory=Simulation)
