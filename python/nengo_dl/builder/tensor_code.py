"""TensorFlow code for operators, neuron types and processes of users."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import nengo
from nengo.builder import Operator, Signal
from nengo.builder.neurons import SimNeurons
from nengo.builder.processes import SimProcess
from nengo.exceptions import BuildError

from ..ir.calls import TensorCall
from ..ir.lowering import TENSOR_CODE, Context, describe


def tensorflow(*classes: type) -> Callable[[Callable], Callable]:
    """Register TensorFlow code for operators, neuron types or processes of exactly these classes.

    What it is registered for runs that code in `nengo_dl.Simulator`, instead of its own in Python,
    and passes gradients. All tensors have the minibatch as their first axis.

    Parameters
    ----------
    *classes : type
        Subclasses of `nengo.builder.Operator`, whose code is ``f(op, dt, *values)``. Values are
        those of ``op.reads`` but the time, then what ``op.updates`` were before the step. It
        returns what ``op.sets`` are, by what ``op.incs`` grow, and what ``op.updates`` are from
        the next step on; a list or tuple if these are several.

        Subclasses of `nengo.neurons.NeuronType`, whose code is ``f(neurons, dt, J, **state)``: it
        returns the output, or a tuple of it and the new states in their order.

        Subclasses of `nengo.Process`, whose code is ``f(process, dt, t, x, **state)`` and returns
        likewise; ``x`` is None without input.

    Returns
    -------
    callable
        A decorator.
    """

    def register(function: Callable) -> Callable:
        for cls in classes:
            kinds = (
                (Operator, _operator_code),
                (nengo.neurons.NeuronType, _neuron_code),
                (nengo.Process, _process_code),
            )
            make = next((make for base, make in kinds if issubclass(cls, base)), None)
            if make is None:
                raise BuildError(
                    "expected subclasses of Operator, NeuronType or Process, got "
                    f"{getattr(cls, '__name__', cls)}"
                )
            register_lowering(cls, make(function))
        return function

    return register


def register_lowering(cls: type, lowering: Callable) -> None:
    """Let the planner call ``lowering(op, ctx)`` for operators that have to do with a class."""
    if cls in TENSOR_CODE:
        warnings.warn(
            f"{cls.__name__} has TensorFlow code already; the new one takes its place",
            UserWarning,
            stacklevel=4,
        )
    TENSOR_CODE[cls] = lowering


def _name(function: Callable, op: Operator) -> str:
    name = getattr(function, "__name__", type(function).__name__)
    return f"TensorFlow function '{name}' for {describe(op)}"


def _shapes(signals: Sequence[Signal]) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(signal.shape) for signal in signals)


def _operator_code(function: Callable) -> Callable:
    def lower(op: Operator, ctx: Context) -> list:
        reads = [signal for signal in op.reads if signal is not ctx.time]
        outs = [*op.sets, *op.incs, *op.updates]
        call = TensorCall(
            lambda *values: function(op, ctx.dt, *values),
            _name(function, op),
            _shapes([*reads, *op.updates]),
            _shapes(outs),
        )
        return ctx.tensor(call, reads, op.sets, op.incs, op.updates)

    return lower


def _neuron_code(function: Callable) -> Callable:
    return neuron_lowering(function, takes_training=False)


def neuron_lowering(function: Callable, takes_training: bool) -> Callable:
    """The lowering of neuron types that ``function`` runs, with ``training=`` if it takes that."""

    def lower(op: SimNeurons, ctx: Context) -> list:
        names, states = list(op.state), list(op.state.values())

        def func(J: Any, *values: Any, **mode: bool) -> Any:
            state = dict(zip(names, values, strict=True))
            return function(op.neurons, ctx.dt, J, **mode, **state)

        call = TensorCall(
            func,
            _name(function, op),
            _shapes([op.J, *states]),
            _shapes([op.output, *states]),
            takes_training=takes_training,
        )
        return ctx.tensor(call, [op.J], sets=[op.output], advances=states)

    return lower


def _process_code(function: Callable) -> Callable:
    def lower(op: SimProcess, ctx: Context) -> list:
        names, states = list(op.state), list(op.state.values())
        inputs = [] if op.input is None else [op.input]
        output = op.sets or op.incs or [s for s in op.updates if s not in states]
        ins = [*inputs, *(output if op.mode == "update" else []), *states]

        def func(t: Any, *values: Any) -> Any:
            state = values[len(values) - len(states) :]
            x = values[0] if inputs else None
            return function(op.process, ctx.dt, t, x, **dict(zip(names, state, strict=True)))

        name, outs = _name(function, op), _shapes([*output, *states])
        call = TensorCall(func, name, _shapes(ins), outs, pass_time=True)
        updates = [*(output if op.mode == "update" else []), *states]
        return ctx.tensor(call, inputs, list(op.sets), list(op.incs), updates)

    return lower
