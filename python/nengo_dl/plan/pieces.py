"""A plan: pieces that run one after the other, and what belongs to them on the Python side.

Values that pieces hand on are numbered: those that the outside gives come first, in the order of
``Plan.inputs``, then the outputs of the pieces. Parameters are numbered over all pieces.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from nengo.builder import Signal
from nengo.exceptions import BuildError

from ..ir.calls import TensorCall
from ..ir.program import Param, Port, Program
from . import show
from .layout import Place, Places

AT_ONCE_BYTES = 1 << 25  # what comes in, goes out and is handed on between pieces
AT_ONCE_STEPS = 100_000


@dataclass(frozen=True, eq=False, repr=False)
class Run:
    """A program that the engine runs over all steps; it has a state of its own."""

    program: Program
    initial_state: np.ndarray  # (state_size,): packed state of an item before the first step
    inputs: tuple[int, ...]  # number of the value that each input of the program takes
    outputs: tuple[int, ...]  # number of the value that each of its outputs is
    params: tuple[int, ...]  # number of each of its parameters
    training: Program | None = None  # its training form; None: there is no training mode
    initial_istate: np.ndarray | None = None  # (istate_size,): random generators; None: zeros
    backend: str = "cpu"  # of the engine: what runs it

    def training_form(self) -> Program:
        """Return the training form; `ValueError` unless there is one that fits the other."""
        if self.training is None:
            raise ValueError("The training form of a program: there is none")
        for field in ("dtype", "dt", "state_size", "istate_size", "params", "inputs", "outputs"):
            got, expected = getattr(self.training, field), getattr(self.program, field)
            if got != expected:
                raise ValueError(
                    f"The training form of a program: expected the {field} of its inference form, "
                    f"{expected}, got {got}"
                )
        return self.training

    def __repr__(self) -> str:
        ops = sum(len(region.ops) for region in self.program.regions)
        return f"<Run: a program of {ops} ops in {len(self.program.regions)} regions>"


@dataclass(frozen=True, eq=False, repr=False)
class Call:
    """A call of TensorFlow on all steps, outside of cycles, or on one step of a `Loop`."""

    call: TensorCall
    inputs: tuple[int, ...]  # number of the value that each argument is
    outputs: tuple[int, ...]  # number of the value that each result is

    def __repr__(self) -> str:
        return f"<Call of {self.call.name}>"


@dataclass(frozen=True)
class Delayed:
    """A value of a loop as it was before the step, which is read off the state of a program."""

    value: int
    run: int  # number of the program
    offset: int  # first element in its packed state
    size: int


@dataclass(frozen=True, eq=False, repr=False)
class Loop:
    """Pieces that run step by step: a cycle that leads through TensorFlow."""

    pieces: tuple[Run | Call, ...]
    delayed: tuple[Delayed, ...] = ()
    outputs: tuple[int, ...] = ()  # numbers of the values that others use

    @property
    def made(self) -> set[int]:
        """Numbers of all values of the loop."""
        made = {i for piece in self.pieces for i in piece.outputs}
        return made | {entry.value for entry in self.delayed}

    @property
    def inputs(self) -> tuple[int, ...]:
        """Numbers of the values that come from outside."""
        read = dict.fromkeys(i for piece in self.pieces for i in piece.inputs)
        return tuple(i for i in read if i not in self.made)

    def giving(self, outputs: Sequence[int]) -> Loop:
        """Return the loop with these values as its outputs."""
        return replace(self, outputs=tuple(outputs))

    def __repr__(self) -> str:
        return f"<Loop of {len(self.pieces)} pieces>"


Piece = Run | Call | Loop


def only_run(program: Program, initial_state: np.ndarray, **fields: Any) -> Run:
    """Make the piece of a plan that has no other."""
    first = len(program.inputs)
    return Run(
        program,
        initial_state,
        inputs=tuple(range(first)),
        outputs=tuple(range(first, first + len(program.outputs))),
        params=tuple(range(len(program.params))),
        **fields,
    )


def state_keys(number: int) -> tuple[str, str]:
    """Names of state and integer state of the piece of this number, where there are several."""
    return ("state", "istate") if number == 0 else (f"state_{number}", f"istate_{number}")


def fold(pieces: Sequence[Piece], inputs: Sequence | dict, run: Callable, **others: Any) -> dict:
    """Run pieces in their order.

    Parameters
    ----------
    pieces : sequence of Run, Call or Loop
        The pieces of a plan, or of a loop.
    inputs : sequence or dict
        The values that the outside gives, in order or by number.
    run : callable
        ``run(number, piece, values)`` returns what the outputs of a piece are, given the values of
        its inputs.
    **others : callable
        ``call`` and ``loop`` do so for calls of TensorFlow and for loops; ``first`` is the
        number of the first program, 0 by default. Each kind of piece is numbered by itself,
        but programs within loops count among the others.

    Returns
    -------
    dict
        All values by number.
    """
    values = dict(inputs if isinstance(inputs, dict) else enumerate(inputs))
    run_number, call_number = others.pop("first", (0, 0))
    for piece in pieces:
        given = [values[i] for i in piece.inputs]
        if isinstance(piece, Run):
            outputs = run(run_number, piece, given)
            run_number += 1
        elif isinstance(piece, Call):
            outputs = others["call"](call_number, piece, given)
            call_number += 1
        else:
            outputs = others["loop"]((run_number, call_number), piece, given)
            run_number += len(runs_of(piece.pieces))
            call_number += len(calls_of(piece.pieces))
        values.update(zip(piece.outputs, outputs, strict=True))
    return values


def runs_of(pieces: Sequence[Piece]) -> tuple[Run, ...]:
    """Programs among pieces, those within loops too, in order."""
    return tuple(piece for piece in _flat(pieces) if isinstance(piece, Run))


def calls_of(pieces: Sequence[Piece]) -> tuple[Call, ...]:
    """Calls of TensorFlow among pieces, those within loops too, in order."""
    return tuple(piece for piece in _flat(pieces) if isinstance(piece, Call))


def _flat(pieces: Sequence[Piece]) -> Iterator[Run | Call]:
    for piece in pieces:
        if isinstance(piece, Loop):
            yield from piece.pieces
        else:
            yield piece


@dataclass(frozen=True)
class RngSlot:
    """A random generator of a program and the Nengo operator that it belongs to."""

    run: int  # number of the piece
    offset: int  # into its integer state
    op: object  # SimProcess or SimNeurons


@dataclass(frozen=True)
class TableSlot:
    """A parameter whose rows the simulator fills per item from a process' step function."""

    param: int
    place: Place
    op: object

    @property
    def rows(self) -> int:
        """Number of rows of the table."""
        return self.place.shape[0]


