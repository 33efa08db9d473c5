"""The verifier: what must hold for ops between passes, and for a finished program."""

from collections import defaultdict

import numpy as np
from nengo.exceptions import BuildError

from ..ir.kinds import INC, READ, UPDATE, WRITE
from ..ir.program import RNG_WORDS, ProgramError, elements, spans
from ..ir.refs import READS
from .classes import covers
from .draft import Draft
from .graph import overlapping


def verify_draft(draft: Draft) -> None:
    """Check what a `.draft.Draft` says so far, as far as there are rules for it."""
    verify_ops(draft.ops, draft.uses)
    if draft.region_of is not None:
        _verify_regions(draft)
    if draft.regions is not None:
        scheduled = [i for _, groups in draft.regions for group in groups for i in group]
        if sorted(scheduled) != list(range(len(draft.ops))):
            raise BuildError("planner: an op is scheduled twice, or not at all")
    if draft.program is not None:
        verify_program(draft.program)


def _verify_regions(draft):
    """What depends on an op runs in the same region or a later one."""
    number = draft.region_of
    for i, op in enumerate(draft.ops):
        for j in draft.graph.successors(i):
            same = number[i] == number[j] and (number[i] % 2 or j not in draft.graph.ties[i])
            if not (same or number[i] < number[j]):
                raise BuildError(
                    f"planner: {draft.ops[j].name} depends on {op.name}, but runs in region "
                    f"{number[j]}, expected one after region {number[i]}"
                )


def verify_ops(ops, uses):
    """Check `.IrOp`: ranges, single writers, and a value for all that is read."""
    for op in ops:
        for arg, ref in op.refs():
            lo, hi = ref.span
            if lo < 0 or hi > ref.var.size:
                raise BuildError(
                    f"planner: {op.kind} {op.name}: {arg} names elements {lo}..{hi} "
                    f"of {ref.var.name}, which has {ref.var.size}"
                )
    for var, found in uses.items():
        for kinds, verb in ((("write", "advance"), "set"), (("update",), "updated")):
            refs = [r for _, _, r in found if r.access in kinds]
            if len(refs) < 2:
                continue
            for i, j in overlapping(refs, refs):
                if i < j and refs[i].meets(refs[j]):
                    raise BuildError(f"Signal {var.name} is {verb} by two operators in one step")
        if var.initial is not None:
            continue
        if not covers([r for _, _, r in found if r.access not in READS], var.size):
            raise BuildError(f"planner: {var.name} is read but has no value")


def verify_program(program):
    """Check a `.Program` against the rules of docs/PROGRAM.md.

    Raises
    ------
    ProgramError
    """
    _Checker(program).run()


def _apart(op, arg):
    """Whether the elements of an argument are told to be different by strides and spans alone.

    Otherwise they may be different, or not. Only what neither says is listed: there may be many.
    """
    operand, reach = op.args[arg], 0
    for stride, n in sorted(zip(map(abs, operand.strides), operand.shape, strict=True)):
        if n > 1 and stride <= reach:
            return False
        reach += stride * (n - 1)
    ends = spans(op, arg)
    ends = ends[np.argsort(ends[:, 0])]
    return bool((ends[1:, 0] >= ends[:-1, 1]).all())


