"""Threads live on between runs, serve several runs at once and nested ones, and survive a fork."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import native
import numpy as np
import pytest
from gradient_models import Setup, assert_same, recurrent
from handmade_programs import Maker, _engine, op, view

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("sanitizer", [None, "thread", "address,undefined"])
def test_pool(tmp_path, sanitizer):
    target = tmp_path / "check_pool"
    sources = [ROOT / "tests" / "engine" / "helpers" / "check_pool.cpp"]
    sources += [ROOT / "cpp" / "engine" / name for name in ("pool.cpp", "fork_lock.cpp")]
    command = [native.compiler(), "-std=c++17", "-O1", "-pthread", f"-I{ROOT / 'cpp'}"]
    command += [f"-fsanitize={sanitizer}"] if sanitizer else []
    native.run([*command, *sources, "-o", target], check=True)
    run = [target, *(["fork"] if sanitizer is None else [])]
    done = native.run(run, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr


def gradients(setup):
    return setup.grad(0, threads=3)


def test_runs_at_once():
    setups = [Setup(recurrent(), n_steps=50, batch=16, seed=i) for i in range(4)]
    expected = [setup.grad(0) for setup in setups]
    found = [[] for _ in setups]

    def work(i):
        for _ in range(20):
            found[i].append(gradients(setups[i]))

    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(setups))]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    for results, due in zip(found, expected, strict=True):
        assert len(results) == 20
        for got in results:
            assert_same(got, due)


def test_a_run_within_a_run():
    inner = Setup(recurrent(), n_steps=50, batch=16)
    expected = gradients(inner)
    found = []

    def simulate(item, time, inputs, outputs):
        found.append(gradients(inner))
        outputs[0][...] = inputs[0]

    m = Maker(window=1)
    u, y = m.buffer("window", 2), m.buffer("window", 2)
    m.region(
        "loop",
        m.input(u, 2),
        op("callback", {"in0": view(u, (2,)), "out0": view(y, (2,))}, index=0),
        m.output(view(y, (2,))),
    )
    outer = Setup(m, callbacks=(simulate,), n_steps=3, batch=2)
    (output,), _, _ = outer.run(threads=2)
    np.testing.assert_array_equal(output, outer.inputs[0])
    assert len(found) == 6
    for got in found:
        assert_same(got, expected)


def test_a_child_runs_on():
    setup = Setup(recurrent(), n_steps=50, batch=16)
    expected = gradients(setup)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            signal.alarm(60)  # ends what hangs
            assert_same(gradients(setup), expected)
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    assert_same(gradients(setup), expected)


def test_one_thread_starts_none():
    code = """
import os, sys
sys.path[:0] = sys.argv[1:]
from gradient_models import Setup, recurrent
setup = Setup(recurrent(), n_steps=50, batch=32)
def tasks():
    return len(os.listdir("/proc/self/task"))
before = tasks()
setup.run(threads=1)
assert tasks() == before
for _ in range(10):
    setup.run(threads=2)
assert tasks() == before + 1
"""
    paths = [str(Path(_engine.__file__).parents[1]), str(ROOT / "tests" / "engine")]
    subprocess.run([sys.executable, "-c", code, *paths], check=True)
