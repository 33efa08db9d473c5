"""Parameters that lie column by column outside and row by row inside: the same bits either way."""

from dataclasses import replace

import numpy as np
import pytest
from handmade_programs import Maker, _engine, op, to_bytes, view

SHAPES = [(2, 100), (3, 7), (7, 8), (8, 3), (9, 11), (40, 33), (65, 64)]


def products(dtype, m, n, count=2):
    """Matrices in one parameter, row by row inside, each times a piece of the input."""
    rng = np.random.RandomState(m * n)
    maker = Maker(dtype)
    A = maker.buffer("param", count * m * n, "A", rng.randn(count * m * n))
    X, Y = maker.buffer("window", count * n, "X"), maker.buffer("window", count * m, "Y")
    args = {
        "A": view(A, (m, n), (n, 1), [k * m * n for k in range(count)]),
        "X": view(X, (n,), (1,), [k * n for k in range(count)]),
        "Y": view(Y, (m,), (1,), [k * m for k in range(count)]),
    }
    maker.region("sequence", maker.input(X, count * n), op("dense", args, count, set=1),
                 maker.output(view(Y, (count * m,))))  # fmt: skip
    return maker


def turn(maker, m, n):
    """The same program with its parameter as the outside of a turned one has it."""
    turned = Maker(maker.dtype)
    turned.__dict__.update(maker.__dict__)
    turned.params = [replace(maker.params[0], rows=m, columns=n)]
    turned.values = [transposed(maker.values[0], m, n)]
    return turned


def transposed(values, rows, columns):
    return np.ascontiguousarray(values.reshape(-1, rows, columns).swapaxes(1, 2)).ravel()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("m, n", SHAPES)
def test_runs_and_gradients(backend, dtype, m, n):
    """On every backend, which turns them where it keeps values."""
    plain = products(dtype, m, n)
    turned = turn(plain, m, n)
    rng, batch, steps = np.random.RandomState(0), 3, 5
    x = rng.randn(batch, steps, 2 * n).astype(dtype)
    dy = rng.randn(batch, steps, 2 * m).astype(dtype)
    found = []
    for maker in (plain, turned):
        compiled = _engine.Compiled(to_bytes(maker.program()))
        outputs, done, error, _ = maker.run(steps, batch, [x], compiled=compiled)
        assert done == steps and error is None
        none = np.zeros((batch, 0), dtype), np.zeros((batch, 0), np.int32)
        inputs, params, _ = compiled.grad([x], maker.values, *none, 0, steps, batch, [False], [dy])
        found.append([*outputs, *inputs, *params])
    found[1][-1] = transposed(found[1][-1], n, m)
    for a, b in zip(*found, strict=True):
        np.testing.assert_array_equal(a, b)
    assert np.any(found[0][-1] != transposed(found[0][-1], n, m)), "nothing was turned"


@pytest.mark.parametrize(
    "change, message",
    [
        ({"rows": 3, "columns": 0}, "rows and columns of matrices"),
        ({"rows": 0, "columns": 3}, "rows and columns of matrices"),
        ({"rows": -3, "columns": -7}, "rows and columns of matrices"),
        ({"rows": 4, "columns": 7}, "its 42 elements are made of, got 4 and 7"),
        ({"rows": 2**40, "columns": 2**40}, "rows and columns of matrices"),
    ],
)
def test_matrices_that_do_not_fit(change, message):
    maker = products("float64", 3, 7)
    maker.params = [replace(maker.params[0], **change)]
    with pytest.raises(ValueError, match=message):
        _engine.Compiled(to_bytes(maker.program()))


def test_learned_parameters_are_not_turned():
    maker = Maker()
    learned = maker.buffer("learned", 6, "L", np.zeros((1, 6)))
    maker.params = [replace(maker.params[0], rows=2, columns=3)]
    maker.region("sequence", maker.output(view(learned, (6,))))
    with pytest.raises(ValueError, match="rows and columns 0, as it is learned"):
        _engine.Compiled(to_bytes(maker.program()))
