"""Time, inputs and outputs, copies and products, callbacks."""

import numpy as np
from nengo.builder.operator import DotInc, ElementwiseInc
from nengo.builder.signal import Signal
from scipy.sparse import bsr_matrix, csr_matrix

from .registry import per_block, register


@register("time")
def make_time(op, program):
    def step(io, k):
        if io.has("time"):
            io.write("time", k, io.time)
        if io.has("step"):
            io.write("step", k, io.n)

    return step


@register("input")
def make_input(op, program):
    index = op.attrs["index"]

    def step(io, k):
        io.write("dst", k, io.inputs[index][io.step_in_run])

    return step


@register("output")
def make_output(op, program):
    index = op.attrs["index"]

    def step(io, k):
        rows = io.outputs[index]
        rows[min(io.step_in_run, len(rows) - 1)] = io.read("src", k).ravel()

    return step


@register("fill")
def make_fill(op, program):
    values = per_block(op, "value")

    def step(io, k):
        io.write("dst", k, values[k])

    return step


@register("copy")
def make_copy(op, program):
    if "src_index" not in op.attrs and "dst_index" not in op.attrs:

        def step(io, k):
            io.inc("dst", k, io.read("src", k))

        return step

    length = len(op.attrs.get("src_index", op.attrs.get("dst_index")))
    source = np.asarray(op.attrs.get("src_index", range(length)), dtype=np.int64)
    target = np.asarray(op.attrs.get("dst_index", range(length)), dtype=np.int64)

    def step_indexed(io, k):
        values = io.vector("src", k)[source]
        dst = io.vector("dst", k)
        if op.attrs["set"]:
            dst[target] = values
        else:
            np.add.at(dst, target, values)
        io.write("dst", k, dst)

    return step_indexed


def _nengo_inc(operator_class, A, X, Y):
    """Run one of Nengo's increment operators on arrays; ``Y`` is changed in place."""
    signals = [Signal(array, name=name) for name, array in zip("AXY", (A, X, Y), strict=True)]
    operator = operator_class(*signals)
    operator.make_step(dict(zip(signals, (A, X, Y), strict=True)), dt=None, rng=None)()


@register("elementwise")
def make_elementwise(op, program):
    def step(io, k):
        A, X = io.read("A", k), io.read("X", k)
        product = np.zeros_like(A)
        _nengo_inc(ElementwiseInc, A, X, product)
        io.inc("Y", k, product)

    return step


@register("dense")
def make_dense(op, program):
    def step(io, k):
        A = io.read("A", k)
        product = np.zeros(len(A), dtype=A.dtype)
        _nengo_inc(DotInc, A, io.vector("X", k), product)
        io.inc("Y", k, product + io.vector("bias", k) if io.has("bias") else product)

    return step


@register("sparse")
@register("bsr")
def make_sparse(op, program):
    matrix = csr_matrix if op.kind == "sparse" else bsr_matrix
    indices, indptr = (np.asarray(op.attrs[name]) for name in ("indices", "indptr"))
    shape = tuple(int(np.prod(op.args[name].shape)) for name in ("Y", "X"))

    def step(io, k):
        A = io.vector("A", k) if op.kind == "sparse" else io.read("A", k)
        A = matrix((A, indices, indptr), shape=shape)
        io.inc("Y", k, A @ io.vector("X", k))

    return step


@register("callback")
def make_callback(op, program):
    def numbered(prefix):
        count = sum(name.startswith(prefix) and name[len(prefix) :].isdigit() for name in op.args)
        return [f"{prefix}{i}" for i in range(count)]

    def step(io, k):
        time = io.read("t", k).item() if io.has("t") else io.time
        inputs = tuple(io.read(name, k) for name in numbered("in"))
        names = numbered("out") + numbered("state")
        outputs = tuple(
            io.old(name, k)
            if name.startswith("state")
            else np.zeros(op.args[name].shape, dtype=program.dtype)
            for name in names
        )
        io.callbacks[op.attrs["index"]](io.item, time, inputs, outputs)
        for name, value in zip(names, outputs, strict=True):
            io.write(name, k, value)

    return step
