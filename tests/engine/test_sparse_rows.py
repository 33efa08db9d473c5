"""Sparse products of several items at a time: the bits of one item alone, on every processor."""

import numpy as np
import pytest
from handmade_programs import Maker, op, to_bytes, view
from scipy import sparse

from nengo_dl import _engine

SHAPES = [(52, 63, 0.2), (7, 3, 0.6), (1, 40, 0.9), (40, 1, 0.9), (33, 500, 0.01)]
ITEMS = [1, 2, 3, 5, 8, 9, 16, 19]


class Product:
    """``Y = A X + A X`` with inputs and outputs, and the derivatives of all."""

    def __init__(self, shape, dtype, region="sequence", stride=1):
        rng = np.random.RandomState(1)
        self.shape, self.dtype = shape[:2], dtype
        self.matrix = sparse.random(*shape, "csr", random_state=rng, data_rvs=rng.randn)
        m, n = self.shape
        maker = self.maker = Maker(dtype)
        x, y = maker.buffer("window", n * stride, "X"), maker.buffer("window", m * stride, "Y")
        values = np.repeat(self.matrix.data, stride)
        a = maker.buffer("param", values.size, "A", values)
        X, Y = (view(b, (s,), (stride,)) for b, s in ((x, n), (y, m)))
        args = {"A": view(a, (self.matrix.nnz,), (stride,)), "X": X, "Y": Y}
        attrs = {key: tuple(getattr(self.matrix, key).tolist()) for key in ("indices", "indptr")}
        taken = maker.input(x, n)
        maker.region("sequence", op("input", {"dst": X}, index=taken.attrs["index"]))
        maker.region(region, *(op("sparse", args, set=s, **attrs) for s in (1, 0)))
        maker.region("sequence", maker.output(Y))
        self.compiled = _engine.Compiled(to_bytes(maker.program()))

    def data(self, items, steps):
        rng = np.random.RandomState(2)
        return [rng.randn(items, steps, s).astype(self.dtype) for s in self.shape[::-1]]

    def run(self, x):
        return self.maker.run(x.shape[1], len(x), [x], compiled=self.compiled)[0][0]

    def grad(self, x, dy):
        none = np.zeros((len(x), 0), self.dtype), np.zeros((len(x), 0), np.int32)
        sizes = 0, x.shape[1], len(x), [False]
        (dx,), (da,), _ = self.compiled.grad([x], self.maker.values, *none, *sizes, [dy])
        return dx, da


@pytest.fixture
def every_isa():
    """Runs a function with the kernels of each instruction set that the processor has."""
    before = _engine.isa()

    def run(function):
        found = []
        for isa in _engine.isas():
            _engine.set_isa(isa)
            found.append(function())
        return found

    yield run
    _engine.set_isa(before)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("items", ITEMS)
@pytest.mark.parametrize("shape", SHAPES)
def test_all_instruction_sets_find_the_same(shape, items, dtype, every_isa):
    def run():
        product = Product(shape, dtype)
        x, dy = product.data(items, 3)
        return product.run(x), *product.grad(x, dy)

    first, *others = every_isa(run)
    product = Product(shape, dtype)
    x, dy = (v.astype("float64") for v in product.data(items, 3))
    rows = np.repeat(np.arange(shape[0]), np.diff(product.matrix.indptr))
    by_a = np.einsum("btm,btn->mn", dy, x)[rows, product.matrix.indices]
    dense = product.matrix.toarray()
    within = 1e-4 if dtype == "float32" else 1e-12
    for got, due in zip(first, (2 * x @ dense.T, 2 * dy @ dense, 2 * by_a), strict=True):
        np.testing.assert_allclose(got, due, rtol=within, atol=within)
    for other in others:
        for got, due in zip(other, first, strict=True):
            np.testing.assert_array_equal(got, due)


@pytest.mark.parametrize("region", ["sequence", "loop"])
@pytest.mark.parametrize("items", ITEMS)
@pytest.mark.usefixtures("isa")
def test_every_item_has_the_bits_of_one_alone(items, region):
    product = Product(SHAPES[0], "float32", region)
    x, dy = product.data(items, 3)
    y, (dx, _) = product.run(x), product.grad(x, dy)
    for b in range(items):
        for t in range(3):
            one, by_one = x[b : b + 1, t : t + 1], dy[b : b + 1, t : t + 1]
            np.testing.assert_array_equal(product.run(one)[0, 0], y[b, t])
            np.testing.assert_array_equal(product.grad(one, by_one)[0][0, 0], dx[b, t])


