"""What the lowering functions in ``nengo_dl.ops`` are made of, one function per operator class.

They are found by exact type. Whatever has none runs as a Python callback.
"""

from dataclasses import replace

import numpy as np
from nengo import synapses

from .given import Given
from .refs import IrOp, Ref, Var, whole
from .signals import csr, short_name


class NotNative(Exception):
    """An operator that no native op covers; the message says why."""


LOWERINGS = {}
# class of an operator, neuron type or process -> a function as above, which goes first; users'
TENSOR_CODE = {}
# the same in tables that users write themselves: functions of a class, which return it or None
TENSOR_TABLES = []


def lowers(*classes):
    """Register a function ``(op, ctx) -> [IrOp]`` for exact operator classes."""

    def register(function):
        for cls in classes:
            if cls in LOWERINGS:
                raise ValueError(f"{cls.__name__} is lowered twice")
            LOWERINGS[cls] = function
        return function

    return register


def lowering_of(op):
    """The function for an operator, by exact type, or None."""
    for part in (getattr(op, "neurons", None), getattr(op, "process", None), op):
        if (found := tensor_code(type(part))) is not None:
            return found
    return LOWERINGS.get(type(op))


def tensor_code(cls):
    """The function that users have for a class, in its present state, or None."""
    finders = (TENSOR_CODE.get, *TENSOR_TABLES)
    return next((found for find in finders if (found := find(cls)) is not None), None)


class Context:
    """What lowering functions need: variables of signals, the step size, new ops."""

    def __init__(self, given: Given):
        self.dt, self.dtype = given.dt, given.dtype
        self.time, self.simulation = given.time, given.simulation
        self.callbacks = []
        self.calls = []
        self.op = None  # the operator that is being lowered
        self._given = given
        self._vars = {}
        self._found = {}
        self._writers = {}
        self._weights = {  # base signal -> number of its weight, name
            signal: (number, name)
            for number, weight in enumerate(given.weights)
            for name, signal in weight.members.items()
        }

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
            named = (self._given.names or {}).get(base, base.name)
            number, name = self._weights.get(base, (-1, short_name(named)))
            self._vars[base] = Var(name, initial.size, initial, base, number)
        return self._vars[base]

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

    def once(self, function, obj):
        """``function(obj, dt)``, the same for equal objects of Nengo: each connection has its own.

        What a user's class says of equality is not relied on.
        """
        key = (function, obj if type(obj).__module__ == synapses.__name__ else id(obj))
        if key not in self._found:
            self._found[key] = function(obj, self.dt)
        return self._found[key]

    def surrogate(self, op):
        """The surrogate (`nengo_dl.surrogates`) of a neuron operator, or None."""
        return None if self._given.surrogate is None else self._given.surrogate(op)

    def tensor(self, call, ins, sets=(), incs=(), updates=(), advances=()):
        """Ops for a call of TensorFlow (`.calls.TensorCall`) on signals.

        Its arguments are ``ins``, and what ``updates`` and ``advances`` were before the step. It
        returns what ``sets`` are in this step, by what ``incs`` grow, what ``updates`` are from the
        next step on, and what ``advances``, which depend on the step before, are in this one.
        """
        after, results, given = [], [], [self.ref(signal) for signal in (*ins, *updates)]
        for signals, access in ((sets, "write"), (incs, "inc"), (updates, "update")):
            for signal in signals:
                results.append(self._result(signal, access, after))
        for signal in advances:
            before = Var(f"{signal.name} before", signal.size, self.var(signal).initial)
            given.append(whole(before, signal.shape))
            results.append(self._result(signal, "write", after))
            new = replace(results[-1], access="read").as_vector()
            after.append(self._held(new, whole(before, access="update"), signal.name))
        args = {f"in{i}": ref for i, ref in enumerate(given)}
        args.update((f"out{i}", ref) for i, ref in enumerate(results))
        self.calls.append(call)
        return [self.make("tensor", args, {"index": len(self.calls) - 1}, call.name), *after]

    def _result(self, signal, access, after):
        """Where a call puts a result; ops that take it to its signal are added to ``after``."""
        ref = self.ref(signal, access)
        if access == "write":
            return ref
        new = self.temporary(f"{signal.name} anew", signal.size)
        value = whole(new, signal.shape)
        if access == "inc":
            after.append(self.make("copy", {"src": value, "dst": ref}, {}, signal.name))
        else:
            after.append(self._held(whole(new), self.vector(signal, access), signal.name))
        return replace(value, access="write")

    def _held(self, value, ref, name):
        """An op that hands a value to the next step."""
        return self.make("copy", {"src": value, "dst": ref}, {}, name)

    def make(self, kind, args, attrs=None, name=None):
        """A new op for the operator being lowered."""
        attrs = {} if attrs is None else attrs
        return IrOp(kind, name or describe(self.op), args, attrs, self.op)


def describe(op):
    """Name of an operator for people: its tag, or the signal it writes."""
    signals = [*op.sets, *op.incs, *op.updates, *op.reads]
    return short_name(op.tag or (signals[0].name if signals else type(op).__name__))
