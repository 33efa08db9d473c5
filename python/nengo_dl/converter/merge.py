"""Layers that merge several inputs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
import nengo
import numpy as np

from .layer_converter import LayerConverter, register


class ConvertSum(LayerConverter):
    """Base of converters of weighted sums; inputs of different shapes are repeated as in Keras."""

    def weights(self, n_inputs: int) -> list[float]:
        """The weight of each input."""
        return [1.0] * n_inputs

    def convert(self, node_id: int) -> Any:
        """Make the objects for a call, as `LayerConverter.convert` says."""
        obj = self.add_nengo_obj(node_id)
        shape = self.output_shape(node_id)
        for i, weight in enumerate(self.weights(len(self.node(node_id).input_tensors))):
            pre, pre_shape = self.get_input_obj(node_id, i), self.input_shape(node_id, input_idx=i)
            if pre_shape != shape:
                positions = np.arange(np.prod(pre_shape, dtype=int)).reshape(pre_shape)
                pre = part_of(pre, np.broadcast_to(positions, shape).ravel())
            options: dict[str, Any] = {} if weight == 1 else {"transform": weight}
            self.connect(pre, obj, **options)
        return obj


def part_of(obj: Any, indices: np.ndarray) -> Any:
    """Elements of an object, or of what is a part of one."""
    if isinstance(obj, nengo.base.ObjView):
        indices = np.arange(obj.obj.size_out)[obj.slice][indices]
        obj = obj.obj
    return obj[indices.tolist()]


@register(keras.layers.Add)
class ConvertAdd(ConvertSum):
    """A sum."""


@register(keras.layers.Subtract)
class ConvertSubtract(ConvertSum):
    """A difference."""

    def weights(self, n_inputs: int) -> list[float]:
        return [1.0, -1.0]


@register(keras.layers.Average)
class ConvertAverage(ConvertSum):
    """A mean."""

    def weights(self, n_inputs: int) -> list[float]:
        return [1.0 / n_inputs] * n_inputs


@register(keras.layers.Concatenate)
class ConvertConcatenate(LayerConverter):
    """Inputs one after the other along an axis."""

    def convert(self, node_id: int) -> Any:
        obj = self.add_nengo_obj(node_id)
        for i, places in enumerate(self._places(node_id)):
            self.add_connection(node_id, obj[places], input_idx=i)
        return obj

    def _places(self, node_id: int) -> Iterator[list[int]]:
        """Where in the output each input goes."""
        shape, given = self.output_shape(node_id), self.layer.axis
        axis = given % len(self.output_shape(node_id, full_shape=True)) - (
            2 if self.converter.temporal_model else 1
        )
        if axis < 0:  # a TensorNode could not do that, either
            axes = "the batch or the time" if self.converter.temporal_model else "the batch"
            raise TypeError(f"{self.layer.name}.axis has value {given}, which is {axes}")
        sizes = [self.shape_of(tensor)[axis] for tensor in self.node(node_id).input_tensors]
        positions = np.arange(np.prod(shape, dtype=int)).reshape(shape)
        for part in np.split(positions, np.cumsum(sizes)[:-1], axis=axis):
            yield part.ravel().tolist()
