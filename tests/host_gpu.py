"""The CUDA backend where there is no GPU: its sources as C++, on a GPU that is a library.

What is compiled is what a GPU runs, but for ``cpp/cuda/gpu.h``: kernels with their threads, blocks
and waits, streams, memory and the calls of cuBLAS (``engine/helpers/host_gpu``).

``NENGO_DL_HOST_GPU_MIB`` and others (``fact`` in ``host_gpu/driver.cpp``) make it another GPU: with
little memory, of an older kind, not the one that threads mean, with more processors.

``python tests/host_gpu.py [--check ...] FOLDER COMMAND...`` makes it in an empty folder, if it
isn't there, and runs a command that has it.
"""

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

import native

TOP = Path(__file__).parents[1]
HELPERS = TOP / "tests" / "engine" / "helpers"
SOURCES = [*sorted((HELPERS / "host_gpu").glob("*.cpp")), HELPERS / "cublas_double.cpp"]
LIBRARY = "libnengo_engine_cuda.so"
INCLUDES = [f"-I{folder}" for folder in (TOP / "cpp", HELPERS.parent)]
FLAGS = [
    *"-std=gnu++17 -O1 -fPIC -Wno-unknown-pragmas".split(),
    *(f"-I{HELPERS / 'host_gpu'}", *INCLUDES),
    *("-D__CUDACC__", "-include", "cuda_runtime.h"),
    "-DNENGO_DL_BUILD_STAMP=::nengo_dl::build_stamp()",  # it is of every build
]
#: How kernels and what starts them are compiled to see who goes beyond a block of the GPU's memory,
#: and who reads or writes what another thread of a kernel writes, without having waited for it.
CHECKS = {
    "memory": "-fsanitize=address,undefined -fno-sanitize=vptr -fno-sanitize-recover=undefined",
    "races": "-fsanitize=thread",
}
APART = ["-DHOST_GPU_RACES"]  # for what gives the threads of a kernel turns, which isn't checked
LIBRARIES = {"memory": ("asan", "ubsan"), "races": ("tsan",)}


def engine_folder():
    """Where the package lies that is tested, with the engine's library."""
    from nengo_dl import _engine

    return Path(_engine.__file__).parent


def build(folder, check=None):
    """Make a copy of the package with this CUDA backend; a process that has `environment` uses it.

    Parameters
    ----------
    folder : pathlib.Path
        An empty one, where the copy comes to lie.
    check : str, optional
        One of `CHECKS`.
    """
    package = folder / "nengo_dl"
    ignored = shutil.ignore_patterns("__pycache__", LIBRARY)
    shutil.copytree(engine_folder(), package, ignore=ignored)
    sources, gpu = sorted((TOP / "cpp" / "cuda").glob("*.cu")), SOURCES
    engine = [package / "libnengo_engine.so", "-Wl,-rpath,$ORIGIN", "-ldl"]
    more = CHECKS[check].split() if check else []
    if check == "races":
        apart = package / "libhost_gpu.so"
        native.build_library(gpu, apart, [*FLAGS, *APART], engine)
        engine, gpu = [*engine, apart], []
    native.build_library([*sources, *gpu], package / LIBRARY, [*FLAGS, *more], [*engine, *more])


def own_environment():
    """That of a process whose tests are no part of this one's, which may be one of several."""
    return {name: v for name, v in os.environ.items() if not name.startswith("PYTEST_XDIST")}


def environment(folder, **more):
    """That of a process that has the GPU, by tests of a GPU."""
    path = [str(folder), str(TOP / "tests"), *filter(None, [os.environ.get("PYTHONPATH")])]
    cublas = folder / "nengo_dl" / LIBRARY  # has its functions, too
    return {
        **own_environment(),
        "PYTHONPATH": os.pathsep.join(path),
        "NENGO_DL_CUBLAS": str(cublas),
        "NENGO_DL_TEST_BACKENDS": "cuda",
        **more,
    }


def checked(check):
    """What a process needs beside it whose Python isn't compiled to be checked."""
    ask = [native.compiler()]
    found = [
        native.run([*ask, f"-print-file-name=lib{name}.so"], capture_output=True, text=True).stdout
        for name in LIBRARIES[check]
    ]
    return {
        "LD_PRELOAD": os.pathsep.join(path.strip() for path in found),
        "ASAN_OPTIONS": "detect_leaks=0:allocator_may_return_null=1",
        "TSAN_OPTIONS": "halt_on_error=1:ignore_noninstrumented_modules=1",
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--check", choices=CHECKS, help="what of the kernels is checked")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    given = parser.parse_args()
    if not (given.folder / "nengo_dl" / LIBRARY).exists():
        build(given.folder, given.check)
    more = checked(given.check) if given.check else {}
    surroundings = environment(given.folder.resolve(), **more)
    sys.exit(subprocess.run(given.command, env=surroundings).returncode)
