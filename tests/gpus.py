"""Which backends of the engine are tested as a GPU's."""

import ctypes
import os

import pytest

#: That of the CUDA backend: as plain C++, or itself where ``NENGO_DL_TEST_BACKENDS`` asks for that
#: alone.
GPU = "cuda" if os.environ.get("NENGO_DL_TEST_BACKENDS") == "cuda" else "phases"
#: All whose memory is not the host's.
DEVICES = ("cuda",) if GPU == "cuda" else ("far", "phases")


def ways(compiled):
    """How the loops of a program are run that are one kernel, for an item."""
    return [how for _, how, _ in compiled.loops(1)]


def counter(library, name):
    """A function of a backend's library that counts; skips the test where a GPU doesn't."""
    if not hasattr(library, name):
        pytest.skip("a GPU doesn't count")
    function = getattr(library, name)
    function.restype = ctypes.c_int64
    return function
