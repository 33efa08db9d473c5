"""Calls of the Keras model: what each needs, and what the model keeps for all of them."""

import functools
from dataclasses import dataclass, field

import keras
import tensorflow as tf

from ..arguments.checks import warn_user


@dataclass
class Call:
    """What a model needs for one call of `fit`, `evaluate` or `predict`.

    The defaults are those of a call that does not come from the simulator.

    Parameters
    ----------
    stateful : bool, optional
        Whether the state is written back; the layer's ``stateful`` by default.
    data : dict
        ``"train"`` and ``"test"`` -> `nengo_dl.training.minibatches.Minibatches`; None where only
        Keras can take the data apart.
    callbacks : keras.callbacks.CallbackList
        Those that are told of minibatches within an epoch, or None.
    steps : int, optional
        ``steps_per_execution`` of the call; that of ``compile`` by default.
    in_chunks : bool
        Whether the minibatches of an execution are run some at a time.
    rates : bool
        Whether tests run neurons as training does.
    asked : dict
        ``"train"`` and ``"test"`` -> minibatches of an epoch, where they were given.
    """

    stateful: object = None
    data: dict = field(default_factory=lambda: {"train": None, "test": None})
    callbacks: object = None
    steps: object = None
    in_chunks: bool = False
    rates: bool = False
    asked: dict = field(default_factory=dict)

    def warn_short(self, kind):
        """Warn, as Keras does between its own calls, that data ends within an epoch."""
        if self.asked.get(kind):
            warn_user(
                f"The data ran out, and the epoch ends: expected a multiple of the"
                f" {self.asked[kind]} minibatches that were asked for, got"
                f" {self.data[kind].length}"
            )

    def use(self, kind):
        """Data in memory for a kind of minibatches, or None; nodes are told whether it is theirs.

        The other kind may have data for other nodes.
        """
        data = self.data.get(kind)
        for each in filter(None, self.data.values()):
            sources = each.runtime.nodes.sources
            each.runtime.feed.given = [data is None or node in data.sample for node in sources]
        return data


@dataclass
class Untracked:
    """What a model keeps in a plain object, which Keras neither tracks nor saves.

    Parameters
    ----------
    names : nengo_dl.arguments.names.Names
        Names of probes.
    layer : nengo_dl.tensor_graph.TensorGraph
        The layer that runs the model.
    turns : nengo_dl.run.turns.Turns
        Those of the simulator: calls of its model are calls of it.

    Attributes
    ----------
    targets : nengo_dl.training.targets.Targets
        Losses and metrics; None before ``compile``.
    given_steps : int
        ``steps_per_execution`` of ``compile``.
    auto_steps : bool
        Whether none were given, so that they are as many as callbacks permit.
    call : Call
        The present call.
    functions : dict
        Traced functions of stacks of minibatches, by the layout of the data.
    keras_functions : dict
        Keras' own, by the number of minibatches.
    checked : set
        Checks of data that were passed since ``compile``.
    traces : int
        How often a function was traced.
    compile_arguments : dict
        Those of the last ``compile``, by names of Probes.
    """

    names: object
    layer: object
    turns: object
    targets: object = None
    given_steps: int = 1
    auto_steps: bool = True
    call: Call = field(default_factory=Call)
    functions: dict = field(default_factory=dict)
    keras_functions: dict = field(default_factory=dict)
    checked: set = field(default_factory=set)
    traces: int = 0
    compile_arguments: dict = field(default_factory=dict)


def called_shortly(function):
    """Return what calls a `tf.ConcreteFunction` of tensors that are known to be what it takes.

    The function itself looks at each argument first, which takes longer than a small minibatch.
    """
    captured, structure = function.captured_inputs, function.structured_outputs
    dtypes = [tensor.dtype for tensor in function.outputs]
    # as TensorFlow calls it: what a GPU has no kernel for is put on the CPU
    soft = tf.config.get_soft_device_placement()
    config = tf.compat.v1.ConfigProto(allow_soft_placement=soft).SerializeToString()

    def call(*arguments):
        given = [*tf.nest.flatten(arguments), *captured]
        results = tf.raw_ops.StatefulPartitionedCall(
            args=given, Tout=dtypes, f=function, config_proto=config
        )
        return tf.nest.pack_sequence_as(structure, results)

    return call


@functools.lru_cache(64)
def number(value):
    """Return a number as a tensor, of which few have to be made."""
    return tf.constant(value)


def one_call(method):
    """Let a method of a Keras model wait for its turn, and hand what the simulator says on to it.

    In training, Keras calls ``evaluate`` for the validation: that is part of the same call.
    """

    @functools.wraps(method)
    def run(self, *args, call=None, **kwargs):
        if kwargs.get("_use_cached_eval_dataset"):
            return method(self, *args, **kwargs)
        with self.in_call(method.__name__, call or Call()):
            return method(self, *args, **kwargs)

    return run


def check(condition, message):
    """Raise an error, now or in the graph."""
    if tf.is_tensor(condition):
        return tf.debugging.Assert(condition, [message])
    if not condition:
        raise ValueError(message)
    return None


def tensors_of(data):
    """The tensors in nested data."""
    return [value for value in keras.tree.flatten(data) if tf.is_tensor(value)]
