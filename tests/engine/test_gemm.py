"""Large products are left to cuBLAS on a GPU: which those are, and that their results are the same.

Without a GPU three loops stand for cuBLAS (``helpers/phases_backend.cpp``), which count its calls.
"""

from dataclasses import dataclass

import numpy as np
import pytest
from gpus import GPU, counter
from handmade_programs import Maker, _engine, op, to_bytes, view


@pytest.fixture
def calls(gpu_library):
    """Says how many products cuBLAS has been asked for."""
    return counter(gpu_library, "gemm_calls")


@pytest.fixture(autouse=True)
def _in_one_piece(monkeypatch):
    """Pieces of a run (engine/resident.h) would leave few rows to a product."""
    monkeypatch.setenv("NENGO_DL_TEST_PIECE", str(1 << 30))


@pytest.fixture
def always(monkeypatch):
    """Products of any size are cuBLAS's if their layout allows it."""
    monkeypatch.setenv("NENGO_DL_GEMM", "1")


@dataclass
class Product:
    """Blocks of Y (+)= A.X (+ bias); operands lie as `places` says, or one block behind another."""

    m: int
    n: int
    dtype: str = "float64"
    blocks: int = 1
    order: str = "C"
    bias: bool = False
    set: int = 1
    kind: str = "param"
    x_stride: int = 1
    places: dict = None  # operand -> block -> in which place of its buffer it lies
    region: str = "sequence"
    window: int = 0

    def maker(self):
        m, n, blocks, maker = self.m, self.n, self.blocks, Maker(self.dtype, window=self.window)
        rng = np.random.RandomState(m * 100 + n)
        places = {name: range(blocks) for name in "AXY"} | (self.places or {})
        width = n * self.x_stride
        A = maker.buffer(self.kind, blocks * m * n, "A", rng.normal(size=blocks * m * n))
        X = maker.buffer("window", blocks * width, "X")
        Y = maker.buffer("window", blocks * m, "Y")
        rows = (n, 1) if self.order == "C" else (1, m)
        args = {
            "A": view(A, (m, n), rows, [m * n * k for k in places["A"]]),
            "X": view(X, (n,), (self.x_stride,), [width * k for k in places["X"]]),
            "Y": view(Y, (m,), (1,), [m * k for k in places["Y"]]),
        }
        if self.bias:
            B = maker.buffer("param", m, "bias", rng.normal(size=m))
            args["bias"] = view(B, (m,), (1,), [0] * blocks)
        whole = view(Y, (blocks * m,))
        ops = [maker.input(X, blocks * width), op("fill", {"dst": whole}, value=1.0)]
        ops += [op("dense", args, blocks, set=self.set), maker.output(whole)]
        maker.region(self.region, *ops)
        return maker

    def results(self, backend, steps, batch, calls, **options):
        """What a run and the way back leave, and how many products each asked cuBLAS for."""
        maker, rng, asked = self.maker(), np.random.RandomState(0), []
        _engine.set_backend(backend)
        try:
            compiled = _engine.Compiled(to_bytes(maker.program()))
            sizes = maker.program().inputs[0].size, maker.program().outputs[0].size
            x, dy = (rng.normal(size=(batch, steps, s)).astype(self.dtype) for s in sizes)
            if self.kind == "learned":
                maker.values[0] = np.tile(maker.values[0], (batch, 1))
            before = calls()
            (y,), done, error, state = maker.run(steps, batch, [x], compiled=compiled, **options)
            assert done == steps
            assert error is None
            asked.append(calls() - before)
            given = ([x], maker.values, state, np.zeros((batch, 0), np.int32), 0, steps, batch)
            dx, params, _ = compiled.grad(*given, [False], [dy], **options)
            asked.append(calls() - before - 2 * asked[0])  # it begins with a run, too
        finally:
            _engine.set_backend("cpu")
        return [y, *dx, *params], asked

    def check(self, steps, batch, calls):
        """Hold the phases against the processor; returns the number of products asked for."""
        expected, none = self.results("cpu", steps, batch, calls)
        assert none == [0, 0]
        got, asked = self.results(GPU, steps, batch, calls)
        for a, b in zip(got, expected, strict=True):
            limit = (1e-12 if self.dtype == "float64" else 2e-5) * np.abs(b).max()
            np.testing.assert_allclose(a, b, rtol=0, atol=limit)
        return asked


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("bias, set_", [(False, 1), (True, 1), (False, 0)])
def test_large_products_are_the_same(dtype, order, bias, set_, calls):
    """One product forwards, one each for the adjoints of X and A; blocks go together."""
    for blocks in (1, 3):
        product = Product(48, 40, dtype, blocks, order, bias, set_)
        assert product.check(32, 8, calls) == [1, 2]


