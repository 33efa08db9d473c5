"""The CUDA backend where there is no GPU: its sources as C++, on a GPU that is a library.

What is compiled is what a GPU runs, but for ``cpp/cuda/gpu.h``: kernels with their threads, blocks
and waits, streams, memory and the calls of cuBLAS (``engine/helpers/host_gpu``).
"""

import os
import shutil
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


def engine_folder():
    """Where the package lies that is tested, with the engine's library."""
    from nengo_dl import _engine

    return Path(_engine.__file__).parent


def build(folder):
    """Make a copy of the package with this CUDA backend; a process that has `environment` uses it.

    Parameters
    ----------
    folder : pathlib.Path
        An empty one, where the copy comes to lie.
    """
    package = folder / "nengo_dl"
    ignored = shutil.ignore_patterns("__pycache__", LIBRARY)
    shutil.copytree(engine_folder(), package, ignore=ignored)
    sources = [*sorted((TOP / "cpp" / "cuda").glob("*.cu")), *SOURCES]
    engine = [package / "libnengo_engine.so", "-Wl,-rpath,$ORIGIN", "-ldl"]
    native.build_library(sources, package / LIBRARY, FLAGS, engine)


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
