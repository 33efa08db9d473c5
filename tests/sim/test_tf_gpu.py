"""Where TensorFlow has a GPU: tests of devices with a stand-in for one, each in a process."""

import subprocess
import sys
from pathlib import Path

import host_gpu
import native
import pytest
import tensorflow as tf
import tf_gpu

HELPERS = Path(__file__).parents[1] / "engine" / "helpers"
OWN = "tf_gpu_cases.py"  # the last, as it ends with an error
CASES = {
    "far": ("test_device.py", "test_op.py", "test_gradient_op.py", OWN),
    "phases": (OWN,),
    "cuda": ("test_device.py", OWN),
}

pytestmark = [
    pytest.mark.xdist_group("tf_gpu"),  # one worker compiles the device
    pytest.mark.skipif(
        tf.test.is_built_with_cuda(),
        reason="CUDA kernels of TensorFlow's would run on the stand-in: it takes tensorflow-cpu",
    ),
]


@pytest.fixture(scope="module", params=CASES)
def memory(request):
    """A backend, the file of its library, and the environment that it needs."""
    if request.param == "cuda":
        folder = request.getfixturevalue("host_gpu_folder")
        return "cuda", folder / "nengo_dl" / host_gpu.LIBRARY, host_gpu.environment(folder)
    library = request.getfixturevalue(f"{request.param}_library")
    return request.param, Path(library._name), host_gpu.own_environment()


@pytest.fixture(scope="module")
def environment(memory, tmp_path_factory):
    """That of a process with the device, whose memory is the backend's."""
    name, library, base = memory
    folder = tmp_path_factory.mktemp("tf_gpu")
    flags = [flag for flag in tf.sysconfig.get_compile_flags() if not flag.startswith("-std")]
    flags = ["-std=c++17", "-O1", "-fPIC", *(flag.replace("-I", "-isystem", 1) for flag in flags)]
    links = tf.sysconfig.get_link_flags()
    links += ["-Wl,-rpath," + link[2:] for link in links if link.startswith("-L")]
    device, ops = folder / "libfar_gpu.so", folder / "libfar_gpu_ops.so"
    native.build_library([HELPERS / "far_gpu.cpp"], device, flags, [
        *links, library, f"-Wl,-rpath,{library.parent}"
    ])  # fmt: skip
    native.build_library([HELPERS / "far_gpu_ops.cpp"], ops, flags, links)
    return tf_gpu.environment(base, name, library, device, ops)


@pytest.mark.slow
def test_models_on_the_gpu_of_tensorflow(memory, environment):
    """S-05: they run, train and are saved as elsewhere, and what both work on stays there.

    What is tested without a GPU is as it was where there is one.
    """
    name = memory[0]
    other = "phases" if name == "far" else "far"
    options = "-q -p tf_gpu -p no:cacheprovider -p no:xdist -k".split() + [f"not {other}"]
    cases = [Path(__file__).with_name(case) for case in CASES[name]]
    command = [sys.executable, "-m", "pytest", *options, *cases]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=1200)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-1000:]
    passed = int(done.stdout.rsplit(" passed", 1)[0].split()[-1].strip("="))
    assert passed >= 20 * len(CASES[name]), done.stdout[-1000:]
