"""Learning rules: Nengo's own operators on arrays; RLS by its formula."""

import numpy as np
from nengo.builder.learning_rules import SimBCM, SimOja, SimPES, SimVoja
from nengo.builder.signal import Signal

from .registry import per_block, register


def _delta(io, k, operator_class, reads, dt=1.0, **kwargs):
    """Let Nengo's operator compute ``delta`` from the arguments named ``reads``."""
    values = {name: io.read(name, k) for name in reads}
    # a scalar stands for a vector of one element, but the learning signal is a scalar
    values = {n: v if v.ndim or n == "learning_signal" else v.reshape(1) for n, v in values.items()}
    values["delta"] = np.zeros_like(io.old("delta", k))
    signals = {name: Signal(value, name=name) for name, value in values.items()}
    operator = operator_class(**signals, **kwargs)
    arrays = {signals[name]: value for name, value in values.items()}
    operator.make_step(arrays, dt=dt, rng=None)()
    io.write("delta", k, values["delta"])


@register("pes")
def make_pes(op, program):
    alpha = per_block(op, "alpha")

    def step(io, k):
        # Nengo computes alpha = -learning_rate * dt / n
        n = float(io.read("pre_filtered", k).size)
        reads = ("pre_filtered", "error")
        _delta(io, k, SimPES, reads, dt=n, learning_rate=-alpha[k])

    return step


@register("bcm")
def make_bcm(op, program):
    alpha = per_block(op, "alpha")

    def step(io, k):
        _delta(
            io,
            k,
            SimBCM,
            ("pre_filtered", "post_filtered", "theta"),
            learning_rate=alpha[k],
        )

    return step


@register("oja")
def make_oja(op, program):
    alpha, beta = per_block(op, "alpha"), per_block(op, "beta")

    def step(io, k):
        reads = ("pre_filtered", "post_filtered", "weights")
        _delta(io, k, SimOja, reads, learning_rate=alpha[k], beta=beta[k])

    return step


@register("voja")
def make_voja(op, program):
    alpha = per_block(op, "alpha")

    def step(io, k):
        reads = ("pre_decoded", "post_filtered", "scaled_encoders", "learning_signal")
        _delta(io, k, SimVoja, reads, learning_rate=alpha[k], scale=io.vector("scale", k))

    return step


@register("rls")
def make_rls(op, program):
    # not Nengo's SimRLS: it refuses an inverse that rounding has made a little asymmetric,
    # which ours is whenever a simulation is continued

    def step(io, k):
        pre, error = io.vector("pre_filtered", k), io.vector("error", k)
        inverse = io.old("inv_gamma", k)
        gain = inverse @ pre
        c = 1 / (1 + pre @ gain)
        io.write("inv_gamma", k, inverse - np.outer(gain, c * gain))
        io.write("delta", k, np.outer(-c * error, gain))

    return step
