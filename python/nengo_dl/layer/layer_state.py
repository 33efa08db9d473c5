"""Weights and state of the Keras layer around the op."""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from nengo_dl.keras_private import check_keras, plain_variable

check_keras()

import keras  # noqa: E402
import tensorflow as tf  # noqa: E402

from nengo_dl.layer import saved_weights, serialised  # noqa: E402
from nengo_dl.plan.pieces import state_keys  # noqa: E402

CPU = "/cpu:0"

if TYPE_CHECKING:
    from nengo_dl.ir.program import Port


class _Told(threading.local):
    """What a thread was told about calls, see `LayerState.keeping`."""

    stateful, few_steps = None, False


class LayerState(keras.layers.Layer):
    """A Keras layer that owns the parameters and the state of a plan.

    Parameters that belong to objects of a model are Keras weights. Constants and state (what else
    lives from step to step) are kept in plain TensorFlow variables, so that they are not part of
    ``weights``, saved weights or optimizers. Parameters and state live on TensorFlow's GPU if
    there is one and all programs run on a GPU; otherwise they live on the CPU, whatever device is
    the default.

    Parameters
    ----------
    plan : object
        As for `.TensorGraph`, whose base this is.
    minibatch_size : int
        Items per minibatch (B below).
    param_values, state, istate : array_like, optional
        Values to start from instead of the plan's.
    trainable_params : list of bool, optional
        For each parameter, whether its weight is trainable; by default as the plan says.
    name : str
        Name of the layer.

    Attributes
    ----------
    on_gpu : bool
        Whether parameters and state live on TensorFlow's GPU.
    """

    def __init__(self, plan, minibatch_size, param_values, state, istate, trainable_params, name):
        self.refuse_strategies()
        super().__init__(name=name, dtype=plan.dtype)
        self.plan = plan
        self.minibatch_size = minibatch_size
        self.initial_values = self._initial_values(param_values, state, istate)
        self.on_gpu = fits_gpu(plan)
        self._device = "/gpu:0" if self.on_gpu else CPU
        with tf.device(self._device):
            self._add_params(trainable_params)
            self._add_state()

    @staticmethod
    def refuse_strategies() -> None:
        """Raise `RuntimeError` in the scope of a strategy of ``tf.distribute``."""
        if tf.distribute.has_strategy():
            raise RuntimeError(
                "expected no strategy of tf.distribute, got the scope() of"
                f" {type(tf.distribute.get_strategy()).__name__}: the engine runs all items of a"
                " minibatch together, on all processors of this machine or on one GPU; leave the"
                " scope"
            )

    def _initial_values(self, param_values, state, istate):
        plan, batch = self.plan, self.minibatch_size
        if param_values is None:
            param_values = plan.param_values
        expect_length("param_values", param_values, plan.params)
        # what only TensorFlow changes, which copies it then, stays the array that was given
        values = {
            f"param {i} ({param.name})": self._param_value(i, value, own=param.learned)
            for i, (param, value) in enumerate(zip(plan.params, param_values, strict=True))
        }
        states, istates = self._per_piece("state", state), self._per_piece("istate", istate)
        for number, piece in enumerate(plan.runs):
            program, (key, ikey) = piece.program, state_keys(number)
            state, istate = states[number], istates[number]
            if state is None:
                state = piece.initial_state
            if istate is None:
                istate = piece.initial_istate
            if istate is None:
                istate = np.zeros(program.istate_size, np.int32)
            values[key] = filled(key, state, program.state_size, program.dtype, batch)
            values[ikey] = filled(ikey, istate, program.istate_size, "int32", batch)
        return values

    def _param_value(self, index, value, own=True):
        """A value of a parameter, see `filled`; a weight's may have its shape."""
        param, weight = self.plan.params[index], self.plan.weights[index]
        value = np.asarray(value, self.plan.dtype)
        if weight is not None and not param.learned and value.shape == weight.shape:
            return value
        batch = self.minibatch_size if param.learned else None
        what = f"value of parameter {param.name!r}"
        return filled(what, value, param.size, self.plan.dtype, batch, own)

    def _per_piece(self, what, given):
        pieces = self.plan.runs
        if given is None:
            return [None] * len(pieces)
        given = [given] if len(pieces) == 1 else given
        expect_length(what, given, pieces)
        return given

    def _add_params(self, trainable_params):
        plan = self.plan
        if trainable_params is None:
            trainable_params = plan.trainable
        expect_length("trainable_params", trainable_params, plan.params)
        self.learned = tuple(i for i, param in enumerate(plan.params) if param.learned)
        places = [i for i, weight in enumerate(plan.weights) if weight]
        names = unique_names([plan.weights[i].name for i in places])
        self.weight_names = dict(zip(names, places, strict=True))
        initial = list(self.initial_values.values())[: len(plan.params)]  # state follows
        name_of = {i: name for name, i in self.weight_names.items()}
        params = []
        for i, value in enumerate(initial):
            if i not in name_of:
                params.append(tf.Variable(value, trainable=False, name=f"constant_{i}"))
                continue
            value = self._outside(i, value)
            params.append(
                self.add_weight(
                    name=name_of[i],
                    shape=value.shape,
                    dtype=plan.dtype,
                    initializer=lambda shape, dtype=None, value=value: tf.convert_to_tensor(value),
                    trainable=bool(trainable_params[i]),
                )
            )
        self.base_params = params
        self._track({name: params[i] for name, i in self.weight_names.items()})

    def _track(self, weights):
        """Show weights, by their names, to `tf.train.Checkpoint`, which sees no lists."""
        for name, weight in weights.items():
            self._track_trackable(plain_variable(weight), name)

    def _outside(self, index, value):
        """Values of a parameter, ``(size,)`` or ``(B, size)``, in the shape of its variable."""
        param, weight = self.plan.params[index], self.plan.weights[index]
        if weight is None or value.shape == weight.shape:
            return value
        return value.reshape((*value.shape[: int(param.learned)], *weight.shape))

    def _add_state(self):
        def variable(value, name):  # integers are counted on the CPU
            with tf.device(self._device if value.dtype.kind == "f" else CPU):
                return tf.Variable(value, trainable=False, name=name, dtype=value.dtype)

        keys = [key for i in range(len(self.plan.runs)) for key in state_keys(i)]
        self.saved_state = {key: variable(self.initial_values[key], key) for key in keys}
        self.saved_state["n_steps"] = variable(np.zeros((), np.int64), "n_steps")
        self._stateful = variable(np.asarray(True), "stateful")
        self._told = _Told()

    def _on_cpu(self):
        variables = [*self.saved_state.values(), *map(plain_variable, self.base_params)]
        return all(tf.DeviceSpec.from_string(v.device).device_type == "CPU" for v in variables)

    @property
    def stateful(self):
        """Whether `.call` writes the state back. May be set at any time, nothing is traced anew.

        Calls start from the state in any case.
        """
        return bool(self._stateful.numpy())

    @stateful.setter
    def stateful(self, value):
        self._stateful.assign(bool(value))

    @contextlib.contextmanager
    def keeping(self, stateful, few_steps=False):
        """Let calls of this thread write the state back or not, whatever ``stateful`` is.

        A function that is traced within does so ever after. None: as if nothing was said.
        ``few_steps``: whether none of them has more steps than may be run at once.
        """
        told = self._told
        before = told.stateful, told.few_steps
        told.stateful, told.few_steps = stateful, few_steps
        try:
            yield
        finally:
            told.stateful, told.few_steps = before

    @property
    def told(self):
        """bool or None : What `keeping` says at present in this thread."""
        return self._told.stateful

    @property
    def few_steps(self):
        """bool : Whether calls of this thread are known to have few steps, see `keeping`."""
        return self._told.few_steps

    def keeps_state(self):
        """Whether a call of this thread writes the state back: a bool, or a tensor."""
        return self._stateful.value() if self.told is None else self.told

    @property
    def n_steps(self):
        """int : Steps done, as saved."""
        # 40 us less than the variable's own method
        handle = self.saved_state["n_steps"].handle
        return int(tf.raw_ops.ReadVariableOp(resource=handle, dtype=tf.int64))

    def get_state(self):
        """A copy of the saved state: dict of arrays by the keys of ``saved_state``."""
        return {key: variable.numpy() for key, variable in self.saved_state.items()}

    def set_state(self, state=None, istate=None, n_steps=None, **further):
        """Set saved state, from arrays of shape (size,) or (B, size) and an int.

        Those of pieces after the first go by their keys in ``saved_state``.
        """
        for key, value in {"state": state, "istate": istate, **further}.items():
            if value is not None:
                variable = self.saved_state[key]
                dtype, size = variable.dtype.as_numpy_dtype, variable.shape[1]
                variable.assign(filled(key, value, size, dtype, self.minibatch_size))
        if n_steps is not None:
            self.saved_state["n_steps"].assign(n_steps)

    def get_param(self, index):
        """Value of parameter ``index``: array of shape (size,), or (B, size) if learned."""
        value = plain_variable(self.base_params[index]).numpy()
        param = self.plan.params[index]
        return value.reshape((-1, param.size) if param.learned else param.size)

    def get_parameters(self):
        """Values of the model's parameters by their names: `.saved_weights.get_parameters`."""
        return saved_weights.get_parameters(self)

    def set_parameters(self, values):
        """Set the model's parameters by their names: `.saved_weights.set_parameters`."""
        saved_weights.set_parameters(self, values)

    def set_param(self, index, value):
        """Set parameter ``index`` from an array of shape (size,), or (B, size) if learned."""
        value = self._param_value(index, value)
        plain_variable(self.base_params[index]).assign(self._outside(index, value))

    def reset(self, state=True, params=False):
        """Go back to the initial state, and, if asked for, to the initial parameters."""
        if state:
            keys = self.saved_state.keys() - {"n_steps"}
            self.set_state(n_steps=0, **{key: self.initial_values[key] for key in keys})
        if params:
            values = list(self.initial_values.values())[: len(self.base_params)]
            for i, (weight, value) in enumerate(zip(self.base_params, values, strict=True)):
                plain_variable(weight).assign(self._outside(i, value))

    # ------------------------------------------------------------ files

    def refuse_callbacks(self):
        """Raise `nengo.exceptions.ValidationError` if no other process can run the graph."""
        serialised.refuse_callbacks(self.plan)

    def _trackable_children(self, save_type="checkpoint", **kwargs):
        """Keras' hook, for checkpoints and SavedModels."""
        if save_type == "savedmodel":
            self.refuse_callbacks()
        return super()._trackable_children(save_type, **kwargs)

    def save_own_variables(self, store):
        """Keras' hook: write the weights into ``store`` by their names."""
        for name, i in self.weight_names.items():
            store[name] = plain_variable(self.base_params[i]).numpy()

    def load_own_variables(self, store):
        """Keras' hook: set the weights from ``store``, all of them or, on an error, none."""
        saved_weights.load_weights(self, {name: np.asarray(store[name]) for name in store.keys()})


