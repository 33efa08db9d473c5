"""A plan with its callbacks and the random numbers of one minibatch."""

import numpy as np
from nengo.builder.neurons import SimNeurons
from nengo.transforms import SparseMatrix

from ..ir.program import RNG_WORDS
from ..ir.rng import pack_rng
from ..ir.signals import csr, values_shape
from .callback_host import CallbackHost
from .randomness import (
    draw_in_order,
    item_generator,
    order_matters,
    process_generator,
    step_order,
)


class PlanState:
    """What depends on the simulator's seed in a plan, for every item of the minibatch.

    Parameters
    ----------
    plan : nengo_dl.plan.Plan
        The plan.
    minibatch_size : int
        Number of items.
    model : nengo.builder.Model
        Where time signal and step length come from.
    guard : context manager
        Entered around user code.

    Attributes
    ----------
    host : nengo_dl.run.callback_host.CallbackHost
        The Python functions of the program.
    istates : list of (minibatch_size, istate_size) int32 array
        Random generators of every piece as they are before the first step.
    tables : list of (minibatch_size, rows, size) array
        Values drawn with the seed, for each of the plan's table slots.
    """

    def __init__(self, plan, minibatch_size, model, guard):
        self.plan = plan
        self.minibatch_size = minibatch_size
        self.dt = model.dt
        self.host = CallbackHost(plan.callbacks, minibatch_size, model.dt, model.time, guard)
        sizes = [piece.program.istate_size for piece in plan.runs]
        self.istates = [np.zeros((minibatch_size, size), np.int32) for size in sizes]
        self.tables = [np.zeros((minibatch_size, *slot.place.shape)) for slot in plan.tables]

    def consumers(self):
        """Operators that get a random generator when the simulator resets."""
        return [
            *(slot.op for slot in self.plan.rngs),
            *(slot.op for slot in self.plan.tables),
            *(getattr(spec.op, "stands_for", spec.op) for spec in self.plan.callbacks),
        ]

    def rng_users(self, item):
        """Return ``{operator: f(op, rng)}``, what draws random numbers for one item."""
        drawing = [*self.plan.rngs, *self.plan.tables]
        return {
            **{s.op: process_generator for s in drawing if not isinstance(s.op, SimNeurons)},
            **self.host.rng_users(item),
        }

    def fill(self, item, generators):
        """Take the generators that `nengo_dl.run.randomness.draw_in_order` made for one item."""
        for slot in self.plan.rngs:
            words = self.istates[slot.run][item, slot.offset : slot.offset + RNG_WORDS]
            if isinstance(slot.op, SimNeurons):
                (rng,) = slot.op.state_extra.values()
                words[:] = pack_rng(item_generator(rng, item))
            else:
                words[:] = pack_rng(generators[slot.op])
        for slot, table in zip(self.plan.tables, self.tables, strict=True):
            table[item] = tabulate(slot.op, generators[slot.op], self.dt, len(table[item]))

    def param_values(self):
        """Values of all parameters of the plan, those drawn with the seed included.

        Only those that change while the model runs or are drawn are arrays of their own.
        """
        plan, drawn = self.plan, {slot.param for slot in self.plan.tables}
        values = []
        for index, (param, value) in enumerate(zip(plan.params, plan.param_values, strict=True)):
            if param.learned or index in drawn:
                shape = (self.minibatch_size, param.size) if param.learned else (param.size,)
                value = np.array(np.broadcast_to(value, shape), plan.dtype, order="C")
            values.append(value)
        for slot, table in zip(self.plan.tables, self.tables, strict=True):
            place_view(values[slot.param], slot.place)[...] = table
        return values


def place_view(values, place):
    """View of a signal in an array of parameters or state, ``(size,)`` or ``(items, size)``.

    Parameters
    ----------
    values : array
        Contiguous along its last axis.
    place : nengo_dl.plan.Place
        Where the signal lies.

    Returns
    -------
    array
        Of the signal's shape, after the axis of items if there is one.
    """
    itemsize = values.itemsize
    return np.lib.stride_tricks.as_strided(
        values[..., place.offset :] if values.size else values,
        (*values.shape[:-1], *place.shape),
        (*values.strides[:-1], *(itemsize * stride for stride in place.strides)),
    )


def tabulate(op, rng, dt, rows):
    """Return the values of a periodic process: row ``i`` is that of step ``i`` modulo ``rows``."""
    shape = op.output.shape
    step = op.process.make_step((0,), shape, dt, rng, {})
    table = np.empty((rows, *shape))
    for n in range(1, rows + 1):
        table[n % rows] = step(n * dt)
    return table


def probed_shape(model, probe):
    """Shape of what a Probe gets in a step: ``()`` for a scalar, of a sparse matrix its entries."""
    return values_shape(model.sig[probe]["in"])


def sparse_value(signal, built, values):
    """A sparse matrix of Nengo's with other values; ``built``, which was made of its own, if equal.

    Parameters
    ----------
    signal : nengo.builder.Signal
        Its signal.
    built : nengo.transforms.SparseMatrix or similar
        What Nengo's builder made.
    values : (entries,) array
        The values, row by row.
    """
    data, columns, starts = csr(signal)
    if np.array_equal(values, data.astype(values.dtype)):
        return built
    rows = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    return SparseMatrix(np.stack([rows, columns], axis=1), values, signal.shape)


def reseed(states, operators, seed):
    """Draw everything anew that depends on the seed, as `nengo.Simulator` does.

    Parameters
    ----------
    states : list of PlanState
        Plans made of parts of the same model.
    operators : list of nengo.builder.Operator
        All operators of the model.
    seed : int
        The simulator's seed; item ``b`` of the minibatch uses ``seed + b``.
    """
    consumers = [op for state in states for op in state.consumers()]
    if not consumers:
        return
    # without unseeded draws the order does not matter, and finding it takes long
    order = step_order(operators) if order_matters(consumers) else []
    for item in range(states[0].minibatch_size):
        users = {op: f for state in states for op, f in state.rng_users(item).items()}
        generators = draw_in_order(order, seed + item, users)
        for state in states:
            state.fill(item, generators)
