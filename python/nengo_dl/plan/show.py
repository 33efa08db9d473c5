"""The printable form of a plan."""

from collections import defaultdict

import numpy as np

from ..ir.kinds import KINDS
from ..ir.neuron_kinds import NEURONS


def text(plan):
    """Regions, ops with blocks and shapes, fusions, callbacks and bytes."""
    programs = [piece.program for piece in plan.runs]
    regions = sum(len(program.regions) for program in programs)
    ops = sum(len(region.ops) for program in programs for region in program.regions)
    lines = [
        f"Plan: {ops} ops in {regions} regions, {plan.dtype}, dt={plan.dt:g} s",
        *(f"  {note}" for note in plan.notes),
        *_where(plan),
    ]
    lines += _Pieces(plan).text(plan.pieces)
    if plan.feeds:
        lines.append("Input nodes (values are made ahead of the steps unless data is given):")
        lines += [f"  {feed}" for feed in plan.feeds]
    if plan.callbacks:
        lines.append("Python callbacks (one call per step and item; the window is one step):")
        lines += [f"  {spec.name}: {spec.reason}" for spec in plan.callbacks]
    lines += _training(plan)
    lines.append(_bytes(programs, plan.dtype))
    return "\n".join(lines)


def _where(plan):
    """On what the programs run."""
    backends = [piece.backend for piece in plan.runs]
    others = sorted(set(backends) - {"cpu"})
    for backend in others:
        which = "" if set(backends) == {backend} else ", where nothing else is said below"
        yield f"Runs on the engine's backend {backend!r}, all items of a minibatch at once{which}"
    if others:
        yield (
            "Parameters and state are TensorFlow variables on its GPU, where the engine uses them"
            if plan.on_gpu
            else "Parameters and state are TensorFlow variables on the CPU: each call takes what "
            "it needs to the GPU, and what has changed back"
        )
        return
    if plan.callbacks:
        yield "Runs on the CPU, on one thread: its Python functions take turns"
        return
    yield (
        "Runs on the CPU, the items of a minibatch on several threads; with fewer items than "
        "threads, long runs that are not recorded for a gradient share out ops among them, or run "
        "on one, whichever is measured to be faster while they run"
    )


class _Pieces:
    """The lines for pieces; numbers of regions and calls go on from piece to piece."""

    def __init__(self, plan):
        self.plan, self.region, self.call = plan, 0, 0

    def text(self, pieces, indent=""):
        """Lines for some pieces."""
        lines = []
        for piece in pieces:
            if hasattr(piece, "pieces"):
                lines.append("Loop, one step at a time (a cycle through TensorFlow):")
                lines += self.text(piece.pieces, "  ")
            else:
                lines += self._run(piece) if hasattr(piece, "program") else self._call(piece)
        return [indent + line for line in lines]

    def _run(self, piece):
        program, on_cpu = piece.program, piece.backend == "cpu"
        compiled = self.plan.compiled(program, piece.backend) if self.plan.compiled else None
        fused = compiled.fused() if compiled else []
        loops = compiled.loops(self.plan.items) if compiled and self.plan.items else []
        divided = compiled.divided(2) if compiled and on_cpu and not self.plan.callbacks else []
        if on_cpu and any(other.backend != "cpu" for other in self.plan.runs):
            yield "A program that stays on the CPU:"
        for number, region in enumerate(program.regions):
            of_region = ([row[1:] for row in rows if row[0] == number] for rows in (fused, divided))
            fusions, stretches = of_region
            yield f"Region {self.region}: {region.kind}, {len(region.ops)} ops"
            yield from (_whole(how, taken) for loop, how, taken in loops if loop == number)
            yield from _ops(program, region, fusions)
            yield from _divided(stretches)
            self.region += 1

    def _call(self, piece):
        call, how = piece.call, self.plan.call_modes
        ins, outs = (", ".join(map(str, shapes)) or "nothing" for shapes in (call.ins, call.outs))
        yield f"Call: {call.name}: {'time, ' * call.pass_time}{ins} -> {outs}"
        for line in how[self.call] if how else ():
            yield f"  {line}"
        self.call += 1


