"""Random programs around one op: operands laid out in every way that the contract allows.

A case is a program with the data for one run. Around the op under test, `input` ops fill the
buffers that it needs filled and `output` ops show what it wrote. Elements that no operand names
are NaN, so that reading a wrong element shows.
"""

import itertools
from dataclasses import dataclass, field, replace

import numpy as np

from nengo_dl import reference
from nengo_dl.ir.program import RNG_WORDS, Buffer, Op, Operand, Param, Port, Program, Region
from nengo_dl.ir.rng import pack_rng
from nengo_dl.reference.memory import places

LAYOUTS = ("sequence", "loop", "loop between sequences", "sequence between loops")


def normal(rng, shape):
    return rng.normal(size=shape)


def matrices(size):
    """Rows and columns of matrices that so many elements can be made of; zeros: of none."""
    rows = next((n for n in (3, 2, 5, 7) if size % n == 0), None)
    if rows is None:
        return 0, 0
    columns = size // rows
    return rows, columns // 2 if columns % 2 == 0 else columns


def outside(values, rows, columns):
    """Values as a turned parameter has them outside, given those of its buffers."""
    if not rows:
        return values
    return np.ascontiguousarray(values.reshape(-1, rows, columns).swapaxes(1, 2)).ravel()


@dataclass
class Arg:
    """One argument of an op under test, before it is given a place."""

    access: str  # read, write, inc, update
    shape: tuple
    draw: object = normal  # (rng, shape) -> values
    flat: bool = False  # contiguous elements are due
    scalar: bool = True  # a shape of (1,) may be written as ()


@dataclass
class Subject:
    """An op under test, before its arguments are given a place."""

    kind: str
    args: dict
    attrs: dict = field(default_factory=dict)
    blocks: int = 1
    generators: int = 0  # random generators it needs; attribute rng is filled in
    callbacks: list = field(default_factory=list)


@dataclass
class Case:
    """A program and the data of one run."""

    program: Program
    inputs: list
    params: list
    state: np.ndarray
    istate: np.ndarray
    first_step: int
    n_steps: int
    batch: int
    callbacks: list

    def item(self, b):
        """The same case with one of its items only."""
        one = slice(b, b + 1)
        params = [
            values[one] if param.learned else values
            for param, values in zip(self.program.params, self.params, strict=True)
        ]
        return replace(
            self,
            inputs=[values[one] for values in self.inputs],
            params=params,
            state=self.state[one],
            istate=self.istate[one],
            batch=1,
        )


@dataclass
class Result:
    """What a run left behind."""

    outputs: list
    params: list
    state: np.ndarray
    istate: np.ndarray

    def arrays(self):
        """All arrays with names, for comparisons."""
        for i, values in enumerate(self.outputs):
            yield f"output {i}", values
        for i, values in enumerate(self.params):
            yield f"parameter {i}", values
        yield "state", self.state
        yield "integer state", self.istate


def run_case(case, runner, splits=(), **kwargs):
    """Run a case in one go or in several runs, on copies of its data.

    ``runner(program, inputs, params, state, istate, first_step, n_steps, batch, callbacks)``
    returns the outputs.
    """
    params = [values.copy() for values in case.params]
    state, istate = case.state.copy(), case.istate.copy()
    borders = (0, *splits, case.n_steps)
    parts = []
    for start, stop in itertools.pairwise(borders):
        inputs = [np.ascontiguousarray(values[:, start:stop]) for values in case.inputs]
        first, count = case.first_step + start, stop - start
        args = (case.program, inputs, params, state, istate, first, count, case.batch)
        parts.append(runner(*args, case.callbacks, **kwargs))
    outputs = [np.concatenate(port, axis=1) for port in zip(*parts, strict=True)]
    return Result(outputs, params, state, istate)


def run_twin(case, **kwargs):
    return run_case(case, reference.run, **kwargs)


