"""Running the pieces of a plan in TensorFlow."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import tensorflow as tf

from nengo_dl.keras_private import plain_variable
from nengo_dl.layer.layer_state import read_weight
from nengo_dl.layer.over_steps import over_steps
from nengo_dl.layer.rows import write_rows
from nengo_dl.layer.tf_ops import RunOp
from nengo_dl.layer.windows import in_windows, window_of
from nengo_dl.plan.pieces import Call, Loop, Plan, Run, calls_of, fold, runs_of, state_keys

LOOPED = 1000  # a step on a cycle through TensorFlow records at most this part of the tape's memory


def ops_of(
    plan: Plan,
    programs: Sequence[Any],
    keep_history: Sequence[bool],
    callbacks: int,
    threads: int,
    tape_memory: int,
    on_gpu: bool,
) -> tuple[RunOp, ...]:
    """What runs each program of a plan; ``programs`` are those, or their training forms.

    ``on_gpu``: whether they work on tensors of TensorFlow's GPU. The other arguments are those of
    `nengo_dl.tensor_graph.TensorGraph`.
    """
    last_only = plan.last_only(keep_history)
    looped = set(runs_of([piece for piece in plan.pieces if isinstance(piece, Loop)]))
    parts = [LOOPED if run in looped else 1 for run in plan.runs]
    return tuple(
        RunOp(program, last, callbacks, threads, tape_memory // part, run.backend, on_gpu)
        for run, program, last, part in zip(plan.runs, programs, last_only, parts, strict=True)
    )


@dataclass
class Live:
    """What lives from step to step, and changes in the course of a run."""

    states: dict[int, tuple]  # number of a program -> state and integer state of all items
    params: dict[int, Any] = field(default_factory=dict)  # learned: number -> values

    def of(self, runs: Sequence[int], params: Sequence[int]) -> list[Any]:
        """Tensors of some programs and parameters, one after the other."""
        return [*(x for i in runs for x in self.states[i]), *(self.params[i] for i in params)]

    @staticmethod
    def from_tensors(tensors: Sequence[Any], runs: Sequence[int], params: Sequence[int]) -> Live:
        """The inverse of `of`."""
        pairs = {i: tuple(tensors[2 * k : 2 * k + 2]) for k, i in enumerate(runs)}
        return Live(pairs, dict(zip(params, tensors[2 * len(pairs) :], strict=True)))


class PieceRun:
    """One run of the pieces of a layer's plan.

    Parameters
    ----------
    layer : nengo_dl.tensor_graph.TensorGraph
        Whose variables and calls to use.
    ops : tuple of RunOp
        What runs each program.
    n_steps : int64 tensor
        Steps to do.
    calls_in_training : bool
        Whether Keras layers are in training mode.
    record : bool
        Whether the programs record what the gradient needs.
    time_limit : float
        Seconds, see `RunOp`; only for a plan of one program, as is ``partial``.
    partial : bool
        Likewise.
    items : int or tensor, optional
        How many items of the minibatch count; all by default.

    Attributes
    ----------
    steps, error : tensor
        Of a plan of one program, see `nengo_dl.layer.tf_ops.RunResult`.
    results : list of nengo_dl.layer.tf_ops.RunResult
        Of the programs that are not in a loop.
    losses : list of tensors
        Losses that layers added where Keras does not find them, one for each piece that has any.
    finished : list of tensors
        What is there when all pieces are done.
    """

    def __init__(
        self,
        layer: Any,
        ops: tuple[RunOp, ...],
        n_steps: Any,
        calls_in_training: bool,
        record: bool,
        time_limit: float = 0.0,
        partial: bool = False,
        items: Any = None,
    ) -> None:
        self.layer, self.ops, self.n_steps, self.items = layer, ops, n_steps, items
        self.calls_in_training, self.record = calls_in_training, record
        plan: Plan = layer.plan
        self.plan, saved = plan, layer.saved_state
        self.limits = (time_limit, partial) if plan.single else (0.0, False)
        self.first_step = saved["n_steps"].value()
        self.weights = [read_weight(weight) for weight in layer.base_params]
        learned = [i for i, param in enumerate(plan.params) if param.learned]
        self.live = Live(
            {i: tuple(saved[key].value() for key in state_keys(i)) for i in range(len(plan.runs))},
            {i: self.weights[i] for i in learned},
        )
        self.steps, self.error = tf.cast(n_steps, tf.int64), tf.zeros((0,), tf.uint8)
        self.losses, self.results = [], []
        self.finished = []

    def __call__(self, inputs: Sequence[Any]) -> list[Any]:
        """Run all steps on rows of the plan's inputs: outputs, (items, n_steps or 1, size) each."""
        window = window_of(self, inputs)
        return self.at_once(inputs) if window is None else in_windows(self, inputs, window)

    def part(self, live: Live, done: Any, n_steps: Any) -> PieceRun:
        """Return the run of some steps of this one, after others were done."""
        part = copy.copy(self)
        part.live, part.n_steps = live, tf.cast(n_steps, tf.int64)
        part.first_step = self.first_step + tf.cast(done, tf.int64)
        part.losses, part.results, part.finished = [], [], []
        return part

    def at_once(self, inputs: Sequence[Any]) -> list[Any]:
        """Run each piece on all steps, one piece after the other."""

        def run(number, piece, values):
            outputs, result = self._run(number, piece, values, self.live, 0, self.n_steps)
            if self.plan.single:
                self.steps, self.error = result.steps, result.error
            self.results.append(result)
            return outputs

        def call(number, piece, values):
            outputs, loss = self.layer.called.calls[number](
                values, self.first_step, self.n_steps, self.calls_in_training, self.items
            )
            self.losses += [] if loss is None else [loss]
            return outputs

        values = fold(self.plan.pieces, inputs, run, call=call, loop=self._loop)
        self.finished += [*values.values(), *(result.steps for result in self.results)]
        return [
            values[i] if keep else values[i][:, -1:]
            for i, keep in zip(self.plan.results, self.layer.keep_history, strict=True)
        ]

    def _run(self, number: int, piece: Run, values, live: Live, done, n_steps):
        """Run a program: its outputs, and all that it gives; what lives is replaced."""
        weights, base = self.weights, self.layer.base_params
        state, istate = live.states[number]
        result = self.ops[number](
            values,
            [live.params.get(i, weights[i]) for i in piece.params],
            state, istate, self.first_step + done, n_steps, *self.limits,
            record=self.record,
            wanted=[k for k, i in enumerate(piece.params) if base[i].trainable],
        )  # fmt: skip
        live.states[number] = result.state, result.istate
        learned = [i for i in piece.params if self.plan.params[i].learned]
        live.params.update(zip(learned, result.learned, strict=True))
        return result.outputs, result

    def _loop(self, first: tuple[int, int], piece: Loop, values):
        """Run pieces step by step."""
        dtype, size = self.plan.dtype, self.layer.minibatch_size
        runs, params = self._living(first[0], piece)
        rows = [tf.transpose(value, (1, 0, 2)) for value in values]

        def one_step(step, carried):
            loss, *living = carried
            live, losses = Live.from_tensors(living, runs, params), [loss]
            known = {i: row[step][:, None] for i, row in zip(piece.inputs, rows, strict=True)}
            for d in piece.delayed:
                known[d.value] = live.states[d.run][0][:, None, d.offset : d.offset + d.size]
            found = self._step(first, piece, known, live, tf.cast(step, tf.int64), losses)
            outputs = [found[i][:, 0] for i in piece.outputs]
            return outputs, [tf.add_n(losses), *live.of(runs, params)]

        start = [tf.zeros((), dtype), *self.live.of(runs, params)]
        outputs, (loss, *living), steps = over_steps(
            self.n_steps, size, len(piece.outputs), dtype, start, one_step
        )
        self.finished.append(steps)
        after = Live.from_tensors(living, runs, params)
        self.live.states.update(after.states)
        self.live.params.update(after.params)
        called = self.layer.called.calls[first[1] :][: len(calls_of(piece.pieces))]
        if any(call.layer for call in called):
            self.losses.append(loss)
        return outputs

    def _living(self, first: int, piece: Loop):
        """Numbers of the programs of a loop, and of the parameters that these change."""
        made = runs_of(piece.pieces)
        params = dict.fromkeys(i for run in made for i in run.params if self.plan.params[i].learned)
        return list(range(first, first + len(made))), list(params)

    def _step(self, first, piece: Loop, known, live: Live, done, losses):
        """One step of a loop; all of its values by number."""

        def run(number, inner: Run, values):
            return self._run(number, inner, values, live, done, tf.constant(1, tf.int64))[0]

        def call(number, inner: Call, values):
            caller = self.layer.called.calls[number]
            time = caller.times(self.first_step + done, 1)[0]
            shaped = [
                tf.reshape(value, (self.layer.minibatch_size, *shape))
                for value, shape in zip(values, inner.call.ins, strict=True)
            ]
            outputs = caller.one_step(time, shaped, self.calls_in_training, self.items)
            losses[0] = caller.with_losses(losses[0])
            return [value[:, None] for value in outputs]

        return fold(piece.pieces, known, run, call=call, first=first)

    def save(self, stateful: Any) -> None:
        """Write back what has to live on: what is learned always, state only if ``stateful``.

        Only rows of items that count are written; nothing is if a piece failed.
        """
        with tf.control_dependencies(self.finished):
            self._save(stateful)

    def _save(self, stateful):
        saved, weights, items = self.layer.saved_state, self.layer.base_params, self.items
        for index, value in self.live.params.items():
            if value is not self.weights[index]:
                write_rows(plain_variable(weights[index]), value, items)

        def write() -> Any:
            for number, tensors in self.live.states.items():
                for key, value in zip(state_keys(number), tensors, strict=True):
                    write_rows(saved[key], value, items)
            saved["n_steps"].assign_add(self.steps)
            return tf.constant(True)

        if isinstance(stateful, bool):
            if stateful:
                write()
        else:
            tf.cond(stateful, write, lambda: tf.constant(False))
