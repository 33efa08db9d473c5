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
from ..ir.lowering import TENSOR_CODE, Context, describe, tensor_code


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
            warn_if_known(cls, stacklevel=3)
            TENSOR_CODE[cls] = make(function)
        return function

    return register


def warn_if_known(cls: type, stacklevel: int) -> None:
    """Warn if a class that gets TensorFlow code has some."""
    if tensor_code(cls) is not None:
        warnings.warn(
            f"{cls.__name__} has TensorFlow code already; the new one takes its place",
            UserWarning,
            stacklevel=stacklevel,
        )


def _name(function: Callable, op: Operator) -> str:
    name = getattr(function, "__name__", type(function).__name__)
    return f"TensorFlow function '{name}' for {describe(op)}"


def _shapes(signals: Sequence[Signal]) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(signal.shape) for signal in signals)


def _operator_code(function: Callable) -> Callable:
    def lower(op: Operator, ctx: Context) -> list:
        reads = [signal for signal in op.reads if signal is not ctx.time]
        ins, outs = [*reads, *op.updates], [*op.sets, *op.incs, *op.updates]

        def func(*values: Any) -> Any:
            found = function(op, ctx.dt, *(values if ins else ()))
            return found if outs else []

        # without any argument, nothing but the time says how many steps are asked for
        name = _name(function, op)
        call = TensorCall(func, name, _shapes(ins), _shapes(outs), pass_time=not ins)
        return ctx.tensor(call, reads, op.sets, op.incs, op.updates)

    return lower


def _neuron_code(function: Callable) -> Callable:
    def lower(op: SimNeurons, ctx: Context) -> list:
        names, states = list(op.state), list(op.state.values())

        def func(J: Any, *values: Any) -> Any:
            state = dict(zip(names, values, strict=True))
            found = function(op.neurons, ctx.dt, J, **state)
            results = neuron_results(found, state, _name(function, op))
            return results if state else results[0]

        ins, outs = _shapes([op.J, *states]), _shapes([op.output, *states])
        call = TensorCall(func, _name(function, op), ins, outs)
        return ctx.tensor(call, [op.J], sets=[op.output], advances=states)

    return lower


def neuron_results(found: Any, state: dict, name: str, states_stay: bool = False) -> list:
    """The output of neurons and their new states, from what code returned: a tensor or a tuple.

    The output may stand for itself if states may stay as they are.
    """
    results = list(found) if isinstance(found, (list, tuple)) else [found]
    if states_stay and len(results) == 1:
        results += state.values()
    if len(results) != 1 + len(state):
        raise ValueError(
            f"{name}: expected the output and {len(state)} states "
            f"({', '.join(state) or 'none'}), got {len(results) - 1} states"
        )
    return results


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
