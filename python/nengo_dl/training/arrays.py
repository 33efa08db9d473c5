"""Data, targets and weights of a `fit` or `evaluate` that lie in memory."""

from dataclasses import dataclass

import numpy as np
from nengo.exceptions import ValidationError

from ..arguments.checks import is_number
from ..arguments.data_forms import by_probe, check_targets, flattened, is_array, is_opaque, truncate
from .streams import as_named


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
        Items and steps.
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


def checked_arrays(side, x, y, n_steps, sample_weight=None, class_weight=None, items="any"):
    """Sort data, targets and weights out, and check them.

    Parameters
    ----------
    side : nengo_dl.training.keras_side.KerasSide
        Whose model they are for.
    x, y, n_steps, sample_weight, class_weight
        As in `nengo_dl.Simulator.fit`.
    items : str
        ``"any"`` number or ``"whole"`` minibatches, as in
        `nengo_dl.arguments.data_rules.DataRules.for_call`.

    Returns
    -------
    Arrays
    """
    rules, layer = side.rules, side.runtime.layer
    names, size = rules.names, rules.minibatch_size
    whole = items == "whole"
    x, items, steps = rules.for_call(x, n_steps, items)
    y = by_probe(y, names)
    if whole:
        y = truncate(y, size)
    least = size if whole else 1
    targets = side.model.untracked.targets
    unread = () if targets is None else targets.unread()
    items = check_targets(y, side.runtime.value_shapes, least, items, unread) or size
    shapes = dict(zip(layer.output_names, layer.output_shapes, strict=True))
    y = {
        name: value.reshape(*value.shape[:2], *shapes[name])
        if flattened(value.shape, shapes[name])
        else value
        for name, value in y.items()
    }
    weights = _sample_weights(rules, sample_weight, items, whole)
    if class_weight is not None:
        if weights:
            raise ValueError("class_weight and sample_weight can't be given at the same time")
        weights = _class_weights(class_weight, y)
    return Arrays(x, y, weights, items, steps)


def _sample_weights(rules, value, items, whole):
    if value is None:
        return {}
    names, size = rules.names, rules.minibatch_size
    if is_array(value) or (isinstance(value, (list, tuple)) and all(map(np.isscalar, value))):
        weights = dict.fromkeys(names.probes, np.asarray(value))
    else:
        weights = by_probe(value, names, "sample_weight")
    result = {}
    for name, given in weights.items():
        weight = given
        if whole and given.ndim and given.shape[0] > size:
            weight = given[: given.shape[0] // size * size]  # as the data, which warned
        if weight.ndim == 0 or weight.shape[0] != items or weight.dtype.kind not in "biuf":
            raise ValidationError(
                f"for {name!r}: expected real numbers for {items} items, got shape"
                f" {given.shape} of type {given.dtype}",
                attr="sample_weight",
            )
        if not np.all(np.isfinite(weight)):
            raise ValidationError(
                f"for {name!r}: expected finite numbers, got NaN or infinite ones", "sample_weight"
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


def split(data, fraction, size):
    """Cut off the last items for validation: whole minibatches of a size, and at least one.

    Training keeps at least one, too; in between the fraction is rounded to the nearest one.
    """
    if not is_number(fraction) or not 0 < fraction < 1:
        raise ValidationError(f"must be between 0 and 1, got {fraction!r}", "validation_split")
    minibatches = data.items // size
    if minibatches < 2:
        raise ValidationError(
            f"expected data for two minibatches of {size} items at least, one to train on and one"
            f" for validation, got {data.items} items; use validation_data",
            "validation_split",
        )
    last = min(max(round(minibatches * fraction), 1), minibatches - 1)
    at = (minibatches - last) * size
    return data.part(slice(0, at)), data.part(slice(at, None))


def validation_data(side, given, n_steps):
    """Return validation data for Keras and, if they are arrays, what was made of them."""
    if isinstance(given, Arrays):
        return None, given
    if is_opaque(given) or (isinstance(given, (tuple, list)) and given and is_opaque(given[0])):
        return as_named(given, side), None
    if not isinstance(given, (tuple, list)) or len(given) not in (2, 3):
        raise ValidationError(
            f"expected (x, y), (x, y, sample_weight) or a dataset, got {_short(given)}",
            "validation_data",
        )
    x, y, weight = (*given, None)[:3]
    return None, checked_arrays(side, x, y, n_steps, weight)


def _short(given):
    """What was given, without its numbers."""
    sized = f" of {len(given)}" if isinstance(given, (tuple, list)) else ""
    return f"a {type(given).__name__}{sized}"
