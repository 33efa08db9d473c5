"""Gradients of a simulator's Keras model against difference quotients."""

from dataclasses import replace

import numpy as np
from nengo.exceptions import SimulationError, ValidationError

from .. import _engine
from ..plan.pieces import fold, state_keys
from ..plan.program import to_bytes
from .keras_calls import keras_errors
from .precision import float_type

STEP = 1e-6  # difference of an input for the quotient, which is computed in double precision


def check(sim, inputs, outputs, atol, rtol):
    """Compute and compare; see `nengo_dl.Simulator.check_gradients`."""
    runtime = sim._runtime
    if not runtime.plan.trains:
        raise SimulationError(
            "a network with inference_only=True has no training mode, and no gradients to check"
        )
    probes = list(sim.model.probes) if outputs is None else list(outputs)
    for probe in probes:
        if probe not in sim.data.histories:
            raise ValidationError(f"{probe} is no Probe of this simulator", attr="outputs")
    rows = _rows(sim, inputs)
    wanted = [sim.model.probes.index(probe) for probe in probes]
    learned = [(i, runtime.layer.get_param(i)) for i in runtime.layer.learned]
    stateful = runtime.layer.stateful
    sim.reset(include_trainable=False, include_probes=False)
    try:
        numeric = _numeric(sim, rows, wanted)
        sim.reset(include_trainable=False, include_probes=False)
        with sim._scope(), float_type(sim._dtype), keras_errors(runtime):
            analytic = _analytic(sim, rows, wanted)
    finally:
        for index, value in learned:
            runtime.layer.set_param(index, value)
        runtime.layer.stateful = stateful
        sim.reset(include_trainable=False, include_probes=False)
    result = {}
    for probe, ours, theirs in zip(probes, analytic, numeric, strict=True):
        result[probe] = {"analytic": ours, "numeric": theirs}
        for node, a, n in zip(runtime.nodes.nodes, ours, theirs, strict=True):
            _compare(probe, node, a, n, atol, rtol, runtime.plan)
    return result


def _rows(sim, inputs):
    """Values of all input nodes, ``(minibatch_size, n_steps, size)`` each."""
    nodes = sim._runtime.nodes.nodes
    if inputs is None:
        return [np.zeros((sim.minibatch_size, 2 * sim.unroll, node.size_out)) for node in nodes]
    if len(inputs) != len(nodes):
        raise ValidationError(
            f"expected an array for each of the {len(nodes)} input Nodes, got {len(inputs)}",
            attr="inputs",
        )
    rows = [np.asarray(values, dtype=np.float64) for values in inputs]
    if any(values.ndim == 3 and not values.shape[1] for values in rows):
        raise ValidationError("expected at least 1 step, got 0", attr="inputs")
    for node, values in zip(nodes, rows, strict=True):
        shape = (sim.minibatch_size, len(rows[0][0]) if rows[0].ndim else 0, node.size_out)
        if values.shape != shape:
            raise ValidationError(
                f"for {node}: expected shape {shape}, got {values.shape}", attr="inputs"
            )
    return rows


def _spread(blocks):
    """A matrix for all items from ``(items, rows, columns)``: no item depends on another."""
    items, rows, columns = blocks.shape
    matrix = np.zeros((items, rows, items, columns), blocks.dtype)
    matrix[np.arange(items), :, np.arange(items), :] = blocks
    return matrix.reshape(items * rows, items * columns)


def _numeric(sim, rows, wanted):
    """Difference quotients, in double precision whatever that of the simulator is."""
    layer, plan = sim._runtime.layer, sim._runtime.plan
    forms = [replace(piece.training, dtype="float64") for piece in plan.pieces]
    compiled = [_engine.Compiled(to_bytes(form)) for form in forms]
    saved, last_only = layer.get_state(), plan.last_only(layer.keep_history)
    n_steps = rows[0].shape[1] if rows else 2 * sim.unroll
    weights = [layer.get_param(i) for i in range(len(plan.params))]

    def run_piece(number, piece, values):
        # the engine changes what it is given
        params = [np.array(weights[i], dtype=np.float64) for i in piece.params]
        state, istate = (saved[key] for key in state_keys(number))
        outputs, _, error = compiled[number].run(
            values, params, state.astype(np.float64), istate.copy(), 0,
            n_steps, sim.minibatch_size, keep_last=last_only[number], callbacks=sim._runtime.table,
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
        return [results[i].reshape(sim.minibatch_size, -1) for i in wanted]

    result = [[] for _ in wanted]
    for k, values in enumerate(rows):
        columns = []
        for t, j in np.ndindex(values.shape[1:]):
            ends = []
            for sign in (1, -1):
                moved = [v.copy() for v in rows]
                moved[k][:, t, j] += sign * STEP
                ends.append(run(moved))
            columns.append([(up - down) / (2 * STEP) for up, down in zip(*ends, strict=True)])
        for found, blocks in zip(result, zip(*columns, strict=True), strict=True):
            found.append(_spread(np.stack(blocks, axis=2)))
    return result


def _analytic(sim, rows, wanted):
    """Derivatives as training computes them, one probed value of every item at a time."""
    import tensorflow as tf

    layer = sim._runtime.layer
    tensors = [tf.constant(values, sim._dtype) for values in rows]
    n_steps = rows[0].shape[1] if rows else 2 * sim.unroll
    steps = tf.fill((sim.minibatch_size, 1), tf.constant(n_steps, tf.int32))
    layer.stateful = False
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(tensors)
        outputs = layer([*tensors, steps], training=True)
    result = []
    for i in wanted:
        shape = outputs[i].shape
        found = [[] for _ in tensors]
        for place in np.ndindex(*shape[1:]):
            seed = np.zeros(shape, sim._dtype)
            seed[(slice(None), *place)] = 1
            gradients = tape.gradient(
                outputs[i], tensors, tf.constant(seed),
                unconnected_gradients=tf.UnconnectedGradients.ZERO,
            )  # fmt: skip
            for rows_, gradient in zip(found, gradients, strict=True):
                rows_.append(np.asarray(gradient).reshape(sim.minibatch_size, -1))
        result.append([_spread(np.stack(rows_, axis=1)) for rows_ in found])
    return result


def _compare(probe, node, analytic, numeric, atol, rtol, plan):
    off = np.abs(analytic - numeric)
    # also true if anything is NaN
    if np.all(off < atol + rtol * np.abs(numeric)):
        return
    row, column = np.unravel_index(np.argmax(np.nan_to_num(off, nan=np.inf)), off.shape)
    hint = ""
    if any("surrogate" in op.attrs for piece in plan.pieces for op in piece.training.ops()):
        hint = "; surrogates of spikes differ from the derivative by design"
    elif plan.callbacks:
        hint = "; no gradient passes through Python functions, see print(sim.plan)"
    raise SimulationError(
        f"Gradient check failed: the derivative of {probe} (value {row}) by {node} (value"
        f" {column}) is {numeric[row, column]:g} by differences, but {analytic[row, column]:g}"
        f" analytically{hint}"
    )
