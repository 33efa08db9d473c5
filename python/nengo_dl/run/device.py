"""Where the programs of a plan run: the engine's backend for a device of TensorFlow's."""

import logging
import os
from dataclasses import replace

import numpy as np
import tensorflow as tf

from .. import _engine
from ..arguments.checks import warn_user
from ..ir.program import to_bytes
from ..plan.cost import memory, predict
from ..plan.pieces import Run

logger = logging.getLogger(__name__)

CPU = "cpu"
BACKENDS = {"GPU": "cuda"}  # by type of device
CLEARLY = 1.5  # times faster, as predicted: less is in doubt, and stays on the CPU
_processes = {}  # name of a backend -> process that loaded it


def _load(name):
    """Load a backend; `RuntimeError` says what it lacks."""
    if name == "cuda":
        _engine.load_cuda()
    return _processes.setdefault(name, os.getpid())


def backend_of(device):
    """The engine's backend for a device.

    Parameters
    ----------
    device : str or None
        TensorFlow device; one that the engine has nothing for is the CPU. None is the GPU, if
        there is one.

    Returns
    -------
    str
        The CPU's if what the device needs is not there, with a warning if it was asked for.
    """
    if device is None:
        return _gpu_if_any()
    spec = tf.DeviceSpec.from_string(device)
    name = BACKENDS.get(spec.device_type, CPU)
    if name == CPU:
        return CPU
    try:
        _load(name)
    except RuntimeError as e:
        warn_user(
            f"device {device!r}: the model runs on the CPU, as {e} (docs/guide.md, 'A GPU', says"
            " what it takes)"
        )
        return CPU
    if logger.isEnabledFor(logging.INFO):  # to ask the GPU starts cuBLAS
        logger.info("device %r: %s", device, _info(name))
    if spec.device_index:
        warn_user(
            f"device {device!r}: the model runs on the first GPU that this process sees; expected"
            f" '/gpu:0', got {device!r}. For that one, start Python with"
            f" CUDA_VISIBLE_DEVICES={spec.device_index} in its environment, and give '/gpu:0'"
        )
    return name


def _info(name):
    return _engine.cuda_info() if name == "cuda" else f"backend {name!r}"


def _gpu_if_any():
    name = BACKENDS["GPU"]
    try:
        loaded_by = _load(name)
    except RuntimeError as e:
        logger.debug("no GPU: %s", e)
        return CPU
    # a process that was forked can't use what the one before has opened
    return name if loaded_by == os.getpid() else CPU


def placed(plan, device=None, minibatch_size=1, threads=0):
    """Run a plan's programs on a device, where they can.

    Those that call Python stay on the CPU, and so do those that are run for a step at a time
    (on a cycle through TensorFlow); the log says which objects are the reason. If no device is
    given, those go to the GPU that are predicted to be clearly faster there; log and plan say so.

    Parameters
    ----------
    plan : nengo_dl.plan.Plan
        The plan.
    device : str, optional
        TensorFlow device.
    minibatch_size : int
        Items per minibatch.
    threads : int
        Of the CPU; 0: as many as there are processors.

    Returns
    -------
    nengo_dl.plan.Plan
    """
    backend = backend_of(device)
    if backend == CPU:
        return plan
    reasons = []
    alone = len(plan.runs) == 1

    def choose(run):
        if device is not None:
            return backend
        chosen, reason = _choose(run, backend, minibatch_size, threads, alone)
        reasons.append(reason)
        return chosen

    pieces = tuple(_placed(piece, choose) for piece in plan.pieces)
    return replace(plan, pieces=pieces, notes=(*plan.notes, *reasons))


def _choose(run, backend, minibatch_size, threads, alone):
    """A backend for a program, which may be ``alone`` in its plan, and why."""
    threads = threads or len(os.sched_getaffinity(0))
    loops = _engine.Compiled(to_bytes(run.program), backend).loops(minibatch_size)
    cpu, gpu = predict(
        run.program, minibatch_size, threads, {region: taken for region, _, taken in loops}
    )
    better = CLEARLY * gpu <= cpu
    room = not better or _has_room(run.program, minibatch_size, backend, alone)
    better = better and room
    reason = (
        f"No device was given: {run!r} runs on the {'GPU' if better else 'CPU'}; a step is "
        f"predicted to take {_microseconds(gpu)} on the GPU, {_microseconds(cpu)} on the CPU "
        f"(minibatch_size={minibatch_size}, {threads} threads; the GPU has to be {CLEARLY:g} times "
        f"faster){'' if room else ', but too little of the memory of the GPU is free'}"
    )
    logger.info(reason)
    return backend if better else CPU, reason


def _has_room(program, minibatch_size, backend, alone):
    """Whether a GPU's memory takes a program, with windows of steps and something to spare."""
    if backend != "cuda":
        return True
    free, total = _engine.cuda_memory()
    # it has taken almost all of it, and lends it to a plan of which nothing runs on the CPU
    if alone and tf.config.list_logical_devices("GPU"):
        free = total - tf.config.experimental.get_memory_info("GPU:0")["current"]
    # a window takes a sixteenth at most (cpp/cuda/tiling.cu)
    return free >= total / 8 + 2 * memory(program, minibatch_size)


def _microseconds(seconds):
    digits = np.format_float_positional(1e6 * seconds, precision=3, fractional=False, trim="-")
    return f"{digits} us"


def _placed(piece, choose):
    if not isinstance(piece, Run):
        for inner in getattr(piece, "pieces", ()):
            if isinstance(inner, Run):
                logger.info("%r stays on the CPU: it is run for one step at a time", inner)
        return piece
    python = sorted({op.name for op in piece.program.ops() if op.kind == "callback"})
    if python:
        logger.info("%r stays on the CPU, as it calls Python: %s", piece, ", ".join(python))
        return piece
    return replace(piece, backend=choose(piece))
