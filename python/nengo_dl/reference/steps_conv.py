"""Convolutions and maxima over any number of dimensions, by their definition.

Nengo's own have two dimensions at most; a test compares these with them.
"""

import itertools

import numpy as np

from .registry import register


def _taps(op):
    """All (kernel position, window position, position that kernel and window meet at)."""
    attrs = op.attrs
    transposed = op.kind == "conv_transpose"
    windows, image = (
        attrs[f"{side}_shape"] for side in (("in", "out") if transposed else ("out", "in"))
    )
    for window in itertools.product(*map(range, windows)):
        for tap in itertools.product(*map(range, attrs["kernel"])):
            meet = tuple(
                w * s + k - p
                for w, s, k, p in zip(window, attrs["stride"], tap, attrs["pad"], strict=True)
            )
            if all(0 <= m < size for m, size in zip(meet, image, strict=True)):
                yield tap, window, meet


def _channels(op):
    """All (input channel, its number within the group, output channel) that a group joins."""
    n_in, n_out = (op.attrs[f"{side}_channels"] // op.attrs["groups"] for side in ("in", "out"))
    for group in range(op.attrs["groups"]):
        for i, o in itertools.product(range(n_in), range(n_out)):
            yield group * n_in + i, i, group * n_out + o


def _image(flat, spatial, channels, channels_last):
    if channels_last:
        return flat.reshape((*spatial, channels))
    return np.moveaxis(flat.reshape((channels, *spatial)), 0, -1)


@register("conv")
@register("conv_transpose")
def make_conv(op, program):
    a = op.attrs
    taps = list(_taps(op))
    channels = list(_channels(op))
    kernel_shape = (*a["kernel"], a["in_channels"] // a["groups"], a["out_channels"])

    def step(io, k):
        W = io.read("W", k).reshape(kernel_shape)
        X = _image(io.read("X", k), a["in_shape"], a["in_channels"], a["channels_last"])
        flat = np.zeros(op.args["Y"].shape, dtype=program.dtype)
        Y = _image(flat, a["out_shape"], a["out_channels"], a["channels_last"])
        for tap, window, meet in taps:
            x_at, y_at = (meet, window) if op.kind == "conv" else (window, meet)
            for c, c_in_group, o in channels:
                Y[(*y_at, o)] += W[(*tap, c_in_group, o)] * X[(*x_at, c)]
        io.inc("Y", k, flat)

    return step


@register("max_pool")
def make_max_pool(op, program):
    a = op.attrs
    taps = list(_taps(op))

    def step(io, k):
        X = _image(io.read("X", k), a["in_shape"], a["channels"], a["channels_last"])
        flat = np.full(op.args["Y"].shape, -np.inf, dtype=program.dtype)
        Y = _image(flat, a["out_shape"], a["channels"], a["channels_last"])
        for _, window, meet in taps:
            Y[window] = np.maximum(Y[window], X[meet])  # NaN goes through
        io.inc("Y", k, flat)

    return step