class CaseBuilder:
    """Collects buffers, ops and data of one case."""

    def __init__(self, rng, dtype="float64", layout="sequence", batch=2, n_steps=5, dt=0.001):
        self.rng, self.dtype, self.layout, self.dt = rng, dtype, layout, dt
        self.batch, self.n_steps = batch, n_steps
        self.buffers, self.params, self.param_values = [], [], []
        self.state, self.generators = [], []
        self.inputs, self.input_values, self.outputs = [], [], []
        self.before, self.main, self.after = [], [], []
        self.callbacks = []

    # ------------------------------------------------------------ places

    def _strides(self, arg, blocks):
        """Random shape, strides, offsets and extent: elements of all blocks are apart."""
        rng, shape = self.rng, arg.shape
        if shape == (1,) and arg.scalar and rng.random_sample() < 0.3:
            shape = ()
        rank = len(shape)
        order = list(range(rank))[::-1]
        if not arg.flat and rng.random_sample() < 0.5:
            order = rng.permutation(rank).tolist()
        # the blocks lie outside of the elements, or between them
        where = rank if arg.flat or rng.random_sample() < 0.6 else rng.randint(rank + 1)
        order.insert(where, rank)
        strides, extent, start = [0] * (rank + 1), 1, 0
        for dim in order:
            length = blocks if dim == rank else shape[dim]
            strides[dim] = extent
            extent = extent * length
            if not arg.flat or dim == rank:
                extent += rng.randint(3) * (rng.random_sample() < 0.3)
            if not arg.flat and dim < rank and rng.random_sample() < 0.15:
                start += strides[dim] * (length - 1)
                strides[dim] = -strides[dim]
        if arg.access == "read" and not arg.flat and rng.random_sample() < 0.2 and rank:
            strides[rng.randint(rank)] = 0
        offsets = start + strides[rank] * np.arange(blocks)
        if arg.access == "read" and rng.random_sample() < 0.2:
            offsets = rng.choice(offsets, size=blocks)
        elif rng.random_sample() < 0.4:
            offsets = rng.permutation(offsets)
        offsets = offsets + rng.randint(3)
        # a negative stride that became 0 can leave the start beyond the extent
        size = extent + start + 3
        return shape, tuple(strides[:rank]), tuple(offsets.tolist()), int(size)

    def _buffer_kind(self, arg):
        if arg.access == "read":
            kinds = ["param", "learned", "state", "carried", "window"]
        elif arg.access == "update":
            kinds = ["learned", "state", "carried"]
        else:
            kinds = ["learned", "state", "carried", "window"]
        if self.layout == "loop" and arg.access != "update":
            kinds.append("local")
        return kinds[self.rng.randint(len(kinds))]

    def _values(self, lead, size, arg, index):
        values = np.full((*lead, size), np.nan)
        values[..., index] = arg.draw(self.rng, (*lead, *index.shape))
        return values.astype(self.dtype)

    def _add_buffer(self, kind, name, size, values):
        """``values(*lead)`` draws the data of the buffer."""
        param = state_offset = -1
        if kind in ("param", "learned"):
            param = len(self.params)
            turned = matrices(size) if kind == "param" and len(self.params) % 2 == 0 else (0, 0)
            self.params.append(Param(name, size, int(kind == "learned"), *turned))
            inside = values(*((self.batch,) if kind == "learned" else ()))
            self.param_values.append(outside(inside, *turned))
        elif kind in ("state", "carried"):
            if self.rng.random_sample() < 0.3:  # columns that no buffer holds
                self.state.append(np.full((self.batch, 2), 7.0, dtype=self.dtype))
            state_offset = sum(columns.shape[1] for columns in self.state)
            self.state.append(values(self.batch))
        self.buffers.append(Buffer(kind, name, size, param, state_offset))
        return len(self.buffers) - 1

    def place(self, name, arg, blocks):
        """Give an argument a buffer and a place in it; returns the operand."""
        shape, strides, offsets, size = self._strides(arg, blocks)
        index = places(Operand(0, 0, shape, strides, offsets))
        kind = self._buffer_kind(arg)
        buffer = self._add_buffer(
            kind, name, size, lambda *lead: self._values(lead, size, arg, index)
        )
        shift = int(kind == "carried" and (arg.access != "read" or self.rng.random_sample() < 0.5))
        if kind in ("carried", "window", "local"):
            values = self._values((self.batch, self.n_steps), size, arg, index)
            fill = self._input(buffer, int(kind == "carried"), values)
            # in a loop, what a delayed read sees may also be written after it
            late = self.layout == "loop" and kind == "carried" and not shift
            (self.after if late and self.rng.random_sample() < 0.5 else self.before).append(fill)
        operand = Operand(buffer, shift, shape, strides, offsets)
        # what lives in one place for the whole window can be seen only at its end
        if arg.access != "read" and (kind not in ("state", "learned") or self.layout == "loop"):
            self._show(name, operand)
        return operand

    def _input(self, buffer, shift, values):
        port, size = len(self.inputs), values.shape[-1]
        self.inputs.append(Port(f"in{port}", size))
        self.input_values.append(values)
        dst = Operand(buffer, shift, (size,), (1,), (0,))
        return Op("input", f"in{port}", 1, {"dst": dst}, {"index": port})

    def _show(self, name, operand):
        for offset in operand.offsets:
            port = len(self.outputs)
            self.outputs.append(Port(f"{name} {port}", int(np.prod(operand.shape))))
            src = replace(operand, offsets=(offset,))
            self.after.append(Op("output", f"{name} {port}", 1, {"src": src}, {"index": port}))

    # ------------------------------------------------------------ ops

    def add(self, subject):
        """Add the op under test."""
        attrs = dict(subject.attrs)
        if subject.generators:
            attrs["rng"] = RNG_WORDS * len(self.generators)
            if subject.generators > 1:
                attrs["rng"] = attrs["rng"] + RNG_WORDS * np.arange(subject.generators)
            self.generators += [self._generator() for _ in range(subject.generators)]
        if subject.callbacks:
            attrs["index"] = len(self.callbacks)
            self.callbacks += subject.callbacks
        if subject.kind == "input":
            return self._add_input(subject)
        args = {name: self.place(name, arg, subject.blocks) for name, arg in subject.args.items()}
        if subject.kind == "output":
            attrs["index"] = len(self.outputs)
            self.outputs.append(Port("under test", int(np.prod(args["src"].shape))))
        return self.main.append(Op(subject.kind, subject.kind, subject.blocks, args, attrs))

    def _add_input(self, subject):
        dst = self.place("dst", subject.args["dst"], 1)
        port = len(self.inputs)
        self.inputs.append(Port("under test", int(np.prod(dst.shape))))
        self.input_values.append(
            self.rng.normal(size=(self.batch, self.n_steps, self.inputs[-1].size)).astype(
                self.dtype
            )
        )
        self.main.append(Op("input", "input", 1, {"dst": dst}, {"index": port}))

    def _generator(self):
        words = np.zeros((self.batch, RNG_WORDS), dtype=np.int32)
        for b in range(self.batch):
            rng = np.random.RandomState(self.rng.randint(2**31))
            rng.normal(size=self.rng.randint(4))  # with or without a cached value
            rng.random_sample(self.rng.randint(700))  # the key is renewed at some point
            words[b] = pack_rng(rng)
        return words

    def build(self, window=0, first_step=0):
        """The finished case."""
        lists = [self.before, self.main, self.after]
        if self.layout in ("sequence", "loop"):
            regions = [(self.layout, [op for ops in lists for op in ops])]
        else:
            outer, inner = (
                ("sequence", "loop") if self.layout[:4] == "loop" else ("loop", "sequence")
            )
            regions = zip((outer, inner, outer), lists, strict=True)
        regions = tuple(Region(kind, tuple(ops)) for kind, ops in regions if ops)
        empty = np.zeros((self.batch, 0))
        state = np.concatenate([empty.astype(self.dtype), *self.state], axis=1)
        istate = np.concatenate([empty.astype(np.int32), *self.generators], axis=1)
        program = Program(
            self.dtype,
            self.dt,
            1 if self.callbacks else window,
            state.shape[1],
            istate.shape[1],
            tuple(self.buffers),
            tuple(self.params),
            tuple(self.inputs),
            tuple(self.outputs),
            regions,
        )
        return Case(
            program,
            self.input_values,
            self.param_values,
            state,
            istate,
            first_step,
            self.n_steps,
            self.batch,
            self.callbacks,
        )
