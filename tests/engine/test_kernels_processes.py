"""Synapses, noise and tables against Nengo's own processes and NumPy's RandomState."""

import nengo
import numpy as np
import pytest
from kernel_programs import LAYOUTS, OneOp, pack_generator

from nengo_dl import _engine

DT, STEPS = 0.001, 230


def process_steps(process, x, state=None):
    """Outputs of a synapse's own step function for inputs (n_steps, n)."""
    shape = x.shape[1:]
    state = process.make_state(shape, shape, DT, dtype=x.dtype) if state is None else state
    step = process.make_step(shape, shape, DT, None, state)
    steps = [np.array(step((i + 1) * DT, row)).ravel() for i, row in enumerate(x)]
    return np.array(steps)


@pytest.mark.parametrize("carried", [False, True])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("n", [1, 3, 16, 45, 200])
def test_lowpass(n, layout, carried, isa):
    x = np.random.RandomState(n).normal(size=(STEPS, 2 * n))
    a = np.exp(-DT / np.array([0.005, 0.1]))
    attrs = {"a": a, "b": 1 - a}
    case = OneOp("lowpass", attrs, {"x": x}, states={"y": np.zeros(2 * n)}, blocks=2, window=13)
    case.layout, case.carried = layout, carried
    outputs, states, _ = case.run(STEPS)
    taus = (0.005, 0.1)
    due = [process_steps(nengo.Lowpass(t), x[:, i * n :][:, :n]) for i, t in enumerate(taus)]
    due = np.concatenate(due, axis=1)
    np.testing.assert_allclose(states["y"], due[-1], rtol=1e-12, atol=1e-14)
    if carried:
        np.testing.assert_allclose(outputs["y"], due, rtol=1e-12, atol=1e-14)


def filters():
    """LinearFilters of order 0 to 5, with and without a direct path."""
    yield nengo.LinearFilter([0.7], [1], analog=False)
    yield nengo.LinearFilter([1], [0.01, 1])
    yield nengo.LinearFilter([0.3, 0.2], [1, -0.8], analog=False)
    yield nengo.Alpha(0.01)
    for order in (3, 4, 5):
        poles = np.poly(0.9 - 0.1 * np.arange(order))
        yield nengo.LinearFilter([0.1] * order, poles, analog=False)
        yield nengo.LinearFilter([0.1] * (order + 1), poles, analog=False)


def filter_attrs(synapse):
    A, B, C, D = synapse._get_ss(DT)
    direct = int(bool(np.any(D != 0)) and len(A) > 0)
    return {
        "A": np.ravel(A).astype(float),
        "B": np.ravel(B).astype(float),
        "C": np.ravel(C).astype(float),
        "D": float(np.ravel(D)[0]),
        "direct": direct,
    }


@pytest.mark.parametrize("carried", [False, True])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("n", [1, 19])
@pytest.mark.parametrize("synapse", list(filters()), ids=lambda s: f"{len(s.num)}over{len(s.den)}")
def test_filter(synapse, n, layout, carried, isa):
    x = np.random.RandomState(n).normal(size=(STEPS, n))
    attrs = filter_attrs(synapse)
    order = len(attrs["B"])
    case = OneOp("filter", attrs, {"x": x}, {"y": (n,)}, layout=layout, carried=carried)
    if order:
        case.states, case.shapes = {"X": np.zeros((order, n))}, {"X": (order, n)}
    due = process_steps(synapse, x)
    got = case.run(STEPS)[0]["y"]
    np.testing.assert_allclose(got, due, rtol=1e-12, atol=1e-12 * np.abs(due).max())