# Pieces of inputs and outputs hold all steps, or a little more than two windows.
@pytest.mark.parametrize("piece", [1 << 30, 2600 * 2 * 88 * 4])
def test_stops_leave_products_their_rows(piece, calls, monkeypatch):
    """Which steps are one product isn't for the clock to say: cuBLAS sums by their number."""
    monkeypatch.setenv("NENGO_DL_TEST_PIECE", str(piece))
    maker, batch = Product(48, 40, "float32").maker(), 2
    x = np.random.RandomState(0).normal(size=(batch, 5000, 40)).astype("float32")
    _engine.set_backend(GPU)
    try:
        compiled, asked, done = _engine.Compiled(to_bytes(maker.program())), [], []
        for limit in (0, 1000, 1e-9):
            before = calls()
            done.append(maker.run(5000, batch, [x], compiled=compiled, time_limit=limit)[1])
            asked.append(calls() - before)
    finally:
        _engine.set_backend("cpu")
    assert (done, asked) == ([5000, 5000, 1024], [5, 5, 1])


def test_small_products_are_left_to_phases(calls):
    assert Product(48, 40).check(3, 4, calls) == [0, 0]  # few rows
    assert Product(20, 20).check(32, 8, calls) == [0, 0]  # a small matrix


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("m, n", [(1, 1), (1, 6), (5, 1), (3, 7), (9, 4)])
def test_products_of_any_size_can_be_taken(dtype, order, m, n, calls, always):
    for blocks, bias, set_ in [(1, True, 1), (3, True, 1), (2, False, 0)]:
        for steps, batch in [(1, 3), (4, 1), (5, 2)]:
            product = Product(m, n, dtype, blocks, order, bias, set_)
            assert product.check(steps, batch, calls) == [1, 2]


@pytest.mark.parametrize("order", ["C", "F"])
def test_blocks_that_share_an_operand_or_are_out_of_order(order, calls, always):
    """Results of several blocks in one place are added one after the other."""

    def asked(**places):
        return Product(5, 4, blocks=3, order=order, places=places).check(4, 3, calls)

    assert asked(X=(1, 1, 1)) == [1, 3 + 1]
    assert asked(A=(2, 2, 2)) == [1, 1 + 3]
    assert asked(Y=(0, 2, 1)) == [3, 3 + 3]
    assert asked(X=(2, 1, 0)) == [3, 3 + 3]
    assert asked(A=(1, 0, 0)) == [3, 3 + 3]


def test_layouts_that_cublas_does_not_take(calls, always):
    assert Product(5, 4, x_stride=2).check(4, 3, calls) == [0, 0]
    assert Product(5, 4, kind="learned").check(4, 3, calls) == [0, 0]  # weights of each item
    assert Product(5, 4).check(1, 1, calls) == [0, 0]  # one row


def test_ops_of_a_loop(calls):
    """Its steps are one kernel's; the adjoints of weights are one product per window."""
    assert Product(48, 40, region="loop").check(32, 8, calls) == [0, 1]


def test_a_loop_that_is_run_again_has_the_same_values(calls, always):
    """The kernel of the whole loop doesn't ask cuBLAS; nor do its ops, on the way back."""
    assert Product(5, 4, region="loop").check(4, 3, calls) == [0, 1]
    assert Product(5, 4, region="loop", window=2).check(6, 3, calls) == [0, 3]


def test_rows_of_one_step_are_enough_if_they_are_many(calls):
    assert Product(60, 50).check(1, 100, calls) == [1, 2]


def test_windows_are_products_of_their_own(calls):
    assert Product(60, 50, window=20).check(60, 8, calls) == [3, 6]


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("region", ["sequence", "loop"])
def test_tf32_is_a_matter_of_each_run(order, region, calls):
    """Factors of float32 are rounded to 10 bits in runs that allow it, which none does by itself.

    So are those of the way back; in a loop, it alone asks cuBLAS, and that for the weights'.
    """
    product = Product(48, 40, "float32", order=order, region=region)

    def results(**options):
        return product.results(GPU, 32, 8, calls, **options)[0]

    plain, rounded, off, again = (
        results(**options) for options in ({}, {"tf32": True}, {"tf32": False}, {})
    )
    for values in (off, again):
        for a, b in zip(values, plain, strict=True):
            np.testing.assert_array_equal(a, b)
    found = [np.abs(a - b).max() / np.abs(b).max() for a, b in zip(rounded, plain, strict=True)]
    asked = [region == "sequence"] * 2 + [True]
    for value, rounds in zip(found, asked, strict=True):
        assert 2e-5 < value < 2e-3 if rounds else value == 0, found


def test_tf32_is_nothing_to_float64_or_the_processor(calls):
    for backend, dtype in ((GPU, "float64"), ("cpu", "float32"), ("cpu", "float64")):
        product = Product(48, 40, dtype)
        pair = [product.results(backend, 32, 8, calls, tf32=on)[0] for on in (True, False)]
        for a, b in zip(*pair, strict=True):
            np.testing.assert_array_equal(a, b)
