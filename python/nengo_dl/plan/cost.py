"""What a step of a program takes on the CPU and on a GPU, predicted from what can be counted.

Ops, the numbers they touch, multiplications, neurons, and which of them wait for each other: these
tell small models from large ones, and cycles from what has none. For the networks of
bench/README.md the predictions are within twice of what was measured, mostly within 1.3 times.
What a loop takes on a GPU is what the engine expects, which chooses among its ways by that.
What can't be known here: how long a call will be (1000 steps are reckoned with), how often neurons
fire, other GPUs than an H100 and other processors than Zen 4 with AVX-512, and what else they do.
"""

import math
from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from ..ir.neuron_kinds import NEURONS
from ..ir.program import Op, Program

CALL = 1000  # steps of a call, which copies parameters and state
FIRING = 0.1  # neurons that fire in a step: those of the benchmarks, 5 to 10 %, and some more

# Seconds on a core of the CPU, in single precision: from `bench/run.py` and, with one thread and 1
# and 16 items, `bench/gpu/run.py` on the machine of bench/README.md's tables.
NEURON = 0.45e-9  # 5000 LIF neurons with encoders and decoders of one number, 3.6 us
PRODUCT = 1 / 45e9  # two operations: 784-256-10, 4.4 us
BYTE = 1 / 100e9  # of values and weights, from the second cache: PES 32-D, 17 us
SPIKE = 2e-9  # that a product looks at, and for each row that it adds to,
SPIKE_ROW = 0.06e-9  # from the third cache: 2000 neurons with dense weights, 23 us
SPARSE = 0.4e-9  # an entry of a sparse matrix: 2000 neurons, 5 %, 10 us;
SPARSE_ROWS = 8  # at most so many rows without spikes take as long as one: bench/products.py
CPU_BLOCK = 5e-9  # a product's block: circular convolution 64-D x 50, 6.9 us
CPU_OP = 40e-9  # of a loop: one integrator, 0.26 us
CPU_DRAW = 15e-9  # a random number: 500 of WhiteNoise 9.4 us, of PoissonSpiking 6.2
CPU_ITEMS, CPU_ROWS = 16, 256  # of a group (cpp/engine/cpu_tiling.cpp); of a product over a window

# Seconds on an H100, from the same tables and the profile in issue 10.
GPU_LAUNCH = 5e-6 / CALL  # of a kernel for a window
GPU_SCAN = 0.15e-6  # a step that waits for the one before: chain 10x500, 21 of them, 3.2 us
GPU_BYTE = 1 / 1.5e12  # half of the memory's bandwidth
GPU_PRODUCT = 1 / 10e12  # of a window: dense 512, 23e12
GPU_BUS = 1 / 6e9  # a byte to the host or back: 128 integrators, 512 items, 44 us per step
GPU_NUMBER = 3.6e-12  # multiplied by a plain kernel: 20 random ensembles, 512 items, 909 us
GPU_STEP_OP = 4.1e-6  # of a loop that is not one kernel: to start a kernel that waits for another
GPU_DRAW = 50e-9  # a random number, one after the other; an estimate

SCANS = ("neurons", "lowpass", "filter", "triangle", "noise")  # over the steps of a window


class Seconds(NamedTuple):
    """Of a step."""

    cpu: float
    gpu: float


class Work(NamedTuple):
    """What an op does in a step for an item."""

    op: Op
    neurons: int = 0
    products: int = 0  # pairs of numbers that are multiplied and added
    sources: int = 0  # if what is multiplied are spikes: how many neurons may have fired
    values: int = 0  # numbers of the item's own that are touched
    weights: int = 0  # numbers that all items share
    draws: int = 0


def predict(
    program: Program, minibatch_size: int, threads: int, loops: Mapping[int, float]
) -> Seconds:
    """Predict what a step of all items takes, in long runs forward.

    Parameters
    ----------
    program : nengo_dl.ir.program.Program
        The program; one that calls no Python.
    minibatch_size : int
        Items.
    threads : int
        Of the CPU.
    loops : dict of int: float
        What a step of a loop takes on the GPU, by the number of its region; those that aren't there
        run op by op.
    """
    spikes = _spikes(program)
    work = [
        (region, [_work(program, op, spikes) for op in region.ops]) for region in program.regions
    ]
    size = np.dtype(program.dtype).itemsize
    return Seconds(
        _on_cpu(work, size, minibatch_size, threads),
        _copies(program, size, minibatch_size) + _on_gpu(work, size, minibatch_size, loops),
    )


