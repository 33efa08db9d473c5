"""Max pooling where many values of a window are equal, not numbers or infinite.

Random values, of which none are equal, are in tests/contract.
"""

import itertools

import numpy as np
import pytest
from kernel_programs import OneOp, _engine, to_bytes

# space, windows, strides, how far they reach beyond it before and behind
GEOMETRIES = [
    ((6,), (2,), (2,), (0,), (0,)),
    ((5, 7), (3, 2), (2, 3), (1, 0), (1, 1)),
    ((3, 4, 5), (2, 3, 2), (1, 2, 1), (1, 1, 0), (0, 1, 1)),
    ((9, 4), (9, 4), (1, 1), (0, 0), (0, 0)),
]
N_STEPS = 3


class Pool:
    """A program of one op, and what it computes by definition."""

    def __init__(self, geometry, channels, last, ties="first", dtype="float32"):
        space, width, stride, pad, behind = geometry
        out = [
            (n + p + b - w) // s + 1
            for n, w, s, p, b in zip(space, width, stride, pad, behind, strict=True)
        ]
        self.attrs = {
            "set": 1,
            "in_shape": list(space),
            "out_shape": out,
            "channels": channels,
            "kernel": list(width),
            "stride": list(stride),
            "pad": list(pad),
            "channels_last": int(last),
            "ties": ties,
        }
        self.space, self.out, self.channels, self.last = space, tuple(out), channels, last
        self.dtype = dtype
        self.rng = np.random.RandomState(channels)
        self.x = self.rng.randint(-2, 2, size=(N_STEPS, *space, channels)).astype(dtype)

    def order(self, image):
        """The rows of an op for images whose channels are last."""
        image = image if self.last else np.moveaxis(image, -1, 1)
        return np.ascontiguousarray(image.reshape(len(image), -1))

    def windows(self):
        """Positions in the output, and the part of the image that is meant."""
        a = self.attrs
        for at in itertools.product(*map(range, self.out)):
            first = [p * s - b for p, s, b in zip(at, a["stride"], a["pad"], strict=True)]
            yield (
                at,
                tuple(slice(max(f, 0), f + w) for f, w in zip(first, a["kernel"], strict=True)),
            )

    def due(self):
        y = np.empty((N_STEPS, *self.out, self.channels), self.dtype)
        for at, part in self.windows():
            y[(slice(None), *at)] = self.x[(slice(None), *part)].max(
                axis=tuple(range(1, 1 + len(at)))
            )
        return y

    def due_back(self, gradient):
        """To the first of the largest values, or to all in equal parts."""
        back = np.zeros(self.x.shape)
        for (at, part), t in itertools.product(self.windows(), range(N_STEPS)):
            for c in range(self.channels):
                x = self.x[(t, *part, c)]
                largest = np.isnan(x) if np.isnan(x).any() else x == x.max()
                if self.attrs["ties"] == "first":
                    largest = np.arange(x.size).reshape(x.shape) == np.argmax(x)
                back[(t, *part, c)] += largest / largest.sum() * gradient[(t, *at, c)]
        return back

    def program(self):
        size = self.order(self.due()).shape[1]
        return OneOp("max_pool", self.attrs, {"X": self.order(self.x)}, {"Y": (size,)},
                     dtype=self.dtype)  # fmt: skip

    def run(self):
        return self.program().run(N_STEPS)[0]["Y"]

    def back(self, gradient):
        compiled = _engine.Compiled(to_bytes(self.program().build()[0]))
        inputs, empty = [self.order(self.x)[None]], np.zeros((1, 0), self.dtype)
        (found,), _, _ = compiled.grad(
            inputs, [], empty, np.zeros((1, 0), np.int32), 0, N_STEPS, 1, [False],
            [self.order(gradient.astype(self.dtype))[None]], threads=1,
        )  # fmt: skip
        return found[0]


CASES = [
    (geometry, channels, last)
    for geometry in GEOMETRIES
    for channels, last in [(1, True), (3, True), (8, False), (17, True), (37, True), (70, True)]
]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("geometry, channels, last", CASES)
def test_values(geometry, channels, last, dtype, isa, backend):
    pool = Pool(geometry, channels, last, dtype=dtype)
    np.testing.assert_array_equal(pool.run(), pool.order(pool.due()))


@pytest.mark.parametrize("ties", ["first", "share"])
@pytest.mark.parametrize("geometry, channels, last", CASES)
def test_gradients_of_equal_values(geometry, channels, last, ties, isa, backend):
    pool = Pool(geometry, channels, last, ties, dtype="float64")
    gradient = pool.rng.normal(size=(N_STEPS, *pool.out, channels))
    expected = pool.order(pool.due_back(gradient))
    np.testing.assert_allclose(pool.back(gradient), expected, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("ties", ["first", "share"])
@pytest.mark.parametrize("geometry, channels, last", CASES)
def test_nan_and_infinity(geometry, channels, last, ties, isa, backend):
    """NaN goes through, and takes the gradient; a window may hold nothing but minus infinity."""
    pool = Pool(geometry, channels, last, ties, dtype="float64")
    odd = pool.rng.choice([0, 1, 2, 3], p=[0.3, 0.5, 0.1, 0.1], size=pool.x.shape)
    pool.x = np.choose(odd, [pool.x, -np.inf, np.inf, np.nan])
    np.testing.assert_array_equal(pool.run(), pool.order(pool.due()))
    gradient = pool.rng.normal(size=(N_STEPS, *pool.out, channels))
    expected = pool.order(pool.due_back(gradient))
    np.testing.assert_allclose(pool.back(gradient), expected, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize(
    "key, value, message",
    [
        ("in_shape", [7], "expected 21 elements, got 18"),
        ("kernel", [0], "expected 1 to"),
        ("stride", [6], "windows that all meet the input"),
        ("pad", [2], "windows that all meet the input"),
        ("out_shape", [3, 1], "expected 1 values"),
        ("channels", 0, "expected 1 to"),
        ("channels_last", 2, "expected 0 or 1, got 2"),
        ("ties", "last", "expected 'first' or 'share', got 'last'"),
    ],
)
def test_max_pool_refuses_foreign_memory(key, value, message):
    pool = Pool(GEOMETRIES[0], 3, True)
    program = pool.program()
    assert program.run(1)[0]["Y"].shape == (1, 9)
    program.attrs[key] = value
    with pytest.raises(_engine.ProgramError, match=message):
        program.run(1)
