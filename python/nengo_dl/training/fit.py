"""Calls of `compile`, `fit` and `evaluate`: data in, Keras called, results by name."""

import warnings
from collections import OrderedDict
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf
from nengo.exceptions import SimulationError, ValidationError

from ..arguments.checks import check_loop, step_count
from ..arguments.data_forms import (
    by_node,
    by_probe,
    check_data,
    check_targets,
    is_array,
    is_opaque,
    truncate,
)
from ..plan.obstacles import blocked_parameters
from .call import Call
from .keras_calls import as_tuples, clean_arguments


@dataclass(frozen=True)
class Arrays:
    """Checked data of a call.

    Parameters
    ----------
    x : dict
        Input node -> ``(items, n_steps, size)``.
    y : dict
        Name of a probe -> targets.
    weights : dict
        Name of a probe -> weights of items or steps.
    items, n_steps : int
        Items, a multiple of ``minibatch_size``, and steps.
    """

    x: dict
    y: dict
    weights: dict
    items: int
    n_steps: int

    def part(self, rows):
        """The items in a slice."""
        x, y, weights = (
            {key: value[rows] for key, value in group.items()}
            for group in (self.x, self.y, self.weights)
        )
        return Arrays(x, y, weights, len(range(*rows.indices(self.items))), self.n_steps)


def fit(sim, x, y, n_steps, stateful, kwargs):
    """Check arguments of `fit` and call Keras; see `nengo_dl.Simulator.fit`."""
    model = _compiled(sim, "fit")
    if sim._inference_only:
        raise SimulationError(
            "a network with inference_only=True has no training mode and can't be fitted; build"
            " the simulator with inference_only=False"
        )
    stateful = clean_arguments(sim, kwargs, stateful, ("batch_size", "validation_batch_size"))
    validation = kwargs.pop("validation_data", None)
    split = kwargs.pop("validation_split", 0.0) if validation is None else 0.0
    if is_opaque(x):
        _no_steps(x, n_steps)
        if not isinstance(x, keras.utils.PyDataset):
            kwargs.setdefault("shuffle", False)  # Keras can't, and would say so
        data, arguments = None, {"x": as_tuples(x), "y": y, "validation_split": split}
    else:
        data = training_arrays(
            sim, x, y, n_steps, kwargs.pop("sample_weight", None), kwargs.pop("class_weight", None)
        )
        kwargs.pop("validation_split", None)
        if split:
            data, validation = _split(sim, data, split)
        if not data.y and model.own.targets.losses:
            raise ValueError(
                "fit needs targets (y) for a Probe with a loss; there are losses for"
                f" {', '.join(model.own.targets.losses)}"
            )
        arguments = {}
    test = None
    if validation is not None:
        validation, test = _validation(sim, validation, n_steps)
        if test is None:
            arguments["validation_data"] = validation
    call = Call(sim, model, kwargs, stateful)
    call.opaque_validation = validation is not None and test is None
    if test is not None:
        check_losses(sim, model, test)
        arguments["validation_data"] = call.use("test", test)
    if data is not None:
        check_losses(sim, model, data)
        _no_nan(model, data)
        sim._warn_one_step(data.n_steps, stateful)
        shuffle = kwargs.pop("shuffle", True)
        arguments["x"] = call.use("train", data, shuffle)
        kwargs["shuffle"] = False
    _warn_blocked(sim, model)
    with call.ready("train"):
        history = model.fit(**arguments, **kwargs)
    history.history = in_order(model, history.history)
    return history


def evaluate(sim, x, y, n_steps, stateful, kwargs):
    """Check arguments of `evaluate` and call Keras; see `nengo_dl.Simulator.evaluate`."""
    model = _compiled(sim, "evaluate")
    stateful = clean_arguments(sim, kwargs, stateful, ("batch_size",))
    kwargs["return_dict"] = True
    call = Call(sim, model, kwargs, stateful)
    if is_opaque(x):
        _no_steps(x, n_steps)
        arguments = {"x": as_tuples(x), "y": y}
    else:
        data = training_arrays(sim, x, y, n_steps, kwargs.pop("sample_weight", None))
        check_losses(sim, model, data)
        sim._warn_one_step(data.n_steps, stateful)
        arguments = {"x": call.use("test", data)}
    with call.ready("test"):
        found = model.evaluate(**arguments, **kwargs)
    return in_order(model, found)


