"""The vector maths of cpp/math/math.h: at most 2 units in the last place from the truth.

tanh of doubles is the exception, with 2.2.
"""

import ctypes
from pathlib import Path

import native
import numpy as np
import pytest

CPP = Path(__file__).parents[2] / "cpp"
FLAGS = {
    "baseline": [],
    "avx2": ["-mavx2", "-mfma"],
    "avx512": ["-mavx512f", "-mavx512dq", "-mavx512vl", "-mavx512bw", "-mfma"],
}
FUNCTIONS = ("exp", "expm1", "log1p", "tanh")
PROBE = """
#include "math/math.h"
using namespace nengo_dl::NDL_ISA;
#define PROBE(f, T, S)                                                        \\
  extern "C" void f##S(const T* x, T* y, int64_t n) {                         \\
    using V = typename VectorOf<T>::type;                                     \\
    constexpr int64_t W = Lane<V>::width;                                     \\
    for (int64_t i = 0; i < n; i += W) {                                      \\
      const int64_t count = n - i < W ? n - i : W;                            \\
      scatter<V>(y + i, 1, nengo_dl::NDL_ISA::f(gather<V>(x + i, 1, count)), count); \\
    }                                                                         \\
  }                                                                           \\
  extern "C" void f##S##s(const T* x, T* y, int64_t n) {                      \\
    for (int64_t i = 0; i < n; i++) y[i] = nengo_dl::NDL_ISA::f(x[i]);        \\
  }
"""


def isas():
    flags = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    return [
        i for i in FLAGS if i == "baseline" or {"avx2": "avx2", "avx512": "avx512dq"}[i] in flags
    ]


@pytest.fixture(scope="module", params=isas())
def library(request, tmp_path_factory):
    """A library of the functions for one instruction set, compiled for this test."""
    folder = tmp_path_factory.mktemp("math")
    lines = [f"PROBE({f}, {t}, {s})" for f in FUNCTIONS for t, s in (("float", 32), ("double", 64))]
    source = folder / "probe.cpp"
    source.write_text(PROBE + "\n".join(lines) + "\n")
    target = folder / "probe.so"
    command = [
        native.compiler(),
        "-std=gnu++17",
        "-O2",
        "-ffp-contract=off",
        "-Wno-psabi",
        "-fPIC",
        "-shared",
    ]
    command += [f"-I{CPP}", f"-DNDL_ISA={request.param}", *FLAGS[request.param]]
    native.run([*command, source, "-o", target], check=True)
    return ctypes.CDLL(str(target))


def call(library, name, x, scalar=False):
    y = np.empty_like(x)
    bits = 8 * x.itemsize
    function = getattr(library, f"{name}{bits}" + ("s" if scalar else ""))
    pointers = [ctypes.c_void_p(a.ctypes.data) for a in (x, y)]
    function(*pointers, ctypes.c_long(x.size))
    return y


def arguments(name, dtype):
    rng = np.random.RandomState(1)
    top = {np.float32: 88.0, np.float64: 709.0}[dtype]
    size = 200_001  # odd: the last vector is a part of one
    if name == "log1p":
        x = np.concatenate([rng.uniform(-1, 1, size), 10 ** rng.uniform(-30, 30, size)])
        x = np.concatenate([x, -(10 ** rng.uniform(-30, -0.01, size))])
    else:
        small = rng.choice([-1, 1], size) * 10 ** rng.uniform(-30, 0.5, size)
        x = np.concatenate([small, rng.uniform(-2, 2, size), rng.uniform(-top * 0.98, top, size)])
    return x.astype(dtype)


def ulps(got, x, name):
    """Distance from the truth (in long double) in units of the last place of the result."""
    with np.errstate(over="ignore", under="ignore"):
        true = getattr(np, name)(x.astype(np.longdouble))
    spacing = np.spacing(np.abs(true).astype(x.dtype))
    tiny = np.finfo(x.dtype).tiny
    normal = (np.abs(true) >= tiny) & (np.abs(true) < np.finfo(x.dtype).max)
    return float((np.abs(got - true) / spacing)[normal].max())


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_error(library, name, dtype):
    x = arguments(name, dtype)
    limit = 2.2 if (name, dtype) == ("tanh", np.float64) else 2.0
    for scalar in (False, True):
        worst = ulps(call(library, name, x, scalar), x, name)
        assert worst <= limit, f"{name}: {worst:.2f} ulp"


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_special_values(library, name, dtype):
    huge = np.finfo(dtype).max
    x = np.array([0.0, np.inf, -np.inf, np.nan, huge, -huge, 1e-40, -1.0, -2.0, 1.0], dtype)
    with np.errstate(all="ignore"):
        due = getattr(np, name)(x)
    for scalar in (False, True):
        got = call(library, name, x, scalar)
        np.testing.assert_allclose(got, due, rtol=4 * np.finfo(dtype).eps)
        np.testing.assert_array_equal(np.isnan(got), np.isnan(due))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_exp_into_subnormal_numbers(library, dtype):
    x = np.linspace(*{np.float32: (-103, -87), np.float64: (-745, -708)}[dtype], 10_001).astype(
        dtype
    )
    with np.errstate(under="ignore"):
        due = np.exp(x.astype(np.longdouble))
    step = np.finfo(dtype).smallest_subnormal
    got = call(library, "exp", x)
    np.testing.assert_allclose(got, due, rtol=2 * np.finfo(dtype).eps, atol=float(step))
