"""What an op writes must not overlap; what can be shown not to is accepted."""

import numpy as np
import pytest
from handmade_programs import Maker, _engine, op, view

from nengo_dl.ir.program import to_bytes


def fill_model(size, shape, strides, offsets):
    maker = Maker()
    b = maker.buffer("window", size)
    dst = view(b, shape, strides, offsets)
    maker.region(
        "sequence",
        op("fill", {"dst": view(b, (size,))}, value=0.0),
        op("fill", {"dst": dst}, len(offsets), value=[float(k + 1) for k in range(len(offsets))]),
        maker.output(view(b, (size,))),
    )
    return maker


def elements(shape, strides, offset):
    at = np.array([offset])
    for n, s in zip(shape, strides, strict=True):
        at = np.add.outer(at, np.arange(n) * (s if n > 1 else 0)).ravel()
    return at


APART = {
    "side by side": (12, (4,), (1,), (0, 4, 8)),
    "in any order": (12, (4,), (1,), (8, 0, 4)),
    "columns of a matrix": (12, (4,), (3,), (0, 1, 2)),
    "columns in any order": (12, (4,), (3,), (2, 0, 1)),
    "some columns of a matrix": (20, (4,), (5,), (0, 1, 4)),
    "column slices": (24, (4, 2), (6, 1), (0, 2, 4)),
    "rows of column slices": (24, (2, 2), (6, 1), (0, 2, 4, 12, 14, 16)),
    "backwards": (12, (4,), (-3,), (9, 10, 11)),
    "transposed": (12, (3, 4), (1, 3), (0,)),
    "one element": (3, (1, 1), (0, 0), (0, 2)),
    "strides that are not used": (8, (1, 2, 1), (-(2**63), 1, 2**63 - 1), (0, 2)),
    "woven": (8, (2, 2), (3, 2), (0, 1)),
}


@pytest.mark.parametrize("case", APART)
def test_disjoint_blocks_are_accepted(case):
    size, shape, strides, offsets = APART[case]
    due = np.zeros(size)
    written = np.concatenate([elements(shape, strides, o) for o in offsets])
    if len(set(written)) != len(written):
        with pytest.raises(_engine.ProgramError, match="more than once"):
            _engine.Compiled(to_bytes(fill_model(size, shape, strides, offsets).program()))
        return
    for k, o in enumerate(offsets):
        due[elements(shape, strides, o)] = k + 1
    (out,), *_ = fill_model(size, shape, strides, offsets).run(2)
    np.testing.assert_array_equal(out[0], [due, due])


@pytest.mark.parametrize("seed", range(40))
def test_random_blocks_are_judged_exactly(seed):
    rng = np.random.RandomState(seed)
    shape = tuple(rng.randint(1, 4, rng.randint(0, 4)))
    strides = tuple(rng.choice([-6, -2, -1, 0, 1, 2, 3, 4, 9], len(shape)))
    offsets = tuple(rng.randint(0, 30, rng.randint(1, 4)) + 40)
    written = np.concatenate([elements(shape, strides, o) for o in offsets])
    maker = fill_model(100, shape, strides, offsets)
    if len(set(written)) == len(written):
        (out,), *_ = maker.run(1)
        assert (out != 0).sum() == len(written)
    else:
        with pytest.raises(_engine.ProgramError, match="more than once"):
            _engine.Compiled(to_bytes(maker.program()))


LARGE = {
    "lines that meet": ((2**16, 2**16), (3, 2), (0, 1), "more than once"),
    "lines apart": ((2**26,), (5,), (0, 1, 4), None),
    "many more than there is room for": (
        (2**11, 2**10, 2**11),
        (3, 7, 2),
        (0, 1),
        "more than once",
    ),
    "too far apart": ((2**28,), (5,), (0, 1, 4), "too large to be shown"),
}


@pytest.mark.parametrize("case", LARGE)
def test_large_pieces_are_judged_exactly(case):
    shape, strides, offsets, message = LARGE[case]
    maker = Maker()
    dst = view(maker.buffer("window", 2**33), shape, strides, offsets)
    maker.region("sequence", op("fill", {"dst": dst}, len(offsets), name="weave", value=0.0))
    if message is None:
        _engine.Compiled(to_bytes(maker.program()))
        return
    with pytest.raises(_engine.ProgramError, match=f"weave.*{message}"):
        _engine.Compiled(to_bytes(maker.program()))


def test_any_number_of_ops_is_judged():
    maker = Maker()
    dst = view(maker.buffer("window", 40_960), (64, 64, 2), (640, 10, 3), (0, 1, 5))
    fill = op("fill", {"dst": dst}, len(dst.offsets), value=0.0)
    maker.region("sequence", *[fill] * 3000)
    _engine.Compiled(to_bytes(maker.program()))


def test_arguments_of_an_op_must_not_overlap():
    maker = Maker()
    b = maker.buffer("window", 3)
    args = {"time": view(b, (), offsets=(1,)), "step": view(b, (), offsets=(1,))}
    maker.region("sequence", op("time", args, name="clock"))
    with pytest.raises(_engine.ProgramError, match=r"\(clock\): writes the same element"):
        _engine.Compiled(to_bytes(maker.program()))
