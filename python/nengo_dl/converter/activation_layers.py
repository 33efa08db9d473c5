"""Layers that apply an activation function."""

from __future__ import annotations

from typing import Any, ClassVar

import keras
import tensorflow as tf

from ..neurons import LeakyReLU
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
    """Rectified linear, maybe with a slope below zero."""

    unsupported_args: ClassVar[list] = ["max_value", ("threshold", 0)]

    def activation(self) -> Any:
        slope = self.layer.negative_slope
        return LeakyReLU(negative_slope=float(slope)) if slope else tf.nn.relu


@register(keras.layers.LeakyReLU)
class ConvertLeakyReLU(ConvertElementwise):
    """Rectified linear with a slope below zero."""

    def activation(self) -> Any:
        return LeakyReLU(negative_slope=float(self.layer.negative_slope))
