"""What a plan is made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, eq=False)
class Given:
    """What `nengo_dl.plan.make_plan` was given; its parameters are explained there."""

    operators: tuple
    dt: float
    dtype: str = "float32"
    time: object = None
    inputs: tuple = ()
    outputs: tuple = ()
    trainable: Callable | None = None
    constant: frozenset = frozenset()
    surrogate: Callable | None = None
    names: dict | None = None
    simplifications: tuple = ()
    merge: bool = True
