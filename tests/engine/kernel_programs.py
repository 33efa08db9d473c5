"""Programs of one op, run by the engine, for the tests of the kernels."""

from dataclasses import dataclass, field

import numpy as np

from nengo_dl import _engine
from nengo_dl.ir.program import Buffer, Op, Operand, Param, Port, Program, Region, to_bytes

LAYOUTS = ("sequence", "loop")


@dataclass
class OneOp:
    """One op with its data: every argument lies in a buffer of its own, blocks side by side.

    ``reads`` are fed from inputs ``(n_steps, blocks * size)``, the same for every minibatch item;
    ``writes`` (name -> shape of a block) are recorded; ``states`` (name -> initial value) live in
    state buffers, or in carried ones; ``params`` (name -> value) never change.
    """

    kind: str
    attrs: dict
    reads: dict = field(default_factory=dict)
    writes: dict = field(default_factory=dict)
    states: dict = field(default_factory=dict)
    params: dict = field(default_factory=dict)
    shapes: dict = field(default_factory=dict)  # of a block, where it isn't flat
    blocks: int = 1
    dtype: str = "float64"
    layout: str = "sequence"
    carried: bool = False
    window: int = 0
    dt: float = 0.001
    istate: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int32))
    show_states: bool = True

    def _operand(self, buffers, kind, name, size, **where):
        buffers.append(Buffer(kind, name, size, **where))
        count = size // self.blocks
        shape = tuple(self.shapes.get(name, (count,)))
        strides = tuple(int(np.prod(shape[i + 1 :])) for i in range(len(shape)))
        offsets = tuple(count * k for k in range(self.blocks))
        return Operand(len(buffers) - 1, int(kind == "carried"), shape, strides, offsets)

    def build(self):
        """The program, and the initial state of one item."""
        buffers, ops, args, after, state = [], [], {}, [], []
        inputs, outputs, params = [], [], []
        for name, values in self.reads.items():
            args[name] = self._operand(buffers, "window", name, values.shape[1])
            whole = Operand(args[name].buffer, 0, (values.shape[1],), (1,), (0,))
            ops.append(Op("input", name, 1, {"dst": whole}, {"index": len(inputs)}))
            inputs.append(Port(name, values.shape[1]))
        for name, value in self.params.items():
            args[name] = self._operand(buffers, "param", name, value.size, param=len(params))
            params.append(Param(name, value.size))
        for name, value in self.states.items():
            kind = "carried" if self.carried else "state"
            offset = sum(v.size for v in state)
            args[name] = self._operand(buffers, kind, name, value.size, state_offset=offset)
            state.append(value)
        for name, shape in self.writes.items():
            size = int(np.prod(shape)) * self.blocks
            args[name] = self._operand(buffers, "window", name, size)
        shown = [*self.writes, *(self.states if self.show_states and self.carried else [])]
        for name in shown:
            buffer = buffers[args[name].buffer]
            whole = Operand(args[name].buffer, args[name].shift, (buffer.size,), (1,), (0,))
            after.append(Op("output", name, 1, {"src": whole}, {"index": len(outputs)}))
            outputs.append(Port(name, buffer.size))
        subject = Op(self.kind, "subject", self.blocks, args, self.attrs)
        program = Program(
            self.dtype,
            self.dt,
            self.window,
            sum(v.size for v in state),
            self.istate.size,
            tuple(buffers),
            tuple(params),
            tuple(inputs),
            tuple(outputs),
            (Region(self.layout, (*ops, subject, *after)),),
        )
        return program, shown, state

    def run(self, n_steps, batch=2, first_step=0):
        """Outputs by name ``(n_steps, size)``; states at the end by name; integer state."""
        program, shown, state = self.build()
        compiled = _engine.Compiled(to_bytes(program))
        every = [np.stack([v[:n_steps]] * batch) for v in self.reads.values()]
        inputs = [np.ascontiguousarray(v, self.dtype) for v in every]
        params = [np.ascontiguousarray(v.ravel(), self.dtype) for v in self.params.values()]
        flat = np.concatenate([v.ravel() for v in state]) if state else np.zeros(0)
        packed = np.ascontiguousarray(np.stack([flat] * batch), self.dtype)
        istate = np.stack([self.istate] * batch)
        keep = [False] * len(program.outputs)
        outputs, steps, error = compiled.run(
            inputs, params, packed, istate, first_step, n_steps, batch, keep, threads=1
        )
        assert steps == n_steps and error is None
        for values in (*outputs, packed, istate):
            np.testing.assert_array_equal(values, np.stack([values[0]] * batch))
        last = np.split(packed[0], np.cumsum([v.size for v in state])[:-1]) if state else []
        states = {
            n: v.reshape(self.states[n].shape) for n, v in zip(self.states, last, strict=True)
        }
        return {n: v[0] for n, v in zip(shown, outputs, strict=True)}, states, istate[0]


def pack_generator(rng):
    """The 628 words of a RandomState (docs/PROGRAM.md)."""
    _, key, pos, has_gauss, gauss = rng.get_state()
    words = np.zeros(628, np.int32)
    words[:624] = key.view(np.int32)
    words[624:626] = pos, has_gauss
    words[626:] = np.array([gauss]).view(np.int32)
    return words
