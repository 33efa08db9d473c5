"""The training form of a program: spiking neurons by their rates, or kept with a surrogate.

Buffers, parameters, inputs, outputs and the layout of the state are those of the program that
runs the model; only neurons and the kind of the buffers they keep their state in differ.
"""

import math
from collections import defaultdict
from dataclasses import replace

from ..ir.kinds import KINDS, READ, UPDATE
from ..ir.neuron_kinds import NEURONS
from ..ir.program import Op, Program
from .pieces import Plan
from .verify import verify_program


def with_training(plan: Plan, lif_smoothing: float | None = None) -> Plan:
    """Return the plan with a training mode: the training form of every program."""
    return plan.with_runs(
        lambda run: replace(run, training=training_program(run.program, lif_smoothing))
    )


def training_program(program: Program, lif_smoothing: float | None = None) -> Program:
    """Make the training form of a program.

    Parameters
    ----------
    program : nengo_dl.ir.program.Program
        The program that runs the model; it is not changed.
    lif_smoothing : float, optional
        Smoothing of the rate curve that stands for LIF neurons (attribute ``sigma`` of
        SoftLIFRate); None for LIFRate.

    Returns
    -------
    nengo_dl.ir.program.Program
        The same parameters, inputs, outputs and layout of the state.
    """
    regions, left = [], defaultdict(list)
    for region in program.regions:
        ops = tuple(_swapped(op, lif_smoothing, left) for op in region.ops)
        regions.append(replace(region, ops=ops))
    made = _at_rest(replace(program, regions=tuple(regions)), left)
    made = _with_rows(made)
    verify_program(made)
    return made


def _swapped(op, smoothing, left):
    """The op in the training form; states that it no longer has are added to ``left``."""
    if KINDS[op.kind].gradient != "type" or "surrogate" in op.attrs:
        return op
    entry = NEURONS[op.attrs["type"]]
    smooth = entry.smooth_form if smoothing is not None else ""
    if not (name := smooth or entry.rate_form):
        return op
    form, constants = NEURONS[name], dict(entry.rate_constants)
    attrs = {"type": name}
    for key in form.parameters:
        # what the type does not have, and is no constant, is the smoothing
        attrs[key] = _floats(op.attrs.get(key, constants.get(key, smoothing)))
    gone = set(entry.states) - set(form.states)
    args = {arg: operand for arg, operand in op.args.items() if arg not in gone}
    new = replace(op, args=args, attrs=attrs)
    for arg, operand in op.args.items():
        if arg in gone:
            left[operand.buffer].append((new, arg, operand))
    return new


def trained_by_rates(plan: Plan) -> bool:
    """Whether there are spiking neurons that training mode runs by their rates."""
    ops = (op for piece in plan.runs if plan.trains for op in piece.program.ops())
    return any(
        NEURONS[op.attrs["type"]].spikes and NEURONS[op.attrs["type"]].rate_form
        for op in ops
        if KINDS[op.kind].gradient == "type" and "surrogate" not in op.attrs
    )


def _floats(value):
    return (float(value),) if isinstance(value, (int, float)) else tuple(value)


def _at_rest(program, left):
    """Let states that neurons no longer change keep their values for those who read them."""
    written = {
        operand.buffer
        for op in program.ops()
        for arg, operand in op.args.items()
        if op.access(arg) != READ
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
    text = f"held in training: {op.name}, {name}"
    return Op("lowpass", text, op.blocks, args, {"a": (1.0,), "b": (0.0,)})


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
    kind = KINDS[op.kind]
    read = kind.gradient == "type" or arg in kind.reads
    return read and op.access(arg) == UPDATE and passes_gradient(op)


def passes_gradient(op: Op) -> bool:
    """Whether derivatives pass through an op of a training form."""
    gradient = KINDS[op.kind].gradient
    if gradient == "type":
        return "surrogate" in op.attrs or not NEURONS[op.attrs["type"]].spikes
    return gradient == "exact"
