"""Counts heap allocations and Python calls of runs of different length.

    python bench/allocations.py

Both must not grow with the number of steps in a model without Python functions: they are counted
for runs of 100 and of 1,100 steps, and the difference is what 1,000 steps cost. Ends with an error
if that is a tenth of a step's worth or more. Needs glibc and a C compiler.
"""

import argparse
import ctypes
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from networks import IN_PYTHON, NETWORKS

BENCH = Path(__file__).resolve().parent
COUNTER = "NENGO_DL_BENCH_COUNTER"  # set in the child: the preloaded library
SHORT, MORE, REPETITIONS = 100, 1000, 7
LIMIT = 0.1  # per step


class Calls:
    """Counts calls of Python functions."""

    def __init__(self):
        self.n = 0

    def __call__(self, frame, event, arg):
        self.n += event == "call"


def cost(run, counter):
    """Allocations and Python calls of one run: medians, as other threads allocate, too."""
    allocations, calls = [], []
    for _ in range(REPETITIONS):
        before = counter.value
        run()
        allocations.append(counter.value - before)
        profile = Calls()
        sys.setprofile(profile)
        run()
        sys.setprofile(None)
        calls.append(profile.n)
    return statistics.median(allocations), statistics.median(calls)


def child(library):
    import nengo_dl

    counter = ctypes.c_long.in_dll(ctypes.CDLL(library), "allocations")
    worst = 0.0
    print(f"{'':<26}{'allocations':>22}{'Python calls':>22}")
    print(f"{'steps':<26}" + f"{SHORT:>11}{SHORT + MORE:>11}" * 2)
    for name, make in NETWORKS.items():
        if name in IN_PYTHON:
            continue
        net, _ = make()
        with nengo_dl.Simulator(net, progress_bar=False) as sim:
            runs = [cost(lambda n=n: sim.run_steps(n), counter) for n in (SHORT, SHORT + MORE)]
        for short, long in zip(*runs, strict=True):
            worst = max(worst, (long - short) / MORE)
        (a, b), (c, d) = runs
        print(f"{name:<26}{a:>11.0f}{c:>11.0f}{b:>11.0f}{d:>11.0f}")
    print(f"most per step: {worst:.3f}")
    return worst < LIMIT


def main():
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    if COUNTER in os.environ:
        raise SystemExit(not child(os.environ[COUNTER]))
    with tempfile.TemporaryDirectory() as folder:
        library = str(Path(folder) / "count_allocations.so")
        source = str(BENCH / "count_allocations.c")
        subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", library, source], check=True)
        environment = {**os.environ, "LD_PRELOAD": library, COUNTER: library}
        environment["TF_CPP_MIN_LOG_LEVEL"] = "2"
        raise SystemExit(subprocess.run([sys.executable, __file__], env=environment).returncode)


if __name__ == "__main__":
    main()
