"""The written contract, the Python records and the C++ registry say the same."""

import re
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from contract_cases import CaseBuilder
from contract_engine import _engine
from contract_kinds import make_subject

from nengo_dl import neurons, reference
from nengo_dl.ir.kinds import KINDS
from nengo_dl.ir.neuron_kinds import NEURONS
from nengo_dl.ir.program import from_bytes, to_bytes

DOCUMENT = Path(__file__).parents[2] / "docs" / "PROGRAM.md"


def documented_kinds():
    """Per op kind of the table: names of its arguments and of its attributes."""
    rows, kinds = DOCUMENT.read_text().split("## Ops")[1].split("## Regions")[0], {}
    for line in rows.splitlines():
        cells = [cell.strip() for cell in line.split("|")[1:-1]]
        if len(cells) < 4 or not cells[0].startswith("`"):
            continue
        names = []
        for cell in cells[1:3]:
            found = re.findall(r"`([A-Za-z_]+\d*)`", cell)
            names.append({re.sub(r"^(in|out|state)0$", r"\1*", name) for name in found})
        kinds[cells[0].strip("`")] = tuple(names)
    kinds["conv_transpose"] = kinds["conv"]  # "the same"
    return kinds


def names(kind):
    return {arg.name for arg in kind.args}, {attr.name for attr in kind.attrs}


def test_kinds_are_those_of_the_document():
    assert sorted(documented_kinds()) == sorted(_engine.op_specs()) == reference.kinds()


@pytest.mark.parametrize("kind", sorted(set(documented_kinds()) - {"neurons"}))
def test_names_are_those_of_the_document(kind):
    assert names(KINDS[kind]) == documented_kinds()[kind]


def test_neuron_names_are_those_of_the_document():
    args, attrs = names(KINDS["neurons"])
    written_args, written_attrs = documented_kinds()["neurons"]
    assert args == written_args.union(*(entry.states for entry in NEURONS.values()))
    assert attrs == written_attrs.union(*(e.parameters + e.flags for e in NEURONS.values()))


def test_neuron_types_are_those_of_the_document_or_of_the_package():
    """Those of Nengo are named, with their states; those of nengo_dl.neurons have docstrings."""
    text = DOCUMENT.read_text().split("Neuron types")[1].split("\n\n")[0]
    for name, entry in NEURONS.items():
        if name in neurons.__all__:
            assert f"`{name}`" not in text
        else:
            assert f"`{name}`" + (f" ({', '.join(entry.states)})" if entry.states else "") in text


def same_fields(ours, theirs, but):
    """A record of the planner holds what the engine says; ``but``: what only the planner knows."""
    facts = asdict(ours)
    assert {field: facts[field] for field in theirs} == theirs
    assert set(facts) - set(theirs) == but


IN_PROGRAMS = sorted(name for name, kind in KINDS.items() if kind.engine)


@pytest.mark.parametrize("kind", IN_PROGRAMS)
def test_both_languages_have_one_table_of_kinds(kind):
    ours, theirs = KINDS[kind], _engine.op_specs()[kind]
    for field, but in (("args", {"factor"}), ("attrs", set())):
        for a, b in zip(getattr(ours, field), theirs.pop(field), strict=True):
            same_fields(a, b, but)
    for field in ("reads", "rows"):
        theirs[field] = tuple(theirs[field])
    same_fields(ours, theirs, {"name", "args", "attrs", "placing", "engine"})


@pytest.mark.parametrize("name", sorted(NEURONS))
def test_both_languages_have_one_table_of_neuron_types(name):
    theirs = {
        field: tuple(value) if isinstance(value, list) else value
        for field, value in _engine.neuron_types()[name].items()
    }
    same_fields(NEURONS[name], theirs, {"name", "smooth_form", "rate_constants"})


def test_both_languages_have_the_same_kinds_and_types():
    assert sorted(_engine.op_specs()) == IN_PROGRAMS
    assert sorted(_engine.neuron_types()) == sorted(NEURONS)


@pytest.mark.parametrize("kind", sorted(_engine.op_specs()))
def test_python_records_are_those_of_the_reader(kind):
    """What Python writes, C++ reads; what Python reads back is the same program."""
    rng = np.random.RandomState(1)
    builder = CaseBuilder(rng)
    builder.add(make_subject(kind, rng))
    data = to_bytes(builder.build().program)
    assert _engine.Compiled(data)
    again = from_bytes(data)
    assert _engine.Compiled(to_bytes(again))
    assert from_bytes(to_bytes(again)) == again
