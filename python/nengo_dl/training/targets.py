"""Losses and metrics of probes: which probe is compared with what, and how it is counted.

Keras' own losses and metrics for several outputs match targets by position, leave out the names of
single outputs, and refuse targets without a loss or losses without a target.
"""

import inspect
from collections import OrderedDict

import keras
import numpy as np
import tensorflow as tf
from nengo.exceptions import ValidationError

from ..arguments.checks import is_number, warn_user
from ..arguments.data_forms import entries_by_probe
from ..keras_private import mask_of, said_of_legacy

# names for which Keras picks a function by the shapes of targets and outputs
_BY_SHAPE = ("accuracy", "acc", "crossentropy", "ce")


def by_probe(names, loss, loss_weights, metrics, weighted_metrics):
    """Sort the arguments of ``compile`` that are about Probes by the names of these."""
    return {
        "loss": entries_by_probe(loss, names, "loss"),
        "loss_weights": _weights(loss_weights, names),
        "metrics": entries_by_probe(_all_of_one(metrics, names), names, "metrics", many=True),
        "weighted_metrics": _weighted_metrics(weighted_metrics, names),
    }


def _weights(value, names):
    value = [value] if is_number(value) else value
    weights = entries_by_probe(value, names, "loss_weights")
    for name, weight in weights.items():
        if not is_number(weight) or not np.isfinite(weight):
            raise ValidationError(
                f"expected a finite number for {name!r}, got {weight!r}", attr="loss_weights"
            )
    return weights


def _all_of_one(value, names):
    """A flat list of metrics, which for a single Probe has all of its."""
    flat = isinstance(value, (list, tuple)) and not any(map(_is_list, value))
    return [value] if flat and len(names.probes) == 1 else value


def _is_list(value):
    return isinstance(value, (list, tuple))


def _weighted_metrics(value, names):
    if _is_list(value) and not any(map(_is_list, value)):
        value = {name: value for name in names.probes}  # as Keras does with a flat list
    return entries_by_probe(value, names, "weighted_metrics", many=True)


class Targets:
    """What a compiled model compares its probes with.

    Parameters
    ----------
    losses : dict
        Name of a probe -> loss in any of the forms that Keras takes.
    weights : dict
        Name of a probe -> weight of its loss; 1 for those that are missing.
    metrics, weighted_metrics : dict
        Name of a probe -> list of metrics in any of the forms that Keras takes. A
        `keras.metrics.Metric` counts for the first Probe it is given for; others get copies of it.
    """

    def __init__(self, losses, weights, metrics, weighted_metrics):
        self.losses = OrderedDict((name, ProbeLoss(loss)) for name, loss in losses.items())
        self.weights = dict(weights)
        self.warned = set()  # probes whose loss had no target, and keys of such metrics
        self.loss_means = OrderedDict(
            (name, keras.metrics.Mean(name=f"{name}_loss")) for name in losses
        )
        used = set()
        self.metrics = [
            ProbeMetric(name, _of_its_own(metric, used), weighted)
            for group, weighted in ((metrics, False), (weighted_metrics, True))
            for name, items in group.items()
            for metric in (items if isinstance(items, (list, tuple)) else [items])
            if metric is not None
        ]
        taken = {"loss", *(mean.name for mean in self.loss_means.values())}
        for metric in self.metrics:
            if metric.weighted and metric.key in taken:  # as Keras calls the second one
                metric.key = f"{metric.probe}_weighted_{metric.name}"
            metric.key = _unique(metric.key, taken)

    @property
    def trackers(self):
        """list : All metrics of Keras that are reset before an epoch."""
        made = [metric.metric for metric in self.metrics if metric.metric is not None]
        return [*self.loss_means.values(), *made]

    def results(self):
        """Present values, in order of losses and metrics: name -> scalar."""
        values = OrderedDict((mean.name, mean.result()) for mean in self.loss_means.values())
        for metric in self.metrics:
            values[metric.key] = metric.result()
        return values

    def without_target(self, targets):
        """Names of probes whose loss needs a target and has none among those by name."""
        return [
            name
            for name, loss in self.losses.items()
            if loss.needs_target and targets.get(name) is None
        ]

    def unread(self):
        """Names of probes whose targets nobody looks at: their losses and metrics need none."""
        reading = [m.probe for m in self.metrics if m.needs_target]
        return [n for n, loss in self.losses.items() if not (loss.needs_target or n in reading)]

    def warn_without_target(self, targets):
        """Warn, once for each loss, that it counts for nothing."""
        names = [name for name in self.without_target(targets) if name not in self.warned]
        self.warned.update(names)
        if names:
            losses = ", ".join(f"{self.losses[name]} of {name!r}" for name in names)
            warn_user(
                f"There are no targets for {losses}: it counts as 0, and nothing is trained on it."
                " Give targets (y), or no loss for this Probe in compile()"
            )
        metrics = [m for m in self.metrics if not m.counts(targets) and m.key not in self.warned]
        self.warned.update(metric.key for metric in metrics)
        if metrics:
            warn_user(
                f"There are no targets for the metrics {', '.join(m.key for m in metrics)}: they"
                " are shown as 0. Give targets (y), or no metrics for this Probe in compile()"
            )

    def loss(self, targets, outputs, weights):
        """Compute the losses of all probes that have a target, or need none.

        Parameters
        ----------
        targets, outputs, weights : dict
            Name of a probe -> tensor; weights are those of items or steps.

        Returns
        -------
        list of tensors
            Weighted loss of each of these probes.
        """
        self.warn_without_target(targets)
        missing, losses = self.without_target(targets), []
        for name, loss in self.losses.items():
            if name in missing:
                continue
            target, output = targets.get(name), outputs[name]
            try:
                value = loss(target, output, weights.get(name))
            except (ValueError, tf.errors.InvalidArgumentError) as e:
                raise ValidationError(f"{loss.misfit(name, target, output)}: {e}", "targets") from e
            self.loss_means[name].update_state(value, sample_weight=tf.shape(output)[0])
            losses.append(value * tf.cast(self.weights.get(name, 1.0), value.dtype))
        return losses

    def update_metrics(self, targets, outputs, weights):
        """Count a minibatch in all metrics whose probes have a target, or that need none."""
        for metric in self.metrics:
            if metric.counts(targets):
                probe = metric.probe
                metric.update(targets.get(probe), outputs[probe], weights.get(probe))

    def make_metrics(self, targets, outputs):
        """Make metrics that depend on shapes, from the shapes of targets and outputs by name."""
        for metric in self.metrics:
            if metric.counts(targets):
                metric.make(targets.get(metric.probe), outputs[metric.probe])


