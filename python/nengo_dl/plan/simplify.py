"""Simplifications: passes from a list of ops to an equal, shorter list.

They use only what can never change: values of parameters that are neither written nor
trainable. Results stay equal to the last bit.
"""

from collections import defaultdict
from dataclasses import replace

import numpy as np

from ..ir.kinds import KINDS
from ..ir.refs import WRITES, Var, is_const, values, written_vars
from .classes import accesses
from .draft import Draft

# an identity matrix or a zero is looked for in arrays up to this size
_LOOK_LIMIT = 1 << 22


def _constant(ref, written):
    """Values of a reference if they can never change, else None."""
    if not is_const(ref.var, written) or ref.size > _LOOK_LIMIT:
        return None
    return values(ref)


def remove_zero_incs(ops):
    """Drop increments by zero."""
    written = written_vars(ops)

    def is_zero(ref):
        value = _constant(ref, written)
        return value is not None and not np.any(value)

    def keep(op):
        factors = KINDS[op.kind].factors
        if not factors or next(op.refs("inc"), None) is None:
            return True
        return not any(is_zero(op.args[arg.name]) for arg in factors)

    return [op for op in ops if keep(op)]


def remove_identity_muls(ops):
    """Products with one, or with the identity matrix, become copies."""
    written = written_vars(ops)
    return [_as_copy(op, written) or op for op in ops]


def _as_copy(op, written):
    kind = KINDS[op.kind]
    if len(op.args) != len(kind.factors) + 1:  # a bias would be lost
        return None
    for arg in kind.factors:
        if _NEUTRAL[arg.factor](op.args[arg.name], written):
            (other,) = (op.args[a.name] for a in kind.factors if a is not arg)
            return replace(op, kind="copy", args={"src": other, "dst": op.args[kind.settable]})
    return None


def _is_ones(ref, written):
    value = _constant(ref, written)
    return value is not None and bool(np.all(value == 1))


def _is_identity(ref, written):
    value = _constant(ref, written) if ref.shape[0] == ref.shape[1] else None
    return value is not None and np.array_equal(value, np.eye(len(value)))


# per way in which an argument is a factor: whether its values leave just the other factor
_NEUTRAL = {"zero": lambda ref, written: False, "ones": _is_ones, "identity": _is_identity}


def remove_unmodified_resets(ops):
    """A signal that is only ever reset is a constant."""
    new = {}
    for var, uses in accesses(ops).items():
        writes = [(i, r) for i, _, r in uses if r.access not in ("read", "final")]
        if len(writes) == 1 and ops[writes[0][0]].kind == "fill" and writes[0][1].full:
            value = ops[writes[0][0]].attrs["value"]
            new[var] = Var(var.name, var.size, np.full(var.size, value))
    if not new:
        return ops
    kept = [op for op in ops if not (op.kind == "fill" and op.args["dst"].var in new)]
    return [substitute(op, lambda r: replace(r, var=new[r.var]), new) for op in kept]


def remove_constant_copies(ops):
    """Reads of a plain copy of a parameter go to the parameter."""
    written = written_vars(ops)
    return alias_copies(ops, lambda src: src.var not in written)


def alias_copies(ops, allowed):
    """Let readers of a plain copy read the original, where ``allowed(source Ref)``."""
    table = accesses(ops)
    target, dropped = {}, set()
    for i, op in enumerate(ops):
        if op.kind != "copy":
            continue
        src, dst = op.args["src"], op.args["dst"]
        if dst.access != "write" or not dst.full or dst.index is not None or src.index is not None:
            continue
        line = _as_line(src, dst)
        others = [r for k, _, r in table[dst.var] if k != i]
        if line is None or any(r.access not in ("read", "final") for r in others):
            continue
        if any(r.index is not None for r in others) or not allowed(src):
            continue
        target[dst.var] = (src.var, *line)
        dropped.add(i)
    if not target:
        return ops

    def moved(ref):
        # a chain of copies: follow it to its beginning
        while ref.var in target:
            var, offset, step = target[ref.var]
            strides = tuple(s * step for s in ref.strides)
            ref = replace(ref, var=var, offset=offset + ref.offset * step, strides=strides)
            # what the copy held at the end of the step is what its source held before updates
            ref = replace(ref, access="read")
        return ref

    return [substitute(op, moved, target) for i, op in enumerate(ops) if i not in dropped]


