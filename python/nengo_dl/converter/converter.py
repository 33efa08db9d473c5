"""`Converter`: a Keras model as a Nengo network."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Mapping
from typing import Any

import keras
import nengo
from nengo.synapses import SynapseParam

from ..config import configure_settings
from ..keras_private import calls_of
from .activations import Swaps
from .calibration import (
    calibrated_scales,
    check_target_rates,
    is_positive,
    rate_swaps,
    warn_of_keys,
)
from .keras_graph import KerasTensorDict, functional_form, index_of, is_neurons
from .layer_converter import CONVERTERS, LayerConverter, only_in_training, register
from .report import Report, entry_of
from .verify import verify_conversion

_OBJECTS = (nengo.Node, nengo.ensemble.Neurons, nengo.base.ObjView)


class Converter:
    """Converts a Keras model to a Nengo network.

    Weights are copied, apart from those of layers that become TensorNodes, which stay the layers'.

    Parameters
    ----------
    model : keras.Model
        A functional or Sequential model, which may hold others.
    allow_fallback : bool
        Whether layers and activation functions that have no native form in Nengo become
        TensorNodes, with a warning; else they are an error.
    inference_only : bool
        Whether the network is not to be trained, which permits to convert more layers.
    max_to_avg_pool : bool
        Whether to convert max pooling to average pooling, which changes the output.
    split_shared_weights : bool
        Whether each call of a layer with weights gets a copy of them; else several calls are an
        error.
    swap_activations : dict, optional
        Functions or neuron types to use in place of activation functions or neuron types.
    scale_firing_rates : float or dict or "calibrate", optional
        Factor for the input of neurons, whose output is divided by it; or a factor by layer.
        Spiking neurons then fire more often. ``"calibrate"`` finds a factor for each layer by which
        its neurons fire as often as ``target_rates`` says, in the mean over all neurons and
        ``calibration_data``, as far as they are given rates, or spikes through a ``synapse``.
    synapse : float or nengo.synapses.Synapse, optional
        For all connections from neurons, and probes of neurons.
    temporal_model : bool
        Whether the first axis of inputs (after the batch) is the time. Else Keras models have no
        time, and one step is one prediction.
    calibration_data : array or list of arrays, optional
        Inputs of the Keras model, for ``scale_firing_rates="calibrate"``.
    target_rates : float or dict
        Firing rate in Hz, or one by layer, for ``scale_firing_rates="calibrate"``.

    Attributes
    ----------
    net : nengo.Network
        The network.
    model : keras.Model
        The functional model that was converted: the given one, or that inside of a Sequential
        model, which has its layers, inputs and outputs.
    inputs : Mapping
        Nodes by inputs of the model.
    outputs : Mapping
        Probes by outputs of the model.
    layers : Mapping
        Nengo objects by outputs of layers, or by layers.

    Raises
    ------
    TypeError
        If a layer can't be converted.
    ValueError
        If the shape of an input is unknown, or a layer with weights is called more than once
        without ``split_shared_weights``.
    """

    converters = CONVERTERS
    register = staticmethod(register)

    def __init__(
        self,
        model: Any,
        allow_fallback: bool = True,
        inference_only: bool = False,
        max_to_avg_pool: bool = False,
        split_shared_weights: bool = False,
        swap_activations: Mapping | None = None,
        scale_firing_rates: float | Mapping | None = None,
        synapse: Any = None,
        temporal_model: bool = False,
        calibration_data: Any = None,
        target_rates: float | Mapping = 100.0,
    ) -> None:
        self.allow_fallback = allow_fallback
        self.inference_only = inference_only
        self.max_to_avg_pool = max_to_avg_pool
        self.split_shared_weights = split_shared_weights
        self.swap_activations = Swaps(swap_activations)
        self.scale_firing_rates = scale_firing_rates
        self.target_rates: float | Mapping = {}  # nothing was asked for
        self.synapse = SynapseParam("synapse").coerce(self, synapse)
        self.temporal_model = temporal_model

        self.model = functional_form(model)
        self.layers = KerasTensorDict("a layer of the model, or its output,")
        self.inputs = KerasTensorDict("an input of the model")
        self.outputs = KerasTensorDict("an output of the model")
        self.neurons: dict[Any, list] = {}  # of each layer, for all of its calls
        self._layer_converters: dict[Any, LayerConverter] = {}
        self._calls: Counter = Counter()
        self._report = Report()
        self._scopes: list[dict[int, Any]] = []  # objects by tensors, of nested models
        self._asked: set = set()  # layers whose scales were
        if isinstance(scale_firing_rates, str):
            self._calibrate(calibration_data, target_rates, swap_activations)
        elif calibration_data is not None:
            warnings.warn(
                'calibration_data: expected it with scale_firing_rates="calibrate", got '
                f"{scale_firing_rates!r}: it is not used",
                stacklevel=2,
            )
        with nengo.Network(label=self.model.name) as self.net:
            configure_settings(inference_only=inference_only)
            self._convert_model()
        if isinstance(scale_firing_rates, Mapping):
            keys = [key for key in scale_firing_rates if key not in self._asked]
            warn_of_keys("scale_firing_rates", keys, self.neurons)
        unused = self.swap_activations.said_of_unused()
        if unused:
            warnings.warn(unused, stacklevel=2)

    def _calibrate(self, data: Any, target_rates: float | Mapping, swaps: Mapping | None) -> None:
        """Find the scales of the layers."""
        if self.scale_firing_rates != "calibrate" or data is None:
            raise ValueError(
                'scale_firing_rates: expected a number, a dict, or "calibrate" with '
                f"calibration_data, got {self.scale_firing_rates!r} "
                f"{'without' if data is None else 'with'} data"
            )
        check_target_rates(target_rates)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what falls back is said of the network itself
            rate_network = Converter(
                self.model,
                inference_only=True,
                max_to_avg_pool=self.max_to_avg_pool,
                split_shared_weights=self.split_shared_weights,
                swap_activations=rate_swaps(swaps or {}),
                temporal_model=self.temporal_model,
            )
        if isinstance(target_rates, Mapping):
            keys = [key for key in target_rates if key not in rate_network.neurons]
            warn_of_keys("target_rates", keys, rate_network.neurons)
        self.target_rates = target_rates
        self.scale_firing_rates = calibrated_scales(rate_network, data, target_rates)

    def target_of(self, layer: Any) -> float | None:
        """The mean firing rate that the scale of a layer was made for, if it was."""
        if isinstance(self.target_rates, Mapping):
            return self.target_rates.get(layer)
        return self.target_rates

    def _convert_model(self) -> None:
        ends = self.convert_graph(self.model, {})
        for tensor in self.model.inputs:
            self.inputs.add((tensor,), self.layers[tensor])
        for tensor, obj in zip(self.model.outputs, ends, strict=True):
            if tensor not in self.outputs:
                synapse = self.synapse if is_neurons(obj) else None
                self.outputs.add((tensor,), nengo.Probe(obj, synapse=synapse))

    def convert_graph(self, model: keras.Model, given: Mapping[int, Any]) -> list:
        """Convert all calls of layers of a functional model, in the network that is open.

        Parameters
        ----------
        model : keras.Model
            The model.
        given : dict
            Objects for tensors, by their ids, that need not be made: inputs of a nested model.

        Returns
        -------
        list of nengo objects
            One for each output of the model.
        """
        self._scopes.append(dict(given))
        for call in calls_of(model):
            if id(call.output_tensors[0]) not in given:
                self._convert_call(call)
        scope = self._scopes.pop()
        return [scope[id(tensor)] for tensor in model.outputs]

    def _convert_call(self, call: Any) -> None:
        layer, tensors = call.operation, call.output_tensors
        converter = self.get_converter(layer)
        self._calls[layer] += 1
        shared = self._calls[layer] > 1 and converter.has_weights
        if shared and not self.split_shared_weights:
            raise ValueError(
                f"layer {layer.name!r}: expected a single call, since it has weights, got several; "
                "split_shared_weights=True gives each call a copy of them"
            )
        found = converter.convert(index_of(call))
        objs = [self._checked(obj, layer) for obj in _listed(found)]
        if len(objs) != len(tensors):
            raise ValueError(
                f"{type(converter).__name__}.convert: expected {len(tensors)} objects, one "
                f"for each output of {layer.name!r}, got {len(objs)}"
            )
        for tensor, obj in zip(tensors, objs, strict=True):
            self._scopes[-1][id(tensor)] = obj
        self.layers.add(tensors, objs[0] if len(objs) == 1 else objs, layer.name)
        if len(objs) > 1:
            for tensor, obj in zip(tensors, objs, strict=True):
                self.layers.add((tensor,), obj, layer.name)
        self._report.append(entry_of(converter, call, objs, shared))

    def _checked(self, obj: Any, layer: Any) -> Any:
        obj = getattr(obj, "output", None) if isinstance(obj, nengo.Network) else obj
        if isinstance(obj, _OBJECTS):
            return obj
        raise TypeError(
            f"convert of layer {layer.name!r}: expected a Node, Neurons, TensorNode or a Network "
            f"with an `output`, got {type(obj).__name__}"
        )

    def object_of(self, tensor: Any) -> Any:
        """The object for a tensor of the model that is being converted."""
        return self._scopes[-1][id(tensor)]

    def scale_of(self, layer: Any) -> float:
        """Factor for the firing rates of a layer."""
        scale = self.scale_firing_rates
        self._asked.add(layer)
        if isinstance(scale, Mapping):
            scale = scale.get(layer, 1)
        if scale is None:
            return 1
        if not is_positive(scale):
            raise ValueError(
                f"scale_firing_rates of layer {layer.name!r}: expected a number above 0, got"
                f" {scale!r}"
            )
        return float(scale)

    def get_converter(self, layer: Any) -> LayerConverter:
        """The converter of a layer, the same one whenever it is asked for.

        Parameters
        ----------
        layer : keras.layers.Layer or keras.Operation
            The layer.

        Returns
        -------
        LayerConverter
            Its converter.

        Raises
        ------
        TypeError
            If it can't be converted, and may not fall back to a TensorNode.
        """
        if layer not in self._layer_converters:
            self._layer_converters[layer] = self.new_converter(layer)
        return self._layer_converters[layer]

    def new_converter(self, layer: Any, each_step: bool = False) -> LayerConverter:
        """Make a converter for a layer.

        Parameters
        ----------
        layer : keras.layers.Layer or keras.Operation
            The layer.
        each_step : bool
            Whether it is applied to each step of a temporal model by itself.

        Returns
        -------
        LayerConverter
            The converter.
        """
        quantized = getattr(layer, "quantization_mode", None)
        if quantized is not None:
            text = f"Layer {layer.name!r} is quantized ({quantized}), which has no native form."
            return self._fallback(layer, text)
        cls = CONVERTERS.get(type(layer))
        if cls is None:
            name = type(layer).__name__
            return self._fallback(layer, f"There is no converter for layers of type {name}.")
        if self.temporal_model and cls.mixes_time and not each_step:
            raise TypeError(
                f"Layer {layer.name!r} ({type(layer).__name__}) would combine steps of a temporal "
                "model; put it into a TimeDistributed layer if it is for each step"
            )
        if each_step and not cls.takes_steps:
            name = type(layer).__name__
            return self._fallback(layer, f"A {name} within TimeDistributed has no native form.")
        convertible, reason = cls.convertible(layer, self)
        if not convertible:
            return self._fallback(layer, reason, cls.allow_fallback)
        reason = "" if self.inference_only else only_in_training(layer, each_step)
        return self._fallback(layer, reason) if reason else cls(layer, self)

    def _fallback(self, layer: Any, reason: str | None, allowed: bool = True) -> LayerConverter:
        """The converter to a TensorNode, with a warning, or an error if that is not allowed."""
        if not (self.allow_fallback and allowed):
            way_out = "allow_fallback=True makes a TensorNode of it; " if allowed else ""
            raise TypeError(
                f"{reason} Layer {layer.name!r} can't be made of Nengo's objects: {way_out}a "
                "LayerConverter of your own may be registered for its type"
            )
        warnings.warn(f"{reason} It becomes a TensorNode (fallback).", stacklevel=3)
        fallback = CONVERTERS[None](layer, self)
        fallback.reason = reason or "it can't be converted"
        return fallback

    def report(self) -> Report:
        """What became of each call of a layer: what is native, approximate, or falls back, and why.

        Returns
        -------
        Report
            A list of `ReportEntry`; as text it is a table.
        """
        return Report(self._report)

    def verify(
        self,
        training: bool = False,
        inputs: Any = None,
        atol: float | None = None,
        rtol: float = 1e-5,
    ) -> bool:
        """Whether the network computes what the Keras model does.

        Parameters
        ----------
        training : bool
            Whether to train both first, and to compare how many parameters may be trained. The
            Keras model has its weights back afterwards.
        inputs : array or list of arrays, optional
            Inputs of the Keras model; by default ones, two items (of 10 steps where the model
            leaves the number of steps open).
        atol, rtol : float
            Tolerances, as in `numpy.allclose`. By default ``atol`` is 3e-5 of the largest value of
            an output (and at least 1e-8): what deep networks of single precision differ by.

        Returns
        -------
        bool
            True.

        Raises
        ------
        ValueError
            If outputs, or numbers of parameters, differ.
        """
        return verify_conversion(self, training, inputs, atol, rtol)


def _listed(found: Any) -> list:
    return list(found) if isinstance(found, (list, tuple)) else [found]
