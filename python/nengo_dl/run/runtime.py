"""A built model ready to run: plan, Keras layer, Python functions, inputs and random numbers."""

import time
from dataclasses import replace

import numpy as np

from .. import _engine
from ..arguments.checks import random_seed
from ..arguments.names import Names, weight_names
from ..ir.given import Simulation
from ..ir.program import to_bytes
from ..plan import make_plan
from ..plan.pieces import state_keys
from ..plan.planner import PASSES
from ..plan.training import with_training
from ..tensor_graph import TensorGraph
from . import live_values
from .callback_host import add_table, remove_table
from .device import placed
from .feed import Feed
from .inputs import InputNodes
from .interrupt import interrupt
from .object_settings import kept_histories, sample_periods, surrogates
from .parameters import object_names
from .plan_state import PlanState, probed_shape, reseed
from .process_rows import ProcessRows
from .sampling import Sampling
from .turns import Turns
from .weights import weights_of

PLANNING_STEPS = len(PASSES)  # calls of `progress` while a model is planned that is not cut
TIME_LIMIT = 0.25  # seconds of a piece of a run
CALL_STEPS = 64  # of the first piece of a run that calls TensorFlow


def compiled(program, backend="cpu"):
    """Compile a program for runs beside TensorFlow."""
    return _engine.Compiled(to_bytes(program), backend)


