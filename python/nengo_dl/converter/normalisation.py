"""Layers that scale and shift each element by fixed numbers, or do so in inference."""

from __future__ import annotations

from typing import Any

import keras
import nengo
import numpy as np

from .filters import to_numpy
from .layer_converter import LayerConverter, register
from .shape import ConvertIdentity


class ConvertAffine(LayerConverter):
    """Base of converters of layers that scale and shift, by numbers that are not trained."""

    def scale_and_shift(self, node_id: int) -> tuple[np.ndarray, np.ndarray]:
        """Two arrays that can be broadcast to the shape of the output."""
        raise NotImplementedError(f"{type(self).__name__} has no method `scale_and_shift`")

    def convert(self, node_id: int) -> Any:
        """Make the objects for a call, as `LayerConverter.convert` says."""
        obj = self.add_nengo_obj(node_id)
        shape = self.output_shape(node_id)
        scale, shift = (
            np.broadcast_to(values, shape).ravel() for values in self.scale_and_shift(node_id)
        )
        self.add_connection(node_id, obj, transform=scale)
        if np.any(shift != 0):
            bias = nengo.Node(shift, label=f"{self.label(node_id)}.bias")
            self.connect(bias, obj)
        return obj


@register(keras.layers.BatchNormalization)
class ConvertBatchNormalization(ConvertAffine):
    """In inference, each channel has the scale and shift of its moving mean and variance."""

    @classmethod
    def convertible(cls, layer: Any, converter: Any) -> tuple[bool, str | None]:
        if not converter.inference_only and layer.trainable:
            return False, (
                f"BatchNormalization ({layer.name}) is a fixed transform only with "
                "inference_only=True or layer.trainable=False."
            )
        return super().convertible(layer, converter)

    def scale_and_shift(self, node_id: int) -> tuple[np.ndarray, np.ndarray]:
        layer = self.layer
        scale = 1 / np.sqrt(to_numpy(layer.moving_variance) + layer.epsilon)
        if layer.scale:
            scale = scale * to_numpy(layer.gamma)
        shift = -scale * to_numpy(layer.moving_mean)
        if layer.center:
            shift = shift + to_numpy(layer.beta)
        rank = len(self.input_shape(node_id, full_shape=True))
        rank -= self.graph_layer is not layer  # within TimeDistributed steps are no axis of its
        axis = layer.axis % rank - rank  # counted from the end, where the batch is not
        if -axis > len(self.input_shape(node_id)):
            raise TypeError(
                f"BatchNormalization {layer.name!r} would combine steps of a temporal model: "
                f"axis={layer.axis} is the time, and each step would have a scale of its own"
            )
        along = (-1,) + (1,) * (-1 - axis)
        return scale.reshape(along), shift.reshape(along)


@register(keras.layers.Rescaling)
class ConvertRescaling(ConvertAffine):
    """The same scale and shift for all elements."""

    def scale_and_shift(self, node_id: int) -> tuple[np.ndarray, np.ndarray]:
        return np.asarray(self.layer.scale, float), np.asarray(self.layer.offset, float)


class ConvertNoise(ConvertIdentity):
    """Base of converters of layers that do nothing in inference."""

    @classmethod
    def convertible(cls, layer: Any, converter: Any) -> tuple[bool, str | None]:
        """Whether a layer can be converted, as `LayerConverter.convertible` says."""
        if not converter.inference_only:
            return False, (
                f"Layer type {type(layer).__name__} has an effect in training; unless "
                "inference_only=True it does not have a native form."
            )
        return super().convertible(layer, converter)


for _layer in (
    keras.layers.Dropout,
    keras.layers.SpatialDropout1D,
    keras.layers.SpatialDropout2D,
    keras.layers.SpatialDropout3D,
    keras.layers.AlphaDropout,
    keras.layers.GaussianDropout,
    keras.layers.GaussianNoise,
    keras.layers.ActivityRegularization,
):
    register(_layer)(ConvertNoise)
