"""Whether what a loop keeps lies in place: buffer kind and way of writing per variable."""

from ..ir.refs import READS
from .draft import Draft


def settle(draft: Draft) -> Draft:
    """Pass: buffer kind and way of writing per variable; what one loop keeps lies in place."""
    uses, how = draft.uses, {}
    for var, found in uses.items():
        access = {r.access for _, _, r in found}
        how[var] = "advance" if "advance" in access else "update"
    inner = {var for var, found in uses.items() if _in_one_loop(found, draft.region_of)}
    in_place = {v for v, c in draft.classes.items() if c == "carried" and v in inner}
    in_place = {v for v in in_place if how[v] == "advance" or _may_lie_still(uses[v], draft.ops)}
    while in_place:
        trial = draft.change(in_place=frozenset(in_place))
        knots = list(trial.graph.knots())
        if not knots:
            draft = trial
            break
        # two filters that feed each other: one of them needs the old value kept apart
        in_place -= {r.var for members in knots for i in members for _, r in draft.ops[i].refs()}
    storage = {}
    for var, kind in draft.classes.items():
        if kind == "tied" or var in draft.in_place:
            kind = "state"
        elif kind == "temp":
            kind = "local" if var in inner else "window"
        storage[var] = (kind, how[var])
    return draft.change(storage=storage)


def _in_one_loop(uses, region_of):
    number = region_of[uses[0][0]]
    return number % 2 == 1 and all(region_of[i] == number for i, _, _ in uses)


def _may_lie_still(uses, ops):
    """Whether updating the variable in place, after all reads, can't reorder anything else."""
    changers = {i for i, _, r in uses if r.access == "update"}
    readers = {i for i, _, r in uses if r.access in READS}
    alone = all(r.access in ("read", "update") for i in changers for _, r in ops[i].refs())
    return alone and not changers & readers
