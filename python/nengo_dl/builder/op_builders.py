"""TensorFlow code for operators in the form of NengoDL: classes that gather and scatter signals."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from nengo.builder import Operator, Signal
from nengo.builder.neurons import SimNeurons
from nengo.exceptions import BuildError

from ..ir.calls import TensorCall
from ..ir.given import Simulation
from ..ir.lowering import TENSOR_CODE, TENSOR_TABLES, Context, describe
from .tensor_code import warn_if_known


@dataclass
class BuildConfig:
    """What `OpBuilder.build_pre` is told of the simulation.

    Attributes
    ----------
    inference_only, lif_smoothing
        Settings, see `nengo_dl.configure_settings`.
    cpu_only : bool
        Always True: the code is made for the CPU.
    rng : numpy.random.RandomState
        Generator that begins with the simulator's seed; all operators of a simulator share it.
    training : bool
        Whether `OpBuilder.build_step` is called for training mode. It is called for both modes,
        and this changes with them: it tells nothing in `OpBuilder.build_pre`.
    """

    inference_only: bool = False
    lif_smoothing: float | None = None
    cpu_only: bool = True
    rng: np.random.RandomState | None = None
    training: bool = False

    @classmethod
    def of(cls, simulation: Simulation) -> BuildConfig:
        """Return what there is to say of a simulation."""
        return cls(simulation.inference_only, simulation.lif_smoothing, rng=simulation.rng)


@dataclass(frozen=True)
class TensorSignal:
    """Values of signals of one operator, or of several one after the other, for `SignalDict`."""

    signals: tuple[Signal, ...]
    index: Any = None  # of what was asked for, along the first axis
    new_shape: tuple[int, ...] | None = None
    minibatched: bool = True

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of an item."""
        if self.new_shape is not None:
            return self.new_shape
        first = self.signals[0].shape or (1,)
        rows = np.arange(sum((s.shape or (1,))[0] for s in self.signals))
        return (len(rows if self.index is None else np.atleast_1d(rows[self.index])), *first[1:])

    @property
    def full_shape(self) -> tuple[int | None, ...]:
        """Shape with the minibatch."""
        return (None, *self.shape)

    def reshape(self, shape: Sequence[int]) -> TensorSignal:
        """Return the same values in another shape."""
        return replace(self, new_shape=tuple(np.empty(self.shape).reshape(shape).shape))

    def __getitem__(self, index: Any) -> TensorSignal:
        """Return some of the values along the first axis."""
        rows = np.arange(self.shape[0])
        before = rows if self.index is None else np.atleast_1d(rows[self.index])
        return replace(self, index=before[index])


class SignalDict:
    """Values of an operator's signals: tensors whose first axis is the minibatch.

    Attributes
    ----------
    dt, dt_val : tensor, float
        Length of a step in seconds.
    one, zero : tensor
        Scalars.
    dtype : tf.DType
        Precision.
    minibatch_size : int
        Items per minibatch of the simulator.
    """

    def __init__(self, dt: float, dtype: str, minibatch_size: int, values: dict) -> None:
        import tensorflow as tf

        self.dt_val, self.minibatch_size = dt, minibatch_size
        self.dtype = tf.as_dtype(dtype)
        with tf.init_scope():  # constants that NumPy understands, too
            self.dt, self.one, self.zero = (tf.constant(v, dtype) for v in (dt, 1, 0))
        self._values = values  # Signal -> tensor
        self.results: dict[Signal, Any] = {}

    def combine(self, signals: Sequence[Signal]) -> TensorSignal:
        """Treat signals as one, one after the other along the first axis."""
        return TensorSignal(tuple(signals))

    def __getitem__(self, signal: Signal) -> TensorSignal:
        """What a signal is to `gather` and `scatter`."""
        return TensorSignal((signal,))

    def gather(self, signal: Signal | TensorSignal, force_copy: bool = False) -> Any:
        """Return the values of signals, (minibatch_size, \\*shape)."""
        import tensorflow as tf

        asked = signal if isinstance(signal, TensorSignal) else TensorSignal((signal,))
        parts = [self._value(one) for one in asked.signals]
        value = parts[0] if len(parts) == 1 else tf.concat(parts, axis=1)
        if asked.index is not None:
            value = tf.gather(value, np.atleast_1d(asked.index), axis=1)
        return value if asked.new_shape is None else tf.reshape(value, (-1, *asked.new_shape))

    def _value(self, signal: Signal) -> Any:
        import tensorflow as tf

        if signal in self.results:
            return self.results[signal]
        if signal not in self._values:
            raise BuildError(
                f"expected a signal that the operator reads, and a call in build_step, got {signal}"
            )
        value = self._values[signal]
        if value.shape.rank == 0:  # the time
            return tf.ones((self.minibatch_size, 1), value.dtype) * value
        return value if value.shape.rank > 1 else tf.reshape(value, (-1, 1))

    def scatter(self, signal: Signal | TensorSignal, value: Any, mode: str = "update") -> None:
        """Give signals their values, or say by what they grow (``mode="inc"``)."""
        import tensorflow as tf

        asked = signal if isinstance(signal, TensorSignal) else TensorSignal((signal,))
        if asked.index is not None:
            raise BuildError("expected whole signals to be set, got some of their elements")
        value = tf.convert_to_tensor(value)
        if value.dtype != self.dtype:
            raise BuildError(f"expected values of {self.dtype.name}, got {value.dtype.name}")
        sizes = [one.size for one in asked.signals]
        flat = tf.reshape(value, (-1, sum(sizes)))
        for one, part in zip(asked.signals, tf.split(flat, sizes, axis=1), strict=True):
            part = tf.reshape(part, (-1, *(one.shape or (1,))))
            known = self.results.get(one) if mode == "inc" else None
            self.results[one] = part if known is None else known + part

    def op_constant(
        self, ops: Sequence, op_sizes: Sequence[int], attr: str, dtype: Any, shape: Any = (1, -1)
    ) -> Any:
        """Return an attribute of objects as a tensor, repeated for each of their elements.

        It is a scalar if the attribute is a number that all of them share, as with NengoDL.
        """
        import tensorflow as tf

        given = [getattr(op, attr) for op in ops]
        if given and all(np.ndim(value) == 0 and value == given[0] for value in given):
            return tf.constant(given[0], dtype)
        values = [np.repeat(value, n) for value, n in zip(given, op_sizes, strict=True)]
        return tf.reshape(tf.constant(np.concatenate(values), dtype), shape)


