"""Neurons: types of Nengo and NengoDL, made from the op's attributes, do the step."""

import nengo
import numpy as np

from ..ir.neuron_kinds import NEURONS
from ..ir.program import RNG_WORDS
from ..ir.rng import pack_rng, unpack_rng
from ..neurons import neuron_class
from .registry import per_block, register


def neuron_type(name, **parameters):
    """An instance of one of the neuron types of Nengo or NengoDL.

    For the types that make spikes of rates, ``negative`` says whether the base type (which the
    program runs as an op of its own) can have negative rates.
    """
    cls = neuron_class(name)
    if issubclass(cls, nengo.neurons.RatesToSpikesNeuronType):
        negative = parameters.pop("negative")
        return cls(nengo.Tanh() if negative else nengo.RectifiedLinear(), **parameters)
    return cls(**parameters)


@register("neurons")
def make_neurons(op, program):
    attrs, entry = op.attrs, NEURONS[op.attrs["type"]]
    columns = {name: per_block(op, name) for name in entry.parameters}
    flags = {name: bool(attrs[name]) for name in entry.flags}
    types = [
        neuron_type(entry.name, **flags, **{name: values[k] for name, values in columns.items()})
        for k in range(op.blocks)
    ]
    offsets = np.atleast_1d(attrs["rng"]) if entry.draws else None

    def step(io, k):
        J = io.vector("J", k)
        out = np.zeros_like(J)
        states = {name: io.old(name, k).ravel() for name in entry.states}
        if entry.draws:
            words = io.istate[offsets[k] : offsets[k] + RNG_WORDS]
            rng = unpack_rng(words)
            types[k].step(program.dt, J, out, rng=rng, **states)
            words[:] = pack_rng(rng)
        else:
            types[k].step(program.dt, J, out, **states)
        io.write("out", k, out)
        for name, value in states.items():
            io.write(name, k, value)

    return step
