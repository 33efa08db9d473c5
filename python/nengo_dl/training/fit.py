"""Calls of `fit` and `evaluate`: data in, Keras called, results by name."""

from collections import OrderedDict
from dataclasses import replace

import keras
import numpy as np
import tensorflow as tf
from nengo.exceptions import SimulationError, ValidationError

from ..arguments.checks import warn_user
from ..arguments.data_forms import is_opaque
from ..plan.obstacles import blocked_parameters
from ..plan.show import short_list
from ..plan.training import trained_by_rates
from .arrays import checked_arrays, split, validation_data
from .keras_call import KerasCall
from .keras_side import refuse_steps
from .streams import as_named

FEW_STEPS = 10  # of less no rate can be told
# a step of these changes every value by about the learning rate, whatever the gradient is
_NORMED = (
    keras.optimizers.Adam,
    keras.optimizers.Adamax,
    keras.optimizers.Lion,
    keras.optimizers.Nadam,
    keras.optimizers.RMSprop,
)


def fit(side, x, y, n_steps, stateful, mode, kwargs):
    """Check arguments of `fit` and call Keras; see `nengo_dl.Simulator.fit`."""
    if not side.runtime.plan.trains:
        raise SimulationError(
            "a network with inference_only=True has no training mode and can't be fitted; build"
            " the simulator with inference_only=False"
        )
    rates = _by_rates(side, mode)
    stateful = side.clean_arguments(
        "fit", kwargs, stateful, ("batch_size", "validation_batch_size")
    )
    validation = kwargs.pop("validation_data", None)
    fraction = kwargs.pop("validation_split", 0.0)
    fraction = 0.0 if validation is not None else fraction
    if is_opaque(x):
        refuse_steps(x, n_steps)
        if not isinstance(x, keras.utils.PyDataset):
            kwargs.setdefault("shuffle", False)  # Keras can't, and would say so
        arguments = {"x": as_named(x, side), "y": y, "validation_split": fraction}
        data = None
    else:
        weights = kwargs.pop("sample_weight", None), kwargs.pop("class_weight", None)
        data = checked_arrays(side, x, y, n_steps, *weights, items="whole")
        if fraction:
            data, validation = split(data, fraction, side.runtime.minibatch_size)
            if weights[1] is not None:  # classes are weighted in training alone
                validation = replace(validation, weights={})
        arguments = {}
    test = None
    if validation is not None:
        validation, test = validation_data(side, validation, n_steps)
        if test is None:
            arguments["validation_data"] = validation
    model = side.compiled("fit")  # what is wrong with the data is said before that nothing is
    if model.optimizer is None:
        raise ValueError("fit needs an optimizer, and `compile()` was called with None")
    call = KerasCall(side, kwargs, stateful, rates)
    call.opaque_validation = validation is not None and test is None
    if data is not None:
        _has_targets(model, data)
    if test is not None:
        check_losses(side, test)
        if not rates:
            _warn_few_steps(side, test)
        arguments["validation_data"] = call.use("test", test)
    if data is not None:
        check_losses(side, data)
        _no_nan(model, data)
        side.warn_one_step(data.n_steps, stateful)
        shuffle = kwargs.pop("shuffle", not stateful)  # the state is that of each item
        arguments["x"] = call.use("train", data, shuffle)
        kwargs["shuffle"] = False
    _warn_blocked(side)
    _warn_rate(model)
    _can_be_saved(side, kwargs.get("callbacks"))
    with call.ready("train") as handed_on:
        history = model.fit(**arguments, **kwargs, **handed_on)
    history.history = in_order(model, history.history)
    return history


def evaluate(side, x, y, n_steps, stateful, mode, kwargs):
    """Check arguments of `evaluate` and call Keras; see `nengo_dl.Simulator.evaluate`."""
    rates = _by_rates(side, mode)
    stateful = side.clean_arguments("evaluate", kwargs, stateful)
    kwargs["return_dict"] = True
    if is_opaque(x):
        refuse_steps(x, n_steps)
        data, arguments = None, {"x": as_named(x, side), "y": y}
    else:
        data = checked_arrays(side, x, y, n_steps, kwargs.pop("sample_weight", None))
    model = side.compiled("evaluate")
    call = KerasCall(side, kwargs, stateful, rates)
    if data is not None:
        check_losses(side, data)
        side.warn_one_step(data.n_steps, stateful)
        arguments = {"x": call.use("test", data)}
    with call.ready("test") as handed_on:
        found = model.evaluate(**arguments, **kwargs, **handed_on)
    # Keras 3.12, the last one for Python 3.10, leaves tensors
    numbers = {name: float(v) if np.ndim(v) == 0 else v for name, v in found.items()}
    return in_order(model, numbers)


def _by_rates(side, mode):
    """Whether a test runs neurons as training does."""
    if mode not in ("spikes", "rates"):
        raise ValidationError(f"expected 'spikes' or 'rates', got {mode!r}", "validation_mode")
    if mode == "spikes":
        return False
    if not side.runtime.plan.trains or side.runtime.layer.learning_phase is False:
        raise ValidationError(
            "'rates' needs a training mode, which inference_only=True leaves out and"
            " learning_phase=False switches off",
            "validation_mode",
        )
    return True