@pytest.mark.parametrize("carried", [False, True])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("taps", [1, 2, 11])
def test_triangle(taps, layout, carried, isa):
    n = 70
    x = np.random.RandomState(taps).normal(size=(STEPS, n))
    synapse = nengo.Triangle((taps - 1) * DT)
    count, n0, ndiff = synapse._get_coefficients(DT)
    assert count == taps
    states = {"Y": np.zeros(n), "X": np.zeros((taps, n)), "Xi": np.zeros(1)}
    attrs = {"n0": float(n0), "ndiff": float(ndiff)}
    case = OneOp("triangle", attrs, {"x": x}, {"y": (n,)}, states, shapes={"X": (taps, n)})
    case.layout, case.carried = layout, carried
    due = process_steps(synapse, x)
    np.testing.assert_allclose(case.run(STEPS)[0]["y"], due, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("Xi", [np.nan, np.inf, -np.inf, -7.0, 1e300, 2.5])
def test_triangle_survives_any_position(Xi):
    states = {"Y": np.zeros(3), "X": np.zeros((4, 3)), "Xi": np.array([Xi])}
    case = OneOp("triangle", {"n0": 0.4, "ndiff": 0.1}, {"x": np.ones((9, 3))}, {"y": (3,)}, states)
    case.shapes = {"X": (4, 3)}
    _, after, _ = case.run(9)
    assert 0 <= after["Xi"][0] < 4


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("dist", [nengo.dists.Gaussian(0.3, 2.0), nengo.dists.Uniform(-0.4, 1.7)])
@pytest.mark.parametrize("n, words", [(1, 0), (5, 0), (5, 1), (513, 1)])
def test_noise_is_that_of_numpy(dist, n, words, dtype, layout, isa):
    """Many numbers at a time, too, and where the two words of one are of two keys."""
    gaussian = isinstance(dist, nengo.dists.Gaussian)
    parameters = {"mean": 0.3, "std": 2.0} if gaussian else {"low": -0.4, "high": 1.7}
    attrs = {
        "set": 1,
        "dist": "gaussian" if gaussian else "uniform",
        "scale": 31.6,
        "rng": 0,
        **parameters,
    }
    rng = np.random.RandomState(3)
    rng.normal()  # a cached second value
    rng.randint(2**32, size=words, dtype=np.uint32)
    case = OneOp("noise", attrs, {}, {"dst": (n,)}, dtype=dtype, layout=layout)
    case.istate = pack_generator(rng)
    outputs, _, istate = case.run(STEPS)
    due = np.array([dist.sample(1, n, rng=rng)[0] * 31.6 for _ in range(STEPS)])
    np.testing.assert_array_equal(outputs["dst"], due.astype(dtype))
    np.testing.assert_array_equal(istate, pack_generator(rng))


@pytest.mark.parametrize("word", [0, -1, 2**31 - 1])
def test_noise_survives_any_generator(word):
    attrs = {"set": 1, "dist": "gaussian", "mean": 0.0, "std": 1.0, "scale": 1.0, "rng": 0}
    case = OneOp("noise", attrs, {}, {"dst": (4,)}, istate=np.full(628, word, np.int32))
    assert case.run(2)[0]["dst"].shape == (2, 4)


def test_generator_beyond_the_state_is_refused():
    attrs = {"set": 1, "dist": "gaussian", "mean": 0.0, "std": 1.0, "scale": 1.0, "rng": 1}
    case = OneOp("noise", attrs, {}, {"dst": (4,)}, istate=np.zeros(628, np.int32))
    with pytest.raises(_engine.ProgramError, match="rng"):
        case.run(1)


def table_case(process, table, **attrs):
    case = OneOp("table", {"set": 1, **attrs}, {}, {"dst": (table.shape[1],)})
    case.params, case.shapes = {"table": table}, {"table": table.shape}
    step = process.make_step((0,), (table.shape[1],), DT, np.random.RandomState(1), None)
    due = np.array([step((i + 1) * DT) for i in range(STEPS)])
    np.testing.assert_array_equal(case.run(STEPS)[0]["dst"], due)
    # a run that goes on where another one stopped
    late = case.run(50, first_step=STEPS - 50)[0]["dst"]
    np.testing.assert_array_equal(late, due[-50:])


def test_table_white_signal():
    process = nengo.processes.WhiteSignal(0.05, high=100)
    step = process.make_step((0,), (2,), DT, np.random.RandomState(1), None)
    table_case(process, np.array([step(i * DT) for i in range(50)]), mode="signal")


@pytest.mark.parametrize("period", [0.001, 0.01, 0.0333, 1.0])
def test_table_present_input(period):
    table = np.random.RandomState(0).normal(size=(7, 3))
    process = nengo.processes.PresentInput(table, period)
    table_case(process, table, mode="present", period=period)


def test_table_piecewise():
    table = np.random.RandomState(0).normal(size=(4, 2))
    times = np.array([0.01, 0.05, 0.0733, 0.2])
    process = nengo.processes.Piecewise(dict(zip(times, table, strict=True)))
    table_case(process, table, mode="piecewise", times=times)
