"""What all tests share."""

import ctypes
import os
from pathlib import Path

import hypothesis
import native
import numpy as np
import pytest

# Before TensorFlow is imported: its start-up messages would fill the reports of failing tests.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")

# Machines that run tests are shared and slow at times; an example's duration says nothing.
hypothesis.settings.register_profile("shared-machine", deadline=None)
hypothesis.settings.load_profile("shared-machine")


@pytest.fixture(autouse=True)
def _same_networks_in_every_run():
    """Networks without a seed take theirs from NumPy's global generator."""
    np.random.seed(0)


@pytest.fixture(params=["baseline", "avx2", "avx512"])
def isa(request):
    """Runs the test with the kernels of each instruction set that the processor has."""
    from nengo_dl import _engine  # here, as tests of the planner do without the library

    if request.param not in _engine.isas():
        pytest.skip(f"the processor has no {request.param}")
    before = _engine.isa()
    _engine.set_isa(request.param)
    yield request.param
    _engine.set_isa(before)


def add_backend(name, folder):
    """Compile and load ``tests/engine/helpers/<name>_backend.cpp``, which adds a backend."""
    from nengo_dl import _engine

    top, library = Path(__file__).parents[1], Path(_engine.__file__).parent
    target = folder / f"lib{name}_backend.so"
    source = top / "tests" / "engine" / "helpers" / f"{name}_backend.cpp"
    command = [native.compiler(), "-std=c++17", "-O1", "-fPIC", "-shared", f"-I{top / 'cpp'}"]
    command += [source, "-o", target, library / "libnengo_engine.so", f"-Wl,-rpath,{library}"]
    native.run(command, check=True)
    assert name not in _engine.backends()
    ctypes.CDLL(str(target))
    assert name in _engine.backends()


@pytest.fixture(scope="session")
def far_library(tmp_path_factory):
    """Backend "far", whose memory the host can't read."""
    add_backend("far", tmp_path_factory.mktemp("far"))


@pytest.fixture(scope="session")
def divided_library(tmp_path_factory):
    """Backend "divided", where threads share out the ops of every window."""
    add_backend("divided", tmp_path_factory.mktemp("divided"))


@pytest.fixture(params=["cpu", "far"])
def backend(request):
    """Runs the test on the processor, and where host and device are apart."""
    from nengo_dl import _engine

    if request.param == "far":
        if "isa" in request.fixturenames and request.getfixturevalue("isa") != "baseline":
            pytest.skip("one instruction set is enough to tell host and device apart")
        request.getfixturevalue("far_library")
    _engine.set_backend(request.param)
    yield request.param
    _engine.set_backend("cpu")
