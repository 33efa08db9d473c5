"""Where each variable lives: decided from what the operators do with it."""

from collections import defaultdict

import numpy as np

from ..ir.kinds import KINDS
from ..ir.refs import READS

# Updated signals up to this size keep one row per step of a window, so that their readers
# need not run in the same loop. Above it (weight matrices) the rows would not fit in cache.
CARRIED_LIMIT = 4096


def accesses(ops):
    """Map each variable to its ``(op index, argument, Ref)``, in op order."""
    table = defaultdict(list)
    for i, op in enumerate(ops):
        for arg, ref in op.args.items():
            table[ref.var].append((i, arg, ref))
    return table


def covers(refs, size):
    """Whether the references name every element of a variable of this size."""
    if any(r.full for r in refs):
        return True
    if sum(r.size for r in refs) < size:
        return False
    seen = np.zeros(size, dtype=bool)
    for r in refs:
        seen[r.elements] = True
    return bool(seen.all())


def classify(ops, uses, limit=CARRIED_LIMIT):
    """Storage class per variable, of which ``uses`` are all `accesses`.

    Variables that are updated have rows up to a size of ``limit``.

    Returns
    -------
    dict
        ``param`` (never written), ``learned`` (only incremented), ``temp`` (set anew in
        every step), ``carried`` (updated, with a row per step), ``state`` (changed in place
        by one op alone), ``tied`` (in place, seen by several ops, which must loop together).
    """
    return {var: _classify(var, found, ops, limit) for var, found in uses.items()}


def _classify(var, uses, ops, limit):
    by = defaultdict(list)
    for use in uses:
        by[use[2].access].append(use)
    written = by.keys() - READS
    if not written:  # most variables
        return "learned" if var.per_item else "param"
    in_place = "tied" if len({i for i, _, _ in uses}) > 1 else "state"
    # what an op changes by itself (Python does) lies still, though to the model it is an increment
    if any(KINDS[ops[i].kind].arg(arg).access == "update" for i, arg, _ in by["inc"]):
        return in_place
    if written == {"inc"}:
        return "learned"
    if written <= {"write", "inc"}:
        return "temp" if covers([r for _, _, r in by["write"]], var.size) else in_place
    if len(written) > 1 or not covers([r for a in written for _, _, r in by[a]], var.size):
        return in_place
    (access,) = written
    changers = {i for i, _, _ in by[access]}
    readers = {i for a in ("read", "final") for i, _, _ in by[a]}
    old_needed = any(KINDS[ops[i].kind].arg(arg).old_value for i, arg, _ in by[access])
    if not readers:
        return in_place
    if access == "update" and changers & readers:
        return "carried"  # reads the old value while it writes the new one
    if old_needed or access == "update":
        return "carried" if var.size <= limit else in_place
    return "temp"


def is_tied(kind):
    """Whether all ops that touch a variable of this class must share a loop."""
    return kind in ("tied", "learned")


def weight_kinds(weights: tuple, uses: dict, classes: dict) -> dict:
    """Per signal of all members of all weights, what kind of variable it is.

    Those that no op uses are what the first used one of their weight is.
    """
    kinds = {var.signal: classes[var] for var in uses if var.weight >= 0}
    first = {}
    for var in uses:
        if var.weight >= 0:
            first.setdefault(var.weight, classes[var])
    for var in weights:
        kinds.setdefault(var.signal, first.get(var.weight, "param"))
    return kinds