@dataclass(frozen=True)
class StoredWeight:
    """A parameter that belongs to objects of a model, and may change between runs."""

    name: str
    shape: tuple[int, ...]  # outside; of an item, if each of the minibatch has its own
    members: tuple[str, ...]  # names of what it holds; if several, along the first axis
    trainable: bool = True
    turned: bool = False  # members are transposes of Nengo's


@dataclass(frozen=True, eq=False, repr=False)
class Plan:
    """What the planner makes of a model."""

    pieces: tuple[Piece, ...]
    dtype: str
    dt: float
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    results: tuple[int, ...]  # number of the value that each output is
    params: tuple[Param, ...]
    # initial values, not to be written to: one flat array per parameter, or in a weight's shape
    param_values: tuple
    weights: tuple[StoredWeight | None, ...]  # per parameter; None: a constant
    rngs: tuple[RngSlot, ...] = ()
    tables: tuple[TableSlot, ...] = ()
    callbacks: tuple = ()  # `.lower.CallbackSpec` by the index that programs have for it
    notes: tuple[str, ...] = ()  # what the passes did and why it runs where, for people
    places: Places | None = None  # where signals are stored; None: there are none
    inference_only: bool = False  # there is no training mode, whatever programs have
    feeds: tuple[str, ...] = ()  # how the values of inputs are made, for people
    # per call of TensorFlow, lines that say how it is called, for people
    call_modes: tuple[tuple[str, ...], ...] = ()
    # compiles a program to what says which of its ops the engine runs as one (`fused`), how it runs
    # `loops` and how threads share ops out (`divided`); None: whoever runs the plan doesn't say
    compiled: Callable[[Program, str], Any] | None = None
    items: int = 0  # of a minibatch; 0: not known
    on_gpu: bool = False  # parameters and state are variables on TensorFlow's GPU

    @property
    def trainable(self) -> tuple[bool, ...]:
        """Per parameter: whether it is to be trained."""
        return tuple(weight is not None and weight.trainable for weight in self.weights)

    @property
    def runs(self) -> tuple[Run, ...]:
        """The programs, those within loops too, by the numbers that they have elsewhere."""
        return runs_of(self.pieces)

    @property
    def calls(self) -> tuple[Call, ...]:
        """The calls of TensorFlow, likewise."""
        return calls_of(self.pieces)

    @property
    def trains(self) -> bool:
        """Whether there is a training mode: a training form of every program."""
        return not self.inference_only and all(run.training is not None for run in self.runs)

    def values_per_step(self, shares: Sequence[float] | None = None) -> float:
        """How many numbers an item takes and gives in a step, and pieces hand on between them.

        Parameters
        ----------
        shares : sequence of float, optional
            Per output, what part of its steps it gives; all by default.
        """
        ports = list(self.inputs)
        if len(self.pieces) > 1:
            ports += [port for run in self.runs for port in run.program.outputs]
        shapes = [shape for c in self.calls for shape in (*c.call.ins, *c.call.outs)]
        sizes = [port.size for port in ports] + [math.prod(shape) for shape in shapes]
        parts = [1.0] * len(self.outputs) if shares is None else shares
        given = zip(self.outputs, parts, strict=True)
        return sum(sizes) + sum(port.size * part for port, part in given)

    @property
    def single(self) -> bool:
        """Whether it is one program, which has windows and may stop before all steps are done."""
        return len(self.pieces) == 1 and isinstance(self.pieces[0], Run)

    def steps_at_once(self, items: int, shares: Sequence[float] | None = None) -> int:
        """Steps of so many items whose values are few enough to be there at once; at least 1.

        ``shares`` as of `values_per_step`.
        """
        row = self.values_per_step(shares) * items * np.dtype(self.dtype).itemsize
        return max(1, min(AT_ONCE_STEPS, int(AT_ONCE_BYTES / max(1.0, row))))

    def with_runs(self, change: Callable[[Run], Run]) -> Plan:
        """Return the plan with other programs, ``change(run)`` for each."""

        def inner(piece: Run | Call) -> Run | Call:
            return change(piece) if isinstance(piece, Run) else piece

        def changed(piece: Piece) -> Piece:
            if isinstance(piece, Loop):
                return replace(piece, pieces=tuple(map(inner, piece.pieces)))
            return inner(piece)

        return replace(self, pieces=tuple(map(changed, self.pieces)))

    def last_only(self, keep_history: Sequence[bool]) -> list[list[bool]]:
        """For every output of every program, whether nobody needs more than its last step.

        Parameters
        ----------
        keep_history : sequence of bool
            For every output of the plan, whether all of its steps are wanted.
        """
        kept = {i for i, keep in zip(self.results, keep_history, strict=True) if keep}
        kept.update(i for piece in self.pieces for i in piece.inputs)
        kept.update(i for piece in self.pieces if isinstance(piece, Loop) for i in piece.made)
        return [[i not in kept for i in piece.outputs] for piece in self.runs]

    def only_program(self) -> Program:
        """Return the program of a plan that has a single one; `BuildError` if it has more."""
        if len(self.pieces) != 1:
            raise BuildError(
                f"expected a plan of 1 program, got {len(self.pieces)} pieces: go through `pieces`"
            )
        (piece,) = self.pieces
        if not isinstance(piece, Run):
            raise BuildError(f"expected a plan of 1 program, got {piece!r}: go through `pieces`")
        return piece.program

    def place(self, signal: Signal) -> Place | None:
        """Return where a signal (or view) is stored; None if it is not stored."""
        return None if self.places is None else self.places.find(signal)

    def __str__(self) -> str:
        return show.text(self)

    def __repr__(self) -> str:
        names = ("pieces", "inputs", "outputs", "params", "callbacks")
        counts = ", ".join(f"{name}: {len(getattr(self, name))}" for name in names)
        return f"<Plan, {self.dtype}, dt={self.dt:g} s, {counts}; print() shows all of it>"


def plan_of(run: Run, param_values: Sequence, **fields: Any) -> Plan:
    """Make a plan of a single piece."""
    program = run.program
    fields.setdefault(
        "weights", tuple(StoredWeight(p.name, (p.size,), (p.name,)) for p in program.params)
    )
    return Plan(
        pieces=(run,),
        dtype=program.dtype,
        dt=program.dt,
        inputs=program.inputs,
        outputs=program.outputs,
        results=run.outputs,
        params=program.params,
        param_values=tuple(param_values),
        **fields,
    )
