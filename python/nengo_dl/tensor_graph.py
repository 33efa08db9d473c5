"""The Keras layer around the op: it owns parameters and state and runs all steps of a minibatch."""

import re
from collections import OrderedDict
from types import SimpleNamespace

import numpy as np

from nengo_dl.tf_ops import RunOp, check_keras

check_keras()

import keras  # noqa: E402
import tensorflow as tf  # noqa: E402

from nengo_dl.direct_run import DirectRun  # noqa: E402


class TensorGraph(keras.layers.Layer):
    """A planned Nengo model as a Keras layer.

    Parameters are Keras weights. State (everything else that lives from step to step) is kept in
    plain TensorFlow variables, so that it is not part of ``weights``, saved weights or optimizers.

    Parameters
    ----------
    plan : object with ``program``, ``param_values``, ``initial_state`` (and ``initial_istate``)
        What to run, and the numbers it starts from.
    minibatch_size : int
        Items per minibatch (B below).
    param_values : list of array_like, optional
        Values of the parameters instead of the plan's: shape (size,), or (B, size) if learned.
    state, istate : array_like, optional
        State to start from instead of the plan's, shape (size,) or (B, size).
    trainable_params : list of bool, optional
        For each parameter, whether its weight is trainable. All are by default.
    keep_history : bool or list of bool
        Whether outputs hold every step or only the last one, for all outputs or each of them.
    output_shapes : list of tuple, optional
        Shape of each output in one step. The default is ``(size,)``.
    input_names, output_names : list of str, optional
        Names in the Keras model instead of those in the program.
    input_keys : list, optional
        Keys of the dictionary that `.build_inputs` makes (Nodes). The names by default.
    callbacks : int
        Handle of the table of Python functions, -1 if there are none.
    threads : int
        Most threads to use; 0 for as many as TensorFlow uses inside one op.

    Attributes
    ----------
    base_params : list of keras.Variable
        One weight per parameter of the program, in its order.
    saved_state : dict of tf.Variable
        ``state`` (B, state_size), ``istate`` (B, istate_size) and ``n_steps`` ().
    initial_values : dict of arrays
        What `.reset` goes back to.
    last_run : object
        Of the last `.run_eager`: ``first_step``, the steps done before it, and ``error``, what the
        callback that stopped it said; empty if none did.
    """

    def __init__(
        self,
        plan,
        minibatch_size=1,
        param_values=None,
        state=None,
        istate=None,
        trainable_params=None,
        keep_history=True,
        output_shapes=None,
        input_names=None,
        output_names=None,
        input_keys=None,
        callbacks=-1,
        threads=0,
        name="TensorGraph",
    ):
        program = plan.program
        super().__init__(name=name, dtype=program.dtype)
        self.supports_jit = False  # XLA can't compile a custom op
        self.plan = plan
        self.program = program
        self.minibatch_size = minibatch_size
        self.input_names = _names("input_names", input_names, program.inputs)
        self.output_names = _names("output_names", output_names, program.outputs)
        # tuples, which Keras does not wrap: nodes are not to be tracked
        self.input_keys = tuple(self.input_names if input_keys is None else input_keys)
        _expect_length("input_keys", self.input_keys, program.inputs)
        if isinstance(keep_history, (bool, np.bool_)):
            keep_history = [bool(keep_history)] * len(program.outputs)
        _expect_length("keep_history", keep_history, program.outputs)
        self.keep_history = tuple(bool(keep) for keep in keep_history)
        self.output_shapes = _output_shapes(output_shapes, program.outputs)
        # a plain object: setting any attribute of a Keras layer takes 10 us
        self.last_run = SimpleNamespace(first_step=0, error="")

        self.initial_values = self._initial_values(param_values, state, istate)
        self._add_params(trainable_params)
        self._add_state()
        keep_last = [not keep for keep in self.keep_history]
        self.run_op = RunOp(program, keep_last, callbacks, threads)
        # the op works in the memory of variables, which must be where it runs
        self._direct = DirectRun(self) if self._on_cpu() else None
        self.built = True

    # ------------------------------------------------------------ parameters and state

    def _initial_values(self, param_values, state, istate):
        plan, program, batch = self.plan, self.program, self.minibatch_size
        if param_values is None:
            param_values = plan.param_values
        if state is None:
            state = plan.initial_state
        if istate is None:
            istate = getattr(plan, "initial_istate", np.zeros(program.istate_size, np.int32))
        _expect_length("param_values", param_values, program.params)
        values = {
            f"param {i} ({param.name})": _filled(
                f"value of parameter {param.name!r}", value, param.size, program.dtype,
                batch if param.learned else None,
            )
            for i, (param, value) in enumerate(zip(program.params, param_values, strict=True))
        }  # fmt: skip
        values["state"] = _filled("state", state, program.state_size, program.dtype, batch)
        values["istate"] = _filled("istate", istate, program.istate_size, "int32", batch)
        return values

    def _add_params(self, trainable_params):
        params = self.program.params
        if trainable_params is None:
            trainable_params = [True] * len(params)
        _expect_length("trainable_params", trainable_params, params)
        names = unique_names([param.name for param in params])
        initial = list(self.initial_values.values())[: len(params)]  # state follows
        self.base_params = [
            self.add_weight(
                name=name,
                shape=value.shape,
                dtype=self.program.dtype,
                initializer=lambda shape, dtype=None, value=value: tf.convert_to_tensor(value),
                trainable=bool(trainable),
            )
            for name, value, trainable in zip(names, initial, trainable_params, strict=True)
        ]
        self.learned = tuple(i for i, param in enumerate(params) if param.learned)

    def _add_state(self):
        def variable(value, name):
            return tf.Variable(value, trainable=False, name=name, dtype=value.dtype)

        self.saved_state = {
            "state": variable(self.initial_values["state"], "state"),
            "istate": variable(self.initial_values["istate"], "istate"),
            "n_steps": variable(np.zeros((), np.int64), "n_steps"),
        }
        self._stateful = variable(np.asarray(True), "stateful")

    def _on_cpu(self):
        variables = [*self.saved_state.values(), *(weight._value for weight in self.base_params)]
        return all(tf.DeviceSpec.from_string(v.device).device_type == "CPU" for v in variables)

    @property
    def stateful(self):
        """Whether `.call` writes the state back. May be set at any time, nothing is traced anew."""
        return bool(self._stateful.numpy())

    @stateful.setter
    def stateful(self, value):
        self._stateful.assign(bool(value))

    @property
    def n_steps(self):
        """int : Steps done, as saved."""
        # 40 us less than the variable's own method
        handle = self.saved_state["n_steps"].handle
        return int(tf.raw_ops.ReadVariableOp(resource=handle, dtype=tf.int64))

    def get_state(self):
        """A copy of the saved state: dict of arrays ``state``, ``istate``, ``n_steps``."""
        return {key: variable.numpy() for key, variable in self.saved_state.items()}

    def set_state(self, state=None, istate=None, n_steps=None):
        """Set saved state, from arrays of shape (size,) or (B, size) and an int."""
        for key, value in (("state", state), ("istate", istate)):
            if value is not None:
                variable = self.saved_state[key]
                dtype = variable.dtype.as_numpy_dtype
                size = variable.shape[1]
                variable.assign(_filled(key, value, size, dtype, self.minibatch_size))
        if n_steps is not None:
            self.saved_state["n_steps"].assign(n_steps)

    def get_param(self, index):
        """Value of parameter ``index``: array of shape (size,), or (B, size) if learned."""
        return self.base_params[index]._value.numpy()

    def set_param(self, index, value):
        """Set parameter ``index`` from an array of shape (size,), or (B, size) if learned."""
        param = self.program.params[index]
        batch = self.minibatch_size if param.learned else None
        what = f"value of parameter {param.name!r}"
        self.base_params[index]._value.assign(
            _filled(what, value, param.size, self.program.dtype, batch)
        )

    def reset(self, state=True, params=False):
        """Go back to the initial state, and, if asked for, to the initial parameters."""
        if state:
            initial = self.initial_values
            self.set_state(initial["state"], initial["istate"], 0)
        if params:
            for weight, value in zip(self.base_params, self.initial_values.values(), strict=False):
                weight._value.assign(value)

    # ------------------------------------------------------------ running

    def run_graph(self, inputs, n_steps, stateful, time_limit=0.0, partial=False):
        """Run the op on the layer's variables and write back what has to live on.

        Learned parameters are always written, state only if ``stateful``, a bool or a bool tensor.

        Returns
        -------
        `.tf_ops.RunResult`
        """
        saved = self.saved_state
        # ._value is the plain variable, whatever Keras' autocast scope says
        params = [weight._value.value() for weight in self.base_params]
        result = self.run_op(
            list(inputs), params, saved["state"].value(), saved["istate"].value(),
            saved["n_steps"].value(), n_steps, time_limit, partial,
        )  # fmt: skip
        for index, value in zip(self.learned, result.learned, strict=True):
            self.base_params[index]._value.assign(value)

        def save():
            saved["state"].assign(result.state)
            saved["istate"].assign(result.istate)
            saved["n_steps"].assign_add(result.steps)
            return tf.constant(True)

        if isinstance(stateful, bool):
            if stateful:
                save()
        else:
            tf.cond(stateful, save, lambda: tf.constant(False))
        return result

    @tf.autograph.experimental.do_not_convert
    def call(self, inputs):
        """Run all steps of a minibatch.

        Parameters
        ----------
        inputs : list of tensors
            Rows of each model input, shape (B, n_steps, size), and the number of steps,
            shape (B, 1) int32.

        Returns
        -------
        list of tensors
            Each output, shape (B, n_steps or 1, ...), and the steps that were done, (B,) int32.
        """
        *rows, n_steps = inputs
        n_steps = tf.cast(tf.reshape(n_steps, (-1,))[0], tf.int64)
        result = self.run_graph(rows, n_steps, self._stateful.value())
        outputs = [
            value if len(shape) == 1 else self._reshaped(value, shape)
            for value, shape in zip(result.outputs, self.output_shapes, strict=True)
        ]
        steps = tf.fill((self.minibatch_size,), tf.cast(result.steps, tf.int32))
        return [*outputs, steps]

    def _reshaped(self, value, shape):
        reshaped = tf.reshape(value, (self.minibatch_size, tf.shape(value)[1], *shape))
        return tf.ensure_shape(reshaped, (self.minibatch_size, value.shape[1], *shape))

    def run_eager(self, inputs, n_steps, stateful=True, time_limit=0.0):
        """Run steps at once, without Keras: the short way for `.Simulator.run_steps`.

        Parameters
        ----------
        inputs : list of array_like, shape (B, n_steps, size)
            Rows of each model input.
        n_steps : int
            Steps to do.
        stateful : bool
            Whether state is written back.
        time_limit : float
            Stop at the next window border after this many seconds; 0 for no limit.

        Returns
        -------
        outputs : list of ndarray, shape (B, steps or 1, ...)
            Read-only.
        steps : int
            Steps that were done: fewer than ``n_steps`` if time was up or a callback failed; then
            ``last_run.error`` holds what it said.
        """
        if stateful and self._direct is not None:
            values, counts, message = self._direct(inputs, n_steps, time_limit)
            first_step, steps = memoryview(counts).tolist()
        else:
            first_step = self.n_steps
            tensors = [tf.constant(rows, self.program.dtype) for rows in inputs]
            result = self.run_graph(tensors, n_steps, stateful, time_limit, partial=True)
            values, steps, message = result.outputs, int(result.steps), result.error
        self.last_run.first_step = first_step
        self.last_run.error = "" if steps == n_steps else message.numpy().decode()
        outputs = []
        for value, shape, keep in zip(values, self.output_shapes, self.keep_history, strict=True):
            array = np.asarray(memoryview(value))  # shares the tensor's memory
            if keep and steps < n_steps:
                array = array[:, :steps]
            if len(shape) != 1:
                array = array.reshape((*array.shape[:2], *shape))
            outputs.append(array)
        return outputs, steps

    # ------------------------------------------------------------ Keras

    def compute_output_spec(self, inputs):
        """Shapes and dtypes of `.call`, without tracing it."""
        *rows, _ = inputs
        steps = rows[0].shape[1] if rows else None
        specs = [
            keras.KerasTensor((self.minibatch_size, steps if keep else 1, *shape), self.dtype)
            for shape, keep in zip(self.output_shapes, self.keep_history, strict=True)
        ]
        return [*specs, keras.KerasTensor((self.minibatch_size,), "int32")]

    def build_inputs(self):
        """Keras inputs to call this layer on.

        Returns
        -------
        inputs : dict
            For each of ``input_keys``, an input of shape (B, None, size).
        n_steps : keras.KerasTensor
            Number of steps, shape (B, 1) int32.
        """
        *names, last = unique_names([*self.input_names, "n_steps"])
        inputs = {
            key: keras.Input(
                batch_shape=(self.minibatch_size, None, port.size),
                dtype=self.dtype,
                name=name,
            )
            for key, name, port in zip(self.input_keys, names, self.program.inputs, strict=True)
        }
        n_steps = keras.Input(batch_shape=(self.minibatch_size, 1), dtype="int32", name=last)
        return inputs, n_steps


