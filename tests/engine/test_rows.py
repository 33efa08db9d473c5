"""Threads that share out the rows of an op, which all read the same: the bits of one thread."""

import numpy as np
import pytest
import scipy.sparse
from handmade_programs import Maker, _engine, op, to_bytes, view
from test_fused_learning import NAMES, Learning

pytestmark = pytest.mark.usefixtures("divided_library")

RULES = [rule for rule in NAMES if rule != "rls"]  # which changes what all of its rows read
PRODUCTS = ("rows", "columns", "spread", "bias", "sparse")


def product(maker, form, x, y, m, n, rng):
    """An op y (+)= A x; `form` of A, or what else there is."""
    args, weights = {"X": x, "Y": y}, rng.normal(size=(m, n)) / n**0.5
    if form == "sparse":
        weights[rng.uniform(size=(m, n)) < 0.8] = 0
        weights[3:9] = 0  # rows without an entry
        entries = scipy.sparse.csr_matrix(weights)
        buffer = maker.buffer("param", entries.nnz, "A", entries.data)
        indices, indptr = entries.indices.tolist(), entries.indptr.tolist()
        args["A"] = view(buffer, (entries.nnz,))
        return op("sparse", args, set=1, indices=indices, indptr=indptr)
    strides = {"columns": (1, m), "bias": (1, m), "spread": (2 * n, 2)}.get(form, (n, 1))
    values = np.zeros(2 * m * n)
    shape = [values.itemsize * stride for stride in strides]
    np.lib.stride_tricks.as_strided(values, (m, n), shape)[...] = weights
    args["A"] = view(maker.buffer("param", values.size, "A", values), (m, n), strides)
    if form == "bias":
        args["bias"] = view(maker.buffer("param", m, "bias", rng.normal(size=m)), (m,))
    return op("dense", args, set=1)


def recurrent(form, m, dtype, spiking):
    """Every unit hears all others: nothing but rows can be shared out."""
    rng = np.random.RandomState(m)
    maker = Maker(dtype, window=7)
    x, y, out = (maker.buffer("window", m, name) for name in ("x", "y", "out"))
    fed_back = maker.buffer("carried", m, "fed back")
    now, before = view(fed_back, (m,), shift=1), view(fed_back, (m,))
    x_in, x = maker.input(x, m), view(x, (m,))
    heard = product(maker, form, view(out, (m,)), view(y, (m,)), m, m, rng)
    act = (
        op("copy", {"src": x, "dst": view(out, (m,))}, set=1),
        op("copy", {"src": before, "dst": view(out, (m,))}, set=0),
    )
    if spiking:
        v, r = (view(maker.buffer("state", m, name), (m,)) for name in ("v", "r"))
        J = view(maker.buffer("local", m, "J"), (m,))
        act = (
            op("copy", {"src": x, "dst": J}, set=1),
            op("copy", {"src": before, "dst": J}, set=0),
            op(
                "neurons",
                {"J": J, "out": view(out, (m,)), "voltage": v, "refractory_time": r},
                type="LIF",
                tau_rc=0.02,
                tau_ref=0.002,
                min_voltage=0.0,
                amplitude=0.02,
            ),
        )
    lowpass = op("lowpass", {"x": view(y, (m,)), "y": now}, a=0.5, b=0.5)
    maker.region("sequence", x_in)
    maker.region("loop", *act, heard, lowpass)
    maker.region("sequence", maker.output(now))
    return maker


@pytest.mark.parametrize("spiking", [False, True])
@pytest.mark.parametrize("m", [16, 37, 130])
@pytest.mark.parametrize("form", PRODUCTS)
def test_products_in_loops(isa, form, m, spiking):
    for dtype in ("float32", "float64"):
        maker = recurrent(form, m, dtype, spiking)
        x = np.random.RandomState(0).uniform(0, 3, (2, 30, m)).astype(dtype)
        program = to_bytes(maker.program())
        plain, divided = (_engine.Compiled(program, name) for name in ("cpu", "divided"))
        due = maker.run(30, 2, [x], compiled=plain, threads=1)
        assert np.abs(due[0][0]).max() > 0.01
        for threads in (3, 4, 7):
            loop = [row for row in divided.divided(threads) if row[0] == 1]
            if m > 100 and threads < 7:
                assert max(row[4] for row in loop) < 0.5, loop
            got = maker.run(30, 2, [x], compiled=divided, threads=threads)
            np.testing.assert_array_equal(got[0][0], due[0][0])
            np.testing.assert_array_equal(got[-1], due[-1])


@pytest.mark.parametrize("form", PRODUCTS)
def test_products_that_grow_in_sequences(isa, form):
    """Their outputs stay with the thread that made them, up to the ops that follow."""
    m, n = 120, 10
    for dtype in ("float32", "float64"):
        maker = Maker(dtype, window=7)
        x, y = maker.buffer("window", n, "x"), maker.buffer("window", m, "y")
        z = view(maker.buffer("carried", m, "z"), (m,), shift=1)
        rng = np.random.RandomState(1)
        ops = [maker.input(x, n), product(maker, form, view(x, (n,)), view(y, (m,)), m, n, rng)]
        ops.append(op("lowpass", {"x": view(y, (m,)), "y": z}, a=0.5, b=0.5))
        maker.region("sequence", *ops)
        maker.region("sequence", maker.output(z))
        program, x = to_bytes(maker.program()), rng.normal(size=(2, 30, n)).astype(dtype)
        due = maker.run(30, 2, [x], threads=1)[0][0]
        assert np.abs(due).max() > 0.1
        divided = _engine.Compiled(program, "divided")
        for threads in (3, 4):
            assert [row[1:4] for row in divided.divided(threads)][1] == (1, 2, "islands")
            got = maker.run(30, 2, [x], compiled=divided, threads=threads)[0][0]
            np.testing.assert_array_equal(got, due)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("rule", RULES)
def test_learning_rules(isa, rule, dtype):
    learning = Learning(rule, dtype, M=160)
    program = to_bytes(learning.maker.program())
    learning.compiled = lambda fuse: _engine.Compiled(program, fuse=False)
    due = learning.run(False, 20, 1, 2, threads=1)
    assert np.abs(due[-2] - learning.initial).max() > 1e-3
    divided = _engine.Compiled(program, "divided")
    learning.compiled = lambda fuse: divided
    for threads in (3, 5):
        loop = [row for row in divided.divided(threads) if row[0] == 1]
        assert max(row[4] for row in loop) < 0.45, loop  # of two blocks
        got = learning.run(True, 20, 1, 2, threads=threads)
        for a, b in zip(got, due, strict=True):
            np.testing.assert_array_equal(a, b)


def test_all_kinds_with_rows_are_tested():
    assert {kind for kind, spec in _engine.op_specs().items() if spec["rows"]} == {
        "dense",
        "sparse",
        *RULES,
    }
