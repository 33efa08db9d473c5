"""The CUDA backend on a GPU of the host (../host_gpu.py): tests of a GPU, each group in a process.

There, what isn't ordered takes place late, and threads take turns backwards; or early and forwards.
"""

import os
import subprocess
import sys
from pathlib import Path

import host_gpu
import native
import pytest

TESTS = Path(__file__).parents[1]
ANY_ORDER = {"NENGO_DL_HOST_GPU": "early", "NENGO_DL_HOST_GPU_FORWARDS": "1"}

# What is run, how many tests that are at least.
GROUPS = {
    "contract": (["contract", "engine/test_turned.py"], 1000),
    "memory": (
        [
            f"engine/test_{name}.py"
            for name in ("gathered", "resident", "kept_params", "gemm", "no_memory_left")
        ],
        100,
    ),
    "models": (["engine/test_phases.py", "engine/test_ensemble_loop.py"], 70),
    "tiles": (["engine/test_conv_tiles.py"], 110),
    "teams": (["engine/test_team_loop.py"], 25),
    "wide": (["engine/test_wide_loop.py"], 24),
    "coupled": (["engine/test_coupled_loop.py"], 44),
    "simulator": (["sim/test_device.py"], 20),
}


def skip_unless_checked(check):
    """ThreadSanitizer, for one, doesn't run with all addresses that a kernel may give."""
    done = subprocess.run(
        [sys.executable, "-c", "print(1)"], env={**os.environ, **host_gpu.checked(check)},
        capture_output=True, text=True,
    )  # fmt: skip
    if done.returncode != 0:
        pytest.skip(f"Python doesn't run where {check} are checked: {done.stderr[-300:]}")


