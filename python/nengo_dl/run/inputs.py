"""Input nodes: which they are, and the values they give where no data is given for them.

An input node is a `nengo.Node` with ``size_in == 0``. Arrays are repeated, functions are called
once per step with the time, processes run in a program of their own, each item of the minibatch
with its own state.

All of them are made ahead of the simulation, a piece of the run at a time, in a model that calls
no Python while it runs. In one that does, whatever is written in Python may share something (the
state of a robot, say). There the functions of input nodes and those of their processes that have
no native form stay in the program, as `Source`, and all Python is called in Nengo's order, step
by step.
"""

import math
import time
from functools import partial

import nengo
import numpy as np
from nengo.builder.operator import Operator, SimPyFunc
from nengo.builder.processes import SimProcess
from nengo.builder.signal import Signal
from nengo.exceptions import SimulationError
from nengo.utils.functions import function_name

from ..ir.calls import says
from .user_errors import user_error

# seconds of calling Python functions after which a piece of a run is long enough
GENERATION_LIMIT = 0.2


class Source(Operator):
    """Operator of an input node that is written in Python, and that gives way to data.

    Parameters
    ----------
    op : nengo.builder.operator.SimPyFunc or nengo.builder.processes.SimProcess
        The operator of the node; it is not changed.
    data : nengo.builder.Signal or None
        Signal of the data that may be given for the node; None if the node has no output.
    reason : str
        Why it is not native.

    Attributes
    ----------
    output : nengo.builder.Signal or None
        That of ``op``.
    given : bool
        Whether the present run has data for the node; then Python is not called.
    flag : bytearray
        The same as a byte.
    """

    # what the planner asks an operator that it does not know, with `not_native`
    overwrites = True

    def __init__(self, op, data, reason):
        super().__init__(tag=op.tag)
        self.not_native = f"{reason}; in turn with other functions"
        self.stands_for, self.data, self.output = op, data, op.output
        self.flag = bytearray([True])  # `given`, for the engine; as in a bare Keras model
        self.sets = op.sets
        self.incs = []
        self.reads = op.reads if data is None else [*op.reads, data]
        self.updates = []

    @property
    def given(self):
        """bool : Whether there is data."""
        return bool(self.flag[0])

    @given.setter
    def given(self, value):
        self.flag[0] = bool(value)

    @property
    def once_per_step(self):
        """Whether one call serves all items of the minibatch."""
        return isinstance(self.stands_for, SimPyFunc) and not self.given

    def init_signals(self, signals):
        """Allocate signals; the state of a process is none of the program, and always goes on."""
        self.stands_for.init_signals(signals)
        super().init_signals(signals)

    def make_step(self, signals, dt, rng):
        """Return the step: Nengo's own, or a copy of the data."""
        call = self.stands_for.make_step(signals, dt, rng)
        output = None if self.output is None else signals[self.output]
        data = None if self.data is None else signals[self.data]

        def step():
            if not self.given:
                call()
            elif output is not None:
                output[...] = data

        return step


