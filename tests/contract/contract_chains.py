"""Random small models: chains of ops with feedback, so that ops meet each other.

Where `contract_cases` tries every layout of one op, here the layouts are plain and the ops many.
"""

import numpy as np
from contract_cases import Case
from contract_draws import per_block, uniform
from contract_neurons import draws_of

from nengo_dl.ir.neuron_kinds import NEURONS
from nengo_dl.ir.program import Buffer, Op, Operand, Param, Port, Program, Region


class Chain:
    """Input -> ... -> output, by way of vectors of ``blocks`` times ``n`` elements."""

    def __init__(self, rng, dtype, batch, n_steps, loop):
        self.rng, self.dtype, self.batch, self.n_steps, self.loop = rng, dtype, batch, n_steps, loop
        self.buffers, self.params, self.values, self.state, self.ops = [], [], [], [], []
        self.blocks = int(rng.randint(1, 4))
        self.feedback = None

    def vector(self, buffer, n, shift=0, blocks=None):
        """The blocks one behind the other."""
        offsets = tuple(n * k for k in range(self.blocks if blocks is None else blocks))
        return Operand(buffer, shift, (n,), (1,), offsets)

    def param(self, *shape):
        values = self.rng.normal(size=self.blocks * int(np.prod(shape))) / np.sqrt(shape[-1])
        self.values.append(values.astype(self.dtype))
        self.params.append(Param("weights", values.size))
        self.buffers.append(Buffer("param", "weights", values.size, param=len(self.params) - 1))
        strides = tuple(np.cumprod((1, *shape[:0:-1]))[::-1].tolist())
        offsets = tuple(k * int(np.prod(shape)) for k in range(self.blocks))
        return Operand(len(self.buffers) - 1, 0, shape, strides, offsets)

    def buffer(self, n, carried=False, plain_state=False, draw=None):
        """A buffer for one vector; returns its number."""
        size, offset = n * self.blocks, -1
        kind = "local" if self.loop and self.rng.randint(2) else "window"
        if carried or plain_state:
            kind = "carried" if carried else "state"
            offset = sum(columns.shape[1] for columns in self.state)
            values = (draw or uniform(0, 1))(self.rng, (self.batch, size))
            self.state.append(values.astype(self.dtype))
        self.buffers.append(Buffer(kind, "vector", size, state_offset=offset))
        return len(self.buffers) - 1

    def add(self, kind, args, attrs):
        self.ops.append(Op(kind, kind, self.blocks, args, attrs))

    # ------------------------------------------------------------ links: operand of n -> operand, n

    def dense(self, x, n):
        m = int(self.rng.randint(1, 12))
        y = self.vector(self.buffer(m), m)
        bias = {"bias": self.param(m)} if self.rng.randint(2) else {}
        self.add("dense", {"A": self.param(m, n), "X": x, "Y": y, **bias}, {"set": 1})
        return y, m

    def weigh(self, x, n):
        y = self.vector(self.buffer(n), n)
        self.add("elementwise", {"A": self.param(n), "X": x, "Y": y}, {"set": 1})
        return y, n

    def lowpass(self, x, n):
        buffer = self.buffer(n, carried=True)
        attrs = {name: per_block(self.rng, self.blocks, uniform(0, 1)) for name in "ab"}
        self.add("lowpass", {"x": x, "y": self.vector(buffer, n, shift=1)}, attrs)
        return self.vector(buffer, n, shift=int(self.rng.randint(2))), n

    def neurons(self, x, n):
        entry = NEURONS[self.rng.choice([n for n, e in NEURONS.items() if not e.draws])]
        parameters, states = (draws_of(entry.name, k) for k in (entry.parameters, entry.states))
        current = self.vector(self.buffer(n), n)
        self.add("elementwise", {"A": self.param(n), "X": x, "Y": current}, {"set": 1})
        attrs = {k: per_block(self.rng, self.blocks, draw) for k, draw in parameters.items()}
        attrs.update(dict.fromkeys(entry.flags, 1))
        args = {"J": current, "out": self.vector(self.buffer(n), n)}
        for state, draw in states.items():
            carried = bool(self.rng.randint(2))
            number = self.buffer(n, carried, plain_state=True, draw=draw)
            args[state] = self.vector(number, n, shift=int(carried))
        if "amplitude" in attrs:  # spikes are of the order of 1/dt
            attrs["amplitude"] = 0.01
        self.add("neurons", args, {"type": entry.name, **attrs})
        return args["out"], n

    def add_feedback(self, x, n):
        """Add what the end of the chain was a step ago."""
        if self.feedback is not None:
            return x, n
        buffer = self.buffer(n, carried=True)
        self.feedback = (buffer, n)
        y = self.vector(self.buffer(n), n)
        self.add("copy", {"src": x, "dst": y}, {"set": 1})
        self.add("copy", {"src": self.vector(buffer, n), "dst": y}, {"set": 0})
        return y, n

    def build(self, n_links=8):
        rng = self.rng
        n = int(rng.randint(1, 12))
        x = self.vector(self.buffer(n), n)
        size = n * self.blocks
        port = Port("u", size)
        u = self.vector(x.buffer, size, blocks=1)
        self.ops.append(Op("input", "u", 1, {"dst": u}, {"index": 0}))
        links = [self.dense, self.weigh, self.lowpass, self.neurons]
        links += [self.add_feedback] if self.loop else []
        for _ in range(n_links):
            x, n = links[rng.randint(len(links))](x, n)
        if self.feedback is not None:
            buffer, m = self.feedback
            y = self.vector(buffer, m, shift=1)
            A = self.param(m, n)
            self.add("dense", {"A": A, "X": x, "Y": y}, {"set": 1})
        out = self.vector(x.buffer, n * self.blocks, shift=x.shift, blocks=1)
        self.ops.append(Op("output", "out", 1, {"src": out}, {"index": 0}))
        state = np.concatenate([np.zeros((self.batch, 0), self.dtype), *self.state], axis=1)
        program = Program(
            self.dtype,
            0.001,
            int(rng.choice([0, 1, 3])),
            state.shape[1],
            0,
            tuple(self.buffers),
            tuple(self.params),
            (port,),
            (Port("out", n * self.blocks),),
            (Region("loop" if self.loop else "sequence", tuple(self.ops)),),
        )
        u = rng.normal(size=(self.batch, self.n_steps, size)).astype(self.dtype)
        istate = np.zeros((self.batch, 0), dtype=np.int32)
        return Case(program, [u], self.values, state, istate, 0, self.n_steps, self.batch, [])
