"""Run a program: windows, items, regions, steps, ops, blocks, in plain Python loops."""

import numpy as np

from .memory import Memory, StepIO, places
from .registry import find


def run(
    program,
    inputs,
    params,
    state,
    istate,
    first_step,
    n_steps,
    batch,
    callbacks=None,
    keep_last=None,
    window=1,
):
    """Run a program for a number of steps.

    Parameters
    ----------
    program : Program
    inputs : list of (batch, n_steps, size) arrays
    params : list of arrays
        ``(size,)`` each, or ``(batch, size)`` if learned; these are changed in place.
    state : (batch, state_size) array
        Changed in place.
    istate : (batch, istate_size) int32 array
        Changed in place.
    first_step : int
        Steps done before this run.
    n_steps : int
    batch : int
    callbacks : list of callables, optional
        Each is called as ``f(item, time, inputs, outputs)`` with two tuples of arrays; it writes
        into the outputs (where an output is a state, it holds the old value).
    keep_last : list of bool, optional
        Per output: keep only the last step.
    window : int
        Steps per window. Sequence regions run over so many steps at once; results are the same
        for any value.

    Returns
    -------
    outputs : list of (batch, n_steps or 1, size) arrays
    """
    keep_last = keep_last if keep_last is not None else [False] * len(program.outputs)
    outputs = [
        np.full((batch, 1 if last else n_steps, port.size), np.nan, dtype=program.dtype)
        for port, last in zip(program.outputs, keep_last, strict=True)
    ]
    params = [turned(param, values) for param, values in zip(program.params, params, strict=True)]
    regions = _prepare(program)
    written = _written(program)
    with np.errstate(all="ignore"):
        for start in range(0, n_steps, window):
            n_rows = min(window, n_steps - start)
            for item in range(batch):
                memory = Memory(
                    program,
                    [
                        values[item] if param.learned else values
                        for param, values in zip(program.params, params, strict=True)
                    ],
                    None if state is None else state[item],
                    None if istate is None else istate[item],
                    n_rows,
                )
                facts = {
                    "item": item,
                    "inputs": [values[item] for values in inputs],
                    "outputs": [values[item] for values in outputs],
                    "callbacks": callbacks,
                }
                _run_window(program, regions, memory, first_step, start, facts)
                memory.carry_over(written)
    return outputs


def turned(param, values):
    """Values of a parameter as they lie in the program's buffers, given those of the outside."""
    if not param.rows:
        return values if param.learned else np.reshape(values, -1)
    columns_first = np.reshape(values, (-1, param.columns, param.rows))
    return np.ascontiguousarray(columns_first.swapaxes(1, 2)).ravel()


def _prepare(program):
    """Per region: its kind, and per op its step function and the places of its arguments."""
    return [
        (
            region.kind,
            [
                (
                    op,
                    find(op.kind)(op, program),
                    {name: places(operand) for name, operand in op.args.items()},
                )
                for op in region.ops
            ],
        )
        for region in program.regions
    ]


def _written(program):
    """Per buffer: which columns some operand with shift 1 names."""
    masks = [np.zeros(buffer.size, dtype=bool) for buffer in program.buffers]
    for op in program.ops():
        for operand in op.args.values():
            if operand.shift == 1:
                masks[operand.buffer][places(operand)] = True
    return masks


def _run_window(program, regions, memory, first_step, start, facts):
    steps = range(memory.n_rows)
    for kind, ops in regions:
        if kind == "sequence":
            for entry in ops:
                for t in steps:
                    _run_op(program, entry, memory, t, first_step, start, facts)
        else:
            for t in steps:
                memory.forget_locals()
                for entry in ops:
                    _run_op(program, entry, memory, t, first_step, start, facts)


def _run_op(program, entry, memory, t, first_step, start, facts):
    op, step, index = entry
    n = first_step + start + t + 1
    io = StepIO(op, index, memory, t, n=n, time=n * program.dt, step_in_run=start + t, **facts)
    for k in range(op.blocks):
        step(io, k)