class InputNodes:
    """The input nodes of a model, sorted by what they are.

    Parameters
    ----------
    model : nengo.builder.Model
        The built model; it is not changed.
    dtype : str
        Precision of the simulation.

    Attributes
    ----------
    nodes : list of nengo.Node
        All of them, in order.
    constants : dict
        Node -> its value.
    functions : dict
        Node -> its function, if that runs ahead.
    processes : dict
        Node -> its `nengo.builder.processes.SimProcess`, likewise.
    called : list of nengo.Node
        Those whose values an operator makes, in the order in which Nengo calls them.
    sources : dict
        Node -> `Source`, if the program calls the node's Python.
    signals : dict
        Node -> signal that the program reads the node's values from.
    """

    def __init__(self, model, dtype):
        self.dtype = np.dtype(dtype)
        self.dt = model.dt
        built = model.toplevel.all_nodes if model.toplevel is not None else model.params
        # nengo.spa may add a module to its network twice: every node counts once
        self.nodes = [
            obj
            for obj in dict.fromkeys(built)
            if isinstance(obj, nengo.Node)
            and obj.size_in == 0
            and obj in model.params
            and not says(obj.output, "tensor_call")
        ]
        makers = self._makers(model)
        # what an operator of a builder of the user's own makes is no input
        others = [op for op in model.operators if op not in set(makers.values())]
        made = {signal.base for op in others for signal in (*op.sets, *op.incs, *op.updates)}
        self.nodes = [
            node
            for node in self.nodes
            if node in makers or (out := model.sig[node]["out"]) is None or out.base not in made
        ]
        self.constants, self.functions, self.processes, self.sources = {}, {}, {}, {}
        self.signals = {}
        for node in self.nodes:
            self.signals[node] = model.sig[node]["out"]
            if self.signals[node] is None:
                self.signals[node] = Signal(shape=(0,), name=f"{node}.out")
            if node not in makers:
                value = np.zeros(0) if node.output is None else node.output
                self.constants[node] = np.array(value, self.dtype)
        for node, op in makers.items():
            if isinstance(op, SimProcess):
                self.processes[node] = op
            else:
                self.functions[node] = op.fn
        self.called = list(makers)
        self._makers_of, self._operators = makers, model.operators

    def _makers(self, model):
        """Map nodes to the operators that make their values, in the order of the operators.

        They wait for the time only, so that Nengo runs them in this order, too.
        """
        by_output, silent = {}, {}
        for node in self.nodes:
            signal = model.sig[node]["out"]
            if signal is not None:
                by_output[signal] = node
            elif callable(node.output):
                silent.setdefault(id(node.output), []).append(node)
        makers = {}
        for op in model.operators:
            if isinstance(op, SimPyFunc) and op.x is None and op.output is None:
                nodes = silent.get(id(op.fn))
                if nodes:
                    makers[nodes.pop(0)] = op
            elif (isinstance(op, SimPyFunc) and op.x is None) or (
                isinstance(op, SimProcess) and op.input is None and op.mode == "set"
            ):
                if op.output in by_output:
                    makers[by_output[op.output]] = op
        return makers

    def offer(self, plans):
        """Make the operators of a plan, in which `Source` stands for what is written in Python.

        Parameters
        ----------
        plans : dict
            Node -> `nengo_dl.plan.Plan` of its process.

        Returns
        -------
        list of nengo.builder.Operator
            All operators of the model. The planner drops those of input nodes that run ahead.
        """
        instead = {}
        for node, op in self._makers_of.items():
            reason = _reason(plans[node]) if node in plans else "it calls a Python function"
            if not reason:
                continue
            data = Signal(shape=(node.size_out,), name=f"{node}.data") if node.size_out else None
            self.sources[node] = instead[id(op)] = Source(op, data, reason)
            if data is not None:
                self.signals[node] = data
        return [instead.get(id(op), op) for op in self._operators]

    def settle(self, plan):
        """Sort out what the programs of a plan call: that does not run ahead."""
        called = {id(spec.op) for spec in plan.callbacks}
        self.sources = {node: s for node, s in self.sources.items() if id(s) in called}
        for node in self.sources:
            self.functions.pop(node, None)
            self.processes.pop(node, None)

    def describe(self, names, plans):
        """Say for people where the values of each node come from.

        Parameters
        ----------
        names : mapping
            Node -> its name.
        plans : dict
            Node -> `nengo_dl.plan.Plan` of its process.

        Returns
        -------
        tuple of str
            One line per node, but none for functions that stay in the program.
        """
        lines = []
        for node in self.nodes:
            if node in self.constants:
                how = "constant"
            elif node in self.functions:
                how = f"Python function '{function_name(self.functions[node])}', once per step"
            elif node in self.processes:
                reason = _reason(plans[node])
                how = f"process {type(self.processes[node].process).__name__}, " + (
                    f"in Python, once per step and item: {reason}" if reason else "native"
                )
            else:
                continue
            lines.append(f"{names[node]}: {how}")
        return tuple(lines)

    def times(self, first_step, n_steps):
        """Times of steps as Python floats, exact also in single precision."""
        if n_steps == 1:
            return [(first_step + 1) * self.dt]
        return (np.arange(first_step + 1, first_step + n_steps + 1) * self.dt).tolist()


