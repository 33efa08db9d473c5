"""Products with matrices: dense, sparse rows, sparse blocks."""

from dataclasses import replace

import numpy as np
from nengo.builder.operator import BsrDotInc, DotInc, SparseDotInc

from ..ir.lowering import NotNative, lowers
from ..ir.signals import csr
from .basic import elementwise


@lowers(DotInc)
def lower_dot(op, ctx):
    """``Y += A.dot(X)`` in every shape that Nengo allows."""
    if op.A.sparse:
        return lower_sparse(op, ctx)
    a, x, y = ctx.ref(op.A), ctx.ref(op.X), ctx.ref(op.Y, "inc")
    if a.shape == () or x.shape == ():
        return [elementwise(ctx, a, x, y)]
    if len(a.shape) > 2:
        raise NotNative(f"its matrix has {len(a.shape)} dimensions")
    if len(a.shape) == 1:  # an inner product
        a = replace(a, shape=(1, *a.shape), strides=(0, *a.strides))
    x, y = _vector(x), _vector(y)
    if y.shape != a.shape[:1]:
        raise NotNative(f"it adds {a.shape[0]} products to {y.shape[0]} elements")
    return [ctx.make("dense", {"A": a, "X": x, "Y": y})]


def _vector(ref):
    vector = ref.as_vector()
    if vector is None:
        raise NotNative(f"{ref.var.name} is not evenly spaced in memory")
    return vector


@lowers(SparseDotInc)
def lower_sparse(op, ctx):
    """``Y += A.dot(X)`` with compressed sparse rows."""
    data, indices, indptr = csr(op.A)
    if data.size == 0:
        return []  # nothing is added
    attrs = {"indices": _ints(indices), "indptr": _ints(indptr)}
    args = {"A": ctx.ref(op.A), "X": ctx.vector(op.X), "Y": ctx.vector(op.Y, "inc")}
    return [ctx.make("sparse", args, attrs)]


@lowers(BsrDotInc)
def lower_bsr(op, ctx):
    """``Y += A.dot(X)`` with block sparse rows."""
    attrs = {"indices": _ints(op.indices), "indptr": _ints(op.indptr)}
    args = {"A": ctx.ref(op.A), "X": ctx.vector(op.X), "Y": ctx.vector(op.Y, "inc")}
    return [ctx.make("bsr", args, attrs)]


def _ints(values):
    """An array that nobody can change; tuples of millions of numbers would take long to make."""
    array = np.array(values, dtype=np.int64).ravel()
    array.flags.writeable = False
    return array
