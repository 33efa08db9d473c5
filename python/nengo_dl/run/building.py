"""Building a network with Nengo's builder, in the simulator's precision."""

import contextlib
import threading
import warnings

from nengo.cache import get_default_decoder_cache
from nengo.exceptions import BuildError, NengoWarning
from nengo.rc import rc

from ..builder.network import NengoModel
from .decoders import Decoders
from .swift import swift_builders

_precision_lock = threading.RLock()  # Nengo's precision is one for the whole process


@contextlib.contextmanager
def nengo_precision(dtype):
    """Let Nengo's builder work in a precision, and put back what was set."""
    with _precision_lock:
        before = rc.get("precision", "bits")
        rc.set("precision", "bits", dtype[-2:])
        try:
            yield
        finally:
            rc.set("precision", "bits", before)


@contextlib.contextmanager
def _swiftly(model, network):
    """Let Nengo's build functions take shorter ways; models of users' own are built as they are."""
    if not isinstance(model, NengoModel):
        yield
        return
    with Decoders(network) as decoders:
        model.swift = swift_builders(decoders)
        try:
            yield
        finally:
            model.swift = {}


def build(network, dt, model, dtype, display):
    """Build a network.

    Parameters
    ----------
    network : nengo.Network or None
        What to build; not changed.
    dt : float
        Length of a step.
    model : nengo.builder.Model or None
        Model to build into, a new one by default.
    dtype : str
        Precision.
    display : nengo_dl.run.progress.Display
        Where progress is shown.

    Returns
    -------
    nengo.builder.Model
        The model with all signals and operators.
    """
    if model is None:
        with nengo_precision(dtype):  # of the signals of step and time
            model = NengoModel(
                dt=float(dt),
                label=f"{network}, dt={dt:f}",
                decoder_cache=get_default_decoder_cache(),
            )
    elif model.dt != dt:
        warnings.warn(
            f"Model dt ({model.dt:g}) does not match Simulator dt ({dt:g}); using the model's",
            NengoWarning,
            stacklevel=3,
        )
    if network is not None:
        with nengo_precision(dtype), _swiftly(model, network):
            model.build(network, progress=display.stage("Building network", "Build"))
    return model


def refuse_learning_phase(settings):
    """Training mode can't be pinned for a network that has none."""
    if settings.inference_only and settings.learning_phase:
        raise BuildError(
            "a network with inference_only=True has no training mode, so learning_phase can't"
            " be True; change either setting"
        )