def _training(plan):
    """How neurons run in training, where it is not as they run otherwise."""
    if not plan.trains:
        return []
    counts, widths = defaultdict(int), {}
    forms = [
        both
        for piece in plan.runs
        for both in zip(_neurons(piece.program), _neurons(piece.training), strict=True)
    ]
    for before, after in forms:
        names = before.attrs["type"], after.attrs["type"], after.attrs.get("surrogate")
        counts[names] += after.blocks * int(np.prod(after.args["J"].shape))
        widths.setdefault(names, set()).update(np.atleast_1d(after.attrs.get("width", ())).tolist())
    lines = []
    for names, count in counts.items():
        kind, form, surrogate = names
        if surrogate is not None:
            width = ", ".join(f"{w:g}" for w in sorted(widths[names]))
            how = f"spikes, with surrogate {surrogate}" + (f" (width {width})" if width else "")
        elif NEURONS[kind].spikes and not NEURONS[kind].rate_form:
            how = "spikes, without gradient (it has no rate form; set a surrogate)"
        elif kind != form:
            how = f"as {form}"
        else:
            continue
        lines.append(f"  {kind} ({count} neurons): {how}")
    return ["In training:", *lines] if lines else []


def _neurons(program):
    """Ops that a training form may hold in another form, in the order of both."""
    return (op for op in program.ops() if KINDS[op.kind].gradient == "type")


def _ops(program, region, fused):
    """Ops of a region; those that run as one stand under what they are together."""
    starts = {first: (first + count, text) for first, count, text in fused}
    lines, end = [], 0
    for i, op in enumerate(region.ops):
        if i in starts:
            end, text = starts[i]
            lines.append(f"  fused: {text}")
        lines.append("  " * (i < end) + f"  {_op(op, program)}")
    return lines


def _whole(how, taken):
    return f"  one kernel, {how}: a step is predicted to take {1e6 * taken:.2g} us"


_HOW = {
    "islands": "by parts that need nothing of each other",
    "steps": "by steps",
    "alone": "by one of them",
}


def _divided(stretches):
    """How two threads share the ops of a region out, if they do."""
    if not any(how != "alone" for *_, how, _ in stretches):
        return
    for first, count, how, longest in stretches:
        part = "" if how == "alone" else f", at most {longest:.0%} of the work"
        ops = f"ops {first} to {first + count - 1}" if count > 1 else f"op {first}"
        yield f"  shared out among 2 threads: {ops} {_HOW[how]}{part}"


def _op(op, program):
    shapes = ", ".join(_operand(arg, operand, program) for arg, operand in op.args.items())
    blocks = f"{op.blocks} x " if op.blocks > 1 else ""
    extra = f" {op.attrs['type']}" if "type" in op.attrs else ""
    return f"{blocks}{op.kind}{extra}({shapes})  # {op.name}"


def _operand(arg, operand, program):
    shape = "x".join(map(str, operand.shape)) or "scalar"
    kind = program.buffers[operand.buffer].kind
    when = "+1" if operand.shift else ""
    return f"{arg}: {shape} {kind}{when}"


def draft_text(draft):
    """What the passes know so far: ops, where their variables lie, regions, blocks."""
    regions = draft.regions
    if regions is None:
        numbers = draft.region_of or [0] * len(draft.ops)
        regions = [
            ("region", [[i] for i, n in enumerate(numbers) if n == number])
            for number in sorted(set(numbers))
        ]
    lines = [f"{len(draft.ops)} ops"]
    for kind, groups in regions:
        lines += [f"  {kind}"] if draft.region_of else []
        for group in groups:
            op = draft.ops[group[0]]
            args = ", ".join(_reference(arg, ref, draft) for arg, ref in op.args.items())
            blocks = f"{len(group)} x " if len(group) > 1 else ""
            lines.append(f"    {blocks}{op.kind}({args})  # {op.name}")
    return "\n".join(lines)


def _reference(arg, ref, draft):
    shape = "x".join(map(str, ref.shape)) or "scalar"
    kind = draft.classes[ref.var] if draft.storage is None else draft.storage[ref.var][0]
    return f"{arg}: {ref.access} {shape} of {ref.var.name} ({kind})"


def _bytes(programs, dtype):
    size = np.dtype(dtype).itemsize
    total = defaultdict(int)
    for program in programs:
        for buffer in program.buffers:
            total[buffer.kind] += buffer.size * size
    state = sum(program.state_size * size + program.istate_size * 4 for program in programs)
    return (
        f"Bytes: parameters {total['param']}; per item: learned {total['learned']}, state {state}, "
        f"per step of a window {total['window'] + total['carried']}, local {total['local']}"
    )


def short_list(texts, limit=8):
    """Texts in a line, of many only the first ones and how many more there are."""
    more = f" and {len(texts) - limit} more" if len(texts) > limit else ""
    return (", ".join(texts[:limit]) or "none") + more
