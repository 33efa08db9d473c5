"""Whether Keras is as we need it, and what we use of it beside its public interface.

Keras promises nothing about such names from one version to the next;
tests/sim/test_keras_private.py looks for each of them in the Keras that is installed.
"""

from __future__ import annotations

import contextlib
import functools
import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

# owner, as a path from the module keras, and the name of what it has
USED = (
    ("Variable", "_value"),
    ("optimizers.Optimizer", "_check_variables_are_known"),
    ("optimizers.Optimizer", "_backend_update_step"),
    ("optimizers.Optimizer", "_filter_empty_gradients"),
    ("optimizers.Optimizer", "_get_variable_index"),
    ("optimizers.Adam", "_momentums"),
    ("optimizers.Adam", "_velocities"),
    ("callbacks.TensorBoard", "_should_write_train_graph"),
    ("layers.Layer", "_clear_losses"),
    ("layers.Layer", "_flatten_layers"),
    ("layers.Layer", "_get_own_losses"),
    ("Operation", "_inbound_nodes"),
    ("Sequential", "_functional"),
    ("src.models.functional.Functional", "_nodes_by_depth"),
    ("src.backend", "get_keras_mask"),
    ("src.backend.common.global_state", "get_global_attribute"),
    ("src.backend.common.global_state", "set_global_attribute"),
    ("src.layers.layer", "CallContext"),
)

LEGACY = ("tf_keras", "tensorflow.python.keras")  # packages of Keras 2


def check_keras() -> None:
    """Raise `ImportError` unless Keras runs on TensorFlow."""
    try:
        import keras
    except ImportError as e:
        raise ImportError(
            f"nengo_dl needs Keras 3 on TensorFlow, but Keras can't be imported: {e}. If "
            "KERAS_BACKEND is set, set it to 'tensorflow'"
        ) from e
    if not keras.__version__.startswith("3."):
        raise ImportError(f"nengo_dl needs Keras 3, found Keras {keras.__version__}")
    backend = keras.backend.backend()
    if backend != "tensorflow":
        raise ImportError(
            f"nengo_dl needs the Keras backend 'tensorflow', but Keras runs on {backend!r}; set "
            "the environment variable KERAS_BACKEND=tensorflow (or the entry 'backend' in "
            "~/.keras/keras.json) before Keras is imported"
        )


def said_of_legacy(obj: Any, expected: str) -> str | None:
    """What to say of an object, or a class, of legacy Keras given in place of one of Keras 3.

    Keras 3 would take it for a function, if it can be called at all, and do nothing for its
    weights. Modules of legacy Keras are not imported for this.

    Parameters
    ----------
    obj : object
        What was given.
    expected : str
        What is expected, ``"a layer"`` say.

    Returns
    -------
    str or None
        A message; None if it is not of legacy Keras.
    """
    kind = obj if isinstance(obj, type) else type(obj)
    for base in kind.__mro__:
        module = f"{base.__module__}."
        found = next((name for name in LEGACY if module.startswith(f"{name}.")), None)
        if found:
            return (
                f"expected {expected} of Keras 3 (module keras), got {kind.__name__} of {found},"
                " the legacy Keras, which nengo_dl can't train or use: make it with `import keras`;"
                " tf.keras is Keras 3, too, unless TF_USE_LEGACY_KERAS is set in the environment"
            )
    return None


def mask_of(values: tf.Tensor) -> tf.Tensor | None:
    """What a loss says of its values: which of them count; None if all do."""
    import keras

    return keras.src.backend.get_keras_mask(values)


def plain_variable(weight: keras.Variable | tf.Variable) -> tf.Variable:
    """The TensorFlow variable of a weight, or what is one already.

    The public ``value`` of a weight is cast to a lower precision where a layer with mixed precision
    calls another one; and it takes a multiple of the time, which short runs would notice.
    """
    return getattr(weight, "_value", weight)


def fits(optimizer: keras.optimizers.Optimizer, weights: list[keras.Variable]) -> bool:
    """Whether an optimizer can change weights: it is new, or these are among those it has seen."""
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    if not optimizer.built:
        return True
    try:
        optimizer._check_variables_are_known(weights)
    except ValueError:
        return False
    return True


@contextlib.contextmanager
def own_update(
    optimizer: keras.optimizers.Optimizer, update: Callable[..., None]
) -> Iterator[None]:
    """Let a function do for a while what an optimizer does with gradients at the end.

    It is called with the optimizer's own function for that, gradients, weights and learning rate.
    """
    name = "_backend_update_step"
    vars(optimizer)[name] = functools.partial(update, getattr(optimizer, name))
    try:
        yield
    finally:
        del vars(optimizer)[name]


