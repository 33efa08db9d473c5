"""Gradients of a simulator's Keras model against difference quotients."""

import contextlib
from collections.abc import Mapping
from dataclasses import replace

import nengo
import numpy as np
from nengo.exceptions import SimulationError, ValidationError

from ..keras_private import in_double
from ..plan.pieces import fold, state_keys
from ..run.interrupt import interrupt
from .precision import float_type

STEP = 1e-6  # difference of an input for the quotient, which is computed in double precision


def check(side, inputs, outputs, atol, rtol):
    """Compute and compare; see `nengo_dl.Simulator.check_gradients`.

    Parameters
    ----------
    side : nengo_dl.training.keras_side.KerasSide
        What runs the model.
    inputs, outputs, atol, rtol
        As in `nengo_dl.Simulator.check_gradients`.
    """
    runtime = side.runtime
    known = runtime.model.probes
    if not runtime.plan.trains:
        raise SimulationError(
            "a network with inference_only=True has no training mode, and no gradients to check"
        )
    if outputs is not None and not isinstance(outputs, (list, tuple)):
        raise ValidationError(f"expected a list of Probes, got {outputs!r}", attr="outputs")
    probes = list(known) if outputs is None else list(outputs)
    for probe in probes:
        if probe not in known:
            raise ValidationError(f"{probe} is no Probe of this simulator", attr="outputs")
    rows, n_steps = _rows(runtime, inputs, 2 * side.rules.unroll)
    wanted = [known.index(probe) for probe in probes]
    learned = [(i, runtime.layer.get_param(i)) for i in runtime.layer.learned]
    moving = [(w, w.numpy()) for w in runtime.layer.called.variables if not w.trainable]
    given = runtime.feed.given
    runtime.reset(include_params=False)
    try:
        # what the program calls gives its own values: no gradient passes through Python
        runtime.feed.given = [False for _ in given]
        numeric = _numeric(runtime, rows, n_steps, wanted)
        runtime.reset(include_params=False)
        with side.scope(), float_type(runtime.dtype), side.errors():
            analytic = _analytic(runtime.layer, rows, n_steps, wanted)
    finally:
        for index, value in learned:
            runtime.layer.set_param(index, value)
        for weight, value in moving:
            weight.assign(value)
        runtime.feed.given = given
        runtime.reset(include_params=False)
    result = {}
    for probe, ours, theirs in zip(probes, analytic, numeric, strict=True):
        result[probe] = {"analytic": ours, "numeric": theirs}
        for node, a, n in zip(runtime.nodes.nodes, ours, theirs, strict=True):
            _compare(probe, node, a, n, atol, rtol, runtime.plan)
    return result


def _rows(runtime, inputs, n_steps):
    """Values of all input nodes, ``(minibatch_size, n_steps, size)`` each, and their steps."""
    nodes, size = runtime.nodes.nodes, runtime.minibatch_size
    if inputs is None:
        return [np.zeros((size, n_steps, node.size_out)) for node in nodes], n_steps
    if isinstance(inputs, Mapping) or not hasattr(inputs, "__len__"):
        raise ValidationError(
            f"expected a list with an array for each input Node, got {inputs!r}", attr="inputs"
        )
    probes = [values for values in inputs if isinstance(values, nengo.Probe)]
    if probes:
        raise ValidationError(
            f"expected arrays of values for input Nodes, got {', '.join(map(str, probes))}; Probes"
            " to check are given as check_gradients(outputs=[..])",
            attr="inputs",
        )
    if len(inputs) != len(nodes):
        raise ValidationError(
            f"expected an array for each of the {len(nodes)} input Nodes, got {len(inputs)}",
            attr="inputs",
        )
    try:
        rows = [np.asarray(values, dtype=np.float64) for values in inputs]
    except (TypeError, ValueError) as e:
        raise ValidationError(
            f"expected arrays of real numbers: {e}, got {inputs!r}", "inputs"
        ) from e
    if rows:
        n_steps = rows[0].shape[1] if rows[0].ndim > 1 else 0
    if any(values.ndim == 3 and not values.shape[1] for values in rows):
        raise ValidationError("expected at least 1 step, got 0", attr="inputs")
    for node, values in zip(nodes, rows, strict=True):
        shape = (size, n_steps, node.size_out)
        if values.shape != shape:
            raise ValidationError(
                f"for {node}: expected shape {shape}, got {values.shape}", attr="inputs"
            )
    return rows, n_steps


def _spread(blocks):
    """A matrix for all items from ``(items, rows, columns)``: no item depends on another."""
    items, rows, columns = blocks.shape
    matrix = np.zeros((items, rows, items, columns), blocks.dtype)
    matrix[np.arange(items), :, np.arange(items), :] = blocks
    return matrix.reshape(items * rows, items * columns)


