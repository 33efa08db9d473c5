"""The order of ops within a region, merging equal ops into blocks."""

from collections import Counter, defaultdict

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
    inside, loop = set(members), region == "loop"
    if loop:  # only dependencies within a step count
        follow = {i: graph.same[i] & inside for i in members}
    else:
        follow = {i: (graph.same[i] | graph.delayed[i]) & inside for i in members}
    waiting = dict.fromkeys(members, 0)
    for later in follow.values():
        for j in later:
            waiting[j] += 1
    signs = {}
    for i in members:
        op = graph.ops[i]
        single = not merge or not KINDS[op.kind].merges or "rng" in op.attrs
        signs[i] = i if single else signature(op, storage)
    probes = {signs[i] for i in members if _is_matrix_probe(graph.ops[i], storage)}
    ready = _Ready(graph.ops, signs, loop, probes)
    for i in members:
        if not waiting[i]:
            ready.add(i)
    groups = []
    while group := ready.take():
        groups.append(group)
        for i in group:
            for j in sorted(follow[i]):
                waiting[j] -= 1
                if not waiting[j]:
                    ready.add(j)
    if sum(map(len, groups)) != len(members):
        left = [graph.ops[i].name for i in members if waiting[i]]
        raise RuntimeError(f"planner: ops of a region wait for each other: {left[:5]}")
    return groups


def _is_matrix_probe(op, storage):
    """Whether an op is the probe of weights that change in place."""
    if op.kind != "output":
        return False
    src = op.args["src"]
    return len(src.shape) == 2 and storage[src.var][0] in ("learned", "state")


class _Ready:
    """Ops of a region that wait for nothing, by what they need to have in common to be merged."""

    def __init__(self, ops, signs, loop, probes):
        self._ops, self._signs, self._loop, self._probes = ops, signs, loop, probes
        self._remaining = Counter(signs.values())
        self._ready, self._fresh = defaultdict(list), defaultdict(lambda: -1)
        self._reads = defaultdict(
            set
        )  # by sign: kinds, with the variables of this region they read
        self._last = frozenset()  # those of the group that was taken last
        self._written = {}  # variable: number of the last group that wrote to it
        self._taken = 0

    def add(self, i):
        """The ops before op ``i`` were taken."""
        op, sign = self._ops[i], self._signs[i]
        read = [self._written.get(r.var, -1) for _, r in op.refs("read", "inc")]
        self._fresh[sign] = max(self._fresh[sign], *read, -1)
        self._ready[sign].append(i)
        self._reads[sign] |= {
            (op.kind, r.var) for _, r in op.refs("read") if r.var in self._written
        }

    def take(self):
        """Return the next group; empty if nothing is ready."""
        if not self._ready:
            return []
        sign = max(self._ready, key=self._worth)
        group, rest = _disjoint(sorted(self._ready.pop(sign)), self._ops)
        self._last = frozenset(self._reads.pop(sign))
        if rest:
            self._ready[sign], self._reads[sign] = rest, set(self._last)
        self._remaining[sign] -= len(group)
        for i in group:
            for _, ref in self._ops[i].refs(*WRITES):
                self._written[ref.var] = self._taken
        self._taken += 1
        return group

    def _worth(self, sign):
        # First probes of weights, so that a rule, which comes later, may change them at once (the
        # engine fuses it with the change). Then what leaves no equal op behind: in which order has
        # no influence on what can merge, so, in a loop, what reads the same as the group before
        # (all decoders of an ensemble: what changes the state comes last, and may wait for other
        # threads), then the one that reads what was written last (encode, neurons, decode, filter
        # stand next to each other, and values are still in the cache). Then the largest group.
        count = len(self._ready[sign])
        whole = count == self._remaining[sign]
        kin = whole and self._loop and not self._last.isdisjoint(self._reads[sign])
        return sign in self._probes, whole, kin, self._fresh[sign] if whole else -1, count


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
