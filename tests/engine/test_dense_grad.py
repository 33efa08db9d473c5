"""Gradients of dense products against NumPy: every kernel, layout and place of the operands.

Differences of small random cases are in tests/contract; here are the sizes at which kernels change.
"""

import numpy as np
import pytest
from handmade_programs import Maker, _engine, op, to_bytes, view

# where the elements of A lie: in order, column by column, with gaps and backwards; one line for all
# rows or columns; all on one diagonal (a filter's taps)
ORDERS = {
    "C": lambda m, n: (n, 1),
    "F": lambda m, n: (1, m),
    "gaps": lambda m, n: (-2 * n, 2),
    "one row": lambda m, n: (0, 1),
    "one column": lambda m, n: (1, 0),
    "diagonals": lambda m, n: (1, 1),
}
SHAPES = [
    (1, 1),
    (1, 100),
    (100, 1),
    (3, 7),
    (10, 256),
    (8, 8),
    (17, 5),
    (24, 9),
    (33, 40),
    (64, 70),
]
SHAPES += [(65, 66), (2, 100), (100, 2), (100, 4), (256, 131), (12, 4200)]


class Product:
    """Blocks of Y (+)= A.X (+ bias), A and bias in buffers of any kind, with the gradients due."""

    def __init__(self, dtype, m, n, order="C", blocks=1, set_=1, kind="param", x_kind="window",
                 region="sequence", window=0, x_stride=1, same_a=False):  # fmt: skip
        self.dtype, self.m, self.n, self.blocks, self.x_stride = dtype, m, n, blocks, x_stride
        self.kind, self.x_kind, self.bias = kind, x_kind, bool(set_)
        maker = self.maker = Maker(dtype, window=window)
        self.rng = np.random.RandomState(m * 1000 + n)
        i, j = (s * np.arange(k) for s, k in zip(ORDERS[order](m, n), (m, n), strict=True))
        index = np.add.outer(i, j) - i.min() - j.min()
        self.room = int(index.max()) + 1
        starts = np.zeros(blocks, int) if same_a else self.room * np.arange(blocks)
        self.a_at = index + starts[:, None, None]  # elements of the buffer, per block
        self.x_at = np.add.outer(n * np.arange(blocks), x_stride * np.arange(n))
        self.b_at = np.add.outer(m * np.arange(blocks), np.arange(m))
        first = -i.min() - j.min()
        A = self.place(kind, self.room * blocks, "A")
        X = self.place(x_kind, blocks * n, "X")
        B = self.place(kind, blocks * m, "bias")
        Y = maker.buffer("window" if region == "sequence" else "local", blocks * m, "Y")
        strides = ORDERS[order](m, n)
        args = {
            "A": view(A, (m, n), strides, (starts + int(first)).tolist(), int(kind == "carried")),
            "X": view(X, (n,), (x_stride,), [n * k for k in range(blocks)]),
            "Y": view(Y, (m,), (1,), [m * k for k in range(blocks)]),
        }
        if self.bias:
            args["bias"] = view(B, (m,), (1,), self.b_at[:, 0].tolist(), int(kind == "carried"))
        maker.region("sequence", *self.fills)
        ops = [] if set_ else [op("fill", {"dst": view(Y, (blocks * m,))}, value=1.0)]
        ops += [op("dense", args, blocks, set=set_), maker.output(view(Y, (blocks * m,)))]
        maker.region(region, *ops)
        self.compiled = _engine.Compiled(to_bytes(maker.program()))

    fills = ()

    def place(self, kind, size, name):
        """A buffer whose values are a parameter, the state, or a model input."""
        buffer = self.maker.buffer(kind, size, name, np.zeros(size))
        if kind in ("window", "carried"):
            fill = self.maker.input(buffer, size, name)
            if kind == "carried":
                fill.args["dst"] = view(buffer, (size,), shift=1)
            self.fills = (*self.fills, fill)
        return buffer

    def data(self, steps, batch):
        """Random values of all that the program is given."""
        normal, p = self.rng.normal, self.maker.program()
        self.inputs = [normal(size=(batch, steps, q.size)).astype(self.dtype) for q in p.inputs]
        self.params = [
            normal(size=(batch, q.size) if q.learned else q.size).astype(self.dtype)
            for q in p.params
        ]
        self.state = normal(size=(batch, p.state_size)).astype(self.dtype)

    def source(self, name, kind, arrays, steps):
        """An operand's buffer, of inputs, params and state: (batch or 1, steps or 1, size)."""
        inputs, params, state = arrays
        if kind in ("param", "learned"):
            at = [q.name for q in self.maker.params].index(name)
            return params[at].reshape(-1, 1, params[at].shape[-1])
        if kind == "state":
            buffer = next(b for b in self.maker.buffers if b.name == name)
            return state[:, None, buffer.state_offset : buffer.state_offset + buffer.size]
        return inputs[[q.name for q in self.maker.inputs].index(name)]

    def check(self, steps, batch, threads=1):
        """Hold all gradients against NumPy's in double precision or more."""
        self.data(steps, batch)
        dy = self.rng.normal(size=(batch, steps, self.blocks * self.m)).astype(self.dtype)
        found = self.compiled.grad(
            self.inputs, self.params, self.state, np.zeros((batch, 0), np.int32), 0, steps, batch,
            [False], [dy], threads=threads,
        )  # fmt: skip
        given = (self.inputs, self.params, self.state)
        a = self.source("A", self.kind, given, steps).astype(float)[..., self.a_at]
        x = self.source("X", self.x_kind, given, steps).astype(float)[..., self.x_at]
        a, x = (np.broadcast_to(v, (batch, steps, *v.shape[2:])) for v in (a, x))
        d = dy.astype(float).reshape(batch, steps, self.blocks, self.m)
        due = {  # where, and the products of which elements are added up there
            "A": (self.a_at, "btki,btkj->{}kij", (d, x), self.kind),
            "X": (self.x_at, "btkij,btki->{}kj", (a, d), self.x_kind),
        }
        if self.bias:
            due["bias"] = (self.b_at, "btki->{}ki", (d,), self.kind)
        for name, (at, products, factors, kind) in due.items():
            got = self.source(name, kind, found, steps)
            own = [axis for axis in (0, 1) if got.shape[axis] > 1]  # else that of all is the sum
            each = np.einsum(products.format("".join("bt"[axis] for axis in own)), *factors)
            total = np.zeros((*(got.shape[axis] for axis in own), got.shape[-1]))
            np.add.at(total, (..., at), each)  # elements that are one get the sum
            total = total.reshape(got.shape)
            terms = steps * batch * max(self.m, self.n)
            atol = (4e-6 if self.dtype == "float32" else 1e-14) * np.sqrt(terms)
            np.testing.assert_allclose(got, total, rtol=0, atol=4 * atol, err_msg=name)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("order", ["C", "F", "gaps"])
