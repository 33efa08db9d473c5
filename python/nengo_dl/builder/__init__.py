"""How users' own operators, neuron types, processes and objects are built.

`tensorflow` registers TensorFlow code; `NengoBuilder` builds objects for this backend alone.
`Builder`, `OpBuilder` and `BuildConfig` are the names by which code written for NengoDL does it.
"""

from .network import NengoBuilder, NengoModel
from .op_builders import BuildConfig, Builder, OpBuilder, SignalDict, TensorSignal
from .tensor_code import tensorflow

__all__ = [
    "BuildConfig",
    "Builder",
    "NengoBuilder",
    "NengoModel",
    "OpBuilder",
    "SignalDict",
    "TensorSignal",
    "tensorflow",
]
