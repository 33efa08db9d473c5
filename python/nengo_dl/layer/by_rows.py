"""Which layers give every item what they give that item alone.

They may be called on the items of several steps as if these were one minibatch. It is known of
Keras' own layers (and of functions that go element by element, `layer/traces.py`). Of all others
nobody can tell from the outside: on other values the result may depend on a sum, or a condition,
over the minibatch.
"""

from __future__ import annotations

from typing import Any

import keras

from nengo_dl.keras_private import calls_of, functional_class, functional_of, with_inner_layers

# of keras.layers, by name: some are missing in some versions of Keras
_NAMES = """
    Activation Add AdditiveAttention AlphaDropout Attention Average AveragePooling1D
    AveragePooling2D AveragePooling3D BatchNormalization Bidirectional Concatenate Conv1D
    Conv1DTranspose Conv2D Conv2DTranspose Conv3D Conv3DTranspose ConvLSTM1D ConvLSTM2D ConvLSTM3D
    Cropping1D Cropping2D Cropping3D Dense DepthwiseConv1D DepthwiseConv2D Dot Dropout ELU
    EinsumDense Embedding Flatten GELU GRU GRUCell GaussianDropout GaussianNoise
    GlobalAveragePooling1D GlobalAveragePooling2D GlobalAveragePooling3D GlobalMaxPooling1D
    GlobalMaxPooling2D GlobalMaxPooling3D GroupNormalization GroupQueryAttention Identity InputLayer
    LSTM LSTMCell LayerNormalization LeakyReLU Masking MaxPooling1D MaxPooling2D MaxPooling3D
    Maximum Minimum MultiHeadAttention Multiply Normalization PReLU
    Permute RMSNormalization RNN ReLU RepeatVector
    Rescaling Reshape SeparableConv1D SeparableConv2D SimpleRNN SimpleRNNCell Softmax
    SpatialDropout1D SpatialDropout2D SpatialDropout3D StackedRNNCells Subtract TimeDistributed
    UnitNormalization UpSampling1D UpSampling2D UpSampling3D ZeroPadding1D ZeroPadding2D
    ZeroPadding3D
""".split()
_KNOWN = {getattr(keras.layers, name) for name in _NAMES if hasattr(keras.layers, name)}
_FUNCTIONS = ("activation", "recurrent_activation")  # attributes that hold one


def by_rows(layer: Any) -> bool:
    """Whether a layer is known to give each item what it gives that item alone.

    Parameters
    ----------
    layer : object
        A Keras layer or model; anything else is not known.

    Returns
    -------
    bool
    """
    return isinstance(layer, keras.layers.Layer) and all(map(_known, with_inner_layers(layer)))


def _known(layer):
    if type(layer) in (keras.Sequential, functional_class()):
        inner = functional_of(layer)
        return inner is not None and all(
            isinstance(call.operation, keras.layers.Layer) for call in calls_of(inner)
        )
    axes = keras.tree.flatten(getattr(layer, "axis", -1))  # None: all of them
    functions = [getattr(layer, name, None) for name in _FUNCTIONS]
    known = type(layer) in _KNOWN or (
        type(layer).__name__ == "ConvLSTMCell" and type(layer).__module__.startswith("keras.src.")
    )
    return (
        known
        and all(axis is not None and (axis == -1 or axis > 0) for axis in axes)
        and all(map(_of_keras, functions))
    )


def _of_keras(function):
    """Whether it is one of `keras.activations`, all of which go row by row; `keras.ops` don't."""
    return (
        function is None
        or by_rows(function)
        or getattr(function, "__module__", "").startswith("keras.src.activations")
    )
