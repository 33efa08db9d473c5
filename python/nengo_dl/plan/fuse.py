"""Fusions: passes that leave fewer ops to do the same work, or the same ops with less of it."""

from dataclasses import replace
from functools import cache

import numpy as np

from ..ir.kinds import KINDS
from .classes import accesses, classify, is_tied
from .draft import Draft
from .simplify import adds_by_python, alias_copies, set_first, substitute


def fuse_resets(draft: Draft) -> Draft:
    """Zero, then increment: the first increment sets. Which one must not drag others along.

    The setter runs before all other increments of its target, so it is the one in the
    earliest region: one inside a loop would pull the others into the loop.
    """
    depth = draft.depths
    ops = set_first(draft.ops, lambda i: (depth[i], i))
    return draft.with_ops(ops, "resets fused into the first increment")


def alias_sources(draft: Draft) -> Draft:
    """Readers of a plain copy read its source, unless that would tie them into a loop."""
    ops = alias_copies(draft.ops, lambda src: not is_tied(draft.classes[src.var]))
    return draft.with_ops(ops, "copies replaced by their source")


def join_tiles(draft: Draft) -> Draft:
    """A signal that is only copied into part of another is computed there at once."""
    return draft.with_ops(_join_tiles(draft.ops), "copies replaced by their target")


def _join_tiles(ops):
    while True:
        table = accesses(ops)
        classes = classify(ops, table)
        moved, dropped, targets = {}, set(), set()

        @cache
        def added(var, table=table):
            return [r for _, _, r in table[var] if r.access == "inc"]

        for i, op in enumerate(ops):
            if op.kind != "copy" or op.args["dst"].access != "write":
                continue
            src, dst = op.args["src"], op.args["dst"]
            if not _is_tile(src, dst, classes) or src.var in moved or src.var in targets:
                continue
            # what is added to either must be seen by the readers of both, or there is none
            shared = sum(r.access in ("read", "final") for _, _, r in table[src.var]) > 1
            if dst.var in moved or (shared and any(r.overlaps(dst) for r in added(dst.var))):
                continue
            moved[src.var] = dst
            dropped.add(i)
            targets.add(dst.var)
        if not moved:
            return ops

        def into(ref, moved=moved):
            dst = moved[ref.var]
            return replace(ref, var=dst.var, offset=ref.offset + dst.offset)

        ops = [substitute(op, into, moved) for i, op in enumerate(ops) if i not in dropped]


def _is_tile(src, dst, classes):
    """Whether a copy moves a whole temporary into consecutive elements of another one."""
    if src.var is dst.var or src.index is not None or dst.index is not None:
        return False
    if classes[src.var] != "temp" or classes[dst.var] != "temp" or src.size != src.var.size:
        return False
    if src.flat is None or dst.flat is None or src.flat[0] != 0:
        return False
    return src.size == 1 or (src.flat[2] == 1 and dst.flat[2] == 1)


def add_in_place(draft: Draft) -> Draft:
    """A product that is only added to one signal is added up there at once."""
    ops, classes, table = draft.ops, draft.classes, draft.uses
    changed, dropped = {}, set()
    for i, op in enumerate(ops):
        if op.kind != "copy" or op.args["dst"].access != "inc":
            continue
        src, dst = op.args["src"], op.args["dst"]
        if not _is_tile(src, dst, classes) or len(table[src.var]) != 2:
            continue
        ((k, arg, made),) = [use for use in table[src.var] if use[0] != i]
        product = ops[k]
        if KINDS[product.kind].settable != "Y" or arg != "Y":
            continue
        if made.access != "write" or not made.full or made.flat is None or made.flat[2] != 1:
            continue
        if any(ref.var is dst.var for ref in product.args.values()):
            continue
        target = replace(made, var=dst.var, offset=made.offset + dst.flat[0], access="inc")
        changed[k] = product.with_args(Y=target)
        dropped.add(i)
    ops = [changed.get(i, op) for i, op in enumerate(ops) if i not in dropped]
    return draft.with_ops(ops, "products added up in place")


