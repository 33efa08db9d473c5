"""Small copies and clearings of a GPU's memory, which go together (cpp/cuda/gathered.h)."""

import ctypes
from pathlib import Path

import host_gpu
import native
import pytest
from gpus import GPU, counter
from whole_models import whole_model

LITTLE = 46  # kernels, copies and clearings; each by itself they were 96


@pytest.fixture(scope="module")
def calls(gpu_library, tmp_path_factory):
    """Calls of the backend's space; where each is done by itself, the same calls."""
    counter(gpu_library, "gemm_calls")  # that of a real GPU shows none of its functions
    target = tmp_path_factory.mktemp("gathered") / "libspace_calls.so"
    library = Path(gpu_library._name)
    plain = ["-std=gnu++17", "-O1", "-fPIC", *host_gpu.INCLUDES]
    flags = host_gpu.FLAGS if GPU == "cuda" else plain
    links = [library, f"-Wl,-rpath,{library.parent}"]
    native.build_library([host_gpu.HELPERS / "space_calls.cpp"], target, flags, links)
    found = ctypes.CDLL(str(target))
    found.space_calls.restype = ctypes.c_int64
    return found


@pytest.mark.parametrize("seed", range(40))
def test_in_any_order(calls, seed):
    """What one call writes another reads or writes: as if each had been done at once."""
    assert calls.space_calls(ctypes.c_uint32(seed), ctypes.c_int64(400)) == 400


@pytest.mark.skipif(GPU != "cuda", reason="phases of tests have no neighbours")
def test_lent_memory_goes_home(calls):
    """A tape lives longer than the op that made it: TensorFlow has its memory back when it ends."""
    lent = (ctypes.c_int64 * 3)()
    calls.lend(lent)
    assert list(lent) == [1, 1, 0]


@pytest.mark.skipif(GPU != "cuda", reason="counts calls of CUDA")
def test_a_training_step_starts_little(gpu_library):
    """States that are carried, adjoints that are cleared, arguments and results go together."""
    started = counter(gpu_library, "host_gpu_started")
    model = whole_model("spiking layers", "float32").training
    compiled = model.compiled("cuda")
    model.gradients(compiled, 7, 2)
    before = started()
    model.gradients(compiled, 7, 2)
    assert started() - before <= LITTLE
