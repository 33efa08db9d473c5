"""Programs of a dense layer and a population of neurons, for the tests of their gradients."""

import zlib
from dataclasses import dataclass, field

import numpy as np
from neuron_types import span

from nengo_dl import _engine
from nengo_dl.ir.program import Buffer, Op, Operand, Param, Port, Program, Region, to_bytes

# layouts: (kind of region, kind of the buffers of states)
LAYOUTS = {
    "sequence": ("sequence", "carried"),
    "loop": ("loop", "carried"),
    "in_place": ("loop", "state"),
}
# of neurons; what has no entry is drawn about its default
PARAMETERS = {
    "tau_rc": (0.01, 0.03),
    "tau_ref": (0.001, 0.003),
    "min_voltage": (-0.3, 0),
    "amplitude": (0.2, 2),
    "tau_n": (0.01, 0.1),
    "inc_n": (0.01, 0.1),
    "tau_recovery": (0.01, 0.1),
    "coupling": (0.1, 0.3),
    "reset_voltage": (-70, -50),
    "reset_recovery": (2, 8),
    "negative_slope": (0.1, 0.9),
    "sigma": (0.05, 1),
}


def seed_of(*facts):
    return np.random.RandomState(zlib.crc32(repr(facts).encode()))


def parameters_of(name, rng, blocks):
    names = _engine.neuron_types()[name]["parameters"]
    spans = {p: PARAMETERS[p] if p in PARAMETERS else span(name, p) for p in names}
    return {p: rng.uniform(*spans[p], size=blocks) for p in names}


def assert_close(got, due, rtol, what=""):
    for which, (a, b) in enumerate(zip(got, due, strict=True)):
        scale = np.abs(b).max()
        worst = np.abs(a - b).max()
        assert worst <= rtol * scale, f"{what} {which}: {worst} of {scale}"


@dataclass
class Population:
    """``J = W x + bias`` into ``blocks`` populations of ``n`` neurons.

    ``attrs`` are the op's; ``states`` has the initial values, (batch, blocks * n). Neighbouring
    neurons lie ``gap`` elements apart.
    """

    attrs: dict
    W: np.ndarray
    bias: np.ndarray
    states: dict = field(default_factory=dict)
    blocks: int = 1
    layout: str = "sequence"
    gap: int = 1
    window: int = 0
    dt: float = 0.001
    istate: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int32))

    def __post_init__(self):
        self.dtype = str(self.W.dtype)
        self.size, self.inputs = self.W.shape
        region, state_kind = LAYOUTS[self.layout]
        row = "local" if region == "loop" else "window"
        width = self.size * self.gap
        buffers = [
            Buffer("window", "x", self.inputs),
            Buffer("param", "W", self.W.size, param=0),
            Buffer("param", "bias", self.size, param=1),
            Buffer(row, "J", width),
            Buffer(row, "out", width),
        ]
        for i, name in enumerate(self.states):
            buffers.append(Buffer(state_kind, name, width, state_offset=i * width))
        shift = int(state_kind == "carried")
        gap, n = self.gap, self.size // self.blocks
        x = Operand(0, 0, (self.inputs,), (1,), (0,))
        dense = {
            "A": Operand(1, 0, self.W.shape, (self.inputs, 1), (0,)),
            "X": x,
            "Y": Operand(3, 0, (self.size,), (gap,), (0,)),
            "bias": Operand(2, 0, (self.size,), (1,), (0,)),
        }

        def population(buffer, shift=0):
            offsets = tuple(k * n * gap for k in range(self.blocks))
            return Operand(buffer, shift, (n,), (gap,), offsets)

        args = {"J": population(3), "out": population(4)}
        args |= {name: population(5 + i, shift) for i, name in enumerate(self.states)}
        ops = (
            Op("input", "x", 1, {"dst": x}, {"index": 0}),
            Op("dense", "upstream", 1, dense, {"set": 1}),
            Op("neurons", "subject", self.blocks, args, self.attrs),
            Op("output", "y", 1, {"src": Operand(4, 0, (self.size,), (gap,), (0,))}, {"index": 0}),
        )
        self.program = Program(
            self.dtype,
            self.dt,
            self.window,
            len(self.states) * width,
            self.istate.size,
            tuple(buffers),
            (Param("W", self.W.size), Param("bias", self.size)),
            (Port("x", self.inputs),),
            (Port("y", self.size),),
            (Region(region, ops),),
        )
        self.compiled = _engine.Compiled(to_bytes(self.program))

    def pack(self, values):
        """State of the program from a value per state; the gaps hold NaN."""
        packed = [np.full((v.shape[0], self.size, self.gap), np.nan) for v in values.values()]
        for into, value in zip(packed, values.values(), strict=True):
            into[:, :, 0] = value
        flat = [v.reshape(len(v), -1) for v in packed]
        return np.ascontiguousarray(np.concatenate(flat, axis=1), self.dtype)

    def unpack(self, state):
        """The inverse of `pack`."""
        parts = np.split(state, len(self.states), axis=1) if self.states else []
        return {name: v[:, :: self.gap] for name, v in zip(self.states, parts, strict=True)}

    def arguments(self, x):
        """Leading arguments of ``run`` and ``grad``, made anew."""
        batch, steps = x.shape[:2]
        state = self.pack(self.states) if self.states else np.zeros((batch, 0), self.dtype)
        istate = np.repeat(self.istate[None], batch, axis=0)
        params = [self.W.ravel().copy(), self.bias.copy()]
        return [[x], params, state, istate, 0, steps, batch, [False]]

    def run(self, x):
        """Outputs (batch, steps, size) and the states after the run."""
        args = self.arguments(x)
        outputs, steps, error = self.compiled.run(*args, threads=1)
        assert steps == x.shape[1] and error is None
        return outputs[0], self.unpack(args[2])

    def grad(self, x, by_out, by_state=None, **kwargs):
        """Derivatives by ``x``, ``W``, ``bias`` and each initial state."""
        if by_state is not None and self.states:
            kwargs["state_out_grad"] = np.nan_to_num(self.pack(by_state))
        inputs, params, state = self.compiled.grad(
            *self.arguments(x), output_grads=[by_out], threads=1, **kwargs
        )
        parts = [self.unpack(state)[name] for name in self.states]
        zero = [np.zeros(self.W.size), np.zeros(self.size)]
        W, bias = (z if p is None else p for p, z in zip(params, zero, strict=True))
        first = np.zeros_like(x) if inputs[0] is None else inputs[0]
        return [first, W.reshape(self.W.shape), bias, *parts]