class ProbeLoss:
    """A loss of one probe.

    Integer targets stay integers, and the loss is the mean whatever shape the function returns.

    Parameters
    ----------
    loss : str, callable or keras.losses.Loss
        The loss.
    """

    def __init__(self, loss):
        _refuse_legacy(loss, "loss")
        self.by_shape = isinstance(loss, str) and loss.lower() in ("crossentropy", "ce")
        self.function = None if self.by_shape else keras.losses.get(loss)
        if not (self.by_shape or callable(self.function)):
            raise ValueError(f"loss: expected a name, a function or a Loss, got {loss!r}")

    @property
    def needs_target(self):
        """bool : Whether it compares with something."""
        return getattr(self.function, "needs_target", True)

    @property
    def elementwise(self):
        """bool : Whether it is one of Keras' that compare element with element."""
        function = self.function
        made = isinstance(function, keras.losses.Loss)
        where = (type(function) if made else function).__module__ if function else "keras"
        return where.startswith("keras.") and "sparse" not in str(self).lower()

    def __str__(self):
        if self.by_shape:
            return "crossentropy"
        return _name(self.function)

    def misfit(self, name, target, output):
        """Say that targets and values of a Probe, tensors or their specs, don't fit the loss."""
        values = f"the Probe's values, {tuple(output.shape)} of {output.dtype.name}"
        if target is None:
            return f"{name!r} doesn't fit its loss {self}: in a minibatch are {values}"
        return (
            f"Targets for {name!r} don't fit its loss {self}: a minibatch of targets has shape"
            f" {tuple(target.shape)} of {target.dtype.name}, one of {values}"
        )

    def __call__(self, target, output, weight=None):
        """Return the loss, a scalar."""
        function = self.function or getattr(
            keras.losses, _by_shape(target, output) + "_crossentropy"
        )
        if not isinstance(function, keras.losses.Loss):
            flat = target is not None and target.shape.rank == output.shape.rank - 1
            if flat and output.shape[-1] == 1:
                target = target[..., None]
            return _reduced(function(target, output), weight, "mean", output.dtype)
        if type(function).__call__ is not keras.losses.Loss.__call__ and self.needs_target:
            return tf.reduce_mean(function(target, output, sample_weight=weight))
        # Loss.__call__ would make floats of integer targets
        values = function.call(target, output)
        return _reduced(values, weight, function.reduction, output.dtype)


