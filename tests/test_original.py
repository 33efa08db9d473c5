"""The programs of bench/original return here what they returned in NengoDL 3.6.

``original.npz`` holds that: ``/path/to/original/bin/python bench/original/run.py`` has written it.
What differs has its reason in ``differences.py``, by the row of the specification.
"""

import re
import sys
from pathlib import Path

import numpy as np
import pytest

FOLDER = Path(__file__).resolve().parents[1] / "bench" / "original"
sys.path.insert(0, str(FOLDER))

import compare  # noqa: E402
import run  # noqa: E402
from differences import DIFFERENCES, OPEN  # noqa: E402

PROGRAMS = run.programs()
ORIGINAL = compare.load(FOLDER / "original.npz")


def program_of(array):
    """Name of the program that returned an array."""
    return array.rpartition(".")[0]


@pytest.mark.parametrize("name", PROGRAMS)
def test_program(name, request):
    if name in OPEN:
        request.applymarker(pytest.mark.xfail(reason=OPEN[name], strict=True))
    ours = {f"{name}.{key}": value for key, value in run.run(PROGRAMS[name]).items()}
    theirs = {key: value for key, value in ORIGINAL.items() if program_of(key) == name}
    distances = compare.compare(ours, theirs)
    unexplained, _, stale = compare.judged(distances)
    assert {key: (distances[key], ours.get(key), theirs.get(key)) for key in unexplained} == {}
    assert stale == [], "these do not differ any more"


def test_what_was_recorded():
    """All programs, none of which failed there, and all differences are theirs."""
    assert {program_of(key) for key in ORIGINAL} == set(PROGRAMS)
    assert len(PROGRAMS) >= 40
    assert [key for key in ORIGINAL if key.endswith(".raised")] == []
    assert [name for name in OPEN if name not in PROGRAMS] == []
    assert [key for key in DIFFERENCES if program_of(key) not in PROGRAMS] == []


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs_name_rows(name):
    """Every program says which rows of the specification it is about."""
    assert re.match(r"(\d|Package|.*?\b[A-Z]-\d\d)", PROGRAMS[name].__doc__)


def test_distances():
    """The comparison sees values, shapes, types, NaN and missing arrays."""
    one = np.array([1.0, 2.0])
    assert compare.distance(one, one) == 0
    assert compare.distance(one, one + 1e-3) == pytest.approx(5e-4, rel=1e-2)  # relative to 2
    assert compare.distance(one, np.array([1.0, np.nan])) == np.inf
    assert compare.distance(one, one[:1]) == np.inf
    assert compare.distance(np.array("a"), np.array("b")) == np.inf
    assert compare.distance(np.array("a"), np.array(1.0)) == np.inf
    assert compare.compare({"a": one}, {"b": one}) == {"a": np.inf, "b": np.inf}
    known = next(iter(DIFFERENCES))
    assert compare.judged({"x": 1.0, known: 1.0}) == (["x"], [known], [])
    assert compare.judged({"x": 0.0, known: 0.0}) == ([], [], [known])
