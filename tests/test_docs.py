"""What the documents show is so: examples run, and what they quote stands in the sources."""

import os
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
LEFT_OUT = ("...", "// ...", "# ...")


def blocks(path):
    """Code blocks of a document: line, the file it is said to be from (or None), code."""
    lines = iter(enumerate(path.read_text().splitlines(), 1))
    before = ""
    for number, line in lines:
        if not line.startswith("```"):
            before = line or before
            continue
        code = []
        for _, inside in lines:
            if inside.startswith("```"):
                break
            code.append(inside)
        source = re.match(r"From `([^`]+)`", before)
        yield number, line[3:], source and source[1], code
        before = ""


ALL = [(path, *block) for path in DOCUMENTS for block in blocks(path)]
QUOTES = [(path, line, source, code) for path, line, _, source, code in ALL if source]
EXAMPLES = {
    path: [
        (line, code)
        for where, line, language, source, code in ALL
        if where == path and language == "python" and not source
    ]
    for path in DOCUMENTS
}


def test_there_are_examples_and_quotes():
    counts = {path.name: len(blocks) for path, blocks in EXAMPLES.items()}
    assert counts["README.md"] >= 2 and counts["guide.md"] >= 6 and len(QUOTES) >= 10


def parts(code):
    """What of a quote stands together; lines of dots stand for what was left out."""
    part = []
    for line in [*code, LEFT_OUT[0]]:
        if line.strip() in LEFT_OUT:
            yield "\n".join(part).strip("\n")
            part = []
        else:
            part.append(line)


@pytest.mark.parametrize("path, line, source, code", QUOTES, ids=lambda v: getattr(v, "name", None))
def test_quotes_stand_in_the_sources(path, line, source, code):
    """E-01, E-05."""
    text, at = (ROOT / source).read_text(), 0
    for part in parts(code):
        found = text.find(part, at)
        assert part and found >= 0, f"{path.name}, line {line}: {source} does not hold\n{part}"
        at = found + len(part)


@pytest.mark.parametrize(
    "path", [path for path, blocks in EXAMPLES.items() if blocks], ids=lambda path: path.name
)
def test_examples_run_in_order(path, tmp_path, monkeypatch, capsys):
    """All blocks of a document, pasted one after the other, print what they say they do."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(os.environ, "TF_CPP_MIN_LOG_LEVEL", "3")  # to be put back
    names = {"__name__": "example"}
    for line, code in EXAMPLES[path]:
        capsys.readouterr()
        exec(compile("\n".join(code), f"{path.name}, line {line}", "exec"), names)
        printed = capsys.readouterr().out.splitlines()
        for said in re.findall(r"print\(.*\)  # (.*)", "\n".join(code)):
            assert said in printed or said.startswith("what"), f"{path.name}, line {line}: {said}"


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_links_and_files_exist(path):
    text = path.read_text()
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in link]
    assert [link for link in links if not (path.parent / link).exists()] == []
    if path.name == "extending.md":
        named = re.findall(r"`((?:cpp|python|docs|tests)/[\w/]+\.\w+)`", text)
        assert len(named) > 20
        assert [name for name in named if not (ROOT / name).exists()] == []
