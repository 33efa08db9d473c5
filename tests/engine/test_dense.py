"""Dense products: every form against NumPy, and each row the same whatever it is run with."""

from dataclasses import replace

import numpy as np
import pytest
from handmade_programs import Maker, _engine, op, to_bytes, view


def dense_model(dtype, blocks, m, n, order, set_=1, bias=False, region="sequence", seed=0):
    """A model with one dense op: input -> X (window), Y starts as 1 if it is incremented."""
    rng = np.random.RandomState(seed)
    maker = Maker(dtype)
    a = rng.randn(blocks, m, n).astype(dtype)
    # where matrix, input and output lie: in order, column by column, or with gaps and backwards
    strides = {"C": (n, 1), "F": (1, m), "gaps": (2 * n, 2)}[order]
    room = 2 * m * n if order == "gaps" else m * n
    flat = np.full((blocks, room), np.nan, dtype)
    for k in range(blocks):
        ij = np.add.outer(np.arange(m) * strides[0], np.arange(n) * strides[1])
        flat[k, ij] = a[k]
    A = maker.buffer("param", blocks * room, "A", flat.ravel())
    X = maker.buffer("window", blocks * n, "X")
    Y = maker.buffer("window" if region == "sequence" else "local", 2 * blocks * m, "Y")
    y_stride = -2 if order == "gaps" else 1
    first = 2 * (m - 1) if order == "gaps" else 0
    y_view = view(Y, (m,), (y_stride,), [2 * k * m + first for k in range(blocks)])
    args = {
        "A": view(A, (m, n), strides, [k * room for k in range(blocks)]),
        "X": view(X, (n,), (1,), [k * n for k in range(blocks)]),
        "Y": y_view,
    }
    b = rng.randn(blocks, m).astype(dtype)
    if bias:
        B = maker.buffer("param", blocks * m, "bias", b.ravel())
        args["bias"] = view(B, (m,), (1,), [k * m for k in range(blocks)])
    maker.region("sequence", maker.input(X, blocks * n))
    maker.region(
        region,
        op("fill", {"dst": y_view}, blocks, value=1.0),
        op("dense", args, blocks, set=set_),
        *(
            maker.output(view(Y, (m,), (y_stride,), (2 * k * m + first,)), f"y{k}")
            for k in range(blocks)
        ),
    )

    def due(x):
        exact = np.float64 if dtype == "float32" else np.longdouble
        y = np.einsum("kmn,btkn->kbtm", a, x.reshape(*x.shape[:2], blocks, n), dtype=exact)
        return y + (0 if set_ else 1) + (b[:, None, None].astype(np.float64) if bias else 0)

    return maker, due


SHAPES = [(1, 1), (1, 100), (100, 1), (3, 7), (10, 784), (16, 16), (17, 5), (33, 40), (100, 100)]
SHAPES += [(259, 263), (2, 100), (1, 600), (2, 600), (1100, 2), (50, 3), (345, 4)]
ROW_SHAPES = [(256, 784), (10, 256), (3000, 64), (300, 500), (100, 100), (100, 2), (1, 100)]
ROW_SHAPES += [(2, 100)]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("order", ["C", "F", "gaps"])
@pytest.mark.parametrize("m, n", SHAPES)
def test_dense_equals_numpy(isa, dtype, order, m, n):
    rng = np.random.RandomState(1)
    for blocks, set_, bias, region in [(1, 1, True, "sequence"), (3, 0, False, "loop")]:
        maker, due = dense_model(dtype, blocks, m, n, order, set_, bias, region)
        for batch, steps in [(1, 1), (3, 5), (16, 3)]:
            x = rng.randn(batch, steps, blocks * n).astype(dtype)
            outputs, done, error, _ = maker.run(steps, batch, [x])
            assert done == steps and error is None
            atol = (1e-5 if dtype == "float32" else 1e-13) * np.sqrt(n)
            for got, expected in zip(outputs, due(x), strict=True):
                np.testing.assert_allclose(got, expected, rtol=0, atol=4 * atol)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("order", ["C", "F", "gaps"])
