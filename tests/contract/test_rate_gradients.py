"""Gradients of rate neurons: central differences, extreme currents, the kinks."""

import numpy as np
import pytest
from contract_engine import _engine
from neuron_types import default
from surrogate_programs import LAYOUTS, Population, assert_close, parameters_of, seed_of

from nengo_dl.ir.neuron_kinds import NEURONS
from nengo_dl.ir.program import Buffer, Op, Operand, Param, Port, Program, Region, to_bytes

pytestmark = pytest.mark.usefixtures("backend")

RATES = sorted(name for name, entry in NEURONS.items() if not entry.spikes)
BATCH, TIME, INPUTS, N, BLOCKS = 2, 6, 2, 19, 2


def make(name, layout, gap):
    rng = seed_of(name)
    n = N * BLOCKS
    states = {s: rng.uniform(size=(BATCH, n)) for s in _engine.neuron_types()[name]["states"]}
    attrs = {"type": name, **parameters_of(name, rng, BLOCKS)}
    bias = rng.uniform(-3, 6, size=n)
    return Population(attrs, rng.normal(size=(n, INPUTS)), bias, states, BLOCKS, layout, gap)


def loss(subject, x, by_out, by_state):
    out, states = subject.run(x)
    return (out * by_out).sum() + sum((states[s] * by_state[s]).sum() for s in states)


def slope_along(subject, args, direction, by_state, h=1e-6):
    """Central difference of the loss when everything it depends on moves along a direction."""
    x, by_out = args
    ends = []
    for sign in (h, -h):
        moved = [x, subject.W, subject.bias, *subject.states.values()]
        moved = [m + sign * d for m, d in zip(moved, direction, strict=True)]
        states = dict(zip(subject.states, moved[3:], strict=True))
        there = Population(
            subject.attrs, moved[1], moved[2], states, BLOCKS, subject.layout, subject.gap
        )
        ends.append(loss(there, moved[0], by_out, by_state))
    return (ends[0] - ends[1]) / (2 * h)


@pytest.mark.parametrize("gap", [1, 3])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", RATES)
def test_rates_equal_central_differences(name, layout, gap, isa):
    subject, rng = make(name, layout, gap), seed_of(name, layout, gap)
    args = rng.normal(size=(BATCH, TIME, INPUTS)), rng.normal(size=(BATCH, TIME, subject.size))
    by_state = {s: rng.normal(size=v.shape) for s, v in subject.states.items()}
    grads = subject.grad(*args, by_state)
    for _ in range(3):
        direction = [rng.normal(size=g.shape) for g in grads]
        due = slope_along(subject, args, direction, by_state)
        parts = [(g * d).sum() for g, d in zip(grads, direction, strict=True)]
        assert sum(parts) == pytest.approx(due, rel=1e-6, abs=1e-6 * np.abs(parts).max())


def slopes(name, J, dtype, **changes):
    """Derivative of the output by the current, for each current."""
    J = np.asarray(J, dtype=dtype)
    names = _engine.neuron_types()[name]["parameters"]
    values = {p: changes[p] if p in changes else default(name, p) for p in names}
    attrs = {"type": name, **{p: float(value) for p, value in values.items()}}
    states = {s: np.zeros((1, len(J)), dtype) for s in _engine.neuron_types()[name]["states"]}
    subject = Population(attrs, np.ones((len(J), 1), dtype), J, states)
    zero, one = np.zeros((1, 1, 1), dtype), np.ones((1, 1, len(J)), dtype)
    return subject.grad(zero, one)[2]