def _as_line(src, dst):
    """``(offset, step)``: element e of the target's variable is source element offset + e*step."""
    if src.flat is None or dst.flat is None:
        return None
    offset, _, step = src.flat
    start, _, stride = dst.flat
    # readers get plain steps only: kernels are fastest on contiguous signals
    if stride not in (1, -1) or (step * stride != 1 and dst.size > 1):
        return None
    return offset - start * stride * step, step * stride


def substitute(op, change, affected):
    """Apply ``change`` to the references to some variables."""
    new = {arg: change(r) if r.var in affected else r for arg, r in op.args.items()}
    return replace(op, args=new) if any(new[a] is not op.args[a] for a in new) else op


def remove_dead_code(ops):
    """Drop ops whose results nobody sees.

    Outputs, callbacks and whatever changes learned parameters count as seen.
    """
    writers = defaultdict(list)
    written = defaultdict(set)
    for i, op in enumerate(ops):
        for ref in op.args.values():
            if ref.access in WRITES:
                writers[ref.var].append(i)
                written[ref.var].add(ref.access)
    live = {i for i, op in enumerate(ops) if KINDS[op.kind].visible}
    live |= {i for var, how in written.items() if how == {"inc"} for i in writers[var]}
    work, seen = list(live), set()
    while work:
        for ref in ops[work.pop()].args.values():
            if ref.var in seen:
                continue
            seen.add(ref.var)
            fresh = [i for i in writers[ref.var] if i not in live]
            live.update(fresh)
            work.extend(fresh)
    return [op for i, op in enumerate(ops) if i in live]


def remove_reset_incs(ops):
    """Zero, then increments that tile the whole signal: let them set it instead.

    Ties between candidates go to the op that comes first in the model.
    """
    return set_first(ops, lambda i: i)


def set_first(ops, order):
    """Turn increments after a zero fill into sets, preferring small ``order(op index)``."""
    dropped, setters = set(), set()
    for var, uses in accesses(ops).items():
        writes = [(i, r) for i, _, r in uses if r.access in ("write", "advance", "update")]
        if len(writes) != 1 or ops[writes[0][0]].kind != "fill" or not writes[0][1].full:
            continue
        if ops[writes[0][0]].attrs["value"] != 0 or adds_by_python(ops, uses):
            continue
        chosen = _tiles(var, sorted((order(i), i, r) for i, _, r in uses if _settable(ops[i], r)))
        if chosen:
            dropped.add(writes[0][0])
            setters |= chosen
    if not dropped:
        return ops
    result = []
    for i, op in enumerate(ops):
        if i in setters:
            arg = KINDS[op.kind].settable
            op = op.with_args(**{arg: replace(op.args[arg], access="write")})
        if i not in dropped:
            result.append(op)
    return result


def adds_by_python(ops, uses):
    """Whether Python adds to a variable: in its own order, before or after others that do."""
    return any(ops[i].kind == "callback" and ref.access == "inc" for i, _, ref in uses)


def _settable(op, ref):
    if ref.access != "inc" or op.args.get(KINDS[op.kind].settable) is not ref:
        return False
    # an element that is named twice gets both increments
    return ref.index is None or len(set(ref.index)) == len(ref.index)


def _tiles(var, candidates):
    """Ops whose targets cover the variable exactly once; empty if there are none."""
    if candidates and candidates[0][2].full:
        return {candidates[0][1]}
    free = np.ones(var.size, dtype=bool)
    chosen = set()
    for _, i, ref in candidates:
        if free[ref.elements].all():
            free[ref.elements] = False
            chosen.add(i)
    return chosen if not free.any() else set()


default_simplifications = (
    remove_unmodified_resets,
    remove_zero_incs,
    remove_identity_muls,
    remove_constant_copies,
    remove_dead_code,
)


# all that a network may be configured to use
PASSES = (*default_simplifications, remove_reset_incs)


def simplify(draft: Draft) -> Draft:
    """Pass: apply the simplifications again and again until none of them changes anything."""
    given, count = draft.given, len(draft.ops)
    while True:
        before = draft
        for single in given.simplifications:
            draft = draft.with_ops(single(list(draft.ops)))
        if draft is before:
            break
    lowered = f"{len(given.operators)} operators lowered to {count} ops"
    return draft.change(notes=(*draft.notes, f"{lowered}, simplified to {len(draft.ops)}"))
