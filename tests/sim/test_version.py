"""What the package says about itself."""

import importlib
import re
from pathlib import Path

import nengo_dl

ROOT = Path(__file__).parents[2]


def test_version():
    """The version is the distribution's; its numbers are a tuple, as in NengoDL."""
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    declared = dict(re.findall(r'^(version|license) = "(.*)"$', project, re.MULTILINE))
    assert nengo_dl.__version__ == nengo_dl.version.version == declared["version"]
    numbers = ".".join(map(str, nengo_dl.version.version_info))
    assert nengo_dl.__version__.split(".dev")[0] == numbers
    assert nengo_dl.__license__ == declared["license"] == "MIT"
    assert nengo_dl.__copyright__ in (ROOT / "LICENSE").read_text(encoding="utf-8")


def test_entry_point():
    """P-02: nengo finds the simulator among its backends."""
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    declared = re.search(r'^\[project.entry-points."nengo.backends"\]\ndl = "(.*)"$', project, re.M)
    module, _, name = declared[1].partition(":")
    assert getattr(importlib.import_module(module), name) is nengo_dl.Simulator
