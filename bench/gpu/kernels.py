"""Shows which kernels a saved program runs on a GPU, how often, and for how long.

``python bench/gpu/kernels.py FOLDER`` needs the package with the CUDA backend, a GPU and PyTorch,
whose profiler sees the kernels of a whole process. For each program of ``bench/gpu/save.py`` it
prints the time of all kernels and copies on the device, that of the call as its caller sees it, and
the kernels and copies that took longest. Inputs' gradients are not asked for.
"""

import argparse
import re
import time
from pathlib import Path

import numpy as np
import run as saved_programs
import torch
from torch.profiler import ProfilerActivity, profile

from nengo_dl import _engine


def training_step(saved, compiled):
    """A function that runs forward, recorded, and back."""
    args, now = (saved.arguments(saved.steps, saved.batch) for _ in range(2))
    keep = [False] * len(saved.sizes[1])
    tape = compiled.tape(saved.batch, saved.steps)
    rng = np.random.RandomState(1)
    shapes = [(saved.batch, saved.steps, n) for n in saved.sizes[1]]
    by_output = [rng.uniform(-1, 1, shape).astype(saved.dtype) for shape in shapes]
    unwanted = [False] * len(saved.sizes[0])

    def step():
        compiled.run(*now, keep, threads=0, tape=tape)
        compiled.grad(
            *args, keep, output_grads=by_output, tape=tape, threads=0, want_inputs=unwanted
        )

    return step


def simulation(saved, compiled, steps, batch):
    """A function that runs some steps."""
    args, last = saved.arguments(steps, batch), [True] * len(saved.sizes[1])
    return lambda: compiled.run(*args, last, threads=0)


def name_of(event):
    """A kernel's name without namespaces."""
    name = re.sub(r"nengo_dl::(cuda::|device::)?|\(anonymous namespace\)::", "", event.name)
    return re.sub(r"\s+", " ", name)[:110]


def table(title, call, rows, steps=None):
    """Call it some times and print what ran on the device in the last."""
    call()
    call()
    start = time.perf_counter()
    call()
    wall = time.perf_counter() - start
    with profile(activities=[ProfilerActivity.CUDA]) as profiler:
        call()
        torch.cuda.synchronize()
    times = {}
    for event in profiler.events():
        times.setdefault(name_of(event), []).append(event.device_time)
    total = sum(map(sum, times.values()))
    per_step = f", {total / steps:.3f} us per step" if steps else ""
    print(f"{title}: {total / 1e3:.3f} ms on the device{per_step}, {wall * 1e3:.3f} ms in all")
    for name, taken in sorted(times.items(), key=lambda row: -sum(row[1]))[:rows]:
        print(f"  {sum(taken):10.1f} us {len(taken):5d} x  {name}", flush=True)


def main(options):
    """Go through the saved programs."""
    _engine.load_cuda()
    print(_engine.cuda_info())
    torch.zeros(1, device="cuda")  # the profiler wants PyTorch to have begun
    for path in sorted(options.folder.glob("*.npz")):
        if options.only and path.stem not in options.only:
            continue
        saved = saved_programs.Saved(path)
        compiled = _engine.Compiled(saved.program, "cuda")
        print(path.stem + saved_programs.loops(compiled, saved.batch))
        if path.stem.startswith("train-"):
            table(path.stem, training_step(saved, compiled), options.rows)
            continue
        for batch in options.batch:
            call = simulation(saved, compiled, options.steps, batch)
            table(f"{path.stem}, batch {batch}", call, options.rows, options.steps)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", nargs="+", help="names of programs")
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--batch", type=int, nargs="+", default=[1])
    parser.add_argument("--rows", type=int, default=12, help="kernels to show (%(default)s)")
    main(parser.parse_args())
