"""Layout: from scheduled groups of ops to the buffers, operands and ops of a program."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from nengo.builder import Signal

from ..ir.kinds import KINDS
from ..ir.program import RNG_WORDS, Buffer, Op, Operand, Param, Program, Region
from .classes import weight_kinds
from .draft import Draft, Layout
from .schedule import moves


def lay_out(draft: Draft) -> Draft:
    """Pass: buffers, and a place in one of them for every variable."""
    groups = [group for _, parts in draft.regions for group in parts]
    leader = _unite(draft.ops, groups)
    members, kind_of = _members_of_weights(draft)
    for var in _placing_order(draft.ops, groups):
        if var.weight < 0:
            members.setdefault(leader(var), []).append(var)
            kind_of[leader(var)] = draft.storage[var][0]
    buffers, params, param_vars, weights, initial = [], [], [], [], []
    place, offset = {}, 0
    for key, group in members.items():
        kind, at = kind_of[key], 0
        for var in group:
            place[var] = (len(buffers), at)
            at += var.size
        weight = _weight(draft, group)
        name = group[0].name + (f" and {len(group) - 1} more" if len(group) > 1 else "")
        param = start = -1
        if kind in ("param", "learned"):
            param = len(params)
            name = weight.name if weight else name
            turned = weight and weight.turned(kind == "learned")
            if not turned or min(turned) == 1 or any(var.rows for var in group):
                turned = 0, 0  # they lie here as they do outside
            params.append(Param(name, at, int(kind == "learned"), *turned))
            param_vars.append(tuple(group))
            weights.append(weight)
        elif kind in ("state", "carried"):
            start, offset = offset, offset + at
            initial.extend(var.initial for var in group)
        buffers.append(Buffer(kind, name, at, param, start))
    state = np.concatenate(initial) if initial else np.zeros(0)
    layout = Layout(tuple(buffers), tuple(params), tuple(param_vars), tuple(weights), state, place)
    return draft.change(layout=layout)


def _members_of_weights(draft):
    """Variables that lie together because they are of one weight, used or not, and their kinds.

    Those that no op uses lie with the first that one does. Members of different kinds (learned by
    a native rule, changed by Python) lie apart; a part of a model has those of the kinds that it
    uses, and those that it adopted.
    """
    used = {var.signal: var for var in draft.uses if var.weight >= 0}
    here_kinds = {var: draft.storage[var][0] for var in used.values()}
    kinds = draft.weight_kinds or weight_kinds(draft.weights, draft.uses, here_kinds)
    members, kind_of = {}, {}
    for var in draft.weights:
        var = used.get(var.signal, var)
        kind = here_kinds.get(var) or kinds[var.signal]
        members.setdefault((var.weight, kind), []).append(var)
        kind_of[var.weight, kind] = kind
    if draft.weight_kinds is not None:
        here = {(var.weight, kind) for var, kind in here_kinds.items()} | draft.adopted
        members = {key: group for key, group in members.items() if key in here}
    return members, kind_of


def _weight(draft, group):
    """The weight that variables in a buffer are of, with these members; None: they are of none."""
    if group[0].weight < 0:
        return None
    weight, signals = draft.given.weights[group[0].weight], {var.signal for var in group}
    members = {name: signal for name, signal in weight.members.items() if signal in signals}
    return replace(weight, members=members)


def outside(var, weight, learned):
    """Values that a variable starts from, as the outside has them."""
    turned = weight and weight.turned(learned)
    if not turned or var.rows:
        return var.initial
    return var.initial.reshape(turned).T.ravel()


def _unite(ops, groups):
    """Union-find: variables in one operand of a merged op share a buffer."""
    parent = {}

    def leader(var):
        root = var
        while parent.setdefault(root, root) is not root:
            root = parent[root]
        while parent[var] is not root:
            parent[var], var = root, parent[var]
        return root

    for group in groups:
        first = ops[group[0]]
        for i in group[1:]:
            for arg, ref in ops[i].args.items():
                a, b = leader(first.args[arg].var), leader(ref.var)
                if a is not b:
                    parent[b] = a
    return leader


def _placing_order(ops, groups):
    """All variables, those of the most important operands first.

    They are in block order, so that the blocks of an operand follow each other evenly.
    """
    ordered = sorted(groups, key=lambda g: (KINDS[ops[g[0]].kind].placing, -len(g)))
    seen = {}
    for group in ordered:
        for arg in ops[group[0]].args:
            for i in group:
                seen.setdefault(ops[i].args[arg].var)
    return list(seen)


def emit(draft: Draft) -> Draft:
    """Pass: the program."""
    given, layout = draft.given, draft.layout
    regions, rngs = [], []
    for kind, groups in draft.regions:
        ops = (_emit_op([draft.ops[i] for i in group], draft, rngs) for group in groups)
        regions.append(Region(kind, tuple(ops)))
    program = Program(
        dtype=str(np.dtype(given.dtype)),
        dt=float(given.dt),
        window=1 if draft.chain else 0,
        state_size=layout.initial_state.size,
        istate_size=RNG_WORDS * len(rngs),
        buffers=layout.buffers,
        params=layout.params,
        inputs=draft.inputs,
        outputs=draft.outputs,
        regions=tuple(regions),
    )
    return draft.change(program=program, rngs=tuple(rngs))


def _emit_op(group, draft, rngs):
    layout = draft.layout
    first = group[0]
    kind = KINDS[first.kind]
    args, attrs = {}, {}
    for arg, ref in first.args.items():
        refs = [op.args[arg] for op in group]
        offsets = tuple(layout.place[r.var][1] + r.offset for r in refs)
        buffer = layout.place[ref.var][0]
        args[arg] = Operand(buffer, moves(ref, draft.storage), ref.shape, ref.strides, offsets)
        if ref.index is not None:
            attrs[f"{arg}_index"] = ref.index
    for key, value in first.attrs.items():
        if key in kind.per_block:
            all_values = tuple(op.attrs[key] for op in group)
            value = all_values if len(set(all_values)) > 1 else all_values[:1]
        attrs[key] = value
    if kind.settable:
        attrs["set"] = int(first.args[kind.settable].access != "inc")
    if "rng" in attrs:
        attrs["rng"] = RNG_WORDS * len(rngs)
        rngs.append((attrs["rng"], first.source))
    name = first.name if len(group) == 1 else f"{first.name} and {len(group) - 1} more"
    return Op(first.kind, name, len(group), args, attrs)


# ---------------------------------------------------------------- where signals are stored


@dataclass(frozen=True)
class Place:
    """Where a signal is stored, as the outside sees it."""

    kind: str  # "param", "learned" or "state"
    index: int  # number of the parameter; of a state: of the piece that it belongs to
    offset: int  # first element, within the parameter or the packed state
    shape: tuple
    strides: tuple  # in elements


@dataclass(frozen=True)
class Home:
    """Where the variable of a base signal is stored; its values are not kept."""

    buffer: Buffer
    start: int  # first element of the signal in the buffer
    size: int
    rows: int  # > 0: a matrix of so many rows, column by column to the outside
    index: int  # number of the parameter, or of the program whose state has it


@dataclass(frozen=True, eq=False)
class Places:
    """Where the signals of a model are stored."""

    homes: dict  # base Signal -> Home

    def find(self, signal: Signal) -> Place | None:
        """Return the place of a signal (or view); None if it is not stored."""
        home = self.homes.get(signal.base)
        if home is None:
            return None
        buffer = home.buffer
        if signal.sparse:
            offset, shape, strides = 0, (home.size,), (1,)
        else:
            offset, shape, strides = signal.elemoffset, signal.shape, signal.elemstrides
        if home.rows:
            offset, strides = column_major(signal, home.rows)
        offset += home.start
        if buffer.kind in ("param", "learned"):
            return Place(buffer.kind, home.index, offset, tuple(shape), tuple(strides))
        if buffer.kind in ("state", "carried"):
            offset += buffer.state_offset
            return Place("state", home.index, offset, tuple(shape), tuple(strides))
        return None


def homes(layout: Layout, run: int, params: Sequence[int]) -> dict:
    """Where the signals are that some variable of a program holds, as `Home`.

    Parameters
    ----------
    layout : Layout
        That of the program.
    run : int
        Its number.
    params : sequence of int
        Numbers of its parameters in the plan.
    """
    found = {}
    for var, (index, at) in layout.place.items():
        buffer = layout.buffers[index]
        weight = layout.weights[buffer.param] if buffer.param >= 0 else None
        turned = weight and weight.turned(buffer.kind == "learned")
        number = params[buffer.param] if buffer.param >= 0 else run
        for part, offset in var.parts or ((var, 0),):
            if part.signal is not None:
                rows = turned[0] if turned else var.rows
                found[part.signal] = Home(buffer, at + offset, var.size, rows, number)
    return found


def column_major(signal: Signal, rows: int) -> tuple[int, list]:
    """Offset and strides of a view of a matrix that is stored column by column."""
    columns = signal.base.size // rows
    strides = []
    for n, s in zip(signal.shape, signal.elemstrides, strict=True):
        if s % columns == 0:
            strides.append(s // columns)
        elif abs(s) * (n - 1) < columns:
            strides.append(s * rows)
        else:
            raise ValueError(f"{signal.name}: this view has no strides in a transposed matrix")
    row, column = divmod(signal.elemoffset, columns)
    return row + column * rows, strides
