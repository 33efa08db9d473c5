"""Layers that apply an activation function."""

from __future__ import annotations

from typing import Any, ClassVar

import keras
import numpy as np
import tensorflow as tf

from ..neurons import LeakyReLU
from .keras_graph import is_neurons
from .layer_converter import LayerConverter, register


class ConvertElementwise(LayerConverter):
    """Base of converters of layers that apply an activation to each element."""

    def activation(self) -> Any:
        """The function or neuron type."""
        return self.layer.activation

    def convert(self, node_id: int) -> Any:
        """Make the objects for a call, as `LayerConverter.convert` says."""
        obj = self.add_nengo_obj(node_id, activation=self.activation())
        self.add_connection(node_id, obj)
        return obj


@register(keras.layers.Activation)
class ConvertActivation(ConvertElementwise):
    """Any activation function."""


@register(keras.layers.ReLU)
class ConvertReLU(ConvertElementwise):
    """Rectified linear, maybe with a slope below zero, maybe up to a maximum.

    What goes beyond the maximum is taken off again, by other neurons.
    """

    unsupported_args: ClassVar[list] = [("threshold", 0)]

    def activation(self) -> Any:
        slope = self.layer.negative_slope
        return LeakyReLU(negative_slope=float(slope)) if slope else tf.nn.relu

    def convert(self, node_id: int) -> Any:
        below = super().convert(node_id)
        maximum = self.layer.max_value
        if maximum is None:
            return below
        biases = np.full(self.output_shape(node_id), -float(maximum))
        beyond = self.add_nengo_obj(node_id, biases=biases, activation=tf.nn.relu)
        if is_neurons(beyond):
            self.set_trainable(beyond, False)
            beyond.ensemble.label += ".beyond"
            self.converter.neurons[self.layer].pop()  # firing rates of the layer are the others'
        self.add_connection(node_id, beyond)
        obj = self.add_nengo_obj(node_id)
        self.connect(below, obj)
        self.connect(beyond, obj, transform=-1)
        return obj


@register(keras.layers.LeakyReLU)
class ConvertLeakyReLU(ConvertElementwise):
    """Rectified linear with a slope below zero."""

    def activation(self) -> Any:
        return LeakyReLU(negative_slope=float(self.layer.negative_slope))
