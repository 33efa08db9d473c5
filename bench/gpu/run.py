"""Runs saved programs on a GPU and on the CPU: the same numbers, and how long a step takes.

``python bench/gpu/run.py FOLDER`` needs the package with the CUDA backend and a GPU; neither
TensorFlow nor Nengo. For each program of ``bench/gpu/save.py`` it prints the largest difference of
the two engines (relative to the largest value), whether two runs on the GPU are equal bit by bit,
and medians of the time per step. ``device`` is what the GPU took for it between two of its events,
without copies of arguments and results; ``call`` what a caller sees, with its copies, from the
difference of a long and a short run, so that it holds the steps alone. Loops are named by the way
that they go, with what a step of them is predicted to take.
It fails if a run on the GPU fails, two of them are not equal, or loops that run as one kernel give
other bits than their ops one by one (``--plain-steps`` of them).
"""

import argparse
import statistics
import sys
import time
from pathlib import Path

import numpy as np

from nengo_dl import _engine


class Saved:
    """A program and its numbers."""

    def __init__(self, path, tf32=False):
        self.tf32 = tf32
        data = np.load(path)
        self.program = data["program"].tobytes()
        self.dtype = data["state"].dtype
        self.steps = int(data["steps"]) if "steps" in data else None
        self.batch = int(data["batch"]) if "batch" in data else 1
        self.sizes = data["inputs"], data["outputs"]
        self.learned = data["learned"]
        self.params = [self.param(data, i) for i in range(len(self.learned))]
        self.start = data["state"], data["istate"]

    def param(self, data, i):
        """The values of a parameter, or as many random numbers of the same spread."""
        if f"param{i}" in data:
            return data[f"param{i}"]
        size, spread = data[f"random{i}"]
        values = np.random.default_rng(i).standard_normal(int(size), np.float32)
        return (values * np.float32(spread)).astype(self.dtype)

    def arguments(self, steps, batch, seed=0):
        """What `Compiled.run` takes, with random inputs."""
        rng = np.random.RandomState(seed)
        inputs = [rng.uniform(0, 1, (batch, steps, n)).astype(self.dtype) for n in self.sizes[0]]
        params = [
            np.tile(value, (batch, 1)) if learned else value
            for value, learned in zip(self.params, self.learned, strict=True)
        ]
        state, istate = (np.tile(values, (batch, 1)) for values in self.start)
        return [inputs, params, state, istate, 0, steps, batch]


def run(saved, compiled, steps, batch, keep_last=False, **more):
    """The outputs of a run."""
    args = saved.arguments(steps, batch)
    outputs, done, error = compiled.run(
        *args, [keep_last] * len(saved.sizes[1]), threads=0, tf32=saved.tf32, **more
    )
    assert error is None and done == steps
    return outputs


def seconds(saved, compiled, steps, batch, repeats):
    """The median time of a run, of which only the last step of the outputs is kept."""
    taken = []
    for _ in range(repeats):
        args = saved.arguments(steps, batch)
        start = time.perf_counter()
        compiled.run(*args, [True] * len(saved.sizes[1]), threads=0, tf32=saved.tf32)
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def on_device(saved, compiled, batch, steps, repeats=5):
    """Seconds of a step that the GPU itself takes."""
    taken = []
    for _ in range(repeats + 1):
        compiled.run(
            *saved.arguments(steps, batch), [True] * len(saved.sizes[1]), threads=0, tf32=saved.tf32
        )
        taken.append(_engine.cuda_seconds())
    return statistics.median(taken[1:]) / steps


def per_step(saved, compiled, batch, steps, repeats=5):
    """Seconds of a step, from runs of `steps` and three times as many."""
    seconds(saved, compiled, steps, batch, 1)
    short, long = (seconds(saved, compiled, n, batch, repeats) for n in (steps, 3 * steps))
    return (long - short) / (2 * steps)


def difference(got, due):
    """The largest difference, relative to the largest value."""
    pairs = zip(got, due, strict=True)
    return max(np.abs(a - b).max() / max(np.abs(b).max(), 1e-30) for a, b in pairs)


def training_step(saved, compiled, repeats):
    """The gradients of a training step, and medians: all of the calls, and on the device."""
    args = saved.arguments(saved.steps, saved.batch)
    keep, how = [False] * len(saved.sizes[1]), {"threads": 0, "tf32": saved.tf32}
    tape = compiled.tape(saved.batch, saved.steps)
    rng = np.random.RandomState(1)
    shapes = [(saved.batch, saved.steps, n) for n in saved.sizes[1]]
    by_output = [rng.uniform(-1, 1, shape).astype(saved.dtype) for shape in shapes]
    on_gpu, taken, busy = compiled.backend == "cuda", [], []
    for _ in range(repeats):
        now = saved.arguments(saved.steps, saved.batch)
        start = time.perf_counter()
        compiled.run(*now, keep, tape=tape, **how)
        forward = _engine.cuda_seconds() if on_gpu else 0
        gradients = compiled.grad(*args, keep, output_grads=by_output, tape=tape, **how)
        taken.append(time.perf_counter() - start)
        busy.append(forward + (_engine.cuda_seconds() if on_gpu else 0))
    return gradients, statistics.median(taken), statistics.median(busy)


