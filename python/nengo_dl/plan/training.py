"""The training form of a program: spiking neurons by their rates, or kept with a surrogate.

Buffers, parameters, inputs, outputs and the layout of the state are those of the program that
runs the model; only neurons and the kind of the buffers they keep their state in differ.
"""

import math
from collections import defaultdict
from dataclasses import dataclass, replace

import numpy as np

from .program import Op
from .verify import access_of, verify_program

_RATE = ("tau_rc", "tau_ref", "amplitude")


@dataclass(frozen=True)
class RateForm:
    """How a spiking type is trained: another type, with what it keeps of attributes and states."""

    type: str
    attrs: tuple
    states: tuple = ()
    extra: tuple = ()  # (attribute, value) pairs


# The base type's rate is the input of the last three: what they put out in the mean is the rate
# times the amplitude, below zero too.
_IDENTITY = RateForm("LeakyReLU", ("amplitude",), extra=(("negative_slope", 1.0),))
RATE_FORMS = {
    "SpikingRectifiedLinear": RateForm("RectifiedLinear", ("amplitude",)),
    "SpikingLeakyReLU": RateForm("LeakyReLU", ("negative_slope", "amplitude")),
    "LIF": RateForm("LIFRate", _RATE),
    "AdaptiveLIF": RateForm("AdaptiveLIFRate", (*_RATE, "tau_n", "inc_n"), ("adaptation",)),
    "RegularSpiking": _IDENTITY,
    "StochasticSpiking": _IDENTITY,
    "PoissonSpiking": _IDENTITY,
}
# Spiking types without a rate form: no gradient without a surrogate.
SPIKING_ONLY = ("Izhikevich",)
# Other kinds through which derivatives pass.
_SMOOTH = {"output", "copy", "elementwise", "dense", "sparse", "bsr", "conv", "conv_transpose",
           "lowpass", "filter", "triangle"}  # fmt: skip
_HOLD = "held in training: "
_NOT_STATES = ("J", "out")


def training_program(program, lif_smoothing=None):
    """Make the training form of a program.

    Parameters
    ----------
    program : nengo_dl.plan.program.Program
        The program that runs the model; it is not changed.
    lif_smoothing : float, optional
        Smoothing of the rate curve that stands for LIF neurons (attribute ``sigma`` of
        SoftLIFRate); None for LIFRate.

    Returns
    -------
    nengo_dl.plan.program.Program
        The same parameters, inputs, outputs and layout of the state.
    """
    forms = dict(RATE_FORMS)
    if lif_smoothing is not None:
        sigma = (("sigma", float(lif_smoothing)),)
        forms["LIF"] = RateForm("SoftLIFRate", _RATE, extra=sigma)
    regions, left = [], defaultdict(list)
    for region in program.regions:
        ops = tuple(_swapped(op, forms, left) for op in region.ops)
        regions.append(replace(region, ops=ops))
    made = _at_rest(replace(program, regions=tuple(regions)), left)
    made = _with_rows(made)
    verify_program(made)
    return made


def _swapped(op, forms, left):
    """The op in the training form; states that it no longer has are added to ``left``."""
    form = forms.get(op.attrs.get("type")) if op.kind == "neurons" else None
    if form is None or "surrogate" in op.attrs:
        return op
    attrs = {name: _floats(op.attrs[name]) for name in form.attrs}
    attrs.update((name, (value,)) for name, value in form.extra)
    kept = (*_NOT_STATES, *form.states)
    args = {name: operand for name, operand in op.args.items() if name in kept}
    new = replace(op, args=args, attrs={"type": form.type, **attrs})
    for name, operand in op.args.items():
        if name not in kept:
            left[operand.buffer].append((new, name, operand))
    return new


def _floats(value):
    return (float(value),) if isinstance(value, (int, float)) else tuple(value)


def _at_rest(program, left):
    """Let states that neurons no longer change keep their values for those who read them."""
    written = {
        operand.buffer
        for op in program.ops()
        for arg, operand in op.args.items()
        if access_of(op, arg) != "read"
    }
    carried = {i for i in left if program.buffers[i].kind == "carried"}
    holds = {}
    for index in carried & written:
        for op, name, operand in left[index]:
            holds.setdefault(id(op), []).append(_hold(op, name, operand))
    still = carried - written
    regions = []
    for region in program.regions:
        ops = [new for op in region.ops for new in (op, *holds.get(id(op), ()))]
        ops = tuple(_shifted(op, still, 0) for op in ops)
        regions.append(replace(region, ops=ops))
    return _with_kind(replace(program, regions=tuple(regions)), still, "state")


def _hold(op, name, operand):
    """An op that hands a state on as it is, from row to row: ``1 * y + 0 * x``."""
    args = {"x": op.args["J"], "y": operand}
    return Op("lowpass", f"{_HOLD}{op.name}, {name}", op.blocks, args, {"a": (1.0,), "b": (0.0,)})


def is_hold(op):
    """Whether an op is there only to hand a state on in training."""
    return op.kind == "lowpass" and op.name.startswith(_HOLD)


def _shifted(op, buffers, shift):
    """The op with all operands in some buffers at the row before (0) or after (1) the step."""
    if not any(operand.buffer in buffers for operand in op.args.values()):
        return op
    args = {
        name: replace(operand, shift=shift) if operand.buffer in buffers else operand
        for name, operand in op.args.items()
    }
    return replace(op, args=args)


def _with_kind(program, indices, kind):
    buffers = tuple(
        replace(buffer, kind=kind) if i in indices else buffer
        for i, buffer in enumerate(program.buffers)
    )
    return replace(program, buffers=buffers)


