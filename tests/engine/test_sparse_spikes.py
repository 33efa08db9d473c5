"""Sparse products of inputs that are mostly 0: entries of the others alone, the bits of all."""

import numpy as np
import pytest
from handmade_programs import Maker, _engine, op, to_bytes, view
from scipy import sparse
from test_dense import refuse_to_skip, spikes

M, N = 52, 63  # no multiples of what a vector holds


def matrix_of(kind, rng, ordered):
    """A matrix in compressed rows, and how its entries are shaped."""
    matrix = sparse.random(M, N, 0.2, random_state=rng, data_rvs=rng.randn)
    if kind == "bsr":
        return matrix.tobsr((4, 3))
    matrix = matrix.tocsr()
    if not ordered:  # entries of a row in any order
        for i in range(M):
            part = slice(matrix.indptr[i], matrix.indptr[i + 1])
            order = rng.permutation(part.stop - part.start)
            matrix.indices[part] = matrix.indices[part][order]
            matrix.data[part] = matrix.data[part][order]
    return matrix


def product(kind, matrix, dtype, region, times=1):
    """The product, added to itself so many times."""
    maker = Maker(dtype)
    x, y = maker.buffer("window", N, "X"), maker.buffer("window", M, "Y")
    a = maker.buffer("param", matrix.data.size, "A", matrix.data.ravel())
    steps = np.cumprod((1, *matrix.data.shape[:0:-1]))[::-1]
    args = {
        "A": view(a, matrix.data.shape, tuple(int(s) for s in steps)),
        "X": view(x, (N,)),
        "Y": view(y, (M,)),
    }
    attrs = {key: tuple(int(v) for v in getattr(matrix, key)) for key in ("indices", "indptr")}
    maker.region("sequence", maker.input(x, N))
    maker.region(region, *(op(kind, args, set=int(k == 0), **attrs) for k in range(times)))
    maker.region("sequence", maker.output(view(y, (M,))))
    return maker


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("region", ["sequence", "loop"])
@pytest.mark.parametrize("kind, ordered", [("sparse", True), ("sparse", False), ("bsr", True)])
@pytest.mark.parametrize("share", [0, 0.03, 0.1, 0.6])
@pytest.mark.usefixtures("isa")
def test_entries_of_silent_inputs_may_be_left_out(kind, ordered, share, region, dtype):
    rng = np.random.RandomState(3)
    matrix = matrix_of(kind, rng, ordered)
    maker = product(kind, matrix, dtype, region, times=2)
    x = spikes(rng, (5, 40, N), share, dtype)  # so often that the entries are copied by columns
    (together,) = maker.run(40, 5, [x])[0]
    due = 2 * x.astype("float64") @ matrix.toarray().T
    np.testing.assert_allclose(together, due, rtol=0, atol=1e-5 if dtype == "float32" else 1e-13)
    (alone,) = maker.run(40, 1, [x[4:5]])[0]
    refuse_to_skip(maker)
    (every,) = maker.run(40, 5, [x])[0]
    np.testing.assert_array_equal(together, every)
    np.testing.assert_array_equal(alone[0], every[4])


def test_many_rows():
    """More than numbers of two bytes can tell apart."""
    rng = np.random.RandomState(4)
    rows = 17000
    matrix = sparse.random(rows, N, 0.02, random_state=rng, data_rvs=rng.randn, format="csr")
    maker = Maker("float64")
    x, y = maker.buffer("window", N, "X"), maker.buffer("window", rows, "Y")
    a = maker.buffer("param", matrix.nnz, "A", matrix.data)
    args = {"A": view(a, (matrix.nnz,)), "X": view(x, (N,)), "Y": view(y, (rows,))}
    attrs = {key: tuple(int(v) for v in getattr(matrix, key)) for key in ("indices", "indptr")}
    maker.region("loop", maker.input(x, N), op("sparse", args, set=1, **attrs))
    maker.region("sequence", maker.output(view(y, (rows,))))
    values = spikes(rng, (1, 30, N), 0.05, "float64")
    (got,) = maker.run(30, 1, [values])[0]
    np.testing.assert_allclose(got, values @ matrix.toarray().T, rtol=0, atol=1e-13)


