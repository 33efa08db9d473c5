"""What the fuzzer once found interesting: programs that must be refused or run, never crash.

What runs is differentiated, too, on a tape and without.
"""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from contract_cases import Case
from contract_engine import _engine, run_engine
from contract_kinds import MAKERS

from nengo_dl.ir.program import from_bytes

pytestmark = pytest.mark.usefixtures("backend")

FILES = sorted((Path(__file__).parents[1] / "corpus").glob("[0-9a-f]*"))
TRAILER = 16  # bytes behind the program, as in cpp/fuzz/fuzz.h
BATCH, N_STEPS = 2, 3


def silent(item, time, inputs, outputs):
    """Stands for the Python functions of the programs."""


def small_numbers(rng, dtype, *shape):
    return rng.uniform(-2, 2, size=shape).astype(dtype)


def differentiate(case, compiled):
    """The gradient on a tape and, where no Python function is in the way, without one."""
    program, common = case.program, {"first_step": 0, "n_steps": N_STEPS, "batch": BATCH}
    common["keep_last"] = [False] * len(program.outputs)
    before = case.inputs, case.params, case.state, case.istate
    after = [[v.copy() for v in case.params], case.state.copy(), case.istate.copy()]
    tape = compiled.tape(BATCH, N_STEPS)
    calls = any(op.kind == "callback" for region in program.regions for op in region.ops)
    table = _engine.add_callbacks(case.callbacks)
    try:
        compiled.run(case.inputs, *after, **common, callbacks=table, tape=tape)
        outputs = [np.ones((BATCH, N_STEPS, p.size), program.dtype) for p in program.outputs]
        given = {"output_grads": outputs, "state_out_grad": np.ones_like(case.state)}
        for t in [tape] if calls else [tape, None]:
            inputs, params, state = compiled.grad(*before, **common, **given, tape=t)
            assert [v.shape for v in params] == [v.shape for v in case.params]
            assert [v.shape for v in inputs] == [v.shape for v in case.inputs]
            assert state.shape == case.state.shape
    finally:
        _engine.remove_callbacks(table)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_corpus_file(file):
    data = file.read_bytes()[:-TRAILER]
    try:
        compiled = _engine.Compiled(data)
    except _engine.ProgramError:
        return
    program, rng = from_bytes(data), np.random.RandomState(0)
    sizes = [x.size for x in (*program.buffers, *program.inputs, *program.outputs)]
    if sum(sizes) + program.state_size + program.istate_size > 1 << 16:
        return
    case = Case(
        program,
        [small_numbers(rng, program.dtype, BATCH, N_STEPS, p.size) for p in program.inputs],
        [
            small_numbers(rng, program.dtype, *([BATCH] if p.learned else []), p.size)
            for p in program.params
        ],
        small_numbers(rng, program.dtype, BATCH, program.state_size),
        rng.randint(-(2**31), 2**31, size=(BATCH, program.istate_size)).astype(np.int32),
        0,
        N_STEPS,
        BATCH,
        [silent] * 8,
    )
    try:
        result = run_engine(case, compiled=compiled)
    except (IndexError, ValueError, RuntimeError):
        return  # a callback that is not there
    assert len(result.outputs) == len(program.outputs)
    try:
        differentiate(case, compiled)
    except _engine.ProgramError as e:
        assert "has no gradient" in str(e)


def test_there_is_a_corpus():
    assert FILES


@pytest.mark.calls_python
def test_seeds_of_the_fuzzer_are_programs(tmp_path):
    """The fuzzer's own script makes them, by itself as the fuzzer calls it."""
    script = Path(__file__).parents[1] / "engine" / "fuzz_seeds.py"
    subprocess.run([sys.executable, str(script), str(tmp_path)], check=True)
    seeds = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert {name.rpartition("-")[0] for name in seeds} >= {*MAKERS, "chain"}
    for data in seeds.values():
        _engine.Compiled(data[:-TRAILER])
