"""What is made of a small program is small, however large its numbers are."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import resource, sys
from handmade_programs import Maker, _engine, op, to_bytes, view

kind, n = sys.argv[1], 10_000_019
m = Maker(dtype="float32")
out = {"conv": 2 * n - 1, "conv_transpose": n}.get(kind, 1)
width = 1 if kind in ("sparse", "bsr") else n
A = m.buffer("param" if width == 1 else "window", width, value=[1.0])
X, Y = m.buffer("window", n), m.buffer("window", out)
weights, x, y = view(A, (width,)), view(X, (n,)), view(Y, (out,))
if width == 1:
    shape = (1,) if kind == "sparse" else (1, 1, 1)
    args = {"A": view(A, shape), "X": x, "Y": y}
    made = op(kind, args, set=1, indices=(n - 1,), indptr=(0, 1))
else:
    pad = n - 1 if kind == "conv" else (n - 1) // 2
    made = op(
        kind, {"W": weights, "X": x, "Y": y}, set=1, in_shape=(n,), out_shape=(out,), kernel=(n,),
        in_channels=1, out_channels=1, stride=(1,), pad=(pad,), groups=1, channels_last=1,
    )
m.region("sequence", made)
program = to_bytes(m.program())
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
_engine.Compiled(program)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.parametrize("kind", ["sparse", "bsr", "conv", "conv_transpose"])
def test_large_numbers(kind):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, kind],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parent,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 20_000  # KiB
