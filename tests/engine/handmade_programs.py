"""Small programs made by hand for the engine's own tests."""

import numpy as np

from nengo_dl import _engine
from nengo_dl.ir.program import Buffer, Op, Operand, Param, Port, Program, Region, to_bytes


class Maker:
    """Collects buffers, parameters and ops; `program` puts them together."""

    def __init__(self, dtype="float64", dt=0.001, window=0):
        self.dtype, self.dt, self.window = dtype, dt, window
        self.buffers, self.params, self.values = [], [], []
        self.inputs, self.outputs, self.regions = [], [], []
        self.state_size = 0

    def buffer(self, kind, size, name="", value=None):
        """Add a buffer, for parameters with their value; returns its number."""
        param = offset = -1
        if kind in ("param", "learned"):
            param = len(self.params)
            self.params.append(Param(name, size, int(kind == "learned")))
            self.values.append(np.asarray(value, self.dtype))
        elif kind in ("state", "carried"):
            offset = self.state_size
            self.state_size += size
        self.buffers.append(Buffer(kind, name or f"b{len(self.buffers)}", size, param, offset))
        return len(self.buffers) - 1

    def region(self, kind, *ops):
        self.regions.append(Region(kind, ops))

    def input(self, buffer, size, name="input"):
        """An op that reads a new model input into a buffer."""
        self.inputs.append(Port(name, size))
        return op("input", {"dst": view(buffer, (size,))}, index=len(self.inputs) - 1)

    def output(self, operand, name="output"):
        """An op that writes an operand to a new model output."""
        self.outputs.append(Port(name, int(np.prod(operand.shape))))
        return op("output", {"src": operand}, index=len(self.outputs) - 1)

    def program(self):
        return Program(
            self.dtype,
            self.dt,
            self.window,
            self.state_size,
            0,
            tuple(self.buffers),
            tuple(self.params),
            tuple(self.inputs),
            tuple(self.outputs),
            tuple(self.regions),
        )

    def run(self, n_steps, batch=1, inputs=(), state=None, compiled=None, **kwargs):
        """Compile and run; returns (outputs, steps, error, state)."""
        compiled = compiled or _engine.Compiled(to_bytes(self.program()))
        state = np.zeros((batch, self.state_size), self.dtype) if state is None else state
        istate = np.zeros((batch, 0), np.int32)
        kwargs.setdefault("keep_last", [False] * len(self.outputs))
        kwargs.setdefault("first_step", 0)
        result = compiled.run(
            inputs=list(inputs),
            params=self.values,
            state=state,
            istate=istate,
            n_steps=n_steps,
            batch=batch,
            **kwargs,
        )
        return (*result, state)


def view(buffer, shape=(), strides=None, offsets=(0,), shift=0):
    """An operand, in C order unless strides are given."""
    if strides is None:
        strides = tuple(int(np.prod(shape[i + 1 :])) for i in range(len(shape)))
    return Operand(buffer, shift, tuple(shape), tuple(strides), tuple(offsets))


def op(kind, args, blocks=1, name="", **attrs):
    return Op(kind, name or kind, blocks, args, attrs)
