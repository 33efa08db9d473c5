"""Scales by which neurons fire, in the mean, as often as they are asked to."""

from __future__ import annotations

import numbers
import warnings
from collections.abc import Mapping
from typing import Any

import nengo
import numpy as np

from ..neurons import LeakyReLU, SpikingLeakyReLU
from ..simulator import Simulator
from .activations import ACTIVATIONS

MINIBATCH = 32
_LINEAR = (nengo.RectifiedLinear, nengo.SpikingRectifiedLinear, LeakyReLU, SpikingLeakyReLU)


def is_linear(neuron_type: Any) -> bool:
    """Whether the output is proportional to a positive input, so that scales cancel out."""
    return type(getattr(neuron_type, "base_type", neuron_type)) in _LINEAR


def calibrated_scales(rate_network: Any, data: Any, target_rates: float | Mapping) -> dict:
    """Find the scale of each layer from what its neurons do for some data.

    Parameters
    ----------
    rate_network : Converter
        The converted model, without scales, and with the swaps of `rate_swaps`.
    data : array or list of arrays
        Inputs of the Keras model.
    target_rates : float or dict
        Mean firing rate in Hz, or one for each layer.

    Returns
    -------
    dict
        Scales by Keras layers; none for layers that are always silent, with a warning.
    """
    activities = _mean_activities(rate_network, data)
    scales = {}
    for layer, activity in activities.items():
        target = target_rates.get(layer) if isinstance(target_rates, Mapping) else target_rates
        if target is None:
            continue
        if 0 < activity < np.inf:
            scales[layer] = float(target / activity)
        else:
            what = "is silent" if activity == 0 else f"gives {activity}"
            warnings.warn(
                f"Layer {layer.name!r} {what} for all of the calibration data; its firing rate "
                "is not scaled",
                stacklevel=4,
            )
    return scales


def rate_swaps(swaps: Mapping) -> dict:
    """Swaps of activations for the network that calibrates, whose neurons have rates.

    Neurons whose rate is proportional to their input give that rate. Others stand there for what
    they were swapped for, if that has neurons, and else fire in proportion to their input, too.

    Parameters
    ----------
    swaps : dict
        As for the Converter.

    Returns
    -------
    dict
        The same with other values, or fewer.
    """
    rates = {}
    for activation, value in swaps.items():
        if not isinstance(value, nengo.neurons.NeuronType):
            rates[activation] = value
        elif is_linear(value):
            rates[activation] = _rate_type(value)
        elif not isinstance(activation, nengo.neurons.NeuronType) and activation not in ACTIVATIONS:
            rates[activation] = nengo.RectifiedLinear() if value.spiking else value
    return rates


def _rate_type(linear: Any) -> Any:
    """The type that gives the mean output of a type with a linear rate."""
    slope = getattr(getattr(linear, "base_type", linear), "negative_slope", 0)
    if slope:
        return LeakyReLU(negative_slope=slope, amplitude=linear.amplitude)
    return nengo.RectifiedLinear(amplitude=linear.amplitude)


def is_positive(value: Any) -> bool:
    """Whether it is a number above 0, as scales and rates are."""
    return isinstance(value, numbers.Real) and 0 < float(value) < np.inf


def check_target_rates(target_rates: Any) -> None:
    """Refuse what are no firing rates.

    Parameters
    ----------
    target_rates : object
        A number above 0, or a dictionary with such values.

    Raises
    ------
    ValueError
        If it is anything else.
    """
    by_layer = isinstance(target_rates, Mapping)
    for rate in target_rates.values() if by_layer else [target_rates]:
        if not is_positive(rate):
            raise ValueError(
                "target_rates: expected a rate in Hz, a number above 0, or a dict of rates by "
                f"layer, got {rate!r}{' in a dict' if by_layer else ''}"
            )


def warn_of_keys(name: str, keys: list, neurons: Mapping) -> None:
    """Warn of keys of a dictionary by layers that nothing was looked up with.

    Parameters
    ----------
    name : str
        Name of the argument.
    keys : list
        The keys.
    neurons : dict
        Has the layers with neurons as its keys.
    """
    if keys:
        layers = ", ".join(layer.name for layer in neurons) or "there are none"
        found = ", ".join(f"the name {k!r}" if isinstance(k, str) else repr(k) for k in keys)
        warnings.warn(
            f"{name}: expected as keys layers of the model that have neurons ({layers}), got "
            f"{found}: no effect",
            stacklevel=4,
        )


def _mean_activities(rate_network: Any, data: Any) -> dict:
    """Mean absolute rate of the neurons of each layer."""
    arrays = [np.asarray(a) for a in (data if isinstance(data, (list, tuple)) else [data])]
    tensors = rate_network.model.inputs
    if len(arrays) != len(tensors) or not len(arrays[0]):
        raise ValueError(
            f"calibration_data: expected {len(tensors)} arrays of one or more items, got shapes "
            f"{[a.shape for a in arrays]}"
        )
    for tensor, array in zip(tensors, arrays, strict=True):
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            bad = "NaN" if np.isnan(array).any() else "infinite ones"
            raise ValueError(f"calibration_data of {tensor.name!r}: expected numbers, got {bad}")
    with rate_network.net:
        probes = {
            layer: [nengo.Probe(neurons) for neurons in all_neurons]
            for layer, all_neurons in rate_network.neurons.items()
        }
    items = min(len(arrays[0]), MINIBATCH)
    steps = arrays[0].shape[1] if rate_network.temporal_model else 1
    x = {
        rate_network.inputs[tensor]: array.reshape(len(array), steps, -1)
        for tensor, array in zip(tensors, arrays, strict=True)
    }
    total: dict = {layer: 0.0 for layer in probes}
    with Simulator(rate_network.net, minibatch_size=items, progress_bar=False) as sim:
        for first in range(0, len(arrays[0]), items):  # part by part: activities may be large
            part = {node: array[first : first + items] for node, array in x.items()}
            found = sim.predict(part)
            count = min(items, len(arrays[0]) - first)
            for layer, ours in probes.items():
                rates = [np.mean(np.abs(found[p])) / _amplitude(p.target) for p in ours]
                total[layer] += count * np.mean(rates)
    return {layer: value / len(arrays[0]) for layer, value in total.items()}


def _amplitude(neurons: Any) -> float:
    return getattr(neurons.ensemble.neuron_type, "amplitude", 1)


def scaling_note(neuron_type: Any, scale: float, target: float | None) -> str:
    """What a scale means for the output, for people; "" if it changes nothing.

    Parameters
    ----------
    neuron_type : nengo.neurons.NeuronType
        Of the neurons.
    scale : float
        Factor for their input.
    target : float or None
        The mean firing rate that was asked for, if any.

    Returns
    -------
    str
        The text.
    """
    texts = []
    if not is_linear(neuron_type):
        texts.append(
            f"the rate of {type(neuron_type).__name__} is not proportional to its input, so that "
            f"scaling it by {scale:.3g} changes the output"
        )
    if target and neuron_type.spiking:
        texts.append(
            f"{target:.4g} Hz in the mean: in a second the output is counted in units of "
            f"{1 / scale:.2g}, {100 / target:.2g} % of its mean"
        )
    return "; ".join(texts)
