"""The registry of converters, and what all of them have in common: `LayerConverter`."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, ClassVar

import keras
import nengo
import numpy as np

from ..config import set_of_object
from ..keras_private import inbound_nodes
from ..tensor_node import TensorNode
from .activations import ACTIVATIONS, resolve, with_amplitude_over
from .calibration import is_linear, scaling_note
from .keras_graph import is_neurons
from .scaled import ScaledEnsemble
from .steps import check_steps

CONVERTERS: dict[type | None, type[LayerConverter]] = {}


def register(keras_layer: type | None) -> Callable:
    """Register a `LayerConverter` for a type of layer: a decorator.

    Parameters
    ----------
    keras_layer : type or None
        Class of the layers that it converts, and of no subclass of it; None: all layers that no
        other converter is for.

    Returns
    -------
    callable
        The decorator.
    """

    def registered(converter_class: type[LayerConverter]) -> type[LayerConverter]:
        if keras_layer in CONVERTERS:
            warnings.warn(
                f"Layer '{keras_layer}' already has a converter. Overwriting.", stacklevel=2
            )
        CONVERTERS[keras_layer] = converter_class
        return converter_class

    return registered


def only_in_training(layer: Any, each_step: bool) -> str:
    """What any layer may have that acts on training, and that native objects don't.

    Parameters
    ----------
    layer : keras.layers.Layer or keras.Operation
        The layer.
    each_step : bool
        Whether it is within a TimeDistributed layer, where Keras leaves out its loss.

    Returns
    -------
    str
        The reason not to convert it; "" if there is none.
    """
    if getattr(layer, "lora_enabled", False):
        what = "has low-rank factors (LoRA), which alone are trained"
    elif getattr(layer, "activity_regularizer", None) is not None and not each_step:
        what = "has an activity_regularizer, whose loss counts in training"
    else:
        return ""
    return f"Layer {layer.name!r} {what}: that is not supported (unless inference_only=True)."


def _giving_floats(function: Any, shape: tuple) -> Any:
    """An activation function, cast to the precision of its input if it gives integers or bool."""
    if isinstance(function, keras.layers.Layer):
        return function
    try:
        output = function(keras.ops.zeros((1, *shape)))
        floats = keras.backend.is_float_dtype(keras.backend.standardize_dtype(output.dtype))
    except Exception:  # the simulator will say what is wrong
        return function

    def cast(x: Any) -> Any:
        return keras.ops.cast(function(x), x.dtype)

    return function if floats else cast


class LayerConverter:
    """Converts the calls of one Keras layer to Nengo objects.

    Subclasses implement `convert` and, where they can't convert all layers of a type,
    `convertible`. `Converter.register` makes them known.

    Parameters
    ----------
    layer : keras.layers.Layer or keras.Operation
        What is converted.
    converter : Converter
        The conversion that this is a part of.

    Attributes
    ----------
    unsupported_args : list of str or of (str, object)
        Attributes of the layer that must be None, or the given value.
    unsupported_training_args : list of str or of (str, object)
        The same, unless the converter's ``inference_only`` is set.
    has_weights : bool
        Whether weights are copied, so that a second call of the layer would not share them.
    allow_fallback : bool
        Whether a layer that can't be converted may become a TensorNode.
    mixes_time : bool
        Whether the layer combines elements along the first axis of its input, which is the time
        of a temporal model; if so, there it has to be inside of a TimeDistributed layer.
    takes_steps : bool
        Whether a layer of a temporal model may be inside of a TimeDistributed layer.
    activation_map : dict
        Neuron types (None: no neurons) by activation functions.
    """

    unsupported_args: ClassVar[list] = []
    unsupported_training_args: ClassVar[list] = []
    has_weights: bool = False
    allow_fallback: ClassVar[bool] = True
    mixes_time: ClassVar[bool] = False
    takes_steps: ClassVar[bool] = True
    activation_map: ClassVar[dict] = ACTIVATIONS

    def __init__(self, layer: Any, converter: Any) -> None:
        self.layer = layer
        self.converter = converter
        self.graph_layer = layer  # that was called; another one if this layer is wrapped in it
        self.notes: list[str] = []  # for `Converter.report`: where results may differ, and why
        self.reason = ""  # why it is not converted to native objects

    def convert(self, node_id: int) -> Any:
        """Make the Nengo objects for a call of the layer.

        Parameters
        ----------
        node_id : int
            Number of the call.

        Returns
        -------
        nengo.Node, nengo.ensemble.Neurons, TensorNode or nengo.Network
            What the output of the layer comes from (of a network: its ``output``); a list of them
            if it has several.
        """
        raise NotImplementedError(f"{type(self).__name__} has no method `convert`")

    @classmethod
    def convertible(cls, layer: Any, converter: Any) -> tuple[bool, str | None]:
        """Whether a layer can be converted to native objects, and if not, why.

        Parameters
        ----------
        layer : keras.layers.Layer
            The layer.
        converter : Converter
            The conversion, with its options.

        Returns
        -------
        bool
            Whether it can be converted.
        str or None
            Why it can't.
        """
        for args, suffix in (
            (cls.unsupported_args, ""),
            (cls.unsupported_training_args, " (unless inference_only=True)"),
        ):
            if suffix and converter.inference_only:
                continue
            for arg in args:
                name, default = (arg, None) if isinstance(arg, str) else arg
                value = getattr(layer, name)
                if value != default:
                    return False, (
                        f"{layer.name}.{name} has value {value} != {default}, which is not "
                        f"supported{suffix}."
                    )
        return True, None

    def label(self, node_id: int) -> str:
        """Name of the objects for a call."""
        return f"{self.layer.name}.{node_id}"

    def add_nengo_obj(
        self, node_id: int, biases: np.ndarray | None = None, activation: Any = None
    ) -> Any:
        """Make the object for the output of a call.

        Parameters
        ----------
        node_id : int
            Number of the call.
        biases : np.ndarray, optional
            Added to the input of each element; these may be trained.
        activation : callable or nengo.neurons.NeuronType, optional
            Applied to the sum of all inputs.

        Returns
        -------
        nengo.Node or nengo.ensemble.Neurons or TensorNode
            A Node for the identity, neurons for activations that have a neuron type, or else a
            TensorNode that calls the function.
        """
        kind = resolve(activation, self.activation_map, self.converter.swap_activations)
        if isinstance(kind, nengo.neurons.NeuronType):
            if kind != self.activation_map.get(activation, activation):
                name = getattr(activation, "__name__", activation)
                self.notes.append(f"{type(kind).__name__} stands for {name}")
            return self._add_neurons(node_id, kind, biases)
        size = int(np.prod(self.output_shape(node_id)))
        if kind is None:
            obj = nengo.Node(size_in=size, label=self.label(node_id))
        else:
            obj = self._add_function(node_id, kind)
        if biases is not None:
            bias = nengo.Node([1], label=f"{self.label(node_id)}.bias")
            weights = np.reshape(biases, (-1, 1))
            conn = nengo.Connection(bias, obj, transform=weights, synapse=None)
            self.set_trainable(conn, self.may_train)
        return obj

    def _add_function(self, node_id: int, function: Any) -> TensorNode:
        if not self.converter.allow_fallback:
            raise TypeError(
                f"Unsupported activation type ({function}) of layer {self.layer.name!r}: it has no "
                "neuron type; set allow_fallback=True to call it in a TensorNode, or name a neuron "
                "type for it in swap_activations"
            )
        if self.has_step_axis():
            self._check_function(function, node_id)
        text = f"Activation function {function} has no neuron type"
        warnings.warn(f"{text}: a TensorNode calls it (fallback)", stacklevel=2)
        self.reason = f"{text}."
        shape = self.output_shape(node_id) or (1,)
        function = _giving_floats(function, shape)
        label = self.label(node_id)
        return TensorNode(function, shape_in=shape, shape_out=shape, pass_time=False, label=label)

    def _check_function(self, function: Any, node_id: int) -> None:
        """Refuse an activation function that gives something else for a step alone."""

        def all_steps(values: list) -> Any:
            return function(keras.ops.convert_to_tensor(values[0]))

        def single(values: list) -> Any:
            return keras.ops.expand_dims(function(keras.ops.convert_to_tensor(values[0][:, 0])), 1)

        where = f"Activation function {function} of layer {self.layer.name!r}"
        outputs = self.node(node_id).output_tensors[:1]
        check_steps(where, getattr(function, "variables", []), all_steps, single, outputs)

    def _add_neurons(self, node_id: int, kind: Any, biases: np.ndarray | None) -> Any:
        scale = self.converter.scale_of(self.layer)
        if scale != 1:
            scaled = with_amplitude_over(kind, scale)
            if scaled is None:
                text = (
                    "Firing rate scaling being applied to activation type that does not support "
                    f"amplitude ({type(kind).__name__}); this will change the output"
                )
                warnings.warn(text, stacklevel=3)
                self.notes.append(text)
            kind = kind if scaled is None else scaled
            self._note_scaling(kind, scale)
        ens = (nengo.Ensemble if biases is None or scale == 1 else ScaledEnsemble)(
            int(np.prod(self.output_shape(node_id))),
            1,
            neuron_type=kind,
            gain=nengo.dists.Choice([scale]),
            bias=nengo.dists.Choice([0]) if biases is None else np.ravel(biases) * scale,
            # not used, and slow to draw by default where neurons are many
            encoders=nengo.dists.Choice([[1.0]]),
            eval_points=nengo.dists.Uniform(-1, 1),
            label=self.label(node_id),
        )
        self.converter.neurons.setdefault(self.layer, []).append(ens.neurons)
        self.set_trainable(ens, False)  # encoders, which are not used
        self.set_trainable(ens.neurons, biases is not None and self.may_train)
        return ens.neurons

    def _note_scaling(self, kind: Any, scale: float) -> None:
        target = self.converter.target_of(self.layer)
        note = scaling_note(kind, scale, target)
        if target and not is_linear(kind):
            warnings.warn(f"Layer {self.layer.name!r}: {note}", stacklevel=4)
        if note:
            self.notes.append(note)

    def has_step_axis(self) -> bool:
        """Whether the layer itself expects the steps of a temporal model as an axis."""
        return self.converter.temporal_model and self.graph_layer is self.layer

    @property
    def may_train(self) -> bool:
        """Whether weights of the layer may be trained: not if it is frozen."""
        return bool(getattr(self.layer, "trainable", True))

    def add_connection(
        self, node_id: int, obj: Any, input_idx: int = 0, trainable: bool = False, **kwargs: Any
    ) -> nengo.Connection:
        """Connect an input of a call to an object.

        Parameters
        ----------
        node_id : int
            Number of the call.
        obj : nengo object
            What to connect it to.
        input_idx : int
            Number of the input.
        trainable : bool
            Whether the weights may be trained, as long as the layer is not frozen.
        **kwargs
            Further arguments of the Connection.

        Returns
        -------
        nengo.Connection
            The connection.
        """
        return self.connect(self.get_input_obj(node_id, input_idx), obj, trainable, **kwargs)

    def connect(
        self, pre: Any, post: Any, trainable: bool = False, **kwargs: Any
    ) -> nengo.Connection:
        """Connect two objects; those that are neurons through the converter's synapse."""
        kwargs.setdefault("synapse", self.converter.synapse if is_neurons(pre) else None)
        conn = nengo.Connection(pre, post, **kwargs)
        self.set_trainable(conn, trainable and self.may_train)
        return conn

    def get_input_obj(self, node_id: int, tensor_idx: int = 0) -> Any:
        """The object that an input of a call comes from."""
        return self.converter.object_of(self.node(node_id).input_tensors[tensor_idx])

    def node(self, node_id: int) -> Any:
        """What Keras knows of a call."""
        return inbound_nodes(self.graph_layer)[node_id]

    def input_shape(self, node_id: int, full_shape: bool = False, input_idx: int = 0) -> tuple:
        """Shape of an input of a call, by default of one item and step.

        Parameters
        ----------
        node_id : int
            Number of the call.
        full_shape : bool
            Whether to keep the batch, and in temporal models the time.
        input_idx : int
            Number of the input.

        Returns
        -------
        tuple of int
            The shape.
        """
        return self.shape_of(self.node(node_id).input_tensors[input_idx], full_shape)

    def output_shape(self, node_id: int, full_shape: bool = False, output_idx: int = 0) -> tuple:
        """Shape of an output of a call, as `input_shape` has it of an input."""
        return self.shape_of(self.node(node_id).output_tensors[output_idx], full_shape)

    def shape_of(self, tensor: Any, full_shape: bool = False) -> tuple:
        """Shape of a tensor, by default of one item and step."""
        if full_shape:
            return tuple(tensor.shape)
        return tuple(tensor.shape[2 if self.converter.temporal_model else 1 :])

    @staticmethod
    def set_trainable(obj: Any, trainable: bool) -> None:
        """Say whether the parameters of an object may be trained.

        Parameters
        ----------
        obj : nengo object
            A Connection, an Ensemble or its neurons.
        trainable : bool
            Whether they may.
        """
        set_of_object(obj, "trainable", trainable)
