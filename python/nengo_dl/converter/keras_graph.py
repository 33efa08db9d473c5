"""What a Keras model is made of: its functional form, its calls of layers, tensors and objects."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras
import nengo

from ..keras_private import functional_of, inbound_nodes, said_of_legacy

MOST_NAMES = 8  # in a message


def functional_form(model: Any) -> Any:
    """The functional model that a model is, or has inside.

    Parameters
    ----------
    model : keras.Model
        A functional or Sequential model.

    Returns
    -------
    keras.Model
        The functional model, which has the same layers and tensors.

    Raises
    ------
    TypeError
        If it is neither.
    ValueError
        If it is a Sequential model that doesn't know the shape of its input yet.
    """
    if not isinstance(model, keras.Model):
        legacy = said_of_legacy(model, "a model")
        raise TypeError(legacy or f"expected a Keras model, got {type(model).__name__}")
    if isinstance(model, keras.Sequential) and not model.built:
        raise ValueError(
            f"expected a model that is built, got Sequential model {model.name!r} of unknown input "
            "shape; begin it with keras.Input(shape)"
        )
    found = functional_of(model)
    if found is None:
        kind = type(model).__name__
        raise TypeError(
            f"expected a functional or Sequential model, got {kind} {model.name!r}, a "
            "subclass of keras.Model with a call of its own; its layers can't be found"
        )
    return found


def index_of(node: Any) -> int:
    """The number of a call of a layer among all calls of it."""
    return next(i for i, other in enumerate(inbound_nodes(node.operation)) if other is node)


class KerasTensorDict(Mapping):
    """What stands for the tensors of a Keras model.

    A key is a tuple of tensors (the outputs of one call of a layer). A single tensor, a list of
    tensors or a layer will do, too, as long as the layer was called once.

    Parameters
    ----------
    what : str
        What the tensors are, for people.
    """

    def __init__(self, what: str) -> None:
        self.what = what
        self._entries: dict[tuple[int, ...], tuple[tuple, Any]] = {}
        self._names: list[str] = []  # of layers or tensors, for people
        self._ambiguous: set[tuple[int, ...]] = set()

    def add(self, tensors: Sequence, value: Any, name: str = "") -> None:
        """Say what stands for some tensors; a second time makes them ambiguous."""
        self._names.append(name or tensors[0].name)
        key = tuple(id(tensor) for tensor in tensors)
        if key in self._entries:
            self._ambiguous.add(key)
        self._entries[key] = (tuple(tensors), value)

    def _calls_of_layer(self, layer: Any) -> list[tuple[int, ...]]:
        keys = (tuple(id(t) for t in node.output_tensors) for node in inbound_nodes(layer))
        return [key for key in keys if key in self._entries]

    def _key_of(self, item: Any) -> tuple[int, ...]:
        if isinstance(item, keras.Operation):
            keys = self._calls_of_layer(item)
            if not keys:
                raise self._unknown(f"{type(item).__name__} {item.name!r}")
            if len(keys) > 1 or keys[0] in self._ambiguous:
                raise KeyError(
                    f"layer {item.name!r} is called several times: expected the output of one of "
                    "its calls as the key, got the layer"
                )
            return keys[0]
        key = tuple(id(t) for t in (item if isinstance(item, (list, tuple)) else (item,)))
        if key in self._ambiguous:
            raise KeyError(f"{item} belongs to a model that is called several times: no key for it")
        return key

    def __getitem__(self, item: Any) -> Any:
        key = self._key_of(item)
        if key not in self._entries:
            raise self._unknown(f"the name {item!r}" if isinstance(item, str) else repr(item))
        return self._entries[key][1]

    def _unknown(self, item: str) -> KeyError:
        """The error for a key that is not there."""
        names = list(dict.fromkeys(self._names))
        more = ", ..." if len(names) > MOST_NAMES else ""
        some = ", ".join(names[:MOST_NAMES]) + more
        return KeyError(f"expected {self.what} as the key (there are {some}), got {item}")

    def __contains__(self, item: object) -> bool:
        try:
            return self._key_of(item) in self._entries
        except KeyError:
            return False

    def __iter__(self) -> Iterator[tuple]:
        return (tensors for tensors, _ in self._entries.values())

    def __len__(self) -> int:
        return len(self._entries)


def is_neurons(obj: Any) -> bool:
    """Whether it is the neurons of an ensemble, or some of them."""
    return isinstance(getattr(obj, "obj", obj), nengo.ensemble.Neurons)
