"""Messages say what was expected and what they got, in these words."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PYTHON = sorted((ROOT / "python").rglob("*.py"))
CPP = sorted(p for p in (ROOT / "cpp").rglob("*") if p.suffix in (".h", ".cpp", ".cu"))

# other words for one of the two
OTHERS = re.compile(
    r"\b(due|came|instead of|it holds|says otherwise|this library reads)\b"
    r"|, the program has|, not $"
)


def relative(path):
    return str(path.relative_to(ROOT))


def python_strings(text):
    """Texts of a module that are no docstrings, with their lines."""
    tree = ast.parse(text)
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
    bodies = (node.body[0] for node in ast.walk(tree) if isinstance(node, documented) and node.body)
    docs = {id(first.value) for first in bodies if isinstance(first, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs:
            yield node.lineno, node.value


def cpp_statements(text):
    """Literals of every statement of a C++ file, joined by ``..``, with the line it begins at."""
    raw = re.compile(r'R"\((.*?)\)"', re.DOTALL)  # documentation
    blank = raw.sub(lambda found: '""' + "\n" * found[0].count("\n"), text)
    text_or_char = r'"((?:[^"\\\n]|\\.)*)"|\'(?:[^\'\\]|\\.)\''
    token = re.compile(text_or_char + r"|//[^\n]*|^#[^\n]*|\n|[;{}]", re.M)
    line, begin, literals = 1, 1, []
    for found in token.finditer(blank):
        if found[0] == "\n":
            line += 1
        elif found[0] in ";{}":
            if literals:
                yield begin, "..".join(literals)
            literals = []
        elif found[0].startswith('"'):
            begin = begin if literals else line
            literals.append(found[1])


def half_said(text):
    """Whether a message says what was expected, but not what it got, or that nothing was given."""
    return re.search(r"\bexpected\b", text) and not re.search(r"\b(got|missing)\b", text)


@pytest.mark.parametrize("path", PYTHON, ids=relative)
def test_in_python(path):
    found = python_strings(path.read_text())
    assert [(line, text) for line, text in found if OTHERS.search(text)] == []


@pytest.mark.parametrize("path", CPP, ids=relative)
def test_in_cpp(path):
    found = cpp_statements(path.read_text())
    assert [(n, text) for n, text in found if OTHERS.search(text) or half_said(text)] == []


def test_statements_are_found():
    # the rule above holds for an empty list, too
    assert sum(len(list(cpp_statements(path.read_text()))) for path in CPP) > 300
    text = """
#include "x.h"
void f() {
  if (x == '"') fail("a " + y +  // "no literal"
                     ", not " + z);
  g(R"(expected; {)");
  h("expected \\"b\\"; " + z);
}
"""
    found = list(cpp_statements(text))
    assert found == [(4, "a .., not "), (6, ""), (7, 'expected \\"b\\"; ')]
    assert OTHERS.search(found[0][1]) and half_said(found[2][1])
    assert not half_said("expected 1, got ..")