@pytest.mark.usefixtures("isa")
def test_elements_apart_have_the_bits_of_elements_side_by_side():
    near, far = (Product(SHAPES[0], "float64", stride=stride) for stride in (1, 3))
    x, dy = near.data(5, 4)
    np.testing.assert_array_equal(far.run(x), near.run(x))
    (dx, da), (dx_far, da_far) = near.grad(x, dy), far.grad(x, dy)
    np.testing.assert_array_equal(dx_far, dx)
    np.testing.assert_allclose(da_far[::3], da, rtol=1e-12, atol=1e-14)


def sums_in_place(x_kind):
    """All steps add to one state, of an input or of a parameter."""
    matrix = sparse.random(9, 6, 0.5, "csr", random_state=3)
    maker = Maker("float64")
    x = maker.buffer(x_kind, 6, "X", np.arange(6.0))
    y, a = maker.buffer("state", 9, "Y"), maker.buffer("param", matrix.nnz, "A", matrix.data)
    args = {"A": view(a, (matrix.nnz,)), "X": view(x, (6,)), "Y": view(y, (9,))}
    attrs = {key: tuple(getattr(matrix, key).tolist()) for key in ("indices", "indptr")}
    if x_kind == "window":
        maker.region("sequence", maker.input(x, 6))
    maker.region("sequence", op("sparse", args, set=0, **attrs))
    return maker, matrix.toarray()


def test_increments_of_one_state_come_together():
    maker, matrix = sums_in_place("window")
    x = np.random.RandomState(0).randn(4, 7, 6)
    state = maker.run(7, 4, [x])[-1]
    np.testing.assert_allclose(state, x.sum(axis=1) @ matrix.T, rtol=1e-12)


def test_a_parameter_hears_all_items():
    maker, matrix = sums_in_place("param")
    compiled = _engine.Compiled(to_bytes(maker.program()))
    none, by_state = np.zeros((4, 0), np.int32), np.random.RandomState(0).randn(4, 9)
    found = compiled.grad(
        [], maker.values, np.zeros((4, 9)), none, 0, 7, 4, [], [], state_out_grad=by_state
    )[1]
    np.testing.assert_allclose(found[0], 7 * by_state.sum(axis=0) @ matrix, rtol=1e-12)
    rows, columns = matrix.nonzero()
    due = 7 * by_state.sum(axis=0)[rows] * np.arange(6.0)[columns]
    np.testing.assert_allclose(found[1], due, rtol=1e-12)


def test_indices_of_four_bytes():
    maker = Maker("float32")
    columns = 2**31
    x, y = maker.buffer("window", columns, "X"), maker.buffer("window", 1, "Y")
    a = maker.buffer("param", 1, "A", [1.0])
    args = {"A": view(a, (1,)), "X": view(x, (columns,)), "Y": view(y, (1,))}
    maker.region("sequence", op("sparse", args, set=1, indices=(5,), indptr=(0, 1)))
    with pytest.raises(_engine.ProgramError, match="expected at most 2.31 - 1 columns, got 21474"):
        _engine.Compiled(to_bytes(maker.program()))


def test_windows_are_as_long_as_with_dense_weights():
    """Rows that share what reading weights costs; a tape without values has the state of each."""
    m, n = 300, 1000

    def tape_bytes(kind):
        maker = Maker("float64")
        x, y, z = (maker.buffer(k, s) for k, s in (("window", n), ("window", m), ("carried", n)))
        a = maker.buffer("param", m * n, "A", np.zeros(m * n))
        args = {"A": view(a, (m, n)), "X": view(x, (n,)), "Y": view(y, (m,))}
        attrs = {}
        if kind == "sparse":
            args["A"] = view(a, (m * n,))
            attrs = {"indices": np.tile(np.arange(n), m), "indptr": np.arange(0, m * n + 1, n)}
        maker.region("sequence", maker.input(x, n), op(kind, args, set=1, **attrs))
        now = view(z, (n,), shift=1)
        added = (("copy", {"src": view(b, (n,)), "dst": now}, int(b == z)) for b in (z, x))
        maker.region("loop", *(op(copy, args, set=s) for copy, args, s in added))
        maker.region("sequence", maker.output(view(y, (m,))), maker.output(now))
        return _engine.Compiled(to_bytes(maker.program())).tape_bytes(4, 300, 0)

    assert tape_bytes("sparse") == tape_bytes("dense")
