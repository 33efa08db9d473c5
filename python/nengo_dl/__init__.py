"""NengoDL: Nengo models as one compiled op inside TensorFlow and Keras."""

import importlib
from typing import Any

from . import keras_names, version

__version__ = version.version
__copyright__ = version.copyright
__license__ = version.license

# Loaded on first use, so that the planner can be used without TensorFlow or the compiled library.
_LAZY = {
    "Converter": "converter",
    "Layer": "tensor_node",
    "LeakyReLU": "neurons",
    "MaxPool": "pooling",
    "Simulator": "simulator",
    "SoftLIFRate": "neurons",
    "SpikingLeakyReLU": "neurons",
    "TensorNode": "tensor_node",
    "configure_settings": "config",
    "tensor_layer": "tensor_node",
}
_MODULES = (
    "benchmarks",
    "builder",
    "callbacks",
    "compat",
    "config",
    "converter",
    "dists",
    "graph_optimizer",
    "losses",
    "neuron_builders",
    "neurons",
    "pooling",
    "simulator",
    "surrogates",
    "tensor_graph",
    "tensor_node",
    "utils",
)
_PUBLIC = (*_LAZY, *_MODULES)


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"nengo_dl.{name}")
    if name in _LAZY:
        value = getattr(importlib.import_module(f"nengo_dl.{_LAZY[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(
        f"module {__name__!r} has no attribute {name!r}; there are {', '.join(_PUBLIC)}"
    )


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(_LAZY) | set(_MODULES))


keras_names.announce()
