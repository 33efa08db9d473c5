"""How cuBLAS is found and called: held against a library that has its functions on the processor.

cuBLAS itself is called in runs on a GPU.
"""

import ctypes
from pathlib import Path

import native
import numpy as np
import pytest

from nengo_dl import _engine

ROOT = Path(__file__).parents[2]
HELPERS = ROOT / "tests" / "engine" / "helpers"


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The library that calls, and the one that is called."""
    folder, home = tmp_path_factory.mktemp("cublas"), Path(_engine.__file__).parent
    caller, called = folder / "libcaller.so", folder / "libcublas_double.so"
    flags = ["-std=gnu++17", "-O1", "-fPIC", f"-I{ROOT / 'cpp'}", f"-I{ROOT / 'tests' / 'engine'}"]
    native.build_library([HELPERS / "cublas_double.cpp"], called, flags, [])
    sources = [ROOT / "cpp" / "cuda" / "cublas.cu", HELPERS / "cublas_calls.cpp"]
    flags += ["-include", HELPERS / "cublas_face.h"]
    engine = [home / "libnengo_engine.so", f"-Wl,-rpath,{home}", "-ldl"]
    native.build_library(sources, caller, flags, engine)
    return caller, called


@pytest.fixture(scope="module")
def libraries(built):
    with pytest.MonkeyPatch.context() as patch:
        caller = ctypes.CDLL(str(built[0]))
        patch.setenv("NENGO_DL_CUBLAS", "/nowhere/libcublas.so")
        assert caller.found() == -1  # no other is taken in its place
        patch.setenv("NENGO_DL_CUBLAS", str(built[1]))
        assert caller.found() == 1
    return caller, ctypes.CDLL(str(built[1]))


def lying(rng, shape, turned, dtype, room=3):
    """Random matrices, and an array where they lie, turned or not, in rows with room between."""
    count, rows, columns = (shape[0], *(shape[:0:-1] if turned else shape[1:]))
    array = np.full((count, rows + 1, columns + room), np.nan, dtype)
    part = array[:, :rows, :columns]
    part[...] = rng.normal(size=part.shape)
    return (part.swapaxes(1, 2) if turned else part), array


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("a_turned", [0, 1])
@pytest.mark.parametrize("b_turned", [0, 1])
@pytest.mark.parametrize("add", [0, 1])
@pytest.mark.parametrize("count", [1, 3])
def test_products(libraries, dtype, a_turned, b_turned, add, count):
    rng, (m, n, k) = np.random.RandomState(0), (4, 5, 6)
    a, a_array = lying(rng, (count, m, k), a_turned, dtype)
    b, b_array = lying(rng, (count, k, n), b_turned, dtype)
    c, c_array = lying(rng, (count, m, n), False, dtype)
    if not add:
        c[...] = np.nan  # must not be read
    expected = a @ b + (c if add else 0)
    arrays = (a_array, b_array, c_array)
    numbers = [m, n, k, *(v.shape[2] for v in arrays), a_turned, b_turned, add, count]
    numbers += [*(v[0].size for v in arrays), 0]
    multiply = libraries[0].product32 if dtype == "float32" else libraries[0].product64
    multiply(*(v.ctypes.data_as(ctypes.c_void_p) for v in arrays), (ctypes.c_int64 * 14)(*numbers))
    limit = 1e-5 if dtype == "float32" else 1e-13
    np.testing.assert_allclose(c, expected, rtol=limit, atol=limit)
    assert np.isnan(c_array[:, m:]).all()
    assert np.isnan(c_array[:, :, n:]).all()


@pytest.mark.parametrize("count", [1, 2])
def test_precision_is_what_each_product_allows(libraries, count):
    """CUBLAS_TF32_TENSOR_OP_MATH or CUBLAS_DEFAULT_MATH; float64 is never rounded."""
    caller, called = libraries
    for dtype, allowed, mode in [
        ("float32", 1, 3), ("float64", 1, 0), ("float32", 1, 3), ("float32", 0, 0),
    ]:  # fmt: skip
        a, b, c = (np.ones(count, dtype) for _ in range(3))
        multiply = caller.product32 if dtype == "float32" else caller.product64
        numbers = [1, 1, 1, 1, 1, 1, 0, 0, 0, count, 1, 1, 1, allowed]
        multiply(*(v.ctypes.data_as(ctypes.c_void_p) for v in (a, b, c)),
                 (ctypes.c_int64 * 14)(*numbers))  # fmt: skip
        assert called.last_math_mode() == mode
