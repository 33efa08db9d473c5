"""The types of the compiled module that `_engine.pyi` declares are about what it really has."""

import ast
import inspect
from pathlib import Path

import pytest

import nengo_dl
from nengo_dl import _engine

STUB = Path(nengo_dl.__file__).parent / "_engine.pyi"
OWN = "_pybind11_conduit_v1_"  # every class of pybind11 has it


def declared(body, prefix=""):
    """Of a module or class in the stub: name -> its node, with the members of classes."""
    found = {}
    for node in body:
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)):
            found[prefix + node.name] = node
        if isinstance(node, ast.ClassDef):
            found |= declared(node.body, f"{node.name}.")
    return found


def has(owner, prefix=""):
    """The same of the compiled module: name -> object."""
    found = {}
    for name, value in vars(owner).items():
        if name == OWN or (name.startswith("__") and name != "__init__"):
            continue
        found[prefix + name] = value
        if inspect.isclass(value) and not issubclass(value, Exception):
            found |= has(value, f"{name}.")
    return found


NODES = declared(ast.parse(STUB.read_text()).body)
OBJECTS = has(_engine)


def arguments(node):
    """Names of the arguments of a function, and the defaults of the last of them."""
    names = [arg.arg for arg in node.args.args]
    return names, [ast.literal_eval(default) for default in node.args.defaults]


def test_names():
    made_by_hand = {name for name in OBJECTS if name != "Tape.__init__"}  # nobody calls that
    assert set(NODES) == made_by_hand


@pytest.mark.parametrize("name", sorted(set(NODES) & set(OBJECTS)))
def test_arguments(name):
    node, real = NODES[name], OBJECTS[name]
    if isinstance(node, ast.ClassDef):
        assert inspect.isclass(real)
        assert [base.id for base in node.bases] == [
            base.__name__ for base in real.__bases__ if base.__module__ == "builtins"
            and base is not object and not base.__name__.startswith("pybind11")
        ]  # fmt: skip
    elif node.decorator_list:
        assert isinstance(real, property)
    else:
        # pybind11 writes the signature into the first line of the docstring
        (written,) = ast.parse(f"def {real.__doc__.splitlines()[0]}: ...").body
        assert arguments(node) == arguments(written)