class Runtime:
    """Everything that runs a built model.

    Parameters
    ----------
    model : nengo.builder.Model
        The built model; it is not changed.
    settings : nengo_dl.config.Settings
        Those of its top-level network.
    minibatch_size : int
        Items per minibatch.
    device : str, optional
        TensorFlow device of the model; None: the one that is predicted to be faster.
    progress : callable, optional
        Called without arguments after every pass of the planner.
    seed : int
        Seed of the generator that users' operators get when they are built.

    Attributes
    ----------
    names : nengo_dl.arguments.names.Names
        Names of input nodes and probes.
    seed : int
        Seed of everything random, as `reset` was given it.
    turns : nengo_dl.run.turns.Turns
        Lets calls of several threads run one after the other.
    """

    def __init__(self, model, settings, minibatch_size, device=None, progress=None, seed=0):
        self.model, self.minibatch_size = model, minibatch_size
        self.dtype = settings.dtype
        self.turns = Turns()
        self.nodes = InputNodes(model, self.dtype)
        self.names = Names(self.nodes.nodes, model.probes)
        self.seed = random_seed(seed)
        self.changed = False  # parameters may differ from their initial values
        self.table, self.processes = -1, {}
        try:
            self._build(settings, device, progress)
        except BaseException:
            self._remove_tables()
            raise

    def _build(self, settings, device, progress):
        model, dtype, minibatch_size = self.model, self.dtype, self.minibatch_size
        user_code = self.turns.user_code
        for node, op in self.nodes.processes.items():
            self.processes[node] = ProcessRows(op, model, dtype, minibatch_size, user_code)
        plans = {node: rows.plan for node, rows in self.processes.items()}
        signals = [model.sig[probe]["in"] for probe in model.probes]
        plan = self._make_plan(settings, plans, signals, progress)
        self.plan = placed(plan, device, minibatch_size, settings.threads or 0)
        self.plan_state = PlanState(self.plan, minibatch_size, model, user_code)
        self.nodes.settle(self.plan)
        for node in self.processes.keys() & self.nodes.sources:
            self.processes.pop(node).close()
        made = self.nodes.describe(self.names, plans)
        self.plan = replace(self.plan, feeds=made, compiled=compiled, items=minibatch_size)
        self.feed = Feed(self.nodes, self.processes, minibatch_size, user_code)
        self.table = add_table(self.plan_state.host)
        kept = kept_histories(model)
        self.sampling = Sampling(sample_periods(model, kept))
        self.layer = TensorGraph(
            self.plan,
            minibatch_size=minibatch_size,
            keep_history=kept,
            output_shapes=[probed_shape(model, probe) or (1,) for probe in model.probes],
            input_names=[self.names[node] for node in self.nodes.nodes],
            output_names=[self.names[probe] for probe in model.probes],
            input_keys=self.nodes.nodes,
            call_names=self._call_names(),
            callbacks=self.table,
            threads=settings.threads or 0,
            learning_phase=settings.learning_phase,
            stateful=False,
            tape_memory=settings.tape_memory,
        )
        self.calls_tensorflow = bool(self.plan.calls)
        modes = tuple(call.modes() for call in self.layer.called.calls)
        self.plan = replace(self.plan, call_modes=modes, on_gpu=self.layer.on_gpu)
        direct = self.layer.direct
        fewer = direct is not None and direct.samples
        self.piece_steps = self.plan.steps_at_once(
            minibatch_size, self.sampling.shares(kept) if fewer else None
        )

    def _make_plan(self, settings, plans, signals, progress):
        """The plan of the model; ``plans`` are those of input nodes, by node."""
        model = self.model
        plan = make_plan(
            self.nodes.offer(plans),
            dt=model.dt,
            dtype=settings.dtype,
            time=model.time,
            step=model.step,
            inputs=[(self.names[node], self.nodes.signals[node]) for node in self.nodes.nodes],
            outputs=[
                (self.names[probe], signal)
                for probe, signal in zip(model.probes, signals, strict=True)
            ],
            weights=weights_of(model, settings),
            surrogate=surrogates(model),
            names=weight_names(model),
            simplifications=settings.simplifications,
            simulation=Simulation(
                self.minibatch_size,
                settings.inference_only,
                settings.lif_smoothing,
                np.random.RandomState(self.seed),
            ),
            progress=progress,
        )
        if settings.inference_only:
            return replace(plan, inference_only=True)
        return with_training(plan, settings.lif_smoothing)

    def _call_names(self):
        """Names of the objects that call TensorFlow."""
        names = object_names(self.model)
        return [names.get(c.call.owner, c.call.name) for c in self.plan.calls]

    compiled = staticmethod(compiled)

    def close(self):
        """Forget everything but what can be said of the plan."""
        self._remove_tables()
        self.plan = replace(self.plan, param_values=())
        self.layer = self.plan_state = self.feed = None
        self.processes = {}

    def _remove_tables(self):
        """Let Python functions go, which the engine would keep for good."""
        self.table = remove_table(self.table)
        for rows in self.processes.values():
            rows.close()

    def reset(self, seed=None, include_params=True, include_processes=True):
        """Go back to the beginning.

        Parameters
        ----------
        seed : int, optional
            New seed of everything random; the present one by default.
        include_params : bool
            Whether parameters, learned ones too, get their initial values.
        include_processes : bool
            Whether processes and random generators begin anew.
        """
        layer = self.layer
        self.seed = self.seed if seed is None else random_seed(seed)
        if include_processes:
            states = [self.plan_state, *(rows.plan_state for rows in self.processes.values())]
            reseed(states, self.model.operators, self.seed)
            for number, istate in enumerate(self.plan_state.istates):
                layer.initial_values[state_keys(number)[1]] = istate
            for rows in self.processes.values():
                rows.rewind()
        self.feed.forget()
        # state, and if processes begin anew the integer state with their generators
        kept = slice(None) if include_processes else slice(1)
        keys = [key for i in range(len(self.plan.runs)) for key in state_keys(i)[kept]]
        layer.set_state(n_steps=0, **{key: layer.initial_values[key] for key in keys})
        tables = {slot.param for slot in self.plan.tables} if include_processes else ()
        # a new layer has the others' initial values, and setting a variable takes a millisecond
        include_params, self.changed = include_params and self.changed, True
        if include_params:
            layer.called.reset()
        for index, value in enumerate(self.plan_state.param_values()):
            if include_params or index in tables:
                layer.set_param(index, value)
        for piece in self.plan.calls:
            if piece.call.reset is not None:
                with self.turns.user_code:
                    piece.call.reset()

    def live(self, signal):
        """Present value of a parameter or state: ``(value, batched)``, or None if it has none."""
        return live_values.read(self.layer, signal)

    def write(self, signal, value):
        """Change a parameter or state: `.live_values.write`."""
        live_values.write(self.layer, signal, value)

    @property
    def value_shapes(self):
        """dict : Name of a probe -> shape of what Nengo probes in a step, ``()`` for a scalar."""
        probes = self.names.probes.items()
        return {name: probed_shape(self.model, probe) for name, probe in probes}

    def forget_error(self):
        """Forget what a Python function raised in a call that was not ours, before one that is."""
        if self.table >= 0:
            _engine.callback_error(self.table)

    def take_error(self, message):
        """Return the exception that a Python function raised, if a run failed by it; or None.

        Parameters
        ----------
        message : str
            What is said of the failure; an exception of that kind has to be in it.
        """
        error = _engine.callback_error(self.table) if self.table >= 0 else None
        return error if type(error).__name__ in message else None

    # ------------------------------------------------------------ running

    def run(self, n_steps, data, stateful, record, progress):
        """Run steps in pieces.

        Parameters
        ----------
        n_steps : int
            Steps to do.
        data : dict
            Input node -> ``(minibatch_size, n_steps, size)``.
        stateful : bool
            Whether the state is kept; otherwise it is put back.
        record : callable
            ``record(outputs)`` is called after every piece.
        progress : callable
            ``progress(steps)`` likewise.
        """
        self.forget_error()
        before = None if stateful else self.layer.get_state()
        given = self.feed.given if self.nodes.sources else ()
        # input nodes that are constant need no time, and reading it takes a while
        first_step = self.layer.n_steps if self.feed.timed(data) else None
        try:
            self._pieces(n_steps, data, first_step, record, progress)
        finally:
            if given:
                self.feed.given = given
            if before is not None:
                self.layer.set_state(**before)

    def _pieces(self, n_steps, data, first_step, record, progress):
        feed, layer, done = self.feed, self.layer, 0
        kept_steps = self.sampling.steps if self.sampling else None
        feed.start(data, first_step)
        longest = size = self.piece_steps
        if self.calls_tensorflow:
            size = min(size, CALL_STEPS)
        while done < n_steps:
            began = time.perf_counter()
            inputs, steps = feed.next(done, min(size, n_steps - done))
            outputs, ran = layer.run_eager(inputs, steps, True, TIME_LIMIT, kept_steps)
            feed.used(ran)
            if ran:
                record(outputs)
            done += ran
            if ran < steps:
                self._raise_error()
            interrupt.check()
            progress(ran)
            if self.calls_tensorflow:  # TensorFlow does not look at the time
                size = _next_size(size, longest, time.perf_counter() - began)
            else:  # a piece that ran out of time was too long
                size = min(longest, 2 * size if ran == steps else max(1, ran))
        feed.finish()

    def _raise_error(self):
        """Raise what stopped the last piece of a run, if it was not the time."""
        message = self.layer.last_run.error
        if message:
            error = self.take_error(message)
            raise RuntimeError(message) if error is None else error


def _next_size(size, longest, seconds):
    """Steps of the next piece of a run, after one took so many seconds."""
    if seconds > TIME_LIMIT:
        return max(1, size // 2)
    return min(longest, 2 * size) if seconds < TIME_LIMIT / 4 else size
