"""Cases whose gradients the tests look at: the contract's cases, away from kinks."""

from dataclasses import replace

import numpy as np
from contract_cases import LAYOUTS, Case, CaseBuilder
from contract_chains import Chain
from contract_draws import uniform
from contract_kinds import make_subject
from contract_neurons import make_neurons_of

from nengo_dl.ir.program import Buffer, Op, Operand, Param, Port, Program, Region


def apart(low, bend, high, gap):
    """Values between low and high that keep their distance from a bend."""

    def draw(rng, shape):
        below = rng.uniform(low, bend - gap, size=shape)
        return np.where(rng.random_sample(shape) < 0.3, below, rng.uniform(bend + gap, high, shape))

    return draw


# rate types with a kink: their J, which the contract's cases put on it now and then
SMOOTH = {
    "RectifiedLinear": apart(-2, 0, 6, 0.1),
    "LeakyReLU": apart(-2, 0, 6, 0.1),
    "LIFRate": apart(-1, 1, 6, 0.2),
    "AdaptiveLIFRate": uniform(3, 8),
}


def gradient_case(make, seed, dtype="float64", batch=None, layout=None):
    """A random case of a subject; the seed decides on what is not given."""
    rng = np.random.RandomState(seed)
    layout = layout or LAYOUTS[seed % 4]
    batch = batch or [1, 3][(seed // 2 + seed // 4) % 2]
    builder = CaseBuilder(rng, dtype, layout, batch, n_steps=7)
    builder.add(make(rng))
    window = [0, 3, 1, 4][(seed // 4 + seed) % 4]
    return builder.build(window, first_step=[0, 1000][seed % 3 % 2])


def kind_case(kind, seed, **kwargs):
    """A case of an op kind; its neurons are of a rate type."""
    if kind == "neurons":
        return type_case(["Sigmoid", "LIFRate", "Tanh"][seed % 3], seed, **kwargs)
    return gradient_case(lambda rng: make_subject(kind, rng), seed, **kwargs)


def type_case(name, seed, **kwargs):
    """A case of a neuron type without surrogate."""

    def make(rng):
        subject = make_neurons_of(name, rng)
        subject.args["J"].draw = SMOOTH.get(name, subject.args["J"].draw)
        for key in ("surrogate", "width"):
            subject.attrs.pop(key, None)
        return subject

    return gradient_case(make, seed, **kwargs)


def without_surrogates(case):
    """The same case without surrogate gradients."""

    def plain(op):
        attrs = {k: v for k, v in op.attrs.items() if k not in ("surrogate", "width")}
        return Op(op.kind, op.name, op.blocks, op.args, attrs)

    regions = [replace(r, ops=tuple(map(plain, r.ops))) for r in case.program.regions]
    return replace(case, program=replace(case.program, regions=tuple(regions)))


def chain_case(seed, dtype="float64", batch=None, n_steps=12):
    """A chain of ops, as a loop with feedback or as a sequence."""
    rng = np.random.RandomState(seed)
    chain = Chain(rng, dtype, batch or [1, 3][seed // 2 % 2], n_steps, loop=bool(seed % 2))
    return without_surrogates(chain.build())


def learning_case(rule, seed, m=3, n=5, n_steps=20):
    """A loop in which a rule (pes or oja) changes the weights that an error comes back through."""
    rng = np.random.RandomState(seed)
    batch = [1, 3][seed % 2]
    buffers = (
        Buffer("learned", "weights", m * n, param=0),
        Buffer("window", "x", n),
        Buffer("carried", "activity", n, state_offset=0),
        Buffer("local", "y", m),
        Buffer("local", "error", m),
        Buffer("state" if seed % 3 else "carried", "delta", m * n, state_offset=n),
    )
    late = int(buffers[5].kind == "carried")

    def vector(buffer, size, shift=0):
        return Operand(buffer, shift, (size,), (1,), (0,))

    def matrix(buffer, shift=0):
        return Operand(buffer, shift, (m, n), (n, 1), (0,))

    weights, pre, y, error = matrix(0), vector(2, n, 1), vector(3, m), vector(4, m)
    learn = {"pre_filtered": pre, "delta": matrix(5, late)}
    if rule == "pes":
        learn["error"], attrs = error, {"alpha": -0.05}
    else:
        learn |= {"post_filtered": y, "weights": weights}
        attrs = {"alpha": 0.05, "beta": 0.5}
    steps = [
        ("input", {"dst": vector(1, n)}, {"index": 0}),
        ("lowpass", {"x": vector(1, n), "y": pre}, {"a": 0.7, "b": 0.3}),
        ("dense", {"A": weights, "X": pre, "Y": y}, {"set": 1}),
        ("input", {"dst": error}, {"index": 1}),
        ("copy", {"src": y, "dst": error}, {"set": 0}),
        ("output", {"src": y}, {"index": 0}),
        ("output", {"src": error}, {"index": 1}),
        # the delta of the step before, unless the order is turned
        ("copy", {"src": matrix(5), "dst": weights}, {"set": 0}),
        (rule, learn, attrs),
    ]
    if seed % 3 == 1:
        steps[-2:] = steps[:-3:-1]
    ops = tuple(Op(kind, kind, 1, args, attrs) for kind, args, attrs in steps)
    state_size = n + m * n
    ports = (Port("u", n), Port("target", m)), (Port("y", m), Port("error", m))
    program = Program(
        "float64",
        0.001,
        [0, 1, 6][seed % 3],
        state_size,
        0,
        buffers,
        (Param("weights", m * n, 1),),
        *ports,
        (Region("loop", ops),),
    )
    inputs = [rng.normal(size=(batch, n_steps, port.size)) for port in ports[0]]
    params = [rng.normal(size=(batch, m * n))]
    state = rng.normal(size=(batch, state_size))
    return Case(
        program, inputs, params, state, np.zeros((batch, 0), np.int32), 0, n_steps, batch, []
    )
