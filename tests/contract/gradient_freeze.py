"""Programs whose ops without derivative are replaced by what they wrote.

Learning rules, random numbers, Python functions and spikes pass no gradient: the engine treats what
they write as numbers. A frozen program gets these numbers as inputs, so that differences of its
outputs are what the gradient of the original program has to be.
"""

from dataclasses import replace

import numpy as np
from contract_engine import run_engine

from nengo_dl.ir.kinds import KINDS
from nengo_dl.ir.neuron_kinds import NEURONS
from nengo_dl.ir.program import Buffer, Op, Operand, Port, Region


def passes(op):
    """Whether derivatives pass through an op."""
    gradient = KINDS[op.kind].gradient
    if gradient == "type":
        return "surrogate" in op.attrs or not NEURONS[op.attrs["type"]].spikes
    return gradient == "exact"


def written(op):
    """The written operands of an op, each with whether it is added to."""
    for name, operand in op.args.items():
        access = op.access(name)
        if access != "read":
            yield operand, access == "inc"


class _Recording:
    """Outputs beside the ops to be frozen; ``ports[op]``: operand, port before (or None), after."""

    def __init__(self, program):
        self.outputs, self.ports = list(program.outputs), {}
        regions = [Region(r.kind, tuple(self._ops(i, r))) for i, r in enumerate(program.regions)]
        # with one step per window, what lies in place shows the value of every step
        self.program = replace(
            program, window=1, outputs=tuple(self.outputs), regions=tuple(regions)
        )

    def _show(self, operand):
        ports = []
        for offset in operand.offsets:
            ports.append(len(self.outputs))
            src = replace(operand, offsets=(offset,))
            size = int(np.prod(operand.shape))
            self.outputs.append(Port("frozen", size))
            yield Op("output", "frozen", 1, {"src": src}, {"index": ports[-1]}), ports[-1]

    def _ops(self, region, record):
        for i, op in enumerate(record.ops):
            if passes(op):
                yield op
                continue
            entry = []
            for operand, adds in written(op):
                before = list(self._show(operand)) if adds else []
                yield from (show for show, _ in before)
                entry.append((operand, [port for _, port in before]))
            yield op
            self.ports[region, i] = []
            for operand, before in entry:
                after = list(self._show(operand))
                yield from (show for show, _ in after)
                ports = (operand, before, [port for _, port in after])
                self.ports[region, i].append(ports)


def freeze(case):
    """The frozen case; one without ops to freeze is returned as it is."""
    if all(passes(op) for op in case.program.ops()):
        return case
    recording = _Recording(case.program)
    values = run_engine(replace(case, program=recording.program)).outputs
    buffers, ports = list(case.program.buffers), list(case.program.inputs)
    given = list(case.inputs)
    regions = []
    for r, region in enumerate(case.program.regions):
        ops = []
        for i, op in enumerate(region.ops):
            if (r, i) not in recording.ports:
                ops.append(op)
            for operand, before, after in recording.ports.get((r, i), ()):
                row = np.concatenate([values[port] for port in after], axis=-1)
                if before:
                    row = row - np.concatenate([values[port] for port in before], axis=-1)
                size, count = row.shape[-1], int(np.prod(operand.shape))
                buffers.append(Buffer("window", "frozen", size))
                dst = Operand(len(buffers) - 1, 0, (size,), (1,), (0,))
                ops.append(Op("input", "frozen", 1, {"dst": dst}, {"index": len(ports)}))
                ports.append(Port("frozen", size))
                given.append(np.ascontiguousarray(row))
                strides = np.cumprod((1, *operand.shape[:0:-1]))[::-1] if operand.shape else ()
                offsets = tuple(count * k for k in range(len(operand.offsets)))
                src = Operand(dst.buffer, 0, operand.shape, tuple(int(s) for s in strides), offsets)
                args = {"src": src, "dst": operand}
                ops.append(Op("copy", "frozen", len(offsets), args, {"set": int(not before)}))
        regions.append(Region(region.kind, tuple(ops)))
    program = replace(
        case.program, buffers=tuple(buffers), inputs=tuple(ports), regions=tuple(regions)
    )
    return replace(case, program=program, inputs=given)
