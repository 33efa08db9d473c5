"""Rules of the source code that no formatter knows."""

import ast
import dataclasses
import re
import subprocess
import sys
from pathlib import Path

import pytest

from nengo_dl.ir import program

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "python" / "nengo_dl"

# What only these folders of cpp/ may include, each its own; all others are the engine.
LIBRARIES = {
    "tf": r"tensorflow/|tsl/|xla/|absl/|google/protobuf|tf/",
    "python": r"Python\.h|pybind11/|numpy/|python/",
    "cuda": r"cuda|cublas|cudnn|cub/|thrust/|nv[a-z]+\.h|cooperative_groups|mma\.h",
}
# What a backend stands on.
ENGINE = {"engine", "kernels", "math", "neurons", "ops"}
# Planning and the NumPy twin work where there is neither TensorFlow nor the compiled library.
LIGHT_PACKAGES = ("ir", "plan", "ops", "neurons", "reference")


def cpp_sources():
    return sorted(p for p in (ROOT / "cpp").rglob("*") if p.suffix in (".h", ".cpp", ".cc", ".cu"))


def python_sources():
    folders = ("python", "tests", "bench", "docs")
    return sorted(p for folder in folders for p in (ROOT / folder).rglob("*.py"))


def relative(path):
    return str(path.relative_to(ROOT))


def test_there_are_sources():
    # the rules below hold for an empty list, too
    assert len(cpp_sources()) > 20 and len(python_sources()) > 20


def test_no_two_test_files_have_one_name():
    # pytest imports them all as top-level modules and would stop before the first test
    names = [path.name for path in (ROOT / "tests").rglob("*.py") if path.name != "conftest.py"]
    assert sorted(names) == sorted(set(names))


@pytest.mark.parametrize("path", cpp_sources(), ids=relative)
def test_only_its_folder_includes_a_library(path):
    folder = path.relative_to(ROOT / "cpp").parts[0]
    included = re.findall(r'^\s*#\s*include\s*[<"]([^">]+)', path.read_text(), re.MULTILINE)
    for owner, pattern in LIBRARIES.items():
        if folder != owner:
            assert [name for name in included if re.match(pattern, name)] == []


CUDA = [path for path in cpp_sources() if path.parent.name == "cuda"]


@pytest.mark.parametrize("path", CUDA, ids=relative)
def test_the_cuda_backend_stands_on_the_engine(path):
    included = re.findall(r'^\s*#\s*include\s*"([^"]+)', path.read_text(), re.MULTILINE)
    assert {name.partition("/")[0] for name in included} <= {"cuda", *ENGINE}


def test_planner_and_twin_import_neither_tensorflow_nor_the_library():
    script = f"""
import importlib, pkgutil, sys
import nengo_dl
for name in {LIGHT_PACKAGES!r}:
    package = importlib.import_module("nengo_dl." + name)
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        importlib.import_module(module.name)
heavy = ("tensorflow", "keras", "nengo_dl._engine")
print(sorted(name for name in heavy if name in sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


def test_the_gil_is_taken_in_one_place():
    # which knows what Python does to threads that ask for it at the end of the process
    taking = r"gil_scoped_|PyGILState_(Ensure|Release)|PyEval_(Save|Restore)|_ALLOW_THREADS"
    found = {relative(path) for path in cpp_sources() if re.search(taking, path.read_text())}
    assert found == {"cpp/python/gil.h", "cpp/python/callbacks.cpp"}


def undocumented(tree, where):
    """Names of public modules, classes, functions and methods without a docstring."""
    if ast.get_docstring(tree) is None:
        yield where
    for node in tree.body:
        if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            if node.name.startswith("_") or is_setter(node) or is_registered(node):
                continue
            name = f"{where}.{node.name}"
            if isinstance(node, ast.ClassDef):
                yield from undocumented(node, name)
            elif ast.get_docstring(node) is None:
                yield name


def is_setter(node):
    return any(isinstance(d, ast.Attribute) and d.attr == "setter" for d in node.decorator_list)


def is_registered(node):
    """Whether it is an entry of a registry, whose kind docs/PROGRAM.md explains."""
    calls = [d.func for d in node.decorator_list if isinstance(d, ast.Call)]
    return any(isinstance(call, ast.Name) and call.id == "register" for call in calls)


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=relative)
def test_every_public_name_is_documented(path):
    assert list(undocumented(ast.parse(path.read_text()), path.stem)) == []


def test_the_architecture_names_every_module_and_no_other():
    text = (ROOT / "docs" / "ARCHITECTURE.md").read_text()
    modules = [*PACKAGE.glob("[!_]*.py")]
    rooms = (
        *("arguments", "benchmarks", "builder", "converter", "ir", "layer", "plan", "run"),
        *("simulator", "training"),
    )
    for room in rooms:
        modules += (PACKAGE / room).glob("[!_]*.py")
    names = [str(m.relative_to(PACKAGE)) for m in modules]
    assert [name for name in names if f"`{name}`" not in text] == []
    named = re.findall(r"`([\w/]+\.(?:py|cpp|h|sh|md))`", text)
    folders = (ROOT, PACKAGE, ROOT / "cpp", ROOT / "cpp" / "neurons", ROOT / "tests" / "engine")
    assert [n for n in named if not any((folder / n).exists() for folder in folders)] == []


def cpp_fields(record):
    """Names of the data members of a struct of cpp/engine/program.h, in their order."""
    text = (ROOT / "cpp" / "engine" / "program.h").read_text()
    body = re.search(rf"struct (?:NDL_API )?{record} {{\n(.*?)\n}};", text, re.DOTALL)[1]
    members = re.findall(r"^  (?! )[\w:<>]+(?:, \w+>)? ([\w, ]+);", body, re.MULTILINE)
    return [name for names in members for name in names.split(", ")]


@pytest.mark.parametrize("name", ["Buffer", "Param", "Port", "Operand", "Op", "Region", "Program"])
def test_records_are_the_same_in_both_languages(name):
    ours = [field.name for field in dataclasses.fields(getattr(program, name))]
    theirs = cpp_fields("OpRecord" if name == "Op" else name)
    # C++ keeps the name of the dtype as a flag
    assert ours == ["dtype" if field == "float64" else field for field in theirs]


@pytest.mark.parametrize(
    "enum, kinds", [("BufferKind", program.BUFFER_KINDS), ("RegionKind", program.REGION_KINDS)]
)
def test_kinds_are_the_same_in_both_languages(enum, kinds):
    text = (ROOT / "cpp" / "engine" / "program.h").read_text()
    assert re.search(rf"enum class {enum} {{(.*?)}}", text)[1].replace(" ", "").split(",") == list(
        kinds
    )


def documented_ops():
    """Kinds of ops in the table of docs/PROGRAM.md."""
    text = (ROOT / "docs" / "PROGRAM.md").read_text()
    table = text.split("\n## Ops", 1)[1].split("\n## ", 1)[0]
    return set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) - {
        "read",
        "write",
        "inc",
        "update",
    }


def test_the_engine_has_the_documented_ops():
    from nengo_dl import _engine

    assert set(_engine.op_specs()) == documented_ops()


def test_no_paths_of_one_machine():
    listed = subprocess.run(
        ["git", "-C", str(ROOT), "grep", "-nE", r"(^|[^a-zA-Z0-9_.])/(work|root|home)/", "--", "."],
        capture_output=True,
        text=True,
    )
    if listed.returncode > 1:
        pytest.skip("not a git checkout")
    assert listed.stdout == ""
