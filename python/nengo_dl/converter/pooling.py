"""Pooling, as convolutions that average."""

from __future__ import annotations

from typing import Any, ClassVar

import keras
import nengo
import numpy as np

from .filters import FilterConverter
from .layer_converter import register


class ConvertAvgPool(FilterConverter):
    """Base of converters of layers that average over windows, or over all positions."""

    has_weights: ClassVar[bool] = False

    def window(self, node_id: int) -> tuple[tuple, tuple, str]:
        """Size and strides of the windows, and how to pad."""
        return self.layer.pool_size, self.layer.strides, self.layer.padding

    def convert(self, node_id: int) -> Any:
        """Make the objects for a call, as `LayerConverter.convert` says."""
        size, strides, padding = self.window(node_id)
        shape = self.input_shape(node_id)
        if self.is_channels_last():
            channels, positions = shape[-1], shape[:-1]
        else:
            channels, positions = shape[0], shape[1:]
        kernel = np.full((*size, 1, channels), 1 / np.prod(size))
        transform = self.filters(shape, kernel, channels, strides=strides, padding=padding)
        obj = self.add_nengo_obj(node_id)
        share = _share_inside(positions, size, strides) if padding == "same" else np.ones(())
        if np.all(share == 1):
            self.add_connection(node_id, obj, transform=transform)
            return obj
        # at the edges fewer elements than the window has are averaged
        sums = nengo.Node(size_in=obj.size_in, label=f"{self.label(node_id)}.sums")
        self.add_connection(node_id, sums, transform=transform)
        share = share[..., None] if self.is_channels_last() else share[None]
        scale = 1 / np.broadcast_to(share, self.output_shape(node_id)).ravel()
        self.connect(sums, obj, transform=scale)
        return obj


def _share_inside(positions: tuple, size: tuple, strides: tuple) -> np.ndarray:
    """Share of each window that is inside of the input, where that is padded to be the same."""
    shares = np.ones(())
    for n, width, stride in zip(positions, size, strides, strict=True):
        n_out = -(-n // stride)
        before = max((n_out - 1) * stride + width - n, 0) // 2
        start = np.arange(n_out) * stride - before
        inside = np.minimum(start + width, n) - np.maximum(start, 0)
        shares = np.multiply.outer(shares, inside / width)
    return shares


class ConvertGlobalAvgPool(ConvertAvgPool):
    """Base of converters of layers that average over all positions."""

    def window(self, node_id: int) -> tuple[tuple, tuple, str]:
        """Size and strides of the one window, which is as large as the input."""
        shape = self.input_shape(node_id)
        positions = shape[:-1] if self.is_channels_last() else shape[1:]
        return positions, (1,) * len(positions), "valid"


class AverageOfMaxima(ConvertAvgPool):
    """Maxima are approximated by averages, if that is asked for."""

    @classmethod
    def convertible(cls, layer: Any, converter: Any) -> tuple[bool, str | None]:
        """Whether a layer can be converted, as `LayerConverter.convertible` says."""
        if not converter.max_to_avg_pool:
            return False, (
                "Cannot convert max pooling layers to native Nengo objects; consider setting "
                "max_to_avg_pool=True to use average pooling."
            )
        return super().convertible(layer, converter)

    def convert(self, node_id: int) -> Any:
        """Make the objects for a call, as `LayerConverter.convert` says."""
        self.notes.append("averages stand for maxima")
        return super().convert(node_id)


class ConvertMaxPool(AverageOfMaxima):
    """Base of converters of layers that take the maximum of windows."""


class ConvertGlobalMaxPool(AverageOfMaxima, ConvertGlobalAvgPool):
    """Base of converters of layers that take the maximum over all positions."""


@register(keras.layers.AveragePooling1D)
class ConvertAvgPool1D(ConvertAvgPool):
    """Averages over windows, one axis."""


@register(keras.layers.AveragePooling2D)
class ConvertAvgPool2D(ConvertAvgPool):
    """Averages over windows, two axes."""


@register(keras.layers.AveragePooling3D)
class ConvertAvgPool3D(ConvertAvgPool):
    """Averages over windows, three axes."""


@register(keras.layers.GlobalAveragePooling1D)
class ConvertGlobalAvgPool1D(ConvertGlobalAvgPool):
    """An average over all positions, one axis."""


@register(keras.layers.GlobalAveragePooling2D)
class ConvertGlobalAvgPool2D(ConvertGlobalAvgPool):
    """An average over all positions, two axes."""


@register(keras.layers.GlobalAveragePooling3D)
class ConvertGlobalAvgPool3D(ConvertGlobalAvgPool):
    """An average over all positions, three axes."""


@register(keras.layers.MaxPooling1D)
class ConvertMaxPool1D(ConvertMaxPool):
    """Maxima of windows, one axis."""


@register(keras.layers.MaxPooling2D)
class ConvertMaxPool2D(ConvertMaxPool):
    """Maxima of windows, two axes."""


@register(keras.layers.MaxPooling3D)
class ConvertMaxPool3D(ConvertMaxPool):
    """Maxima of windows, three axes."""


@register(keras.layers.GlobalMaxPooling1D)
class ConvertGlobalMaxPool1D(ConvertGlobalMaxPool):
    """The maximum over all positions, one axis."""


@register(keras.layers.GlobalMaxPooling2D)
class ConvertGlobalMaxPool2D(ConvertGlobalMaxPool):
    """The maximum over all positions, two axes."""


@register(keras.layers.GlobalMaxPooling3D)
class ConvertGlobalMaxPool3D(ConvertGlobalMaxPool):
    """The maximum over all positions, three axes."""
