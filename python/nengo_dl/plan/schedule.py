"""The order of ops within a region, merging equal ops into blocks."""

from collections import defaultdict

import numpy as np

from .kinds import KINDS


def signature(op, kinds):
    """What two ops must have in common to become blocks of one op."""
    loose = KINDS[op.kind].per_block
    attrs = tuple(sorted((k, None if k in loose else v) for k, v in op.attrs.items()))
    args = tuple(
        (
            name,
            r.shape,
            r.strides,
            r.access,
            r.index,
            kinds[r.var],
            r.var.trainable,
            moves(r, kinds),
        )
        for name, r in sorted(op.args.items())
    )
    return op.kind, attrs, args


def moves(ref, kinds):
    """Whether this reference means the row after the step (shift 1)."""
    if kinds[ref.var][0] != "carried":
        return 0
    return int(ref.access != "read" or kinds[ref.var][1] == "advance")


def schedule(members, graph, kinds, in_loop, merge=True):
    """Order the ops of a region.

    Parameters
    ----------
    members : list of int
        Ops of the region, in model order.
    graph : Graph
    kinds : dict
        ``(buffer kind, how it is written)`` per variable.
    in_loop : bool
        In a loop only dependencies within a step count.
    merge : bool

    Returns
    -------
    list of list of int
        Groups of ops in running order; a group runs as the blocks of one op.
    """
    inside = set(members)
    follow = {
        i: (graph.same[i] if in_loop else graph.same[i] | graph.delayed[i]) & inside
        for i in members
    }
    waiting = dict.fromkeys(members, 0)
    for later in follow.values():
        for j in later:
            waiting[j] += 1
    signs, remaining = {}, defaultdict(int)
    for i in members:
        op = graph.ops[i]
        single = not merge or not KINDS[op.kind].merges or "rng" in op.attrs
        signs[i] = i if single else signature(op, kinds)
        remaining[signs[i]] += 1
    ready = defaultdict(list)
    for i in members:
        if not waiting[i]:
            ready[signs[i]].append(i)
    groups = []
    while ready:
        # first what leaves no equal op behind, then the largest group
        sign = max(ready, key=lambda s: (len(ready[s]) == remaining[s], len(ready[s])))
        group, rest = _disjoint(sorted(ready.pop(sign)), graph.ops)
        if rest:
            ready[sign] = rest
        remaining[sign] -= len(group)
        groups.append(group)
        for i in group:
            for j in sorted(follow[i]):
                waiting[j] -= 1
                if not waiting[j]:
                    ready[signs[j]].append(j)
    if sum(map(len, groups)) != len(members):
        left = [graph.ops[i].name for i in members if waiting[i]]
        raise RuntimeError(f"planner: ops of a region wait for each other: {left[:5]}")
    return groups


def _disjoint(indices, ops):
    """Split ops into those that write different elements, and the rest."""
    if len(indices) == 1:
        return indices, []
    group, rest, seen = [], [], {}
    for i in indices:
        targets = [r for _, r in ops[i].refs("write", "advance", "inc", "update")]
        if any(_meets(r, seen) for r in targets):
            rest.append(i)
            continue
        for r in targets:
            _mark(r, seen)
        group.append(i)
    return group, rest


def _meets(ref, seen):
    mask = seen.get(ref.var)
    if mask is None:
        return False
    return mask is True or ref.full or bool(mask[ref.elements].any())


def _mark(ref, seen):
    if ref.full:
        seen[ref.var] = True
    else:
        seen.setdefault(ref.var, np.zeros(ref.var.size, dtype=bool))[ref.elements] = True
