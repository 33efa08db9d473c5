"""Lowering: from Nengo's operators to the planner's own, or to calls of Python."""

from dataclasses import dataclass

import numpy as np
from nengo.builder.operator import SimPyFunc
from nengo.builder.processes import SimProcess
from nengo.exceptions import BuildError
from nengo.utils.graphs import toposort
from nengo.utils.simulator import operator_dependency_graph

from .. import ops as _registers_lowerings  # noqa: F401
from ..ir.lowering import Context, NotNative, describe, lowering_of
from ..ir.program import Port
from ..ir.refs import IrOp
from .draft import Draft
from .graph import check_acyclic


@dataclass(frozen=True)
class CallbackSpec:
    """A Nengo operator that runs in Python.

    The simulator calls ``op.make_step`` once per minibatch item on arrays for ``ins``, ``outs``
    and ``states``; the program's callback has one argument for each of them, in this order.
    An operator with an attribute ``stands_for`` takes the place of an operator of the model: it
    makes its ``output`` from ``data`` of the outside or from nothing but the time.
    """

    op: object  # the Nengo operator
    ins: tuple  # signals it reads, but not the time
    outs: tuple  # signals it overwrites, without looking at the old value
    states: tuple  # signals it changes: the array must hold the present value
    name: str
    reason: str  # why it is not native


def lower(draft: Draft) -> Draft:
    """Pass: Nengo's operators as ops, and an op for every model input and output."""
    given, ctx = draft.given, Context(draft.given)
    # operators of signals that the outside sets are dropped
    fed = {signal.base for _, signal in given.inputs}
    kept = [op for op in given.operators if not (op.sets and all(s.base in fed for s in op.sets))]
    ctx.count_uses(kept)
    made = {op: _lower_operator(op, ctx) for op in kept if not hasattr(op, "stands_for")}
    sources = [op for op in kept if hasattr(op, "stands_for")]
    inputs = given.inputs
    if ctx.callbacks:
        made.update((op, [callback(op, ctx, op.not_native)]) for op in sources)
    else:  # nothing calls Python while the model runs, so that they may run ahead
        outputs = {op.data: op.output for op in sources if op.data is not None}
        inputs = [(name, outputs.get(signal, signal)) for name, signal in inputs]
    ops = [lowered for op in kept for lowered in made.get(op, ())]
    ops += port_ops(ctx, inputs, given.outputs)
    members = (signal for weight in given.weights for signal in weight.members.values())
    weights = tuple(ctx.var(signal) for signal in members)
    return draft.change(
        ops=tuple(ops),
        inputs=tuple(Port(name, signal.size) for name, signal in given.inputs),
        outputs=tuple(Port(name, signal.size) for name, signal in given.outputs),
        callbacks=tuple(ctx.callbacks),
        calls=tuple(ctx.calls),
        weights=weights,
    )


def _lower_operator(op, ctx):
    """Return the ops of an operator, or a call of its step in Python."""
    if not hasattr(op, "make_step"):
        return []
    ctx.op = op
    try:
        if (function := lowering_of(op)) is None:
            reason = f"there is no native form of {type(op).__name__}"
            raise NotNative(getattr(op, "not_native", reason))
        return function(op, ctx)
    except NotNative as e:
        return [callback(op, ctx, str(e))]


def refuse_cycles(draft: Draft) -> Draft:
    """Pass: no ops of one step may wait for each other, nor those that simplification removes."""
    check_acyclic(draft.graph)
    return draft


def order_callbacks(draft: Draft) -> Draft:
    """Pass: Python functions run in the order in which Nengo would call them."""
    if not draft.callbacks:
        return draft
    ordered = toposort(operator_dependency_graph(draft.given.operators))
    return draft.change(order={op: i for i, op in enumerate(ordered)})


def callback(op, ctx, reason):
    """The universal fallback: run the operator's own step function in Python."""
    # these assign the whole output; others may look at what it held before
    sets, incs, updates = (tuple(filter(_is_handed, s)) for s in (op.sets, op.incs, op.updates))
    overwrites = type(op) in (SimPyFunc, SimProcess) or getattr(op, "overwrites", False)
    outs = sets if overwrites else ()
    states = (() if overwrites else sets) + updates + incs
    # the time is handed over apart from the arguments, exact also in single precision
    ins = tuple(s for s in op.reads if _is_handed(s) and s is not ctx.time)
    _refuse_complex(op, (*ins, *outs, *states))
    args = {f"in{i}": ctx.ref(s) for i, s in enumerate(ins)}
    args.update((f"out{i}", ctx.ref(s, "write")) for i, s in enumerate(outs))
    access = ["advance"] * (len(states) - len(updates) - len(incs))
    access += ["update"] * len(updates) + ["inc"] * len(incs)
    args.update(
        (f"state{i}", ctx.ref(s, a)) for i, (s, a) in enumerate(zip(states, access, strict=True))
    )
    spec = CallbackSpec(op, ins, outs, states, callback_name(op), _short(reason))
    ctx.callbacks.append(spec)
    ctx.op = op
    return ctx.make("callback", args, {"index": len(ctx.callbacks) - 1}, spec.name)


def _is_handed(signal):
    """Whether a signal has values that go between the program and Python."""
    return not signal.sparse and signal.size > 0


def _refuse_complex(op, signals):
    for signal in signals:
        if np.issubdtype(signal.dtype, np.complexfloating):
            raise BuildError(
                f"{callback_name(op)}: expected real numbers in signal {signal.name}, got"
                f" {signal.dtype}; keep real and imaginary parts in an array each"
            )


def callback_name(op):
    """What a callback calls, for people: the object in Python, and the Nengo object it is for."""
    op = getattr(op, "stands_for", op)
    signals = [*op.sets, *op.incs, *op.updates]
    if isinstance(op, SimPyFunc):
        return function_label(op)
    inner = getattr(op, "process", None) or getattr(op, "neurons", None)
    if inner is None:
        return f"{type(op).__name__} of {describe(op)}"
    kind = "process" if hasattr(op, "process") else "neuron type"
    target = f" for {signals[0].name}" if signals else ""
    return f"{kind} {_short(inner)}{target}"


def function_label(op):
    """Name of the function of an operator with attributes ``fn``, ``output`` and ``x``."""
    signal = getattr(op, "x", None) if op.output is None else op.output
    name = signal.name if signal is not None else ""
    # a signal is called after its object and what it is to it
    where = f" for {name.removesuffix('.out').removesuffix('.in')}" if name else ""
    code = getattr(op.fn, "__code__", None)
    if code is not None and code.co_name == "<lambda>":
        where += f" ({code.co_filename.rsplit('/', 1)[-1]}:{code.co_firstlineno})"
    return f"function '{getattr(op.fn, '__name__', type(op.fn).__name__)}'{where}"


def _short(obj, limit=120):
    """The object in one line that is not too long."""
    text = " ".join(str(obj).split())
    return text if len(text) <= limit else text[: limit - 3] + "..."


def port_ops(ctx, inputs, outputs):
    """The ops at the program's edges."""
    result = []
    for i, (name, signal) in enumerate(inputs):
        result.append(IrOp("input", name, {"dst": ctx.vector(signal, "write")}, {"index": i}))
    for i, (name, signal) in enumerate(outputs):
        result.append(IrOp("output", name, {"src": ctx.ref(signal, "final")}, {"index": i}))
    return result
