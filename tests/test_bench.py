"""The benchmark that compares two builds: it measures what it says it does."""

import json
import subprocess
import sys
from pathlib import Path

import nengo_dl

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = Path(nengo_dl.__file__).resolve().parents[1]  # site-packages, or the source folder
SMALL = ("--only", "integrator-100", "rate-mlp", "--rounds", "1", "--pairs", "3")
SMALL += ("--seconds", "0.001")


def compare(*args):
    command = [sys.executable, str(ROOT / "bench" / "compare.py"), *SMALL, *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True)


def test_one_build_equals_itself(tmp_path):
    """M-08."""
    output = tmp_path / "result.json"
    done = compare("--old", PACKAGES, "--output", output)
    assert done.returncode == 0, done.stderr
    result = json.loads(output.read_text())
    for kind, network in (("simulation", "integrator-100"), ("training", "rate-mlp")):
        assert result[kind]["equal"] == {network: True}
        row = result[kind]["rows"][network]
        for clock in ("seconds", "cpu_seconds"):
            first, second = (row[clock][side]["all"] for side in ("first", "second"))
            assert len(first) == len(second) == 3 and min(first + second) > 0
            ratios = [b / a for a, b in zip(first, second, strict=True)]
            assert row[clock]["ratio"]["all"] == ratios
            assert row[clock]["ratio"]["median"] == sorted(ratios)[1]


def test_a_package_of_another_place_is_refused(tmp_path):
    (tmp_path / "nengo_dl").symlink_to(PACKAGES / "nengo_dl")
    done = compare("--old", tmp_path)
    assert done.returncode != 0
    assert f"expected nengo_dl from {tmp_path}, got {PACKAGES}" in done.stderr