@contextlib.contextmanager
def _runner(runtime, n_steps, wanted):
    """What runs the programs in double precision, whatever that of the simulator is."""
    layer, plan, size = runtime.layer, runtime.plan, runtime.minibatch_size
    forms = [replace(piece.training, dtype="float64") for piece in plan.runs]
    compiled = [runtime.compiled(form) for form in forms]
    saved, last_only = layer.get_state(), plan.last_only(layer.keep_history)
    weights = [layer.get_param(i) for i in range(len(plan.params))]

    def run_piece(number, piece, values):
        # the engine changes what it is given
        params = [np.array(weights[i], dtype=np.float64) for i in piece.params]
        state, istate = (saved[key] for key in state_keys(number))
        outputs, _, error = compiled[number].run(
            values, params, state.astype(np.float64), istate.copy(), 0,
            n_steps, size, keep_last=last_only[number], callbacks=runtime.table,
        )  # fmt: skip
        if error is not None:
            raise error
        return outputs

    def run(values):
        found = fold(plan.pieces, values, run_piece)
        results = [
            found[i] if keep else found[i][:, -1:]
            for i, keep in zip(plan.results, layer.keep_history, strict=True)
        ]
        return [results[i].reshape(size, -1) for i in wanted]

    yield run


@contextlib.contextmanager
def _tensor_runner(runtime, n_steps, wanted):
    """The same for a model that calls TensorFlow: in a layer of double precision."""
    import tensorflow as tf

    from ..tensor_graph import TensorGraph

    layer, plan, size = runtime.layer, runtime.plan, runtime.minibatch_size
    saved, count = layer.get_state(), len(plan.runs)

    def double(piece):
        forms = (replace(form, dtype="float64") for form in (piece.program, piece.training))
        return replace(piece, **dict(zip(("program", "training"), forms, strict=True)))

    states, istates = ([saved[state_keys(i)[k]] for i in range(count)] for k in (0, 1))
    with in_double(layer.called.layers):
        other = TensorGraph(
            replace(plan.with_runs(double), dtype="float64"),
            size,
            param_values=[layer.get_param(i) for i in range(len(plan.params))],
            state=states[0] if count == 1 else states,
            istate=istates[0] if count == 1 else istates,
            keep_history=layer.keep_history,
            callbacks=runtime.table,
            threads=layer.threads,
        )
        traced = tf.function(
            lambda rows: other.run_graph(rows, tf.constant(n_steps, tf.int64), False, training=True)
        )

        def run(values):
            other.reset(state=False, params=True)  # what is learned
            outputs = traced([tf.constant(rows, tf.float64) for rows in values]).outputs
            return [np.asarray(outputs[i]).reshape(size, -1) for i in wanted]

        yield run


def _numeric(runtime, rows, n_steps, wanted):
    """Difference quotients."""
    make = _tensor_runner if runtime.plan.calls else _runner
    with make(runtime, n_steps, wanted) as run:
        return _quotients(run, rows, wanted)


def _quotients(run, rows, wanted):
    result = [[] for _ in wanted]
    for k, values in enumerate(rows):
        columns = []
        for t, j in np.ndindex(values.shape[1:]):
            interrupt.check()
            ends = []
            for sign in (1, -1):
                moved = [v.copy() for v in rows]
                moved[k][:, t, j] += sign * STEP
                ends.append(run(moved))
            columns.append([(up - down) / (2 * STEP) for up, down in zip(*ends, strict=True)])
        for found, blocks in zip(result, zip(*columns, strict=True), strict=True):
            found.append(_spread(np.stack(blocks, axis=2)))
    return result


def _analytic(layer, rows, n_steps, wanted):
    """Derivatives as training computes them, one probed value of every item at a time."""
    import tensorflow as tf

    size = layer.minibatch_size
    tensors = [tf.constant(values, layer.dtype) for values in rows]
    steps = tf.fill((size, 1), tf.constant(n_steps, tf.int32))
    with layer.keeping(False), tf.GradientTape(persistent=True) as tape:
        tape.watch(tensors)
        outputs = layer([*tensors, steps], training=True)
    result = []
    for i in wanted:
        shape = outputs[i].shape
        found = [[] for _ in tensors]
        for place in np.ndindex(*shape[1:]):
            seed = np.zeros(shape, layer.dtype)
            seed[(slice(None), *place)] = 1
            gradients = tape.gradient(
                outputs[i], tensors, tf.constant(seed),
                unconnected_gradients=tf.UnconnectedGradients.ZERO,
            )  # fmt: skip
            for rows_, gradient in zip(found, gradients, strict=True):
                rows_.append(np.asarray(gradient).reshape(size, -1))
        result.append([_spread(np.stack(rows_, axis=1)) for rows_ in found])
    return result


def _compare(probe, node, analytic, numeric, atol, rtol, plan):
    off = np.abs(analytic - numeric)
    # also true if anything is NaN
    if np.all(off < atol + rtol * np.abs(numeric)):
        return
    row, column = np.unravel_index(np.argmax(np.nan_to_num(off, nan=np.inf)), off.shape)
    hint = ""
    if any("surrogate" in op.attrs for piece in plan.runs for op in piece.training.ops()):
        hint = "; surrogates of spikes differ from the derivative by design"
    elif plan.callbacks:
        hint = "; no gradient passes through Python functions, see print(sim.plan)"
    raise SimulationError(
        f"Gradient check failed: the derivative of {probe} (value {row}) by {node} (value"
        f" {column}) is {numeric[row, column]:g} by differences, but {analytic[row, column]:g}"
        f" analytically{hint}"
    )
