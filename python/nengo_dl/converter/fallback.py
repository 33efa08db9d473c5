"""All other layers and operations: a TensorNode that calls Keras."""

from __future__ import annotations

import functools
import inspect
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from nengo.exceptions import ValidationError

from ..tensor_node import TensorNode
from .layer_converter import LayerConverter, register
from .recurrent import add_cell
from .steps import check_steps

# of what combines steps, where they are an axis of the input
_MIXES_TIME = (
    keras.layers.Bidirectional,
    keras.layers.MultiHeadAttention,
    keras.layers.GroupQueryAttention,
    keras.layers.Attention,
    keras.layers.AdditiveAttention,
)


@dataclass(frozen=True)
class CallForm:
    """How an operation is called.

    Parameters
    ----------
    args : tuple
        Positional arguments, with tensors of the model where inputs go.
    kwargs : dict
        The same by name.
    inputs : list
        The tensors, each once.
    shapes : list of tuple of int
        Shape of an item of each input.
    """

    args: tuple
    kwargs: dict
    inputs: list
    shapes: list

    def sizes(self) -> list[int]:
        """Number of elements of each input."""
        return [_size(shape) for shape in self.shapes]

    def filled_in(self, values: list) -> tuple[tuple, dict]:
        """The arguments, with values in the places of tensors."""
        by_tensor = {id(tensor): value for tensor, value in zip(self.inputs, values, strict=True)}

        def filled(arg: Any) -> Any:
            return by_tensor[id(arg)] if isinstance(arg, keras.KerasTensor) else arg

        return keras.tree.map_structure(filled, (self.args, self.kwargs))

    def is_plain(self) -> bool:
        """Whether there is one input, and no other argument (the mode is given in any case)."""
        named = [arg for name, arg in self.kwargs.items() if name != "training"]
        given = [arg for arg in (*self.args, *named) if arg is not None]
        return len(given) == 1 and isinstance(given[0], keras.KerasTensor)


def _size(shape: tuple) -> int:
    return int(np.prod(shape))


def _takes_training(operation: Any) -> bool:
    """Whether it may be told the mode."""
    call = getattr(operation, "call", operation)
    return "training" in inspect.signature(call).parameters


def _gives_floats(layer: Any, form: CallForm, output: Any) -> bool:
    """Whether the output of a layer needs no cast."""
    dtype = output.dtype
    if isinstance(layer, keras.layers.Lambda) or not type(layer).__module__.startswith("keras."):
        try:  # where a layer says nothing but its shape Keras assumes its precision
            dtype = keras.Operation.compute_output_spec(layer, *form.args, **form.kwargs).dtype
        except Exception:  # the simulator will say what is wrong
            return True
    return keras.backend.is_float_dtype(dtype)


def _noise_of_steps(layer: Any) -> bool:
    """Whether noise is drawn once for all steps, or a number of them, and not for each."""
    if isinstance(layer, keras.layers.SpatialDropout1D):
        return True
    if isinstance(layer, (keras.layers.SpatialDropout2D, keras.layers.SpatialDropout3D)):
        return layer.data_format == "channels_last"  # else the steps are the channels
    shape = getattr(layer, "noise_shape", None)
    return shape is not None and len(shape) > 1 and shape[1] is not None


class CallOfLayer(keras.layers.Layer):
    """Calls an operation as a model does, with one vector that holds all of its inputs.

    Parameters
    ----------
    operation : keras.Operation
        What is called. If it is a layer, its weights are this layer's.
    form : CallForm
        How.
    size_out : int
        Number of elements of all outputs.
    step_axis : bool
        Whether the operation expects an axis for the steps, of which there is one.
    wrapped : bool
        Whether the operation is a layer in a TimeDistributed layer, which goes by its ``call``,
        without the loss of its activity regularizer.
    """

    def __init__(
        self,
        operation: Any,
        form: CallForm,
        size_out: int,
        step_axis: bool = False,
        wrapped: bool = False,
    ) -> None:
        super().__init__(name=operation.name)
        self.operation = operation
        self.wrapped = wrapped
        self.form = form
        self.size_out = size_out
        self.step_axis = step_axis
        self.takes_training = _takes_training(operation)

    def build(self, input_shape: Any) -> None:
        """Do nothing: the layer inside was built when its model was made."""

    def compute_output_shape(self, input_shape: Any) -> tuple:
        """Shape of the output for the shape of the input."""
        return (input_shape[0], self.size_out)

    def call(self, x: Any, training: bool | None = None) -> Any:
        """All outputs, flat and one after the other."""
        axis = (1,) if self.step_axis else ()
        values, start = [], 0
        for shape, size in zip(self.form.shapes, self.form.sizes(), strict=True):
            part = x[:, start : start + size]
            values.append(keras.ops.reshape(part, (-1, *axis, *shape)))
            start += size
        args, kwargs = self.form.filled_in(values)
        if self.takes_training and training is not None:
            kwargs["training"] = training  # goes before what the model says, as in Keras
        called = self.operation
        if self.wrapped:
            called = self.operation.call
            if kwargs.get("mask") is None:
                kwargs.pop("mask", None)  # of the TimeDistributed layer
        outputs = [
            keras.ops.cast(keras.ops.reshape(y, (-1, _size(y.shape[1:]))), x.dtype)
            for y in keras.tree.flatten(called(*args, **kwargs))
        ]
        return outputs[0] if len(outputs) == 1 else keras.ops.concatenate(outputs, axis=-1)


