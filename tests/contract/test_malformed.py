"""Hostile programs: what breaks a rule is refused, and nothing brings the process down."""

from dataclasses import replace

import numpy as np
import pytest
from contract_broken import broken
from contract_cases import LAYOUTS, CaseBuilder, Result
from contract_engine import _engine, run_engine
from contract_kinds import make_subject

from nengo_dl.ir.program import to_bytes

KINDS = sorted(_engine.op_specs())


def small_case(kind, seed):
    rng = np.random.RandomState(seed)
    layout = LAYOUTS[seed % len(LAYOUTS)]
    builder = CaseBuilder(rng, "float64", layout, batch=2, n_steps=3)
    builder.add(make_subject(kind, rng))
    return builder.build()


@pytest.mark.parametrize("kind", KINDS)
def test_broken_rules_are_refused(kind):
    accepted = []
    for seed in range(6):
        case = small_case(kind, seed)
        _engine.Compiled(to_bytes(case.program))
        for what, data in broken(case.program, _engine.op_specs()):
            try:
                _engine.Compiled(data)
            except _engine.ProgramError:
                continue
            accepted.append(f"seed {seed}: {what}")
    assert not accepted, "\n".join(accepted[:50])


@pytest.mark.parametrize("kind", KINDS)
def test_truncated_bytes_are_refused(kind):
    data = to_bytes(small_case(kind, 0).program)
    for length in range(len(data)):
        with pytest.raises(_engine.ProgramError):
            _engine.Compiled(data[:length])
    for more in (b"\0", b"i", data):
        with pytest.raises(_engine.ProgramError):
            _engine.Compiled(data + more)


@pytest.mark.parametrize("kind", KINDS)
def test_flipped_bytes_are_refused_or_run(kind):
    """What still is a valid program with the same arrays runs; all else is refused."""
    rng = np.random.RandomState(3)
    refused = ran = 0
    for seed in range(4):
        case = small_case(kind, seed)
        data = np.frombuffer(to_bytes(case.program), dtype=np.uint8)
        for _ in range(250):
            hurt = data.copy()
            for _ in range(rng.choice([1, 1, 2, 4])):
                hurt[rng.randint(8, len(hurt))] ^= 1 << rng.randint(8)
            try:
                compiled = _engine.Compiled(hurt.tobytes())
            except _engine.ProgramError:
                refused += 1
                continue
            try:
                assert isinstance(run_engine(case, compiled=compiled), Result)
            except (ValueError, TypeError, RuntimeError, MemoryError, IndexError):
                continue  # other sizes than the arrays have, or a callback that is not there
            ran += 1
    assert refused > 100
    assert ran > 0


def test_not_a_program():
    for data in (b"", b"NDLP", b"NDLP\1\0\0\0", b"PDLN" + bytes(100), bytes(1000), b"\xff" * 1000):
        with pytest.raises(_engine.ProgramError):
            _engine.Compiled(data)


def test_deep_nesting_is_refused():
    for tag in (b"L\1\0\0\0", b"D\1\0\0\0\1\0a"):
        with pytest.raises(_engine.ProgramError):
            _engine.Compiled(b"NDLP\1\0\0\0" + tag * 100_000)


def test_huge_counts_are_refused_before_memory_is_taken():
    for tag in b"sIFLD":
        with pytest.raises(_engine.ProgramError):
            _engine.Compiled(b"NDLP\1\0\0\0" + bytes([tag]) + b"\xff\xff\xff\xff" + bytes(64))


def test_names_in_messages_are_cut():
    """Nengo's may hold the index list of a connection; both ends are kept, and they stay text."""
    case = small_case("dense", 0)
    program = case.program
    buffers = [replace(b, name="é" * 5000 + b.name, size=0) for b in program.buffers]
    with pytest.raises(_engine.ProgramError) as error:
        _engine.Compiled(to_bytes(replace(program, buffers=tuple(buffers))))
    assert "ééé ... ééé" in str(error.value) and len(str(error.value)) < 600
