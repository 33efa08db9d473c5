"""Dense layers."""

from __future__ import annotations

from typing import Any, ClassVar

import keras
import numpy as np

from .filters import FilterConverter, regularised, to_numpy
from .layer_converter import register


@register(keras.layers.Dense)
class ConvertDense(FilterConverter):
    """A matrix; on inputs of several axes, which share it, a filter that sees one element."""

    unsupported_training_args: ClassVar[list] = regularised("kernel", "bias")
    mixes_time = False
    channels_last = True

    def convert(self, node_id: int) -> Any:
        layer, shape = self.layer, self.input_shape(node_id)
        kernel = to_numpy(layer.kernel)
        bias = to_numpy(layer.bias) if layer.use_bias else None
        if len(shape) == 1:
            obj = self.add_nengo_obj(node_id, biases=bias, activation=layer.activation)
            self.add_connection(node_id, obj, trainable=True, transform=kernel.T)
            return obj
        obj = self.add_filtered(node_id, bias)
        flat = (int(np.prod(shape[:-1])), shape[-1])
        self.add_connection(
            node_id, obj, trainable=True, transform=self.filters(flat, kernel[None])
        )
        return obj
