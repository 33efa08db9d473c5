"""What a step writes to an element and then overwrites has no effect, and must find no adjoint."""

import numpy as np
import pytest
from gradient_models import Setup, assert_close
from handmade_programs import Maker, _engine, op, view


def model(*writers, kind="window"):
    """An input ``x``, ops that write to ``y``, an output of ``y``."""
    maker = Maker()
    x = maker.buffer("window", 4, "x")
    y = maker.buffer(kind, 4, "y")
    shift = int(kind == "carried")
    ops = [write(x, y, shift) for write in writers]
    maker.region("loop", maker.input(x, 4), *ops, maker.output(view(y, (4,), shift=shift)))
    return maker


def copy(first=0, count=4, stride=1, **attrs):
    """A copy of the first elements of ``x`` to some of ``y``."""

    def make(x, y, shift):
        n = len(attrs.get("dst_index", range(count)))
        dst = view(y, (count,), (stride,), (first,), shift)
        return op("copy", {"src": view(x, (n,)), "dst": dst}, **{"set": 1} | attrs)

    return make


def lowpass(x, y, shift):
    return op("lowpass", {"x": view(x, (4,)), "y": view(y, (4,), shift=shift)}, a=0.5, b=0.5)


def fill(x, y, shift):
    return op("fill", {"dst": view(y, (4,), shift=shift)}, value=1.0)


def listed(*index):
    return copy(dst_index=list(index))


LOST = {
    "a copy after a copy": ("window", [copy(), copy()]),
    "a part": ("window", [copy(), copy(3, 1)]),
    "an increment": ("window", [copy(set=0), copy()]),
    "of a local buffer": ("local", [copy(), copy()]),
    "of a carried buffer": ("carried", [copy(), copy()]),
    "a filter after a copy": ("carried", [copy(), lowpass]),
    "a copy after a filter": ("carried", [lowpass, copy()]),
    "a constant after a copy": ("window", [copy(), fill]),
    "every other element": ("window", [copy(0, 2, 2), copy(1, 2, 1)]),
    "lists": ("window", [listed(0, 2), listed(1, 2)]),
}


@pytest.mark.parametrize("case", LOST)
def test_programs_without_a_gradient(case):
    kind, writers = LOST[case]
    setup = Setup(model(*writers, kind=kind))
    with pytest.raises(_engine.ProgramError, match="overwrites elements of buffer 'y'"):
        setup.compiled.tape_bytes(1, 1)


KEPT = {
    "increments": ("window", [copy(), copy(set=0), copy(1, 3, set=0)]),
    "a constant before a copy": ("window", [fill, copy()]),
    "parts": ("window", [copy(0, 2), copy(2, 2)]),
    "woven parts": ("window", [copy(0, 2, 2), copy(1, 2, 2)]),
    "lists": ("window", [listed(0, 3), listed(1, 2)]),
    "an increment of a filter": ("carried", [lowpass, copy(set=0)]),
}


@pytest.mark.parametrize("case", KEPT)
def test_programs_with_one(case):
    kind, writers = KEPT[case]
    setup = Setup(model(*writers, kind=kind), n_steps=4)
    assert_close(setup.grad(), setup.numeric())


def woven(*parts):
    """Copies to ``y``: part 0 is three elements of every six, part 1 the other three."""
    n = 3 * 2**18
    first = np.arange(n) // 3 * 6 + np.arange(n) % 3
    maker = Maker()
    x, y = maker.buffer("window", n, "x"), maker.buffer("window", 2 * n, "y")
    args = {"src": view(x, (n,)), "dst": view(y, (2 * n,))}
    ops = [op("copy", args, set=1, dst_index=(first + 3 * part).tolist()) for part in parts]
    maker.region("loop", maker.input(x, n), *ops, maker.output(view(y, (2 * n,))))
    return Setup(maker, n_steps=1, batch=1)


def test_large_woven_parts():
    """They are told apart element by element, however many there are."""
    woven(0, 1).compiled.tape_bytes(1, 1)
    with pytest.raises(_engine.ProgramError, match="overwrites elements of buffer 'y'"):
        woven(0, 0).compiled.tape_bytes(1, 1)


