"""Max pooling: a function for Nodes that has an op of its own here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from nengo.exceptions import ValidationError
from nengo.params import BoolParam, EnumParam, FrozenObject, ShapeParam
from nengo.transforms import ChannelShape, ChannelShapeParam

_MAX_DIMENSIONS = 8  # the engine's


class MaxPool(FrozenObject):
    """The largest value of each window of an image, channel by channel.

    `nengo.Simulator` calls it as any function of a Node. This backend runs it without Python, and
    passes gradients through it. Where a window reaches beyond the image, only what is inside
    counts. NaN counts as larger than all numbers, so that it is not lost.

    Parameters
    ----------
    input_shape : tuple of int or nengo.transforms.ChannelShape
        Shape of the image: spatial dimensions and channels.
    pool_size : int or tuple of int
        Size of the windows, in all spatial dimensions or in each.
    strides : int or tuple of int, optional
        From one window to the next; by default as far as they are wide.
    padding : {"valid", "same"}
        Windows inside of the image, or as many as there are strides in it: they go beyond its edges
        as far on both sides, or one further behind it.
    channels_last : bool
        Whether channels are the last axis of the image, or its first.
    ties : {"first", "share"}
        What becomes of the gradient of several values that are the largest of a window: the first
        of them (in C order) has it, as in TensorFlow's max pooling of images, or all of them have
        equal parts, as in its `reduce_max`.

    Attributes
    ----------
    output_shape : nengo.transforms.ChannelShape
        Shape of its result.

    Examples
    --------
    >>> pool = nengo_dl.MaxPool((28, 28, 32), 2)
    >>> with nengo.Network():
    ...     pooled = nengo.Node(pool, size_in=pool.input_shape.size)
    """

    channels_last = BoolParam("channels_last")
    input_shape = ChannelShapeParam("input_shape", low=1)
    pool_size = ShapeParam("pool_size", low=1)
    strides = ShapeParam("strides", low=1)
    padding = EnumParam("padding", values=("valid", "same"))
    ties = EnumParam("ties", values=("first", "share"))

    _param_init_order = ("channels_last", "input_shape")

    def __init__(
        self,
        input_shape: Any,
        pool_size: int | Sequence[int],
        strides: int | Sequence[int] | None = None,
        padding: str = "valid",
        channels_last: bool = True,
        ties: str = "first",
    ) -> None:
        super().__init__()
        self.channels_last = channels_last
        self.input_shape = input_shape
        self.pool_size = self._each(pool_size)
        self.strides = self.pool_size if strides is None else self._each(strides)
        self.padding = padding
        self.ties = ties
        self._check()

    def _each(self, sizes: Any) -> Any:
        return (sizes,) * self.input_shape.dimensions if np.ndim(sizes) == 0 else sizes

    def _check(self) -> None:
        image = self.input_shape.spatial_shape
        if not 1 <= len(image) <= _MAX_DIMENSIONS:
            raise ValidationError(
                f"expected 1 to {_MAX_DIMENSIONS} spatial dimensions and the channels, got shape "
                f"{self.input_shape.shape}",
                attr="input_shape",
                obj=self,
            )
        for name in ("pool_size", "strides"):
            if len(getattr(self, name)) != len(image):
                raise ValidationError(
                    f"expected one number, or {len(image)} (one per spatial dimension), got "
                    f"{getattr(self, name)}",
                    attr=name,
                    obj=self,
                )
        if self.padding == "valid" and np.any(np.greater(self.pool_size, image)):
            raise ValidationError(
                f"expected windows that fit into the image {image}, got {self.pool_size}; "
                'padding="same" lets them go beyond its edges',
                attr="pool_size",
                obj=self,
            )

    @property
    def output_shape(self) -> ChannelShape:
        """Shape of the result."""
        inside = self.padding == "valid"
        spatial = tuple(
            (n - (width if inside else 1)) // stride + 1
            for n, width, stride in zip(
                self.input_shape.spatial_shape, self.pool_size, self.strides, strict=True
            )
        )
        return ChannelShape.from_space_and_channels(
            spatial, self.input_shape.n_channels, self.channels_last
        )

    def _before(self) -> tuple[int, ...]:
        """How far the first window reaches beyond the image, in each dimension."""
        image, out = self.input_shape.spatial_shape, self.output_shape.spatial_shape
        return tuple(
            max((n_out - 1) * stride + width - n, 0) // 2 if self.padding == "same" else 0
            for n, n_out, width, stride in zip(
                image, out, self.pool_size, self.strides, strict=True
            )
        )

    def __call__(self, t: float, x: np.ndarray) -> np.ndarray:
        """The largest values of the windows of an image, as a vector like the image itself."""
        image = np.reshape(x, self.input_shape.shape)
        image = image if self.channels_last else np.moveaxis(image, 0, -1)
        out = self.output_shape.spatial_shape
        beyond = [
            (before, max((n_out - 1) * stride + width - before - n, 0))
            for before, n, n_out, width, stride in zip(
                self._before(), image.shape[:-1], out, self.pool_size, self.strides, strict=True
            )
        ]
        image = np.pad(image, [*beyond, (0, 0)], constant_values=-np.inf)
        windows = np.lib.stride_tricks.sliding_window_view(image, (*self.pool_size, 1))
        windows = windows[tuple(slice(None, None, stride) for stride in self.strides)]
        most = windows.max(axis=tuple(range(-len(out) - 1, 0)))
        return np.ravel(most if self.channels_last else np.moveaxis(most, -1, 0))

    @property
    def native_op(self) -> tuple[str, dict[str, Any]] | None:
        """Kind and attributes of the op that computes the same; None for subclasses."""
        if type(self) is not MaxPool:
            return None  # it may compute anything
        return "max_pool", {
            "in_shape": tuple(self.input_shape.spatial_shape),
            "out_shape": self.output_shape.spatial_shape,
            "channels": int(self.input_shape.n_channels),
            "kernel": self.pool_size,
            "stride": self.strides,
            "pad": self._before(),
            "channels_last": int(self.channels_last),
            "ties": self.ties,
        }