class _Checker:
    def __init__(self, program):
        self.program = program

    def run(self):
        self._buffers()
        where = defaultdict(list)  # buffer -> (region, op position, op, arg, operand, access)
        for r, region in enumerate(self.program.regions):
            for p, op in enumerate(region.ops):
                self._op(op)
                for arg, operand in op.args.items():
                    where[operand.buffer].append((r, p, op, arg, operand, op.access(arg)))
        for index, uses in where.items():
            self._order(self.program.buffers[index], uses)

    def _buffers(self):
        taken = np.zeros(self.program.state_size, dtype=bool)
        for buffer in self.program.buffers:
            if buffer.kind in ("param", "learned"):
                param = self.program.params[buffer.param]
                if param.size != buffer.size or param.learned != (buffer.kind == "learned"):
                    raise ProgramError(f"buffer {buffer.name} does not fit its parameter")
            elif buffer.kind in ("state", "carried"):
                part = slice(buffer.state_offset, buffer.state_offset + buffer.size)
                if taken[part].any() or part.stop > taken.size:
                    raise ProgramError(f"buffer {buffer.name} overlaps another in the state")
                taken[part] = True
        if not taken.all():
            raise ProgramError("the state has elements that belong to no buffer")

    def _op(self, op):
        for arg, operand in op.args.items():
            buffer = self.program.buffers[operand.buffer]
            access = op.access(arg)
            if len(operand.offsets) != op.blocks or len(operand.shape) != len(operand.strides):
                self._fail(op, arg, "its operand is malformed")
            if operand.shift and buffer.kind != "carried":
                self._fail(op, arg, f"shift in a {buffer.kind} buffer")
            if access != READ:
                if buffer.kind == "param":
                    self._fail(op, arg, "a parameter is written")
                if buffer.kind == "carried" and not operand.shift:
                    self._fail(op, arg, "the old row of a carried buffer is written")
                if access == UPDATE and buffer.kind in ("window", "local"):
                    self._fail(op, arg, "no old value in a window")
            reach = spans(op, arg)
            if reach.min() < 0 or reach.max() > buffer.size:
                self._fail(op, arg, f"elements outside of {buffer.name}")
            if access != READ:
                self._no_overlap(op, arg)
        if "rng" in op.attrs and op.attrs["rng"] + RNG_WORDS > self.program.istate_size:
            self._fail(op, "rng", "random generator outside of the integer state")

    @staticmethod
    def _fail(op, arg, why):
        raise ProgramError(f"{op.kind} {op.name}, {arg}: {why}")

    def _no_overlap(self, op, arg):
        if f"{arg}_index" not in op.attrs and _apart(op, arg):
            return
        named = elements(op, arg)
        if f"{arg}_index" in op.attrs and op.access(arg) == INC:  # may repeat within a block
            named = np.concatenate([np.unique(block) for block in named])
        if len(np.unique(named)) != named.size:
            self._fail(op, arg, "its blocks overlap in what they write")

    def _order(self, buffer, uses):
        kind = buffer.kind
        if kind == "param":
            return
        if kind == "local" and (
            len({u[0] for u in uses}) > 1 or self.program.regions[uses[0][0]].kind != "loop"
        ):
            raise ProgramError(f"local buffer {buffer.name} is used outside of one loop")
        writes = [u for u in uses if u[5] != READ]
        reads = [u for u in uses if u[5] == READ]
        if kind == "carried":
            self._carried(buffer, writes, reads)
        elif kind in ("window", "local"):
            self._fresh(buffer, uses)
        else:
            ops = {(u[0], u[1]) for u in uses}
            loops = {u[0] for u in uses}
            tied = len(loops) == 1 and self.program.regions[min(loops)].kind == "loop"
            if writes and len(ops) > 1 and not tied:
                self._separate(buffer, uses)

    def _separate(self, buffer, uses):
        """In-place values outside of one loop: no element may be seen by two ops."""
        owner = np.full(buffer.size, -1)
        changed = np.zeros(buffer.size, dtype=bool)
        for write_pass in (True, False):
            for r, p, op, arg, _, access in uses:
                if (access != READ) != write_pass:
                    continue
                me, named = r * (1 << 32) + p, elements(op, arg)
                if not write_pass:
                    named = named[changed[named]]
                if np.any((owner[named] != -1) & (owner[named] != me)):
                    self._maybe_tied(buffer, op, arg, r, owner[named].ravel())
                if write_pass:
                    owner[named] = me
                    changed[named] = True

    def _maybe_tied(self, buffer, op, arg, region, owners):
        same = all(o == -1 or int(o) >> 32 == region for o in owners)
        if not (same and self.program.regions[region].kind == "loop"):
            self._fail(
                op,
                arg,
                f"{buffer.name} is changed in place by another op, in no common loop",
            )

    def _fresh(self, buffer, uses):
        """Values set anew in every step: written before incremented before read."""
        state = np.zeros(buffer.size, dtype=np.int8)  # 0 nothing, 1 written, 2 read
        for _, _, op, arg, _, access in sorted(uses, key=lambda u: (u[0], u[1], u[5] != READ)):
            named = elements(op, arg)
            if access == WRITE and state[named].any():
                self._fail(op, arg, f"{buffer.name} is written twice in a step")
            if access == INC and (state[named] != 1).any():
                self._fail(op, arg, f"{buffer.name} is incremented before it is set, or too late")
            if access == READ and not state[named].all():
                self._fail(op, arg, f"{buffer.name} is read before it is written")
            state[named] = 2 if access == READ else 1

    def _carried(self, buffer, writes, reads):
        written = np.zeros(buffer.size, dtype=bool)
        writer = np.zeros(buffer.size, dtype=np.int64)
        for r, p, op, arg, _, access in writes:
            named = elements(op, arg)
            if access != INC and written[named].any():
                self._fail(op, arg, f"{buffer.name} is written twice in a step")
            written[named] = True
            writer[named] = r * (1 << 32) + p
        if not written.all():
            raise ProgramError(f"carried buffer {buffer.name} is not written in every step")
        for r, p, op, arg, operand, _ in reads:
            first = writer[elements(op, arg)]
            if operand.shift or self.program.regions[r].kind != "loop":
                late = first >= r * (1 << 32) + p
            else:
                late = (first >> 32) > r
            if np.any(late):
                self._fail(op, arg, f"{buffer.name} is read before its window is written")
