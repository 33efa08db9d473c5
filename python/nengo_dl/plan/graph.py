"""Dependencies between ops, cycles through time, and the order of regions.

Edges *within a step* follow Nengo: set, increment, read, update. Edges *through time* lead
from an update to whoever reads the value on the next step. Ops on a common cycle of both
kinds must run step by step together.
"""

from collections.abc import Iterator
from itertools import combinations, pairwise

import numpy as np
from nengo.exceptions import BuildError

from ..ir.kinds import KINDS
from ..ir.refs import PHASE, READS
from .classes import is_tied


def overlapping(first, second):
    """Pairs ``(i, j)`` of references of two lists that share elements."""
    if len(first) * len(second) <= 64:
        for i, a in enumerate(first):
            for j, b in enumerate(second):
                if a.overlaps(b):
                    yield i, j
        return
    for i, j in meeting([r.span for r in first], [r.span for r in second]):
        if first[i].overlaps(second[j]):
            yield i, j


def meeting(first, second):
    """Pairs ``(i, j)`` of spans of two lists that meet, in order.

    Those of the second list are looked up by where they begin. A span may begin before the one it
    meets by as much as its length, so that those of about the same length are looked up together.
    """
    a, b = np.array(first).reshape(-1, 2), np.array(second).reshape(-1, 2)
    lengths = b[:, 1] - b[:, 0]
    found = []
    for size in np.unique(np.frexp(lengths)[1]):
        (group,) = np.nonzero(np.frexp(lengths)[1] == size)
        group = group[np.argsort(b[group, 0], kind="stable")]
        begins = b[group, 0]
        start = np.searchsorted(begins, a[:, 0] - (1 << int(size)), side="right")
        counts = np.maximum(np.searchsorted(begins, a[:, 1], side="left") - start, 0)
        i = np.repeat(np.arange(len(a)), counts)
        within = np.arange(len(i)) - np.repeat(np.cumsum(counts) - counts, counts)
        j = group[np.repeat(start, counts) + within]
        meets = (a[i, 0] < b[j, 1]) & (b[j, 0] < a[i, 1])
        found.append(np.stack([i[meets], j[meets]]))
    i, j = np.concatenate(found, axis=1) if found else np.zeros((2, 0), dtype=np.int64)
    order = np.lexsort((j, i))
    return zip(i[order].tolist(), j[order].tolist(), strict=True)


_ONLY_READ = {PHASE[access] for access in READS}


class Graph:
    """Edges between ops, by index.

    Attributes
    ----------
    same : list of set
        Ops that must run later within a step.
    delayed : list of set
        Ops that see, on the next step, what this op did.
    ties : list of set
        Ops that share a value held in place.
    """

    def __init__(self, ops, uses, classes, chain=()):
        self.ops = ops
        self.same = [set() for _ in ops]
        self.delayed = [set() for _ in ops]
        self.ties = [set() for _ in ops]
        for var, found in uses.items():
            self._connect(classes[var], found)
        for i, j in pairwise(chain):
            self.same[i].add(j)

    def _connect(self, kind, uses):
        if kind == "param" or len(uses) == 1:
            return
        groups = {}
        for i, _, ref in uses:
            groups.setdefault(PHASE[ref.access], []).append((i, ref))
        if groups.keys() <= _ONLY_READ:
            return  # tables that the simulator fills per item
        for p, q in combinations(sorted(groups), 2):
            # a carried variable has one row for the old value and one for the new
            if (p, q) == (2, 4) or (kind == "carried" and (p, q) == (2, 3)):
                continue
            self._link(self.same, groups[p], groups[q])
        if 3 in groups and 2 in groups:
            self._link(self.delayed, groups[3], groups[2], loops=True)
        if is_tied(kind):
            members = sorted({i for i, _, _ in uses})
            for i, j in zip(members, members[1:] + members[:1], strict=True):
                self.ties[i].add(j)

    @staticmethod
    def _link(edges, first, second, loops=False):
        for a, b in overlapping([r for _, r in first], [r for _, r in second]):
            i, j = first[a][0], second[b][0]
            if i != j or loops:
                edges[i].add(j)

    def successors(self, i):
        """All ops that depend on op i, now or on the next step, or are tied to it."""
        return self.same[i] | self.delayed[i] | self.ties[i]

    def knots(self) -> Iterator[list[int]]:
        """Iterate over groups of ops that wait for each other within a step."""
        for members in components(len(self.ops), self.same.__getitem__):
            if len(members) > 1 or members[0] in self.same[members[0]]:
                yield members


def components(count, successors):
    """Strongly connected components, in topological order (Tarjan, without recursion)."""
    index, low, on_stack = [0] * count, [0] * count, [False] * count
    stack, result, counter = [], [], 0
    for root in range(count):
        if index[root]:
            continue
        counter += 1
        index[root] = low[root] = counter
        stack.append(root)
        on_stack[root] = True
        work = [(root, iter(sorted(successors(root))))]
        while work:
            node, rest = work[-1]
            for child in rest:
                if not index[child]:
                    counter += 1
                    index[child] = low[child] = counter
                    stack.append(child)
                    on_stack[child] = True
                    work.append((child, iter(sorted(successors(child)))))
                    break
                if on_stack[child]:
                    low[node] = min(low[node], index[child])
            else:
                work.pop()
                if work:
                    parent = work[-1][0]
                    low[parent] = min(low[parent], low[node])
                if low[node] == index[node]:
                    members = []
                    while True:
                        member = stack.pop()
                        on_stack[member] = False
                        members.append(member)
                        if member == node:
                            break
                    result.append(sorted(members))
    return result[::-1]


def depths(graph: Graph) -> list[int]:
    """Number of the region of every op: even ones are sequences, odd ones loops."""
    ops = graph.ops
    comps = components(len(ops), graph.successors)
    comp_of = {i: c for c, members in enumerate(comps) for i in members}
    loop = [len(m) > 1 or m[0] in graph.successors(m[0]) for m in comps]
    depth = [1 if is_loop else 0 for is_loop in loop]
    for c, members in enumerate(comps):
        for i in members:
            for j in graph.successors(i):
                d = comp_of[j]
                if d == c:
                    continue
                # an output has no successors: it may as well run inside its writer's loop
                free = KINDS[ops[j].kind].edge == "output" and not loop[d]
                if loop[d]:
                    step = 2 if loop[c] or depth[c] % 2 else 1
                else:
                    step = 0 if free or not depth[c] % 2 else 1
                depth[d] = max(depth[d], depth[c] + step)
    return [depth[comp_of[i]] for i in range(len(ops))]


def check_acyclic(graph: Graph) -> None:
    """Raise `nengo.exceptions.BuildError` if ops of one step depend on each other in a circle."""
    for members in graph.knots():
        names = ", ".join(graph.ops[i].name for i in members[:5])
        raise BuildError(
            f"These operators depend on each other within one step: {names}. Usually a "
            "circle of connections has no synapse; set a synapse on one of them (0 is enough)."
        )
