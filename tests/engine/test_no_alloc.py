"""A step of a model without callbacks takes no memory from the heap and calls no Python."""

import dataclasses
import shutil
import sys
from pathlib import Path

import native
import numpy as np
import pytest
from handmade_programs import Maker, op, view

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests" / "contract"))

from contract_cases import LAYOUTS, CaseBuilder  # noqa: E402
from contract_chains import Chain  # noqa: E402
from contract_kinds import make_subject  # noqa: E402
from contract_neurons import make_neurons_of  # noqa: E402

from nengo_dl import _engine  # noqa: E402
from nengo_dl.ir.neuron_kinds import NEURONS  # noqa: E402
from nengo_dl.ir.program import Buffer, Region, to_bytes  # noqa: E402

LIBRARY = Path(_engine.__file__).parent / "libnengo_engine.so"
WITHOUT_CALLBACKS = [kind for kind in sorted(_engine.op_specs()) if kind != "callback"]


def built(name, tmp_path_factory):
    target = tmp_path_factory.mktemp(name) / name
    source = ROOT / "tests" / "engine" / "helpers" / f"{name}.cpp"
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


@pytest.fixture(scope="module")
def counter(tmp_path_factory):
    """The program that counts calls of the allocator while the engine runs."""
    return built("count_allocations", tmp_path_factory)


@pytest.fixture(scope="module")
def refuser(tmp_path_factory):
    """The program that lets memory end while the engine runs."""
    return built("fail_allocations", tmp_path_factory)


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


def counted(program):
    """The program with one more element of state, in which it counts its steps before all else."""
    step, steps = len(program.buffers), len(program.buffers) + 1
    count = (
        op("fill", {"dst": view(step, (1,))}, value=1.0),
        op("lowpass", {"x": view(step, (1,)), "y": view(steps, (1,))}, a=1.0, b=1.0),
    )
    more = (Buffer("window", "step", 1), Buffer("state", "steps", 1, -1, program.state_size))
    return dataclasses.replace(
        program,
        buffers=program.buffers + more,
        state_size=program.state_size + 1,
        regions=(Region("sequence", count), *program.regions),
    )


def large_rls():
    """What threads share out, if there is one item."""
    maker, n = Maker("float32"), 400
    pre, error = maker.buffer("window", n), maker.buffer("window", 4)
    gamma = maker.buffer("state", n * n)
    delta = maker.buffer("state", 4 * n)
    args = {
        "pre_filtered": view(pre, (n,)),
        "error": view(error, (4,)),
        "delta": view(delta, (4, n)),
        "inv_gamma": view(gamma, (n, n)),
    }
    ops = maker.input(pre, n), maker.input(error, 4), op("rls", args)
    maker.region("loop", *ops, maker.output(view(delta, (4 * n,))))
    return maker.program()


@pytest.mark.parametrize("batch, threads", [(20, 1), (20, 2), (1, 2)])
def test_memory_that_ends_leaves_no_trace(refuser, tmp_path, batch, threads):
    names, files = [], []
    for name, program in [*programs(), ("large RLS", large_rls())]:
        names.append(name)
        files.append(tmp_path / f"{len(files)}.ndlp")
        files[-1].write_bytes(to_bytes(counted(program)))
    command = [refuser, str(batch), str(threads), "40", *files]
    report = native.run(command, check=True, capture_output=True, text=True).stdout
    found = dict(zip(names, report.split(), strict=True))
    assert [name for name in names if found[name] == "changed"] == []
    assert min(map(int, found.values())) > 3


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
