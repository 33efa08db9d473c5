"""Which parameters no gradient reaches, and what is in the way."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from ..ir.kinds import KINDS, READ, UPDATE
from ..ir.program import elements, spans
from .pieces import Call, Loop, Plan
from .training import passes_gradient


def blocked_parameters(plan: Plan, outputs: Iterable[int]) -> dict:
    """Find the parameters that no gradient of some outputs reaches in training.

    Parameters
    ----------
    plan : nengo_dl.plan.Plan
        A plan with a training mode.
    outputs : iterable of int
        Numbers of the outputs that a loss is computed from.

    Returns
    -------
    dict
        Number of a parameter -> names of the ops that stand between (a part of) it and the outputs
        and have no derivative: Python functions, learning rules, spiking neurons without
        surrogate. Empty if nothing at all leads from the parameter to these outputs. Parameters
        that a gradient reaches, as far as they have an influence, are not in it.
    """
    ways = _Ways(plan)
    ends = [ways.value(plan.results[i]) for i in outputs]
    by_gradient, _ = ways.back([u for u in ways.uses if u.passes], ends)
    by_any, on_the_way = ways.back(ways.uses, ends)
    cut = {i: by_any[i] & ~by_gradient[i] for i in by_any}
    blocked = {i: [] for i in by_any if cut[i].any() or not by_gradient[i].any()}
    for use in on_the_way if any(part.any() for part in cut.values()) else ():
        if not use.passes:
            behind, _ = ways.back(ways.uses, use.read())
            for i, names in blocked.items():
                if (cut[i] & behind[i]).any():
                    names.append(use.name)
    return {i: tuple(dict.fromkeys(names)) for i, names in blocked.items()}


class _Ways:
    """The ops of all pieces, what lies in their buffers, and the values that pieces hand on."""

    def __init__(self, plan):
        self.sizes = _sizes(plan)  # per place: values first, then buffers
        self.params = {i: [] for i in range(len(plan.params))}  # places, by number of a parameter
        self.uses = []
        firsts = []  # place of the first buffer of each program
        for piece in _flat(plan.pieces):
            if isinstance(piece, Call):
                self.uses.append(_Hand(piece.call.name, piece.inputs, piece.outputs, self.sizes))
                continue
            firsts.append(len(self.sizes))
            for i, buffer in enumerate(piece.training.buffers):
                self.sizes.append(buffer.size)
                if buffer.param >= 0:
                    self.params[piece.params[buffer.param]].append(firsts[-1] + i)
            self.uses += [_Uses(op, piece, firsts[-1]) for op in piece.training.ops()]
        for piece in plan.pieces:
            for delayed in piece.delayed if isinstance(piece, Loop) else ():
                self.uses.append(_Read(delayed, plan.runs[delayed.run], firsts[delayed.run]))

    def value(self, number):
        """Where a whole value lies."""
        return number, slice(None)

    def back(self, uses, ends):
        """Masks of the parameters that places depend on by way of ops; the ops on the way."""
        marked = [np.zeros(size, dtype=bool) for size in self.sizes]
        for place, where in ends:
            marked[place][where] = True
        uses = uses[::-1]
        seen, found = [0] * len(uses), {}
        while True:  # again for what comes back by way of the next step
            before = list(seen)
            for i, use in enumerate(uses):
                hit = use.reached(marked)
                seen[i] = int(hit.sum())
                if seen[i] > before[i]:
                    found[i] = use
                    for place, where in use.read(hit):
                        marked[place][where] = True
            if seen == before:
                break
        masks = {
            number: np.any([marked[place] for place in places], axis=0)
            for number, places in self.params.items()
            if places
        }
        return masks, list(found.values())


def _flat(pieces):
    for piece in pieces:
        yield from piece.pieces if isinstance(piece, Loop) else (piece,)


def _sizes(plan):
    """Sizes of the values that pieces hand on, by number."""
    sizes = {i: port.size for i, port in enumerate(plan.inputs)}
    for piece in plan.pieces:
        for delayed in piece.delayed if isinstance(piece, Loop) else ():
            sizes[delayed.value] = delayed.size
    for piece in _flat(plan.pieces):
        if isinstance(piece, Call):
            given = (math.prod(shape) for shape in piece.call.outs)
        else:
            given = (port.size for port in piece.program.outputs)
        sizes.update(zip(piece.outputs, given, strict=True))
    return [sizes[i] for i in sorted(sizes)]


class _Hand:
    """What hands values on as a whole: each of those it gives depends on all that it takes."""

    passes = True

    def __init__(self, name, takes, gives, sizes):
        self.name = name
        self._takes = [(i, np.arange(sizes[i])) for i in takes]
        self._gives = [(i, np.arange(sizes[i])) for i in gives]

    def reached(self, marked):
        """Whether anything that it gives is marked: of one block."""
        return np.array([any(marked[place][named].any() for place, named in self._gives)])

    def read(self, blocks=slice(None)):
        """Iterate over what it takes."""
        if np.any(np.ones(1, dtype=bool)[blocks]):
            yield from self._takes


class _Read(_Hand):
    """A value of a loop that is read off the state of a program."""

    def __init__(self, delayed, run, first):
        self.name = f"state of program {delayed.run}"
        self._gives = [(delayed.value, np.arange(delayed.size))]
        self._takes = [
            (first + i, np.arange(delayed.size) + delayed.offset - buffer.state_offset)
            for i, buffer in enumerate(run.training.buffers)
            if 0 <= buffer.state_offset <= delayed.offset < buffer.state_offset + buffer.size
        ]


class _Uses:
    """Elements that the blocks of an op read and write; of a port, every element by itself."""

    def __init__(self, op, piece, first):
        self.name, self.passes = op.name, passes_gradient(op)
        self._spans, self._reads, self._writes = [], [], []
        edge = KINDS[op.kind].edge
        self.blocks = op.blocks
        for arg, operand in op.args.items():
            access, place = op.access(arg), first + operand.buffer
            # parameters are too large to list their elements
            if piece.training.buffers[operand.buffer].kind == "param" and edge != "output":
                self._spans.append((place, spans(op, arg)))
                continue
            named = elements(op, arg)
            if edge in ("input", "output"):
                named = named.reshape(-1, 1)
                self.blocks = len(named)
            if access in (READ, UPDATE):
                self._reads.append((place, named))
            if access != READ:
                self._writes.append((place, named))
        if edge in ("input", "output"):
            number = getattr(piece, f"{edge}s")[op.attrs["index"]]
            port = number, np.arange(self.blocks)[:, None]
            (self._reads if edge == "input" else self._writes).append(port)

    def reached(self, marked):
        """Which blocks write what is marked."""
        hit = np.zeros(self.blocks, dtype=bool)
        for place, named in self._writes:
            hit |= marked[place][named].any(axis=1)
        return hit

    def read(self, blocks=slice(None)):
        """Iterate over what some blocks read."""
        for place, named in self._reads:
            yield place, named[blocks].ravel()
        for place, reach in self._spans:
            for low, high in reach[blocks]:
                yield place, slice(low, high)
