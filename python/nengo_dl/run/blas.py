"""How many threads NumPy's and SciPy's OpenBLAS works on.

It shares out products of some hundred rows already, where its threads wait for each other longer
than they work. Other libraries are left as they are, as is OpenBLAS where it can't be found.
"""

import contextlib
import ctypes
from functools import cache

from .. import _engine

_PREFIXES = ("scipy_openblas", "openblas")
_SUFFIXES = ("64_", "_64", "")


class OpenBLAS:
    """One library of OpenBLAS in this process.

    Parameters
    ----------
    path : str
        Its file.

    Raises
    ------
    OSError
        If it isn't one, or is of no known form.
    """

    def __init__(self, path):
        library = ctypes.CDLL(path)
        for prefix in _PREFIXES:
            for suffix in _SUFFIXES:
                with contextlib.suppress(AttributeError):
                    self.set = getattr(library, f"{prefix}_set_num_threads{suffix}")
                    self.get = getattr(library, f"{prefix}_get_num_threads{suffix}")
                    return
        raise OSError(f"expected functions of OpenBLAS in {path}, got none")


def libraries():
    """All OpenBLAS libraries that this process has loaded."""
    paths = {path for path in _engine.loaded_libraries() if "openblas" in path}
    return [found for path in sorted(paths) if (found := _library(path)) is not None]


@cache
def _library(path):
    try:
        return OpenBLAS(path)
    except OSError:
        return None


def thread_counts():
    """Per library, on how many threads it works."""
    return {library: library.get() for library in libraries()}


@contextlib.contextmanager
def blas_threads(counts):
    """Let libraries work on other numbers of threads, which ``counts`` has by library."""
    before = {library: library.get() for library in counts}
    for library, count in counts.items():
        library.set(count)
    try:
        yield
    finally:
        for library, count in before.items():
            library.set(count)
