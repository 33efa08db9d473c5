"""Neuron populations."""

from nengo.builder.neurons import SimNeurons

from ..ir.lowering import NotNative, lowers
from ..ir.neuron_kinds import NEURONS
from ..neurons import neuron_class

# A subclass is another type: what it overrides is not known here, so it runs in Python until it
# has an entry of its own.
NATIVE = {neuron_class(name): entry for name, entry in NEURONS.items()}


@lowers(SimNeurons)
def lower_neurons(op, ctx):
    """One step of a neuron type; types without native form (and subclasses) call Python."""
    entry = NATIVE.get(type(op.neurons))
    if entry is None:
        raise NotNative(f"neuron type {type(op.neurons).__name__} has no native form")
    extra = set(op.state) - set(entry.states)
    if extra or set(entry.states) - set(op.state) or set(op.state_extra) - {"rng"}:
        raise NotNative(f"its states are {sorted(op.state)}, expected {sorted(entry.states)}")
    attrs = {"type": entry.name}
    for name in entry.parameters:
        attrs[name] = float(getattr(op.neurons, name))
    for name in entry.flags:
        attrs[name] = int(getattr(op.neurons, name))
    if entry.draws:
        attrs["rng"] = -1  # the offset is known when the program is laid out
    surrogate = ctx.surrogate(op) if entry.spikes else None
    if surrogate is not None:
        attrs["surrogate"] = surrogate.kind
        if hasattr(surrogate, "width"):
            attrs["width"] = float(surrogate.width)
    args = {"J": ctx.vector(op.J), "out": ctx.vector(op.output, "write")}
    args.update((name, ctx.vector(op.state[name], "advance")) for name in entry.states)
    return [ctx.make("neurons", args, attrs, name=op.output.name)]
