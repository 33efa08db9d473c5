"""Layout: from scheduled groups of ops to the buffers, operands and ops of a program."""

from dataclasses import dataclass

import numpy as np

from .kinds import KINDS
from .program import RNG_WORDS, Buffer, Op, Operand, Param, Region
from .schedule import moves


@dataclass(frozen=True)
class Layout:
    """Buffers and where each variable lies."""

    buffers: tuple
    params: tuple
    param_vars: tuple  # per param: ((Var, offset), ..)
    trainable: tuple  # per param
    initial_state: np.ndarray
    place: dict  # Var -> (buffer index, offset)


def lay_out(ops, regions, kinds):
    """Assign buffers and offsets.

    Parameters
    ----------
    ops : list of IrOp
    regions : list of (str, list of list of int)
        Region kinds and their groups of ops.
    kinds : dict
        ``(buffer kind, how it is written)`` per variable.
    """
    groups = [group for _, parts in regions for group in parts]
    leader = _unite(ops, groups)
    members = {}
    for var in _placing_order(ops, groups):
        members.setdefault(leader(var), []).append(var)
    buffers, params, param_vars, trainable, place, initial, offset = (
        [],
        [],
        [],
        [],
        {},
        [],
        0,
    )
    for group in members.values():
        kind = kinds[group[0]][0]
        at, position = 0, []
        for var in group:
            place[var] = (len(buffers), at)
            position.append((var, at))
            at += var.size
        name = group[0].name + (f" and {len(group) - 1} more" if len(group) > 1 else "")
        param = start = -1
        if kind in ("param", "learned"):
            param = len(params)
            params.append(Param(name, at, int(kind == "learned")))
            param_vars.append(tuple(position))
            trainable.append(all(v.trainable for v in group))
        elif kind in ("state", "carried"):
            start, offset = offset, offset + at
            initial.extend(var.initial for var in group)
        buffers.append(Buffer(kind, name, at, param, start))
    state = np.concatenate(initial) if initial else np.zeros(0)
    return Layout(tuple(buffers), tuple(params), tuple(param_vars), tuple(trainable), state, place)


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


def emit(ops, regions, kinds, layout):
    """Regions of the program, and ``(offset, Nengo operator)`` of its random generators."""
    result, rngs = [], []
    for kind, groups in regions:
        emitted = tuple(_emit_op([ops[i] for i in g], kinds, layout, rngs) for g in groups)
        result.append(Region(kind, emitted))
    return tuple(result), rngs


def _emit_op(group, kinds, layout, rngs):
    first = group[0]
    kind = KINDS[first.kind]
    args, attrs = {}, {}
    for arg, ref in first.args.items():
        refs = [op.args[arg] for op in group]
        offsets = tuple(layout.place[r.var][1] + r.offset for r in refs)
        buffer = layout.place[ref.var][0]
        args[arg] = Operand(buffer, moves(ref, kinds), ref.shape, ref.strides, offsets)
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