def _with_rows(program):
    """Give states that gradients read a row per step, where only their ops touch them."""
    uses = defaultdict(list)
    for op in program.ops():
        for arg, operand in op.args.items():
            uses[operand.buffer].append((op, arg, operand))
    changed = set()
    for index, found in uses.items():
        if program.buffers[index].kind != "state":
            continue
        if all(_gradient_reads(op, arg) for op, arg, _ in found):
            # no two ops write the same element, so that the number tells whether all are
            named = sum(op.blocks * math.prod(operand.shape) for op, _, operand in found)
            if named == program.buffers[index].size:
                changed.add(index)
    regions = tuple(
        replace(region, ops=tuple(_shifted(op, changed, 1) for op in region.ops))
        for region in program.regions
    )
    return _with_kind(replace(program, regions=regions), changed, "carried")


def _gradient_reads(op, arg):
    """Whether derivatives need a state: that of neurons, or where a Triangle's ring begins."""
    if op.kind == "triangle":
        return arg == "Xi"
    return _keeps_gradient(op) and arg not in _NOT_STATES


def _keeps_gradient(op):
    """Whether derivatives pass through these neurons in the training form."""
    if op.kind != "neurons":
        return False
    spiking = op.attrs["type"] in RATE_FORMS or op.attrs["type"] in SPIKING_ONLY
    return "surrogate" in op.attrs or not spiking


def blocked_by_callbacks(program, outputs):
    """Find the parameters that no gradient of some outputs reaches.

    Parameters
    ----------
    program : nengo_dl.plan.program.Program
        The training form of a program.
    outputs : iterable of int
        Numbers of the outputs that a loss is computed from.

    Returns
    -------
    dict
        Number of a parameter -> names of the ops that stand between (a part of) it and the outputs
        and have no derivative: Python functions, learning rules, spiking neurons without
        surrogate. Empty if nothing at all leads from the parameter to these outputs. Parameters
        that a gradient reaches, as far as they have an influence, are not in it.
    """
    wanted = set(outputs)
    ends = [op for op in program.ops() if op.kind == "output" and op.attrs["index"] in wanted]
    ops = [op for op in program.ops() if op.kind != "output"]
    by_gradient, _ = _backward(program, [op for op in ops if _passes(op)], ends)
    by_any, on_the_way = _backward(program, ops, ends)
    cut = {i: by_any[i] & ~by_gradient[i] for i in by_any}
    blocked = {i: [] for i in by_any if cut[i].any() or not by_gradient[i].any()}
    for op in on_the_way if any(part.any() for part in cut.values()) else ():
        if not _passes(op):
            behind, _ = _backward(program, ops, [op])
            for i, names in blocked.items():
                if (cut[i] & behind[i]).any():
                    names.append(op.name)
    return {i: tuple(dict.fromkeys(names)) for i, names in blocked.items()}


def _passes(op):
    return op.kind in _SMOOTH or _keeps_gradient(op)


def _backward(program, ops, ends):
    """Masks of the parameters that ``ends`` depend on by way of ``ops``; and the ops on the way."""
    marked = [np.zeros(buffer.size, dtype=bool) for buffer in program.buffers]
    uses, found = [_Uses(op, program) for op in reversed(ops)], {}
    for end in ends:
        _Uses(end, program).mark(marked, slice(None))
    seen = [0] * len(uses)
    while True:  # again for what comes back by way of the next step
        before = list(seen)
        for i, use in enumerate(uses):
            hit = use.reached(marked)
            seen[i] = int(hit.sum())
            if seen[i] > before[i]:
                found[id(use.op)] = use.op
                use.mark(marked, hit)
        if seen == before:
            buffers = zip(program.buffers, marked, strict=True)
            return {b.param: mask for b, mask in buffers if b.param >= 0}, list(found.values())


class _Uses:
    """Elements that the blocks of an op read and write."""

    def __init__(self, op, program):
        self.op, self.spans, self.reads, self.writes = op, [], [], []
        for arg, operand in op.args.items():
            access = access_of(op, arg)
            if program.buffers[operand.buffer].kind == "param":  # too large to list elements
                self.spans.append((operand.buffer, _spans(op, arg, operand)))
                continue
            places = (operand.buffer, _places(op, arg, operand))
            if access in ("read", "update"):
                self.reads.append(places)
            if access != "read":
                self.writes.append(places)

    def reached(self, marked):
        """Which blocks write what is marked."""
        hit = np.zeros(self.op.blocks, dtype=bool)
        for buffer, places in self.writes:
            hit |= marked[buffer][places].any(axis=1)
        return hit

    def mark(self, marked, blocks):
        """Mark what some blocks read."""
        for buffer, places in self.reads:
            marked[buffer][places[blocks].ravel()] = True
        for buffer, spans in self.spans:
            for low, high in spans[blocks]:
                marked[buffer][low:high] = True


def _spans(op, arg, operand):
    """First element and last+1 of each block of an operand."""
    if f"{arg}_index" in op.attrs:
        places = _places(op, arg, operand)
        return np.stack([places.min(axis=1), places.max(axis=1) + 1], axis=1)
    far = [(n - 1) * stride for n, stride in zip(operand.shape, operand.strides, strict=True)]
    ends = [sum(min(f, 0) for f in far), sum(max(f, 0) for f in far) + 1]
    return np.asarray(operand.offsets, dtype=np.int64)[:, None] + np.array(ends)


def _places(op, arg, operand):
    """Elements of an operand, ``(blocks, elements)``."""
    places = np.zeros((), dtype=np.int64)
    for n, stride in zip(operand.shape, operand.strides, strict=True):
        places = places[..., None] + np.arange(n, dtype=np.int64) * stride
    places = places.ravel()
    index = op.attrs.get(f"{arg}_index")
    if index is not None:
        places = places[np.asarray(index, dtype=np.int64)]
    return places + np.asarray(operand.offsets, dtype=np.int64)[:, None]
