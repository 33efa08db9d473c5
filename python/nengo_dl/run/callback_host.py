"""Python functions behind the callback ops of a program: Nengo's own steps of its operators."""

import copy

import numpy as np
from nengo.builder.operator import SimPyFunc
from nengo.builder.signal import SignalDict
from nengo.exceptions import SimulationError
from nengo.utils.functions import function_name

from .. import _engine
from ..plan.lower import callback_name
from .inputs import Source
from .randomness import item_generator
from .user_errors import user_error


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
            # of what is sparse Nengo's own form makes what is worked with; others are that
            made = data.allocate if hasattr(data, "allocate") else data.copy
            array = made() if signal.sparse else np.array(data)
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
        self.results = [*self.outs, *self.states]

    def __call__(self, time, ins, outs):
        """Run one step: copy inputs and states in, outputs and states out."""
        self.time_array[...] = time
        if ins:
            for array, value in zip(self.ins, ins, strict=True):
                array[...] = value
        if self.states:
            for array, value in zip(self.states, outs[len(self.outs) :], strict=True):
                array[...] = value
        self.step()
        self.put(outs)

    def put(self, outs):
        """Copy outputs and states out."""
        for target, array in zip(outs, self.results, strict=True):
            target[...] = array


class Returned:
    """Stands in a step of Nengo's for a function that was called before, and returns what it did.

    Parameters
    ----------
    function : callable
        The function.
    """

    def __init__(self, function):
        self.__name__ = function_name(function)
        self.value = None

    def take(self, value):
        """Say what the function has returned."""
        self.value = value

    def __call__(self, *args):
        value, self.value = self.value, None
        return value


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
    guard : nengo_dl.run.turns.UserCode
        Entered around every call of Python code.
    """

    def __init__(self, specs, minibatch_size, dt, time, guard):
        self.specs = list(specs)
        self.guard = guard
        self.items = [
            [Callback(spec, dt, time) for spec in self.specs] for _ in range(minibatch_size)
        ]
        functions = [node_function(spec.op) for spec in self.specs]
        self.returned = [None if op is None else Returned(op.fn) for op in functions]

    def rng_users(self, item):
        """Return ``{operator of the model: f(op, rng)}`` that make the steps of one item."""

        def user(spec, callback, returned):
            op = spec.op if returned is None else _with_function(spec.op, returned)
            return lambda _, rng: callback.build(_for_item(op, item), rng)

        return {
            getattr(spec.op, "stands_for", spec.op): user(spec, callback, returned)
            for spec, callback, returned in zip(
                self.specs, self.items[item], self.returned, strict=True
            )
        }

    def functions(self):
        """Return what the engine calls for each callback of the program, see `add_callbacks`.

        That is a function ``f(item, time, ins, outs)``, or what stands for the function of a Node.
        """
        return [
            self._function(index) if returned is None else self._node_function(index, returned)
            for index, returned in enumerate(self.returned)
        ]

    def _node_function(self, index, returned):
        """The function of a Node: the engine does what Nengo's step does.

        Nengo's own step sorts out values of unusual types, and says what is wrong with them.
        """
        op, function = self.specs[index].op, node_function(self.specs[index].op)

        def failed(error):
            if isinstance(error, SimulationError) or not isinstance(error, Exception):
                return error
            raised = user_error(_raised(error, op), error)
            raised.__cause__ = error
            return raised

        return _engine.NodeFunction(
            function.fn,
            with_time=function.t is not None,
            with_input=function.x is not None,
            user_code=self.guard.native,
            given=op.flag if isinstance(op, Source) else bytearray(1),
            step=self._function(index),
            returned=returned.take,
            failed=failed,
        )

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
                with guard:
                    callbacks[item](time, ins, outs)
            except SimulationError as e:
                if _is_of_the_step(e, op):
                    raise SimulationError(_misfit(e, op)) from e
                raise
            except Exception as e:
                raise user_error(_raised(e, op), e) from e

        return call


def add_table(host):
    """Register the functions of a `CallbackHost` with the engine; returns -1 if there are none."""
    return _engine.add_callbacks(host.functions()) if host.specs else -1


def remove_table(table):
    """Forget a table of functions."""
    if table >= 0:
        _engine.remove_callbacks(table)
    return -1


def node_function(op):
    """The operator of Nengo's that does no more than to call a function; None if it is another."""
    op = op.stands_for if isinstance(op, Source) else op
    return op if type(op) is SimPyFunc else None


def _with_function(op, function):
    """A copy of an operator, with another function."""
    op = copy.copy(op)
    if isinstance(op, Source):
        op.stands_for = _with_function(op.stands_for, function)
    else:
        op.fn = function
    return op


def _for_item(op, item):
    """Copy an operator that has random generators, so that the model's own stay as they are."""
    extra = getattr(op, "state_extra", None)
    if not extra:
        return op
    op = copy.copy(op)
    op.state_extra = {name: item_generator(rng, item) for name, rng in extra.items()}
    return op


def _raised(error, op):
    """Say what an operator called that raised an error."""
    return f"{describe(op)} raised {type(error).__name__}: {error}"


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
