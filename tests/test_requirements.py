"""What a build needs and pip cannot install is asked for before anything is downloaded."""

import importlib.util
import re
import shutil
import subprocess
import sys
import sysconfig
import types
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
GXX = shutil.which("g++")
INCLUDE = sysconfig.get_paths()["include"]

needs_gxx = pytest.mark.skipif(GXX is None, reason="no g++")


@pytest.fixture
def backend(monkeypatch):
    """``cmake/build_backend.py`` on a stand-in of scikit-build-core, which only builds have."""
    build = types.ModuleType("scikit_build_core.build")
    build.get_requires_for_build_wheel = lambda settings: ["ninja"]
    package = types.ModuleType("scikit_build_core")
    package.build = build
    monkeypatch.setitem(sys.modules, "scikit_build_core", package)
    monkeypatch.setitem(sys.modules, "scikit_build_core.build", build)
    path = ROOT / "cmake" / "build_backend.py"
    spec = importlib.util.spec_from_file_location("build_backend", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def old_compiler(tmp_path):
    """A g++ that says that it is version 10."""
    path = tmp_path / "old-g++"
    path.write_text(f'#!/bin/sh\nexec {GXX} -U__GNUC__ -D__GNUC__=10 "$@"\n')
    path.chmod(0o755)
    return str(path)


@needs_gxx
def test_nothing_is_missing_here(backend):
    assert backend.missing(GXX, INCLUDE) == ""


@needs_gxx
def test_an_old_compiler_is_named_with_what_is_needed(backend, old_compiler):
    message = backend.missing(old_compiler, INCLUDE)
    assert message.startswith("nengo_dl needs g++ 11 or clang++ 14 at least; ")
    assert "\n" not in message and old_compiler in message


@needs_gxx
def test_missing_headers_and_compilers_are_named(backend, tmp_path):
    assert "apt install g++ python3-dev python3-venv" in backend.missing(GXX, tmp_path)
    assert "found none" in backend.missing(None, INCLUDE)
    assert "found none" in backend.missing(str(tmp_path / "no-such-compiler"), INCLUDE)


@needs_gxx
def test_tensorflow_comes_after_the_look_at_the_compiler(backend, old_compiler, monkeypatch):
    monkeypatch.setenv("CXX", GXX)
    assert backend.get_requires_for_build_wheel() == [backend.TENSORFLOW, "ninja"]
    monkeypatch.setenv("CXX", old_compiler)
    with pytest.raises(SystemExit, match=r"needs g\+\+ 11"):
        backend.get_requires_for_build_wheel()
    # CMake will look at the compiler that it is given
    given = {"cmake.define.CMAKE_CXX_COMPILER": "clang++"}
    assert backend.get_requires_for_build_wheel(given) == [backend.TENSORFLOW, "ninja"]


def test_only_the_backend_asks_for_tensorflow(backend):
    lists = re.findall(r"^(\w+) = \[(.*?)\]", (ROOT / "pyproject.toml").read_text(), re.M | re.S)
    lists = dict(lists)
    assert "pybind11" in lists["requires"] and "tensorflow" not in lists["requires"]
    assert f'"{backend.TENSORFLOW}"' in lists["dependencies"]


@needs_gxx
@pytest.mark.skipif(shutil.which("cmake") is None, reason="no cmake")
def test_cmake_looks_at_the_compiler_first(old_compiler, tmp_path):
    command = ["cmake", "-S", str(ROOT), "-B", str(tmp_path / "b")]
    done = subprocess.run(
        [*command, f"-DCMAKE_CXX_COMPILER={old_compiler}"], capture_output=True, text=True
    )
    assert done.returncode != 0
    assert "nengo_dl needs g++ 11 or clang++ 14 at least;" in " ".join(done.stderr.split())
    assert "Python" not in done.stderr + done.stdout


def test_the_readme_names_the_same_compilers():
    text = (ROOT / "README.md").read_text()
    assert "g++ 11" in text and "clang++ 14" in text
    assert "python3-dev" in text and "python3-venv" in text
