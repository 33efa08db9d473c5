"""Convolutions at the sizes at which kernels change, and each item the same in any company."""

from dataclasses import dataclass

import numpy as np
import pytest
from handmade_programs import Maker, _engine, op, to_bytes, view


@dataclass(frozen=True)
class Conv:
    """A convolution in two dimensions, or its transpose."""

    size: tuple
    channels: int
    filters: int
    kernel: tuple = (3, 3)
    stride: tuple = (1, 1)
    pad: tuple = (1, 1)
    groups: int = 1
    last: bool = True
    transposed: bool = False

    @property
    def strides(self):
        return self.stride

    @property
    def pads(self):
        return self.pad

    @property
    def out(self):
        sizes = zip(self.size, self.kernel, self.strides, self.pads, strict=True)
        if self.transposed:
            return tuple((n - 1) * s + k - 2 * p for n, k, s, p in sizes)
        return tuple((n + 2 * p - k) // s + 1 for n, k, s, p in sizes)

    @property
    def elements(self):
        """Of weights, input and output."""
        weights = np.prod(self.kernel) * self.channels // self.groups * self.filters
        sizes = weights, np.prod(self.size) * self.channels, np.prod(self.out) * self.filters
        return tuple(int(n) for n in sizes)

    def op(self, args, blocks=1, **attrs):
        """The convolution as an op."""
        shapes = {
            "in_shape": self.size,
            "out_shape": self.out,
            "in_channels": self.channels,
            "out_channels": self.filters,
            "kernel": self.kernel,
            "stride": self.strides,
            "pad": self.pads,
            "groups": self.groups,
            "channels_last": int(self.last),
        }
        kind = "conv_transpose" if self.transposed else "conv"
        return op(kind, args, blocks, **shapes, **attrs)

    def program(self, dtype, weights, set_=1, window=0):
        """Input -> X, Y starts as 1 if it is incremented."""
        maker, sizes = Maker(dtype, window=window), self.elements
        places = maker.buffer("param", sizes[0], "W", weights)
        X, Y = maker.buffer("window", sizes[1], "X"), maker.buffer("window", sizes[2], "Y")
        flat = [view(b, (n,)) for b, n in zip((places, X, Y), sizes, strict=True)]
        maker.region(
            "sequence",
            maker.input(X, sizes[1]),
            op("fill", {"dst": flat[2]}, value=1.0),
            self.op(dict(zip("WXY", flat, strict=True)), set=set_),
            maker.output(flat[2]),
        )
        return maker

    def image(self, flat, shape, channels):
        """(items and steps, height, width, channels) of an array."""
        if self.last:
            return flat.reshape(-1, *shape, channels)
        return np.moveaxis(flat.reshape(-1, channels, *shape), 1, -1)

    def flat(self, image, rows):
        return (image if self.last else np.moveaxis(image, -1, 1)).reshape(*rows, -1)

    def joined(self):
        """(tap, positions of the input, positions of the output) that the weights of a tap join."""
        large, small = (self.out, self.size) if self.transposed else (self.size, self.out)
        for tap in np.ndindex(self.kernel):
            pairs = []
            for k, s, p, n, m in zip(tap, self.stride, self.pad, large, small, strict=True):
                at = [(i * s + k - p, i) for i in range(m) if 0 <= i * s + k - p < n]
                pairs.append(np.array(at, int).reshape(-1, 2))
            at_large, at_small = (np.ix_(pairs[0][:, i], pairs[1][:, i]) for i in (0, 1))
            yield tap, *((at_small, at_large) if self.transposed else (at_large, at_small))

    def due(self, weights, x, dy):
        """Y without what it started as, and the gradients of X and W: tap by tap."""
        groups, into, out = self.groups, self.channels // self.groups, self.filters // self.groups
        w = weights.astype(float).reshape(*self.kernel, into, groups, out)
        rows = x.shape[:2]
        x = self.image(x.astype(float), self.size, self.channels)
        dy = self.image(dy.astype(float), self.out, self.filters)
        x = x.reshape(*x.shape[:3], groups, into)
        dy = dy.reshape(*dy.shape[:3], groups, out)
        y, dx, dw = np.zeros_like(dy), np.zeros_like(x), np.zeros_like(w)
        for tap, a, b in self.joined():
            a, b = (slice(None), *a), (slice(None), *b)
            y[b] += np.einsum("ryxgi,igo->ryxgo", x[a], w[tap])
            dx[a] += np.einsum("ryxgo,igo->ryxgi", dy[b], w[tap])
            dw[tap] += np.einsum("ryxgi,ryxgo->igo", x[a], dy[b])
        y, dx = y.reshape(*y.shape[:3], -1), dx.reshape(*dx.shape[:3], -1)
        return self.flat(y, rows), self.flat(dx, rows), dw.ravel()


CASES = [
    Conv((7, 9), 3, 40),
    Conv((6, 6), 70, 33),
    Conv((3, 4), 210, 150),  # weights that are not read all at once
    Conv((8, 7), 5, 1, kernel=(5, 2), stride=(2, 1), pad=(2, 0)),
    Conv((5, 5), 64, 7, kernel=(1, 1), pad=(0, 0)),
    Conv((9, 9), 24, 24, groups=24),
    Conv((9, 6), 67, 67, stride=(2, 2), groups=67),
    Conv((20, 40), 100, 100, kernel=(3, 5), pad=(1, 2), groups=100),  # lines in several parts
    Conv((5, 6), 12, 24, groups=12),
    Conv((6, 5), 24, 40, groups=4),
    Conv((6, 5), 8, 40, last=False),
    Conv((6, 5), 9, 9, groups=9, last=False),
    Conv((5, 4), 20, 30, stride=(2, 3), transposed=True),
    Conv((4, 5), 17, 17, stride=(2, 2), groups=17, transposed=True),
    Conv((4, 5), 3, 5, stride=(3, 1), pad=(0, 1), last=False, transposed=True),
    Conv((1, 2), 3, 5, kernel=(3, 3), pad=(2, 2)),  # some outputs meet no tap in the middle
    # so many different ends, phases or taps that they are not listed
    Conv((2, 300), 1, 2, kernel=(1, 300), pad=(0, 290)),
    Conv((2, 611), 2, 3, kernel=(1, 600), stride=(1, 2), pad=(0, 580)),
    Conv((2, 3), 2, 3, kernel=(1, 500), stride=(1, 300), pad=(0, 7), transposed=True),
    Conv((2, 280), 1, 2, kernel=(1, 299), pad=(0, 1), transposed=True),
]


def numbers(case, dtype, steps, batch):
    rng = np.random.RandomState(0)
    w, x, y = case.elements
    shapes = (w,), (batch, steps, x), (batch, steps, y)
    return [rng.uniform(-1, 1, shape).astype(dtype) for shape in shapes]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_convolution_equals_its_definition(isa, case, dtype):
    limit = 2e-5 if dtype == "float32" else 1e-12
    for steps, batch, set_ in [(1, 1, 1), (2, 9, 0)]:
        w, x, dy = numbers(case, dtype, steps, batch)
        maker = case.program(dtype, w, set_)
        compiled = _engine.Compiled(to_bytes(maker.program()))
        (y,), _, _, state = maker.run(steps, batch, [x], compiled=compiled)
        none = state, np.zeros((batch, 0), np.int32)
        (dx,), (dw,), _ = compiled.grad([x], [w], *none, 0, steps, batch, [False], [dy])
        due = case.due(w, x, dy)
        for got, expected in zip((y - (1 - set_), dx, dw), due, strict=True):
            np.testing.assert_allclose(got, expected, rtol=0, atol=limit * np.abs(expected).max())


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_items_and_steps_do_not_know_each_other(isa, case, dtype):
    """Bit for bit the same in a batch or alone, in one run or step by step, on any threads."""
    w, x, _ = numbers(case, dtype, 3, 19)
    maker = case.program(dtype, w)
    compiled = _engine.Compiled(to_bytes(maker.program()))
    (together,), *_ = maker.run(3, 19, [x], compiled=compiled)
    for threads in (2, 3):
        (y,), *_ = maker.run(3, 19, [x], compiled=compiled, threads=threads)
        np.testing.assert_array_equal(y, together)
    for item, step in [(0, 0), (15, 2), (18, 1)]:
        one = np.ascontiguousarray(x[item : item + 1, step : step + 1])
        (y,), *_ = maker.run(1, 1, [one], compiled=compiled)
        np.testing.assert_array_equal(y[0, 0], together[item, step])
    alone = case.program(dtype, w, window=1).run(3, 1, [x[4:5]])[0][0]
    np.testing.assert_array_equal(alone[0], together[4])