EXTREME = [s * v for s in (1, -1) for v in (0, 1e-30, 1e-7, 1, 20, 90, 800, 1e5, 1e20, 3e38)]
EXTREME += [1 + 1.2e-7, 1 - 6e-8, np.inf, -np.inf]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("sigma", [1e-3, 0.02, 1.0, 50.0])
@pytest.mark.parametrize("tau_ref", [0.0, 0.002])
@pytest.mark.parametrize("name", RATES)
def test_slopes_are_finite_everywhere(name, tau_ref, sigma, dtype, isa):
    if name in ("Sigmoid", "Tanh"):
        tau_ref = 0.002  # the inverse of the highest rate
    got = slopes(name, EXTREME, dtype, tau_ref=tau_ref, sigma=sigma)
    assert np.isfinite(got).all() and (got >= 0).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("sigma", [1e-2, 0.3, 1.0, 20.0])
def test_soft_lif_slope_is_exact(sigma, dtype, isa):
    """Against the formula in extended precision, also where its pieces meet."""
    x = np.concatenate([np.linspace(-60, 60, 1001), [-20.001, -19.999, -40.001, -39.999]])
    J = (1 + sigma * x).astype(dtype)
    j = J.astype(np.longdouble) - 1
    u = j / np.longdouble(np.array(sigma, dtype))
    soft = np.log1p(np.exp(-abs(u))) + np.maximum(u, 0)
    z, rise = sigma * soft, 1 / (1 + np.exp(-u))
    q = 0.002 + 0.02 * np.log1p(1 / z)
    due = 0.02 * rise / (q * q * z * (z + 1))
    rtol = 2e-5 if dtype == "float32" else 1e-11
    np.testing.assert_allclose(slopes("SoftLIFRate", J, dtype, sigma=sigma), due, rtol=rtol)


def test_kinks():
    """Where there are two slopes, the one of the silent side: as TensorFlow's relu has it."""
    assert slopes("RectifiedLinear", [0, -0.0, 1e-300], "float64").tolist() == [0, 0, 1]
    assert slopes("LeakyReLU", [0, -1, 1], "float64").tolist() == [0.3, 0.3, 1]
    assert slopes("LIFRate", [1, 0.5, -3], "float64").tolist() == [0, 0, 0]


def test_a_current_that_is_read_by_all_collects_all(isa):
    """Neurons whose current is one and the same element add their derivatives to it."""
    n, attrs = 21, {"type": "Tanh", "tau_ref": 0.5}
    for kind in ("param", "window"):
        vector = Operand(1, 0, (n,), (1,), (0,))
        one = Operand(0, 0, (n,), (0,), (0,))
        ops = [
            Op("neurons", "subject", 1, {"J": one, "out": vector}, attrs),
            Op("output", "y", 1, {"src": vector}, {"index": 0}),
        ]
        buffer = Buffer("param", "J", 1, param=0)
        if kind == "window":
            buffer = Buffer("window", "J", 1)
            dst = Operand(0, 0, (1,), (1,), (0,))
            ops.insert(0, Op("input", "x", 1, {"dst": dst}, {"index": 0}))
        params = (Param("J", 1),) if kind == "param" else ()
        inputs = (Port("x", 1),) if kind == "window" else ()
        program = Program(
            "float64",
            0.001,
            0,
            0,
            0,
            (buffer, Buffer("window", "out", n)),
            params,
            inputs,
            (Port("y", n),),
            (Region("sequence", tuple(ops)),),
        )
        compiled = _engine.Compiled(to_bytes(program))
        by_out = seed_of(kind).normal(size=(1, 2, n))
        x, J = np.full((1, 2, 1), 0.7), np.full(1, 0.7)
        state, istate = np.zeros((1, 0)), np.zeros((1, 0), np.int32)
        run = [[x] if inputs else [], [J] if params else [], state, istate, 0, 2, 1, [False]]
        got_x, got_J, _ = compiled.grad(*run, output_grads=[by_out])
        due = by_out.sum(axis=2)[0] * 2 / np.cosh(0.7) ** 2
        if kind == "param":
            assert_close(got_J, [np.array([due.sum()])], 1e-13)
        else:
            assert_close([got_x[0].ravel()], [due], 1e-13)
