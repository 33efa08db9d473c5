"""The Keras model around the layer, and what is trainable of both."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import keras

from nengo_dl.layer.layer_state import unique_names


class FixedForInference:
    """For a Keras layer or model of which nothing is trainable while it is ``fixed``.

    Keras asks the weights themselves. Those of layers that the model calls are the user's, and
    trainable elsewhere.
    """

    fixed = False

    @property
    def trainable_variables(self):
        """list of keras.Variable : What is trained, as Keras finds it."""
        return [] if self.fixed else super().trainable_variables

    @property
    def non_trainable_variables(self):
        """list of keras.Variable : What isn't, with the state of random generators."""
        return self.variables if self.fixed else super().non_trainable_variables

    @property
    def trainable_weights(self):
        """list of keras.Variable : As `trainable_variables`."""
        return [] if self.fixed else super().trainable_weights

    @property
    def non_trainable_weights(self):
        """list of keras.Variable : As `non_trainable_variables`, of weights alone."""
        return self.weights if self.fixed else super().non_trainable_weights


def build_keras_model(layer: Any, model_class: type = keras.Model) -> Any:
    """A functional model around a `nengo_dl.tensor_graph.TensorGraph`.

    Parameters
    ----------
    layer : nengo_dl.tensor_graph.TensorGraph
        The layer.
    model_class : type
        `keras.Model` or a class derived from it.

    Returns
    -------
    keras.Model
        Named ``"keras_model"``. Inputs: one per node, then ``n_steps``. Outputs: a dict with one
        entry per probe and ``"steps_run"``; ``input_names`` and ``output_names`` list both in
        this order.
    """
    inputs, n_steps = layer.build_inputs()
    tensors = [*inputs.values(), n_steps]
    names = unique_names([*layer.output_names, "steps_run"])
    outputs = layer(tensors)
    # Keras sorts the entries of a dict, but not those of an OrderedDict
    named = OrderedDict(zip(names, outputs, strict=True))
    model = model_class(inputs=tensors, outputs=named, name="keras_model")
    if isinstance(model, FixedForInference):
        model.fixed = layer.fixed
    model.input_names = [tensor.name for tensor in tensors]
    model.output_names = names
    return model
