"""The training form of a program: spiking neurons by their rates, or kept with a surrogate.

Buffers, parameters, inputs, outputs and the layout of the state are those of the program that
runs the model; only neurons and the kind of the buffers they keep their state in differ.
"""

from collections import defaultdict
from dataclasses import dataclass, replace

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
    """Give the states of neurons with a gradient a row per step, where only neurons touch them."""
    uses = defaultdict(list)
    for op in program.ops():
        for arg, operand in op.args.items():
            uses[operand.buffer].append((op, arg, operand))
    changed = set()
    for index, found in uses.items():
        if program.buffers[index].kind != "state":
            continue
        if all(_keeps_gradient(op) and arg not in _NOT_STATES for op, arg, _ in found):
            # no two neurons write the same element, so that the number tells whether all are
            named = sum(op.blocks * _size(operand) for op, _, operand in found)
            if named == program.buffers[index].size:
                changed.add(index)
    regions = tuple(
        replace(region, ops=tuple(_shifted(op, changed, 1) for op in region.ops))
        for region in program.regions
    )
    return _with_kind(replace(program, regions=regions), changed, "carried")


def _keeps_gradient(op):
    """Whether derivatives pass through these neurons in the training form."""
    if op.kind != "neurons":
        return False
    spiking = op.attrs["type"] in RATE_FORMS or op.attrs["type"] in SPIKING_ONLY
    return "surrogate" in op.attrs or not spiking


def _size(operand):
    size = 1
    for n in operand.shape:
        size *= n
    return size
