"""The CUDA backend is a library of its own: a package may lack it, a machine have no GPU."""

import ctypes
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from nengo_dl import _engine

PACKAGE = Path(_engine.__file__).parent
LIBRARY = "libnengo_engine_cuda.so"


def gpus():
    """How many GPUs the driver has; 0 without a driver."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return 0
    count = ctypes.c_int(0)
    found = driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0
    return count.value if found else 0


def load(module):
    """What a process prints that loads the backend twice: backends, or the error."""
    script = f"""
{module}
try:
    _engine.load_cuda()
    _engine.load_cuda()
except RuntimeError as error:
    print(error)
assert "cpu" in _engine.backends()
print(_engine.backends())
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def without(tmp_path):
    """A statement that imports an engine without the backend, and the folder it lies in."""
    for path in (Path(_engine.__file__), PACKAGE / "libnengo_engine.so"):
        shutil.copy(path, tmp_path / path.name)  # what a link leads to
    return f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import _engine", tmp_path


def test_it_is_loaded_or_says_what_is_missing():
    printed = load("from nengo_dl import _engine")
    if not (PACKAGE / LIBRARY).exists():
        assert "built without nvcc" in printed and LIBRARY in printed and "'cuda'" not in printed
    elif gpus() == 0:
        said = r"the CUDA backend: expected a GPU of NVIDIA and its driver, got none( \(.+\))?\n"
        assert re.fullmatch(said + r"\['cpu'\]\n", printed)
    else:
        assert printed == "['cpu', 'cuda']\n"


def test_a_package_without_it_says_so(without):
    statement, folder = without
    printed = load(statement)
    assert "can't be loaded, this package was perhaps built without nvcc" in printed
    assert str(folder / LIBRARY) in printed and printed.endswith("\n['cpu']\n")


def test_what_the_loader_says_is_handed_on(without):
    statement, folder = without
    (folder / LIBRARY).write_text("no library at all")
    assert "file too short" in load(statement) or "invalid ELF header" in load(statement)


def test_a_library_of_another_build_is_refused(without):
    """Each time it is asked for: its classes may be others than those of the same names here."""
    statement, folder = without
    source = folder / "other.cpp"
    source.write_text('extern "C" const char* nengo_dl_cuda_stamp() { return "another day"; }')
    command = ["g++", "-shared", "-fPIC", str(source), "-o", str(folder / LIBRARY)]
    subprocess.run(command, check=True)
    for again in ("", "\ntry: _engine.load_cuda()\nexcept RuntimeError: pass"):
        printed = load(statement + again)
        assert "expected a library of this build (" in printed and "install" in printed


@pytest.mark.parametrize("ask", [_engine.cuda_info, _engine.cuda_memory])
def test_no_information_before_it_is_loaded(ask):
    with pytest.raises(RuntimeError, match="the CUDA backend: expected it to be loaded"):
        ask()
