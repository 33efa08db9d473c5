"""Learning rules."""

from nengo.builder.learning_rules import SimBCM, SimOja, SimPES, SimRLS, SimVoja

from ..plan.ir import whole
from ..plan.lower import NotNative, lowers


def _rule(op, ctx, kind, sources, attrs, more=None):
    """Op of a rule whose ``delta`` is (size of the second source, size of the first)."""
    args = {name: ctx.vector(signal) for name, signal in sources.items()}
    pre, post = list(args.values())[:2]
    args["delta"] = ctx.ref(op.delta, "update")
    if args["delta"].shape != (post.size, pre.size):
        raise NotNative(
            f"its delta has shape {args['delta'].shape}, expected {(post.size, pre.size)}"
        )
    args.update(more or {})
    return [ctx.make(kind, args, attrs)]


@lowers(SimPES)
def lower_pes(op, ctx):
    """Prescribed error sensitivity."""
    alpha = -op.learning_rate * ctx.dt / op.pre_filtered.shape[0]
    sources = {"pre_filtered": op.pre_filtered, "error": op.error}
    return _rule(op, ctx, "pes", sources, {"alpha": float(alpha)})


@lowers(SimRLS)
def lower_rls(op, ctx):
    """Recursive least squares."""
    sources = {"pre_filtered": op.pre_filtered, "error": op.error}
    return _rule(op, ctx, "rls", sources, {}, {"inv_gamma": ctx.ref(op.inv_gamma, "update")})


@lowers(SimBCM)
def lower_bcm(op, ctx):
    """Bienenstock-Cooper-Munro."""
    sources = {"pre_filtered": op.pre_filtered, "post_filtered": op.post_filtered}
    more = {"theta": ctx.vector(op.theta)}
    return _rule(op, ctx, "bcm", sources, {"alpha": float(op.learning_rate * ctx.dt)}, more)


@lowers(SimOja)
def lower_oja(op, ctx):
    """Oja."""
    sources = {"pre_filtered": op.pre_filtered, "post_filtered": op.post_filtered}
    attrs = {"alpha": float(op.learning_rate * ctx.dt), "beta": float(op.beta)}
    return _rule(op, ctx, "oja", sources, attrs, {"weights": ctx.ref(op.weights)})


@lowers(SimVoja)
def lower_voja(op, ctx):
    """Vector Oja: moves encoders toward the input."""
    sources = {"pre_decoded": op.pre_decoded, "post_filtered": op.post_filtered}
    if op.learning_signal.size != 1:
        raise NotNative(f"its learning signal has size {op.learning_signal.size}, expected 1")
    more = {
        "scaled_encoders": ctx.ref(op.scaled_encoders),
        "learning_signal": ctx.vector(op.learning_signal),
        "scale": whole(ctx.parameter(f"{op.delta.name}.scale", op.scale)),
    }
    return _rule(op, ctx, "voja", sources, {"alpha": float(op.learning_rate * ctx.dt)}, more)
