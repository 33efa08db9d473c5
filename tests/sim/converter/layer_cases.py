"""A model of every layer that has a converter: the registry asks for them."""

from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np

L = keras.layers


@dataclass(frozen=True)
class Case:
    """How a layer is made, shapes of its inputs, options of the Converter."""

    make: Any
    shapes: tuple
    options: dict = field(default_factory=dict)
    single: bool = True  # whether a Sequential model can have it


def case(layer, *shapes, single=True, **options):
    return Case(layer, shapes, options, single)


def nested(make_model):
    """A layer that is a model: a Dense layer after another one."""

    def make():
        x = keras.Input((3,))
        return make_model(x, [L.Dense(4, activation="relu"), L.Dense(2)])

    return make


def functional(x, layers):
    y = x
    for layer in layers:
        y = layer(y)
    return keras.Model(x, y)


def getitem(x):
    return x[:, 1:, None, 0]


IMAGE = (5, 4, 3)
VOLUME = (4, 3, 3, 2)
ROW = (6, 3)
inference = {"inference_only": True}

CASES = {
    L.InputLayer: [case(lambda: L.Dense(2), (3,))],  # every model has one
    type(functional(keras.Input((1,)), [L.Dense(1)])): [case(nested(functional), (3,))],
    keras.Sequential: [case(nested(lambda x, layers: keras.Sequential([x, *layers])), (3,))],
    L.TimeDistributed: [
        case(lambda: L.TimeDistributed(L.Dense(2, activation="relu")), (4, 3), temporal_model=True),
        case(lambda: L.TimeDistributed(L.Conv1D(2, 3)), (2, *ROW), temporal_model=True),
        case(lambda: L.TimeDistributed(L.Flatten()), (2, *ROW), temporal_model=True),
        case(lambda: L.TimeDistributed(L.MaxPooling1D(4)), (2, *ROW), temporal_model=True),
    ],
    L.Dense: [
        case(lambda: L.Dense(4), (3,)),
        case(lambda: L.Dense(4, activation="relu"), (3,)),
        case(lambda: L.Dense(4, activation="sigmoid", use_bias=False), (3,)),
        case(lambda: L.Dense(4, activation="tanh"), ROW),  # K-04
        case(lambda: L.Dense(2, use_bias=False), IMAGE),
        case(lambda: L.Dense(4, kernel_regularizer="l2"), (3,), **inference),  # K-19
        case(lambda: L.Dense(4), (5, 3), temporal_model=True),
    ],
    L.Conv1D: [
        case(lambda: L.Conv1D(4, 3, activation="relu"), ROW),
        case(lambda: L.Conv1D(4, 2, strides=2, padding="same", use_bias=False), ROW),
    ],
    L.Conv2D: [
        case(lambda: L.Conv2D(4, (3, 2), activation="tanh"), IMAGE),
        case(lambda: L.Conv2D(6, 3, strides=(2, 1), padding="same", groups=3), IMAGE),
    ],
    L.Conv3D: [case(lambda: L.Conv3D(2, 2, padding="same"), VOLUME)],
    L.DepthwiseConv1D: [case(lambda: L.DepthwiseConv1D(2, depth_multiplier=2), ROW)],
    L.DepthwiseConv2D: [
        case(lambda: L.DepthwiseConv2D(3, depth_multiplier=2, padding="same"), IMAGE),
        case(lambda: L.DepthwiseConv2D(2, strides=2, activation="relu"), IMAGE),
    ],
    L.SeparableConv1D: [case(lambda: L.SeparableConv1D(4, 3, strides=2), ROW)],
    L.SeparableConv2D: [
        case(lambda: L.SeparableConv2D(4, 3, depth_multiplier=2, padding="same"), IMAGE),
        case(lambda: L.SeparableConv2D(2, 2, activation="relu", use_bias=False), IMAGE),
    ],
    L.AveragePooling1D: [case(lambda: L.AveragePooling1D(2), ROW)],
    L.AveragePooling2D: [
        case(lambda: L.AveragePooling2D((2, 3), strides=1), IMAGE),
        case(lambda: L.AveragePooling2D(3, strides=2, padding="same"), IMAGE),
        case(lambda: L.AveragePooling2D(2, padding="same"), IMAGE),
    ],
    L.AveragePooling3D: [case(lambda: L.AveragePooling3D(2, padding="same"), VOLUME)],
    L.GlobalAveragePooling1D: [case(lambda: L.GlobalAveragePooling1D(), ROW)],
    L.GlobalAveragePooling2D: [case(lambda: L.GlobalAveragePooling2D(keepdims=True), IMAGE)],
    L.GlobalAveragePooling3D: [case(lambda: L.GlobalAveragePooling3D(), VOLUME)],
    L.MaxPooling1D: [
        case(lambda: L.MaxPooling1D(2), ROW),
        case(lambda: L.MaxPooling1D(3, strides=1, padding="same"), ROW),
    ],
    L.MaxPooling2D: [
        case(lambda: L.MaxPooling2D((2, 3), strides=1), IMAGE),
        case(lambda: L.MaxPooling2D(3, strides=(2, 1), padding="same"), IMAGE),
        case(lambda: L.MaxPooling2D(2, padding="same", data_format="channels_first"), IMAGE),
    ],
    L.MaxPooling3D: [
        case(lambda: L.MaxPooling3D(2), VOLUME),
        case(lambda: L.MaxPooling3D((1, 3, 2), strides=2, padding="same"), VOLUME),
    ],
    L.GlobalMaxPooling1D: [
        case(lambda: L.GlobalMaxPooling1D(), ROW),
        case(lambda: L.GlobalMaxPooling1D(data_format="channels_first"), ROW),
    ],
    L.GlobalMaxPooling2D: [case(lambda: L.GlobalMaxPooling2D(keepdims=True), IMAGE)],
    L.GlobalMaxPooling3D: [
        case(lambda: L.GlobalMaxPooling3D(), VOLUME),
        case(lambda: L.GlobalMaxPooling3D(data_format="channels_first"), VOLUME),
    ],
    L.BatchNormalization: [
        case(lambda: L.BatchNormalization(), IMAGE, **inference),
        case(lambda: L.BatchNormalization(axis=1, scale=False), ROW, **inference),
        case(lambda: L.BatchNormalization(center=False, trainable=False), (3,)),
    ],
    L.Rescaling: [case(lambda: L.Rescaling(2.0, -1.0), IMAGE)],
    L.Activation: [
        case(lambda: L.Activation("relu"), ROW),
        case(lambda: L.Activation("linear"), ROW),
    ],
    L.ReLU: [
        case(lambda: L.ReLU(), ROW),
        case(lambda: L.ReLU(negative_slope=0.2), ROW),
        case(lambda: L.ReLU(max_value=0.5), ROW),
        case(lambda: L.ReLU(max_value=0.25, negative_slope=0.5), ROW),
    ],
    L.LeakyReLU: [case(lambda: L.LeakyReLU(negative_slope=0.3), ROW)],
    L.Add: [
        case(lambda: L.Add(), ROW, ROW, ROW, single=False),
        case(lambda: L.Add(), IMAGE, (1, 1, 3), single=False),
    ],
    L.Subtract: [case(lambda: L.Subtract(), ROW, ROW, single=False)],
    L.Average: [case(lambda: L.Average(), ROW, ROW, ROW, single=False)],
    L.Concatenate: [
        case(lambda: L.Concatenate(), ROW, (6, 2), single=False),
        case(lambda: L.Concatenate(axis=1), ROW, (2, 3), single=False),
        case(lambda: L.Concatenate(), (2, 3), (2, 1), single=False, temporal_model=True),
    ],
    L.Flatten: [
        case(lambda: L.Flatten(), IMAGE),
        case(lambda: L.Flatten(data_format="channels_first"), IMAGE),
    ],
    L.Reshape: [
        case(lambda: L.Reshape((3, -1)), ROW),
        case(lambda: L.Reshape((-1, 6)), (4, 2, 3), temporal_model=True),
    ],
    L.Identity: [case(lambda: L.Identity(), ROW)],
    L.Permute: [case(lambda: L.Permute((3, 1, 2)), IMAGE)],
    L.RepeatVector: [case(lambda: L.RepeatVector(3), (4,))],
    L.UpSampling1D: [case(lambda: L.UpSampling1D(3), ROW)],
    L.UpSampling2D: [
        case(lambda: L.UpSampling2D((2, 3)), IMAGE),
        case(lambda: L.UpSampling2D(2, data_format="channels_first"), IMAGE),
    ],
    L.UpSampling3D: [case(lambda: L.UpSampling3D((2, 1, 3)), VOLUME)],
    L.ZeroPadding1D: [case(lambda: L.ZeroPadding1D((1, 2)), ROW)],
    L.ZeroPadding2D: [
        case(lambda: L.ZeroPadding2D(((0, 1), (2, 0))), IMAGE),
        case(lambda: L.ZeroPadding2D((1, 2), data_format="channels_first"), IMAGE),
    ],
    L.ZeroPadding3D: [case(lambda: L.ZeroPadding3D(1), VOLUME)],
    L.Cropping1D: [case(lambda: L.Cropping1D((1, 2)), ROW)],
    L.Cropping2D: [case(lambda: L.Cropping2D(((1, 2), (0, 1))), IMAGE)],
    L.Cropping3D: [case(lambda: L.Cropping3D(((1, 0), (0, 1), (1, 1))), VOLUME)],
    L.SimpleRNN: [
        case(lambda: L.SimpleRNN(3, return_sequences=True), ROW, temporal_model=True),
        case(
            lambda: L.SimpleRNN(3, activation="relu", use_bias=False, return_sequences=True),
            (None, 3),
            temporal_model=True,
        ),
    ],
    L.Dropout: [case(lambda: L.Dropout(0.5), ROW, **inference)],
    L.SpatialDropout1D: [case(lambda: L.SpatialDropout1D(0.5), ROW, **inference)],
    L.SpatialDropout2D: [case(lambda: L.SpatialDropout2D(0.5), IMAGE, **inference)],
    L.SpatialDropout3D: [case(lambda: L.SpatialDropout3D(0.5), VOLUME, **inference)],
    L.AlphaDropout: [case(lambda: L.AlphaDropout(0.5), ROW, **inference)],
    L.GaussianDropout: [case(lambda: L.GaussianDropout(0.5), ROW, **inference)],
    L.GaussianNoise: [case(lambda: L.GaussianNoise(0.5), ROW, **inference)],
    L.ActivityRegularization: [case(lambda: L.ActivityRegularization(0.1), ROW, **inference)],
    type(keras.Model(x := keras.Input((2,)), y := x[:, :1]).operations[-1]): [
        case(lambda: getitem, ROW, single=False)
    ],
}
# what may become an average in place of the maximum: another output than that of Keras
MAXIMA = {
    L.MaxPooling1D: (lambda: L.MaxPooling1D(2), lambda: L.AveragePooling1D(2), ROW),
    L.MaxPooling2D: (
        lambda: L.MaxPooling2D(2, padding="same"),
        lambda: L.AveragePooling2D(2, padding="same"),
        IMAGE,
    ),
    L.MaxPooling3D: (lambda: L.MaxPooling3D(2), lambda: L.AveragePooling3D(2), VOLUME),
    L.GlobalMaxPooling1D: (L.GlobalMaxPooling1D, L.GlobalAveragePooling1D, ROW),
    L.GlobalMaxPooling2D: (L.GlobalMaxPooling2D, L.GlobalAveragePooling2D, IMAGE),
    L.GlobalMaxPooling3D: (L.GlobalMaxPooling3D, L.GlobalAveragePooling3D, VOLUME),
}


def model_of(case, sequential=False, dense_before=False):
    """A model of a single layer (maybe after a Dense one), whose weights are all random."""
    if sequential:
        return with_random_weights(keras.Sequential([keras.Input(case.shapes[0]), case.make()]))
    inputs = [keras.Input(shape) for shape in case.shapes]
    tensors = [L.Dense(x.shape[-1])(x) for x in inputs] if dense_before else inputs
    y = case.make()(tensors[0] if len(tensors) == 1 else tensors)
    return with_random_weights(keras.Model(inputs, y))


def with_random_weights(model, seed=0):
    rng = np.random.RandomState(seed)
    for weight in model.weights:
        weight.assign(rng.uniform(0.2, 1, weight.shape) * rng.choice([-1, 1]))
        if "variance" in weight.name:
            weight.assign(rng.uniform(0.2, 1, weight.shape))
    return model


def random_inputs(model, seed=0, items=3):
    rng = np.random.RandomState(seed)
    shapes = [[n or 5 for n in tensor.shape[1:]] for tensor in model.inputs]
    return [rng.uniform(-1, 1, (items, *shape)).astype(np.float32) for shape in shapes]
