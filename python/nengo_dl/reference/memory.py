"""The memory of one item: buffers by row, and what an op's step sees of it."""

import numpy as np

from ..ir.program import grid


def places(operand):
    """Where the elements of an operand lie in a row of its buffer.

    Returns
    -------
    index : (blocks, *shape) int64 array
    """
    offsets = np.asarray(operand.offsets, dtype=np.int64)
    index = offsets[:, None] + grid(operand.shape, operand.strides)
    return index.reshape(len(offsets), *operand.shape)


class Memory:
    """All buffers of one minibatch item over a window of ``n_rows`` steps.

    What a window does not carry over from elsewhere starts as NaN, so that reading what nobody
    wrote shows in the results.

    Parameters
    ----------
    program : Program
    params : list of arrays
        The item's parameters, ``(size,)`` each.
    state : (state_size,) array
        The item's state, changed in place.
    istate : (istate_size,) int32 array
        The item's random generators, changed in place.
    n_rows : int
    """

    def __init__(self, program, params, state, istate, n_rows):
        self.program = program
        self.state = state
        self.istate = istate
        self.n_rows = n_rows
        self.rows = [self._rows(buffer, params) for buffer in program.buffers]

    def _rows(self, buffer, params):
        columns = slice(buffer.state_offset, buffer.state_offset + buffer.size)
        if buffer.kind in ("param", "learned"):
            return [params[buffer.param]] * self.n_rows
        if buffer.kind == "state":
            return [self.state[columns]] * self.n_rows
        if buffer.kind == "local":
            return [np.full(buffer.size, np.nan, dtype=self.program.dtype)] * self.n_rows
        n_rows = self.n_rows + (buffer.kind == "carried")
        rows = np.full((n_rows, buffer.size), np.nan, dtype=self.program.dtype)
        if buffer.kind == "carried":
            rows[0] = self.state[columns]
        return list(rows)

    def forget_locals(self):
        """Local buffers hold nothing from step to step."""
        for buffer, rows in zip(self.program.buffers, self.rows, strict=True):
            if buffer.kind == "local":
                rows[0][:] = np.nan

    def carry_over(self, written):
        """Put the last row of the carried buffers back into the state.

        ``written`` has a mask per buffer: columns that no op writes keep their value.
        """
        for buffer, rows, mask in zip(self.program.buffers, self.rows, written, strict=True):
            if buffer.kind == "carried":
                columns = np.arange(buffer.size)[mask] + buffer.state_offset
                self.state[columns] = rows[-1][mask]


class StepIO:
    """What the step function of an op sees: its arguments at step ``t`` of one item.

    Attributes
    ----------
    n : int
        Number of the step, counted from 1 over the whole simulation.
    time : float
        ``n * dt`` in double precision.
    item : int
        Number of the minibatch item.
    istate : (istate_size,) int32 array
        The item's random generators.
    inputs : list of (n_steps, size) arrays
        The item's model inputs.
    outputs : list of (n_steps or 1, size) arrays
        The item's model outputs.
    step_in_run : int
        Row of ``inputs`` and ``outputs`` that belongs to this step.
    callbacks : list of callables
    """

    def __init__(self, op, index, memory, t, **facts):
        self.op = op
        self.t = t
        self._index = index
        self._memory = memory
        self.istate = memory.istate
        self.__dict__.update(facts)

    def has(self, name):
        """Whether the op has this (optional) argument."""
        return name in self.op.args

    def _row(self, name, back=0):
        operand = self.op.args[name]
        return self._memory.rows[operand.buffer][self.t + operand.shift - back]

    def read(self, name, k):
        """A copy of a read argument of block ``k``."""
        return np.array(self._row(name)[self._index[name][k]])

    def vector(self, name, k):
        """`read`, flat: a scalar stands for one element wherever a vector is due."""
        return self.read(name, k).ravel()

    def old(self, name, k):
        """A copy of what an update argument was before this step."""
        return np.array(self._row(name, back=self.op.args[name].shift)[self._index[name][k]])

    def write(self, name, k, value):
        """Overwrite an argument of block ``k`` with one value or as many as it has."""
        index = self._index[name][k]
        self._row(name)[index] = np.reshape(value, index.shape if np.size(value) != 1 else ())

    def inc(self, name, k, value):
        """Overwrite or increment, as the op's ``set`` says."""
        if self.op.attrs["set"]:
            self.write(name, k, value)
        else:
            index = self._index[name][k]
            self._row(name)[index] += np.reshape(value, index.shape)
