"""Processes: synapses, noise and tabulated input."""

from dataclasses import replace

import numpy as np
from nengo import dists, processes, synapses
from nengo.builder.processes import SimProcess

from ..ir.lowering import NotNative, lowers
from ..ir.refs import whole

_ACCESS = {"set": "write", "inc": "inc", "update": "update"}


@lowers(SimProcess)
def lower_process(op, ctx):
    """Find the native form of a process, if it has one."""
    process = op.process
    if isinstance(process, synapses.LinearFilter) and _keeps_step(process):
        return _into(
            op,
            ctx,
            lambda dst: linear_filter(op, ctx, process, ctx.vector(op.input), dst),
        )
    function = _PROCESSES.get(type(process))
    if function is None:
        raise NotNative(f"{type(process).__name__} has no native form")
    return function(op, ctx)


def _keeps_step(synapse):
    """Whether a subclass of LinearFilter steps as LinearFilter does."""
    return all(
        getattr(type(synapse), name) is getattr(synapses.LinearFilter, name)
        for name in ("make_step", "make_state")
    )


def _into(op, ctx, build):
    """Build ops that overwrite their output; in mode ``inc`` by way of a temporary."""
    if op.mode != "inc":
        return build(ctx.vector(op.output, _ACCESS[op.mode]))
    value = ctx.temporary(f"{op.output.name}.{op.process}", op.output.size)
    add = ctx.make("copy", {"src": whole(value), "dst": ctx.vector(op.output, "inc")})
    return [*build(whole(value, access="write")), add]


def _matrices(synapse, dt):
    """Matrices of a filter in steps of ``dt``."""
    return tuple(np.asarray(m, dtype=np.float64) for m in synapse._get_ss(dt))


def linear_filter(op, ctx, synapse, x, y):
    """Ops for a LinearFilter from ``x`` to ``y``; its state is the operator's signal X."""
    A, B, C, D = ctx.once(_matrices, synapse)
    state = op.state["X"]
    matrices = (A, B, C, D, state.initial_value)
    kind = synapses.LinearFilter
    if kind.NoX.check(*matrices):
        if D.item() == 1.0:
            return [ctx.make("copy", {"src": x, "dst": y})]
        return [_filter(ctx, x, y, None, (), (), (), D, 1)]
    order = A.shape[0]
    X = ctx.vector(state, "update")
    if kind.OneX.check(*matrices):
        a, b = float(A.item()), float(C.item() * B.item())
        # y can hold the state if nothing else writes to it and both start alike
        alone = y.var.signal is not None and ctx.written_once(y.var.signal) and y.solid
        if alone and np.array_equal(y.var.initial[y.elements], X.var.initial[X.elements]):
            access = "advance" if y.access == "write" else "update"
            y = replace(y, access=access)
            return [ctx.make("lowpass", {"x": x, "y": y}, {"a": a, "b": b})]
        return [_filter(ctx, x, y, X, [a], [b], [1.0], [0.0], 0, order)]
    direct = 0 if kind.NoD.check(*matrices) else 1
    return [_filter(ctx, x, y, X, A, B, C, D, direct, order)]


def _filter(ctx, x, y, X, A, B, C, D, direct, order=0):
    attrs = {
        name: tuple(np.asarray(m, dtype=np.float64).ravel().tolist())
        for name, m in zip("ABCD", (A, B, C, D), strict=True)
    }
    args = {"x": x, "y": y}
    if order:
        args["X"] = replace(X, shape=(order, x.size), strides=(x.size * X.strides[0], X.strides[0]))
    return ctx.make("filter", args, {**attrs, "direct": direct})


def _triangle(op, ctx):
    n_taps, n0, ndiff = op.process._get_coefficients(ctx.dt, dtype=op.output.dtype)
    x = ctx.vector(op.input)
    state = {name: ctx.vector(op.state[name], "update") for name in ("Y", "X", "Xi")}
    state["X"] = replace(state["X"], shape=(n_taps, x.size), strides=(x.size, 1))
    attrs = {"n0": float(n0), "ndiff": float(ndiff)}
    return _into(op, ctx, lambda y: [ctx.make("triangle", {"x": x, "y": y, **state}, attrs)])


def _noise(op, ctx, dst):
    process = op.process
    dist = process.dist
    if type(dist) is dists.Gaussian:
        attrs = {"dist": "gaussian", "mean": float(dist.mean), "std": float(dist.std)}
    elif type(dist) is dists.Uniform and not dist.integer:
        attrs = {"dist": "uniform", "low": float(dist.low), "high": float(dist.high)}
    else:
        raise NotNative(f"noise from {dist} has no native form")
    scale = float(1.0 / np.sqrt(ctx.dt)) if process.scale else 1.0
    return ctx.make("noise", {"dst": dst}, {**attrs, "scale": scale, "rng": -1})


def _white_noise(op, ctx):
    return [_noise(op, ctx, ctx.vector(op.output, _ACCESS[op.mode]))]


def _filtered_noise(op, ctx):
    synapse = op.process.synapse
    if not (isinstance(synapse, synapses.LinearFilter) and _keeps_step(synapse)):
        raise NotNative(f"noise filtered by {synapse} has no native form")
    raw = ctx.temporary(f"{op.output.name}.noise", op.output.size)
    draw = _noise(op, ctx, whole(raw, access="write"))
    return [
        draw,
        *_into(op, ctx, lambda y: linear_filter(op, ctx, synapse, whole(raw), y)),
    ]


def _table(op, ctx, name, table, rows, attrs):
    return [ctx.make("table", _rows(op, ctx, table, rows), {"mode": name, **attrs})]


def _rows(op, ctx, table, rows):
    """Arguments of an op that reads rows of a table."""
    dst = ctx.vector(op.output, _ACCESS[op.mode])
    return {"table": whole(table, (rows, op.output.size)), "dst": dst}


def _white_signal(op, ctx):
    # the signal depends on the simulator's seed: the simulator fills the table per item
    rows = 2 * int(np.ceil(op.process.period / ctx.dt / 2.0))
    size = rows * op.output.size
    table = ctx.parameter(f"{op.output.name}.table", np.zeros(size), per_item=True)
    return _table(op, ctx, "signal", table, rows, {})


def _present_input(op, ctx):
    rows = len(op.process.inputs)
    table = ctx.parameter(f"{op.output.name}.table", op.process.inputs)
    period = float(op.process.presentation_time)
    return _table(op, ctx, "present", table, rows, {"period": period})


def _piecewise(op, ctx):
    process = op.process
    straight = process.interpolation in ("linear", "slinear") and len(process.data) > 1
    smooth = process.interpolation != "zero" and not straight
    if smooth or any(callable(v) for v in process.data.values()):
        raise NotNative(
            "Piecewise with functions or interpolation other than linear has no native form"
        )
    times, rows = zip(*sorted(process.data.items(), key=lambda item: item[0]), strict=True)
    table = ctx.parameter(f"{op.output.name}.table", np.stack([np.ravel(r) for r in rows]))
    attrs = {"times": tuple(float(t) for t in times)}
    if straight:
        return [ctx.make("interpolate", _rows(op, ctx, table, len(rows)), attrs)]
    return _table(op, ctx, "piecewise", table, len(rows), attrs)


_PROCESSES = {
    synapses.Triangle: _triangle,
    processes.WhiteNoise: _white_noise,
    processes.FilteredNoise: _filtered_noise,
    processes.BrownNoise: _filtered_noise,
    processes.WhiteSignal: _white_signal,
    processes.PresentInput: _present_input,
    processes.Piecewise: _piecewise,
}