@pytest.mark.parametrize("m, n", SHAPES)
def test_dense_gradient_equals_numpy(isa, dtype, order, m, n):
    for blocks, set_, region in [(1, 1, "sequence"), (3, 0, "loop")]:
        product = Product(dtype, m, n, order, blocks, set_, region=region)
        for batch, steps in [(1, 1), (3, 5), (11, 3)]:
            product.check(steps, batch)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("m, n", [(10, 256), (70, 131), (50, 2), (40, 90)])
def test_gradient_of_many_rows(isa, dtype, order, m, n):
    product = Product(dtype, m, n, order)
    for batch, steps in [(1, 300), (40, 9), (8, 1), (32, 1)]:
        product.check(steps, batch)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_gradient_of_a_large_product(isa, dtype, order):
    """Its operands are copied first, to lie side by side; those of dX only for many rows."""
    product = Product(dtype, 801, 775, order)
    for steps, batch in [(5, 3), (25, 8)]:
        product.check(steps, batch)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("kind", ["param", "learned", "state", "window", "carried"])
@pytest.mark.parametrize("x_kind", ["param", "state", "window"])
@pytest.mark.parametrize("region", ["sequence", "loop"])
def test_wherever_operands_lie(order, kind, x_kind, region):
    for m, n, blocks in [(9, 12, 2), (1, 5, 3), (5, 1, 1)]:
        product = Product("float64", m, n, order, blocks, kind=kind, x_kind=x_kind, region=region)
        for batch, steps in [(1, 4), (3, 1), (2, 7), (5, 2)]:
            product.check(steps, batch)


@pytest.mark.parametrize("kind", ["param", "learned", "window"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_operands_that_are_shared(kind, order):
    """All inputs are one element; all blocks have one matrix."""
    for m, n in [(20, 12), (1, 6), (30, 9)]:
        Product("float64", m, n, order, 2, kind=kind, x_stride=0).check(3, 10)
        Product("float64", m, n, order, 3, kind=kind, same_a=True).check(3, 10)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_threads_change_nothing(dtype):
    """Bit for bit the same on any number of threads."""
    product = Product(dtype, 40, 30, "F", window=3)
    product.check(20, 37)
    dy = product.rng.normal(size=(37, 20, 40)).astype(dtype)
    given = (product.inputs, product.params, product.state, np.zeros((37, 0), np.int32), 0, 20, 37)
    due = product.compiled.grad(*given, [False], [dy], threads=1)
    assert np.abs(due[1][0]).max() > 1
    for threads in (2, 3, 7):
        got = product.compiled.grad(*given, [False], [dy], threads=threads)
        for a, b in zip([*got[0], *got[1]], [*due[0], *due[1]], strict=True):
            np.testing.assert_array_equal(a, b)