@pytest.mark.parametrize("m, n", SHAPES)
def test_rows_do_not_know_each_other(isa, dtype, order, m, n):
    """Bit for bit the same in a batch or alone, in one run or step by step, on any threads."""
    maker, _ = dense_model(dtype, 2, m, n, order, bias=True)
    x = np.random.RandomState(2).randn(19, 7, 2 * n).astype(dtype)
    together = maker.run(7, 19, [x])[0]
    for threads in (1, 2, 3):
        for a, b in zip(maker.run(7, 19, [x], threads=threads)[0], together, strict=True):
            np.testing.assert_array_equal(a, b)
    for item in (0, 15, 18):
        for step in (0, 6):
            one = np.ascontiguousarray(x[item : item + 1, step : step + 1])
            for a, b in zip(maker.run(1, 1, [one])[0], together, strict=True):
                np.testing.assert_array_equal(a[0, 0], b[item, step])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("m, n", ROW_SHAPES)
def test_any_number_of_rows(isa, dtype, order, m, n):
    """Kernels take rows several at a time: each number of rows gives the bits of one."""
    maker, due = dense_model(dtype, 1, m, n, order)
    compiled = _engine.Compiled(to_bytes(maker.program()))
    x = np.random.RandomState(5).randn(16, 1, n).astype(dtype)
    (alone,), _, _, _ = maker.run(1, 1, [x[-1:]], compiled=compiled)
    atol = (4e-5 if dtype == "float32" else 4e-13) * np.sqrt(n)
    np.testing.assert_allclose(alone, due(x[-1:])[0], rtol=0, atol=atol)
    before = alone
    for rows in range(2, 17):
        (y,), _, _, _ = maker.run(1, rows, [x[-rows:]], compiled=compiled)
        np.testing.assert_array_equal(y[1:], before)  # all rows have moved on by one
        before = y


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("m, n, set_", [(801, 775, 1), (768, 1300, 0), (1200, 770, 0)])
def test_many_rows_of_a_large_product(isa, dtype, m, n, set_):
    """What is copied first, to lie side by side, has the bits of what is read in place."""
    maker, due = dense_model(dtype, 2, m, n, "F", set_, bias=bool(set_))
    maker.window = 17  # times 16 items
    x = np.random.RandomState(6).randn(16, 17, 2 * n).astype(dtype)
    together = maker.run(17, 16, [x])[0]
    atol = (4e-5 if dtype == "float32" else 4e-13) * np.sqrt(n)
    for got, expected in zip(together, due(x[15:]), strict=True):
        np.testing.assert_allclose(got[15:], expected, rtol=0, atol=atol)
    for item, step in [(0, 0), (7, 16), (15, 16)]:
        one = np.ascontiguousarray(x[item : item + 1, step : step + 1])
        for a, b in zip(maker.run(1, 1, [one])[0], together, strict=True):
            np.testing.assert_array_equal(a[0, 0], b[item, step])


def spikes(rng, shape, share, dtype):
    """Inputs of which so many are not 0; some rows are silent."""
    x = rng.randn(*shape) * (rng.rand(*shape) < share)
    x[::3, 1::4] = 0
    return x.astype(dtype)


