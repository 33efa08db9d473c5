"""Input nodes: which they are, and the values they give where no data is given for them.

An input node is a `nengo.Node` with ``size_in == 0``. Arrays are repeated, functions are called
once per step with the time, processes run in a program of their own, each item of the minibatch
with its own state.

Functions are called ahead of the simulation, a piece of the run at a time. In a model that also
has functions *with* inputs, both may share something (the state of a robot, say). There the
functions of input nodes stay in the program, as `SourceFunction`, and all functions are called
in Nengo's order, step by step.
"""

import math
import time

import nengo
import numpy as np
from nengo.builder.operator import Operator, SimPyFunc
from nengo.builder.processes import SimProcess
from nengo.builder.signal import Signal
from nengo.exceptions import SimulationError
from nengo.utils.functions import function_name

# seconds of calling Python functions after which a piece of a run is long enough
GENERATION_LIMIT = 0.2


class SourceFunction(Operator):
    """The function of an input node as an operator that gives way to data.

    Parameters
    ----------
    op : nengo.builder.operator.SimPyFunc
        The operator of the node; it is not changed.
    data : nengo.builder.Signal or None
        Signal of the data that may be given for the node.

    Attributes
    ----------
    fn, output : callable, nengo.builder.Signal or None
        Those of ``op``.
    given : bool
        Whether the present run has data for the node; then the function is not called.
    """

    # what the planner asks an operator that it does not know
    overwrites = True
    not_native = "it calls a Python function, in turn with other functions of the model"

    def __init__(self, op, data):
        super().__init__(tag=op.tag)
        self.op, self.data = op, data
        self.fn, self.output = op.fn, op.output
        self.given = True  # as in a bare Keras model
        self.sets = op.sets
        self.incs = []
        self.reads = op.reads if data is None else [*op.reads, data]
        self.updates = []

    @property
    def once_per_step(self):
        """Whether one call serves all items of the minibatch."""
        return not self.given

    def make_step(self, signals, dt, rng):
        """Return the step: Nengo's own, or a copy of the data."""
        call = self.op.make_step(signals, dt, rng)
        output = None if self.op.output is None else signals[self.op.output]
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
    operators : list of nengo.builder.Operator
        The model's operators without those that make the values of input nodes.
    signals : dict
        Node -> signal that the program reads the node's values from.
    sources : dict
        Node -> `SourceFunction`, if functions stay in the program.
    processes : dict
        Node -> its `nengo.builder.processes.SimProcess`.
    """

    def __init__(self, model, dtype):
        self.dtype = np.dtype(dtype)
        self.dt = model.dt
        built = model.toplevel.all_nodes if model.toplevel is not None else model.params
        # nengo.spa may add a module to its network twice: every node counts once
        self.nodes = [
            obj
            for obj in dict.fromkeys(built)
            if isinstance(obj, nengo.Node) and obj.size_in == 0 and obj in model.params
        ]
        makers = self._makers(model)
        self.constants, self.functions, self.processes, self.sources = {}, {}, {}, {}
        self.signals = {}
        shared = any(isinstance(op, SimPyFunc) and op.x is not None for op in model.operators)
        for node in self.nodes:
            op = makers.get(node)
            self.signals[node] = model.sig[node]["out"]
            if self.signals[node] is None:
                self.signals[node] = Signal(shape=(0,), name=f"{node}.out")
            if isinstance(op, SimProcess):
                self.processes[node] = op
            elif op is not None and shared:
                self._keep(node, op)
            elif op is not None:
                self.functions[node] = op.fn
            else:
                value = np.zeros(0) if node.output is None else node.output
                self.constants[node] = np.array(value, self.dtype)
        instead = {id(makers[node]): self.sources.get(node) for node in makers}
        operators = [instead.get(id(op), op) for op in model.operators]
        self.operators = [op for op in operators if op is not None]

    def _makers(self, model):
        """Map nodes to the operator that makes their values."""
        by_output, silent = {}, {}
        for op in model.operators:
            if isinstance(op, SimPyFunc) and op.x is None:
                if op.output is None:
                    silent.setdefault(id(op.fn), []).append(op)
                else:
                    by_output[op.output] = op
            elif isinstance(op, SimProcess) and op.input is None:
                by_output[op.output] = op
        makers = {}
        for node in self.nodes:
            signal = model.sig[node]["out"]
            if signal in by_output:
                makers[node] = by_output[signal]
            elif signal is None and silent.get(id(node.output)):
                makers[node] = silent[id(node.output)].pop(0)
        return makers

    def _keep(self, node, op):
        data = None
        if node.size_out:
            data = self.signals[node] = Signal(shape=(node.size_out,), name=f"{node}.data")
        self.sources[node] = SourceFunction(op, data)

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
                reasons = [spec.reason for spec in plans[node].callbacks]
                how = f"process {type(self.processes[node].process).__name__}, " + (
                    f"in Python, once per step and item: {'; '.join(reasons)}"
                    if reasons
                    else "native"
                )
            else:
                continue
            lines.append(f"{names[node]}: {how}")
        return tuple(lines)

    def times(self, first_step, n_steps):
        """Times of steps as Python floats, exact also in single precision."""
        return (np.arange(first_step + 1, first_step + n_steps + 1) * self.dt).tolist()


class FunctionRows:
    """Calls the functions of input nodes, once per step.

    Parameters
    ----------
    nodes : InputNodes
        The input nodes.
    guard : context manager
        Entered around user code.
    """

    def __init__(self, nodes, guard):
        self.nodes = nodes
        self.guard = guard

    def generate(self, wanted, first_step, n_steps):
        """Call functions for some steps.

        Parameters
        ----------
        wanted : list of nengo.Node
            Whose functions to call.
        first_step, n_steps : int
            Steps done before, and to do.

        Returns
        -------
        rows : dict
            Node -> ``(steps, size)``.
        steps : int
            Steps for which all functions gave a value: fewer than ``n_steps`` if they took long.
        error : BaseException or None
            What went wrong in the step after.
        """
        functions = [
            (
                node,
                self.nodes.functions[node],
                np.empty((n_steps, node.size_out), self.nodes.dtype),
            )
            for node in wanted
        ]
        done, error = 0, None
        stop = time.perf_counter() + GENERATION_LIMIT
        try:
            with self.guard, np.errstate(invalid="raise", divide="ignore"):
                for t in self.nodes.times(first_step, n_steps):
                    for node, function, rows in functions:
                        _call(node, function, t, rows, done)
                    done += 1
                    if time.perf_counter() > stop:
                        break
        except BaseException as e:  # handed on after the steps before it are simulated
            error = e
        return {node: rows[:done] for node, _, rows in functions}, done, error


def _call(node, function, t, rows, step):
    try:
        value = function(t)
    except SimulationError:
        raise
    except Exception as e:
        raise SimulationError(
            f"{_label(node, function)} raised {type(e).__name__} at t={t:g}: {e}"
        ) from e
    if not rows.shape[1]:
        return
    if value is None:
        raise SimulationError(
            f"{_label(node, function)} returned None at t={t:g}, expected {rows.shape[1]} numbers"
        )
    try:
        finite = math.isfinite(value) if type(value) is float else np.isfinite(value).all()
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