def flat(gradients):
    """All arrays of a gradient."""
    found = []
    for part in gradients:
        if isinstance(part, np.ndarray):
            found.append(part)
        elif isinstance(part, (list, tuple)):
            found.extend(flat(part))
    return found


def equal(got, due):
    """Whether all arrays have the same bits."""
    return all(np.array_equal(a, b) for a, b in zip(got, due, strict=True))


def loops(compiled, batch):
    """How the loops of a program go, and what that is predicted to take."""
    found = [f"{way}, predicted {1e6 * taken:.2f} us" for _, way, taken in compiled.loops(batch)]
    return f" (loops: {'; '.join(found)})" if found else ""


def same_as_plain(saved, steps):
    """Whether a short run, or training step, has the bits of ops that are kernels of their own."""
    whole, plain = (_engine.Compiled(saved.program, "cuda", fuse) for fuse in (True, False))
    if saved.steps is None:
        return all(
            equal(run(saved, whole, steps, batch), run(saved, plain, steps, batch))
            for batch in (1, 3)
        )
    saved.steps = min(saved.steps, steps)
    got, due = (flat(training_step(saved, c, 1)[0]) for c in (whole, plain))
    return equal(got, due)


def report_run(path, options):
    """Compare and time one network."""
    saved = Saved(path, options.tf32)
    cpu, gpu = _engine.Compiled(saved.program, "cpu"), _engine.Compiled(saved.program, "cuda")
    first, due = (run(saved, c, options.steps, 1) for c in (gpu, cpu))
    clock = {"time_limit": 600}  # is looked at, as by a simulator
    again = run(saved, gpu, options.steps, 1, **clock)
    same, plain = equal(first, again), same_as_plain(saved, options.plain_steps)
    line = f"{path.stem:22s} difference {difference(first, due):.1e} twice equal {same}"
    line += f" as op by op {plain}"
    for batch in options.batch:
        busy = on_device(saved, gpu, batch, options.steps)
        call = per_step(saved, gpu, batch, options.steps)
        on_cpu = per_step(saved, cpu, batch, options.steps, 3) if batch == 1 else 0
        line += f"  batch {batch}: device {1e6 * busy:.2f} us per step, call {1e6 * call:.2f}"
        line += f" (CPU {1e6 * on_cpu:.2f})" if batch == 1 else ""
        line += loops(gpu, batch)
    print(line, flush=True)
    return same and plain


def report_training(path, options):
    """Compare and time one training step."""
    saved = Saved(path, options.tf32)
    gpu = _engine.Compiled(saved.program, "cuda")
    got, call, busy = training_step(saved, gpu, 9 if options.cpu else 3)
    again, *_ = training_step(saved, gpu, 1)
    line, same = f"{path.stem:22s}", equal(flat(got), flat(again))
    if options.cpu:
        due, on_cpu, _ = training_step(saved, _engine.Compiled(saved.program, "cpu"), 3)
        line += f" difference {difference(flat(got), flat(due)):.1e}"
    plain = same_as_plain(saved, options.plain_steps)
    line += f" twice equal {same} as op by op {plain}"
    line += f"  device {1e3 * busy:.3f} ms per training step, call {1e3 * call:.3f}"
    line += f" (CPU {1e3 * on_cpu:.1f})" if options.cpu else ""
    print(line + loops(gpu, saved.batch), flush=True)
    return same and plain


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--batch", type=int, nargs="+", default=[1])
    parser.add_argument("--plain-steps", type=int, default=30, help="(%(default)s)")
    parser.add_argument("--only", nargs="+", help="names of programs")
    parser.add_argument("--tf32", action="store_true", help="products on the GPU may be TF32")
    parser.add_argument("--no-cpu", dest="cpu", action="store_false", help="no CPU beside training")
    given = parser.parse_args()
    _engine.load_cuda()
    print(_engine.cuda_info(), flush=True)
    if given.tf32 and _engine.cuda_info().endswith("without cuBLAS"):
        parser.error("--tf32: expected cuBLAS, got none; NENGO_DL_CUBLAS names its library")
    good = True
    for saved_path in sorted(given.folder.glob("*.npz")):
        if given.only and saved_path.stem not in given.only:
            continue
        report = report_training if saved_path.stem.startswith("train-") else report_run
        try:
            good = report(saved_path, given) and good
        except (RuntimeError, ValueError, MemoryError) as error:
            print(f"{saved_path.stem:22s} failed: {error}", flush=True)
            good = False
    sys.exit(0 if good else 1)