@register(None)
class ConvertFallback(LayerConverter):
    """Any layer or operation becomes a TensorNode, which has all inputs one after the other."""

    def convert(self, node_id: int) -> Any:
        self._check(node_id)
        if isinstance(self.layer, keras.layers.RNN) and self.has_step_axis():
            return add_cell(self, node_id)
        node = self.node(node_id)
        tensors = list({id(tensor): tensor for tensor in node.input_tensors}.values())
        form = CallForm(
            tuple(node.arguments.args),
            dict(node.arguments.kwargs),
            tensors,
            [self.shape_of(tensor) for tensor in tensors],
        )
        shapes = [self.shape_of(tensor) for tensor in node.output_tensors]
        if self.has_step_axis():
            self._check_steps(form)
        obj = self._tensor_node(form, node.output_tensors)
        ends = np.cumsum(form.sizes())
        for tensor, end, size in zip(tensors, ends, form.sizes(), strict=True):
            place = obj if len(tensors) == 1 else obj[end - size : end]
            self.connect(self.converter.object_of(tensor), place)
        if len(shapes) == 1:
            return obj
        ends = np.cumsum([_size(shape) for shape in shapes])
        return [obj[end - _size(shape) : end] for shape, end in zip(shapes, ends, strict=True)]

    def _check_steps(self, form: CallForm) -> None:
        """Refuse an operation that gives something else for a step alone than among others.

        In training, too, if the network may be trained.
        """
        layer, takes_training = self.layer, _takes_training(self.layer)

        def called(values: list, training: bool = False) -> Any:
            args, kwargs = form.filled_in([keras.ops.convert_to_tensor(v) for v in values])
            if takes_training:
                kwargs["training"] = training
            return layer(*args, **kwargs)

        variables = getattr(layer, "non_trainable_variables", [])
        where = f"{type(layer).__name__} {layer.name!r}"
        check_steps(where, variables, called, called, form.inputs)
        if takes_training and not self.converter.inference_only:
            trained = functools.partial(called, training=True)
            check_steps(where, variables, trained, trained, form.inputs, training=True)

    def _tensor_node(self, form: CallForm, outputs: list) -> TensorNode:
        shapes = [self.shape_of(tensor) for tensor in outputs]
        step_axis = self.has_step_axis()
        regularised = getattr(self.layer, "activity_regularizer", None) is not None
        wrapped = regularised and self.graph_layer is not self.layer
        plain = (
            isinstance(self.layer, keras.layers.Layer)
            and form.is_plain()
            and len(outputs) == 1
            and form.shapes[0]
            and shapes[0]
            and _gives_floats(self.layer, form, outputs[0])
        )
        if plain and not (step_axis or wrapped):
            func, shape_in, shape_out = self.layer, form.shapes[0], shapes[0]
        else:
            shape_in, shape_out = (sum(form.sizes()),), (sum(map(_size, shapes)),)
            func = CallOfLayer(self.layer, form, shape_out[0], step_axis, wrapped)
        return TensorNode(
            func, shape_in=shape_in, shape_out=shape_out, pass_time=False, label=self.layer.name
        )

    def _check(self, node_id: int) -> None:
        """Refuse what a TensorNode can't compute from items and steps one by one."""
        layer, node = self.layer, self.node(node_id)
        where = f"{type(layer).__name__} {layer.name!r}"
        if isinstance(layer, keras.layers.Masking) or getattr(layer, "mask_zero", False):
            raise TypeError(
                f"{where} passes a mask on to other layers, which the converter can't; take the "
                "mask out of the model"
            )
        if self.has_step_axis() and isinstance(layer, _MIXES_TIME):
            raise TypeError(f"{where} would combine steps of a temporal model")
        if self.has_step_axis() and not self.converter.inference_only and _noise_of_steps(layer):
            raise TypeError(
                f"{where} would combine steps of a temporal model: in training all of them get the "
                "same noise; put it into a TimeDistributed layer for noise of each step, or set "
                "inference_only=True"
            )
        first = node.input_tensors[0]
        axes = 2 if self.converter.temporal_model else 1
        for tensor in node.output_tensors:
            if tuple(tensor.shape[:axes]) != tuple(first.shape[:axes]):
                raise ValidationError(
                    f"{where}: expected an output whose shape begins with {first.shape[:axes]}, as "
                    f"that of its input, got {tensor.shape}",
                    attr="layer",
                    obj=self,
                )
            if None in tensor.shape[axes:]:
                raise ValidationError(
                    f"{where}: expected an output of known shape, got {tensor.shape}",
                    attr="layer",
                    obj=self,
                )
