"""Lowering: from Nengo's operators to the planner's own, one function per operator class.

The functions live with their families in ``nengo_dl.ops``; they are found by exact type.
Whatever has none runs as a Python callback.
"""

from dataclasses import dataclass, replace

import numpy as np

from .ir import IrOp, Ref, Var, whole


class NotNative(Exception):
    """An operator that no native op covers; the message says why."""


@dataclass(frozen=True)
class CallbackSpec:
    """A Nengo operator that runs in Python.

    The simulator calls ``op.make_step`` once per minibatch item on arrays for ``ins``, ``outs``
    and ``states``; the program's callback has one argument for each of them, in this order.
    """

    op: object  # the Nengo operator
    ins: tuple  # signals it reads, but not the time
    outs: tuple  # signals it overwrites, without looking at the old value
    states: tuple  # signals it changes: the array must hold the present value
    name: str
    reason: str  # why it is not native


LOWERINGS = {}


def lowers(*classes):
    """Register a function ``(op, ctx) -> [IrOp]`` for exact operator classes."""

    def register(function):
        for cls in classes:
            if cls in LOWERINGS:
                raise ValueError(f"{cls.__name__} is lowered twice")
            LOWERINGS[cls] = function
        return function

    return register


class Context:
    """What lowering functions need: variables of signals, the step size, new ops."""

    def __init__(self, dt, time, trainable, constant, surrogate=None, names=None):
        self.dt = dt
        self.time = time
        self.callbacks = []
        self._vars = {}
        self._trainable = trainable
        self._surrogate = surrogate
        self._names = {} if names is None else names
        self._constant = set(constant)
        self._writers = {}
        self.op = None
        self.rank = 0

    def count_uses(self, operators):
        """Remember how many operators write each base signal."""
        for op in operators:
            for sig in {s.base for s in op.sets + op.incs + op.updates}:
                self._writers[sig] = self._writers.get(sig, 0) + 1

    def written_once(self, signal):
        """Whether a single operator writes to this signal's memory."""
        return self._writers.get(signal.base, 0) == 1

    def var(self, signal):
        """The variable that holds a signal (that of its base for a view)."""
        base = signal.base
        if base not in self._vars:
            initial = csr(base)[0] if base.sparse else np.asarray(base.initial_value).ravel()
            initial = initial.astype(np.float64) if initial.dtype.kind != "f" else initial
            trainable = base not in self._constant and bool(
                self._trainable is not None and self._trainable(base)
            )
            name = self._names.get(base, base.name)
            self._vars[base] = Var(name, initial.size, initial, base, trainable)
        return self._vars[base]

    def vars(self):
        """All variables of signals made so far."""
        return dict(self._vars)

    def ref(self, signal, access="read"):
        """Reference to a signal or view."""
        var = self.var(signal)
        if signal.sparse:
            return whole(var, access=access)
        if signal.base is signal and signal.initial_value.flags.c_contiguous:
            return whole(var, signal.shape, access)
        if any(s % signal.itemsize for s in signal.strides) or signal.offset % signal.itemsize:
            raise NotNative("it has a view that does not start at whole elements")
        return Ref(var, int(signal.elemoffset), signal.shape, signal.elemstrides, access)

    def vector(self, signal, access="read"):
        """Reference to a signal as a vector (its elements in C order)."""
        ref = self.ref(signal, access).as_vector()
        if ref is None:
            raise NotNative(f"{signal.name} is not evenly spaced in memory")
        return ref

    def temporary(self, name, size):
        """A new variable that is set in every step."""
        return Var(name, size, np.zeros(size))

    def parameter(self, name, value, per_item=False):
        """A new variable that is never written."""
        value = np.asarray(value, dtype=np.float64).ravel()
        return Var(name, value.size, value, per_item=per_item)

    def surrogate(self, op):
        """The surrogate (`nengo_dl.surrogates`) of a neuron operator, or None."""
        return None if self._surrogate is None else self._surrogate(op)

    def make(self, kind, args, attrs=None, name=None):
        """A new op for the operator being lowered."""
        attrs = {} if attrs is None else attrs
        return IrOp(kind, name or describe(self.op), args, attrs, self.op, self.rank)


