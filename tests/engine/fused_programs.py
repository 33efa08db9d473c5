"""Programs of ensembles, as the planner makes them, for the tests of fused kernels."""

from dataclasses import dataclass

import numpy as np
from handmade_programs import Maker, op, view

NEURONS = {  # parameters and states
    "LIF": ({"tau_rc": 0.02, "tau_ref": 0.002, "min_voltage": 0.0, "amplitude": 1.0},
            ("voltage", "refractory_time")),
    "AdaptiveLIF": ({"tau_rc": 0.02, "tau_ref": 0.002, "min_voltage": 0.0, "amplitude": 1.0,
                     "tau_n": 1.0, "inc_n": 0.01}, ("voltage", "refractory_time", "adaptation")),
    "SpikingRectifiedLinear": ({"amplitude": 1.0}, ("voltage",)),
    "RegularSpiking": ({"amplitude": 1.0, "negative": 0}, ("voltage",)),
    "LIFRate": ({"tau_rc": 0.02, "tau_ref": 0.002, "amplitude": 1.0}, ()),
}  # fmt: skip


@dataclass
class Ensembles:
    """Blocks of ensembles: input -> encode -> neurons -> decoders -> outputs, a filter behind.

    ``gap`` elements lie between the blocks of every operand. The first decoder has a block for each
    entry of ``reads``, the ensemble that it decodes; by default for each ensemble. In loops its
    filter stands before the other decoders.
    """

    dims: int = 1
    neurons: int = 20
    blocks: int = 3
    decoded: tuple = (1,)
    columns: bool = True  # matrices with 8 rows or more lie column by column
    kind: str = "LIF"
    dtype: str = "float32"
    loop: bool = False
    carried: bool = False  # states
    set_: int = 1
    bias: bool = True
    gap: int = 0
    per_block: bool = False  # parameters of the neurons differ
    filtered: bool = True
    weight: float = 0.1
    reads: tuple = ()
    seed: int = 0

    def __post_init__(self):
        self.rng = np.random.RandomState(self.seed)
        self.maker = Maker(self.dtype)
        self.initial = []

    def at(self, size, blocks=None):
        return tuple(k * (size + self.gap) for k in range(blocks or self.blocks))

    def room(self, size, blocks=None):
        return (blocks or self.blocks) * (size + self.gap)

    def buffer(self, kind, size, name, values=None, blocks=None):
        room = self.room(size, blocks)
        if kind in ("state", "carried"):
            high = 0.004 if name == "refractory_time" else 0.5
            self.initial.append(self.rng.uniform(0, high, room))
        if values is not None:
            flat = np.zeros((blocks or self.blocks, size + self.gap))
            flat[:, :size] = values.reshape(-1, size)
            values = flat.ravel()
        return self.maker.buffer(kind, room, name, values)

    def matrix(self, rows, columns, scale, name, blocks=None):
        values = self.rng.uniform(-scale, scale, (blocks or self.blocks, rows, columns))
        by_columns = self.columns and rows >= 8 and columns > 1
        strides = (1, rows) if by_columns else (columns, 1)
        stored = values.transpose(0, 2, 1) if by_columns else values
        buffer = self.buffer("param", rows * columns, name, stored, blocks)
        return view(buffer, (rows, columns), strides, self.at(rows * columns, blocks))

    def vector(self, kind, size, name, shift=0, values=None, blocks=None):
        buffer = self.buffer(kind, size, name, values, blocks)
        return view(buffer, (size,), (1,), self.at(size, blocks), shift)

    def whole(self, operand):
        """All of a buffer as one block."""
        size = self.maker.buffers[operand.buffer].size
        return view(operand.buffer, (size,), shift=operand.shift)

    def chain(self):
        """The ops of the ensembles; ``self.y`` holds what is decoded."""
        n = self.neurons
        # that some fire within a few steps
        gain = 100 if "LIF" not in self.kind else 1 if self.bias else 10
        local = "local" if self.loop else "window"
        self.x = self.vector("window", self.dims, "x")
        self.J, self.out = self.vector(local, n, "J"), self.vector(local, n, "out")
        args = {"A": self.matrix(n, self.dims, 2.0 * gain, "encoders"), "X": self.x, "Y": self.J}
        if self.bias:
            bias = self.rng.uniform(2 * gain, 4 * gain, self.blocks * n)
            args["bias"] = self.vector("param", n, "bias", values=bias)
        ops = [op("dense", args, self.blocks, set=1)]
        attrs, states = NEURONS[self.kind]
        attrs = dict(attrs)
        if self.per_block:
            attrs["amplitude"] = tuple(1.0 + (k // 2) for k in range(self.blocks))
        kind = "carried" if self.carried else "state"
        self.states = {s: self.vector(kind, n, s, int(self.carried)) for s in states}
        args = {"J": self.J, "out": self.out, **self.states}
        ops.append(op("neurons", args, self.blocks, type=self.kind, **attrs))
        self.y = []
        for i in range(len(self.decoded)):
            ops += self.decoder(i)
            if not self.set_:
                ops.insert(0, op("fill", {"dst": self.y[i]}, self.blocks, value=0.5))
            if self.filtered and i == (0 if self.loop else len(self.decoded) - 1):
                blocks = len(self.y[0].offsets)
                self.filter = self.vector("state", self.decoded[0], "filtered", blocks=blocks)
                filtered = {"x": self.y[0], "y": self.filter}
                ops.append(op("lowpass", filtered, blocks, a=0.9, b=0.1))
        return ops

    def decoder(self, i):
        """One product of what the neurons put out."""
        size, n = self.decoded[i], self.neurons
        x, blocks = self.out, self.blocks
        if i == 0 and self.reads:
            blocks = len(self.reads)
            x = view(x.buffer, x.shape, x.strides, [x.offsets[k] for k in self.reads])
        self.y.append(self.vector("window", size, f"y{i}", blocks=blocks))
        matrix = self.matrix(size, n, self.weight, f"decoders{i}", blocks)
        return [op("dense", {"A": matrix, "X": x, "Y": self.y[i]}, blocks, set=self.set_)]

    def make(self, more=lambda ensembles: ()):
        """Put the program together; ``more`` makes ops that run behind the chain."""
        ops = self.chain()
        size = self.room(self.dims)
        self.maker.region("sequence", self.maker.input(self.x.buffer, size))
        self.maker.region("loop" if self.loop else "sequence", *ops, *more(self))
        outputs = [self.maker.output(self.whole(y), f"y{i}") for i, y in enumerate(self.y)]
        if self.carried:
            outputs += [self.maker.output(self.whole(s), name) for name, s in self.states.items()]
        self.maker.region("sequence", *outputs)
        self.state = np.concatenate(self.initial).astype(self.dtype)
        return self

    def run(self, compiled, n_steps, batch, threads=1, items=None, strange=None):
        """Outputs and state after a run; ``items`` picks those of a batch.

        ``strange`` is put among the inputs: one in step 3, from step 6 on all.
        """
        rng = np.random.RandomState(self.seed + 1)
        size = self.room(self.dims)
        x = rng.uniform(-1, 1, (batch, n_steps, size)).astype(self.dtype)
        if strange is not None:
            x[:, 3, -1] = x[:, 6:] = strange
        state = np.repeat(self.state[None], batch, axis=0)
        if items is not None:
            x, state = x[items], state[items]
        results = self.maker.run(
            n_steps, len(x), [x], state.copy(), compiled=compiled, threads=threads
        )
        outputs, steps, error, state = results
        assert steps == n_steps and error is None
        return [*outputs, state]
