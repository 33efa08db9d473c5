"""The written contract, the Python records and the C++ registry say the same."""

import re
from pathlib import Path

import numpy as np
import pytest
from contract_cases import CaseBuilder
from contract_engine import _engine
from contract_kinds import make_subject

from nengo_dl import reference
from nengo_dl.plan.program import from_bytes, to_bytes

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


def spec_names(kind):
    spec = _engine.op_specs()[kind]
    return {name for name, *_ in spec["args"]}, set(spec["attrs"])


def test_kinds_are_those_of_the_document():
    assert sorted(documented_kinds()) == sorted(_engine.op_specs()) == reference.kinds()


@pytest.mark.parametrize("kind", sorted(set(documented_kinds()) - {"neurons"}))
def test_names_are_those_of_the_document(kind):
    assert spec_names(kind) == documented_kinds()[kind]


def test_neuron_names_are_those_of_the_document():
    args, attrs = spec_names("neurons")
    written_args, written_attrs = documented_kinds()["neurons"]
    types = _engine.neuron_types().values()
    assert args == written_args.union(*(spec["states"] for spec in types))
    assert attrs == written_attrs.union(*(spec["parameters"] for spec in types))
    text = DOCUMENT.read_text()
    for name in _engine.neuron_types():
        assert f"`{name}`" in text


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
