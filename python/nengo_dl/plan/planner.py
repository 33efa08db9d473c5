"""From Nengo's operators to a plan: the list of passes, in order."""

import contextlib
import gc

from ..ir.given import Given, Simulation
from .assemble import assemble
from .cut import cut, run_parts
from .draft import Draft
from .fuse import (
    add_in_place,
    alias_sources,
    fuse_bias,
    fuse_resets,
    join_tiles,
    pull_decoders,
    store_by_columns,
)
from .layout import emit, lay_out
from .lower import lower, order_callbacks, refuse_cycles
from .schedule import order_regions, schedule
from .settle import settle
from .simplify import default_simplifications, simplify
from .verify import verify_draft

# Every pass takes a `.draft.Draft` and returns the next one.
PASSES = (
    lower,
    refuse_cycles,
    order_callbacks,
    simplify,
    fuse_resets,
    alias_sources,
    join_tiles,
    add_in_place,
    fuse_bias,
    store_by_columns,
    order_regions,
    pull_decoders,
    settle,
    schedule,
    lay_out,
    emit,
)
UNCUT = 6  # so many passes see the whole model, the others what it is cut into
FUSIONS = (
    fuse_resets,
    alias_sources,
    join_tiles,
    add_in_place,
    fuse_bias,
    store_by_columns,
    pull_decoders,
)


@contextlib.contextmanager
def _no_collection():
    """Hold Python's cyclic garbage collector back.

    Planning makes many small objects that stay, so that a large model spends two fifths of the
    time on looking for garbage among them.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@_no_collection()
def make_plan(
    operators,
    *,
    dt,
    dtype="float32",
    time=None,
    step=None,
    inputs=(),
    outputs=(),
    weights=(),
    surrogate=None,
    names=None,
    simplifications=None,
    simulation=None,
    merge=True,
    fuse=True,
    verify=False,
    trace=None,
    progress=None,
):
    """Plan a model.

    Parameters
    ----------
    operators : list of nengo.builder.Operator
        Operators of a built model; neither they nor their signals are changed.
    dt : float
        Length of a step in seconds.
    dtype : str
        ``float32`` or ``float64``.
    time, step : nengo.builder.Signal
        Signals of the model's time and step count.
    inputs, outputs : list of (str, nengo.builder.Signal)
        What the outside sets, and what it reads at the end of each step.
    weights : iterable of nengo_dl.ir.given.Weight
        Parameters that the outside may change between runs, trainable or not. The plan has them
        before its other parameters, in this order, but for those that it keeps as state.
    surrogate : callable
        ``surrogate(op)`` is what stands for the derivative of the spikes of a
        `nengo.builder.neurons.SimNeurons`, a `nengo_dl.surrogates.Surrogate` or None.
    names : dict
        Names for people of signals whose own says too little; parameters are called by them.
    simplifications : list of callable
        Passes over the planner's ops, `.simplify.default_simplifications` if None.
    simulation : nengo_dl.ir.given.Simulation
        What users' TensorFlow code is told of the simulation that the plan is for.
    merge, fuse : bool
        Whether to merge equal ops into blocks, and to fuse ops that follow each other.
    verify : bool
        Whether to check the draft after every pass; otherwise only after lowering, and the
        finished program.
    trace : callable
        Called with a text after every pass, for example `print`: what the draft is like then.
    progress : callable
        Called without arguments after every pass.

    Returns
    -------
    Plan
    """
    simplifications = default_simplifications if simplifications is None else simplifications
    given = Given(
        tuple(operators), dt, dtype, time, tuple(inputs), tuple(outputs), tuple(weights), surrogate,
        names, tuple(simplifications), merge, simulation or Simulation(),
    )  # fmt: skip

    def run(draft, passes):
        for single in passes:
            if single in FUSIONS and not fuse:
                continue
            before, draft = draft, single(draft)
            if verify or single in (lower, emit):
                verify_draft(draft)
            if trace is not None:
                trace(f"{single.__name__}: {'nothing to do' if draft is before else draft}")
            if progress is not None:
                progress()
        return draft

    draft = run(Draft(given), PASSES[:UNCUT])
    parts, direct = cut(draft)
    for part in run_parts(parts):
        part.draft = run(part.draft, PASSES[UNCUT:])
    return assemble(draft, parts, direct)
