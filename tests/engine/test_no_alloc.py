"""A step of a model without callbacks takes no memory from the heap and calls no Python."""

import shutil
import sys
from pathlib import Path

import native
import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests" / "contract"))

from contract_cases import LAYOUTS, CaseBuilder  # noqa: E402
from contract_chains import Chain  # noqa: E402
from contract_kinds import make_subject  # noqa: E402
from contract_neurons import make_neurons_of  # noqa: E402

from nengo_dl import _engine  # noqa: E402
from nengo_dl.ir.neuron_kinds import NEURONS  # noqa: E402
from nengo_dl.ir.program import to_bytes  # noqa: E402

LIBRARY = Path(_engine.__file__).parent / "libnengo_engine.so"
WITHOUT_CALLBACKS = [kind for kind in sorted(_engine.op_specs()) if kind != "callback"]


@pytest.fixture(scope="module")
def counter(tmp_path_factory):
    """The program that counts calls of the allocator while the engine runs."""
    target = tmp_path_factory.mktemp("counter") / "count_allocations"
    source = ROOT / "tests" / "engine" / "helpers" / "count_allocations.cpp"
    command = [
        native.compiler(),
        "-std=c++17",
        "-O1",
        f"-I{ROOT / 'cpp'}",
        str(source),
        "-o",
        str(target),
    ]
    command += [str(LIBRARY), f"-Wl,-rpath,{LIBRARY.parent}", "-pthread"]
    native.run(command, check=True)
    return target


def programs():
    """Every op kind in every layout, every neuron type, and chains of ops."""
    for i, kind in enumerate(WITHOUT_CALLBACKS):
        for layout in LAYOUTS:
            rng = np.random.RandomState(i)
            builder = CaseBuilder(rng, ["float64", "float32"][i % 2], layout)
            builder.add(make_subject(kind, rng))
            yield f"{kind} {layout}", builder.build().program
    for i, name in enumerate(NEURONS):
        rng = np.random.RandomState(i)
        builder = CaseBuilder(rng, ["float64", "float32"][i % 2], LAYOUTS[i % 2])
        builder.add(make_neurons_of(name, rng))
        yield name, builder.build().program
    for seed in range(8):
        rng = np.random.RandomState(seed)
        yield f"chain {seed}", Chain(rng, "float32", 1, 1, bool(seed % 2)).build(16).program


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("mode", ["run", "grad"])
def test_no_allocation_per_step(counter, tmp_path, mode, threads):
    names, files = [], []
    for name, program in programs():
        names.append(name)
        files.append(tmp_path / f"{len(files)}.ndlp")
        files[-1].write_bytes(to_bytes(program))
    # runs of several windows both, so that a window takes no memory either
    command = [counter, mode, "3", str(threads), "600", "1800", *files]
    report = native.run(command, check=True, capture_output=True, text=True).stdout
    lines = report.splitlines()
    assert len(lines) == len(names)
    # few have no gradient: those that change in place, in a sequence, what it needs
    found = {name: tuple(map(int, line.split())) for name, line in zip(names, lines, strict=True)}
    counts = {name: c for name, c in found.items() if c}
    assert len(counts) > (len(names) - 1 if mode == "run" else len(names) // 2)
    # a run sets up its memory: the counter counts
    assert min(first for first, *_ in counts.values()) > 0
    # which thread sets up its own memory, and when, is a matter of luck if there are several
    slack = 0 if threads == 1 else 20
    bad = [
        f"{name}: {short} then {long}"
        for name, (_, short, _, long) in counts.items()
        if abs(long - short) > slack
    ]
    assert not bad, "\n".join(bad)


def test_engine_library_knows_no_python():
    """What runs the steps can't call Python: it is not linked to it."""
    nm = shutil.which("nm")
    if nm is None:
        pytest.skip("no nm to list symbols with")
    command = [nm, "--dynamic", "--undefined-only", str(LIBRARY)]
    symbols = native.run(command, check=True, capture_output=True, text=True).stdout
    names = [line.split()[-1] for line in symbols.splitlines()]
    assert "aligned_alloc" in " ".join(names) or "malloc" in " ".join(names)  # nm lists something
    assert not [name for name in names if name.startswith(("Py", "_Py"))]
