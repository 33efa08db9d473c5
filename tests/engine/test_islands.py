"""Threads that share out the ops of a window: the same bits as one thread, for all kinds."""

import sys
from pathlib import Path

import numpy as np
import pytest
from fused_programs import Ensembles
from handmade_programs import Maker, _engine, op, to_bytes, view

sys.path.insert(0, str(Path(__file__).parents[1] / "contract"))
from contract_cases import LAYOUTS, CaseBuilder  # noqa: E402
from contract_chains import Chain  # noqa: E402
from contract_engine import assert_same, run_engine  # noqa: E402
from contract_kinds import make_subject  # noqa: E402
from contract_neurons import make_neurons_of  # noqa: E402

pytestmark = pytest.mark.usefixtures("divided_library")

KINDS = sorted(kind for kind in _engine.op_specs() if kind != "callback")


def case_of(make, seed, n_steps=11):
    rng = np.random.RandomState(seed)
    dtype, layout = ["float64", "float32"][seed % 2], LAYOUTS[seed // 2 % len(LAYOUTS)]
    builder = CaseBuilder(rng, dtype, layout, batch=1 + seed // 8 % 2, n_steps=n_steps)
    builder.add(make(rng))
    return builder.build(window=[0, 3, 1, 4][seed % 4])


def ways(case):
    """How each thread count shares a case out, and that it changes no bit."""
    program = to_bytes(case.program)
    expected = run_engine(case, compiled=_engine.Compiled(program, "cpu"), threads=1)
    divided = _engine.Compiled(program, "divided")
    found = set()
    for threads in (2, 3, 5):
        assert_same(run_engine(case, compiled=divided, threads=threads), expected, threads)
        found.update(how for *_, how, _ in divided.divided(threads))
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_kinds(kind, isa):
    found = set().union(*(ways(case_of(lambda r: make_subject(kind, r), s)) for s in range(24)))
    assert "steps" in found  # the input ops around
    if _engine.op_specs()[kind]["slices"] and kind != "triangle":
        assert "islands" in found, "no case was cut by blocks"


@pytest.mark.parametrize("name", sorted(_engine.neuron_types()))
def test_neuron_types(name, isa):
    cases = (case_of(lambda rng: make_neurons_of(name, rng), seed) for seed in range(16))
    found = set().union(*map(ways, cases))
    draws = _engine.neuron_types()[name]["draws"]  # numbers in the order of its neurons
    assert "steps" in found and ("islands" in found) is not draws


@pytest.mark.parametrize("loop", [False, True])
def test_chains(loop):
    found = set()
    for seed in range(40):
        rng = np.random.RandomState(seed)
        found |= ways(Chain(rng, ["float32", "float64"][seed % 2], 1 + seed % 2, 20, loop).build())
    assert "islands" in found and ("steps" in found) is not loop


def lane_case(kind, n):
    """Two ops of one block, the second of which sees what the first writes."""
    maker = Maker(window=4)
    x, y, z = (maker.buffer("window", n, name) for name in "xyz")
    s = maker.buffer("state", n, "s")
    gain = maker.buffer("param", n, "gain", np.linspace(-1, 1, n))
    ops = {
        "lowpass": [op("lowpass", {"x": view(x, (n,)), "y": view(s, (n,))}, a=0.9, b=0.1)],
        "elementwise": [
            op(
                "elementwise",
                {"A": view(gain, (n,)), "X": view(x, (n,)), "Y": view(y, (n,))},
                set=1,
            )
        ],
    }[kind]
    ops.append(
        op("copy", {"src": view(s if kind == "lowpass" else y, (n,)), "dst": view(z, (n,))}, set=1)
    )
    maker.region("sequence", maker.input(x, n))
    maker.region("loop", *ops)
    maker.region("sequence", maker.output(view(z, (n,))))
    return maker


@pytest.mark.parametrize("kind", ["lowpass", "elementwise"])
@pytest.mark.parametrize("n", [2, 4, 37, 100_000])
def test_blocks_are_cut_into_lanes(kind, n):
    maker = lane_case(kind, n)
    x = np.random.RandomState(0).normal(size=(1, 9, n))
    results = {}
    for backend, threads in (("cpu", 1), ("divided", 2), ("divided", 3)):
        compiled = _engine.Compiled(to_bytes(maker.program()), backend)
        results[threads] = maker.run(9, inputs=[x], compiled=compiled, threads=threads)[0][0]
        loop = [row for row in compiled.divided(threads) if row[0] == 1]
        if threads == 2:
            assert [how for *_, how, _ in loop] == ["islands"]
            assert loop[0][-1] <= 0.6
    np.testing.assert_array_equal(results[1], results[2])
    np.testing.assert_array_equal(results[1], results[3])


def coupled(n, weight):
    """Two integrators whose inputs are each other's values, if the weight is in the product."""
    maker = Maker()
    u, v = maker.buffer("carried", 2 * n, "u"), maker.buffer("window", 2 * n, "v")
    values = np.random.RandomState(1).normal(size=n * n * (4 if weight else 2)) / n**0.5
    a = maker.buffer("param", values.size, "A", values)
    now = view(u, (2 * n,), shift=1)
    halves, size = (0, n), 2 * n if weight else n
    args = {
        "A": view(a, (n, size), (size, 1), (0, n * size)),
        "X": view(u, (size,), (1,), (0, 0) if weight else halves),
        "Y": view(v, (n,), (1,), halves),
    }
    product = op("dense", args, 2, set=1)
    lowpass = op("lowpass", {"x": view(v, (2 * n,)), "y": now}, a=0.9, b=0.1)
    maker.region("loop", product, lowpass)
    maker.region("sequence", maker.output(now))
    return maker


def test_what_is_coupled_waits_within_a_step():
    for weight, n, backend, shares in [
        (False, 8, "divided", [(0, 2, "islands")]),
        (True, 8, "divided", [(0, 1, "islands"), (1, 1, "islands")]),
        (True, 8, "cpu", [(0, 2, "alone")]),  # too little to wait for each other
        (True, 200, "cpu", [(0, 1, "islands"), (1, 1, "islands")]),
    ]:
        maker = coupled(n, weight)
        compiled = _engine.Compiled(to_bytes(maker.program()), backend)
        assert [row[1:4] for row in compiled.divided(2) if row[0] == 0] == shares
        state = np.random.RandomState(2).normal(size=(1, 2 * n))
        runs = [maker.run(50, state=state.copy(), compiled=compiled, threads=t) for t in (1, 2, 3)]
        assert np.abs(runs[0][0][0]).max() > 0.1
        for run in runs[1:]:
            np.testing.assert_array_equal(run[0][0], runs[0][0][0])
            np.testing.assert_array_equal(run[-1], runs[0][-1])


def test_small_windows_are_not_worth_it():
    """On the CPU's own backend one thread runs what takes no time; the results are the same."""
    maker = lane_case("lowpass", 3)
    x = np.ones((1, 9, 3))
    compiled = _engine.Compiled(to_bytes(maker.program()), "cpu")
    one, two = (maker.run(9, inputs=[x], compiled=compiled, threads=t)[0][0] for t in (1, 2))
    np.testing.assert_array_equal(one, two)


def test_many_ensembles_keep_their_fused_kernels():
    """From 32 blocks on, ops are cut by blocks only."""
    ensembles = Ensembles(1, 20, 40, loop=True).make()
    program = to_bytes(ensembles.maker.program())
    expected = ensembles.run(_engine.Compiled(program, "cpu"), 30, 1)
    divided = _engine.Compiled(program, "divided")
    for threads in (2, 3):
        (loop,) = [row for row in divided.divided(threads) if row[0] == 1]
        assert loop[3] == "islands" and loop[4] < 1.1 / threads
        for got, due in zip(ensembles.run(divided, 30, 1, threads=threads), expected, strict=True):
            np.testing.assert_array_equal(got, due)


def test_ways_take_turns():
    """A long run tries one thread and several, in one state: no step is lost, no bit changes."""
    ensembles = Ensembles(1, 64, 64, loop=True).make()
    program = to_bytes(ensembles.maker.program())
    n_steps = 3000  # several turns
    expected = ensembles.run(_engine.Compiled(program, "cpu"), n_steps, 1, threads=1)
    divided = _engine.Compiled(program, "divided")
    for _ in range(3):  # the first doesn't know yet which is faster
        results = ensembles.run(divided, n_steps, 1, threads=2)
        for got, due in zip(results, expected, strict=True):
            np.testing.assert_array_equal(got, due)
