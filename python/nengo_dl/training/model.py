"""The Keras model of a simulator: losses and metrics by probe, many minibatches in one call."""

import contextlib
from collections import OrderedDict
from collections.abc import Mapping

import keras
import tensorflow as tf
from nengo.exceptions import ValidationError

from ..arguments.data_forms import flattened
from ..arguments.keras_arguments import check_arguments
from ..arguments.names import OnlyNames
from ..keras_private import fits, said_of_legacy
from ..run.interrupt import interrupt
from ..run.turns import Turns
from ..tensor_graph import FixedForInference, TensorGraph, build_keras_model, merged_updates
from .calls import Untracked, called_shortly, check, number, one_call, tensors_of
from .minibatches import run_chunks
from .precision import float_type, python_float_type
from .targets import Targets, by_probe

NO_MINIBATCH = "expected minibatches of at most minibatch_size"


@keras.saving.register_keras_serializable("nengo_dl")
class SimulatorModel(FixedForInference, keras.Model):
    """A functional model with a dictionary of probes as output.

    Made by `nengo_dl.tensor_graph.build_keras_model`. Calls start from the simulator's state and
    leave it as it is, unless the layer (``sim.tensor_graph``) is ``stateful``. It knows inputs and
    probes by their names; the one of a simulator also knows what they are (`set_up`).
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        layer = next(layer for layer in self.layers if isinstance(layer, TensorGraph))
        names = OnlyNames(layer.input_names, layer.output_names)
        self.untracked = Untracked(names, layer, Turns())

    def set_up(self, names, layer, turns):
        """Give the model what it keeps beside Keras; see `Untracked`."""
        self.untracked = Untracked(names, layer, turns)

    # ------------------------------------------------------------ calls

    @contextlib.contextmanager
    def in_call(self, name, call):
        """Let Keras use the model for one call, and put back what was.

        Parameters
        ----------
        name : str
            The method.
        call : Call
            What the call needs.
        """
        state = self.untracked
        state.layer.refuse_strategies()
        with state.turns(name), state.layer.keeping(call.stateful):
            before = state.call, self.steps_per_execution
            state.call, self.steps_per_execution = call, call.steps or state.given_steps
            try:
                yield
            finally:
                state.call, self.steps_per_execution = before

    fit = one_call(keras.Model.fit)
    evaluate = one_call(keras.Model.evaluate)
    predict = one_call(keras.Model.predict)
    train_on_batch = one_call(keras.Model.train_on_batch)
    test_on_batch = one_call(keras.Model.test_on_batch)
    predict_on_batch = one_call(keras.Model.predict_on_batch)

    # ------------------------------------------------------------ files

    def export(self, *args, **kwargs):
        """As in Keras; a model that calls Python is refused."""
        self.untracked.layer.refuse_callbacks()
        super().export(*args, **kwargs)

    def get_config(self):
        """All that `from_config` needs: the layer."""
        return {"layer": self.untracked.layer.get_config(), "name": self.name}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """Make a model from `get_config`; its Nodes and Probes are known by their names alone."""
        return build_keras_model(TensorGraph.from_config(config["layer"]), cls)

    def get_compile_config(self):
        """Arguments of `compile`, by names of Probes."""
        given = self.untracked.compile_arguments
        return given and keras.saving.serialize_keras_object(given)

    def compile_from_config(self, config):
        """Call `compile` with what `get_compile_config` returned."""
        arguments = keras.saving.deserialize_keras_object(config)
        self.compile(**arguments)

    # ------------------------------------------------------------ compile

    def compile(
        self,
        optimizer="rmsprop",
        loss=None,
        loss_weights=None,
        metrics=None,
        weighted_metrics=None,
        steps_per_execution=None,
        **kwargs,
    ):
        """Set optimizer, losses and metrics, in the forms of `nengo_dl.Simulator.compile`.

        Nothing changes if an argument is wrong.
        """
        if steps_per_execution is not None:
            check_arguments({"steps_per_execution": steps_per_execution})
        steps_per_execution = None if steps_per_execution == "auto" else steps_per_execution
        names = self.untracked.names
        given = by_probe(names, loss, loss_weights, metrics, weighted_metrics)
        targets = Targets(*given.values())
        self._check_optimizer(optimizer)
        super().compile(optimizer, steps_per_execution=steps_per_execution or 1, **kwargs)
        given.update(optimizer=self.optimizer, steps_per_execution=steps_per_execution)
        given.update(run_eagerly=self.run_eagerly)
        self.untracked.compile_arguments = given
        self.untracked.targets = targets
        self.untracked.auto_steps = steps_per_execution is None
        self.untracked.given_steps = steps_per_execution or 1
        self.untracked.functions.clear()
        self.untracked.keras_functions.clear()
        self.untracked.checked.clear()
        if isinstance(self.optimizer, keras.optimizers.Optimizer) and not self.optimizer.built:
            # now, so that its state can be loaded before the first step
            self.optimizer.build(self.trainable_variables)

    def _check_optimizer(self, optimizer):
        if legacy := said_of_legacy(optimizer, "an optimizer"):
            raise ValidationError(legacy, "optimizer")
        known = keras.optimizers.Optimizer
        if isinstance(optimizer, known) and not fits(optimizer, self.trainable_variables):
            raise ValidationError(
                f"this {type(optimizer).__name__} has been used for other weights, of another"
                " simulator or fewer of this one, and can't be used for these; make a new one",
                attr="optimizer",
            )

    # ------------------------------------------------------------ losses and metrics

    def train_step(self, data):
        """Train on a minibatch."""
        scaled = isinstance(self.optimizer, keras.optimizers.LossScaleOptimizer)
        with self._checked(data), merged_updates(self.optimizer):
            if scaled or tf.executing_eagerly():
                return super().train_step(data)
            # outside of replicas: within, Keras sums the gradients over all of them, by a function
            # whose own gradient TensorFlow keeps, with the whole graph, until the process ends
            train_step, here = super().train_step, tf.distribute.get_replica_context()
            return here.merge_call(lambda _: train_step(data))

    def test_step(self, data):
        """Compute losses and metrics for a minibatch."""
        with self._checked(data), self._test_mode():
            return super().test_step(data)

    @contextlib.contextmanager
    def _test_mode(self):
        """Let the layer run as in training, if tests are to, but record nothing."""
        layer = self.untracked.layer
        before = layer.learning_phase
        layer.learning_phase = True if self.untracked.call.rates else before
        try:
            yield
        finally:
            layer.learning_phase = before

    def predict_step(self, data):
        """Run a minibatch."""
        with self._checked(data):
            return super().predict_step(data)

    def _checked(self, data):
        """What is done within waits for the data, and is not done if it is no minibatch.

        Sizes of minibatches may be constants: nothing is to be counted when there is no data.
        """
        size = self.inputs[-1].shape[0]
        tensors = [tensor for tensor in tensors_of(data) if tensor.shape.rank]
        items = [tf.shape(tensor)[0] if tensor.shape[0] is None else tensor.shape[0]
                 for tensor in tensors]  # fmt: skip
        conditions = [items[0] <= size, *(items[0] == number for number in items[1:])]
        checks = [check(condition, f"{NO_MINIBATCH}={size}") for condition in conditions]
        return tf.control_dependencies([*tensors, *filter(tf.is_tensor, checks)])

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Sum of the weighted losses of probes, where they have what they need, and of layers."""
        targets = self.untracked.targets
        y, weights = self._sorted(y, sample_weight)
        losses = targets.loss(y, y_pred, weights)
        losses.extend(tf.reduce_sum(tf.cast(loss, self.compute_dtype)) for loss in self.losses)
        if losses:
            return tf.add_n(losses)
        if training or not targets.losses:
            raise ValueError(
                "No loss to compute: there is no target for a Probe that has a loss. Losses are"
                f" given in compile(), there are {', '.join(targets.losses) or 'none'}"
            )
        return tf.zeros((), self.compute_dtype)

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        """Count a minibatch and return all present results."""
        y, weights = self._sorted(y, sample_weight)
        self.untracked.targets.update_metrics(y, y_pred, weights)
        return self.get_metrics_result()

    def _sorted(self, y, sample_weight):
        shapes = {
            name: output.shape[2:]
            for name, output in zip(self.output_names, self.outputs, strict=True)
        }
        unread = self.untracked.targets.unread()
        y = {
            name: value if name in unread else self._target(value, shapes[name])
            for name, value in self._by_name(y, "targets").items()
        }
        if sample_weight is None or isinstance(sample_weight, (Mapping, list, tuple)):
            return y, self._by_name(sample_weight, "sample weights")
        probes = self.untracked.names.probes
        return y, dict.fromkeys(probes, tf.convert_to_tensor(sample_weight))

    def _target(self, value, shape):
        # the rank is unknown where Keras has seen datasets with targets of several ranks
        if value.shape.rank is None or flattened(value.shape, shape):
            items, n_steps = tf.shape(value)[0], tf.shape(value)[1]
            value = tf.reshape(value, (items, n_steps, *shape))
        return value if value.dtype.is_integer else tf.cast(value, self.compute_dtype)

    def _by_name(self, values, what):
        probes = self.untracked.names.probes
        if values is None:
            return {}
        if isinstance(values, Mapping):
            for name in values:
                if name not in probes:
                    raise ValueError(
                        f"{what}: {name!r} is no name of a Probe; there are {', '.join(probes)}"
                    )
            pairs = values.items()
        elif isinstance(values, (list, tuple)):
            pairs = zip(probes, values, strict=False)
        else:
            pairs = zip(probes, [values], strict=False)
        return {name: tf.convert_to_tensor(value) for name, value in pairs if value is not None}

    @property
    def metrics(self):
        """list : What is reset before an epoch: losses, metrics, what layers count."""
        targets = self.untracked.targets if hasattr(self, "untracked") else None
        return [*super().metrics, *(targets.trackers if targets is not None else ())]

    def get_metrics_result(self):
        """Present values: ``"loss"``, then losses, metrics, and what layers count."""
        loss, *others = super().metrics
        results = OrderedDict(loss=loss.result())
        results.update(self.untracked.targets.results())
        for metric in others:
            value = metric.result()
            results.update(value if isinstance(value, dict) else {metric.name: value})
        return results

    # ------------------------------------------------------------ many minibatches in one call

    def make_train_function(self, force=False):
        """Make what Keras calls for ``steps_per_execution`` minibatches of `fit`."""
        self.train_function = self._function("train", force)
        return self.train_function

    def make_test_function(self, force=False):
        """Make what Keras calls for ``steps_per_execution`` minibatches of `evaluate`."""
        self.test_function = self._function("test", force)
        return self.test_function

    def make_predict_function(self, force=False):
        """Make what Keras calls for ``steps_per_execution`` minibatches of `predict`."""
        self.predict_function = self._function("predict", force)
        return self.predict_function

    def _function(self, kind, force):
        if force:
            self.untracked.keras_functions.clear()
            self.untracked.functions.clear()

        def function(iterator):
            data = self.untracked.call.use(kind)
            if data is not None:
                return self._run(kind, data, iterator)
            return self._keras_function(kind)(iterator)

        return function

    def _keras_function(self, kind):
        """Keras' function for data that only it can take apart."""
        # it keeps the number of minibatches and what was said of the state when it was traced
        key = (kind, self.steps_per_execution, self.untracked.layer.told, self.untracked.call.rates)
        if key not in self.untracked.keras_functions:
            name = f"{kind}_function"
            ours = getattr(self, name)
            setattr(self, name, None)
            getattr(super(), f"make_{name}")()
            made = getattr(self, name)
            setattr(self, name, ours)
            self.untracked.keras_functions[key] = self._in_one_piece(made)
        return self.untracked.keras_functions[key]

    def _in_one_piece(self, function):
        """Run and, the first time, trace some minibatches; Ctrl-C is delivered before or after."""

        def run(*args):
            interrupt.check()
            with interrupt.hold(), float_type(self.compute_dtype):
                return function(*args)

        return run

    def _run(self, kind, data, iterator):
        """Run the next ``steps_per_execution`` minibatches of data in memory."""
        data.begin(iterator)
        total = min(self.steps_per_execution, data.left)
        if not total:
            raise StopIteration  # Keras says that the data ran out
        if total < self.steps_per_execution:
            self.untracked.call.warn_short(kind)

        def run(count):
            interrupt.check()
            with python_float_type(data.runtime, data.sample):
                for part in data.parts(count):
                    logs = self._run_stack(kind, data, part)
            return logs

        if not self.untracked.call.in_chunks:
            return run(total)
        callbacks = self.untracked.call.callbacks
        # Keras itself does so before the first and after the last minibatch of this call
        hooks = {
            "train": ("stop_training", "on_train_batch_end", "on_train_batch_begin"),
            "test": ("stop_evaluating", "on_test_batch_end", "on_test_batch_begin"),
        }
        stop, end, begin = hooks[kind]

        def progress(done, logs):
            if callbacks is not None:
                getattr(callbacks, end)(data.position - 1, logs)
                getattr(callbacks, begin)(data.position)

        return run_chunks(data, total, run, lambda: getattr(self, stop), progress)

    def _run_stack(self, kind, data, count):
        step = self.train_step if kind == "train" else self.test_step
        layout, stack = data.take(count)
        if self.run_eagerly:
            with float_type(self.compute_dtype):
                for index in range(count):
                    logs = step(layout.batch(index, *stack))
            return logs
        specs, written = data.specs(layout.items)
        single = self.steps_per_execution == 1 < data.length  # not of a call with a single one
        key = (kind, layout, single, written, self.untracked.layer.told, self.untracked.call.rates)
        if key not in self.untracked.functions:
            with float_type(self.compute_dtype):
                self._make_metrics(specs[1])
                self.untracked.functions[key] = self._trace(step, layout, specs, single)
        return self.untracked.functions[key](number(count), *stack)

    def _make_metrics(self, y):
        outputs = dict(zip(self.output_names, self.outputs, strict=True))
        self.untracked.targets.make_metrics(y, outputs)

    def _trace(self, step, layout, specs, single):
        def loop(count, *stack):
            self.untracked.traces += 1

            def body(index):
                step(layout.batch(index, *stack))
                return (index + 1,)

            if single:  # a loop takes longer to start than a small step
                body(0)
            else:
                tf.while_loop(lambda index: index < count, body, (0,), parallel_iterations=1)
            return self.get_metrics_result()

        traced = tf.function(loop, autograph=False)
        return called_shortly(traced.get_concrete_function(tf.TensorSpec((), tf.int32), *specs))