def _warn_few_steps(side, test):
    """Warn of a validation that compares a few spikes with what rates are trained on."""
    runtime, targets = side.runtime, side.model.untracked.targets
    if test.n_steps >= FEW_STEPS or runtime.layer.learning_phase is not None:
        return
    compared = {*targets.losses, *(metric.probe for metric in targets.metrics)} & test.y.keys()
    probes = runtime.names.probes
    found = [name for name in probes if name in compared and probes[name].synapse is None]
    if found and trained_by_rates(runtime.plan):
        warn_user(
            f"Training runs neurons by their rates, but validation by their spikes, and for"
            f" {test.n_steps} step{'s' if test.n_steps > 1 else ''} only: without a synapse on"
            f" {', '.join(map(repr, found))} it compares single spikes with the targets. Give the"
            " Probe a synapse and validate over more steps, or use"
            ' fit(.., validation_mode="rates")'
        )


def in_order(model, values):
    """Put losses and metrics in order: total, losses, metrics, then those of validation."""
    names = list(model.get_metrics_result())
    names += [f"val_{name}" for name in names]
    known = [name for name in names if name in values]
    return OrderedDict(
        (name, values[name]) for name in (*known, *(n for n in values if n not in known))
    )


def _can_be_saved(side, callbacks):
    """Refuse callbacks that will save a model which can't be saved as a whole."""
    for callback in callbacks if isinstance(callbacks, (list, tuple)) else [callbacks]:
        if isinstance(callback, keras.callbacks.ModelCheckpoint):
            if not callback.save_weights_only:
                side.runtime.layer.refuse_unsavable()


def _has_targets(model, data):
    """Refuse to train on nothing."""
    targets = model.untracked.targets
    if targets.losses and len(targets.without_target(data.y)) == len(targets.losses):
        raise ValueError(
            "fit needs targets (y) for a Probe with a loss; there are losses for"
            f" {', '.join(targets.losses)}"
        )


def check_losses(side, data):
    """Warn of losses without target, and compute the others for shapes and types only.

    So what doesn't fit is found before a run.
    """
    model, layer = side.model, side.runtime.layer
    model.untracked.targets.warn_without_target(data.y)
    if model.run_eagerly:
        return
    rows = zip(layer.output_names, layer.output_shapes, layer.keep_history, strict=True)
    for name, shape, keep in rows:
        loss, target = model.untracked.targets.losses.get(name), data.y.get(name)
        if loss is None or (target is None and loss.needs_target):
            continue
        steps = data.n_steps if keep else 1
        output = tf.TensorSpec((layer.minibatch_size, steps, *shape), layer.dtype)
        given = None
        if target is not None:
            kind = target.dtype if target.dtype.kind in "iu" else layer.dtype
            given = tf.TensorSpec((layer.minibatch_size, *target.shape[1:]), kind)
        key = (name, output, given)
        if key in model.untracked.checked:
            continue
        if loss.elementwise and given.shape[-1] not in (1, output.shape[-1]):
            raise ValidationError(loss.misfit(name, given, output), attr="targets")
        try:
            tf.function(loss, autograph=False).get_concrete_function(given, output)
        except (ValueError, tf.errors.InvalidArgumentError) as e:
            raise ValidationError(f"{loss.misfit(name, given, output)}: {e}", "targets") from e
        model.untracked.checked.add(key)


def _no_nan(model, data):
    """Refuse targets, NaN or infinite, that would make parameters NaN for good."""
    for name, loss in model.untracked.targets.losses.items():
        target = data.y.get(name)
        if target is None or not loss.elementwise or target.dtype.kind != "f":
            continue
        count = np.count_nonzero(np.isnan(target))
        infinite = np.count_nonzero(np.isinf(target))
        if count or infinite:
            found = [f"{n} {what}" for n, what in ((count, "NaN"), (infinite, "infinite")) if n]
            raise ValidationError(
                f"those for {name!r} have {' and '.join(found)}, which its loss {loss} can't take"
                " and which would make all parameters NaN; leave these items out, or use"
                " nengo_dl.losses.nan_mse, which skips them",
                "targets",
            )


def _warn_blocked(side):
    """Warn of trainable parameters that reach the losses only by ways without a gradient."""
    model, plan = side.model, side.runtime.plan
    losses = model.untracked.targets.losses
    if not plan.trains or "gradients" in model.untracked.checked:
        return
    model.untracked.checked.add("gradients")
    outputs = [i for i, name in enumerate(side.runtime.layer.output_names) if name in losses]
    found = blocked_parameters(plan, outputs)
    for index, between in found.items():
        if between and plan.trainable[index]:
            warn_user(
                f"No gradient reaches (all of) the trainable parameter"
                f" {plan.params[index].name!r}: between it and the losses are"
                f" {', '.join(between)}, which pass none on. What is not reached is not trained",
            )


def _warn_rate(model):
    """Warn of a learning rate above the size of the values that it changes, such as decoders."""
    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
    if not isinstance(optimizer, _NORMED) or "rate" in model.untracked.checked:
        return
    model.untracked.checked.add("rate")
    rate, small = float(optimizer.learning_rate), {}
    for weight in model.trainable_weights:
        values = weight.numpy()
        size = np.sqrt(np.sum(values**2) / max(1, np.count_nonzero(values)))
        if 0 < size < rate:
            small[weight.name] = size
    if small:
        least = min(small, key=small.get)
        warn_user(
            f"The learning rate of {type(optimizer).__name__} is {rate:g}, but the values of"
            f" {short_list(list(small))} are smaller, {small[least]:.1e} in {least!r}: each step of"
            " this optimizer changes each value by about the learning rate, so that the first ones"
            f" destroy what was built. A third of their size, {small[least] / 3:.0e}, is a good"
            " learning rate; or leave them as they are (trainable=False of configure_settings)",
        )