def _compiled(sim, method):
    model = sim.keras_model
    if not model.compiled:
        raise ValueError(f"You must call `compile()` of the simulator before `{method}()`")
    return model


def _no_steps(x, n_steps):
    if n_steps is not None:
        raise SimulationError(
            f"n_steps can't be given together with a {type(x).__name__}, which has the number of"
            " steps in its own n_steps"
        )


def in_order(model, values):
    """Put losses and metrics in order: total, losses, metrics, then those of validation."""
    names = list(model.get_metrics_result())
    names += [f"val_{name}" for name in names]
    known = [name for name in names if name in values]
    return OrderedDict(
        (name, values[name]) for name in (*known, *(n for n in values if n not in known))
    )


# ---------------------------------------------------------------- data


def training_arrays(sim, x, y, n_steps, sample_weight=None, class_weight=None):
    """Sort data, targets and weights out, and check them.

    Returns
    -------
    Arrays
    """
    runtime, size = sim._runtime, sim.minibatch_size
    names = runtime.names
    x = by_node(x, names)
    if not x and n_steps is None:
        raise ValidationError("Must specify either input data or n_steps", "n_steps", sim)
    n_steps = None if n_steps is None else step_count(n_steps)
    x, y = truncate(x, size), truncate(by_probe(y, names), size)
    items, steps = check_data(x, names, size, sim.unroll, n_steps)
    if steps % sim.unroll:
        raise ValidationError(
            f"n_steps ({steps}) is not evenly divisible by unroll_simulation ({sim.unroll})",
            "n_steps",
            sim,
        )
    check_loop(steps, sim.unroll, sim._use_loop)
    layer = runtime.layer
    shapes = dict(zip(layer.output_names, layer.output_shapes, strict=True))
    items = check_targets(y, shapes, size, items) or size
    weights = _sample_weights(sim, sample_weight, y, items)
    if class_weight is not None:
        if weights:
            raise ValueError("class_weight and sample_weight can't be given at the same time")
        weights = _class_weights(class_weight, y)
    return Arrays(x, y, weights, items, steps)


