"""Times products and convolutions of the engine against the fastest library at hand.

    python bench/products.py                  # products of matrices
    python bench/products.py --convolutions
    python bench/products.py --sparse

Products: steps x items rows, `n` inputs, `m` outputs: forward (y += A x), dX (dx += A^T dy) and dA
(dA += dy x^T, summed over all rows), against NumPy (its OpenBLAS) and TensorFlow (oneDNN).
Convolutions: the same three, against TensorFlow's. The libraries get all rows in one call.
Sparse products (`sparse_products.py`), against SciPy, which gets those of a step where steps run
one by one; SciPy has no dA: what stands beside it is NumPy.

What is timed of the engine: a program with several equal ops minus one with a single one, divided
by the difference of their numbers. So copies of inputs and outputs and whatever a run costs don't
count, and its windows of steps and groups of items do. Both and the libraries are called in turn;
a figure is the median over the turns, a ratio that of the turns' ratios. Every number of threads
gets a process of its own.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from results import machine, summarise, write
from sparse_products import SPARSE, SparseProduct

PASSES = ("forward", "dX", "dA")
# steps, items, n, m
PRODUCTS = [
    *[(4, 50, 784, 256), (10, 50, 784, 256), (25, 100, 784, 256), (25, 100, 256, 10)],
    *[(25, 100, 256, 256), (8, 64, 512, 512), (16, 64, 1024, 1024), (32, 64, 2048, 2048)],
]
# seconds after which threads of a library look for work no more, and leave the processors to others
IDLE = 0.1
# items, height and width, input and output channels, kernel, stride, groups
CONVOLUTIONS = [
    *[(32, 28, 1, 32, 3, 1, 1), (32, 26, 32, 64, 3, 2, 1), (32, 14, 64, 64, 3, 1, 1)],
    *[(16, 32, 3, 32, 5, 1, 1), (16, 16, 64, 128, 1, 1, 1), (16, 8, 128, 128, 3, 1, 1)],
    *[(16, 28, 64, 64, 3, 1, 64), (16, 14, 128, 128, 3, 2, 128), (16, 16, 64, 64, 3, 1, 4)],
]


@dataclass(frozen=True)
class Product:
    """Y += A.X, where A lies column by column as the planner stores it."""

    steps: int
    items: int
    n: int
    m: int
    region, most = "sequence", 32

    @property
    def name(self):
        return f"{self.steps * self.items}x{self.n}x{self.m}"

    @property
    def flops(self):
        return 2 * self.steps * self.items * self.n * self.m

    @property
    def sizes(self):
        """Elements of A, X and Y."""
        return self.n * self.m, self.n, self.m

    def op(self):
        from nengo_dl.ir.program import Op, Operand

        args = {
            "A": Operand(0, 0, (self.m, self.n), (1, self.m), (0,)),
            "X": Operand(1, 0, (self.n,), (1,), (0,)),
            "Y": Operand(2, 0, (self.m,), (1,), (0,)),
        }
        return Op("dense", "product", 1, args, {"set": 0})

    def libraries(self, a, x, dy):
        """Pass -> library -> function that returns the result in the engine's layout."""
        import numpy as np
        import tensorflow as tf

        a, x, dy = a.reshape(self.n, self.m), x.reshape(-1, self.n), dy.reshape(-1, self.m)
        A, X, D = (tf.constant(v) for v in (a, x, dy))
        out = {name: np.empty_like(v) for name, v in zip(PASSES, (dy, x, a), strict=True)}
        mul = tf.linalg.matmul
        return {
            "forward": {
                "OpenBLAS": lambda: np.matmul(x, a, out=out["forward"]),
                "oneDNN": lambda: mul(X, A).numpy(),
            },
            "dX": {
                "OpenBLAS": lambda: np.matmul(dy, a.T, out=out["dX"]),
                "oneDNN": lambda: mul(D, A, transpose_b=True).numpy(),
            },
            "dA": {
                "OpenBLAS": lambda: np.matmul(x.T, dy, out=out["dA"]),
                "oneDNN": lambda: mul(X, D, transpose_a=True).numpy(),
            },
        }


