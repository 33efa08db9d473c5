"""The Keras layers that a model calls: their weights by name, and what they start from."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np

from nengo_dl.layer.layer_state import unique_names
from nengo_dl.layer.tensor_calls import call_runners
from nengo_dl.plan.pieces import Plan


class TensorLayers:
    """The layers of a model's calls, each of them once.

    Parameters
    ----------
    plan : nengo_dl.plan.Plan
        Whose calls.
    minibatch_size : int
        Items per minibatch.
    names : sequence of str, optional
        A name for each call, which its weights go by; by default as the plan calls it.

    Attributes
    ----------
    calls : tuple of nengo_dl.layer.tensor_calls.CallRunner
        What runs each of the calls.
    names : tuple of str
        A name for each.
    layers : list of keras.layers.Layer
        What Keras looks for weights and losses in.
    weights : dict
        Name -> weight of a layer. Names are the same in every process.
    """

    def __init__(self, plan: Plan, minibatch_size: int, names: Sequence[str] | None = None) -> None:
        self.calls = calls = call_runners(plan, minibatch_size)
        self.names = tuple([c.call.name for c in calls] if names is None else names)
        owners = {}
        for call, name in zip(calls, self.names, strict=True):
            if call.layer is not None:
                owners.setdefault(call.layer, name)
        self.layers = list(owners)
        found = {}
        for layer, name in owners.items():
            for weight in layer.weights:
                if not any(weight is other for other, _ in found.values()):
                    found[len(found)] = weight, f"{name}.{weight.name}"
        # the model's own parameters keep their names
        own = {name: None for w in plan.weights if w is not None for name in (w.name, *w.members)}
        names = unique_names([*own, *(name for _, name in found.values())])[len(own) :]
        self.weights = {name: w for name, (w, _) in zip(names, found.values(), strict=True)}
        self._initial = self.values()

    @property
    def variables(self) -> list[keras.Variable]:
        """All that the layers keep: weights, and the state of their random generators."""
        return [variable for layer in self.layers for variable in layer.variables]

    def values(self) -> dict[str, np.ndarray]:
        """Present values of the weights by name."""
        return {name: weight.numpy() for name, weight in self.weights.items()}

    def reset(self) -> None:
        """Give the weights the values that they had when the simulator was made."""
        for name, value in self._initial.items():
            self.weights[name].assign(value)
