"""Python functions behind the callback ops of a program: Nengo's own steps of its operators."""

import copy

import numpy as np
from nengo.builder.operator import SimPyFunc
from nengo.builder.signal import SignalDict
from nengo.exceptions import SimulationError

from ..plan.lower import callback_name
from .randomness import item_generator


class ItemSignals(SignalDict):
    """Signals of one operator and one item: writable copies, views resolved against their base.

    Parameters
    ----------
    time : nengo.builder.Signal
        The signal of the time, which is exact also where the model is in single precision.
    """

    def __init__(self, time):
        super().__init__()
        self.time = time
        dict.__setitem__(self, time, np.zeros((), np.float64))

    def init(self, signal):
        """Allocate a signal with its initial value."""
        data = signal.initial_value
        if not signal.is_view:
            array = data.allocate() if signal.sparse else np.array(data)
            dict.__setitem__(self, signal, array)
            return
        if signal.base not in self:
            self.init(signal.base)
        view = np.ndarray(
            shape=signal.shape,
            strides=signal.strides,
            offset=signal.offset,
            dtype=signal.dtype,
            buffer=self[signal.base].data,
        )
        dict.__setitem__(self, signal, view)


class Callback:
    """One operator that runs in Python for one item of the minibatch.

    Parameters
    ----------
    spec : nengo_dl.plan.CallbackSpec
        The operator and which of its signals are inputs, outputs and states.
    dt : float
        Length of a step.
    time : nengo.builder.Signal
        The signal of the time, which the engine hands over as a number.
    """

    def __init__(self, spec, dt, time):
        self.spec, self.dt, self.time = spec, dt, time
        self.step = None

    def build(self, op, rng):
        """Make the step function anew, as `nengo.Simulator` does when it resets."""
        signals = ItemSignals(self.time)
        self.time_array = signals[self.time]
        op.init_signals(signals)
        self.step = op.make_step(signals, self.dt, rng)
        self.ins = [signals[signal] for signal in self.spec.ins]
        self.outs = [signals[signal] for signal in self.spec.outs]
        self.states = [signals[signal] for signal in self.spec.states]

    def __call__(self, time, ins, outs):
        """Run one step: copy inputs and states in, outputs and states out."""
        self.time_array[...] = time
        for array, value in zip(self.ins, ins, strict=True):
            array[...] = value
        n_outs = len(self.outs)
        for array, value in zip(self.states, outs[n_outs:], strict=True):
            array[...] = value
        self.step()
        self.put(outs)

    def put(self, outs):
        """Copy outputs and states out."""
        for target, array in zip(outs, (*self.outs, *self.states), strict=True):
            target[...] = array


class CallbackHost:
    """All callbacks of a program, for all items of the minibatch.

    Parameters
    ----------
    specs : list of nengo_dl.plan.CallbackSpec
        The plan's table of callbacks, in the order of the program's ``index``.
    minibatch_size : int
        Number of items.
    dt : float
        Length of a step.
    time : nengo.builder.Signal
        The model's time signal.
    guard : contextmanager
        Entered around every call of Python code, see `nengo_dl.run.interrupt.Interrupt`.
    """

    def __init__(self, specs, minibatch_size, dt, time, guard):
        self.specs = list(specs)
        self.guard = guard
        self.items = [
            [Callback(spec, dt, time) for spec in self.specs] for _ in range(minibatch_size)
        ]

    def rng_users(self, item):
        """Return ``{operator of the model: f(op, rng)}`` that make the steps of one item."""

        def user(spec, callback):
            return lambda _, rng: callback.build(_for_item(spec.op, item), rng)

        return {
            getattr(spec.op, "stands_for", spec.op): user(spec, callback)
            for spec, callback in zip(self.specs, self.items[item], strict=True)
        }

    def functions(self):
        """Return one function ``f(item, time, ins, outs)`` per callback of the program."""
        return [self._function(index) for index in range(len(self.specs))]

    def _function(self, index):
        op = self.specs[index].op
        callbacks = [item[index] for item in self.items]
        guard = self.guard
        # a function of the time alone is called once per step, whatever the minibatch
        always_once = isinstance(op, SimPyFunc) and op.x is None

        def call(item, time, ins, outs):
            if item and (always_once or getattr(op, "once_per_step", False)):
                callbacks[0].put(outs)
                return
            try:
                with guard, np.errstate(invalid="raise", divide="ignore"):
                    callbacks[item](time, ins, outs)
            except SimulationError as e:
                if _is_of_the_step(e, op):
                    raise SimulationError(_misfit(e, op)) from e
                raise
            except Exception as e:
                raise SimulationError(f"{describe(op)} raised {type(e).__name__}: {e}") from e

        return call


def _for_item(op, item):
    """Copy an operator that has random generators, so that the model's own stay as they are."""
    extra = getattr(op, "state_extra", None)
    if not extra:
        return op
    op = copy.copy(op)
    op.state_extra = {name: item_generator(rng, item) for name, rng in extra.items()}
    return op


def _is_of_the_step(error, op):
    """Whether an error is about what a function returned, not one that the function raised."""
    traceback = error.__traceback__
    while traceback.tb_next is not None:
        traceback = traceback.tb_next
    module = traceback.tb_frame.f_globals.get("__name__")
    return module == SimPyFunc.__module__ and getattr(op, "output", None) is not None


def _misfit(error, op):
    """Say of which Node a value is that doesn't fit, and what does; Nengo's message has the value.

    Nengo speaks of its type also where its shape is wrong.
    """
    size, cause = op.output.size, error.__cause__
    why = "" if cause is None else f": {cause}"
    return f"{describe(op)}: expected {size} finite numbers. {error}{why}"


def describe(op):
    """Name what an operator calls, for messages."""
    name = callback_name(op)
    return name[0].upper() + name[1:]