@contextlib.contextmanager
def idle_without_gradients(optimizer: keras.optimizers.Optimizer) -> Iterator[None]:
    """Let an optimizer change nothing for a while, with a warning, where no weight has a gradient.

    By itself it fails there.
    """
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    name = "_filter_empty_gradients"
    of_keras = getattr(optimizer, name)

    def those_there(gradients: list[Any], weights: list[Any]) -> tuple[list[Any], list[Any]]:
        if any(gradient is not None for gradient in gradients):
            return of_keras(gradients, weights)
        message = "No gradient of the losses reaches a trainable weight: nothing is trained"
        warnings.warn(message, stacklevel=2)
        return [], []

    vars(optimizer)[name] = those_there
    try:
        yield
    finally:
        del vars(optimizer)[name]


def moments_of(
    adam: keras.optimizers.Adam, weights: list[tf.Variable]
) -> tuple[list[tf.Variable], list[tf.Variable]]:
    """The variables in which Adam keeps first and second moments of gradients, for some weights."""
    places = [adam._get_variable_index(weight) for weight in weights]
    first, second = adam._momentums, adam._velocities
    return [plain_variable(first[i]) for i in places], [plain_variable(second[i]) for i in places]


class NoTrainingGraph:
    """Keeps a `keras.callbacks.TensorBoard` from writing the graph of training for a while.

    Parameters
    ----------
    callback : keras.callbacks.TensorBoard
        The callback; it looks for the graph of training whatever method of the model is called.
    """

    def __init__(self, callback: keras.callbacks.TensorBoard) -> None:
        self._callback = callback
        self._before = callback._should_write_train_graph
        callback._should_write_train_graph = False

    def end(self) -> None:
        """Let the callback do as it did before."""
        self._callback._should_write_train_graph = self._before


@contextlib.contextmanager
def called_in_mode(training: bool) -> Iterator[None]:
    """Let layers that are called run in training mode or not, however deep within others.

    A layer that is not told takes it from what Keras notes of the call that it is part of.
    """
    from keras.src.backend.common import global_state
    from keras.src.layers.layer import CallContext

    name = "current_call_ctx"
    before = global_state.get_global_attribute(name)
    context = CallContext(entry_layer=None)
    vars(context).update(vars(before) if before is not None else {})
    context.set_value("training", training)
    global_state.set_global_attribute(name, context)
    try:
        yield
    finally:
        global_state.set_global_attribute(name, before)


def with_inner_layers(layer: keras.layers.Layer) -> list:
    """A layer and those within it."""
    return layer._flatten_layers()


def use_precision(layer: keras.layers.Layer, dtype: str) -> None:
    """Let what is not built yet of a layer have a precision, unless it has a mixed one."""
    for inner in with_inner_layers(layer):
        if not inner.built and inner.dtype_policy.name in ("float32", "float64"):
            inner.dtype_policy = dtype


def take_losses(layer: keras.layers.Layer) -> list:
    """Return the losses that a layer and those within it added, and let them forget these."""
    losses = [loss for inner in with_inner_layers(layer) for loss in inner._get_own_losses()]
    layer._clear_losses()
    return losses


@contextlib.contextmanager
def in_double(layers: list[keras.layers.Layer]) -> Iterator[None]:
    """Let layers, built ones too, compute in double precision for a while."""
    from keras.src.backend import AutocastScope

    before = [(layer, layer.dtype_policy) for one in layers for layer in with_inner_layers(one)]
    try:
        for layer, _ in before:
            layer.dtype_policy = "float64"
        with AutocastScope("float64"):
            yield
    finally:
        for layer, policy in before:
            layer.dtype_policy = policy


def functional_of(model: keras.Model) -> keras.Model | None:
    """The functional model that a model is, or a Sequential one has inside; None: it has none."""
    model = getattr(model, "_functional", model)
    own_call = type(model).call is not functional_class().call
    return None if own_call or not hasattr(model, "_nodes_by_depth") else model


def functional_class() -> Any:
    """The class of functional models."""
    from keras.src.models.functional import Functional

    return Functional


def calls_of(model: keras.Model) -> list:
    """Calls of layers that a functional model is made of, in an order in which they can run.

    Each has ``operation`` (a layer, or another operation), ``arguments.args`` and
    ``arguments.kwargs``, ``input_tensors`` and ``output_tensors``, and ``is_input``.
    """
    by_depth = model._nodes_by_depth
    return [node for depth in sorted(by_depth, reverse=True) for node in by_depth[depth]]


def inbound_nodes(operation: keras.Operation) -> list:
    """Calls of a layer, or of another operation, on symbolic tensors, in their order."""
    return operation._inbound_nodes


def getitem_class() -> type:
    """The class of the operation behind ``tensor[key]``."""
    from keras.src.ops.numpy import GetItem

    return GetItem
