"""Calls of TensorFlow within a model: on all steps at once where that is the same, else on each.

A function is written for the values of one step. It may be called on all steps at once, which is
much faster, if it changes and draws nothing. Of Keras' own layers it is known that the steps may
be one minibatch for them; all else gets each step's minibatch by itself, by `tf.vectorized_map`,
if TensorFlow can make that of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from nengo.exceptions import BuildError, ValidationError

from nengo_dl.ir.calls import TensorCall
from nengo_dl.keras_private import (
    called_in_mode,
    take_losses,
    use_precision,
    with_inner_layers,
)
from nengo_dl.layer.by_rows import by_rows
from nengo_dl.layer.over_steps import over_steps
from nengo_dl.layer.traces import (
    by_elements,
    has_own_gradient,
    stateful_ops,
    without_log_of_vectorizing,
)
from nengo_dl.plan.pieces import Loop, Plan, calls_of

_MODES = (False, True)  # whether in training
SEVERAL = 2  # steps for which it is tried whether a call can be made


class CallRunner:
    """Runs one call of TensorFlow.

    Parameters
    ----------
    call : nengo_dl.ir.calls.TensorCall
        The call.
    minibatch_size : int
        Items per minibatch.
    dtype : str
        Precision of the simulation.
    dt : float
        Length of a step in seconds.
    on_cycle : bool
        Whether it is called once per step in any case.
    trains : bool
        Whether there is a training mode.

    Attributes
    ----------
    layer : keras.layers.Layer or None
        What is called, if it is a layer.
    stepwise : dict
        Whether in training (False, True) -> why it is called once per step; empty if it is called
        on all steps at once.

    Raises
    ------
    nengo.exceptions.ValidationError
        If what the call returns does not fit.
    """

    def __init__(
        self,
        call: TensorCall,
        minibatch_size: int,
        dtype: str,
        dt: float,
        on_cycle: bool,
        trains: bool,
    ) -> None:
        self.call, self.minibatch_size, self.dt = call, minibatch_size, dt
        self.dtype = tf.as_dtype(dtype)
        self.layer = call.func if isinstance(call.func, keras.layers.Layer) else None
        if self.layer is None:  # a trace for each mode, which layers that it calls are in
            self._func = [tf.function(call.func, autograph=call.autograph) for _ in _MODES]
        elif not self.layer.built:
            self._build()
        self._trains, self._on_cycle = trains, on_cycle
        self._decide()

    def _decide(self):
        """How it is called in each mode, as the layers are now."""
        self._one_minibatch, self.stepwise, self._back_by_step = {}, {}, {}  # by mode
        self._eagerly: dict[bool, Any] = {}  # by mode, too: what eager calls have made
        self._decided_for = self._settings()
        for mode in _MODES[: 1 + self._trains]:
            traced = self._traced(mode)  # also where nothing is to be decided: results are checked
            rows = by_elements(traced.graph) if self.layer is None else by_rows(self.layer)
            self._one_minibatch[mode] = rows and not self.call.pass_time
            self._back_by_step[mode] = ""
            n_losses = 0 if self.layer is None else len(take_losses(self.layer))
            if self._on_cycle:
                self.stepwise[mode] = "it is on a cycle"
            elif n_losses:
                self.stepwise[mode] = f"it adds losses ({n_losses})"
            else:
                self.stepwise[mode] = self._reason(traced, mode)

    def _settings(self):
        """Of layers, what users may change afterwards and the decision depends on."""
        inner = [] if self.layer is None else with_inner_layers(self.layer)
        return [(x.trainable, getattr(x, "activity_regularizer", None) is None) for x in inner]

    def modes(self) -> tuple[str, ...]:
        """How it is called, for people: a line, or one for each mode if they differ."""
        texts = {}
        for mode, why in self.stepwise.items():
            steps = f"steps{' and items' if self._one_minibatch[mode] else ''}"
            back = self._back_by_step[mode]
            texts[mode] = (
                f"called once per step: {why}" if why else f"called on all {steps} at once"
            ) + (f", for gradients once per step: {back}" if back else "")
        if len(set(texts.values())) == 1:
            return (texts[False],)
        return texts[False], f"in training {texts[True]}"

    def _build(self) -> None:
        """Build the layer, in the precision of the simulation unless it has a mixed one."""
        use_precision(self.layer, self.dtype.name)
        specs = [keras.KerasTensor(spec.shape, spec.dtype.name) for spec in self._specs()]
        self.layer(specs[0] if len(specs) == 1 else specs)

    def _specs(self) -> list[tf.TensorSpec]:
        time = [tf.TensorSpec((), self.dtype)] if self.call.pass_time else []
        shapes = [(self.minibatch_size, *shape) for shape in self.call.ins]
        return time + [tf.TensorSpec(shape, self.dtype) for shape in shapes]

    # ------------------------------------------------------------ one step

    def one_step(
        self, time: Any, values: Sequence[Any], training: bool, items: Any = None
    ) -> list[Any]:
        """Call the function once.

        Parameters
        ----------
        time : tensor
            Of the step, (); not used unless the function wants it.
        values : list of tensors, shape (items, \\*shape)
            Its arguments.
        training : bool
            Whether in training mode.
        items : int or tensor, optional
            How many of the items count; all by default. A layer, which takes any number of items,
            gets no others, unless it is known that they make no difference to it.

        Returns
        -------
        list of tensors, shape (items, size)
        """
        alone = items is not None and self.layer is not None
        alone = alone and bool(self.stepwise[training] or not self._one_minibatch[training])
        if alone:
            values = [value[:items] for value in values]
        found = [
            tf.reshape(value, (-1, _size(value))) for value in self._called(time, values, training)
        ]
        if alone:
            rows = tf.minimum(tf.range(self.minibatch_size), items - 1)
            found = [tf.gather(value, rows) for value in found]
        return found

    def _called(self, time, values, training):
        args = [time, *values] if self.call.pass_time else list(values)
        with called_in_mode(training):
            if self.layer is None:
                given = {"training": training} if self.call.takes_training else {}
                found = self._func[training](*args, **given)
            else:
                found = self.layer(args[0] if len(args) == 1 else args, training=training)
        outs = self.call.outs
        found = list(found) if len(outs) != 1 and isinstance(found, (list, tuple)) else [found]
        self._expect(len(found) == len(outs), f"{len(outs)} results", f"{len(found)}")
        items = values[0].shape[0] if values else self.minibatch_size
        return [self._checked(value, items, s) for value, s in zip(found, outs, strict=True)]

    def _checked(self, value, items, shape):
        if self.layer is not None and isinstance(value, tf.Tensor) and value.dtype.is_floating:
            value = tf.cast(value, self.dtype)  # a layer has a precision of its own
        self._expect(isinstance(value, tf.Tensor), "a tensor", type(value).__name__)
        due = (items, *shape)
        what = f"a tensor of shape {due} and dtype {self.dtype.name}"
        got = f"shape {value.shape} and dtype {value.dtype.name}"
        self._expect(value.dtype == self.dtype, what, got)
        inner = value.shape[1:] if value.shape.rank else tf.TensorShape(None)
        if value.shape.rank == 0 or not inner.is_fully_defined():
            self._expect(value.shape.is_compatible_with(due), what, got)
            return tf.ensure_shape(value, due)
        # any shape of that size will do
        fits = value.shape[:1].is_compatible_with((items,)) and _size(value) == np.prod(shape)
        self._expect(fits, what, got)
        return value

    def _expect(self, fits, expected, got):
        if not fits:
            raise ValidationError(
                f"{self.call.name}: expected it to return {expected}, got {got}", attr="tensor_func"
            )

    # ------------------------------------------------------------ many steps

    def __call__(
        self,
        values: Sequence[Any],
        first_step: Any,
        n_steps: Any,
        training: bool,
        items: Any = None,
    ) -> tuple[list[Any], Any]:
        """Call the function on some steps.

        Parameters
        ----------
        values : list of tensors, shape (minibatch_size, n_steps, size)
            Its arguments.
        first_step, n_steps : int64 tensors
            Steps done before, and steps to do.
        training : bool
            Whether in training mode.
        items : int or tensor, optional
            As for `one_step`.

        Returns
        -------
        results : list of tensors, shape (minibatch_size, n_steps, size)
            What it returned.
        loss : tensor or None
            Sum of the losses that the layer added, where Keras can't find them.
        """
        if self._settings() != self._decided_for:
            with tf.init_scope():
                self._decide()
        if self.stepwise[training]:
            return self._step_by_step(values, first_step, n_steps, training, items)
        if not self._one_minibatch[training]:
            return self._by_step_at_once(values, first_step, n_steps, training, items), None
        shaped = [
            tf.reshape(value, (-1, *shape))
            for value, shape in zip(values, self.call.ins, strict=True)
        ]
        found = self.one_step(None, shaped, training)
        size = self.minibatch_size
        return [tf.reshape(value, (size, -1, value.shape[-1])) for value in found], None

    def times(self, first_step: Any, n_steps: Any) -> Any:
        """Times of some steps, (n_steps,)."""
        numbers = first_step + 1 + tf.range(n_steps, dtype=tf.int64)
        return tf.cast(tf.cast(numbers, tf.float64) * self.dt, self.dtype)

    def _rows(self, values):
        """Arguments by steps, (n_steps, minibatch_size, \\*shape)."""
        return [
            tf.reshape(tf.transpose(value, (1, 0, 2)), (-1, self.minibatch_size, *shape))
            for value, shape in zip(values, self.call.ins, strict=True)
        ]

    def _by_step_at_once(self, values, first_step, n_steps, training, items):
        if not tf.executing_eagerly():
            return self._with_gradient(values, first_step, n_steps, training, items)
        if training not in self._eagerly:  # else it would be made of the function in every call
            graph = tf.function(self._with_gradient, autograph=False, reduce_retracing=True)
            self._eagerly[training] = graph
        numbers = [tf.cast(number, tf.int64) for number in (first_step, n_steps)]
        return self._eagerly[training](list(values), *numbers, training, items)

    def _with_gradient(self, values, first_step, n_steps, training, items):
        if not self._back_by_step[training]:
            return self._vectorized(values, first_step, n_steps, training, items)

        @tf.custom_gradient
        def call(*values):
            def back(*by_results, variables=()):
                with tf.GradientTape() as tape:
                    tape.watch([*values, *variables])
                    again, _ = self._step_by_step(values, first_step, n_steps, training, items)
                found = tape.gradient(again, [*values, *variables], by_results)
                return found[: len(values)], found[len(values) :]

            return self._vectorized(values, first_step, n_steps, training, items), back

        return call(*values)

    def _vectorized(self, values, first_step, n_steps, training, items):
        elements = (self.times(first_step, n_steps), *self._rows(values))
        found = tf.vectorized_map(
            lambda args: self.one_step(args[0], args[1:], training, items), elements,
            fallback_to_while_loop=False,
        )  # fmt: skip
        sizes = [int(np.prod(shape)) for shape in self.call.outs]
        return [  # of no steps, too, of which nothing else is known
            tf.reshape(tf.transpose(value, (1, 0, 2)), (self.minibatch_size, n_steps, size))
            for value, size in zip(found, sizes, strict=True)
        ]

    def _step_by_step(self, values, first_step, n_steps, training, items):
        times, rows = self.times(first_step, n_steps), self._rows(values)

        def one_step(step, carried):
            found = self.one_step(times[step], [row[step] for row in rows], training, items)
            return found, [self.with_losses(*carried)]

        outputs, (loss,), _ = over_steps(
            n_steps,
            self.minibatch_size,
            len(self.call.outs),
            self.dtype,
            [tf.zeros((), self.dtype)],
            one_step,
        )
        return outputs, loss

    def with_losses(self, loss: Any) -> Any:
        """A sum, with the losses added that the layer left in the present call."""
        if self.layer is None:
            return loss
        return tf.add_n([loss, *(tf.cast(x, self.dtype) for x in take_losses(self.layer))])

    # ------------------------------------------------------------ may it run on all steps

    def _traced(self, training: bool) -> Any:
        """A call for one step, traced."""

        def once(*args):
            time, values = (args[0], args[1:]) if self.call.pass_time else (None, args)
            return self.one_step(time, values, training)

        try:
            return tf.function(once, autograph=False).get_concrete_function(*self._specs())
        except (ValidationError, BuildError):
            raise
        except Exception as e:
            message = f"{self.call.name} raised {type(e).__name__}: {e}"
            raise ValidationError(message, attr="tensor_func") from e

    def _reason(self, traced: Any, training: bool) -> str:
        """Why the function has to be called once per step; empty if it need not."""
        kinds = sorted(stateful_ops(traced.graph))
        if kinds:
            return f"it changes or draws something ({', '.join(kinds)})"
        self.stepwise[training] = ""
        shapes = [(self.minibatch_size, SEVERAL, int(np.prod(s))) for s in self.call.ins]
        specs = [tf.TensorSpec(shape, self.dtype) for shape in shapes]
        reason = ""
        for rows in (True, False) if self._one_minibatch[training] else (False,):
            self._one_minibatch[training] = rows
            reason = self._raises(lambda *x: self(x, 0, SEVERAL, training)[0], specs)
            if not reason:
                if self._trains and not rows:
                    self._back_by_step[training] = (
                        "it has a gradient of its own"
                        if has_own_gradient(traced.graph)
                        else self._raises(self._gradient(training), specs)
                    )
                return ""
        return reason

    def _gradient(self, training):
        def gradient(*values):
            with tf.GradientTape() as tape:
                tape.watch(values)
                found, _ = self(values, 0, SEVERAL, training)
            by_all = tape.gradient(found, [*values, *tape.watched_variables()])
            return [by_one for by_one in by_all if by_one is not None]

        return gradient

    @staticmethod
    def _raises(function, specs):
        """What kind of error comes of a call for several steps, for a reader; empty if none."""
        try:
            with without_log_of_vectorizing():
                tf.function(function, autograph=False).get_concrete_function(*specs)
        except Exception as e:  # of the function: for a single step it has just been traced
            return f"it can't be called for several steps at once ({type(e).__name__})"
        return ""


def call_runners(plan: Plan, minibatch_size: int) -> tuple[CallRunner, ...]:
    """What runs each of the calls of a plan."""
    looped = set(calls_of([piece for piece in plan.pieces if isinstance(piece, Loop)]))
    return tuple(
        CallRunner(c.call, minibatch_size, plan.dtype, plan.dt, c in looped, plan.trains)
        for c in plan.calls
    )


def _size(value: tf.Tensor) -> int:
    return int(np.prod(value.shape[1:]))