def fits_gpu(plan):
    """Whether parameters and state of a plan live on TensorFlow's GPU, if it has one.

    It is the engine's too: what both work on never leaves it. Where a program runs on the CPU, all
    are called from there.
    """
    if not tf.config.list_logical_devices("GPU"):
        return False
    return bool(plan.runs) and all(run.backend != "cpu" for run in plan.runs)


def unique_names(names):
    """Names that Keras and TensorFlow's scopes accept: no ``/``, none empty, none twice."""
    seen, result = set(), []
    for name in names:
        base = re.sub(r"[ :]", "_", name.replace("/", "."))
        # optimizers name their variables after weights, some of them in a scope of TensorFlow
        base = re.sub(r"[^A-Za-z0-9_.\-]", "", base) or "unnamed"
        unique, count = base, 1
        while unique in seen:
            unique, count = f"{base}_{count}", count + 1
        seen.add(unique)
        result.append(unique)
    return result


def expect_length(what, values, each):
    """Raise `ValueError` unless there is one value for each of some things."""
    if len(values) != len(each):
        raise ValueError(f"{what}: expected {len(each)} entries, got {len(values)}")


def filled(what, value, size, dtype, batch, own=True):
    """``value`` as a contiguous array of shape (size,), or (batch, size) if there is a batch.

    It is an array of its own if it has to be, or if ``value`` is no such array.
    """
    value = np.asarray(value, dtype=dtype)
    shape = (size,) if batch is None else (batch, size)
    if value.shape != shape and value.shape != (size,):
        raise ValueError(
            f"{what}: expected shape {shape}{'' if batch is None else f' or ({size},)'}, "
            f"got {value.shape}"
        )
    value = np.broadcast_to(value, shape)
    return np.array(value, order="C") if own else np.ascontiguousarray(value)


def port_names(what: str, names: Sequence[str] | None, ports: Sequence[Port]) -> tuple[str, ...]:
    """Names for ports, one each; by default their own."""
    names = [port.name for port in ports] if names is None else list(names)
    expect_length(what, names, ports)
    return tuple(names)


def shapes_of(
    shapes: Sequence[tuple[int, ...]] | None, ports: Sequence[Port]
) -> tuple[tuple[int, ...], ...]:
    """Shapes for ports, each of its size; by default one axis."""
    if shapes is None:
        shapes = [(port.size,) for port in ports]
    expect_length("output_shapes", shapes, ports)
    for shape, port in zip(shapes, ports, strict=True):
        if np.prod(shape, dtype=np.int64) != port.size:
            raise ValueError(
                f"output_shapes of {port.name!r}: expected a shape of {port.size} elements, got "
                f"{tuple(shape)} of {np.prod(shape)}"
            )
    return tuple(tuple(shape) for shape in shapes)


def read_weight(weight: keras.Variable) -> tf.Tensor:
    """Value of a weight; no gradient passes to one that Keras has frozen."""
    variable = plain_variable(weight)
    frozen = variable.trainable and not weight.trainable
    return tf.stop_gradient(variable.value()) if frozen else variable.value()