def run(folder, paths, *options, **environment):
    """How many tests passed in a process; all have to."""
    command = [sys.executable, "-m", "pytest", *"-q -p no:cacheprovider -p no:xdist".split()]
    done = subprocess.run(
        [*command, *(TESTS / path for path in paths), *options],
        env=host_gpu.environment(folder, **environment), capture_output=True, text=True,
        timeout=1200,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    return int(done.stdout.rsplit(" passed", 1)[0].split()[-1].strip("="))


@pytest.mark.slow
@pytest.mark.parametrize("group", GROUPS)
def test_a_gpu_on_the_host(host_gpu_folder, group):
    paths, least = GROUPS[group]
    assert run(host_gpu_folder, paths) >= least


@pytest.mark.slow
@pytest.mark.parametrize("group", ["models", "teams", "coupled"])
def test_in_another_order(host_gpu_folder, group):
    """Of threads, and of what streams do: the same networks, fewer of them."""
    paths, _ = GROUPS[group]
    few = "test_runs and not 150 and not many and not float32"
    assert run(host_gpu_folder, paths, "-k", few, **ANY_ORDER) >= 6


@pytest.mark.slow
def test_a_small_gpu(host_gpu_folder):
    """Whose memory is full now and then."""
    assert run(host_gpu_folder, ["engine/test_full_gpu.py"], NENGO_DL_HOST_GPU_MIB="256") == 4


@pytest.mark.slow
def test_one_gpu_of_several(host_gpu_folder):
    """Threads of others mean another one; rows further apart than a copy takes are copied, too."""
    paths = ["engine/test_gemm.py", "engine/test_resident.py", "sim/test_device.py"]
    other = {"NENGO_DL_HOST_GPU_CURRENT": "1", "NENGO_DL_HOST_GPU_PITCH": "100"}
    assert run(host_gpu_folder, paths, **other) >= 60


@pytest.mark.slow
def test_no_races(tmp_path):
    """Threads of kernels wait for what they read of each other, whatever their order."""
    skip_unless_checked("races")
    host_gpu.build(tmp_path, "races")
    paths = ["engine/test_turned.py", "engine/test_ensemble_loop.py"]
    paths += [f"engine/test_team_loop.py::test_{name}[3-spiking]" for name in ("runs", "gradients")]
    assert run(tmp_path, paths, "-s", **host_gpu.checked("races")) >= 38


@pytest.mark.slow
def test_no_access_beyond_memory(tmp_path):
    """Kernels, and what starts them, stay within each block of memory."""
    skip_unless_checked("memory")
    host_gpu.build(tmp_path, "memory")
    paths = ["contract/test_contract.py", "engine/test_turned.py", "engine/test_gathered.py"]
    some = ["-k", "turned or gathered or dense or lowpass or max_pool or neurons"]
    assert run(tmp_path, paths, *some, **host_gpu.checked("memory")) >= 80


@pytest.mark.slow
def test_it_is_there(host_gpu_folder):
    """Processes that have it find it as if it were a GPU of NVIDIA's, with cuBLAS."""
    script = """
from nengo_dl import _engine
_engine.load_cuda()
print(_engine.backends(), _engine.cuda_info())
"""
    command, environment = [sys.executable, "-c", script], host_gpu.environment(host_gpu_folder)
    printed = subprocess.check_output(command, env=environment, text=True)
    assert printed == "['cpu', 'cuda'] a GPU on the host, 16384 MiB, CUDA 13.0, with cuBLAS\n"
    isn_t = ", for which this package isn't built; NENGO_DL_CUDA_ARCHITECTURES names its kinds\n"
    cases = [  # a kind, and whether the driver can translate for GPUs that came later
        (
            "61",
            "1",
            "one of compute capability 6.1, while this package is built for 7.5 and more\n",
        ),
        ("100", "0", "one of compute capability 10.0" + isn_t),
        ("89", "0", "one of compute capability 8.9" + isn_t),
        ("100", "1", ""),
    ]
    for kind, ptx, said in cases:
        environment |= {"NENGO_DL_HOST_GPU_KIND": kind, "NENGO_DL_HOST_GPU_PTX": ptx}
        done = subprocess.run(command, env=environment, text=True, capture_output=True)
        assert done.stderr.endswith(said) and bool(done.returncode) == bool(said)


@pytest.mark.slow
@pytest.mark.parametrize("clusters, way", [("33", "team"), ("0", "op by op")])
def test_teams_need_clusters(host_gpu_folder, clusters, way):
    """A GPU that takes none of their size runs loops otherwise."""
    script = """
from nengo_dl import _engine
import test_team_loop
_engine.load_cuda()
print(test_team_loop.ways(test_team_loop.model("spiking").compiled("cuda")))
"""
    environment = host_gpu.environment(host_gpu_folder, NENGO_DL_HOST_GPU_CLUSTERS=clusters)
    environment["PYTHONPATH"] += os.pathsep + str(TESTS / "engine")
    printed = subprocess.check_output([sys.executable, "-c", script], env=environment, text=True)
    assert printed == f"['{way}']\n"


FAULTS = {  # of a kernel, or of who calls CUDA: what is said
    "leaves": "threads wait for some that have ended",
    "waits for ever": "all threads wait for words that nobody tells",
    "few lanes": "threads wait for some that have ended",
    "never waits for a copy": "a thread ended that had fetched and not waited",
    "many threads": "no GPU takes 1 x 1 blocks of 2048 threads",
    "much memory": "no GPU takes",
    "many together": "no GPU takes",
    "beyond a block's memory": "",  # a signal says it
    "reads the host's memory": "",
    "host reads the GPU's": "",
}


@pytest.fixture(scope="module")
def faulty(tmp_path_factory):
    program, package = tmp_path_factory.mktemp("faulty") / "faulty", host_gpu.engine_folder()
    sources = [host_gpu.HELPERS / "host_gpu_faults.cpp", *host_gpu.SOURCES]
    engine = [package / "libnengo_engine.so", f"-Wl,-rpath,{package}", "-ldl"]
    native.build_program(sources, program, host_gpu.FLAGS, engine)
    return program


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_are_seen(faulty, fault):
    done = subprocess.run([faulty, fault], capture_output=True, text=True)
    assert done.returncode != 0
    assert FAULTS[fault] in done.stderr


def test_races_are_seen(tmp_path):
    """Of threads that hand numbers on, those that don't wait."""
    skip_unless_checked("races")
    package, apart, program = (
        host_gpu.engine_folder(),
        tmp_path / "libapart.so",
        tmp_path / "faulty",
    )
    engine = [package / "libnengo_engine.so", f"-Wl,-rpath,{package}", "-ldl"]
    native.build_library(host_gpu.SOURCES, apart, [*host_gpu.FLAGS, *host_gpu.APART], engine)
    flags = host_gpu.CHECKS["races"].split()
    links = [*engine, apart, f"-Wl,-rpath,{tmp_path}", *flags]
    faults = [host_gpu.HELPERS / "host_gpu_faults.cpp"]
    native.build_program(faults, program, [*host_gpu.FLAGS, *flags], links)
    found = [
        subprocess.run([program, fault], capture_output=True, text=True)
        for fault in ("hands on, waits", "hands on")
    ]
    assert ["data race" in done.stderr for done in found] == [False, True]
    assert [done.returncode == 0 for done in found] == [True, False]


def test_orders(faulty):
    """Streams do what they are told when somebody waits for them, and no sooner, or at once."""
    late = subprocess.run([faulty, "late"], capture_output=True, text=True)
    early = subprocess.run(
        [faulty, "late"], capture_output=True, text=True, env={**os.environ, **ANY_ORDER}
    )
    assert (late.stdout, early.stdout) == ("old new\n", "new new\n")