def _reason(plan):
    """Why the process of a plan is not native; empty if it is."""
    return "; ".join(spec.reason for spec in plan.callbacks)


class PythonRows:
    """Calls what is written in Python and runs ahead, in Nengo's order, step by step.

    Parameters
    ----------
    nodes : InputNodes
        The input nodes.
    processes : dict
        Node -> `nengo_dl.run.process_rows.ProcessRows`.
    minibatch_size : int
        Items per minibatch.
    guard : context manager
        Entered around user code.
    """

    def __init__(self, nodes, processes, minibatch_size, guard):
        self.nodes = nodes
        self.processes = processes
        self.minibatch_size = minibatch_size
        self.guard = guard

    def generate(self, wanted, first_step, n_steps):
        """Make rows for some steps.

        Parameters
        ----------
        wanted : list of nengo.Node
            For which nodes, in the order in which Nengo calls them.
        first_step, n_steps : int
            Steps done before, and to do.

        Returns
        -------
        rows : dict
            Node -> ``(minibatch, steps, size)``.
        steps : int
            Steps for which all gave a value: fewer than ``n_steps`` if they took long.
        error : BaseException or None
            What went wrong in the step after.
        """
        functions, dtype = self.nodes.functions, self.nodes.dtype
        calls, rows = [], {}
        for node in wanted:
            process = self.processes.get(node)
            items = 1 if process is None else process.minibatch_size
            rows[node] = values = np.empty((items, n_steps, node.size_out), dtype)
            if process is None:
                calls.append(partial(_call, node, functions[node], values[0]))
            else:
                calls.append(process.by_step(values))
        done, error = 0, None
        stop = time.perf_counter() + GENERATION_LIMIT
        try:
            with self.guard, np.errstate(invalid="raise", divide="ignore"):
                for t in self.nodes.times(first_step, n_steps):
                    for call in calls:
                        call(t, done)
                    done += 1
                    if time.perf_counter() > stop:
                        break
        except BaseException as e:  # handed on after the steps before it are simulated
            error = e
        return {node: self._of_all(values[:, :done]) for node, values in rows.items()}, done, error

    def _of_all(self, values):
        """Values of all items, where one function gives them to all."""
        if len(values) == self.minibatch_size:
            return values
        return np.broadcast_to(values, (self.minibatch_size, *values.shape[1:]))


def _call(node, function, rows, t, step):
    try:
        value = function(t)
    except SimulationError:
        raise
    except Exception as e:
        message = f"{_label(node, function)} raised {type(e).__name__} at t={t:g}: {e}"
        raise user_error(message, e) from e
    if not rows.shape[1]:
        return
    if value is None:
        raise SimulationError(
            f"{_label(node, function)} returned None at t={t:g}, expected {rows.shape[1]} numbers"
        )
    try:
        finite = math.isfinite(value) if isinstance(value, float) else np.isfinite(value).all()
        rows[step] = value
    except (TypeError, ValueError) as e:
        raise SimulationError(
            f"{_label(node, function)} returned a value of invalid type or shape:"
            f" expected {rows.shape[1]} numbers, got {value!r} ({type(value).__name__})"
        ) from e
    if not finite:
        raise SimulationError(
            f"{_label(node, function)} returned invalid value {value!r} at t={t:g}"
        )


def _label(node, function):
    """Name of the function of an input node, with its node, for messages."""
    return f"Function '{function_name(function)}' of {node}"
