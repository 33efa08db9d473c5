"""The rooms of the Python package, drawn from its imports: one direction, few arrows."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "python" / "nengo_dl"
MAX_ARROWS = 56
ENGINE = "_engine"  # compiled: it has no source here, and imports nothing of the package


def module_name(path, package):
    """``plan/draft.py`` is ``plan.draft``, ``plan/__init__.py`` is ``plan``; the face is ``""``."""
    parts = path.relative_to(package).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(path, name, modules, package):
    """Modules of the package that a file imports, wherever in it the import stands."""
    home = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.level or inside(node.module, package)):
            start = home[: len(home) - node.level + 1] if node.level else []
            written = (node.module or "").split(".")
            base = [*start, *(written if node.level else written[1:])]
            for alias in node.names:
                longest = ".".join(part for part in (*base, alias.name) if part)
                yield longest if longest in modules else ".".join(part for part in base if part)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if inside(alias.name, package):
                    yield alias.name.partition(".")[2]


def inside(name, package):
    return name is not None and name.partition(".")[0] == package.name


def import_graph(package):
    """Per module, the others of the package that it imports."""
    modules = {module_name(path, package): path for path in sorted(package.rglob("*.py"))}
    known = {*modules, ENGINE}
    return {
        name: sorted(set(imported(path, name, known, package)) - {name})
        for name, path in modules.items()
    } | {ENGINE: []}


def room(module):
    """The folder at the top that a module lies in, or the module itself if it lies in none."""
    return module.partition(".")[0]


def rooms_graph(modules):
    """Per room, the rooms that it imports from; the face of the package names them all."""
    rooms = {room(name): set() for name in modules if name}
    for name, others in modules.items():
        if not name:
            continue
        rooms[room(name)] |= {room(other) for other in others} - {room(name)}
    return {name: sorted(others) for name, others in rooms.items()}


def circles(graph):
    """Sets of nodes that reach each other."""
    reach = {node: set(others) for node, others in graph.items()}
    for middle in graph:
        for node in graph:
            if middle in reach[node]:
                reach[node] |= reach[middle]
    return {
        frozenset(other for other in graph if other in reach[node] and node in reach[other])
        for node in graph
        if node in reach[node]
    }


def drawn(graph):
    """The graph for people, a line for each node."""
    return "\n" + "\n".join(f"{name or 'nengo_dl'} -> {', '.join(graph[name])}" for name in graph)


def test_rooms_lie_in_one_direction():
    graph = rooms_graph(import_graph(PACKAGE))
    assert len(graph) > 10
    assert circles(graph) == set(), drawn(graph)


def test_no_modules_import_each_other():
    graph = import_graph(PACKAGE)
    assert len(graph) > 80
    assert circles(graph) == set(), drawn(graph)


def test_few_arrows_between_rooms():
    graph = rooms_graph(import_graph(PACKAGE))
    arrows = sum(len(others) for others in graph.values())
    assert arrows <= MAX_ARROWS, f"{arrows} arrows{drawn(graph)}"


def test_nothing_imports_the_face_of_the_package():
    # it names all public modules and loads them when they are asked for: a circle unseen
    assert [name for name, others in import_graph(PACKAGE).items() if "" in others] == []


@pytest.mark.parametrize(
    "statement, target",
    [
        ("from .b import x", "room.b"),
        ("from . import b", "room.b"),
        ("from .. import other", "other"),
        ("from ..other import x", "other"),
        ("import planted.room.b", "room.b"),
        ("from planted.room import b", "room.b"),
        ("from planted.room.b import x", "room.b"),
        ("def f():\n    from .b import x", "room.b"),
        ("from .. import _engine", ENGINE),
        ("from .. import __version__", ""),
        ("import numpy", None),
        ("from room import b", None),
    ],
)
def test_every_form_of_import_is_seen(tmp_path, statement, target):
    package = tmp_path / "planted"
    (package / "room").mkdir(parents=True)
    for name in ("__init__", "other", "room/__init__", "room/b"):
        (package / f"{name}.py").write_text("x = 1\n")
    (package / "room" / "a.py").write_text(statement + "\n")
    assert import_graph(package)["room.a"] == ([] if target is None else [target])


def test_circles_are_found():
    assert circles({"a": ["b"], "b": ["c"], "c": []}) == set()
    assert circles({"a": ["b"], "b": ["c"], "c": ["a"], "d": ["a"], "e": ["e"]}) == {
        frozenset("abc"),
        frozenset("e"),
    }