def describe(op):
    """Name of an operator for people: its tag, or the signal it writes."""
    signals = [*op.sets, *op.incs, *op.updates, *op.reads]
    return str(op.tag or (signals[0].name if signals else type(op).__name__))


def csr(signal):
    """Data, column indices and row pointers of a sparse signal, with rows in order."""
    matrix = signal.initial_value
    if hasattr(matrix, "tocsr"):
        matrix = matrix.tocsr()
        return (
            np.asarray(matrix.data),
            np.asarray(matrix.indices),
            np.asarray(matrix.indptr),
        )
    rows, cols = np.asarray(matrix.indices).T
    order = np.argsort(rows, kind="stable")
    indptr = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=matrix.shape[0]))])
    return np.asarray(matrix.data)[order], cols[order], indptr


def lower(operators, ctx, inputs=()):
    """Lower all operators.

    Parameters
    ----------
    operators : list
        Nengo operators, in the order of the model.
    ctx : Context
    inputs : list of (str, Signal)
        Signals that the outside sets: operators that set them are dropped.
    """
    from .. import ops  # noqa: F401 (registers the lowering functions)

    fed = {signal.base for _, signal in inputs}
    kept = [op for op in operators if not (op.sets and all(s.base in fed for s in op.sets))]
    ctx.count_uses(kept)
    result = []
    for rank, op in enumerate(kept):
        if not hasattr(op, "make_step"):
            continue
        ctx.op, ctx.rank = op, rank
        try:
            if type(op) not in LOWERINGS:
                raise NotNative(f"there is no native form of {type(op).__name__}")
            result.extend(LOWERINGS[type(op)](op, ctx))
        except NotNative as e:
            result.append(callback(op, ctx, str(e)))
    return result


def callback(op, ctx, reason):
    """The universal fallback: run the operator's own step function in Python."""
    from nengo.builder.operator import SimPyFunc
    from nengo.builder.processes import SimProcess

    # these assign the whole output; others may look at what it held before
    sets = tuple(s for s in op.sets if not s.sparse)
    overwrites = type(op) in (SimPyFunc, SimProcess) or getattr(op, "overwrites", False)
    outs = sets if overwrites else ()
    states = (() if overwrites else sets) + tuple(op.updates) + tuple(op.incs)
    # the time is handed over apart from the arguments, exact also in single precision
    ins = tuple(s for s in op.reads if not s.sparse and s is not ctx.time)
    args = {f"in{i}": ctx.ref(s) for i, s in enumerate(ins)}
    args.update((f"out{i}", ctx.ref(s, "write")) for i, s in enumerate(outs))
    access = ["advance"] * (len(states) - len(op.updates) - len(op.incs))
    access += ["update"] * len(op.updates) + ["inc"] * len(op.incs)
    args.update(
        (f"state{i}", ctx.ref(s, a)) for i, (s, a) in enumerate(zip(states, access, strict=True))
    )
    spec = CallbackSpec(op, ins, outs, states, callback_name(op), _short(reason))
    ctx.callbacks.append(spec)
    return ctx.make("callback", args, {"index": len(ctx.callbacks) - 1}, spec.name)


def callback_name(op):
    """What a callback calls, for people: the object in Python, and the Nengo object it is for."""
    signals = [*op.sets, *op.incs, *op.updates]
    if hasattr(op, "fn"):
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
        result.append(
            IrOp(
                "input",
                name,
                {"dst": replace(ctx.vector(signal, "write"))},
                {"index": i},
            )
        )
    for i, (name, signal) in enumerate(outputs):
        result.append(IrOp("output", name, {"src": ctx.ref(signal, "final")}, {"index": i}))
    return result