def product(matrix=True):
    """The product of a matrix and ``y``, whose gradient needs ``y``; or a copy, whose doesn't."""

    def make(maker, y):
        z = maker.buffer("window", 4, "z")
        z = view(z, (4,))
        if not matrix:
            return op("copy", {"src": view(y, (4,)), "dst": z}, set=1)
        a = maker.buffer("param", 16, "A", np.arange(16.0) / 8)
        return op("dense", {"A": view(a, (4, 4), (4, 1)), "X": view(y, (4,)), "Y": z}, set=1)

    return make


def read_between(reader, *behind):
    """``y`` is read by ``reader`` before the ops ``behind`` write to it."""
    maker = Maker()
    x, y = maker.buffer("window", 4, "x"), maker.buffer("window", 4, "y")
    read = reader(maker, y)
    ops = [copy()(x, y, 0), read, *(write(x, y, 0) for write in behind)]
    outputs = maker.output(read.args.get("Y") or read.args["dst"]), maker.output(view(y, (4,)))
    maker.region("loop", maker.input(x, 4), *ops, *outputs)
    return maker


@pytest.mark.parametrize("change", [{}, {"first": 3, "count": 1}, {"dst_index": [2, 1]}])
def test_values_that_change_behind_their_reader(change):
    setup = Setup(read_between(product(), copy(set=0, **change)))
    with pytest.raises(_engine.ProgramError, match="'X' in buffer 'y', which an op behind"):
        setup.compiled.tape_bytes(1, 1)


@pytest.mark.parametrize("seed", range(40))
def test_strided_readers_are_judged_exactly(seed):
    """Also where they name elements many times."""
    size = 9600
    rng = np.random.RandomState(seed)
    shape, strides = rng.randint(1, 40, 2), rng.choice([-60, -30, -9, 0, 1, 2, 30, 60], 2)
    read = np.add.outer(*(np.arange(n) * s for n, s in zip(shape, strides, strict=True))).ravel()
    read += size // 2
    changed = rng.choice(size, rng.randint(1, 60), replace=False)
    maker = Maker()
    y, z = maker.buffer("window", size, "y"), maker.buffer("window", read.size)
    values = view(y, tuple(shape.tolist()), tuple(strides.tolist()), (int(read[0]),))
    args = {"A": values, "X": values, "Y": view(z, values.shape)}
    source = view(y, (len(changed),))
    maker.region(
        "loop",
        maker.input(y, size),
        op("elementwise", args, set=1),
        op("copy", {"src": source, "dst": view(y, (size,))}, set=0, dst_index=changed.tolist()),
        maker.output(view(z, (read.size,))),
    )
    setup = Setup(maker, n_steps=1, batch=1)
    if np.isin(changed, read).any():
        with pytest.raises(_engine.ProgramError, match="in buffer 'y', which an op behind"):
            setup.compiled.tape_bytes(1, 1)
    else:
        setup.compiled.tape_bytes(1, 1)


def test_readers_that_need_no_values():
    setup = Setup(read_between(product(matrix=False), copy(set=0)), n_steps=4)
    assert_close(setup.grad(), setup.numeric())
    setup = Setup(read_between(product()), n_steps=4)
    assert_close(setup.grad(), setup.numeric())


def test_only_where_a_gradient_passes():
    """A buffer that nothing wanted depends on may be overwritten."""
    maker = model(copy(), copy())
    one = maker.buffer("param", 4, "one", np.ones(4))
    z = maker.buffer("window", 4, "z")
    ops = [op("copy", {"src": view(one, (4,)), "dst": view(z, (4,))}, set=1)] * 2
    maker.regions.clear(), maker.outputs.clear(), maker.inputs.clear()
    maker.region("loop", maker.input(0, 4), *ops, maker.output(view(0, (4,))))
    setup = Setup(maker, n_steps=3)
    assert_close(setup.grad(), setup.numeric())
