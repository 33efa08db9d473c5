"""Cutting a model where it calls TensorFlow: parts that run one after the other.

What TensorFlow computes outside of cycles is a part of its own, called on all steps at once. The
ops before and after it are programs. A cycle that leads through TensorFlow is a loop of parts,
which run step by step. The numbers of stages say in which order parts run: even ones are programs,
odd ones are calls and loops.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field
from itertools import islice, pairwise
from math import inf

import numpy as np
from nengo.exceptions import BuildError

from ..ir.calls import TensorCall
from ..ir.kinds import KINDS
from ..ir.program import Port
from ..ir.refs import READS, WRITES, IrOp, Ref, Var, whole
from .classes import classify, weight_kinds
from .draft import Draft
from .fuse import decodes
from .graph import Graph, components


@dataclass(eq=False)
class RunPart:
    """Ops that the engine runs; values that cross go by `Var`, ports by ``("input", index)``."""

    draft: Draft
    ins: tuple[Hashable, ...]
    outs: tuple[Hashable, ...]


@dataclass(eq=False)
class CallPart:
    """A call of TensorFlow."""

    call: TensorCall
    ins: tuple[Hashable, ...]
    outs: tuple[Hashable, ...]


@dataclass(eq=False)
class LoopPart:
    """Parts that run step by step."""

    parts: list = field(default_factory=list)
    delayed: dict[Var, RunPart] = field(default_factory=dict)  # read as they were before the step


def cut(draft: Draft) -> tuple[list, dict[int, Hashable]]:
    """Cut a draft.

    Returns
    -------
    parts : list
        In the order in which they run; most models are a single one.
    direct : dict
        Number of an output of the model -> the value that it is, where no program has to put it
        out: an input, or what TensorFlow returned.
    """
    if not draft.calls:
        ins = tuple(("input", i) for i in range(len(draft.inputs)))
        outs = tuple(("output", i) for i in range(len(draft.outputs)))
        return [RunPart(draft, ins, outs)], {}
    cutter = _Cutter(_with_whole_arguments(draft))
    return cutter.parts(), cutter.direct


def run_parts(parts: list) -> Iterator[RunPart]:
    """Iterate over the programs among parts, those in loops too, in the order in which they run."""
    for part in parts:
        if isinstance(part, LoopPart):
            yield from run_parts(part.parts)
        elif isinstance(part, RunPart):
            yield part


def _with_whole_arguments(draft: Draft) -> Draft:
    """Let calls read and write whole variables that hold nothing but values of one step."""
    ops = []
    for op in draft.ops:
        before, after = [], []
        for arg, ref in op.refs() if op.kind == "tensor" else ():
            if ref.full and _in_order(ref):
                writers = {i for i, _, r in draft.uses[ref.var] if r.access in WRITES}
                alone = ref.access == "write" and len(writers) == 1
                if alone or (
                    ref.access == "read" and draft.classes[ref.var] in ("temp", "carried")
                ):
                    continue
            var = Var(f"{ref.var.name} of {op.name}", ref.size, np.zeros(ref.size))
            if ref.access in READS:
                before.append(_copy(op, ref, whole(var, access="write")))
                op = op.with_args(**{arg: whole(var)})
            else:
                after.append(_copy(op, whole(var), ref))
                op = op.with_args(**{arg: whole(var, access="write")})
        ops += [*before, op, *after]
    return draft.with_ops(ops)


def _in_order(ref: Ref) -> bool:
    return ref.index is None and ref.flat == (0, ref.size, 1)


def _copy(op: IrOp, src: Ref, dst: Ref) -> IrOp:
    """A copy between a variable in C order and a reference."""
    inner, other = (src, dst) if src.full and _in_order(src) else (dst, src)
    if other.index is None and len(other.shape) <= 4:
        shaped = whole(inner.var, other.shape, inner.access)
    else:
        elements = tuple(int(e) for e in other.elements.ravel())
        other = Ref(other.var, 0, (other.var.size,), (1,), other.access, elements)
        shaped = inner
    src, dst = (shaped, other) if inner is src else (other, shaped)
    return IrOp("copy", op.name, {"src": src, "dst": dst}, {}, op.source)


class _Cutter:
    """The parts of a draft that calls TensorFlow."""

    def __init__(self, draft: Draft):
        self.draft, self.ops, self.uses = draft, draft.ops, draft.uses
        # rows of what is updated are no matter here, so that nothing has to loop for its size
        classes = classify(self.ops, self.uses, limit=inf)
        self.graph = Graph(self.ops, self.uses, classes, draft.chain)
        self.writers = {
            var: sorted({i for i, _, r in found if r.access in WRITES})
            for var, found in self.uses.items()
        }
        for members in self.writers.values():
            self._tie(members)
        # what the outside sets and what knows the time is at hand wherever it is read
        self.free = {i for i, op in enumerate(self.ops) if op.kind in ("input", "time")}
        for members in self.writers.values():
            if len(members) > 1:
                self.free.difference_update(members)
        self.sources = {
            var: members[0]
            for var, members in self.writers.items()
            if members and members[0] in self.free
        }
        self.kinds = weight_kinds(draft.weights, self.uses, classes)
        self.direct = {}
        for i, op in enumerate(self.ops):
            if op.kind == "output" and self._is_at_hand(op.args["src"]):
                self.direct[op.attrs["index"]] = self._key(op.args["src"].var)
                self.free.add(i)

    def _is_at_hand(self, ref: Ref) -> bool:
        """Whether it is the whole value of an input, or of what TensorFlow returned."""
        if not (ref.full and _in_order(ref)) or len(self.writers[ref.var]) != 1:
            return False
        (writer,) = self.writers[ref.var]
        op = self.ops[writer]
        if op.kind == "input":
            return writer in self.free and op.args["dst"].full and _in_order(op.args["dst"])
        return op.kind == "tensor"

    def _tie(self, members: list[int]) -> None:
        """Let ops share a part, and with them whatever lies between them."""
        for i, j in pairwise([*members, members[0]] if len(members) > 1 else ()):
            self.graph.ties[i].add(j)

    def parts(self) -> list:
        """All parts, in order."""
        units = self._units()
        of_python = {self.unit_of[i] for i in self.draft.chain}
        if len(of_python) > 1:  # functions in Python are called in Nengo's order, step by step
            self.graph.delayed[self.draft.chain[-1]].add(self.draft.chain[0])
            units = self._units()
        self.demands = self._demands()
        made = {number: self._part(number, members) for number, members in units.items()}
        result, loops = [], {}
        for number, part in made.items():
            loop = self.loop_of.get(number)
            if loop is None:
                result.append(part)
                continue
            if loop not in loops:
                loops[loop] = LoopPart()
                result.append(loops[loop])
            loops[loop].parts.append(part)
            loops[loop].delayed.update(
                (var, part) for var in self.demands[number] if self._updated(var)
            )
        kept = [part for part in result if not _idle(part)]
        for first in islice(run_parts(kept), 1):  # gradients by what nobody uses are zero, not None
            first.draft = first.draft.change(adopted=self._unused())
        return kept

    def _unused(self) -> frozenset:
        """Weights of which no op uses a member, of a kind."""
        used = {(var.weight, self.kinds[var.signal]) for var in self.uses if var.weight >= 0}
        return frozenset((v.weight, self.kinds[v.signal]) for v in self.draft.weights) - used

    # ------------------------------------------------------------ which op runs where

    def _units(self) -> dict[tuple, list[int]]:
        """Per unit, a program or a call, its ops; in running order."""
        mine = [i for i in range(len(self.ops)) if i not in self.free]
        members, self.loop_of = defaultdict(list), {}
        for stage, group in self._staged(mine, self.graph.successors):
            calls = [i for i in group if self._is_call(i)]
            if len(group) > 1 and calls:
                self._cut_loop(stage, group, members)
            else:
                members[(stage, group[0] if calls else 0)] += group
        outputs = [i for i in mine if KINDS[self.ops[i].kind].edge == "output"]
        self.unit_of = {i: unit for unit, group in members.items() for i in group}
        for var in self.uses:
            self._pull_decoders(var, members)
        for i in outputs:
            self._with_its_writer(i, members)
        return {unit: sorted(members[unit]) for unit in sorted(members) if members[unit]}

    def _cut_loop(self, stage: int, group: list[int], members: dict) -> None:
        """Units of a loop: what a step of it is made of."""
        inside = set(group)

        def follow(i: int) -> set[int]:
            return (self.graph.same[i] | self.graph.ties[i]) & inside

        for inner, parts in self._staged(group, follow):
            calls = [i for i in parts if self._is_call(i)]
            if calls and len(parts) > 1:
                names = ", ".join(self.ops[i].name for i in parts[:5])
                raise BuildError(
                    "expected values that TensorFlow and what surrounds it hand on within a step, "
                    f"got some that operators before and after it change in place: {names}; put a "
                    "synapse in between"
                )
            unit = (stage, group[0], inner, parts[0] if calls else 0)
            members[unit] += parts
            self.loop_of[unit] = (stage, group[0])

    def _staged(self, chosen: list[int], successors: Callable) -> Iterator[tuple[int, list[int]]]:
        """Groups of ops that belong together, with the number of the stage they run in."""
        position = {i: k for k, i in enumerate(chosen)}

        def follow(k: int) -> list[int]:
            return [position[j] for j in successors(chosen[k]) if j in position]

        groups = components(len(chosen), follow)
        group_of = {k: g for g, group in enumerate(groups) for k in group}
        odd = [any(self._is_call(chosen[k]) for k in group) for group in groups]
        stages = [int(is_odd) for is_odd in odd]
        for g, group in enumerate(groups):
            for after in {group_of[j] for k in group for j in follow(k)} - {g}:
                step = stages[g] + (2 if odd[g] and odd[after] else int(odd[g] or odd[after]))
                stages[after] = max(stages[after], step)
        for stage, group in zip(stages, groups, strict=True):
            yield stage, [chosen[k] for k in group]

    def _is_call(self, i: int) -> bool:
        return self.ops[i].kind == "tensor"

    def _pull_decoders(self, var: Var, members: dict) -> None:
        """Small products of what a loop makes are made in it, so that only their results leave."""
        unit = next((self.unit_of[w] for w in self.writers[var] if w in self.unit_of), None)
        loop = self.loop_of.get(unit)
        if loop is None or self._is_call(members[unit][0]) or self._updated(var):
            return
        users = {i for i, _, _ in self.uses[var] if i in self.unit_of}
        outside = [i for i in users if self.loop_of.get(self.unit_of[i]) != loop]
        for i in outside if all(self._may_move(i, var) for i in outside) else ():
            self._move(i, unit, members)

    def _may_move(self, i: int, var: Var) -> bool:
        op = self.ops[i]
        if not decodes(op, self.uses[var]) or self.writers[op.args["Y"].var] != [i]:
            return False
        return all(ref.var is var or not self.writers[ref.var] for _, ref in op.refs("read"))

    def _move(self, i: int, unit: tuple, members: dict) -> None:
        members[self.unit_of[i]].remove(i)
        members[unit].append(i)
        self.unit_of[i] = unit

    def _with_its_writer(self, i: int, members: dict) -> None:
        """An output of what a loop writes is read within that loop, at the end of each step."""
        var = self.ops[i].args["src"].var
        unit = next((self.unit_of[w] for w in self.writers[var] if w in self.unit_of), None)
        if unit in self.loop_of and not self._is_call(members[unit][0]):
            self._move(i, unit, members)

    # ------------------------------------------------------------ what parts hand on

    def _updated(self, var: Var) -> bool:
        return any(r.access == "update" for _, _, r in self.uses[var])

    def _demands(self) -> dict:
        """Per unit, the variables of it that others read, in model order."""
        demands = defaultdict(dict)
        for var, found in self.uses.items():
            if var in self.sources or not self.writers[var]:
                continue
            home = self.unit_of[self.writers[var][0]]
            if any(self.unit_of[i] != home for i, _, _ in found if i not in self.free):
                demands[home][var] = None
        return demands

    def _part(self, number: tuple, members: list[int]):
        if self._is_call(members[0]):
            op = self.ops[members[0]]
            named = {arg: self._key(ref.var) for arg, ref in op.refs()}
            ins = tuple(key for arg, key in named.items() if arg.startswith("in"))
            outs = tuple(key for arg, key in named.items() if arg.startswith("out"))
            return CallPart(self.draft.calls[op.attrs["index"]], ins, outs)
        return self._run(number, members)

    def _key(self, var: Var) -> Hashable:
        """What a value goes by outside of the unit that makes it."""
        source = self.sources.get(var)
        if source is not None and self.ops[source].kind == "input":
            return "input", self.ops[source].attrs["index"]
        return var

    def _run(self, number: tuple, members: list[int]) -> RunPart:
        ops = [self.ops[i] for i in members]
        read = dict.fromkeys(ref.var for op in ops for _, ref in op.refs())
        ins, outs, edges, clocks = {}, {}, [], {}
        for var in read:
            source = self.sources.get(var)
            if source is not None and self.ops[source].kind == "time":
                clocks[source] = self.ops[source]
            elif self.writers[var] and self.unit_of.get(self.writers[var][0]) != number:
                ref = whole(var, access="write")
                if source is not None:
                    ref = self.ops[source].args["dst"]
                edges.append(_port_op("input", var.name, {"dst": ref}, len(ins)))
                ins[self._key(var)] = Port(var.name, ref.size)
        inner = number in self.loop_of
        for var in self.demands[number]:
            if not (inner and self._updated(var)):  # else it is read off the state
                edges.append(_port_op("output", var.name, {"src": whole(var)}, len(outs)))
                outs[var] = Port(var.name, var.size)
        kept = []
        for op in ops:
            if op.kind == "output":
                edges.append(_port_op("output", op.name, op.args, len(outs)))
                outs["output", op.attrs["index"]] = self.draft.outputs[op.attrs["index"]]
            else:
                kept.append(op)
        draft = self.draft.change(
            ops=(*clocks.values(), *kept, *edges),
            inputs=tuple(ins.values()),
            outputs=tuple(outs.values()),
            calls=(),
            weight_kinds=self.kinds,
        )
        return RunPart(draft, tuple(ins), tuple(outs))


def _port_op(kind: str, name: str, args: dict, index: int) -> IrOp:
    return IrOp(kind, name, args, {"index": index})


def _idle(part) -> bool:
    """Whether a part does nothing that anyone sees."""
    return isinstance(part, RunPart) and not part.outs and not part.draft.ops