def pull_decoders(draft: Draft) -> Draft:
    """Let small products of a loop's neurons run inside that loop.

    Then the spikes need not leave it, only the few decoded numbers.
    """
    ops, graph, region_of = draft.ops, draft.graph, list(draft.region_of)
    before = [set() for _ in ops]
    for i in range(len(ops)):
        for j in graph.successors(i):
            before[j].add(i)
    for uses in draft.uses.values():
        home = {region_of[i] for i, _, r in uses if r.access in ("write", "advance", "inc")}
        if len(home) != 1 or not (number := min(home)) % 2:
            continue
        outside = {i for i, _, _ in uses if region_of[i] != number}
        if outside and all(decodes(ops[i], uses) for i in outside):
            if all(region_of[j] <= number for i in outside for j in before[i]):
                for i in outside:
                    region_of[i] = number
    return draft.change(region_of=region_of)


def decodes(op, uses):
    """Whether an op makes few numbers out of many, and reads only one of the given ones."""
    if op.kind != "dense" or op.args["Y"].access != "write":
        return False
    x = op.args["X"]
    return any(r is x for _, _, r in uses) and op.args["Y"].size * 4 <= x.size


def fuse_bias(draft: Draft) -> Draft:
    """A copy that only sets the target of a product becomes the product's bias."""
    ops, depth, table = draft.ops, draft.depths, draft.uses
    changed, dropped = {}, set()
    for i, op in enumerate(ops):
        if op.kind != "copy" or op.args["dst"].access != "write":
            continue
        src, dst = op.args["src"], op.args["dst"]
        if src.index is not None or dst.index is not None or not dst.full:
            continue
        uses = table[dst.var]
        if adds_by_python(ops, uses):
            continue
        incs = [(depth[k], ops[k].kind != "dense", k) for k, _, r in uses if r.access == "inc"]
        if len([r for _, _, r in uses if r.access == "write"]) != 1 or not incs:
            continue
        _, not_dense, k = min(incs)
        target = ops[k].args.get("Y")
        if not_dense or k in changed or "bias" in ops[k].args or not target.full:
            continue
        bias, y = src.as_vector(), target.as_vector()
        if bias is None or y is None or dst.as_vector() is None:
            continue
        if dst.flat[2] != y.flat[2] or bias.shape != y.shape:
            continue
        changed[k] = ops[k].with_args(Y=replace(target, access="write"), bias=bias)
        dropped.add(i)
    ops = [changed.get(i, op) for i, op in enumerate(ops) if i not in dropped]
    return draft.with_ops(ops, "biases fused into products")


def store_by_columns(draft: Draft) -> Draft:
    """Constant matrices of products are stored column by column.

    A spike then adds one contiguous row, and a product with few columns runs along the output.
    """
    ops, new = draft.ops, {}
    for var, uses in draft.uses.items():
        shapes = {r.shape for i, arg, r in uses if (ops[i].kind, arg) == ("dense", "A")}
        if len(shapes) != 1 or var.per_item:
            continue
        (shape,) = shapes
        if shape[0] < 8 or shape[1] < 2 or shape[0] * shape[1] != var.size:
            continue
        plain = (shape[1], 1)
        fits = all(
            r.shape == shape
            and r.strides == plain
            and r.access in ("read", "final")
            and ((ops[i].kind, arg) == ("dense", "A") or KINDS[ops[i].kind].edge == "output")
            for i, arg, r in uses
        )
        if fits and (var.weight < 0 or var.signal.shape == shape):
            initial = np.ascontiguousarray(var.initial.reshape(shape).T).ravel()
            parts = ((var, 0),)
            new[var] = replace(var, initial=initial, rows=shape[0], parts=parts)

    # members of a weight lie together, all of them in the same way
    mixed = {var.weight for var in draft.uses if var not in new} - {-1}
    new = {var: turned for var, turned in new.items() if var.weight not in mixed}

    def change(ref):
        return replace(ref, var=new[ref.var], strides=(1, ref.shape[0]))

    return draft.with_ops(substitute(op, change, new) for op in ops)
