"""No file and no function is so long that it can't be read in one sitting."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MAX_FILE, MAX_FUNCTION = 400, 60
MAX_TEST_FILE = 450


def sources(*folders, suffixes):
    paths = [p for folder in folders for p in (ROOT / folder).rglob("*") if p.suffix in suffixes]
    return sorted(path for path in paths if path.is_file())


PYTHON = sources("python", suffixes=[".py", ".pyi"])
CPP = sources("cpp", suffixes=[".h", ".cpp", ".cu"])
OTHERS = sources("tests", "bench", "docs", suffixes=[".py", ".cpp", ".h", ".cu"])


def relative(path):
    return str(path.relative_to(ROOT))


def python_functions(text):
    """Name, line and number of lines of every function, its docstring apart."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            length = node.end_lineno - node.lineno + 1
            if ast.get_docstring(node) is not None:
                length -= node.body[0].end_lineno - node.body[0].lineno + 1
            yield node.name, node.lineno, length


def cpp_functions(text):
    """Head, line and number of lines of every function that clang-format has laid out.

    What it opens, it closes in the same column: a function at the left edge or, in a class, one
    step to the right. Namespaces do not indent.
    """
    yield from _cpp_blocks(text.splitlines(), 0, 0)


def _cpp_blocks(lines, start, indent):
    edge, i = " " * indent, 0
    while i < len(lines):
        first = i
        i += 1
        if not re.match(edge + r"[^\s/#}]", lines[first]):
            continue
        opening = next(
            k for k in range(first, len(lines)) if re.search(r"[;{}:\\]$", _code(lines[k]))
        )
        i = opening + 1
        head = " ".join(line.strip() for line in lines[first:i])
        if not head.endswith("{") or re.match(r"(inline )?namespace\b|extern \"C\" \{$", head):
            continue
        end = next(j for j in range(i, len(lines)) if lines[j].startswith(edge + "}"))
        if re.match(r"(template <.*> )?(struct|class|union) [^()]*\{$", head):
            yield from _cpp_blocks(lines[i:end], start + i, indent + 2)
        elif "(" in head:
            yield head, start + first + 1, end - first + 1
        i = end + 1


def _code(line):
    """A line without the comment at its end."""
    return line.partition(" //")[0].rstrip()


@pytest.mark.parametrize("path", PYTHON + CPP + OTHERS, ids=relative)
def test_files_can_be_read_in_one_sitting(path):
    limit = MAX_TEST_FILE if path in OTHERS else MAX_FILE
    assert len(path.read_text().splitlines()) <= limit


@pytest.mark.parametrize("path", PYTHON, ids=relative)
def test_functions_in_python_are_short(path):
    found = python_functions(path.read_text())
    assert [(name, line, n) for name, line, n in found if n > MAX_FUNCTION] == []


@pytest.mark.parametrize("path", CPP, ids=relative)
def test_functions_in_cpp_are_short(path):
    found = cpp_functions(path.read_text())
    assert [(head, line, n) for head, line, n in found if n > MAX_FUNCTION] == []


def test_functions_are_found():
    # the rules above hold for an empty list, too
    assert sum(len(list(python_functions(path.read_text()))) for path in PYTHON) > 500
    assert sum(len(list(cpp_functions(path.read_text()))) for path in CPP) > 500


def test_every_kind_of_function_in_cpp_is_seen():
    text = """
namespace a {
namespace {
const int table[] = {
    1,
};
template <class T>
struct Base : Other<T> {
  Base(int a, int b)
      : a_(a) {
    use(b);
  }
  int f() const {
    if (a_) {
      return 1;
    }
    return 2;
  }
  struct Inner {
    void g() {
      h();
    }
  };
};
enum class Kind {
  one,
};
}  // namespace
// what it does
template <class T>
static int longer(int first,
                  int second) {
  auto part = [&] {
    return first;
  };
  return part() + second;
}
struct Result make() {
  return {};
}
}  // namespace a
"""
    found = [(head.split("(")[0], line, n) for head, line, n in cpp_functions(text)]
    assert found == [
        ("Base", 9, 4),
        ("int f", 13, 6),
        ("void g", 20, 3),
        ("template <class T> static int longer", 30, 8),
        ("struct Result make", 38, 3),
    ]
