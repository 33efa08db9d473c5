"""Learning rules."""

from nengo.builder.learning_rules import SimBCM, SimOja, SimPES, SimRLS, SimVoja

from ..ir.lowering import NotNative, lowers
from ..ir.refs import broadcast, whole


def _sources(op, ctx, pre, post):
    """Arguments of a rule whose ``delta`` is (size of the second signal, size of the first)."""
    args = {name: ctx.vector(getattr(op, name)) for name in (pre, post)}
    return {**args, "delta": ctx.ref(op.delta, "update")}


def _rule(ctx, kind, sources, attrs, more=None):
    """Op of a rule, once the shapes of its arguments fit."""
    pre, post, delta = sources.values()
    if delta.shape != (post.size, pre.size):
        raise NotNative(f"its delta has shape {delta.shape}, expected {(post.size, pre.size)}")
    return [ctx.make(kind, {**sources, **(more or {})}, attrs)]


@lowers(SimPES)
def lower_pes(op, ctx):
    """Prescribed error sensitivity."""
    alpha = -op.learning_rate * ctx.dt / op.pre_filtered.shape[0]
    return _rule(ctx, "pes", _sources(op, ctx, "pre_filtered", "error"), {"alpha": float(alpha)})


@lowers(SimRLS)
def lower_rls(op, ctx):
    """Recursive least squares."""
    error, delta = ctx.vector(op.error), ctx.ref(op.delta, "update")
    if error.size == 1:  # for a connection between neurons: all of them share it
        error = broadcast(error, delta.shape[:1])
    args = {"pre_filtered": ctx.vector(op.pre_filtered), "error": error, "delta": delta}
    inv_gamma = {"inv_gamma": ctx.ref(op.inv_gamma, "update")}
    return _rule(ctx, "rls", args, {}, inv_gamma)


@lowers(SimBCM)
def lower_bcm(op, ctx):
    """Bienenstock-Cooper-Munro."""
    sources = _sources(op, ctx, "pre_filtered", "post_filtered")
    more = {"theta": ctx.vector(op.theta)}
    return _rule(ctx, "bcm", sources, {"alpha": float(op.learning_rate * ctx.dt)}, more)


@lowers(SimOja)
def lower_oja(op, ctx):
    """Oja."""
    sources = _sources(op, ctx, "pre_filtered", "post_filtered")
    attrs = {"alpha": float(op.learning_rate * ctx.dt), "beta": float(op.beta)}
    return _rule(ctx, "oja", sources, attrs, {"weights": ctx.ref(op.weights)})


@lowers(SimVoja)
def lower_voja(op, ctx):
    """Vector Oja: moves encoders toward the input."""
    sources = _sources(op, ctx, "pre_decoded", "post_filtered")
    if op.learning_signal.size != 1:
        raise NotNative(f"its learning signal has size {op.learning_signal.size}, expected 1")
    more = {
        "scaled_encoders": ctx.ref(op.scaled_encoders),
        "learning_signal": ctx.vector(op.learning_signal),
        "scale": whole(ctx.parameter(f"{op.delta.name}.scale", op.scale)),
    }
    return _rule(ctx, "voja", sources, {"alpha": float(op.learning_rate * ctx.dt)}, more)