class OpBuilder:
    """Base of TensorFlow code for an operator.

    Parameters
    ----------
    ops : list of nengo.builder.Operator
        The operators; here always one.
    """

    def __init__(self, ops: list[Operator]) -> None:
        self.ops = ops

    def build_pre(self, signals: SignalDict, config: BuildConfig) -> None:
        """Prepare what `build_step` needs, variables too: called once per simulator.

        Parameters
        ----------
        signals : SignalDict
            Signals, which have no values yet.
        config : BuildConfig
            What there is to know of the simulation.
        """
        self.config = config

    def build_step(self, signals: SignalDict) -> Any:
        """Gather what the operators read, and scatter what they write, in a step.

        TensorFlow traces it several times, for each mode and number of steps. What it returns is
        not used: TensorFlow runs everything with side effects.

        Parameters
        ----------
        signals : SignalDict
            Signals with their values.
        """
        raise NotImplementedError("expected a class that overrides build_step")

    def build_post(self, signals: SignalDict) -> None:
        """Do what is left: called after the simulator is built, and whenever it is reset.

        Parameters
        ----------
        signals : SignalDict
            Signals, which have no values now.
        """

    @staticmethod
    def mergeable(x: Operator, y: Operator) -> bool:
        """Whether operators may be built together; they are not, whatever this says."""
        return False


class Builder:
    """Where classes of `OpBuilder` are registered.

    Attributes
    ----------
    builders : dict
        Operator class -> builder class, looked up whenever a simulator is made. What
        `nengo_dl.builder.tensorflow` says of a class goes first.
    """

    builders: dict[type, type] = {}  # noqa: RUF012  as NengoDL's

    @classmethod
    def register(cls, nengo_op: type) -> Callable[[type], type]:
        """Register a builder for operators of exactly a class: a decorator."""

        def register(builder: type) -> type:
            if not (isinstance(builder, type) and issubclass(builder, OpBuilder)):
                warnings.warn(
                    f"expected a subclass of OpBuilder, got {builder}", UserWarning, stacklevel=2
                )
            warn_if_known(nengo_op, stacklevel=3)
            TENSOR_CODE.pop(nengo_op, None)
            cls.builders[nengo_op] = builder
            return builder

        return register


def look_up(builder_of: Callable[[type], type | None], autograph: bool = False) -> None:
    """Let the planner ask a function for builders, by the class of an operator or neuron type."""

    def find(cls: type) -> Callable | None:
        builder = builder_of(cls)
        return None if builder is None else partial(_lower, builder, autograph)

    TENSOR_TABLES.append(find)


def _lower(builder: type, autograph: bool, op: Operator, ctx: Context) -> list:
    """Ops for an operator that a subclass of `OpBuilder` runs, which is made for it here."""
    # Nengo keeps the states of neurons in `sets`: they go on from what they were
    states = list(op.state.values()) if isinstance(op, SimNeurons) else []
    sets = [signal for signal in op.sets if signal not in states]
    reads = [signal for signal in op.reads if signal is not ctx.time]
    known, outs = [*reads, *op.updates, *states], [*sets, *op.incs, *op.updates, *states]
    # without any argument, nothing but the time says how many steps are asked for
    timed = len(reads) < len(op.reads) or not known
    made, config = builder([op]), BuildConfig.of(ctx.simulation)
    signals_of = partial(SignalDict, ctx.dt, ctx.dtype, ctx.simulation.minibatch_size)

    def func(*values: Any, training: bool) -> list:
        given = zip([ctx.time, *known] if timed else known, values, strict=True)
        config.training = training
        signals = signals_of(dict(given))
        made.build_step(signals)
        missing = [signal.name for signal in outs if signal not in signals.results]
        if missing:
            raise BuildError(f"{builder.__name__}: expected it to set {missing}, got nothing")
        found = [signals.results[signal] for signal in outs]
        return found if len(found) != 1 else found[0]

    call = TensorCall(
        func,
        f"{builder.__name__} of {describe(op)}",
        tuple(s.shape or (1,) for s in known),
        tuple(s.shape or (1,) for s in outs),
        pass_time=timed,
        takes_training=True,
        autograph=autograph,
        reset=lambda: made.build_post(signals_of({})),
    )
    ops = ctx.tensor(call, reads, sets, op.incs, op.updates, states)
    made.build_pre(signals_of({}), config)
    return ops


look_up(lambda cls: Builder.builders.get(cls))
