"""`Simulator`: takes the place of `nengo.Simulator` and of NengoDL's."""

import contextlib
import logging
import threading
import warnings

import numpy as np
from nengo.builder import Model
from nengo.cache import get_default_decoder_cache
from nengo.exceptions import (
    BuildError,
    NengoWarning,
    ReadonlyError,
    SimulationError,
    SimulatorClosed,
    ValidationError,
)
from nengo.rc import rc
from nengo.utils.numpy import maxint

from .config import get_setting
from .data import Recorder, SimulationData
from .data_forms import by_node, check, is_opaque, truncate
from .keras_calls import call_keras, precision
from .names import Names
from .progress import Display
from .randomness import step_order
from .runtime import Runtime

logger = logging.getLogger(__name__)
_precision_lock = threading.RLock()  # Nengo's precision is one for the whole process


class OpenSimulatorWarning(RuntimeWarning, ResourceWarning):
    """A simulator was deleted before it was closed."""


class Simulator:
    """Runs a Nengo network as one compiled op.

    Use it as `nengo.Simulator`:

    >>> with nengo_dl.Simulator(net) as sim:  # doctest: +SKIP
    ...     sim.run(1.0)
    ...     print(sim.data[probe])

    Everything is built when the simulator is made; the network is never changed. Functions of
    Nodes without input are called ahead of the simulation, a piece of the run at a time, unless
    the model has other Python functions too: then all are called in Nengo's order.

    Parameters
    ----------
    network : nengo.Network or None
        The network; None if there is a ``model``.
    dt : float
        Length of a step in seconds.
    seed : int, optional
        Seed of processes and noise. The default is the network's seed plus one, or a random one.
        The same seed gives the same numbers as in `nengo.Simulator` (with ``optimize=False``).
        Item ``b`` of a minibatch gets what a simulator with ``seed + b`` gets.
    model : nengo.builder.Model, optional
        A model that was built before.
    device : str, optional
        TensorFlow device such as ``"/cpu:0"``.
    unroll_simulation : int
        Steps of a run are a multiple of this; it changes nothing else.
    minibatch_size : int, optional
        Number of items simulated at once. None is one item, and probed values then have no
        axis of items.
    progress_bar : bool or nengo.utils.progress.ProgressBar
        Progress bar of the build, and of runs where nothing else is said.
    optimize : bool
        Taken and ignored: this argument of `nengo.Simulator` chooses between equal results.

    Attributes
    ----------
    data : nengo_dl.data.SimulationData
        Probed values and parameters.
    model : nengo.builder.Model
        The built model.
    minibatch_size, unroll : int
        As above.
    stateful : bool
        Setting ``stateful`` of the network.
    closed : bool
        Whether `close` was called.
    """

    def __init__(
        self,
        network,
        dt=0.001,
        seed=None,
        model=None,
        device=None,
        unroll_simulation=1,
        minibatch_size=None,
        progress_bar=True,
        optimize=True,
    ):
        self.closed = True  # until all is built
        self._contexts = None
        if network is None and model is None:
            raise ValidationError(
                "either a network or a model is needed, got neither", "network"
            )
        self.unroll = _positive("unroll_simulation", unroll_simulation)
        self._drop_batch = minibatch_size is None
        self.minibatch_size = (
            1 if minibatch_size is None else _positive("minibatch_size", minibatch_size)
        )
        self.progress_bar = progress_bar
        self.device = _device(device)
        if model is not None and model.dt != dt:
            warnings.warn(
                f"Model dt ({model.dt:g}) does not match Simulator dt ({dt:g}); using the model's",
                NengoWarning,
                stacklevel=2,
            )
        # a network that is built into a model becomes its top level
        settings = network if model is None or model.toplevel is None else model
        self._dtype = get_setting(settings, "dtype", "float32")
        with Display(progress_bar, "Building", "Build") as display:
            self.model = self._build(network, dt, model, display)
            self._prepare(display)
        if seed is None:
            fixed = network is not None and network.seed is not None
            seed = network.seed + 1 if fixed else np.random.randint(maxint)
        self._seed = seed
        self.closed = False
        self._runtime.reset(seed)

    def _build(self, network, dt, model, display):
        if model is None:
            model = Model(
                dt=float(dt),
                label=f"{network}, dt={dt:f}",
                decoder_cache=get_default_decoder_cache(),
            )
        if network is not None:
            with _nengo_precision(self._dtype):
                model.build(
                    network, progress=display.stage("Building network", "Build")
                )
        return model

    def _prepare(self, display):
        model = self.model
        self.stateful = get_setting(model, "stateful", True)
        self._use_loop = get_setting(model, "use_loop", True)
        if get_setting(model, "inference_only", False) and get_setting(
            model, "learning_phase"
        ):
            raise BuildError(
                "a network with inference_only=True has no training mode, so learning_phase can't be"
                " True; change either setting"
            )
        with display.stage("Planning", "Plan"), self._scope():
            self._runtime = Runtime(
                model,
                self._dtype,
                self.minibatch_size,
                lambda nodes: Names(nodes, model.probes),
            )
        self._keras_model = None
        self._final_steps = 0
        self.data = SimulationData(model, self._live, self._drop_batch)

    # ------------------------------------------------------------ properties

    @property
    def dt(self):
        """float : Length of a step in seconds; can't be changed."""
        return self.model.dt

    @dt.setter
    def dt(self, value):
        raise ReadonlyError(attr="dt", obj=self)

    @property
    def n_steps(self):
        """int : Steps done since the beginning."""
        return self._final_steps if self.closed else self._runtime.layer.n_steps

    @property
    def time(self):
        """float : Simulated time in seconds."""
        return self.n_steps * self.dt

    @property
    def seed(self):
        """int : Seed of processes and noise."""
        self._check_open("seed")
        return self._seed

    @property
    def plan(self):
        """nengo_dl.plan.Plan : What the planner made of the model; ``print(sim.plan)`` shows it."""
        return self._runtime.plan

    @property
    def tensor_graph(self):
        """nengo_dl.tensor_graph.TensorGraph : The Keras layer that runs the model."""
        self._check_open("tensor_graph")
        return self._runtime.layer

    @property
    def keras_model(self):
        """keras.Model : Model with one input per input node and ``n_steps``, one output per probe."""
        self._check_open("keras_model")
        if self._keras_model is None:
            from .tensor_graph import build_keras_model

            with self._scope():
                self._keras_model = build_keras_model(self._runtime.layer)
        return self._keras_model

    @property
    def node_inputs(self):
        """dict : Input node -> Keras input tensor."""
        return dict(zip(self._runtime.nodes.nodes, self.keras_model.inputs))

    @property
    def step_order(self):
        """list : Nengo's operators in the order in which `nengo.Simulator` runs them."""
        return step_order(self.model.operators)

    def get_name(self, obj):
        """Return the name of an input Node or Probe in the Keras model."""
        self._check_open("get_name")
        return self._runtime.names[obj]

    # ------------------------------------------------------------ running

    def run(self, time_in_seconds, **kwargs):
        """Simulate for a length of time, rounded to whole steps.

        Parameters
        ----------
        time_in_seconds : float
            Not negative.
        **kwargs
            As in `run_steps`.
        """
        if time_in_seconds < 0:
            raise ValidationError(
                f"must not be negative (got {time_in_seconds:g})",
                "time_in_seconds",
                self,
            )
        steps = int(np.round(float(time_in_seconds) / self.dt))
        if steps == 0:
            warnings.warn(
                f"{time_in_seconds} results in running for 0 timesteps; the simulator is still at"
                f" time {self.time}",
                stacklevel=2,
            )
            return
        logger.info("Running %s for %f seconds, or %d steps", self.model.label,
                    time_in_seconds, steps)  # fmt: skip
        self.run_steps(steps, **kwargs)

    def step(self, **kwargs):
        """Simulate one step, without a progress bar; arguments as in `run_steps`."""
        kwargs.setdefault("progress_bar", False)
        self.run_steps(1, **kwargs)

    def run_steps(self, n_steps, data=None, progress_bar=None, stateful=True):
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
        self._check_open("run_steps")
        n_steps = self._whole_loops(n_steps)
        if is_opaque(data):
            raise SimulationError(
                f"run_steps takes arrays for the input Nodes, got a {type(data).__name__};"
                " use predict for generators and datasets"
            )
        runtime = self._runtime
        values = by_node(data, runtime.names)
        if values:
            check(values, runtime.names, self.minibatch_size, self.unroll, n_steps,
                  self.minibatch_size)  # fmt: skip
        self._check_loop(n_steps)
        stateful = stateful and self.stateful
        if n_steps == 1 and not stateful:
            self._warn_synapses()
        if n_steps < 1:
            return
        bar = self.progress_bar if progress_bar is None else progress_bar
        recorder = Recorder(self.data.histories, runtime.layer.keep_history, self.dt)
        with Display(bar, "Simulating", "Simulation", n_steps) as display:
            try:
                runtime.run(n_steps, values, stateful, recorder.record, display.step)
            finally:
                recorder.finish()

    def predict(self, x=None, n_steps=None, stateful=False, **kwargs):
        """Run ``sim.keras_model.predict`` over any number of minibatches.

        ``sim.data`` stays as it is, and ``sample_every`` of Probes is ignored.

        Parameters
        ----------
        x : dict, list, array, or what Keras takes, optional
            Values for input Nodes as in `run_steps`, for any multiple of ``minibatch_size`` items.
        n_steps : int, optional
            Steps; needed where there is no data.
        stateful : bool
            Whether the state is kept. If not, every minibatch starts from the present state.
        **kwargs
            Arguments of `keras.Model.predict`.

        Returns
        -------
        dict
            Probe -> ``(batch, n_steps, size)``.
        """
        return self._predict("predict", x, n_steps, stateful, kwargs)

    def predict_on_batch(self, x=None, n_steps=None, stateful=False, **kwargs):
        """Run ``sim.keras_model.predict_on_batch``: `predict` for exactly one minibatch."""
        return self._predict("predict_on_batch", x, n_steps, stateful, kwargs)

    def _predict(self, method, x, n_steps, stateful, kwargs):
        self._check_open(method)
        if "batch_size" in kwargs:
            warnings.warn(
                "Batch size is determined statically by minibatch_size; batch_size is ignored",
                UserWarning,
                stacklevel=3,
            )
            kwargs.pop("batch_size")
        if stateful and not self.stateful:
            if method == "predict":
                warnings.warn(
                    "Ignoring stateful=True, since the network is configured with stateful=False",
                    UserWarning,
                    stacklevel=3,
                )
            stateful = False
        if is_opaque(x):
            if n_steps is not None:
                raise SimulationError(
                    f"n_steps can't be given together with a {type(x).__name__}, which has the"
                    " number of steps in its own n_steps"
                )
        else:
            x, n_steps = self._arrays(method, x, n_steps)
            if n_steps == 1 and not stateful:
                self._warn_synapses()
        return call_keras(self, self._runtime, method, x, n_steps, stateful, kwargs)

    def _arrays(self, method, x, n_steps):
        """Check given data and return it by node, with the number of steps."""
        names, size = self._runtime.names, self.minibatch_size
        values = by_node(x, names)
        if not values and n_steps is None:
            raise ValidationError(
                "Must specify either input data or n_steps", "n_steps", self
            )
        single = method == "predict_on_batch"
        if not single:
            values = truncate(values, size)
        _, steps = check(
            values, names, size, self.unroll, n_steps, size if single else None
        )
        if steps % self.unroll:
            raise ValidationError(
                f"n_steps ({steps}) is not evenly divisible by unroll_simulation ({self.unroll})",
                "n_steps",
                self,
            )
        self._check_loop(steps)
        return values, steps

    def _whole_loops(self, n_steps):
        rest = n_steps % self.unroll
        if not rest:
            return int(n_steps)
        actual = int(n_steps) + self.unroll - rest
        warnings.warn(
            f"Number of steps ({n_steps}) is not evenly divisible by unroll_simulation"
            f" ({self.unroll}); running for {actual} steps",
            RuntimeWarning,
            stacklevel=3,
        )
        return actual

    def _check_loop(self, n_steps):
        if not self._use_loop and n_steps != self.unroll:
            raise ValidationError(
                f"with use_loop=False a run has exactly unroll_simulation={self.unroll} steps, got"
                f" {n_steps}",
                "n_steps",
                self,
            )

    def _warn_synapses(self):
        network = self.model.toplevel
        if network is None:
            return
        if any(
            c.synapse is not None
            for c in (*network.all_connections, *self.model.probes)
        ):
            warnings.warn(
                "Running for one timestep, but the network contains synaptic filters, which need"
                " several steps to let a signal through; set their synapse to None, or run longer",
                UserWarning,
                stacklevel=4,
            )

    def trange(self, sample_every=None, dt=None):
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
            warnings.warn(
                "`dt` is deprecated, use `sample_every`",
                DeprecationWarning,
                stacklevel=2,
            )
            sample_every = dt
        period = 1 if sample_every is None else sample_every / self.dt
        steps = np.arange(1, self.n_steps + 1)
        return self.dt * steps[steps % period < 1]

    # ------------------------------------------------------------ state

    def reset(
        self,
        seed=None,
        include_trainable=True,
        include_probes=True,
        include_processes=True,
    ):
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
        self._check_open("reset")
        if seed is not None:
            self._seed = seed
        self._runtime.reset(self._seed, include_trainable, include_processes)
        if include_probes:
            self.clear_probes()

    def soft_reset(self, include_trainable=False, include_probes=False):
        """Call `reset` with other defaults; deprecated."""
        warnings.warn(
            "soft_reset is deprecated, use reset", DeprecationWarning, stacklevel=2
        )
        self.reset(
            include_trainable=include_trainable,
            include_probes=include_probes,
            include_processes=False,
        )

    def clear_probes(self):
        """Forget all probed values."""
        self.data.reset()

    def train(self, *args, **kwargs):
        """Removed in NengoDL 3."""
        raise SimulationError(
            "Simulator.train was removed, use Simulator.compile and fit"
        )

    def loss(self, *args, **kwargs):
        """Removed in NengoDL 3."""
        raise SimulationError(
            "Simulator.loss was removed, use Simulator.compile and evaluate"
        )

    def close(self):
        """Free what the simulator holds; only ``data``, times and numbers of steps stay."""
        if self.closed:
            return
        self._final_steps = self.n_steps
        self.closed = True
        self._keras_model = None
        self._runtime.close()

    def _check_open(self, what):
        if self.closed:
            raise SimulatorClosed(f"Cannot use {what}: the simulator is closed")

    def _live(self, signal):
        if self.closed:
            warnings.warn(
                "The simulator is closed; parameters have the values with which they were built",
                UserWarning,
                stacklevel=4,
            )
            return None
        return self._runtime.live(signal)

    @contextlib.contextmanager
    def _scope(self):
        """Keras precision and TensorFlow device of this simulator."""
        import tensorflow as tf

        with precision(self._dtype), tf.device(self.device):
            yield

    def __enter__(self):
        if self.closed:
            raise SimulatorClosed("Cannot re-open: the simulator is closed")
        self._contexts = contextlib.ExitStack()
        self._contexts.enter_context(self._scope())
        return self

    def __exit__(self, *exc_info):
        self._contexts.close()
        self.close()

    def __del__(self):
        if not getattr(self, "closed", True):
            warnings.warn(
                f"Simulator of {self.model} was deallocated while open; close simulators, or use"
                " them in a `with` block, to free what they hold",
                OpenSimulatorWarning,
                stacklevel=2,
            )
            self.close()

    def __reduce_ex__(self, protocol):
        raise NotImplementedError(
            "a Simulator can't be pickled or copied; make a new one"
        )


def _positive(name, value):
    if (
        isinstance(value, (int, np.integer))
        and not isinstance(value, bool)
        and value > 0
    ):
        return int(value)
    raise ValidationError(f"must be an integer above 0, got {value!r}", attr=name)


def _device(device):
    """Check a device string as TensorFlow does."""
    if device is not None:
        import tensorflow as tf

        tf.DeviceSpec.from_string(device)
    return device


@contextlib.contextmanager
def _nengo_precision(dtype):
    """Let Nengo's builder work in a precision, and put back what was set."""
    with _precision_lock:
        before = rc.get("precision", "bits")
        rc.set("precision", "bits", dtype[-2:])
        try:
            yield
        finally:
            rc.set("precision", "bits", before)