class ProbeMetric:
    """A metric of one probe, with the name that it has in the history."""

    def __init__(self, probe, metric, weighted):
        self.probe, self.weighted = probe, weighted
        self.metric = self.deferred = None
        self.needs_target = True
        if isinstance(metric, str) and metric.lower() in _BY_SHAPE:
            self.deferred = name = metric
        else:
            _refuse_legacy(metric, "metric")
            found = keras.metrics.get(metric)
            if not callable(found):
                raise ValueError(
                    f"metric: expected a name, a function or a keras.metrics.Metric, got {metric!r}"
                )
            name = metric if isinstance(metric, str) else _name(found)
            self.needs_target = getattr(found, "needs_target", True)
            if not isinstance(found, keras.metrics.Metric):
                found = keras.metrics.MeanMetricWrapper(found, name=name)
            self.metric = found
        self.name, self.key = name, f"{probe}_{name}"

    def counts(self, targets):
        """Whether it can be computed with some targets, by name of the probes."""
        return not self.needs_target or targets.get(self.probe) is not None

    def make(self, target, output):
        """Choose the function by the shapes of target and output, if it is not known yet."""
        if self.metric is None:
            kind = _by_shape(target, output)
            what = "accuracy" if self.deferred.startswith("acc") else "crossentropy"
            function = getattr(keras.metrics, f"{kind}_{what}")
            self.metric = keras.metrics.MeanMetricWrapper(function, name=self.deferred)

    def update(self, target, output, weight):
        """Count a minibatch."""
        self.make(target, output)
        if not self.weighted or weight is None:
            self.metric.update_state(target, output)
        else:
            if not isinstance(self.metric, keras.metrics.Mean):  # it compares element by element
                weight = _as_values(weight, output)
            self.metric.update_state(target, output, sample_weight=weight)

    def result(self):
        """Present value; 0 before anything was counted."""
        return tf.zeros(()) if self.metric is None else self.metric.result()


def _refuse_legacy(given, what):
    legacy = said_of_legacy(given, f"a {what}")
    if legacy:
        raise ValidationError(legacy, what)


def _reduced(values, weight, reduction, dtype):
    mask = mask_of(values)
    values = tf.cast(tf.convert_to_tensor(values), dtype)
    if weight is not None:
        weight = _as_values(tf.cast(weight, dtype), values)
    if mask is not None:
        mask = tf.cast(mask, dtype)
        if reduction in ("mean", "sum_over_batch_size"):  # of those that count
            every = tf.cast(tf.size(mask), dtype)
            mask *= tf.math.divide_no_nan(every, tf.reduce_sum(mask))
        weight = mask if weight is None else weight * mask
    if weight is not None:
        values = values * weight
    total = tf.reduce_sum(values)
    if reduction == "sum":
        return total
    if reduction == "mean_with_sample_weight" and weight is not None:
        return tf.math.divide_no_nan(total, tf.reduce_sum(weight))
    return tf.math.divide_no_nan(total, tf.cast(tf.size(values), dtype))


def _as_values(weight, values):
    """Weights with as many axes as the values of a loss."""
    missing = values.shape.rank - weight.shape.rank
    if missing >= 0:
        return tf.reshape(weight, tf.concat([tf.shape(weight), [1] * missing], 0))
    if set(weight.shape[values.shape.rank :]) != {1}:
        raise ValidationError(
            f"expected weights for values of the loss, which have shape {tuple(values.shape)}, got"
            f" shape {tuple(weight.shape)}; for each item by itself, give an axis of items alone",
            attr="sample_weight",
        )
    return tf.reshape(weight, tf.shape(weight)[: values.shape.rank])


def _by_shape(target, output):
    if output.shape[-1] == 1:
        return "binary"
    return "sparse_categorical" if target.shape[-1] == 1 else "categorical"


def _name(metric):
    name = getattr(metric, "name", None) or getattr(metric, "__name__", None)
    return name or type(metric).__name__


def _of_its_own(metric, used):
    """The metric, or a copy of it if it is among those used: objects of Keras hold a state."""
    if not isinstance(metric, keras.metrics.Metric):
        return metric
    if id(metric) in used:
        return _copy(metric)
    used.add(id(metric))
    return metric


def _copy(metric):
    """Make a metric with the same arguments, which Keras knows from ``get_config``."""
    kind = type(metric)
    config = metric.get_config()
    if kind.from_config.__func__ is not keras.metrics.Metric.from_config.__func__:
        return kind.from_config(config)
    takes = inspect.signature(kind).parameters.values()
    names = [p.name for p in takes if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    missing = [name for name in names if name not in config]
    if missing and not issubclass(_definer(kind, "get_config"), _definer(kind, "__init__")):
        raise ValidationError(
            f"{metric.name!r} is one {kind.__name__} for several Probes, but its get_config()"
            f" knows nothing of {', '.join(missing)}, so that no copy can be made; give each"
            " Probe an object of its own",
            attr="metrics",
        )
    if not any(p.kind is p.VAR_KEYWORD for p in takes):
        config = {name: value for name, value in config.items() if name in names}
    return kind.from_config(config)


def _definer(kind, method):
    """The class from which a class has a method."""
    return next(base for base in kind.__mro__ if method in vars(base))


def _unique(key, taken):
    unique, count = key, 0
    while unique in taken:
        count += 1
        unique = f"{key}_{count}"
    taken.add(unique)
    return unique
