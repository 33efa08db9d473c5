"""Whole models as the CUDA backend runs them, its kernels compiled as plain C++ or on a GPU.

Single ops are in tests/contract.
"""

import numpy as np
import pytest
from gpus import GPU
from handmade_programs import Maker, _engine, op, to_bytes, view
from test_engine_run import integrator
from whole_models import BENCH, MODELS, model_of, whole_model

LIMITS = {"float32": 1e-5, "float64": 1e-10}  # relative to the largest value of an array
EVERY_MODEL = pytest.mark.parametrize("name", MODELS)
EVERY_DTYPE = pytest.mark.parametrize("dtype", LIMITS)


@pytest.fixture(autouse=True)
def _the_same_on_every_machine(gpu_library):
    """Other instructions of the CPU round otherwise, and might move a spike."""
    before = _engine.isa()
    _engine.set_isa("baseline")
    yield
    _engine.set_isa(before)


def three(model):
    """The CPU's, the backend's, and that with loops whose ops are kernels of their own."""
    return model.compiled("cpu"), model.compiled(GPU), model.compiled(GPU, fuse=False)


def assert_close(got, due, limit):
    for i, (a, b) in enumerate(zip(got, due, strict=True)):
        assert np.all(np.isfinite(b))
        error = np.abs(a - b).max(initial=0) / max(np.abs(b).max(initial=0), 1e-30)
        assert error <= limit, f"array {i} differs by {error:.1e}"


def assert_as_on_the_cpu(got, due, dtype):
    """In float32, the last bits of a GPU's sums may move a spike."""
    if GPU == "phases" or dtype == "float64":
        assert_close(got, due, LIMITS[dtype])


def assert_same_bits(got, due):
    for a, b in zip(got, due, strict=True):
        np.testing.assert_array_equal(a, b)


@EVERY_DTYPE
@EVERY_MODEL
def test_runs(name, dtype):
    """As on the CPU; twice, and with loops that are one kernel or many, the same bits."""
    model = whole_model(name, dtype)
    cpu, phases, plain = three(model)
    regions = enumerate(model.program.regions)
    loops = [i for i, region in regions if region.kind == "loop"]
    assert [number for number, *_ in phases.loops(1)] == loops and plain.loops(1) == []
    for batch in (1, 3):
        expected = model.run(cpu, 80, batch)
        outputs = expected[: len(model.program.outputs)]
        assert np.mean([np.any(output) for output in outputs]) >= 0.5
        got = model.run(phases, 80, batch)
        assert_as_on_the_cpu(got, expected, dtype)
        assert_same_bits(model.run(phases, 80, batch), got)
        assert_same_bits(model.run(plain, 80, batch), got)


@EVERY_DTYPE
@EVERY_MODEL
def test_gradients(name, dtype):
    """Likewise, with a tape and without one."""
    model = whole_model(name, dtype).training
    cpu, phases, plain = three(model)
    for batch in (1, 3):
        expected = model.gradients(cpu, 30, batch)
        assert np.mean([np.any(gradient) for gradient in expected]) > 0.8
        got = model.gradients(phases, 30, batch)
        assert_as_on_the_cpu(got, expected, dtype)
        assert_same_bits(model.gradients(phases, 30, batch), got)
        assert_same_bits(model.gradients(phases, 30, batch, tape=True), got)
        if GPU == "phases":
            assert_same_bits(model.gradients(plain, 30, batch), got)
        else:  # a warp sums up what in a loop is a thread's
            assert_close(model.gradients(plain, 30, batch), got, LIMITS[dtype])


@EVERY_DTYPE
def test_all_processors(dtype, gpu_library, monkeypatch):
    """Blocks of all processors share a large loop out."""
    monkeypatch.setenv("NENGO_DL_LOOP_WAY", "op by op")
    monkeypatch.setenv("NENGO_DL_TEST_PIECE", str(1 << 20))
    model = model_of(BENCH.spiking(800)[0], dtype)
    shared, plain = model.compiled(GPU), model.compiled(GPU, fuse=False)
    count = getattr(gpu_library, "launched_together", lambda: 0)  # of a GPU on the host
    before = count()
    assert_same_bits(model.run(shared, 5, 2), model.run(plain, 5, 2))
    assert count() - before == (1 if hasattr(gpu_library, "launched_together") else 0)


def test_python_is_not_called():
    """A program with a function of Python stays on the CPU."""
    m = Maker(window=1)
    out = m.buffer("window", 1)
    m.region("loop", op("callback", {"out0": view(out, (1,))}, index=0))
    m.region("sequence", m.output(view(out, (1,))))
    program = to_bytes(m.program())
    assert _engine.Compiled(program, "cpu").backend == "cpu"
    with pytest.raises(_engine.ProgramError, match=f"'{GPU}' has no kernel for op kind 'callback'"):
        _engine.Compiled(program, GPU)


def test_loops_of_no_items():
    """What a step takes can't be told of them."""
    compiled = whole_model("integrators", "float32").compiled(GPU)
    for items in (0, -3):
        with pytest.raises(ValueError, match=f"expected at least 1 item, got {items}"):
            compiled.loops(items)


def test_many_items_in_a_loop():
    """More than a GPU takes of anything but blocks in a row."""
    maker, items = integrator(), 70000
    x = np.random.RandomState(0).randint(-9, 9, (items, 2, 3)).astype(np.float64)
    compiled = _engine.Compiled(to_bytes(maker.program()), GPU)
    (before, after), *_ = maker.run(2, items, [x], compiled=compiled)
    np.testing.assert_array_equal(after, np.cumsum(x, axis=1))
    np.testing.assert_array_equal(before[:, 1], x[:, 0])
