"""Convolution and transposed convolution, of any number of dimensions."""

from nengo.builder.transforms import ConvInc, ConvTransposeInc

from ..ir.lowering import NotNative, lowers


@lowers(ConvInc)
def lower_conv(op, ctx):
    """Cross-correlation; the margin before the image is the smaller half, as in Nengo."""
    return [_convolution(op, ctx, "conv", _pad_before)]


@lowers(ConvTransposeInc)
def lower_conv_transpose(op, ctx):
    """Transposed convolution."""
    return [_convolution(op, ctx, "conv_transpose", _pad_before_transposed)]


def _pad_before(padding, n_in, n_out, stride, kernel):
    if padding != "same":
        return 0
    return max((n_out - 1) * stride + kernel - n_in, 0) // 2


def _pad_before_transposed(padding, n_in, n_out, stride, kernel):
    # Nengo widens the input by `margin` zeros in all, the larger half first; what is left
    # of kernel-1 is how far the first input element reaches outside the output
    margin = 2 * (kernel - 1)
    if padding == "same":
        margin = min(max(n_out + kernel - 2 - (n_in - 1) * stride, 0), margin)
    return kernel - 1 - (margin + 1) // 2


def _convolution(op, ctx, kind, pad_before):
    conv = op.conv
    in_shape, out_shape = (
        conv.input_shape.spatial_shape,
        conv.output_shape.spatial_shape,
    )
    pads = [
        pad_before(conv.padding.lower(), *sizes)
        for sizes in zip(in_shape, out_shape, conv.strides, conv.kernel_size, strict=True)
    ]
    attrs = {
        "in_shape": tuple(in_shape),
        "out_shape": tuple(out_shape),
        "in_channels": int(conv.input_shape.n_channels),
        "out_channels": int(conv.output_shape.n_channels),
        "kernel": tuple(conv.kernel_size),
        "stride": tuple(conv.strides),
        "pad": tuple(int(p) for p in pads),
        "groups": int(getattr(conv, "groups", 1)),
        "channels_last": int(conv.channels_last),
    }
    args = {"W": ctx.vector(op.W), "X": ctx.vector(op.X), "Y": ctx.vector(op.Y, "inc")}
    if any(ref.flat[2] != 1 and ref.size > 1 for ref in args.values()):
        raise NotNative("its input, kernel or output is a view with gaps")
    return ctx.make(kind, args, attrs)
