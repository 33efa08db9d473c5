"""The CUDA backend where there is no GPU: its sources as C++, on a GPU that is a library.

What is compiled is what a GPU runs, but for ``cpp/cuda/gpu.h``: kernels with their threads, blocks
and waits, streams, memory and the calls of cuBLAS (``engine/helpers/host_gpu``).

``python tests/host_gpu.py [--sanitize] FOLDER COMMAND...`` makes it in an empty folder, if it isn't
there, and runs a command that has it.
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
SANITIZERS = [
    "-fsanitize=address,undefined",
    "-fno-sanitize=vptr",
    "-fno-sanitize-recover=undefined",
]


def engine_folder():
    """Where the package lies that is tested, with the engine's library."""
    from nengo_dl import _engine

    return Path(_engine.__file__).parent


def build(folder, sanitize=False):
    """Make a copy of the package with this CUDA backend; a process that has `environment` uses it.

    Parameters
    ----------
    folder : pathlib.Path
        An empty one, where the copy comes to lie.
    sanitize : bool
        Whether kernels and what starts them are compiled with AddressSanitizer and
        UndefinedBehaviorSanitizer, which see who goes beyond a block of the GPU's memory.
    """
    package = folder / "nengo_dl"
    ignored = shutil.ignore_patterns("__pycache__", LIBRARY)
    shutil.copytree(engine_folder(), package, ignore=ignored)
    sources = [*sorted((TOP / "cpp" / "cuda").glob("*.cu")), *SOURCES]
    engine = [package / "libnengo_engine.so", "-Wl,-rpath,$ORIGIN", "-ldl"]
    more = SANITIZERS if sanitize else []
    native.build_library(sources, package / LIBRARY, [*FLAGS, *more], [*engine, *more])


def environment(folder, **more):
    """That of a process that has the GPU, by tests of a GPU."""
    path = [str(folder), str(TOP / "tests"), *filter(None, [os.environ.get("PYTHONPATH")])]
    cublas = folder / "nengo_dl" / LIBRARY  # has its functions, too
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(path),
        "NENGO_DL_CUBLAS": str(cublas),
        "NENGO_DL_TEST_BACKENDS": "cuda",
        **more,
    }


def preloaded():
    """What a process needs beside it whose Python isn't compiled with the sanitizers."""
    libraries = [
        native.run(
            [native.compiler(), f"-print-file-name=lib{name}.so"],
            check=True, capture_output=True, text=True,
        ).stdout.strip()
        for name in ("asan", "ubsan")
    ]  # fmt: skip
    options = "detect_leaks=0:allocator_may_return_null=1"
    return {"LD_PRELOAD": os.pathsep.join(libraries), "ASAN_OPTIONS": options}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sanitize", action="store_true", help="memory is checked")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    given = parser.parse_args()
    if not (given.folder / "nengo_dl" / LIBRARY).exists():
        build(given.folder, given.sanitize)
    surroundings = environment(given.folder.resolve(), **(preloaded() if given.sanitize else {}))
    sys.exit(subprocess.run(given.command, env=surroundings).returncode)
