"""The maths of ``cpp/math`` and all neuron types are CUDA, too: a compiler is enough to know."""

import shutil
from pathlib import Path

import native
import pytest

from nengo_dl import _engine

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "tests" / "engine" / "helpers" / "neurons_device.cu"


@pytest.mark.skipif(shutil.which("nvcc") is None, reason="no nvcc")
def test_all_neuron_types_compile_for_a_gpu_without_a_warning(tmp_path):
    target = tmp_path / "neurons.cubin"
    command = ["nvcc", "-std=c++17", "-arch=sm_80", "-cubin", "--fmad=false"]
    command += ["-Werror", "all-warnings", "-Xcompiler", "-Wall,-Wextra", f"-I{ROOT / 'cpp'}"]
    done = native.run([*command, SOURCE, "-o", target], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4000:]
    binary = target.read_bytes()
    for name in _engine.neuron_types():
        # the kernels' mangled names, in each precision
        for scalar in "fd":
            assert f"{len(name)}{name}I{scalar}E".encode() in binary, name
