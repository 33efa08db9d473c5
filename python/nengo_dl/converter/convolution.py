"""Convolutions: plain, by channel (depthwise), and separable."""

from __future__ import annotations

from typing import Any, ClassVar

import keras
import nengo
import numpy as np

from .filters import FilterConverter, is_one, regularised, to_numpy
from .layer_converter import register


class ConvertConv(FilterConverter):
    """Base of converters of convolutions with one kernel, over any number of axes."""

    unsupported_training_args: ClassVar[list] = regularised("kernel", "bias")

    @classmethod
    def convertible(cls, layer: Any, converter: Any) -> tuple[bool, str | None]:
        """Whether a layer can be converted, as `LayerConverter.convertible` says."""
        if not is_one(layer.dilation_rate):
            return False, (
                f"{layer.name}.dilation_rate has value {layer.dilation_rate} != 1, which is not "
                "supported."
            )
        if layer.padding not in ("same", "valid"):
            return False, (
                f"{layer.name}.padding has value {layer.padding} != same or valid, which is not "
                "supported."
            )
        return super().convertible(layer, converter)

    def kernel(self) -> tuple[np.ndarray, int]:
        """The kernel, and the number of groups of channels."""
        return to_numpy(self.layer.kernel), self.layer.groups

    def convert(self, node_id: int) -> Any:
        """Make the objects for a call, as `LayerConverter.convert` says."""
        layer = self.layer
        obj = self.add_filtered(node_id, to_numpy(layer.bias) if layer.use_bias else None)
        kernel, groups = self.kernel()
        transform = self.filters(
            self.input_shape(node_id), kernel, groups, strides=layer.strides, padding=layer.padding
        )
        self.add_connection(node_id, obj, trainable=True, transform=transform)
        return obj


@register(keras.layers.Conv1D)
class ConvertConv1D(ConvertConv):
    """A convolution over one axis."""


@register(keras.layers.Conv2D)
class ConvertConv2D(ConvertConv):
    """A convolution over two axes."""


@register(keras.layers.Conv3D)
class ConvertConv3D(ConvertConv):
    """A convolution over three axes."""


def by_channel(kernel: np.ndarray) -> tuple[np.ndarray, int]:
    """A kernel (\\*size, channels, multiplier) as one with a group for each channel."""
    *size, channels, multiplier = kernel.shape
    return kernel.reshape(*size, 1, channels * multiplier), channels


class ConvertDepthwiseConv(ConvertConv):
    """Base of converters of layers with filters of its own for each channel."""

    unsupported_training_args: ClassVar[list] = regularised("depthwise", "bias")

    def kernel(self) -> tuple[np.ndarray, int]:
        """The kernel with a group for each channel, and their number."""
        return by_channel(to_numpy(self.layer.kernel))


@register(keras.layers.DepthwiseConv1D)
class ConvertDepthwiseConv1D(ConvertDepthwiseConv):
    """Filters of its own for each channel, over one axis."""


@register(keras.layers.DepthwiseConv2D)
class ConvertDepthwiseConv2D(ConvertDepthwiseConv):
    """Filters of its own for each channel, over two axes."""


class ConvertSeparableConv(ConvertConv):
    """Base of converters of layers that filter each channel and then mix the channels."""

    unsupported_training_args: ClassVar[list] = regularised("depthwise", "pointwise", "bias")

    def convert(self, node_id: int) -> Any:
        """Make the objects for a call, as `LayerConverter.convert` says."""
        layer = self.layer
        kernel, groups = by_channel(to_numpy(layer.depthwise_kernel))
        each = self.filters(
            self.input_shape(node_id), kernel, groups, strides=layer.strides, padding=layer.padding
        )
        label = f"{self.label(node_id)}.depthwise"
        between = nengo.Node(size_in=each.output_shape.size, label=label)
        self.add_connection(node_id, between, trainable=True, transform=each)
        obj = self.add_filtered(node_id, to_numpy(layer.bias) if layer.use_bias else None)
        mix = self.filters(each.output_shape.shape, to_numpy(layer.pointwise_kernel))
        self.connect(between, obj, trainable=True, transform=mix)
        return obj


@register(keras.layers.SeparableConv1D)
class ConvertSeparableConv1D(ConvertSeparableConv):
    """Filters for each channel over one axis, then a mixture of the channels."""


@register(keras.layers.SeparableConv2D)
class ConvertSeparableConv2D(ConvertSeparableConv):
    """Filters for each channel over two axes, then a mixture of the channels."""
