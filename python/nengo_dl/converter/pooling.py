"""Pooling: averages are sparse matrices, maxima functions with an op of their own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import keras
import nengo
import numpy as np
from nengo.transforms import ChannelShape

from ..pooling import MaxPool
from .layer_converter import LayerConverter, register


class ConvertAvgPool(LayerConverter):
    """Base of converters of layers that average over windows, or over all positions."""

    mixes_time: ClassVar[bool] = True

    def convert(self, node_id: int) -> Any:
        """Make the objects for a call, as `LayerConverter.convert` says."""
        taken, made = (
            self._channels_last(np.arange(np.prod(shape, dtype=int)).reshape(shape))
            for shape in (self.input_shape(node_id), self.output_shape(node_id))
        )
        size, strides, same = self.window(taken.shape[:-1])
        made = made.reshape((*made.shape[:-1], *(1,) * (taken.ndim - made.ndim), made.shape[-1]))
        obj = self.add_nengo_obj(node_id)
        transform = averages(taken, made, size, strides, same)
        self.add_connection(node_id, obj, transform=transform)
        return obj

    def window(self, positions: tuple) -> tuple[Sequence[int], Sequence[int], bool]:
        """Size and strides of the windows, and whether they go beyond the edges."""
        return self.layer.pool_size, self.layer.strides, self.layer.padding == "same"

    def _channels_last(self, values: np.ndarray) -> np.ndarray:
        return np.moveaxis(values, 0, -1) if self.layer.data_format == "channels_first" else values


def averages(
    taken: np.ndarray, made: np.ndarray, size: Sequence[int], strides: Sequence[int], same: bool
) -> nengo.Sparse:
    """A matrix that averages over windows, of which only what is inside of the input counts.

    Parameters
    ----------
    taken : np.ndarray
        Numbers of the elements of the input, (\\*positions, channels).
    made : np.ndarray
        The same of the output.
    size, strides : list of int
        Of the windows, for each axis of the positions.
    same : bool
        Whether the windows go beyond the edges, as much on both sides.

    Returns
    -------
    nengo.Sparse
        The transform.
    """
    rank = len(size)
    inside, places = np.ones((), bool), []  # by positions in the output, then those in a window
    for axis, (width, stride) in enumerate(zip(size, strides, strict=True)):
        n, n_out = taken.shape[axis], made.shape[axis]
        before = max((n_out - 1) * stride + width - n, 0) // 2 if same else 0
        place = np.arange(n_out)[:, None] * stride - before + np.arange(width)
        place = np.expand_dims(place, [i for i in range(2 * rank) if i not in (axis, rank + axis)])
        inside = inside & (place >= 0) & (place < n)
        places.append(place)
    found = np.nonzero(inside)
    columns = taken[tuple(np.broadcast_to(place, inside.shape)[found] for place in places)]
    rows = made[found[:rank]]
    counts = inside.sum(axis=tuple(range(rank, 2 * rank)))[found[:rank]]
    return nengo.Sparse(
        (made.size, taken.size),
        indices=np.stack([rows.ravel(), columns.ravel()], axis=1),
        init=np.repeat(1 / counts, taken.shape[-1]),
    )


class ConvertGlobalAvgPool(ConvertAvgPool):
    """Base of converters of layers that average over all positions."""

    def window(self, positions: tuple) -> tuple[Sequence[int], Sequence[int], bool]:
        """The only window is as large as the input."""
        return positions, (1,) * len(positions), False


class ConvertMaxPool(ConvertAvgPool):
    """Base of converters of layers that take the maximum of windows, or of all positions.

    Maxima are approximated by averages, if that is asked for.
    """

    ties: ClassVar[str] = "first"

    def convert(self, node_id: int) -> Any:
        """Make the objects for a call, as `LayerConverter.convert` says."""
        if self.converter.max_to_avg_pool:
            self.notes.append("averages stand for maxima")
            return super().convert(node_id)
        last = self.layer.data_format != "channels_first"
        shape = ChannelShape(self.input_shape(node_id), channels_last=last)
        size, strides, same = self.window(shape.spatial_shape)
        pool = MaxPool(shape, size, strides, "same" if same else "valid", last, self.ties)
        obj = nengo.Node(pool, size_in=shape.size, label=self.label(node_id))
        self.add_connection(node_id, obj)
        return obj


class ConvertGlobalMaxPool(ConvertMaxPool, ConvertGlobalAvgPool):
    """Base of converters of layers that take the maximum over all positions."""

    ties: ClassVar[str] = "share"  # the layers are reductions


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
