"""What became of each layer of a converted model, as a table."""

from __future__ import annotations

import re
from dataclasses import astuple, dataclass, fields
from typing import Any

import nengo

from ..tensor_node import TensorNode


@dataclass(frozen=True)
class ReportEntry:
    """What became of a call of a layer.

    Parameters
    ----------
    layer : str
        Name of the layer and number of the call.
    type : str
        Class of the layer.
    became : str
        What its output comes from.
    status : str
        ``"native"`` (Nengo objects that compute the same), ``"approximate"`` (Nengo objects whose
        output may differ) or ``"fallback"`` (a TensorNode that calls Keras).
    why : str
        The reason, where it is not native.
    """

    layer: str
    type: str
    became: str
    status: str
    why: str


class Report(list):
    """A list of `ReportEntry`, which prints as a table."""

    def __str__(self) -> str:
        rows = [tuple(entry.name for entry in fields(ReportEntry)), *map(astuple, self)]
        widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
        lines = [
            "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
            for row in rows
        ]
        return "\n".join([lines[0], "-" * sum(widths), *lines[1:]])


def entry_of(converter: Any, call: Any, objs: list, copied: bool) -> ReportEntry:
    """The entry for a call that was converted.

    Parameters
    ----------
    converter : LayerConverter
        What converted it.
    call : object
        What Keras knows of the call.
    objs : list of nengo objects
        What its outputs come from.
    copied : bool
        Whether it is a further call of a layer with weights, which got a copy of them.

    Returns
    -------
    ReportEntry
        The entry.
    """
    layer = call.operation
    notes = [*converter.notes, *(["its weights are a copy"] if copied else [])]
    converter.notes.clear()
    if converter.reason:
        status, notes = "fallback", [converter.reason.rstrip("."), *notes]
    else:
        status = "approximate" if notes else "native"
    became = ", ".join(_described(obj, layer) for obj in objs)
    return ReportEntry(layer.name, type(layer).__name__, became, status, "; ".join(notes))


def _described(obj: Any, layer: Any) -> str:
    if isinstance(obj, nengo.ensemble.Neurons):
        long = re.compile(r"\d+\.\d{4,}(e-?\d+)?")
        neuron_type = long.sub(
            lambda found: f"{float(found[0]):.3g}", str(obj.ensemble.neuron_type)
        )
        return f"{obj.ensemble.n_neurons} {neuron_type}"
    if isinstance(obj, nengo.base.ObjView):
        return f"{obj.size_out} elements of {_described(obj.obj, layer)}"
    return f"{'TensorNode' if isinstance(obj, TensorNode) else 'Node'} of {obj.size_out}"