def refuse_to_skip(maker, name="A"):
    """A weight that is not finite, behind those that are used: no column may be left out."""
    matrix = next(i for i, buffer in enumerate(maker.buffers) if buffer.name == name)
    param = maker.buffers[matrix].param
    size = maker.buffers[matrix].size + 1
    maker.buffers[matrix] = replace(maker.buffers[matrix], size=size)
    maker.params[param] = replace(maker.params[param], size=size)
    maker.values[param] = np.append(maker.values[param], np.nan).astype(maker.dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("share", [0, 0.03, 0.25])
@pytest.mark.parametrize(
    "m, n",
    [(64, 512), (65, 1030), (2100, 70), (79, 2049), (2, 64), (8, 400), (9, 1100), (63, 65)],
)
def test_inputs_that_are_0_may_be_left_out(isa, dtype, share, m, n):
    """Columns of spikes alone have the bits of all columns, in a batch or alone."""
    blocks, rng = 2, np.random.RandomState(7)
    x = spikes(rng, (5, 6, blocks * n), share, dtype)
    for set_, bias, region in [(1, True, "sequence"), (1, False, "loop"), (0, False, "loop")]:
        maker, due = dense_model(dtype, blocks, m, n, "F", set_, bias, region)
        together = maker.run(6, 5, [x])[0]
        atol = (4e-5 if dtype == "float32" else 4e-13) * np.sqrt(n)
        for got, expected in zip(together, due(x), strict=True):
            np.testing.assert_allclose(got, expected, rtol=0, atol=atol)
        alone = maker.run(6, 1, [x[4:5]])[0]
        refuse_to_skip(maker)
        every = maker.run(6, 5, [x])[0]
        for some, one, all_ in zip(together, alone, every, strict=True):
            np.testing.assert_array_equal(some, all_)
            np.testing.assert_array_equal(one[0], all_[4])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_columns_of_silent_inputs_are_not_read(isa, dtype):
    """Seen by the sign of a 0, which is all that they could change."""
    maker, _ = dense_model(dtype, 1, 64, 512, "F", bias=True)
    maker.values[1][:] = -0.0
    maker.values[0][:] = abs(maker.values[0])
    (y,) = maker.run(4, 1, [np.zeros((1, 4, 512), dtype)])[0]
    assert np.all(y == 0) and np.signbit(y).all()
    maker.values[0][11] = np.inf
    (y,) = maker.run(4, 1, [np.zeros((1, 4, 512), dtype)])[0]
    assert np.isnan(y[..., 11]).all() and not np.signbit(y[..., :11]).any()


def test_products_of_scalars_are_rounded_as_in_numpy(isa):
    """With n = 1, encoders times a value plus bias: no fused multiply-add."""
    for dtype in ("float32", "float64"):
        maker, _ = dense_model(dtype, 1, 101, 1, "F", bias=True)
        x = np.random.RandomState(3).randn(2, 9, 1).astype(dtype)
        a, bias = (v.reshape(1, 1, -1) for v in maker.values)
        np.testing.assert_array_equal(maker.run(9, 2, [x])[0][0], a * x + bias)


@pytest.mark.parametrize("kind", ["learned", "state", "carried"])
@pytest.mark.parametrize("shape", [(1, 50), (40, 1), (20, 30)])
def test_weights_of_each_item(isa, kind, shape):
    m, n = shape
    batch, steps = 5, 4
    rng = np.random.RandomState(4)
    weights = rng.randn(batch, m * n)
    maker = Maker()
    A = maker.buffer(kind, m * n, "A", weights)
    X = maker.buffer("window", n)
    Y = maker.buffer("window", m)
    ops = [maker.input(X, n)]
    shift = int(kind == "carried")
    if shift:  # a carried value is written in every step
        ops.append(op("copy", {"src": view(A, (m * n,)), "dst": view(A, (m * n,), shift=1)}, set=1))
    args = {"A": view(A, shape, shift=shift), "X": view(X, (n,)), "Y": view(Y, (m,))}
    ops += [op("dense", args, set=1), maker.output(view(Y, (m,)))]
    maker.region("loop", *ops)
    x = rng.randn(batch, steps, n)
    state = weights.copy() if maker.state_size else None
    (y,), _, _, _ = maker.run(steps, batch, [x], state)
    due = np.einsum("bmn,btn->btm", weights.reshape(batch, m, n), x)
    np.testing.assert_allclose(y, due, rtol=0, atol=1e-12)


@pytest.mark.parametrize("n", [40, 600])
def test_rows_that_overwrite_one_place(n):
    """Of steps outside of a loop, the last one stays, however large the matrix."""
    rng = np.random.RandomState(0)
    matrix = rng.standard_normal((n, n))
    maker = Maker("float32")
    x, y = maker.buffer("window", n, "X"), maker.buffer("state", n, "Y")
    a = maker.buffer("param", n * n, "A", matrix.T.ravel())  # column by column
    args = {"A": view(a, (n, n), (1, n)), "X": view(x, (n,)), "Y": view(y, (n,))}
    maker.region("sequence", maker.input(x, n), op("dense", args, set=1))
    inputs = rng.standard_normal((1, 7, n)).astype(np.float32)
    *_, state = maker.run(7, 1, [inputs])
    np.testing.assert_allclose(
        state[0], matrix.astype(np.float32) @ inputs[0, 6], atol=1e-4 * n**0.5
    )
