"""A plan in the making: what every pass of the planner takes and hands on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from ..ir.given import Given
from ..ir.kinds import KINDS
from ..ir.program import Port, Program
from ..ir.refs import IrOp
from . import show
from .classes import accesses, classify
from .graph import Graph, depths


@dataclass(frozen=True)
class Layout:
    """Buffers and where each variable lies."""

    buffers: tuple
    params: tuple
    param_vars: tuple  # per param: Var, in the order in which they lie
    weights: tuple  # per param: the weight that it is, or None
    initial_state: np.ndarray
    place: dict  # Var -> (buffer index, offset)


# facts that follow from others: from which fields each of them does
_DERIVED = {
    "uses": {"ops"},
    "classes": {"ops"},
    "graph": {"ops", "order", "in_place"},
    "depths": {"ops", "order", "in_place"},
}


@dataclass(frozen=True, eq=False)
class Draft:
    """What is known of a plan after some of the passes. None: no pass has said it yet."""

    given: Given
    ops: tuple[IrOp, ...] = ()
    inputs: tuple[Port, ...] = ()  # what the outside sets, and
    outputs: tuple[Port, ...] = ()  # what it reads, by the attribute `index` of the ops there
    calls: tuple = ()  # TensorCall per op that runs in TensorFlow, by its attribute `index`
    callbacks: tuple = ()  # CallbackSpec per op that runs in Python, by its attribute `index`
    weights: tuple = ()  # Var of every member of every weight, whether ops use it or not
    # in a part of a model: what kinds of variables members of weights are in all of it, by signal
    weight_kinds: dict | None = None
    adopted: frozenset = frozenset()  # (number of a weight, kind) that no part uses, but this has
    notes: tuple[str, ...] = ()  # what the passes did, for people
    order: dict | None = None  # per Nengo operator: when Nengo would run it, if that matters
    region_of: list[int] | None = None  # per op: number of its region; even: sequence, odd: loop
    in_place: frozenset = frozenset()  # updated variables that one loop keeps without rows
    storage: dict | None = None  # per variable: (buffer kind, "update" or "advance")
    regions: tuple | None = None  # (kind, groups): the ops of a group run as blocks of one op
    layout: Layout | None = None
    rngs: tuple = ()  # (offset in the integer state, Nengo operator)
    program: Program | None = None

    @cached_property
    def uses(self) -> dict:
        """Per variable: ``(op index, argument, Ref)`` of all that ops do with it."""
        return accesses(self.ops)

    @cached_property
    def classes(self) -> dict:
        """Storage class per variable, from what its ops do with it."""
        return classify(self.ops, self.uses)

    @cached_property
    def graph(self) -> Graph:
        """What depends on what."""
        classes = {**self.classes, **dict.fromkeys(self.in_place, "tied")}
        return Graph(self.ops, self.uses, classes, self.chain)

    @cached_property
    def depths(self) -> list[int]:
        """Per op: in which region it would be by its dependencies alone."""
        return depths(self.graph)

    @property
    def chain(self) -> list[int]:
        """The ops that run in Python, in the order in which Nengo would run them."""
        if self.order is None:
            return []
        found = [i for i, op in enumerate(self.ops) if KINDS[op.kind].edge == "python"]
        return sorted(found, key=lambda i: self.order[self.ops[i].source])

    def change(self, **fields) -> Draft:
        """Return a draft with other values; what follows from unchanged ones is kept."""
        new = replace(self, **fields)
        for name, sources in _DERIVED.items():
            if name in self.__dict__ and not sources & fields.keys():
                new.__dict__[name] = self.__dict__[name]
        return new

    def with_ops(self, ops: Iterable[IrOp], what: str = "") -> Draft:
        """Return a draft with other ops, and a note on how many ``what`` made less."""
        ops = tuple(ops)
        if len(ops) == len(self.ops) and all(a is b for a, b in zip(ops, self.ops, strict=True)):
            return self
        gone = len(self.ops) - len(ops)
        notes = (f"{gone} {what}",) if gone and what else ()
        return self.change(ops=ops, notes=(*self.notes, *notes))

    def __str__(self):
        return show.draft_text(self)