def test_two_products_of_the_same_weights():
    """Each reads them in an order of its own, of which a run keeps one."""
    rng = np.random.RandomState(2)
    first = matrix_of("sparse", rng, True)
    ends = np.cumsum(np.diff(first.indptr)[::-1])  # as many in the last row as there in the first
    indices = first.indices.copy()
    for start, end in zip((0, *ends[:-1]), ends, strict=True):
        indices[start:end] = np.sort(rng.permutation(N)[: end - start])
    second = sparse.csr_matrix((first.data, indices, np.array([0, *ends])), shape=(M, N))
    maker = Maker("float64")
    x = maker.buffer("window", N, "X")
    targets = [maker.buffer("window", M, name) for name in "YZ"]
    a = maker.buffer("param", first.nnz, "A", first.data)
    maker.region("sequence", maker.input(x, N))
    for target, matrix in zip(targets, (first, second), strict=True):
        args = {"A": view(a, (first.nnz,)), "X": view(x, (N,)), "Y": view(target, (M,))}
        attrs = {key: tuple(int(v) for v in getattr(matrix, key)) for key in ("indices", "indptr")}
        maker.region("loop", op("sparse", args, set=1, **attrs))
    maker.region("sequence", *(maker.output(view(t, (M,)), str(t)) for t in targets))
    values = spikes(rng, (2, 50, N), 0.05, "float64")
    for got, matrix in zip(maker.run(50, 2, [values])[0], (first, second), strict=True):
        np.testing.assert_allclose(got, values @ matrix.toarray().T, rtol=0, atol=1e-13)


@pytest.mark.parametrize("kind", ["sparse", "bsr"])
def test_weights_that_are_not_finite_are_seen(kind):
    """0 times infinity is NaN, as along the rows."""
    rng = np.random.RandomState(5)
    matrix = matrix_of(kind, rng, True)
    matrix.data[...] = abs(matrix.data)
    matrix.data[tuple(0 for _ in matrix.data.shape)] = np.inf
    maker = product(kind, matrix, "float64", "loop")
    (y,) = maker.run(6, 2, [np.zeros((2, 6, N))])[0]
    assert np.isnan(y[..., 0]).all() and not np.isnan(y[..., 4:]).any()


def test_one_neuron_gives_its_column():
    """Sums begin with +0, as along the rows."""
    rng = np.random.RandomState(6)
    matrix = matrix_of("sparse", rng, True)
    maker = product("sparse", matrix, "float64", "sequence")
    compiled = _engine.Compiled(to_bytes(maker.program()))
    x = np.zeros((1, 9, N))
    x[0, :, 7] = np.arange(9)
    (y,) = maker.run(9, 1, [x], compiled=compiled)[0]
    np.testing.assert_array_equal(y[0], np.outer(np.arange(9), matrix.toarray()[:, 7]))
    assert not np.signbit(y[0, 0]).any()


def test_threads_that_share_out_steps(divided_library):
    """Each has entries by columns of its own, which it may be copying while the other one sums."""
    rng = np.random.RandomState(5)
    n, steps = 2000, 120
    matrix = sparse.random(n, n, 0.05, random_state=rng, data_rvs=rng.randn, format="csr")
    maker = Maker("float64")
    x, y = maker.buffer("window", n, "X"), maker.buffer("window", n, "Y")
    a = maker.buffer("param", matrix.data.size, "A", matrix.data)
    args = {"A": view(a, matrix.data.shape), "X": view(x, (n,)), "Y": view(y, (n,))}
    attrs = {key: tuple(int(v) for v in getattr(matrix, key)) for key in ("indices", "indptr")}
    maker.region("sequence", maker.input(x, n), op("sparse", args, set=1, **attrs))
    maker.region("sequence", maker.output(view(y, (n,))))
    divided = _engine.Compiled(to_bytes(maker.program()), "divided")
    assert "steps" in [how for *_, how, _ in divided.divided(2)]
    x = spikes(rng, (1, steps, n), 0.03, "float64")
    (due,) = maker.run(steps, 1, [x], threads=1)[0]
    for _ in range(10):
        (got,) = maker.run(steps, 1, [x], threads=2, compiled=divided)[0]
        np.testing.assert_array_equal(got, due)


def test_a_single_entry_cut_by_rows(divided_library):
    """Whose array has no axis, as it may."""
    rows = 4000
    maker = Maker("float64")
    x, y = maker.buffer("window", 1, "X"), maker.buffer("carried", rows, "Y")
    a = maker.buffer("param", 1, "A", [3.0])
    args = {"A": view(a, ()), "X": view(x, (1,)), "Y": view(y, (rows,), shift=1)}
    maker.region("sequence", maker.input(x, 1))
    kept = op("copy", {"src": view(y, (rows,)), "dst": view(y, (rows,), shift=1)}, set=1)
    entry = op("sparse", args, set=0, indices=(0,), indptr=(0, *[1] * rows))
    maker.region("loop", kept, entry)
    maker.region("sequence", maker.output(view(y, (rows,), shift=1)))
    divided = _engine.Compiled(to_bytes(maker.program()), "divided")
    assert "islands" in [how for *_, how, _ in divided.divided(2)]
    (got,) = maker.run(5, 1, [np.ones((1, 5, 1))], threads=2, compiled=divided)[0]
    np.testing.assert_array_equal(got[0, :, 0], 3 * np.arange(1.0, 6))
    assert not np.any(got[..., 1:])
