"""What the fuzzer once found interesting: programs that must be refused or run, never crash."""

from pathlib import Path

import numpy as np
import pytest
from contract_cases import Case
from contract_engine import _engine, run_engine

from nengo_dl.plan.program import from_bytes

FILES = sorted((Path(__file__).parents[1] / "corpus").glob("[0-9a-f]*"))
TRAILER = 16  # bytes behind the program, as in cpp/fuzz/fuzz.h
BATCH, N_STEPS = 2, 3


def silent(item, time, inputs, outputs):
    """Stands for the Python functions of the programs."""


def small_numbers(rng, dtype, *shape):
    return rng.uniform(-2, 2, size=shape).astype(dtype)


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


def test_there_is_a_corpus():
    assert FILES
