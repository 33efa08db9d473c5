"""Where the programs of a plan run: the engine's backend for a device of TensorFlow's."""

import logging
from dataclasses import replace

import tensorflow as tf

from .. import _engine
from ..arguments.checks import warn_user
from ..plan.pieces import Run

logger = logging.getLogger(__name__)

CPU = "cpu"
BACKENDS = {"GPU": "cuda"}  # by type of device


def backend_of(device):
    """The engine's backend for a device.

    Parameters
    ----------
    device : str or None
        TensorFlow device; None, or one that the engine has nothing for, is the CPU.

    Returns
    -------
    str
        The CPU's, with a warning, if what the device needs is not there.
    """
    spec = tf.DeviceSpec.from_string("" if device is None else device)
    name = BACKENDS.get(spec.device_type, CPU)
    if name == CPU:
        return CPU
    try:
        if name == "cuda":
            _engine.load_cuda()
            logger.info("device %r: %s", device, _engine.cuda_info())
    except RuntimeError as e:
        warn_user(
            f"device {device!r}: the model runs on the CPU, as {e} (docs/guide.md, 'A GPU', says"
            " what it takes)"
        )
        return CPU
    if spec.device_index:
        warn_user(f"device {device!r}: expected '/gpu:0', the GPU that the engine runs on")
    return name


def placed(plan, backend):
    """Run a plan's programs on a backend, where they can.

    Those that call Python stay on the CPU, and so do those that are run for a step at a time
    (on a cycle through TensorFlow); the log says which objects are the reason.

    Parameters
    ----------
    plan : nengo_dl.plan.Plan
        The plan.
    backend : str
        What `backend_of` returned.

    Returns
    -------
    nengo_dl.plan.Plan
    """
    if backend == CPU:
        return plan
    return replace(plan, pieces=tuple(_placed(piece, backend) for piece in plan.pieces))


def _placed(piece, backend):
    if not isinstance(piece, Run):
        for inner in getattr(piece, "pieces", ()):
            if isinstance(inner, Run):
                logger.info("%r stays on the CPU: it is run for one step at a time", inner)
        return piece
    python = sorted({op.name for op in piece.program.ops() if op.kind == "callback"})
    if python:
        logger.info("%r stays on the CPU, as it calls Python: %s", piece, ", ".join(python))
        return piece
    return replace(piece, backend=backend)
