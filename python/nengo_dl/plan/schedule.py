"""The order of ops within a region, merging equal ops into blocks."""

from collections import defaultdict

import numpy as np

from ..ir.kinds import KINDS
from ..ir.program import REGION_KINDS
from ..ir.refs import WRITES
from .draft import Draft
from .graph import check_acyclic


def order_regions(draft: Draft) -> Draft:
    """Pass: the number of the region that every op runs in."""
    check_acyclic(draft.graph)
    return draft.change(region_of=draft.depths)


def schedule(draft: Draft) -> Draft:
    """Pass: regions in order, and in each of them groups of ops in running order."""
    members = {}
    for i, number in enumerate(draft.region_of):
        members.setdefault(number, []).append(i)
    regions = []
    for number in sorted(members):
        kind = REGION_KINDS[number % 2]
        groups = _groups(members[number], draft.graph, draft.storage, kind, draft.given.merge)
        regions.append((kind, groups))
    return draft.change(regions=tuple(regions))


def signature(op, storage):
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
            storage[r.var],
            r.var.weight,
            moves(r, storage),
        )
        for name, r in sorted(op.args.items())
    )
    return op.kind, attrs, args


def moves(ref, storage):
    """Whether this reference means the row after the step (shift 1)."""
    if storage[ref.var][0] != "carried":
        return 0
    return int(ref.access != "read" or storage[ref.var][1] == "advance")


def _groups(members, graph, storage, region, merge):
    """Order the ops of a region, which are given in model order."""
    inside = set(members)
    if region == "loop":  # only dependencies within a step count
        follow = {i: graph.same[i] & inside for i in members}
    else:
        follow = {i: (graph.same[i] | graph.delayed[i]) & inside for i in members}
    waiting = dict.fromkeys(members, 0)
    for later in follow.values():
        for j in later:
            waiting[j] += 1
    signs, remaining, heard = {}, defaultdict(int), defaultdict(set)
    for i in members:
        op = graph.ops[i]
        single = not merge or not KINDS[op.kind].merges or "rng" in op.attrs
        signs[i] = i if single else signature(op, storage)
        remaining[signs[i]] += 1
    ready, fresh = defaultdict(list), defaultdict(lambda: -1)
    written = {}  # variable: number of the last group that wrote to it

    def release(i):
        read = [written.get(r.var, -1) for _, r in graph.ops[i].refs("read", "inc")]
        fresh[signs[i]] = max(fresh[signs[i]], *read, -1)
        ready[signs[i]].append(i)
        heard[signs[i]] |= reads(i)

    def worth(sign):
        # First what leaves no equal op behind: in which order has no influence on what can merge,
        # so, in a loop, what reads the same as the group before (all decoders of an ensemble: what
        # changes the state comes last, and may wait for other threads), then the one that reads
        # what was written last (encode, neurons, decode, filter stand next to each other, and
        # values are still in the cache). Then the largest group.
        whole = len(ready[sign]) == remaining[sign]
        kin = whole and region == "loop" and not last.isdisjoint(heard[sign])
        return whole, kin, fresh[sign] if whole else -1, len(ready[sign])

    def reads(i):
        """An op's kind with what it reads of what was written."""
        op = graph.ops[i]
        return {(op.kind, r.var) for _, r in op.refs("read") if r.var in written}

    for i in members:
        if not waiting[i]:
            release(i)
    groups, last = [], frozenset()
    while ready:
        sign = max(ready, key=worth)
        group, rest = _disjoint(sorted(ready.pop(sign)), graph.ops)
        last = heard.pop(sign)
        if rest:
            ready[sign] = rest
            heard[sign] = set(last)
        remaining[sign] -= len(group)
        for i in group:
            for _, ref in graph.ops[i].refs(*WRITES):
                written[ref.var] = len(groups)
        groups.append(group)
        for i in group:
            for j in sorted(follow[i]):
                waiting[j] -= 1
                if not waiting[j]:
                    release(j)
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
        targets = [r for _, r in ops[i].refs(*WRITES)]
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