@dataclass(frozen=True)
class Convolution:
    """A square image with its channels innermost, padded as ``SAME``; one step."""

    items: int
    width: int
    channels: int
    filters: int
    kernel: int
    stride: int
    groups: int
    steps: int = 1
    region, most = "sequence", 32

    @property
    def name(self):
        kind = f"/{self.stride}" + (f" {self.groups} groups" if self.groups > 1 else "")
        image = f"{self.items}x{self.width}x{self.width}x{self.channels}"
        return f"{image} {self.kernel}x{self.kernel}x{self.filters}{kind}"

    @property
    def out(self):
        return -(-self.width // self.stride)

    @property
    def flops(self):
        return 2 * self.items * self.out**2 * self.sizes[0]

    @property
    def sizes(self):
        taps = self.kernel**2 * self.channels // self.groups
        return taps * self.filters, self.width**2 * self.channels, self.out**2 * self.filters

    def op(self):
        from nengo_dl.ir.program import Op, Operand

        pad = max((self.out - 1) * self.stride + self.kernel - self.width, 0) // 2
        flat = [Operand(i, 0, (size,), (1,), (0,)) for i, size in enumerate(self.sizes)]
        attrs = {
            "set": 0,
            "in_shape": (self.width, self.width),
            "out_shape": (self.out, self.out),
            "in_channels": self.channels,
            "out_channels": self.filters,
            "kernel": (self.kernel, self.kernel),
            "stride": (self.stride, self.stride),
            "pad": (pad, pad),
            "groups": self.groups,
            "channels_last": 1,
        }
        return Op("conv", "convolution", 1, dict(zip("WXY", flat, strict=True)), attrs)

    def libraries(self, w, x, dy):
        import tensorflow as tf

        k, depthwise = self.kernel, self.groups == self.channels > 1
        W = tf.constant(w.reshape(k, k, self.channels // self.groups, self.filters))
        if depthwise:
            W = tf.reshape(W, (k, k, self.channels, self.filters // self.channels))
        X = tf.constant(x.reshape(self.items, self.width, self.width, self.channels))
        D = tf.constant(dy.reshape(self.items, self.out, self.out, self.filters))
        how = {"strides": [1, self.stride, self.stride, 1], "padding": "SAME"}
        name = "DepthwiseConv2dNative" if depthwise else "Conv2D"
        run = getattr(tf.raw_ops, name)
        by_x, by_w = (getattr(tf.raw_ops, f"{name}Backprop{of}") for of in ("Input", "Filter"))

        def forward():
            return run(input=X, filter=W, **how)

        def dx():
            return by_x(input_sizes=X.shape, filter=W, out_backprop=D, **how)

        def dw():
            return by_w(input=X, filter_sizes=W.shape, out_backprop=D, **how)

        found = {}
        for name, plain in zip(PASSES, (forward, dx, dw), strict=True):
            found[name] = {"oneDNN": lambda plain=plain: plain().numpy()}
            jitted = tf.function(plain, jit_compile=True)
            found[name]["XLA"] = lambda jitted=jitted: jitted().numpy()
        return found


KINDS = {
    "products": (Product, PRODUCTS),
    "convolutions": (Convolution, CONVOLUTIONS),
    "sparse": (SparseProduct, SPARSE),
}


class Engine:
    """Programs with one op and with several, on the same data."""

    def __init__(self, case, dtype, threads):
        import numpy as np

        self.case, self.dtype, self.threads = case, dtype, threads
        rng, (a, x, y) = np.random.RandomState(0), case.sizes
        rows = (case.items, case.steps)
        self.a, self.x, self.dy = (
            rng.uniform(-1, 1, shape).astype(dtype) for shape in [(a,), (*rows, x), (*rows, y)]
        )
        self.more = max(2, min(case.most, int(2e9 / case.flops)))
        self.programs = {count: self.compiled(count) for count in (1, 1 + self.more)}
        self.tapes = {n: c.tape(case.items, case.steps) for n, c in self.programs.items()}
        for count, compiled in self.programs.items():
            compiled.run(*self.arguments(), tape=self.tapes[count], threads=threads)

    def compiled(self, count):
        from nengo_dl import _engine
        from nengo_dl.ir.program import Buffer, Op, Operand, Param, Port, Program, Region, to_bytes

        a, x, y = self.case.sizes
        buffers = (Buffer("param", "A", a, 0), Buffer("window", "X", x), Buffer("window", "Y", y))
        X, Y = (Operand(i, 0, (size,), (1,), (0,)) for i, size in ((1, x), (2, y)))
        ops = [
            Op("input", "input", 1, {"dst": X}, {"index": 0}),
            Op("fill", "zero", 1, {"dst": Y}, {"value": 0.0}),
            *[self.case.op()] * count,
            Op("output", "output", 1, {"src": Y}, {"index": 0}),
        ]
        ports = (Port("X", x),), (Port("Y", y),)
        region = (Region(self.case.region, tuple(ops)),)
        program = Program(self.dtype, 1e-3, 0, 0, 0, buffers, (Param("A", a),), *ports, region)
        return _engine.Compiled(to_bytes(program))

    def arguments(self):
        import numpy as np

        none = np.zeros((self.case.items, 0), self.dtype), np.zeros((self.case.items, 0), np.int32)
        return [[self.x], [self.a], *none, 0, self.case.steps, self.case.items, [False]]

    def call(self, name, count):
        """Run a program forward or back; its result."""
        compiled = self.programs[count]
        if name == "forward":
            return compiled.run(*self.arguments(), threads=self.threads)[0][0]
        wanted = {"want_inputs": [name == "dX"], "want_params": [name == "dA"]}
        inputs, params, _ = compiled.grad(
            *self.arguments(),
            [self.dy],
            tape=self.tapes[count],
            threads=self.threads,
            want_state=False,
            **wanted,
        )
        return (inputs if name == "dX" else params)[0]

    def seconds(self, name):
        """Of one op."""
        one, several = (seconds(lambda n=n: self.call(name, n)) for n in (1, 1 + self.more))
        return (several - one) / self.more


def seconds(function, repeat=1):
    """Of one call."""
    start = time.perf_counter()
    for _ in range(repeat):
        function()
    return (time.perf_counter() - start) / repeat


def check(case, got, due, name, library):
    """Stop if both computed different things: the time of one would say nothing of the other."""
    import numpy as np

    got = got.reshape(due.shape)
    error = np.abs(got - due).max() / np.abs(due).max()
    if not error < 1e-4:
        raise SystemExit(f"{case.name} {name}: expected {library}'s numbers, got an error {error}")


def usable(case, engine, name, libraries):
    """Those libraries that have the operation and may be the fastest; all have the same numbers."""
    found, missing = {}, []
    for library, function in libraries.items():
        try:
            due = function()
        except Exception as error:  # TensorFlow's, of several types: it has no such kernel
            missing.append(f"{library}: {type(error).__name__}")
            continue
        check(case, engine.call(name, 1), due, name, library)
        found[library] = function
    if not found:
        raise SystemExit(f"{case.name} {name}: expected a library that has it, got {missing}")
    once = {library: seconds(function) for library, function in found.items()}
    return {who: found[who] for who, taken in once.items() if taken < 10 * min(once.values())}


def measure(case, dtype, threads, turns, passes):
    """Seconds by pass and by who computes."""
    engine, result = Engine(case, dtype, threads), {}
    all_libraries = case.libraries(engine.a, engine.x, engine.dy)
    for name in passes:
        libraries = usable(case, engine, name, all_libraries[name])
        taken = {who: [] for who in ("engine", *libraries)}
        for _ in range(turns):
            time.sleep(IDLE)
            taken["engine"].append(engine.seconds(name))
            for library, function in libraries.items():
                time.sleep(IDLE)
                taken[library].append(seconds(function, engine.more))
        result[name] = taken
    return result


def line(name, taken, flops):
    """One line of the table; all that goes into the file."""
    medians = {who: statistics.median(values) for who, values in taken.items()}
    best = min((who for who in medians if who != "engine"), key=medians.get)
    ratios = [b / e for b, e in zip(taken[best], taken["engine"], strict=True)]
    ratio = summarise(ratios)
    rates = "  ".join(f"{who} {flops / 1e9 / seconds:6.1f}" for who, seconds in medians.items())
    share = f"{ratio['median']:5.2f} of {best:<9} spread {ratio['spread']:4.0%}"
    print(f"    {name:<8} {share}   {rates}", flush=True)
    return {"seconds": taken, "best": best, "ratio": ratio}


def work(args):
    """Measure with one number of threads; the parent has set those of OpenBLAS."""
    import tensorflow as tf

    (threads,) = args.threads
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    kind, cases = KINDS[args.kind]
    results = {}
    for case in (kind(*sizes) for sizes in cases):
        if args.only and not any(text in case.name for text in args.only):
            continue
        print(f"  {case.name}", flush=True)
        taken = measure(case, args.dtype, threads, args.turns, args.passes)
        results[case.name] = {n: line(n, t, case.flops) for n, t in taken.items()}
    return results


def parent(args):
    """A process for each number of threads."""
    results = {}
    for threads in args.threads:
        print(f"{threads} threads, {args.dtype}, GFLOP/s", flush=True)
        environment = {**os.environ, "OPENBLAS_NUM_THREADS": str(threads)}
        for held_back in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):
            environment.pop(held_back, None)
        given = [arg for arg in sys.argv[1:] if not arg.startswith("--threads=")]
        command = [sys.executable, __file__, *given, f"--threads={threads}", "--worker"]
        read, send = os.pipe()
        with subprocess.Popen([*command, str(send)], env=environment, pass_fds=[send]) as process:
            os.close(send)
            with os.fdopen(read) as answer:
                text = answer.read()
        if process.returncode:
            raise SystemExit(process.returncode)
        results[threads] = json.loads(text)
    write({"machine": machine(), "dtype": args.dtype, "results": results}, args.output)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    kinds = parser.add_mutually_exclusive_group()
    for kind in ("convolutions", "sparse"):
        kinds.add_argument(f"--{kind}", dest="kind", action="store_const", const=kind)
    parser.set_defaults(kind="products")
    parser.add_argument("--threads", type=lambda s: [int(n) for n in s.split(",")], default=[1, 2])
    parser.add_argument("--dtype", choices=("float32", "float64"), default="float32")
    parser.add_argument("--turns", type=int, default=9)
    parser.add_argument("--only", nargs="+", help="parts of names of cases")
    parser.add_argument("--passes", nargs="+", choices=PASSES, default=PASSES)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--worker", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker is None:
        return parent(args)
    results = work(args)
    with os.fdopen(args.worker, "w") as answer:
        json.dump(results, answer)


if __name__ == "__main__":
    main()
