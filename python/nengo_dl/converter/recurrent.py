"""Recurrent layers in temporal models: one step of the model is one step of the network."""

from __future__ import annotations

import inspect
from typing import Any, ClassVar

import keras
import nengo
import numpy as np

from ..tensor_node import TensorNode
from .filters import regularised, to_numpy
from .layer_converter import LayerConverter, register

# what goes from one step to the next
_NEXT_STEP = nengo.Lowpass(0)


class StepOfCell(keras.layers.Layer):
    """One step of the cell of a recurrent layer, from its input and states in one vector.

    Parameters
    ----------
    layer : keras.layers.RNN
        The recurrent layer; the weights of its cell are this layer's.
    shape_in : tuple of int
        Shape of the input of a step.
    size_out : int
        Number of elements of the output.
    """

    def __init__(self, layer: Any, shape_in: tuple, size_out: int) -> None:
        super().__init__(name=layer.name)
        self.cell = cell = layer.cell
        self.regularised = None  # a layer that Keras adds the loss of the outputs to
        if layer.activity_regularizer is not None:
            self.regularised = keras.layers.Identity(
                activity_regularizer=layer.activity_regularizer, dtype=layer.dtype_policy
            )
        self.shape_in = shape_in
        self.size_out = size_out
        first = layer.get_initial_state(batch_size=1)
        self.form = first  # how states are nested
        self.initial = np.concatenate([np.ravel(s) for s in keras.tree.flatten(first)])
        self.state_shapes = [tuple(state.shape[1:]) for state in keras.tree.flatten(first)]
        self.takes_training = "training" in inspect.signature(cell.call).parameters

    def build(self, input_shape: Any) -> None:
        """Do nothing: the cell was built when its model was made."""

    def compute_output_shape(self, input_shape: Any) -> tuple:
        """Shape of the output for the shape of the input."""
        return (input_shape[0], self.size_out + self.initial.size)

    def call(self, x: Any, training: bool | None = None) -> Any:
        """The output and the next states, flat and one after the other.

        The loss of the layer's activity regularizer is added as in Keras, for a step.
        """
        parts, start = [], 0
        for shape in (self.shape_in, *self.state_shapes):
            size = int(np.prod(shape))
            parts.append(keras.ops.reshape(x[:, start : start + size], (-1, *shape)))
            start += size
        states = keras.tree.pack_sequence_as(self.form, parts[1:])
        mode = {"training": training} if self.takes_training and training is not None else {}
        output, states = self.cell(parts[0], states, **mode)
        if self.regularised is not None:
            output = self.regularised(output)
        flat = [
            keras.ops.cast(keras.ops.reshape(part, (-1, int(np.prod(part.shape[1:])))), x.dtype)
            for part in (output, *keras.tree.flatten(states))
        ]
        return keras.ops.concatenate(flat, axis=-1)


def check_recurrent(layer: Any, converter: Any) -> None:
    """Raise `TypeError` if a recurrent layer can't be run step by step."""
    expected: dict[str, Any] = {
        "return_sequences": True,
        "return_state": False,
        "go_backwards": False,
    }
    expected["stateful"] = False
    if not converter.inference_only:
        expected.update(dropout=0, recurrent_dropout=0)
    for name, value in expected.items():
        found = getattr(layer, name, value)
        if found != value:
            raise TypeError(
                f"recurrent layer {layer.name!r} of a temporal model: expected {name}={value}, got "
                f"{found}"
            )


def add_cell(converter: LayerConverter, node_id: int) -> Any:
    """Make a TensorNode that runs one step of a recurrent layer, with a connection to itself.

    Parameters
    ----------
    converter : LayerConverter
        Converter of the layer.
    node_id : int
        Number of the call.

    Returns
    -------
    nengo object
        The output of the layer.
    """
    layer = converter.layer
    check_recurrent(layer, converter.converter)
    shape_in = converter.input_shape(node_id)
    n_in, n_out = (int(np.prod(s)) for s in (shape_in, converter.output_shape(node_id)))
    step = StepOfCell(layer, shape_in, n_out)
    n_states = step.initial.size
    if np.any(step.initial != 0) or len(converter.node(node_id).input_tensors) > 1:
        raise TypeError(
            f"recurrent layer {layer.name!r} of a temporal model: expected an initial state of "
            "zeros, got another one"
        )
    node = TensorNode(
        step, (n_in + n_states,), (n_out + n_states,), pass_time=False, label=layer.name
    )
    converter.add_connection(node_id, node[:n_in])
    converter.connect(node[n_out:], node[n_in:], synapse=_NEXT_STEP)
    return node[:n_out]


@register(keras.layers.SimpleRNN)
class ConvertSimpleRNN(LayerConverter):
    """In temporal models neurons that are connected to themselves, with a delay of one step."""

    unsupported_training_args: ClassVar[list] = regularised("kernel", "recurrent", "bias")
    has_weights = True

    @classmethod
    def convertible(cls, layer: Any, converter: Any) -> tuple[bool, str | None]:
        if not converter.temporal_model:
            return False, ("Recurrent layers have a native form only when temporal_model=True.")
        check_recurrent(layer, converter)
        return super().convertible(layer, converter)

    def has_step_axis(self) -> bool:
        return False  # the activation function of its cell gets one step at a time

    def convert(self, node_id: int) -> Any:
        layer, cell = self.layer, self.layer.cell
        if len(self.node(node_id).input_tensors) > 1:
            raise TypeError(f"recurrent layer {layer.name!r}: expected one input, got a state, too")
        obj = self.add_nengo_obj(
            node_id,
            biases=to_numpy(cell.bias) if cell.use_bias else None,
            activation=cell.activation,
        )
        self.add_connection(node_id, obj, trainable=True, transform=to_numpy(cell.kernel).T)
        back = to_numpy(cell.recurrent_kernel).T
        self.connect(obj, obj, trainable=True, transform=back, synapse=_NEXT_STEP)
        return obj
