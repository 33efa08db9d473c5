"""`Simulator`: takes the place of `nengo.Simulator` and of NengoDL's."""

from __future__ import annotations

import functools
import logging
from typing import TYPE_CHECKING, Any

import numpy as np
from nengo.exceptions import ReadonlyError, SimulationError, ValidationError
from nengo.utils.numpy import maxint

from ..arguments.checks import (
    positive,
    seconds,
    step_count,
    valid_device,
    warn_user,
    whole_loops,
)
from ..arguments.data_forms import is_opaque
from ..arguments.data_rules import DataRules
from ..config import Settings, resolve
from ..run.building import build, refuse_learning_phase
from ..run.interrupt import in_one_piece
from ..run.progress import Display
from ..run.runtime import PLANNING_STEPS, Runtime
from ..run.sampling import is_sampled
from ..training.keras_side import KerasSide
from ..training.precision import python_float_type, scope
from .data import Recorder, SimulationData
from .insight import Insight
from .keras_methods import KerasMethods
from .lifecycle import in_turn
from .parameters import ParameterMethods

if TYPE_CHECKING:
    import nengo

    from ..plan import Plan
    from ..tensor_graph import TensorGraph
    from ..training.model import SimulatorModel

logger = logging.getLogger(__name__)


class Simulator(KerasMethods, ParameterMethods, Insight):
    """Runs a Nengo network as one compiled op.

    Use it as `nengo.Simulator`:

    >>> with nengo_dl.Simulator(net) as sim:  # doctest: +SKIP
    ...     sim.run(1.0)
    ...     print(sim.data[probe])

    Everything is built when the simulator is made; the network is never changed. Functions and
    processes of Nodes without input run ahead of the simulation, a piece of the run at a time,
    unless the model calls Python while it runs (functions of Nodes with input; processes, neuron
    types, synapses and learning rules of your own): then all Python is called in Nengo's order.

    Calls of one simulator by several threads run one after the other: each waits until those
    before it have ended. A callback of Keras or a progress bar may call the simulator that calls
    it; Python functions of the model, and generators of its data, get a `SimulationError`.
    Several simulators run in several threads at once.

    Parameters
    ----------
    network : nengo.Network or None
        The network; None if there is a ``model``.
    dt : float
        Length of a step in seconds.
    seed : int, optional
        Seed of processes and noise. The default is the network's seed plus one, or a random one.
        The same seed gives the same numbers as in `nengo.Simulator` (with ``optimize=False``).
        Processes give item ``b`` of a minibatch what a simulator with ``seed + b`` gets.
    model : nengo.builder.Model, optional
        A model that was built before.
    device : str, optional
        ``"/cpu:0"``, or ``"/gpu:0"`` for a GPU of NVIDIA, whose products of single precision
        round to TF32 unless TensorFlow is told otherwise. None: what is predicted to be faster.
    unroll_simulation : int
        Steps of a run are a multiple of this; it changes nothing else.
    minibatch_size : int, optional
        Items simulated at once. None is one item, and probed values then have no axis of items.
    progress_bar : bool or nengo.utils.progress.ProgressBar
        Progress bar of the build, and of runs where nothing else is said.
    optimize : bool
        Taken and ignored: this argument of `nengo.Simulator` chooses between equal results.

    Attributes
    ----------
    data : nengo_dl.simulator.data.SimulationData
        Probed values and parameters.
    model : nengo.builder.Model
        The built model.
    stateful : bool
        Setting ``stateful`` of the network.
    closed : bool
        Whether `close` was called.
    """

    def __init__(
        self,
        network: nengo.Network | None,
        dt: float = 0.001,
        seed: int | None = None,
        model: nengo.builder.Model | None = None,
        device: str | None = None,
        unroll_simulation: int = 1,
        minibatch_size: int | None = None,
        progress_bar: Any = True,
        optimize: bool = True,
    ) -> None:
        super().__init__()
        if network is None and model is None:
            raise ValidationError("either a network or a model is needed, got neither", "network")
        dt = seconds("dt", dt, zero=False)
        unroll = positive("unroll_simulation", unroll_simulation)
        self._drop_batch = minibatch_size is None
        size = 1 if minibatch_size is None else positive("minibatch_size", minibatch_size)
        self.progress_bar = progress_bar
        self.device = valid_device(device)
        # a network that is built into a model becomes its top level
        settings = resolve(network if model is None or model.toplevel is None else model)
        self._scope = functools.partial(scope, settings.dtype, self.device)
        try:
            self._build(network, dt, model, settings, size, unroll, seed)
        except BaseException:
            self.close()
            raise

    @in_one_piece
    def _build(
        self,
        network: nengo.Network | None,
        dt: float,
        model: nengo.builder.Model | None,
        settings: Settings,
        size: int,
        unroll: int,
        seed: int | None,
    ) -> None:
        with Display(self.progress_bar, "Building", "Build") as display:
            self.model = build(network, dt, model, settings.dtype, display)
            refuse_learning_phase(settings)
            if seed is None:  # drawn after the build, as Nengo does
                own = None if network is None else network.seed
                seed = np.random.randint(maxint) if own is None else own + 1
            with display.stage("Planning", "Plan", PLANNING_STEPS) as stage, self._scope():
                self._runtime = Runtime(self.model, settings, size, self.device, stage.step, seed)
        self._turns = self._runtime.turns
        self.stateful = settings.stateful
        self._rules = DataRules(self._runtime.names, size, unroll, settings.use_loop)
        self._keras = KerasSide(self._runtime, self._rules, self.stateful, self._scope)
        self.closed = False  # from here on, closing frees what the runtime holds
        self.data = SimulationData(self.model, self._live, self._drop_batch)
        kept = self._runtime.layer.keep_history
        self._recorder = Recorder(self.data.histories, kept)
        self._runtime.reset(seed)

    def __repr__(self) -> str:
        if not hasattr(self, "closed"):
            return f"<{type(self).__name__} that was not built>"
        network = self.model.toplevel
        of = "a model" if network is None else network.label or "an unlabelled network"
        state = "closed" if self.closed else "open"
        return (
            f"<{type(self).__name__} of {of}: {state}, at step {self.n_steps} ({self.time:g} s),"
            f" minibatch_size={self.minibatch_size}, {self._runtime.dtype}>"
        )

    # ------------------------------------------------------------ properties

    @property
    def dt(self) -> float:
        """float : Length of a step in seconds; can't be changed."""
        return self.model.dt

    @dt.setter
    def dt(self, value: float) -> None:
        raise ReadonlyError(attr="dt", obj=self)

    @property
    def minibatch_size(self) -> int:
        """int : Items that are simulated at once."""
        return self._rules.minibatch_size

    @property
    def unroll(self) -> int:
        """int : Number of which the steps of a run are a multiple."""
        return self._rules.unroll

    @property
    def n_steps(self) -> int:
        """int : Steps done since the beginning."""
        return self._final_steps if self.closed else self._runtime.layer.n_steps

    @property
    def time(self) -> float:
        """float : Simulated time in seconds."""
        return self.n_steps * self.dt

    @property
    def seed(self) -> int:
        """int : Seed of processes and noise."""
        self._check_open("seed")
        return self._runtime.seed

    @property
    def plan(self) -> Plan:
        """nengo_dl.plan.Plan : What the planner made of the model; ``print(sim.plan)`` shows it."""
        return self._runtime.plan

    @property
    def tensor_graph(self) -> TensorGraph:
        """nengo_dl.tensor_graph.TensorGraph : The Keras layer that runs the model."""
        self._check_open("tensor_graph")
        return self._runtime.layer

    @property
    def keras_model(self) -> SimulatorModel:
        """keras.Model : Inputs are the input nodes and ``n_steps``, outputs the probes."""
        self._check_open("keras_model")
        return self._keras.model

    @property
    def node_inputs(self) -> dict[nengo.Node, Any]:
        """dict : Input node -> Keras input tensor."""
        return dict(zip(self._runtime.nodes.nodes, self.keras_model.inputs[:-1], strict=True))

    def get_name(self, obj: nengo.Node | nengo.Probe) -> str:
        """Return the name of an input Node or Probe in the Keras model."""
        self._check_open("get_name")
        return self._runtime.names[obj]

    # ------------------------------------------------------------ running

    def run(self, time_in_seconds: float, **kwargs: Any) -> None:
        """Simulate for a length of time, rounded to whole steps.

        Parameters
        ----------
        time_in_seconds : float
            Not negative.
        **kwargs
            As in `run_steps`.
        """
        time_in_seconds = seconds("time_in_seconds", time_in_seconds, obj=self)
        steps = int(np.round(time_in_seconds / self.dt))
        if steps == 0:
            warn_user(
                f"{time_in_seconds} results in running for 0 timesteps; the simulator is still at"
                f" time {self.time}"
            )
            return
        logger.info("Running %s for %f seconds, or %d steps", self.model.label,
                    time_in_seconds, steps)  # fmt: skip
        self.run_steps(steps, **kwargs)

    def step(self, **kwargs: Any) -> None:
        """Simulate one step, without a progress bar; arguments as in `run_steps`."""
        kwargs.setdefault("progress_bar", False)
        self.run_steps(1, **kwargs)

    @in_turn
    @in_one_piece
    def run_steps(
        self,
        n_steps: int,
        data: Any = None,
        progress_bar: Any = None,
        stateful: bool = True,
    ) -> None:
        """Simulate a number of steps and add the probed values to ``data``.

        What was simulated before Ctrl-C or an error in a Python function stays in ``data``, and
        the simulator can go on from there.

        Parameters
        ----------
        n_steps : int
            Steps to do; rounded up to a multiple of ``unroll_simulation``, with a warning.
        data : dict, list or array, optional
            Values for input Nodes, ``(minibatch_size, n_steps, size)`` each: a dict from Nodes or
            their names, a list in the order of the input Nodes, or an array for the first of them.
            Other Nodes give their own.
        progress_bar : bool or nengo.utils.progress.ProgressBar, optional
            Progress bar; by default the simulator's.
        stateful : bool
            False: go back to the state before the run when it is done.
        """
        n_steps = whole_loops(step_count(n_steps), self.unroll)
        if is_opaque(data):
            raise SimulationError(
                f"run_steps takes arrays for the input Nodes, got a {type(data).__name__};"
                " use predict for generators and datasets"
            )
        runtime, values = self._runtime, self._rules.for_run(data, n_steps)
        stateful = stateful and self.stateful
        self._keras.warn_one_step(n_steps, stateful)
        if n_steps < 1:
            return
        bar = self.progress_bar if progress_bar is None else progress_bar
        float_type = python_float_type(runtime, values)
        with float_type, Display(bar, "Simulating", "Simulation", n_steps) as display:
            try:
                runtime.run(n_steps, values, stateful, self._recorder.record, display.step)
            finally:
                self._recorder.finish()

    def trange(self, sample_every: float | None = None, dt: float | None = None) -> np.ndarray:
        """Times of the steps done, those at which a Probe with ``sample_every`` has values.

        Parameters
        ----------
        sample_every : float, optional
            Seconds between two values; one step by default.
        dt : float, optional
            Old name of ``sample_every``.

        Returns
        -------
        (n,) array
            Times in seconds.
        """
        if dt is not None:
            if sample_every is not None:
                raise ValidationError(
                    "can't be given together with `sample_every`, its new name",
                    "dt",
                    self,
                )
            warn_user("`dt` is deprecated, use `sample_every`", DeprecationWarning)
            sample_every = dt
        steps = np.arange(1, self.n_steps + 1)
        if sample_every is not None:
            period = seconds("sample_every", sample_every, zero=False, obj=self) / self.dt
            steps = steps[is_sampled(steps, period)]
        return self.dt * steps

    # ------------------------------------------------------------ state

    @in_turn
    @in_one_piece
    def reset(
        self,
        seed: int | None = None,
        include_trainable: bool = True,
        include_probes: bool = True,
        include_processes: bool = True,
    ) -> None:
        """Go back to the beginning.

        Parameters
        ----------
        seed : int, optional
            New seed of processes and noise.
        include_trainable : bool
            Also give parameters their initial values, those changed by learning rules included.
        include_probes : bool
            Also forget probed values.
        include_processes : bool
            Also begin processes and all other random numbers anew.
        """
        self._runtime.reset(seed, include_trainable, include_processes)
        if include_processes:
            self._rng = None
        if include_probes:
            self.clear_probes()

    def soft_reset(self, include_trainable: bool = False, include_probes: bool = False) -> None:
        """Call `reset` with other defaults; deprecated."""
        warn_user("soft_reset is deprecated, use reset", DeprecationWarning)
        self.reset(
            include_trainable=include_trainable,
            include_probes=include_probes,
            include_processes=False,
        )

    @in_one_piece
    def clear_probes(self) -> None:
        """Forget all probed values."""
        self.data.reset()

    def _live(self, signal: Any) -> tuple[np.ndarray, bool] | None:
        if self.closed:
            warn_user(
                "The simulator is closed; parameters have the values with which they were built"
            )
            return None
        return self._runtime.live(signal)
