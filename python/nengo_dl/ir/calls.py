"""What TensorFlow computes inside of a model."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, eq=False)
class TensorCall:
    """A function of tensors, or a Keras layer, which is called in every step.

    Arguments and results have the minibatch as their first axis; the time is a scalar.
    """

    func: Callable[..., Any]
    name: str  # for people
    ins: tuple[tuple[int, ...], ...]  # shapes of its arguments for an item
    outs: tuple[tuple[int, ...], ...]  # shapes of what it returns for an item
    pass_time: bool = False  # the time is its first argument
    takes_training: bool = False  # a function that is called with ``training=``
    autograph: bool = True  # whether control flow in Python becomes TensorFlow's
    reset: Callable[[], None] | None = None  # called whenever a simulation begins anew
    owner: Any = None  # the Nengo object that it belongs to, after which its weights are named


def says(function: Any, name: str) -> bool:
    """Whether a function of a Node has an attribute of its own, which says what it is.

    Objects that hand all questions on to another one say nothing of themselves.
    """
    return inspect.getattr_static(function, name, None) is not None
