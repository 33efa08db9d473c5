"""The planner's intermediate form: variables, strided references to them, operators.

Everything here is frozen: a pass takes a list of `IrOp` and returns a new list.
"""

from dataclasses import dataclass, field, replace
from math import prod

import numpy as np
from numpy.lib.stride_tricks import as_strided

from .program import grid
from .table import remembered

# What an argument does, in the order in which it happens within a step.
#   write    every element is overwritten; readers of the same step see the new value
#   advance  the same, but computed from the value of the step before (membrane voltage)
#   inc      added to what was written
#   read     reads what was written and incremented
#   update   gives the value of the next step; readers of this step see the old one
#   final    reads at the very end of the step, after updates (model outputs)
ACCESSES = ("write", "advance", "inc", "read", "update", "final")
PHASE = {"write": 0, "advance": 0, "inc": 1, "read": 2, "update": 3, "final": 4}
READS = ("read", "final")
WRITES = ("write", "advance", "inc", "update")

# What of references is compared to tell whether they have elements in common:
LISTED = 1 << 22  # the elements of both, up to so many
MARKED = 1 << 30  # a mark for each element between the first and the last, up to so many


@dataclass(frozen=True, eq=False)
class Var:
    """Memory of one base signal, or a temporary of the planner.

    ``initial`` is flat and None where the value of the step before is never needed.
    ``per_item`` marks parameters that the simulator fills per minibatch item.
    """

    name: str
    size: int
    initial: np.ndarray = None
    signal: object = None
    weight: int = -1  # number of the weight that it is of: its value is never relied on
    per_item: bool = False
    parts: tuple = ()  # (Var, offset): variables that were joined into this one
    rows: int = 0  # > 0: a matrix of so many rows, stored column by column

    def __repr__(self):
        return f"Var({self.name}, {self.size})"


@dataclass(frozen=True)
class Ref:
    """A strided view of a variable and what is done with it.

    ``index``, if any, lists the elements of the (1-D) view that are meant.
    """

    var: Var
    offset: int
    shape: tuple
    strides: tuple
    access: str = "read"
    index: tuple = None

    @remembered
    def size(self):
        """Number of elements of the view."""
        return prod(self.shape)

    @remembered
    def span(self):
        """First and last+1 element touched."""
        if self.index is not None:
            return int(self.elements.min()), int(self.elements.max()) + 1
        lo = hi = self.offset
        for n, s in zip(self.shape, self.strides, strict=True):
            if n == 0:
                return self.offset, self.offset
            lo, hi = lo + min(0, (n - 1) * s), hi + max(0, (n - 1) * s)
        return lo, hi + 1

    @remembered
    def elements(self):
        """All elements of the variable that the view names, in C order."""
        total = grid(self.shape, self.strides) + self.offset
        return total if self.index is None else total[np.asarray(self.index, dtype=np.int64)]

    @remembered
    def solid(self):
        """Whether the view covers its span without gaps."""
        if self.index is not None:
            lo, hi = self.span
            return len(np.unique(self.elements)) == hi - lo
        expected = 1
        dims = [(abs(s), n) for n, s in zip(self.shape, self.strides, strict=True) if n > 1 and s]
        for stride, n in sorted(dims):
            if stride != expected:
                return False
            expected *= n
        return True

    @remembered
    def full(self):
        """Whether every element of the variable is named."""
        return self.span == (0, self.var.size) and self.solid

    @remembered
    def flat(self):
        """The same elements as ``(offset, n, stride)``, or None if that is impossible."""
        if self.index is not None:
            return None
        dims = [(n, s) for n, s in zip(self.shape, self.strides, strict=True) if n != 1]
        if not dims:
            return self.offset, 1, 1
        expected = dims[-1][1]
        for n, s in reversed(dims):
            if s != expected:
                return None
            expected = s * n
        return self.offset, self.size, dims[-1][1]

    def as_vector(self):
        """The same view as 1-D, or None if its elements are not equally spaced."""
        if self.flat is None:
            return None
        offset, n, stride = self.flat
        return replace(self, offset=offset, shape=(n,), strides=(stride,))

    def overlaps(self, other):
        """Whether both name some element in common (may err on the side of yes)."""
        return self.meets(other) is not False

    def meets(self, other):
        """Whether both name some element in common; None if they are too large to tell."""
        (a, b), (c, d) = self.span, other.span
        if a >= d or c >= b:
            return False
        if self.solid and other.solid:
            return True
        if self.flat and other.flat and abs(self.flat[2]) == abs(other.flat[2]) > 0:
            return (a - c) % abs(self.flat[2]) == 0
        if max(self.size, other.size) <= LISTED:
            return bool(np.isin(self.elements, other.elements).any())
        first, last = min(a, c), max(b, d)
        if last - first > MARKED:
            return None
        marks = np.zeros(last - first, dtype=bool)
        view, place = self._among(marks, first)
        view[place] = True
        view, place = other._among(marks, first)
        return bool(view[place].any())

    def _among(self, marks, first):
        """A view of marks for the elements from ``first`` on, and where in it are those of this."""
        if self.index is not None:
            return marks, self.elements - first
        strides = [s * marks.itemsize for s in self.strides]
        return as_strided(marks[self.offset - first :], self.shape, strides), ...


@dataclass(frozen=True, eq=False)
class IrOp:
    """One operation on references; ``attrs`` and ``args`` carry the names of docs/PROGRAM.md."""

    kind: str
    name: str
    args: dict
    attrs: dict = field(default_factory=dict)
    source: object = None  # the Nengo operator it comes from

    def refs(self, *accesses):
        """Iterate over ``(argument name, Ref)``, of the given accesses if any."""
        if not accesses:
            return iter(self.args.items())
        return iter([pair for pair in self.args.items() if pair[1].access in accesses])

    def with_args(self, **args):
        """A copy with some arguments replaced; None removes one."""
        new = {k: v for k, v in {**self.args, **args}.items() if v is not None}
        return replace(self, args=new)


def whole(var, shape=None, access="read"):
    """Reference to a whole variable, in C order."""
    shape = (var.size,) if shape is None else tuple(shape)
    strides, step = [], 1
    for n in reversed(shape):
        strides.append(step)
        step *= n
    return Ref(var, 0, shape, tuple(reversed(strides)), access)


def broadcast(ref, shape):
    """View a reference with a larger shape, as NumPy broadcasts."""
    pad = len(shape) - len(ref.shape)
    drop = max(0, -pad)
    if any(n != 1 for n in ref.shape[:drop]):
        raise ValueError(f"can't broadcast {ref.shape} to {tuple(shape)}")
    dims = [(1, 0)] * max(0, pad) + list(zip(ref.shape, ref.strides, strict=True))[drop:]
    strides = []
    for (n, s), want in zip(dims, shape, strict=True):
        if n != want and n != 1:
            raise ValueError(f"can't broadcast {ref.shape} to {tuple(shape)}")
        strides.append(s if n == want else 0)
    return replace(ref, shape=tuple(shape), strides=tuple(strides))


def is_const(var, ops_writing):
    """Whether nothing writes the variable and its value may be relied on."""
    return var not in ops_writing and var.weight < 0 and not var.per_item


def written_vars(ops):
    """Variables that some op changes."""
    return {r.var for op in ops for r in op.args.values() if r.access in WRITES}


def values(ref):
    """Initial values of the elements of a reference."""
    return ref.var.initial[ref.elements].reshape(ref.shape if ref.index is None else -1)
