"""Input processes: noise drawn as Nengo draws it, tables looked up as Nengo does."""

import nengo
import numpy as np
from nengo.processes import Piecewise, PresentInput

from ..ir.program import RNG_WORDS
from ..ir.rng import pack_rng, unpack_rng
from .registry import register


@register("noise")
def make_noise(op, program):
    attrs = op.attrs
    if attrs["dist"] == "gaussian":
        dist = nengo.dists.Gaussian(mean=attrs["mean"], std=attrs["std"])
    else:
        dist = nengo.dists.Uniform(low=attrs["low"], high=attrs["high"])
    words_at = slice(attrs["rng"], attrs["rng"] + RNG_WORDS)
    size = int(np.prod(op.args["dst"].shape))

    def step(io, k):
        rng = unpack_rng(io.istate[words_at])
        values = attrs["scale"] * dist.sample(n=1, d=size, rng=rng)[0]
        io.istate[words_at] = pack_rng(rng)
        io.inc("dst", k, values.astype(program.dtype))

    return step


@register("table")
def make_table(op, program):
    attrs, dt = op.attrs, program.dt

    def row_of(table, io):
        shape = (table.shape[1],)
        if attrs["mode"] == "signal":
            return table[io.n % len(table)]
        if attrs["mode"] == "present":
            process = PresentInput(table, attrs["period"])
        else:
            process = Piecewise(dict(zip(map(float, attrs["times"]), table, strict=True)))
        return process.make_step((0,), shape, dt, None, {})(io.time)

    def step(io, k):
        row = row_of(io.read("table", k), io)
        io.inc("dst", k, np.asarray(row, dtype=program.dtype))

    return step


@register("interpolate")
def make_interpolate(op, program):
    times = [float(time) for time in op.attrs["times"]]

    def step(io, k):
        table = io.read("table", k)
        process = Piecewise(dict(zip(times, table, strict=True)), interpolation="linear")
        row = process.make_step((0,), (table.shape[1],), program.dt, None, {})(io.time)
        io.inc("dst", k, np.asarray(row, dtype=program.dtype))

    return step
