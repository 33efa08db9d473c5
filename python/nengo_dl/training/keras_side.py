"""The Keras model of a simulator, and what all calls of it have in common."""

import contextlib

import keras
import tensorflow as tf
from nengo.exceptions import SimulationError, ValidationError

from ..arguments.checks import warn_synapses, warn_user
from ..arguments.keras_arguments import DROPPED, check_arguments, refuse_unknown
from ..keras_private import said_of_legacy
from ..tensor_graph import build_keras_model
from .model import NO_MINIBATCH, SimulatorModel
from .precision import float_type


class KerasSide:
    """The Keras model of a built model, made when it is first asked for.

    Parameters
    ----------
    runtime : nengo_dl.run.runtime.Runtime
        What runs the built model.
    rules : nengo_dl.arguments.data_rules.DataRules
        What data has to fit.
    stateful : bool
        Whether a call may keep the state at all.
    scope : callable
        ``with scope():`` surrounds what makes or runs layers: their precision and device.
    """

    def __init__(self, runtime, rules, stateful, scope):
        self.runtime, self.rules, self.stateful, self.scope = runtime, rules, stateful, scope
        self._model = None
        self._predict = {}

    @property
    def model(self):
        """nengo_dl.training.model.SimulatorModel : The model."""
        if self._model is None:
            with self.runtime.turns("keras_model"):
                if self._model is None:
                    self._model = self._make()
        return self._model

    def _make(self):
        runtime = self.runtime
        with self.scope(), float_type(runtime.dtype):
            model = build_keras_model(runtime.layer, SimulatorModel)
            model.set_up(runtime.names, runtime.layer, runtime.turns)
        return model

    @property
    def minibatches_per_call(self):
        """int : ``steps_per_execution`` of ``compile``, 1 by default."""
        return 1 if self._model is None else self._model.untracked.given_steps

    def predict_function(self, stateful, whole, few_steps):
        """What runs a minibatch of any number of steps on tensors, traced once.

        Parameters
        ----------
        stateful : bool
            Whether it writes the state back.
        whole : bool
            Whether a minibatch has ``minibatch_size`` items; otherwise any number up to it.
        few_steps : bool
            Whether there are no more steps than may be run at once.

        Returns
        -------
        callable
            From the rows of all inputs and the number of steps, ``(items, 1)`` int32, to the list
            of outputs and ``steps_run``.
        """
        key = stateful, whole, few_steps
        if key not in self._predict:
            layer = self.runtime.layer
            items = layer.minibatch_size if whole else None
            specs = [
                tf.TensorSpec((items, None, port.size), self.runtime.dtype)
                for port in layer.plan.inputs
            ]
            specs.append(tf.TensorSpec((items, 1), tf.int32))

            def run(*inputs):
                return layer(list(inputs), training=False)

            with self.scope(), float_type(self.runtime.dtype), layer.keeping(stateful, few_steps):
                function = tf.function(run, autograph=False)
                self._predict[key] = function.get_concrete_function(*specs)
        return self._predict[key]

    def compile(self, optimizer, **arguments):
        """Call ``compile`` of the model."""
        refuse_unknown("compile", arguments)
        with self.scope(), float_type(self.runtime.dtype):
            self.model.compile(optimizer, **arguments)

    def compiled(self, method):
        """The model, if it is ready for a method that needs losses."""
        if not self.model.compiled:
            raise ValueError(f"You must call `compile()` of the simulator before `{method}()`")
        return self.model

    def close(self):
        """Forget the model."""
        self._model = None
        self._predict = {}

    @contextlib.contextmanager
    def errors(self):
        """Raise what was wrong, not what TensorFlow made of it.

        That is what a Python function of the model raised, or that a minibatch is none.
        """
        self.runtime.forget_error()
        try:
            yield
        except Exception as e:
            error = self.runtime.take_error(str(e))
            if error is not None:
                raise error from (error.__cause__ or e)
            if NO_MINIBATCH in str(e):
                size = self.rules.minibatch_size
                raise ValidationError(
                    f"{NO_MINIBATCH}={size} items from the dataset or generator, and as many"
                    " targets and weights as items, got a minibatch of other sizes;"
                    f" .batch({size}) makes a tf.data.Dataset give such minibatches",
                    attr="x",
                ) from e
            raise

    def clean_arguments(self, method, kwargs, stateful, sizes=("batch_size",), warn=True):
        """Take arguments out that Keras 3 does not know or that the simulator decides.

        Parameters
        ----------
        method : str
            The name of the call, which is the same in Keras.
        kwargs : dict
            Arguments for Keras; it is changed.
        stateful : bool
            Whether the state is to be kept.
        sizes : tuple of str
            Arguments that say how many items a minibatch has.
        warn : bool
            Whether to warn if the network keeps no state.

        Returns
        -------
        bool
            Whether the state is kept.
        """
        refuse_unknown(method, kwargs, (*sizes, *DROPPED))
        # not of None: Keras' `tree` waits for the GIL, where Python aborts a process that ends
        # while a daemon thread predicts
        callbacks = kwargs.get("callbacks")
        for callback in () if callbacks is None else keras.tree.flatten(callbacks):
            if legacy := said_of_legacy(callback, "a callback"):
                raise ValidationError(legacy, "callbacks")
        check_arguments(kwargs)
        for name in sizes:
            if kwargs.pop(name, None) is not None:
                warn_user(
                    f"Batch size is determined statically by minibatch_size; {name} is ignored"
                )
        for name in DROPPED:
            if kwargs.pop(name, None) is not None:
                warn_user(f"Keras 3 has no argument {name}; it is ignored")
        if stateful and not self.stateful and warn:
            warn_user("Ignoring stateful=True, since the network is configured with stateful=False")
        return bool(stateful and self.stateful)

    def warn_one_step(self, n_steps, stateful):
        """Warn before a single step that starts anew, if synapses let nothing through in it."""
        if n_steps == 1 and not stateful:
            warn_synapses(self.runtime.model, self._probes_that_matter())

    def _probes_that_matter(self):
        """Probes with a loss, or all if nothing was compiled."""
        model, probes = self._model, self.runtime.names.probes
        if model is None or not model.compiled:
            return list(probes.values())
        return [probes[name] for name in model.untracked.targets.losses]


def refuse_steps(x, n_steps):
    """Data that only Keras can take apart says itself how many steps it has."""
    if n_steps is not None:
        raise SimulationError(
            f"n_steps can't be given together with a {type(x).__name__}, which has the number of"
            " steps in its own n_steps"
        )
