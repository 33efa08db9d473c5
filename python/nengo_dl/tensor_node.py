"""TensorFlow code inside of a model: `TensorNode`, and `Layer`, which makes one and connects it."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import nengo
import numpy as np
from nengo.base import NengoObject
from nengo.exceptions import SimulationError, ValidationError
from nengo.params import BoolParam, Default, Parameter, ShapeParam

from . import keras_private
from .config import configured_dtype, set_of_object
from .ir.calls import TensorCall


class TensorFuncParam(Parameter):
    """What a `TensorNode` calls: anything callable, Keras layers included."""

    def coerce(self, instance: Any, value: Any) -> Any:
        """Check a value."""
        value = super().coerce(instance, value)
        _refuse_others(value, self.name, instance)
        if not callable(value):
            raise ValidationError(
                f"expected a function or Keras Layer, got {type(value).__name__}",
                attr=self.name,
                obj=instance,
            )
        return value


class TensorOutput:
    """The ``output`` of a `TensorNode`: to Nengo a function, which only this backend can run.

    Parameters
    ----------
    call : nengo_dl.ir.calls.TensorCall
        What the node computes.
    """

    def __init__(self, call: TensorCall) -> None:
        self.tensor_call = call
        self.__name__ = call.name

    def __call__(self, t: float, x: Any = None) -> Any:
        """Refuse to run outside of TensorFlow."""
        raise SimulationError(
            f"Cannot call TensorNode output function: {self.tensor_call.name} runs in TensorFlow, "
            "so its network needs nengo_dl.Simulator"
        )


class TensorNode(nengo.Node):
    """A Node whose output is computed by TensorFlow.

    Parameters
    ----------
    tensor_func : callable
        A function of tensors, or a Keras layer. It is called with ``t``, a scalar, if
        ``pass_time``, and with ``x``, of shape (minibatch_size, \\*shape_in), if there is a
        ``shape_in`` (a Keras layer with both gets the list ``[t, x]``), and returns a tensor of
        shape (minibatch_size, \\*shape_out). Tensors have the precision of the simulator.
    shape_in : tuple of int, optional
        Shape of the input of an item; None: the node has no input.
    shape_out : tuple of int, optional
        Shape of the output of an item; None: found by calling ``tensor_func`` once, on zeros.
    pass_time : bool
        Whether ``tensor_func`` gets the time.
    label : str, optional
        Name for people.

    Raises
    ------
    nengo.exceptions.ValidationError
        If there is neither an input nor the time to pass, a shape is no tuple of numbers from 1
        on, or ``shape_out`` is not given and can't be found.
    """

    tensor_func: Any = TensorFuncParam("tensor_func")
    shape_in = ShapeParam("shape_in", default=None, low=1, optional=True)
    shape_out = ShapeParam("shape_out", default=None, low=1, optional=True)
    pass_time = BoolParam("pass_time", default=True)

    def __init__(
        self,
        tensor_func: Callable,
        shape_in: Any = Default,
        shape_out: Any = Default,
        pass_time: Any = Default,
        label: Any = Default,
    ) -> None:
        NengoObject.__init__(self, label=label, seed=None)
        self.shape_in = shape_in
        self.shape_out = shape_out
        self.pass_time = pass_time
        if self.shape_in is None and not self.pass_time:
            raise ValidationError(
                "expected a shape_in, or pass_time=True, got neither: the function would have no "
                "argument",
                attr="shape_in",
                obj=self,
            )
        self.tensor_func = tensor_func
        if self.shape_out is None:
            self.shape_out = self._infer_shape()
        self.size_in = _size(self.shape_in)
        self.size_out = _size(self.shape_out)
        self.output = TensorOutput(
            TensorCall(
                func=self.tensor_func,
                name=f"TensorFlow {_name_of(self.tensor_func)} of {self}",
                ins=() if self.shape_in is None else (self.shape_in,),
                outs=(self.shape_out,),
                pass_time=self.pass_time,
                owner=self,
            )
        )

    def _infer_shape(self) -> tuple[int, ...]:
        """Shape of the output of an item, by calling the function on a single one."""
        try:
            dtype = configured_dtype()
            result = _called_once(self.tensor_func, self.shape_in, self.pass_time, dtype)
        except Exception as e:
            raise ValidationError(
                f"shape_out can't be found by calling the function ({type(e).__name__}: {e}); "
                "set shape_out explicitly",
                attr="tensor_func",
                obj=self,
            ) from e
        shape = getattr(result, "shape", None)
        if shape is None or isinstance(result, np.ndarray):
            raise ValidationError(
                f"expected a function that returns a tensor, got {type(result).__name__}",
                attr="tensor_func",
                obj=self,
            )
        shape = tuple(shape)
        if not shape or None in shape[1:]:
            raise ValidationError(
                f"shape_out can't be found, the output has shape {shape}; set shape_out explicitly",
                attr="tensor_func",
                obj=self,
            )
        return tuple(int(n) for n in shape[1:])


def _size(shape: tuple[int, ...] | None) -> int:
    return 0 if shape is None else int(np.prod(shape))


def _name_of(func: Any) -> str:
    """Name of a function or layer, for people."""
    kind = "layer" if _is_layer(func) else "function"
    name = getattr(func, "__name__", None) or getattr(func, "name", None) or type(func).__name__
    return f"{kind} '{name}'"


def _refuse_others(func: Any, attr: str, obj: Any) -> None:
    """Refuse layers of legacy Keras, and classes of neuron types and layers: not an instance."""
    legacy = keras_private.said_of_legacy(func, "a layer")
    if legacy:
        raise ValidationError(legacy, attr, obj)
    if not isinstance(func, type):
        return
    import keras

    name = func.__name__
    for base, kind, call in (
        (nengo.neurons.NeuronType, "neuron type", f"{name}()"),
        (keras.layers.Layer, "Keras layer", f"{name}(...)"),
    ):
        if issubclass(func, base):
            raise ValidationError(
                f"expected a {kind}, got the class {name}; did you mean {call}?", attr, obj
            )


def _is_layer(func: Any) -> bool:
    import keras

    return isinstance(func, keras.layers.Layer)


def _called_once(func: Any, shape_in: tuple[int, ...] | None, pass_time: bool, dtype: str) -> Any:
    """What a function returns for zeros of a single item; of a layer, what it says of itself."""
    import keras
    import tensorflow as tf

    if not _is_layer(func):
        args = [tf.zeros((), dtype)] if pass_time else []
        args += [] if shape_in is None else [tf.zeros((1, *shape_in), dtype)]
        return func(*args)
    args = [keras.KerasTensor((), dtype)] if pass_time else []
    args += [] if shape_in is None else [keras.KerasTensor((1, *shape_in), dtype)]
    args = args[0] if len(args) == 1 else args
    if not func.built and type(func).compute_output_shape is not keras.Layer.compute_output_shape:
        shapes = [arg.shape for arg in args] if isinstance(args, list) else args.shape
        return keras.KerasTensor(func.compute_output_shape(shapes))
    keras_private.use_precision(func, dtype)
    return func(args)  # builds it, as far as it says nothing of its output before


class Layer:
    """A function, Keras layer or neuron type, to be applied to Nengo objects like a Keras layer.

    Parameters
    ----------
    layer_func : callable or keras.layers.Layer or nengo.neurons.NeuronType
        A function of a tensor (see `TensorNode`, here without time), a layer, or a neuron type.

    Raises
    ------
    nengo.exceptions.ValidationError
        For a class of layers or neuron types in place of one of them, or a layer of legacy Keras
        (``tf_keras``).

    Examples
    --------
    >>> with nengo.Network():
    ...     inputs = nengo.Node(np.zeros(4))
    ...     hidden = Layer(keras.layers.Dense(units=10))(inputs)
    ...     spikes = Layer(nengo.LIF())(hidden)
    """

    def __init__(self, layer_func: Any) -> None:
        self.layer_func = layer_func
        _refuse_others(layer_func, "layer_func", self)

    def __call__(
        self,
        input: Any,
        transform: Any = None,
        shape_in: tuple[int, ...] | None = None,
        synapse: Any = None,
        return_conn: bool = False,
        **layer_args: Any,
    ) -> Any:
        """Make the object for the layer, and a Connection to it.

        Parameters
        ----------
        input : nengo object
            What the Connection comes from.
        transform : array_like or nengo.transforms.Transform, optional
            Of the Connection, which is not trainable.
        shape_in : tuple of int, optional
            Shape of the input of an item; by default a vector of as many elements as a matrix
            ``transform`` has rows, or else as ``input`` has.
        synapse : float or nengo.synapses.Synapse, optional
            Of the Connection.
        return_conn : bool
            Whether to return the Connection, too.
        **layer_args
            Further arguments of the `TensorNode`, or, if this is a neuron type, of the Ensemble.

        Returns
        -------
        TensorNode or nengo.ensemble.Neurons
            Or a tuple of it and the Connection.
        """
        if shape_in is not None:
            size_in = _size(tuple(shape_in))
        elif isinstance(transform, np.ndarray) and transform.ndim == 2:
            size_in = transform.shape[0]
        else:
            size_in = input.size_out
        if isinstance(self.layer_func, nengo.neurons.NeuronType):
            obj = nengo.Ensemble(size_in, 1, neuron_type=self.layer_func, **layer_args).neurons
        else:
            shape_in = (size_in,) if shape_in is None else shape_in
            obj = TensorNode(self.layer_func, shape_in=shape_in, pass_time=False, **layer_args)
        conn = nengo.Connection(input, obj, synapse=synapse, transform=transform)
        set_of_object(conn, "trainable", False)
        return (obj, conn) if return_conn else obj

    def __str__(self) -> str:
        func = self.layer_func
        return f"Layer({getattr(func, 'name', None) or getattr(func, '__name__', None) or func})"


def tensor_layer(input: Any, layer_func: Any, **kwargs: Any) -> Any:
    """Apply a `Layer`; kept for scripts that were written for early versions of NengoDL.

    Parameters
    ----------
    input : nengo object
        What to apply it to.
    layer_func : callable or keras.layers.Layer or nengo.neurons.NeuronType
        What to apply.
    **kwargs
        As for `Layer.__call__`.

    Returns
    -------
    TensorNode or nengo.ensemble.Neurons
        Or a tuple of it and the Connection, as `Layer.__call__` does.
    """
    warnings.warn(
        "nengo_dl.tensor_layer is deprecated, use nengo_dl.Layer: Layer(layer_func)(input, ...)",
        DeprecationWarning,
        stacklevel=2,
    )
    return Layer(layer_func)(input, **kwargs)
