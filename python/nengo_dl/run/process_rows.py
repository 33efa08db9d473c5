"""The values of an input node that is a process, made ahead of the simulation."""

import numpy as np
from nengo.builder.operator import TimeUpdate

from .. import _engine
from ..ir.program import to_bytes
from ..plan import make_plan
from .callback_host import add_table, remove_table
from .plan_state import PlanState, place_view


class ProcessRows:
    """An input node's process in a program of its own, which keeps its own state.

    Parameters
    ----------
    op : nengo.builder.processes.SimProcess
        Operator of the process.
    model : nengo.builder.Model
        The built model.
    dtype : str
        Precision.
    minibatch_size : int
        Items per minibatch.
    guard : context manager
        Entered around user code.
    """

    def __init__(self, op, model, dtype, minibatch_size, guard):
        self.plan = make_plan(
            [TimeUpdate(model.step, model.time), op],
            dt=model.dt,
            dtype=dtype,
            time=model.time,
            step=model.step,
            inputs=[],
            outputs=[("rows", op.output)],
        )
        self.plan_state = PlanState(self.plan, minibatch_size, model, guard)
        self.compiled = _engine.Compiled(to_bytes(self.plan.only_program()), "cpu")
        self.minibatch_size = minibatch_size
        self.table = add_table(self.plan_state.host)

    def close(self):
        """Forget the table of Python functions."""
        self.table = remove_table(self.table)

    def rewind(self):
        """Go back to the first step, with the numbers of the present seed."""
        (run,) = self.plan.runs
        self.state = np.repeat(run.initial_state[None], self.minibatch_size, axis=0)
        self.istate = self.plan_state.istates[0].copy()
        self.params = self.plan_state.param_values()

    def generate(self, first_step, n_steps):
        """Run the process.

        Returns
        -------
        rows : (minibatch_size, n_steps, size) array
            Values.
        steps : int
            Steps that were done.
        error : BaseException or None
            What went wrong in the step after.
        """
        outputs, steps, error = self.compiled.run(
            [], self.params, self.state, self.istate, first_step, n_steps, self.minibatch_size,
            keep_last=[False], callbacks=self.table,
        )  # fmt: skip
        return outputs[0], steps, error

    def by_step(self, rows):
        """What does single steps of a process written in Python, without the engine around it.

        It goes on from the present state and leaves it, as `generate` does.

        Parameters
        ----------
        rows : (minibatch_size, n_steps, size) array
            Where values are written to.

        Returns
        -------
        callable
            ``f(time, step)`` makes ``rows[:, step]``.
        """
        (call,), (spec,) = self.plan_state.host.functions(), self.plan.callbacks
        states = [place_view(self.state, self.plan.place(signal)) for signal in spec.states]
        items = [
            (item, values, [state[item, ...] for state in states])
            for item, values in enumerate(rows)
        ]

        def do_step(time, step):
            for item, values, kept in items:
                call(item, time, (), (values[step], *kept))

        return do_step