def _sample_weights(sim, value, y, items):
    if value is None:
        return {}
    names, size = sim._runtime.names, sim.minibatch_size
    if is_array(value) or (isinstance(value, (list, tuple)) and all(map(np.isscalar, value))):
        weights = dict.fromkeys(y, np.asarray(value))
    else:
        weights = by_probe(value, names, "sample_weight")
    result = {}
    for name, weight in weights.items():
        if weight.ndim and weight.shape[0] > size:
            weight = weight[: weight.shape[0] // size * size]  # as the data, which warned
        if weight.ndim == 0 or weight.shape[0] != items or weight.dtype.kind not in "biuf":
            raise ValidationError(
                f"for {name!r}: expected real numbers for {items} items, got shape"
                f" {weight.shape} of type {weight.dtype}",
                attr="sample_weight",
            )
        result[name] = weight
    return result


def _class_weights(class_weight, y):
    """Weight of each step's class: one-hot targets, or class numbers on a last axis of one."""
    if len(y) != 1:
        raise ValueError(
            "`class_weight` is only supported for targets of a single Probe,"
            f" got {', '.join(y) or 'none'}"
        )
    ((name, value),) = y.items()
    classes = value[..., 0] if value.shape[-1] == 1 else np.argmax(value, axis=-1)
    found, places = np.unique(np.round(classes).astype(int), return_inverse=True)
    weights = np.asarray([class_weight.get(int(number), 1.0) for number in found])
    return {name: weights[places].reshape(classes.shape)}


def _split(sim, data, fraction):
    """Cut off the last part of the items for validation."""
    if not 0 < fraction < 1:
        raise ValidationError(f"must be between 0 and 1, got {fraction}", "validation_split", sim)
    at = int(data.items * (1 - fraction))
    for part in (at, data.items - at):
        if part % sim.minibatch_size or not part:
            raise ValidationError(
                f"Split data is not evenly divisible by minibatch_size ({sim.minibatch_size}): it"
                f" has {at} items for training and {data.items - at} for validation",
                "validation_split",
                sim,
            )
    return data.part(slice(0, at)), data.part(slice(at, None))


def _validation(sim, given, n_steps):
    """Return validation data for Keras and, if they are arrays, what was made of them."""
    if isinstance(given, Arrays):
        return None, given
    if is_opaque(given) or (isinstance(given, (tuple, list)) and given and is_opaque(given[0])):
        return given, None
    if not isinstance(given, (tuple, list)) or len(given) not in (2, 3):
        raise ValidationError(
            f"expected (x, y), (x, y, sample_weight) or a dataset, got {_short(given)}",
            "validation_data",
            sim,
        )
    x, y, weight = (*given, None)[:3]
    return None, training_arrays(sim, x, y, n_steps, weight)


def _short(given):
    """What was given, without its numbers."""
    sized = f" of {len(given)}" if isinstance(given, (tuple, list)) else ""
    return f"a {type(given).__name__}{sized}"


# ---------------------------------------------------------------- losses and targets


def check_losses(sim, model, data):
    """Compute the losses for shapes and types only: what doesn't fit is found before a run."""
    layer = sim._runtime.layer
    if model.run_eagerly:
        return
    rows = zip(layer.output_names, layer.output_shapes, layer.keep_history, strict=True)
    for name, shape, keep in rows:
        loss, target = model.own.targets.losses.get(name), data.y.get(name)
        if loss is None or target is None:
            continue
        output = (layer.minibatch_size, data.n_steps if keep else 1, *shape)
        given = (layer.minibatch_size, *target.shape[1:])
        integer = target.dtype.kind in "iu"
        key = (name, output, given, target.dtype if integer else None)
        if key in model.own.checked:
            continue
        specs = (
            tf.TensorSpec(given, target.dtype if integer else sim._dtype),
            tf.TensorSpec(output, sim._dtype),
        )
        message = (
            f"Targets for {name!r} don't fit its loss {loss}: a minibatch of targets has shape"
            f" {given} and type {target.dtype}, one of the Probe's values {output} and {sim._dtype}"
        )
        if loss.elementwise and given[-1] not in (1, output[-1]):
            raise ValidationError(message, attr="targets")
        try:
            tf.function(loss, autograph=False).get_concrete_function(*specs)
        except (ValueError, tf.errors.InvalidArgumentError) as e:
            raise ValidationError(f"{message}: {e}", attr="targets") from e
        model.own.checked.add(key)


def _no_nan(model, data):
    """Refuse targets that would make parameters NaN for good."""
    for name, loss in model.own.targets.losses.items():
        target = data.y.get(name)
        if target is None or not loss.elementwise or target.dtype.kind != "f":
            continue
        count = np.count_nonzero(np.isnan(target))
        if count:
            raise ValidationError(
                f"targets for {name!r} have {count} NaN, which its loss {loss} can't take and which"
                " would make all parameters NaN; leave these items out, or use"
                " nengo_dl.losses.nan_mse, which skips them",
                "targets",
            )


def _warn_blocked(sim, model):
    """Warn of trainable parameters that reach the losses only by ways without a gradient."""
    plan, losses = sim.plan, model.own.targets.losses
    if not plan.trains or "gradients" in model.own.checked:
        return
    model.own.checked.add("gradients")
    outputs = [i for i, name in enumerate(sim._runtime.layer.output_names) if name in losses]
    found = blocked_parameters(plan, outputs)
    for index, between in found.items():
        if between and plan.trainable[index]:
            warnings.warn(
                f"No gradient reaches (all of) the trainable parameter"
                f" {plan.params[index].name!r}: between it and the losses are"
                f" {', '.join(between)}, which pass none on. What is not reached is not trained",
                UserWarning,
                stacklevel=4,
            )
