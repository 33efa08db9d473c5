"""Scales by which neurons fire, in the mean, as often as they are asked to."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import nengo
import numpy as np

from ..neurons import LeakyReLU, SpikingLeakyReLU
from ..simulator import Simulator

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
        The converted model, without swapped activations and scales.
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
    """Mean absolute output of the neurons of each layer."""
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
                total[layer] += count * np.mean([np.mean(np.abs(found[probe])) for probe in ours])
    return {layer: value / len(arrays[0]) for layer, value in total.items()}


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
