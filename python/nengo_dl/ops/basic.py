"""Time, resets, copies, element-wise products, probes and Python functions."""

import numpy as np
from nengo.builder.operator import Copy, ElementwiseInc, Reset, SimPyFunc, TimeUpdate
from nengo.builder.probe import SimProbe
from nengo.exceptions import BuildError

from ..ir.calls import says
from ..ir.lowering import NotNative, lowers
from ..ir.refs import Ref, broadcast


@lowers(TimeUpdate)
def lower_time(op, ctx):
    """Step count and time of the step."""
    return [
        ctx.make(
            "time",
            {"step": ctx.ref(op.step, "write"), "time": ctx.ref(op.time, "write")},
        )
    ]


@lowers(SimProbe)
def lower_probe(op, ctx):
    """Probes are outputs of the program; there is nothing to compute."""
    return []


@lowers(SimPyFunc)
def lower_function(op, ctx):
    """Python functions stay in Python, but those that say what they are: an op, or TensorFlow."""
    native = op.fn.native_op if says(op.fn, "native_op") else None
    if native is not None:
        kind, attrs = native
        args = {"X": ctx.vector(op.x), "Y": ctx.vector(op.output, "write")}
        return [ctx.make(kind, args, attrs)]
    if says(op.fn, "tensor_call"):
        ins = [] if op.x is None else [op.x]
        return ctx.tensor(op.fn.tensor_call, ins, [] if op.output is None else [op.output])
    raise NotNative("it calls a Python function")


@lowers(Reset)
def lower_reset(op, ctx):
    """Set a signal to a constant."""
    return [ctx.make("fill", {"dst": ctx.ref(op.dst, "write")}, {"value": float(op.value)})]


@lowers(Copy)
def lower_copy(op, ctx):
    """Copy between slices of signals, set or incremented."""
    access = "inc" if op.inc else "write"
    src, dst = ctx.ref(op.src), ctx.ref(op.dst, access)
    if op.dst_slice is not None:
        dst, shape = _indexed(op, dst, op.dst_slice)
        if not op.inc and len(np.unique(dst.elements)) < dst.elements.size:
            raise BuildError(f"{op}: indices of dst_slice repeat, which only an increment allows")
    else:
        shape = dst.shape
    if op.src_slice is not None:
        src, src_shape = _indexed(op, src, op.src_slice)
    else:
        src_shape = src.shape
    if src.index is None and dst.index is None:
        src = broadcast(src, shape)
    elif src_shape != shape:
        source = np.broadcast_to(src.elements.reshape(src_shape), shape)
        src = _by_index(src.var, source.ravel(), src.access)
    if src.index is not None or dst.index is not None:
        src, dst = _flat(src), _flat(dst)
    elif len(shape) > 4:
        src, dst = src.as_vector(), dst.as_vector()
        if src is None or dst is None:
            raise NotNative("it copies a signal of more than 4 dimensions with gaps")
    return [ctx.make("copy", {"src": src, "dst": dst})]


def _indexed(op, ref, index):
    """Reference to the elements that NumPy's ``signal[index]`` names, and their shape."""
    everything = np.arange(ref.size).reshape(ref.shape)
    key = index if isinstance(index, (tuple, slice)) or index is Ellipsis else np.asarray(index)
    chosen = ref.elements.reshape(ref.shape)[key] if ref.size else everything
    chosen = np.asarray(chosen)
    return _by_index(ref.var, chosen.ravel(), ref.access), chosen.shape


def _by_index(var, elements, access):
    """Reference to listed elements: a stride where they are evenly spaced, else an index."""
    steps = np.diff(elements)
    if elements.size and (steps.size == 0 or np.all(steps == steps[0])):
        step = int(steps[0]) if steps.size else 1
        if step or elements.size == 1 or access == "read":
            return Ref(var, int(elements[0]), (elements.size,), (step,), access)
    index = tuple(int(e) for e in elements)
    return Ref(var, 0, (var.size,), (1,), access, index)


def _flat(ref):
    """The same elements in a form that an indexed copy takes."""
    if ref.index is not None:
        return ref
    vector = ref.as_vector()
    return vector if vector is not None else _by_index(ref.var, ref.elements, ref.access)


@lowers(ElementwiseInc)
def lower_elementwise(op, ctx):
    """``Y += A * X`` with NumPy's broadcasting."""
    return [elementwise(ctx, ctx.ref(op.A), ctx.ref(op.X), ctx.ref(op.Y, "inc"))]


def elementwise(ctx, a, x, y):
    """Op for ``y += a * x``; shapes as NumPy takes them."""
    try:
        a, x = broadcast(a, y.shape), broadcast(x, y.shape)
    except ValueError as e:
        raise BuildError(f"{ctx.op}: {e}") from e
    if len(y.shape) > 2:
        flat = [r.as_vector() for r in (a, x, y)]
        if None in flat:
            raise NotNative("it broadcasts signals of more than 2 dimensions")
        a, x, y = flat
    return ctx.make("elementwise", {"A": a, "X": x, "Y": y})
