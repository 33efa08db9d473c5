"""What all tests share."""

import contextlib
import ctypes
import fcntl
import os
import shutil
from pathlib import Path

import host_gpu
import hypothesis
import native
import nengo
import numpy as np
import pytest
import tf_gpu
from gpus import GPU

# Before TensorFlow is imported: its start-up messages would fill the reports of failing tests.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")

# Machines that run tests are shared and slow at times; an example's duration says nothing.
hypothesis.settings.register_profile("shared-machine", deadline=None)
hypothesis.settings.load_profile("shared-machine")


CALL_NO_PYTHON = ("phases", "cuda")  # backends


def pytest_configure(config):
    """Marks of tests."""
    config.addinivalue_line("markers", "calls_python: in programs, what not all backends do")


@pytest.fixture(autouse=True)
def _same_networks_in_every_run():
    """Networks without a seed take theirs from NumPy's global generator."""
    np.random.seed(0)


@pytest.fixture(scope="session", autouse=True)
def _own_decoder_cache(tmp_path_factory):
    """Whoever finds Nengo's cache locked by another process is warned.

    Who opens it first logs that there is no index, with a traceback: pytest keeps it until the end
    of a test, and with it the simulator that was being built.
    """
    folder = tmp_path_factory.mktemp("decoders")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(nengo.rc["decoder_cache"], "path", str(folder))
        with nengo.cache.DecoderCache():
            pass
        yield


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


@contextlib.contextmanager
def only_one(tmp_path_factory, name):
    """The folder of what test processes that run side by side build once, and whether to build it.

    A build that failed is one that has not been.
    """
    base = tmp_path_factory.getbasetemp()
    base = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder, done = base / name, base / f"{name}.done"
    with open(base / f"{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        is_new = not done.exists()
        if is_new:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
        yield folder, is_new
        done.touch()


def add_backend(name, tmp_path_factory, sources=()):
    """Compile and load ``tests/engine/helpers/<name>_backend.cpp``, which adds a backend.

    Test processes that run side by side compile it once.
    """
    from nengo_dl import _engine

    if tf_gpu.NAME == name:
        return tf_gpu.load_backend()  # once more: this process has it
    top, library = Path(__file__).parents[1], Path(_engine.__file__).parent
    sources = [top / "tests" / "engine" / "helpers" / f"{name}_backend.cpp", *sources]
    flags = ["-std=gnu++17", "-O1", "-fPIC", f"-I{top / 'cpp'}", f"-I{top / 'tests' / 'engine'}"]
    with only_one(tmp_path_factory, f"{name}_backend") as (folder, is_new):
        target = folder / f"lib{name}_backend.so"
        if is_new:
            engine = [library / "libnengo_engine.so", f"-Wl,-rpath,{library}"]
            native.build_library(sources, target, flags, engine)
    assert name not in _engine.backends()
    loaded = ctypes.CDLL(str(target))
    assert name in _engine.backends()
    return loaded


@pytest.fixture(scope="session")
def far_library(tmp_path_factory):
    """Backend "far", whose memory the host can't read. Returns its library."""
    return add_backend("far", tmp_path_factory)


@pytest.fixture(scope="session")
def divided_library(tmp_path_factory):
    """Backend "divided", where threads share out the ops of every window."""
    add_backend("divided", tmp_path_factory)


@pytest.fixture(scope="session")
def phases_library(tmp_path_factory):
    """Backend "phases": what the CUDA backend does, compiled as plain C++. Returns its library."""
    # what "phases" has of its own, or does without
    on_a_gpu = {"space.cu", "staging.cu", "gathered.cu", "cublas.cu", "info.cu"}
    sources = sorted((Path(__file__).parents[1] / "cpp" / "cuda").glob("*.cu"))
    return add_backend("phases", tmp_path_factory, [s for s in sources if s.name not in on_a_gpu])


@pytest.fixture(scope="session")
def cuda_library():
    """Backend "cuda", of a GPU or of one on the host (host_gpu.py). Returns its library."""
    from nengo_dl import _engine

    _engine.load_cuda()
    return ctypes.CDLL(str(Path(_engine.__file__).with_name("libnengo_engine_cuda.so")))


@pytest.fixture(scope="session")
def host_gpu_folder(tmp_path_factory):
    """A copy of the package whose GPU is on the host (host_gpu.py)."""
    with only_one(tmp_path_factory, "host_gpu") as (folder, is_new):
        if is_new:
            host_gpu.build(folder)
    return folder


@pytest.fixture(scope="session")
def gpu_library(request):
    """That of backend `gpus.GPU`."""
    return request.getfixturevalue(f"{GPU}_library")


@pytest.fixture
def one_way(request, gpu_library, monkeypatch):
    """Loops on a GPU are run in the way that the module's `WAY` names, if it takes them."""
    from nengo_dl import _engine

    monkeypatch.setenv("NENGO_DL_LOOP_WAY", request.module.WAY)
    before = _engine.isa()
    _engine.set_isa("baseline")
    yield
    _engine.set_isa(before)


def pytest_generate_tests(metafunc):
    """Tests that ask for `backend` run on each; ``NENGO_DL_TEST_BACKENDS`` says on which."""
    if "backend" in metafunc.fixturenames:
        names = os.environ.get("NENGO_DL_TEST_BACKENDS", "cpu,far,phases").split(",")
        metafunc.parametrize("backend", names, indirect=True)


@pytest.fixture
def backend(request):
    """Runs the test on the processor, where host and device are apart, and as a GPU does."""
    from nengo_dl import _engine

    params = request.node.callspec.params
    called = any(params.get(name) == "callback" for name in ("kind", "subject"))
    calls_python = called or request.node.get_closest_marker("calls_python") is not None
    if calls_python and request.param in CALL_NO_PYTHON:
        pytest.skip("programs that call Python stay on the CPU")
    if request.param == "far" and "isa" in request.fixturenames and not calls_python:
        pytest.skip('"phases" does the same arithmetic in the same memory')
    if request.param != "cpu":
        if "isa" in request.fixturenames and request.getfixturevalue("isa") != "baseline":
            pytest.skip("one instruction set is enough to tell host and device apart")
        request.getfixturevalue(f"{request.param}_library")
    _engine.set_backend(request.param)
    yield request.param
    _engine.set_backend("cpu")