def build_keras_model(layer, model_class=keras.Model):
    """A functional model around a `.TensorGraph`.

    Parameters
    ----------
    layer : `.TensorGraph`
        The layer.
    model_class : type
        `keras.Model` or a class derived from it.

    Returns
    -------
    keras.Model
        Named ``"keras_model"``. Inputs: one per node, then ``n_steps``. Outputs: a dict with one
        entry per probe and ``"steps_run"``; ``output_names`` lists them in that order.
    """
    inputs, n_steps = layer.build_inputs()
    tensors = [*inputs.values(), n_steps]
    names = [*layer.output_names, "steps_run"]
    outputs = layer(tensors)
    # Keras sorts the entries of a dict, but not those of an OrderedDict
    named = OrderedDict(zip(names, outputs, strict=True))
    model = model_class(inputs=tensors, outputs=named, name="keras_model")
    model.output_names = names
    return model


def unique_names(names):
    """Names that Keras accepts: no ``/``, none empty, none twice."""
    seen, result = set(), []
    for name in names:
        base = re.sub(r"/", ".", name) or "unnamed"
        unique, count = base, 1
        while unique in seen:
            unique, count = f"{base}_{count}", count + 1
        seen.add(unique)
        result.append(unique)
    return result


def _names(what, names, ports):
    names = [port.name for port in ports] if names is None else list(names)
    _expect_length(what, names, ports)
    return tuple(names)


def _output_shapes(shapes, ports):
    if shapes is None:
        shapes = [(port.size,) for port in ports]
    _expect_length("output_shapes", shapes, ports)
    for shape, port in zip(shapes, ports, strict=True):
        if np.prod(shape, dtype=np.int64) != port.size:
            raise ValueError(
                f"output_shapes: shape {tuple(shape)} of output {port.name!r} has "
                f"{np.prod(shape)} elements, due are {port.size}"
            )
    return tuple(tuple(shape) for shape in shapes)


def _expect_length(what, values, due):
    if len(values) != len(due):
        raise ValueError(f"{what}: {len(due)} entries due, one for each, came {len(values)}")


def _filled(what, value, size, dtype, batch):
    """``value`` as a contiguous array of shape (size,), or (batch, size) if there is a batch."""
    value = np.asarray(value, dtype=dtype)
    shape = (size,) if batch is None else (batch, size)
    if value.shape != shape and value.shape != (size,):
        raise ValueError(
            f"{what}: shape {shape}{'' if batch is None else f' or ({size},)'} due, "
            f"came {value.shape}"
        )
    return np.array(np.broadcast_to(value, shape), dtype=dtype, order="C")
