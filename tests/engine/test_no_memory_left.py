"""Runs that the GPU's memory ends in the middle of: what is kept from call to call stays whole."""

import ctypes

import numpy as np
import pytest
from coupled_networks import network
from gpus import GPU
from whole_models import BENCH, model_of, whole_model

pytestmark = pytest.mark.usefixtures("gpu_library")
SMALL, LARGE = (8, 2), (23, 9)  # steps, items


@pytest.fixture
def blocks_left(gpu_library):
    """A function that lets the GPU give so many blocks of memory more."""
    if not hasattr(gpu_library, "host_gpu_blocks_left"):
        pytest.skip("a GPU's memory doesn't end where a test wants it to")
    function = gpu_library.host_gpu_blocks_left
    function.argtypes = [ctypes.c_int64]
    compiled = whole_model("dense", "float32").training.compiled(GPU)
    function(0)
    with pytest.raises(MemoryError):  # for whose sake all that is spare is given back
        compiled.tape(100, 1000)
    function(-1)
    yield function
    function(-1)


def same_after_failures(blocks_left, work):
    """What ``work`` of few steps returns, after that of more has failed at every block it asks."""
    due, failures = work(*SMALL), 0
    while True:
        blocks_left(failures)
        try:
            large = work(*LARGE)
        except MemoryError:
            failures += 1
        else:
            break
        finally:
            blocks_left(-1)
        for a, b in zip(work(*SMALL), due, strict=True):
            np.testing.assert_array_equal(a, b)
    assert failures >= 2
    for a, b in zip(work(*LARGE), large, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", ["spiking layers", "PES", "image"])
def test_gradients(blocks_left, name):
    model = whole_model(name, "float32", window=0).training
    compiled = model.compiled(GPU)
    same_after_failures(blocks_left, lambda *sizes: model.gradients(compiled, *sizes))


@pytest.mark.parametrize("way", ["coupled", "wide", "op by op"])
def test_loops(blocks_left, way, monkeypatch):
    monkeypatch.setenv("NENGO_DL_LOOP_WAY", way)
    net = network(0) if way == "coupled" else BENCH.spiking(150)[0]
    model = model_of(net, "float32")
    compiled = model.compiled(GPU)
    same_after_failures(blocks_left, lambda *sizes: model.run(compiled, *sizes))
