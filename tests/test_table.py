"""The table of NengoDL's behaviours, docs/nengo-dl-3.6.md, and the tests that it names."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TABLE = ROOT / "docs" / "nengo-dl-3.6.md"
STATES = ("kept", "fixed", "changed", "not applicable", "open")
# how many rows each part of the specification has
COUNTS = {"P": 3, "S": 77, "T": 11, "C": 11, "N": 10, "K": 29, "M": 11, "O": 17, "E": 8}
ROW = re.compile(r"^\| ([A-Z]-\d\d) \| (.*) \| (.*) \| (.*) \| (.*) \|$", re.MULTILINE)
ROWS = ROW.findall(TABLE.read_text())


@cache
def sources(path):
    """Source of each function of a file, and, by an empty name, all of it."""
    text = (ROOT / path).read_text()
    lines, nodes = text.splitlines(), ast.walk(ast.parse(text))
    found = {
        node.name: "\n".join(lines[node.lineno - 1 : node.end_lineno])
        for node in nodes
        if isinstance(node, ast.FunctionDef)
    }
    return {"": text, **found}


def rows_in(text):
    """Identifiers of rows in a text; "S-27 to S-29" are three."""
    for part, first, last in re.findall(r"\b([A-Z])-(\d\d)(?: to \1-(\d\d))?\b", text):
        for number in range(int(first), int(last or first) + 1):
            yield f"{part}-{number:02d}"


def test_no_row_is_missing():
    expected = [f"{part}-{k:02d}" for part, n in COUNTS.items() for k in range(1, n + 1)]
    assert sorted(row[0] for row in ROWS) == sorted(expected)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_row(row):
    """A state, a reason where something is not as it was, and tests that name the row."""
    name, what, state, here, tests = row
    assert what and state in STATES
    assert here or state == "kept"
    named = re.findall(r"`([^`]+)`", tests)
    assert named or state in ("not applicable", "open")
    for test in named:
        path, _, function = test.partition("::")
        assert path.startswith(("tests/", "bench/original/")) and (ROOT / path).is_file()
        assert name in rows_in(sources(path)[function]), f"{test} does not name {name}"


def test_tests_name_rows_of_the_table():
    known, found = {row[0] for row in ROWS}, {}
    for folder in ("tests", "bench/original"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            for row in rows_in(path.read_text()):
                found.setdefault(row, path.name)
    parts = "".join(COUNTS)
    unknown = {row: name for row, name in found.items() if row[0] in parts and row not in known}
    assert unknown == {}
    assert len(known & set(found)) > 150


def test_ranges():
    assert list(rows_in("S-27 to S-29, K-05.")) == ["S-27", "S-28", "S-29", "K-05"]
