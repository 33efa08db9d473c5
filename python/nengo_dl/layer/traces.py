"""What the trace of a function says of it: of what kinds its ops are, and their gradients."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Iterator
from typing import Any

import tensorflow as tf
from tensorflow.python.framework import op_def_registry

# ops that TensorFlow calls stateful, but that neither change nor draw anything
HARMLESS = {
    "Assert", "Case", "If", "NoOp", "PartitionedCall", "Placeholder", "ReadVariableOp",
    "ResourceGather", "ResourceGatherNd", "StatefulPartitionedCall", "VarHandleOp",
    "VariableShape", "While",
}  # fmt: skip
# of which each element of the result has one element of each argument
_ELEMENTWISE = set(
    """
    Abs Acos Acosh Add AddV2 Asin Asinh Atan Atan2 Atanh Cast Ceil ClipByValue Cos Cosh Div
    DivNoNan Elu Equal Erf Erfc Exp Expm1 Floor FloorDiv FloorMod Greater GreaterEqual Identity
    IdentityN IsFinite IsInf IsNan LeakyRelu Less LessEqual Lgamma Log Log1p LogicalAnd LogicalNot
    LogicalOr Maximum Minimum Mul MulNoNan Neg NotEqual OnesLike PartitionedCall Placeholder Pow
    RealDiv Reciprocal Relu Relu6 Rint Round Rsqrt SelectV2 Selu Sigmoid Sign Sin Sinh Softplus
    Softsign Sqrt Square SquaredDifference StatefulPartitionedCall StopGradient Sub Tan Tanh Xdivy
    Xlogy ZerosLike
""".split()
)
_GRADIENT = "_gradient_op_type"  # attribute of an op: by which name its gradient is registered
_OF_CALLS = (b"PartitionedCall", b"StatefulPartitionedCall")  # TensorFlow's for functions


def stateful_ops(graph: Any) -> set[str]:
    """Kinds of ops of a graph, and of the functions it calls, that change or draw something."""
    found = set()
    for kind in {node.op for node in _all_nodes(graph)} - HARMLESS:
        entry = op_def_registry.get(kind)
        if entry is not None and entry.is_stateful:
            found.add(kind)
    return found


def has_own_gradient(graph: Any) -> bool:
    """Whether a graph, or a function it calls, has a gradient that isn't its ops': a custom one."""
    return any(map(_own_gradient, _all_nodes(graph)))


def by_elements(graph: Any) -> bool:
    """Whether all that a traced call of a function does, and its gradient, go element by element.

    Parameters
    ----------
    graph : tf.Graph
        Of the call of a `tf.function`; what else it does to the result is left out.

    Returns
    -------
    bool
    """
    functions = graph.as_graph_def().library.function
    return bool(functions) and all(
        len(function.signature.input_arg) == 1 and all(map(_elementwise, function.node_def))
        for function in functions
    )


def _elementwise(node):
    single = node.op == "Const" and not node.attr["value"].tensor.tensor_shape.dim
    return single or (node.op in _ELEMENTWISE and not _own_gradient(node))


def _own_gradient(node):
    return _GRADIENT in node.attr and not node.attr[_GRADIENT].s.startswith(_OF_CALLS)


def _all_nodes(graph):
    definition = graph.as_graph_def()
    return [*definition.node, *(n for f in definition.library.function for n in f.node_def)]


@contextlib.contextmanager
def without_log_of_vectorizing() -> Iterator[None]:
    """For who tries whether TensorFlow can vectorize: where it can't it logs pages of errors."""

    me = threading.get_ident()

    def keep(record):
        return record.levelno < logging.ERROR or record.thread != me

    logger = tf.get_logger()
    logger.addFilter(keep)
    try:
        yield
    finally:
        logger.removeFilter(keep)