def memory(program: Program, minibatch_size: int) -> int:
    """Bytes of parameters, state and the values of a step, of all items."""
    each = program.state_size + sum(b.size for b in program.buffers if b.kind != "param")
    params = sum(p.size * (minibatch_size if p.learned else 1) for p in program.params)
    return np.dtype(program.dtype).itemsize * (params + minibatch_size * each)


def _spikes(program):
    """Numbers of buffers that hold spikes."""
    neurons = (op for op in program.ops() if op.kind == "neurons")
    return {op.args["out"].buffer for op in neurons if NEURONS[op.attrs["type"]].spikes}


def _work(program, op, spikes):
    sizes = Counter()
    for operand in op.args.values():
        kind = "weights" if program.buffers[operand.buffer].kind == "param" else "values"
        sizes[kind] += op.blocks * math.prod(operand.shape)
    attrs = op.attrs
    if op.kind == "neurons":
        neurons = op.blocks * math.prod(op.args["J"].shape)
        draws = neurons * NEURONS[attrs["type"]].draws
        return Work(op, neurons=neurons, draws=draws)
    if op.kind in ("dense", "sparse", "bsr"):
        sources = op.blocks * math.prod(op.args["X"].shape)
        products = op.blocks * math.prod(op.args["A"].shape)
        return Work(op, 0, products, sources * (op.args["X"].buffer in spikes), **sizes)
    if op.kind in ("conv", "conv_transpose"):
        inputs = op.kind == "conv_transpose"
        places = attrs["in_shape" if inputs else "out_shape"]
        channels = attrs["in_channels"] * attrs["out_channels"] // attrs["groups"]
        products = op.blocks * math.prod((*places, channels, *attrs["kernel"]))
        return Work(op, products=products, **sizes)
    if op.kind in ("table", "interpolate"):
        return Work(op, values=2 * op.blocks * math.prod(op.args["dst"].shape))
    return Work(op, draws=sizes["values"] * (op.kind == "noise"), **sizes)


# ---------------------------------------------------------------- CPU


def _on_cpu(work, size, items, threads):
    """Threads take groups of items; an item by itself is not shared out among them."""
    group = min(CPU_ITEMS, math.ceil(items / threads))
    rounds = math.ceil(math.ceil(items / group) / threads)
    taken = 0.0
    for region, ops in work:
        in_loop = region.kind == "loop"
        rows = group if in_loop else group * CPU_ROWS
        taken += sum(group * _cpu_item(op, size, rows) + CPU_OP * in_loop for op in ops)
    return rounds * taken


def _cpu_item(work, size, rows):
    """An op, for an item of `rows` that share weights."""
    scale = size / 4
    taken = scale * NEURON * work.neurons + CPU_DRAW * work.draws
    if work.op.kind == "sparse":
        share = FIRING if work.sources else 1 / min(rows, SPARSE_ROWS)
        return taken + scale * share * SPARSE * work.products
    every = max(scale * PRODUCT * work.products, size * BYTE * work.weights / rows)
    every += size * BYTE * work.values
    taken += CPU_BLOCK * work.op.blocks if work.products else 0
    if not work.sources:
        return taken + every
    fired = FIRING * (SPIKE * work.sources + scale * SPIKE_ROW * work.products)
    return taken + min(fired, every)


# ---------------------------------------------------------------- GPU


def _copies(program, size, items):
    """Inputs, outputs, and once per call parameters, state and back."""
    ports = sum(port.size for port in (*program.inputs, *program.outputs)) * size * items
    state = 2 * items * (program.state_size * size + program.istate_size * 4)
    params = sum(p.size * (2 * items if p.learned else 1) for p in program.params) * size
    return GPU_BUS * (ports + (state + params) / CALL)


def _on_gpu(work, size, items, loops):
    return sum(
        _gpu_loop(ops, loops.get(number))
        if region.kind == "loop"
        else sum(_gpu_window(op, size, items) for op in ops)
        for number, (region, ops) in enumerate(work)
    )


def _gpu_window(work, size, items):
    """An op that runs over a window of steps."""
    scale = size / 4
    touched = work.values + 4 * work.neurons
    # convolutions and sparse products have kernels as plain as a loop's, and weren't measured
    product = GPU_PRODUCT if work.op.kind == "dense" else GPU_NUMBER
    each = size * GPU_BYTE * touched + scale * product * work.products
    scan = GPU_SCAN * (work.op.kind in SCANS)
    return GPU_LAUNCH + scan + items * each + GPU_DRAW * work.draws


def _gpu_loop(ops, whole):
    """Ops that run step by step: as one kernel, or each by itself."""
    return GPU_STEP_OP * len(ops) if whole is None else whole
