"""Inputs, models inside of models, and layers that wrap another one."""

from __future__ import annotations

from typing import Any, ClassVar

import keras
import nengo
import numpy as np

from ..keras_private import functional_class
from .keras_graph import functional_form
from .layer_converter import LayerConverter, register


@register(keras.layers.InputLayer)
class ConvertInput(LayerConverter):
    """An input becomes a Node of zeros, which is given data in runs."""

    def convert(self, node_id: int) -> nengo.Node:
        shape = self.output_shape(node_id)
        if None in shape:
            raise ValueError(
                f"input {self.layer.name!r}: expected a known shape, got "
                f"{self.output_shape(node_id, full_shape=True)[1:]}; if its first axis is the "
                "time, set temporal_model=True"
            )
        return nengo.Node(np.zeros(int(np.prod(shape))), label=self.layer.name)


@register(functional_class())
class ConvertModel(LayerConverter):
    """A model inside of another one becomes a network inside of the network."""

    takes_steps: ClassVar[bool] = False

    @classmethod
    def convertible(cls, layer: Any, converter: Any) -> tuple[bool, str | None]:
        axes = 2 if converter.temporal_model else 1
        for tensor in functional_form(layer).inputs:
            if None in tensor.shape[axes:]:
                return False, (
                    f"The inner model {layer.name!r} leaves the shape of its input open, "
                    f"{tensor.shape}."
                )
        return super().convertible(layer, converter)

    def convert(self, node_id: int) -> list:
        model = functional_form(self.layer)
        with nengo.Network(label=self.label(node_id)) as net:
            relays = [
                nengo.Node(size_in=int(np.prod(self.shape_of(tensor))), label=tensor.name)
                for tensor in model.inputs
            ]
        for i, relay in enumerate(relays):
            self.add_connection(node_id, relay, input_idx=i)
        given = {id(tensor): relay for tensor, relay in zip(model.inputs, relays, strict=True)}
        with net:
            return self.converter.convert_graph(model, given)


@register(keras.Sequential)
class ConvertSequential(ConvertModel):
    """A Sequential model has a functional one inside."""


@register(keras.layers.TimeDistributed)
class ConvertTimeDistributed(LayerConverter):
    """A layer that is applied to every step is, in a temporal model, just that layer."""

    allow_fallback = False
    takes_steps: ClassVar[bool] = False  # the time is an axis of the outer one alone

    def __init__(self, layer: Any, converter: Any) -> None:
        super().__init__(layer, converter)
        self.inner = converter.new_converter(layer.layer, each_step=True)
        self.inner.graph_layer = layer
        self.inner.notes = self.notes
        self.has_weights = self.inner.has_weights

    def convert(self, node_id: int) -> Any:
        found = self.inner.convert(node_id)
        self.reason = self.inner.reason
        return found

    @classmethod
    def convertible(cls, layer: Any, converter: Any) -> tuple[bool, str | None]:
        if not converter.temporal_model:
            return False, ("TimeDistributed layers can only be converted when temporal_model=True.")
        return super().convertible(layer, converter)
