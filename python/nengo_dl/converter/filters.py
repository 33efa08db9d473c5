"""Layers whose weights are filters over the last axes: what they have in common."""

from __future__ import annotations

from typing import Any, ClassVar

import keras
import nengo
import numpy as np

from .layer_converter import LayerConverter


def to_numpy(weight: Any) -> np.ndarray:
    """A weight as an array, of single precision if its type is none of NumPy's (bfloat16)."""
    array = keras.ops.convert_to_numpy(weight)
    return array if array.dtype.isbuiltin == 1 else array.astype(np.float32)


def regularised(*weights: str) -> list[str]:
    """Names of the attributes of a layer that act on training, for the names of its weights."""
    return [f"{w}_{kind}" for kind in ("regularizer", "constraint") for w in weights]


def is_one(dilation: Any) -> bool:
    """Whether a layer has no dilation."""
    return set(np.ravel(dilation)) == {1}


class FilterConverter(LayerConverter):
    """Base of converters whose weights are `nengo.Convolution` transforms."""

    has_weights: bool = True
    mixes_time: ClassVar[bool] = True
    channels_last: ClassVar[bool | None] = None  # None: as the layer says

    def is_channels_last(self) -> bool:
        """Whether the channels are the last axis."""
        if self.channels_last is None:
            return self.layer.data_format == "channels_last"
        return self.channels_last

    def add_filtered(self, node_id: int, bias: Any) -> Any:
        """The object for the output, with a bias for each filter.

        Parameters
        ----------
        node_id : int
            Number of the call.
        bias : array_like or None
            The biases.

        Returns
        -------
        nengo object
            The object.
        """
        obj = self.add_nengo_obj(node_id, activation=self.layer.activation)
        if bias is None:
            return obj
        label = f"{self.label(node_id)}.bias"
        one = nengo.Node([1], label=label)
        relay = nengo.Node(size_in=len(bias), label=f"{label}_relay")
        self.connect(one, relay, trainable=True, transform=np.reshape(bias, (-1, 1)))
        # to each element the bias of its channel
        channel = np.indices(self.output_shape(node_id))[-1 if self.is_channels_last() else 0]
        self.connect(relay[channel.ravel().tolist()], obj)
        return obj

    def filters(
        self, shape: tuple, kernel: np.ndarray, groups: int = 1, **options: Any
    ) -> nengo.Convolution:
        """A transform by a Keras kernel, which has the layout of Nengo's.

        Parameters
        ----------
        shape : tuple of int
            Shape of the input.
        kernel : np.ndarray
            Of shape (\\*kernel_size, channels per group, filters).
        groups : int
            Number of groups of channels that have filters of their own.
        **options
            ``strides`` and ``padding``; by default steps of 1 and no padding.

        Returns
        -------
        nengo.Convolution
            The transform.
        """
        rank = kernel.ndim - 2
        return nengo.Convolution(
            kernel.shape[-1],
            shape,
            channels_last=self.is_channels_last(),
            kernel_size=kernel.shape[:rank],
            strides=options.get("strides", (1,) * rank),
            padding=options.get("padding", "valid"),
            groups=groups,
            init=kernel,
        )
