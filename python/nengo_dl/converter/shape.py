"""Layers that move elements: reshape, permute, repeat, crop and pad."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import keras
import numpy as np

from .layer_converter import LayerConverter, register
from .merge import part_of


class ConvertRearrangement(LayerConverter):
    """Base of converters of layers whose output elements are elements of the input, or zero."""

    mixes_time: ClassVar[bool] = True

    def rearranged(self, positions: np.ndarray, node_id: int) -> np.ndarray:
        """What the layer does to an array of numbers of elements; -1 stands for zeros."""
        return positions

    def convert(self, node_id: int) -> Any:
        """Make the objects for a call, as `LayerConverter.convert` says."""
        shape = self.input_shape(node_id)
        positions = np.arange(np.prod(shape, dtype=int))
        sources = self.rearranged(positions.reshape(shape), node_id).ravel()
        if np.array_equal(sources, positions):
            return self.get_input_obj(node_id)
        obj = self.add_nengo_obj(node_id)
        filled = np.flatnonzero(sources >= 0)
        post = obj if filled.size == sources.size else obj[filled.tolist()]
        self.connect(part_of(self.get_input_obj(node_id), sources[filled]), post)
        return obj


class ConvertSpatial(ConvertRearrangement):
    """Base of converters of layers that move elements along all axes but the channels."""

    def rearranged(self, positions: np.ndarray, node_id: int) -> np.ndarray:
        """What the layer does along all axes but the channels, wherever these are."""
        first = getattr(self.layer, "data_format", "channels_last") == "channels_first"
        moved = self.moved(np.moveaxis(positions, 0, -1) if first else positions)
        return np.moveaxis(moved, -1, 0) if first else moved

    def moved(self, positions: np.ndarray) -> np.ndarray:
        """What the layer does to an array whose channels are the last axis."""
        raise NotImplementedError(f"{type(self).__name__} has no method `moved`")


def per_axis(amounts: Any, rank: int) -> list:
    """An amount for each of so many axes."""
    return [amounts] * rank if np.ndim(amounts) == 0 else list(amounts)


def both_sides(amounts: Any, rank: int) -> list[tuple[int, int]]:
    """An amount before and one after for each of so many axes."""
    if rank == 1 and np.shape(amounts) == (2,):
        return [tuple(amounts)]
    pairs = per_axis(amounts, rank)
    return [(pair, pair) if np.ndim(pair) == 0 else tuple(pair) for pair in pairs]


@register(keras.layers.Flatten)
class ConvertFlatten(ConvertRearrangement):
    """One axis; channels become the last one before."""

    def rearranged(self, positions: np.ndarray, node_id: int) -> np.ndarray:
        first = self.layer.data_format == "channels_first" and positions.ndim > 1
        return np.moveaxis(positions, 0, -1) if first else positions


@register(keras.layers.Reshape)
class ConvertReshape(ConvertRearrangement):
    """Other axes for the same elements in the same order."""

    mixes_time = False

    def convert(self, node_id: int) -> Any:
        if self.has_step_axis():
            given, made = (
                shape(node_id, full_shape=True) for shape in (self.input_shape, self.output_shape)
            )
            # where the number of steps is open, the size of a step tells whether it is the same
            if (
                given[1] != made[1]
                or None in made[2:]
                or math.prod(given[2:]) != math.prod(made[2:])
            ):
                raise TypeError(
                    f"Layer {self.layer.name!r} would combine or split steps of a temporal model: "
                    f"expected steps of the same number and size as in {given}, got {made}"
                )
        return super().convert(node_id)


@register(keras.layers.Identity)
class ConvertIdentity(ConvertRearrangement):
    """Nothing at all."""

    mixes_time = False


@register(keras.layers.Permute)
class ConvertPermute(ConvertRearrangement):
    """Axes in another order."""

    def rearranged(self, positions: np.ndarray, node_id: int) -> np.ndarray:
        return positions.transpose([axis - 1 for axis in self.layer.dims])


@register(keras.layers.RepeatVector)
class ConvertRepeatVector(ConvertRearrangement):
    """The same vector several times."""

    def rearranged(self, positions: np.ndarray, node_id: int) -> np.ndarray:
        return np.tile(positions, (self.layer.n, 1))


class ConvertUpSampling(ConvertSpatial):
    """Base of converters of layers that repeat elements."""

    def moved(self, positions: np.ndarray) -> np.ndarray:
        """What the layer does to an array whose channels are the last axis."""
        for axis, times in enumerate(per_axis(self.layer.size, positions.ndim - 1)):
            positions = positions.repeat(times, axis=axis)
        return positions


@register(keras.layers.UpSampling1D)
class ConvertUpSampling1D(ConvertUpSampling):
    """Elements repeated along one axis."""


@register(keras.layers.UpSampling2D)
class ConvertUpSampling2D(ConvertUpSampling):
    """Elements repeated along two axes."""

    unsupported_args: ClassVar[list] = [("interpolation", "nearest")]


@register(keras.layers.UpSampling3D)
class ConvertUpSampling3D(ConvertUpSampling):
    """Elements repeated along three axes."""


class ConvertZeroPadding(ConvertSpatial):
    """Base of converters of layers that put zeros around."""

    def moved(self, positions: np.ndarray) -> np.ndarray:
        """What the layer does to an array whose channels are the last axis."""
        widths = both_sides(self.layer.padding, positions.ndim - 1)
        return np.pad(positions, [*widths, (0, 0)], constant_values=-1)


@register(keras.layers.ZeroPadding1D)
class ConvertZeroPadding1D(ConvertZeroPadding):
    """Zeros at both ends of an axis."""


@register(keras.layers.ZeroPadding2D)
class ConvertZeroPadding2D(ConvertZeroPadding):
    """Zeros around two axes."""


@register(keras.layers.ZeroPadding3D)
class ConvertZeroPadding3D(ConvertZeroPadding):
    """Zeros around three axes."""


class ConvertCropping(ConvertSpatial):
    """Base of converters of layers that leave out what is at the edges."""

    def moved(self, positions: np.ndarray) -> np.ndarray:
        """What the layer does to an array whose channels are the last axis."""
        cut = both_sides(self.layer.cropping, positions.ndim - 1)
        inside = zip(cut, positions.shape, strict=False)
        return positions[tuple(slice(before, n - after) for (before, after), n in inside)]


@register(keras.layers.Cropping1D)
class ConvertCropping1D(ConvertCropping):
    """Less at both ends of an axis."""


@register(keras.layers.Cropping2D)
class ConvertCropping2D(ConvertCropping):
    """Less around two axes."""


@register(keras.layers.Cropping3D)
class ConvertCropping3D(ConvertCropping):
    """Less around three axes."""
