"""Python ends while daemon threads are in the engine: the process ends as without them."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import sys, threading, time
import numpy as np
sys.setswitchinterval(1e-6)  # threads often wait for the GIL
from handmade_programs import Maker, _engine, op, to_bytes, view

def program(calls):
    m = Maker(dtype="float32", window=int(calls))
    x, s = m.buffer("window", 100, "x"), m.buffer("state", 100, "s")
    rows = view(x, (100,))
    first = op("fill", {"dst": rows}, value=1.0)
    if calls:
        first = op("callback", {"out0": rows}, index=0, name="f")
    m.region("loop", first, op("lowpass", {"x": rows, "y": view(s, (100,))}, a=0.5, b=0.5))
    return _engine.Compiled(to_bytes(m.program()), "cpu")

class Sleeps:
    def __call__(self, item, t, inputs, outputs):
        time.sleep(0.01)

def adds(item, t, inputs, outputs):
    outputs[0][...] = sum(range(100))

def raises(item, t, inputs, outputs):
    raise ValueError("of the function")

way, function, n_steps = {
    "long runs": (None, None, 2000),
    "short runs": (None, None, 1),
    "quick function": (None, adds, 10000),
    "sleeping function": (None, Sleeps(), 10000),
    "errors": (None, raises, 10),
    "gradients": ("grad", None, 200),
}[sys.argv[1]]
compiled = program(function is not None)
handle = -1 if function is None else _engine.add_callbacks([function])

def work():
    state, istate = np.zeros((1, 100), np.float32), np.zeros((1, 0), np.int32)
    begun.set()
    while True:
        compiled.run([], [], state, istate, 0, n_steps, 1, [], callbacks=handle)
        if way == "grad":
            compiled.grad([], [], state, istate, 0, n_steps, 1, [], [], state_out_grad=state)

for _ in range(3):
    begun = threading.Event()
    threading.Thread(target=work, daemon=True).start()
    begun.wait()
time.sleep(0.1)
print("main ends")
"""


@pytest.mark.parametrize(
    "what",
    ["long runs", "short runs", "quick function", "sleeping function", "errors", "gradients"],
)
def test_threads_at_work(what):
    for _ in range(3):
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, what],
            capture_output=True,
            text=True,
            cwd=Path(__file__).parent,
            timeout=60,
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, "main ends\n", "")
