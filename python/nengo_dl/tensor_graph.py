"""The Keras layer around the op: it runs all steps of a minibatch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

from nengo_dl.keras_private import check_keras

check_keras()

import keras  # noqa: E402
import tensorflow as tf  # noqa: E402

from nengo_dl.layer import serialised  # noqa: E402
from nengo_dl.layer.direct_run import DirectRun  # noqa: E402
from nengo_dl.layer.keras_model import FixedForInference  # noqa: E402
from nengo_dl.layer.keras_model import build_keras_model as build_keras_model  # noqa: E402
from nengo_dl.layer.layer_state import (  # noqa: E402
    LayerState,
    expect_length,
    port_names,
    shapes_of,
    unique_names,
)
from nengo_dl.layer.pieces import PieceRun, ops_of  # noqa: E402
from nengo_dl.layer.rows import filled_up  # noqa: E402
from nengo_dl.layer.tensor_layers import TensorLayers  # noqa: E402
from nengo_dl.layer.tf_ops import GraphResult  # noqa: E402
from nengo_dl.layer.traced_run import TracedRun  # noqa: E402
from nengo_dl.layer.updates import merged_updates as merged_updates  # noqa: E402
from nengo_dl.layer.windows import most_at_once  # noqa: E402

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from nengo_dl.plan.pieces import Plan

TAPE_MEMORY = 1 << 30  # bytes


@keras.saving.register_keras_serializable("nengo_dl")
class TensorGraph(FixedForInference, LayerState):
    """A planned Nengo model as a Keras layer.

    Its weights and state are described in `nengo_dl.layer.layer_state.LayerState`.

    Parameters
    ----------
    plan : nengo_dl.plan.Plan
        What to run, and the numbers it starts from; of its pieces with a training mode, the
        training forms have the same parameters, state, inputs and outputs.
    minibatch_size : int
        Items per minibatch (B below).
    param_values : list of array_like, optional
        Values of the parameters instead of the plan's: shape (size,) or that of the weight, or
        (B, size) if learned; they are not copied, and not written to.
    state, istate : array_like, optional
        State to start from instead of the plan's, shape (size,) or (B, size); one for each piece
        if there are several.
    trainable_params : list of bool, optional
        For each parameter, whether its weight is trainable; by default as the plan says.
    keep_history : bool or list of bool
        Whether outputs hold every step or only the last one, for all outputs or each of them.
    output_shapes : list of tuple, optional
        Shape of each output in one step. The default is ``(size,)``.
    input_names, output_names : list of str, optional
        Names in the Keras model instead of those in the program.
    input_keys : list, optional
        Keys of the dictionary that `.build_inputs` makes (Nodes). The names by default.
    call_names : list of str, optional
        Names for the calls of TensorFlow, which weights of layers go by; those of the plan by
        default.
    callbacks : int
        Handle of the table of Python functions, -1 if there are none.
    threads : int
        Most threads to use; 0 for as many as TensorFlow uses inside one op.
    learning_phase : bool, optional
        Whether every run is in training mode (True) or none is (False), whatever Keras says.
    tape_memory : int, optional
        Most bytes of values that a run in training mode records for its gradient; what has no
        room is computed again. The default is 1 GiB.
    stateful : bool
        Whether a call writes the state back; see `.LayerState.stateful`. The layers of simulators
        do not.

    Attributes
    ----------
    called : `.layer.tensor_layers.TensorLayers`
        The Keras layers that the model calls, and their weights.
    base_params : list of keras.Variable or tf.Variable
        One per parameter of the plan, in its order: a weight, or a constant as a plain variable.
    saved_state : dict of tf.Variable
        ``state`` (B, state_size), ``istate`` (B, istate_size) and ``n_steps`` (); those of further
        pieces are called ``state_1``, ``istate_1`` and so on.
    initial_values : dict of arrays
        What `.reset` goes back to.
    direct : `.layer.direct_run.DirectRun` or None
        Runs the model without TensorFlow, if it calls none and is on the CPU.
    most_at_once : float
        Most steps that are run without windows (`.layer.windows`), where that is known.
    last_run : object
        Of the last `.run_eager`: ``error``, what stopped it or empty.
    """

    def __init__(
        self,
        plan: Plan,
        minibatch_size: int = 1,
        param_values: Sequence[ArrayLike] | None = None,
        state: ArrayLike | None = None,
        istate: ArrayLike | None = None,
        trainable_params: Sequence[bool] | None = None,
        keep_history: bool | Sequence[bool] = True,
        output_shapes: Sequence[tuple[int, ...]] | None = None,
        input_names: Sequence[str] | None = None,
        output_names: Sequence[str] | None = None,
        input_keys: Sequence[Any] | None = None,
        call_names: Sequence[str] | None = None,
        callbacks: int = -1,
        threads: int = 0,
        learning_phase: bool | None = None,
        tape_memory: int | None = None,
        stateful: bool = True,
        name: str = "TensorGraph",
    ) -> None:
        super().__init__(plan, minibatch_size, param_values, state, istate, trainable_params, name)
        self.stateful, self.fixed = stateful, plan.inference_only
        self.supports_jit = False  # XLA can't compile a custom op
        self.input_names = port_names("input_names", input_names, plan.inputs)
        self.output_names = port_names("output_names", output_names, plan.outputs)
        # tuples, which Keras does not wrap: nodes are not to be tracked
        self.input_keys = tuple(self.input_names if input_keys is None else input_keys)
        expect_length("input_keys", self.input_keys, plan.inputs)
        if isinstance(keep_history, (bool, np.bool_)):
            keep_history = [bool(keep_history)] * len(plan.outputs)
        expect_length("keep_history", keep_history, plan.outputs)
        self.keep_history = tuple(bool(keep) for keep in keep_history)
        self.output_shapes = shapes_of(output_shapes, plan.outputs)
        # a plain object: an attribute of a Keras layer takes 10 us to set
        self.last_run = SimpleNamespace(error="")

        self.threads = threads
        self.tape_memory = TAPE_MEMORY if tape_memory is None else tape_memory
        settings = (self.keep_history, callbacks, threads, self.tape_memory, self.on_gpu)
        self.run_ops = ops_of(plan, [run.program for run in plan.runs], *settings)
        self.training_ops = None
        if plan.trains:
            forms = [run.training_form() for run in plan.runs]
            self.training_ops = ops_of(plan, forms, *settings)
        if learning_phase and self.training_ops is None:
            raise ValueError(
                "learning_phase=True: this model is for inference only, it has no training mode"
            )
        self.learning_phase = self._pinned_phase = learning_phase
        # the engine works in the memory of variables, which must be where it runs
        self.direct = DirectRun(self) if plan.single and self._on_cpu() else None
        self.most_at_once = most_at_once(plan, minibatch_size)
        self._traced = TracedRun(self)
        self.called = TensorLayers(plan, minibatch_size, call_names)
        self.called_layers = self.called.layers  # where Keras looks for their weights
        self._track(self.called.weights)
        self.built = True

    # ------------------------------------------------------------ running

    def in_training(self, training: bool | None = None) -> bool:
        """Whether a run is in training mode, if Keras asks for ``training`` (None: it does not)."""
        if self.learning_phase is not None:
            return bool(self.learning_phase)
        return bool(training) and self.training_ops is not None

    def calls_in_training(self, training: bool | None = None) -> bool:
        """The same for the Keras layers that the model calls: what they ask and nobody else."""
        if self._pinned_phase is not None:
            return bool(self._pinned_phase)
        return bool(training) and self.training_ops is not None

    def run_graph(
        self,
        inputs: Sequence[Any],
        n_steps: Any,
        stateful: Any,
        time_limit: float = 0.0,
        partial: bool = False,
        training: bool | None = None,
        items: Any = None,
    ) -> GraphResult:
        """Run the pieces on the layer's variables and write back what has to live on.

        Learned parameters are always written, state only if ``stateful``, a bool or a bool tensor.
        If ``training`` asks for it, what the gradient needs is recorded; without it (None) nothing
        is, and a gradient runs all steps again. A plan of several pieces does all steps or raises.
        Only the first ``items`` rows of a minibatch are written back, all of them by default.

        Returns
        -------
        GraphResult
        """
        in_training = self.in_training(training)
        ops = (in_training and self.training_ops) or self.run_ops
        record = bool(training) and self.training_ops is not None  # learning_phase=False, too
        calls_in_training, limits = self.calls_in_training(training), (time_limit, partial)
        run = PieceRun(self, ops, n_steps, calls_in_training, record, *limits, items)
        outputs = run(list(inputs))
        run.save(stateful)
        return GraphResult(outputs, run.steps, run.error, run.results, run.losses)

    @tf.autograph.experimental.do_not_convert
    def call(self, inputs: Sequence[Any], training: bool | None = None) -> list[Any]:
        """Run all steps of a minibatch.

        It may have fewer items than B. Then it is filled up with copies of the last one, of which
        nothing stays.

        Parameters
        ----------
        inputs : list of tensors
            Rows of each model input, shape (items, n_steps, size), and the number of steps,
            shape (items, 1) int32.
        training : bool, optional
            Whether to run in training mode: the training form of the program, and what the
            gradient needs is recorded.

        Returns
        -------
        list of tensors
            Each output, shape (items, n_steps or 1, ...), and the steps that were done, (items,)
            int32.
        """
        *rows, n_steps = inputs
        rows, items = filled_up(rows, n_steps, self.minibatch_size)
        n_steps = tf.cast(tf.reshape(n_steps, (-1,))[0], tf.int64)
        result = self.run_graph(rows, n_steps, self.keeps_state(), training=training, items=items)
        outputs = [
            value if len(shape) == 1 else self._reshaped(value, shape)
            for value, shape in zip(result.outputs, self.output_shapes, strict=True)
        ]
        for loss in result.losses:
            self.add_loss(loss)
        outputs.append(tf.fill((self.minibatch_size,), tf.cast(result.steps, tf.int32)))
        return outputs if items is None else [value[:items] for value in outputs]

    def _reshaped(self, value: Any, shape: tuple[int, ...]) -> Any:
        reshaped = tf.reshape(value, (self.minibatch_size, tf.shape(value)[1], *shape))
        return tf.ensure_shape(reshaped, (self.minibatch_size, value.shape[1], *shape))

    def run_eager(
        self,
        inputs: Sequence[Any],
        n_steps: int,
        stateful: bool = True,
        time_limit: float = 0.0,
        kept_steps: Callable[[int, int], Sequence[np.ndarray | None]] | None = None,
    ) -> tuple[list[np.ndarray], int]:
        """Run steps at once, without Keras: the short way for `.Simulator.run_steps`.

        Parameters
        ----------
        inputs : list of array_like, shape (B, n_steps, size)
            Rows of each model input.
        n_steps : int
            Steps to do.
        stateful : bool
            Whether state is written back.
        time_limit : float
            Stop at the next window border after this many seconds; 0 for no limit.
        kept_steps : callable, optional
            ``kept_steps(first_step, n_steps)`` returns for each output which of the steps after
            ``first_step`` ones have rows, in order and counted from 0; None: as it is otherwise.

        Returns
        -------
        outputs : list of ndarray, shape (B, steps or rows or 1, ...)
            Read-only.
        steps : int
            Steps that were done: fewer than ``n_steps`` if time was up or a callback failed; then
            ``last_run.error`` holds what it said.
        """
        direct = self.direct if stateful else None
        kept = kept_steps(self.n_steps, n_steps) if kept_steps else None
        sampled = kept if direct is not None and direct.samples else None
        if direct is not None:
            values, _, steps, message = direct(inputs, n_steps, time_limit, sampled)
        else:
            values, steps, message = self._run_tensors(inputs, n_steps, stateful, time_limit)
        self.last_run.error = message
        outputs = []
        for i, (array, shape) in enumerate(zip(values, self.output_shapes, strict=False)):
            chosen = kept[i] if kept else None
            if chosen is not None and not sampled:
                array = array[:, chosen]
            rows = steps if chosen is None else np.searchsorted(chosen, steps)
            if self.keep_history[i] and rows < array.shape[1]:
                array = array[:, :rows].copy()  # not a view of what was made for all steps
            if len(shape) != 1:
                array = array.reshape((*array.shape[:2], *shape))
            array.setflags(write=False)
            outputs.append(array)
        return outputs, steps

    def _run_tensors(
        self, inputs: Sequence[Any], n_steps: int, stateful: bool, time_limit: float
    ) -> tuple[Sequence[np.ndarray], int, str]:
        tensors = [tf.constant(rows, self.plan.dtype) for rows in inputs]
        if self.plan.calls:
            values, steps, message = self._traced(tensors, n_steps, stateful)
        else:
            result = self.run_graph(tensors, n_steps, stateful, time_limit, partial=True)
            values, steps = result.outputs, int(result.steps)
            message = "" if steps == n_steps else result.error.numpy().tobytes().decode()
        # they share the tensors' memory
        return [np.asarray(memoryview(value)) for value in values], steps, message

    @property
    def n_steps(self) -> int:
        """int : Steps done, as saved."""
        return super().n_steps if self.direct is None else self.direct.steps_done

    def reset(self, state: bool = True, params: bool = False) -> None:
        """Go back to the initial state, and, if asked for, to the initial parameters."""
        super().reset(state, params)
        if params:
            self.called.reset()

    # ------------------------------------------------------------ Keras

    def get_config(self) -> dict[str, Any]:
        """All that `from_config` needs, for files of Keras models.

        Raises
        ------
        nengo.exceptions.ValidationError
            If the model calls Python functions or shares layers in a way that can't be written.
        """
        return serialised.to_config(self)

    def refuse_unsavable(self) -> None:
        """Raise as `get_config` does if the model can't be saved as a whole."""
        serialised.called_as_data(self.plan)

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> TensorGraph:
        """Make a layer from `get_config`."""
        return cls(**serialised.from_config(config))

    def compute_output_spec(self, inputs: Sequence[Any], training: bool | None = None) -> list[Any]:
        """Shapes and dtypes of `.call`, without tracing it."""
        *rows, _ = inputs
        steps = rows[0].shape[1] if rows else None
        specs = [
            keras.KerasTensor((self.minibatch_size, steps if keep else 1, *shape), self.dtype)
            for shape, keep in zip(self.output_shapes, self.keep_history, strict=True)
        ]
        return [*specs, keras.KerasTensor((self.minibatch_size,), "int32")]

    def build_inputs(self) -> tuple[dict[Any, Any], Any]:
        """Keras inputs to call this layer on.

        Returns
        -------
        inputs : dict
            For each of ``input_keys``, an input of shape (B, None, size).
        n_steps : keras.KerasTensor
            Number of steps, shape (B, 1) int32.
        """
        # Keras wants the layers of a model to have names of their own, inputs being layers
        _, *names, last = unique_names([self.name, *self.input_names, "n_steps"])
        inputs = {
            key: keras.Input(
                batch_shape=(self.minibatch_size, None, port.size),
                dtype=self.dtype,
                name=name,
            )
            for key, name, port in zip(self.input_keys, names, self.plan.inputs, strict=True)
        }
        n_steps = keras.Input(batch_shape=(self.minibatch_size, 1), dtype="int32", name=last)
        return inputs, n_steps
