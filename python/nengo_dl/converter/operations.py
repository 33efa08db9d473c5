"""Operations of Keras that are no layers, but have a native form."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..keras_private import getitem_class, inbound_nodes
from .layer_converter import register
from .shape import ConvertRearrangement


@register(getitem_class())
class ConvertGetItem(ConvertRearrangement):
    """Parts of a tensor, such as ``x[:, 1:3]``."""

    mixes_time = False

    @classmethod
    def convertible(cls, layer: Any, converter: Any) -> tuple[bool, str | None]:
        axes = 2 if converter.temporal_model else 1
        for node in inbound_nodes(layer):
            key = cls._key(node)
            if key is None or any(part != slice(None) for part in key[:axes]):
                return False, (
                    f"{layer.name} takes parts of the batch, or of the steps, or has a key that "
                    "is a tensor."
                )
        return super().convertible(layer, converter)

    @staticmethod
    def _key(node: Any) -> tuple | None:
        """The key of a call, if it is made of numbers, slices and new axes."""
        key = node.arguments.kwargs.get("key", (*node.arguments.args, None)[1])
        key = key if isinstance(key, tuple) else (key,)
        return key if all(isinstance(part, (int, slice, type(None))) for part in key) else None

    def rearranged(self, positions: np.ndarray, node_id: int) -> np.ndarray:
        axes = 2 if self.converter.temporal_model else 1
        return positions[(self._key(self.node(node_id)) or ())[axes:]]
