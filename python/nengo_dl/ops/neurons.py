"""Neuron populations."""

from nengo.builder.neurons import SimNeurons

from ..neurons._lowering import NEURONS
from ..plan.lower import NotNative, lowers


@lowers(SimNeurons)
def lower_neurons(op, ctx):
    """One step of a neuron type; types without native form (and subclasses) call Python."""
    kind = NEURONS.get(type(op.neurons))
    if kind is None:
        raise NotNative(f"neuron type {type(op.neurons).__name__} has no native form")
    extra = set(op.state) - set(kind.states)
    if extra or set(kind.states) - set(op.state) or set(op.state_extra) - {"rng"}:
        raise NotNative(f"its states are {sorted(op.state)}, expected {sorted(kind.states)}")
    attrs = {"type": kind.name}
    for name in kind.parameters:
        attrs[name] = float(getattr(op.neurons, name))
    for name in kind.flags:
        attrs[name] = int(getattr(op.neurons, name))
    if kind.stochastic:
        attrs["rng"] = -1  # the offset is known when the program is laid out
    surrogate = ctx.surrogate(op) if op.neurons.spiking else None
    if surrogate is not None:
        attrs["surrogate"] = surrogate.kind
        if hasattr(surrogate, "width"):
            attrs["width"] = float(surrogate.width)
    args = {"J": ctx.vector(op.J), "out": ctx.vector(op.output, "write")}
    args.update((name, ctx.vector(op.state[name], "advance")) for name in kind.states)
    return [ctx.make("neurons", args, attrs, name=op.output.name)]
