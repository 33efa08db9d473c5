"""Backend "far" catches who touches values on the host: faults planted in a copy of the code."""

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import native
import pytest
from handmade_programs import Maker, op, to_bytes, view

pytestmark = pytest.mark.xdist_group("far_backend")  # one worker compiles the engine
ROOT = Path(__file__).parents[2]
CPP, HELPERS = ROOT / "cpp", ROOT / "tests" / "engine" / "helpers"
# enough of the engine for input, copy and output
SOURCES = [
    *sorted((CPP / "engine").glob("*.cpp")),
    CPP / "ops" / "copy.cpp",
    CPP / "ops" / "ports.cpp",
]
SOURCES += [CPP / "ops" / "util.cpp"]
SOURCES += sorted((CPP / "kernels").glob("dense_*.cpp"))
SOURCES += [CPP / "kernels" / f"{name}.cpp" for name in ("random", "updates")]
HELPED = [HELPERS / "far_backend.cpp", HELPERS / "run_and_differentiate.cpp"]


def model():
    """input -> state, learned and carried values, added up -> output."""
    m = Maker()
    u, s, z, y = (m.buffer(kind, 2) for kind in ("window", "state", "state", "carried"))
    out = m.buffer("window", 2)
    learned = m.buffer("learned", 2, "learned", [1.0, 2.0])
    gain = m.buffer("param", 2, "gain", [1.0, 2.0])
    last = view(y, (2,), shift=1)
    m.region("sequence", m.input(u, 2))
    m.region(
        "loop",
        op("copy", {"src": view(u, (2,)), "dst": view(s, (2,))}, set=0),
        op("copy", {"src": view(u, (2,)), "dst": view(learned, (2,))}, set=0),
        op("elementwise", {"A": view(s, (2,)), "X": view(learned, (2,)), "Y": last}, set=1),
        op("copy", {"src": view(y, (2,)), "dst": last}, set=0),
        op("copy", {"src": view(z, (2,)), "dst": last}, set=0),
        op("elementwise", {"A": view(gain, (2,)), "X": last, "Y": view(out, (2,))}, set=1),
        op("copy", {"src": view(u, (2,)), "dst": view(z, (2,))}, set=1),
    )
    m.region("sequence", m.output(view(out, (2,))))
    return m


class Build:
    """Compiles a few sources and links them to a program."""

    def __init__(self, folder):
        self.folder = folder
        self.compiler = native.compiler()
        flags = ["-std=gnu++17", "-O0", "-DNDL_ONLY_BASELINE", "-DNDL_ISA=baseline", f"-I{CPP}"]
        flags += [f"-I{HELPERS.parent}", '-DNENGO_DL_BUILD_STAMP="a test"']
        self.command = [self.compiler, *flags, "-c"]
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            self.objects = dict(pool.map(self.compile, [*SOURCES, *HELPED]))

    def compile(self, source, name=None):
        target = self.folder / f"{name or source.parent.name + '_' + source.stem}.o"
        native.run([*self.command, source, "-o", target], check=True)
        return source, target

    def run(self, program, backend, changed=()):
        objects = {**self.objects, **dict(changed)}
        target = self.folder / "program"
        native.run([self.compiler, *objects.values(), "-o", target, "-pthread"], check=True)
        return native.run([target, backend, program], capture_output=True, text=True)


@pytest.fixture(scope="module")
def build(tmp_path_factory):
    return Build(tmp_path_factory.mktemp("engine"))


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    path = tmp_path_factory.mktemp("program") / "model.ndlp"
    path.write_bytes(to_bytes(model().program()))
    return path


def test_nobody_touches_values_on_the_host(build, program):
    results = [build.run(program, backend) for backend in ("cpu", "far")]
    assert [r.returncode for r in results] == [0, 0], [r.stderr for r in results]
    assert float(results[0].stdout) != 0
    assert results[0].stdout == results[1].stdout


PLANTED = [
    ("worker.cpp", "Worker<T>::load()", "space_.copy_items("),
    ("worker.cpp", "Worker<T>::roll(", "space_.copy("),
    ("worker.cpp", "Worker<T>::checkpoint(", "space_.copy("),
    ("worker.cpp", "Worker<T>::save(", "space_.copy_items("),
    ("backward.cpp", "Backward<T>::restore(", "space_.copy("),
    ("backward.cpp", "Backward<T>::zero_rows(", "space_.clear("),
    ("backward.cpp", "Backward<T>::clear(", "space_.zero_elements("),
    ("backward.cpp", "Backward<T>::finish()", "space_.copy_items("),
    ("gradient.cpp", "void fill_learned(", "space.copy("),
    ("gradient.cpp", "Memory<U> filled(", "space.copy("),
    ("resident.cpp", "Visitors::add(", "space_.copy_in("),
    ("kept_params.cpp", "send(const Param& param, const T* host) const {", "space_.copy_in("),
]


@pytest.mark.parametrize("file, function, call", PLANTED)
def test_a_planted_touch_is_caught(build, program, tmp_path, file, function, call):
    original = CPP / "engine" / file
    before, found, rest = original.read_text().partition(function)
    assert found and call in rest.partition("\n}\n")[0], f"{file} has no {call} in {function}"
    # the host's memcpy or memset instead of the backend's
    method = call.partition(".")[2]
    faulty = tmp_path / file
    faulty.write_text(before + found + rest.replace(call, f"host_space().{method}", 1))
    changed = [(original, build.compile(faulty, f"planted_{original.stem}")[1])]
    assert build.run(program, "cpu", changed).returncode == 0
    assert build.run(program, "far", changed).returncode == -signal.SIGSEGV
