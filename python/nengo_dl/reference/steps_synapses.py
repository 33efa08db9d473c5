"""Synapses: the step classes of Nengo's LinearFilter, and Nengo's Triangle."""

import nengo
import numpy as np
from nengo.synapses import LinearFilter

from .registry import per_block, register


@register("lowpass")
def make_lowpass(op, program):
    a, b = per_block(op, "a"), per_block(op, "b")

    def step(io, k):
        memory = io.old("y", k).reshape(1, -1)
        one, zero = np.ones((1, 1)), np.zeros(1)
        filter_step = LinearFilter.OneX(np.array([[a[k]]]), np.array([[b[k]]]), one, zero, memory)
        io.write("y", k, filter_step(None, io.vector("x", k)))

    return step


@register("filter")
def make_filter(op, program):
    B, C, D = (np.asarray(op.attrs[name], dtype=float) for name in ("B", "C", "D"))
    p = len(B)
    A = np.asarray(op.attrs["A"], dtype=float).reshape(p, p)
    B, C = B.reshape(p, 1), C.reshape(1, p)

    def step(io, k):
        x = io.vector("x", k)
        if p == 0:
            step_class, memory = LinearFilter.NoX, np.zeros((0, x.size))
        else:
            step_class = LinearFilter.General if op.attrs["direct"] else LinearFilter.NoD
            memory = io.old("X", k).reshape(p, -1)
        # NoD steps have no passthrough
        passthrough = D if p == 0 or op.attrs["direct"] else np.zeros(1)
        io.write("y", k, step_class(A, B, C, passthrough, memory)(None, x))
        if p:
            io.write("X", k, memory)

    return step


class GivenTriangle(nengo.Triangle):
    """Nengo's Triangle with its coefficients given, so that the op's attributes decide."""

    def __init__(self, taps, n0, ndiff, dt):
        self._given = None
        super().__init__(t=(taps - 1) * dt)
        self._given = (taps, n0, ndiff)

    def _get_coefficients(self, dt, dtype=None):
        return self._given


@register("triangle")
def make_triangle(op, program):
    taps = op.args["X"].shape[0]
    synapse = GivenTriangle(taps, op.attrs["n0"], op.attrs["ndiff"], program.dt)

    def step(io, k):
        x = io.vector("x", k)
        states = {name: io.old(name, k).ravel() for name in ("Y", "Xi")}
        states["X"] = io.old("X", k).reshape(taps, -1)
        triangle_step = synapse.make_step(x.shape, x.shape, program.dt, None, states)
        io.write("y", k, triangle_step(None, x))
        io.write("Y", k, states["Y"])
        io.write("X", k, states["X"])
        io.write("Xi", k, states["Xi"])

    return step
