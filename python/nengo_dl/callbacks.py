"""Keras callbacks for simulators."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nengo
from nengo.exceptions import ValidationError

from .keras_private import NoTrainingGraph, check_keras

check_keras()

import keras  # noqa: E402
import tensorflow as tf  # noqa: E402

if TYPE_CHECKING:
    from .simulator import Simulator

    Logs = Mapping[str, Any] | None


class NengoSummaries(keras.callbacks.Callback):
    """Write histograms of parameters for TensorBoard at the end of every epoch.

    Parameters
    ----------
    log_dir : str
        Folder for the event file.
    sim : nengo_dl.Simulator
        Simulator whose parameters they are.
    objects : list of nengo.Ensemble, nengo.ensemble.Neurons or nengo.Connection
        What to write: encoders of ensembles, biases of neurons, weights of connections. Tags are
        ``Ensemble_<label>_encoders``, ``Ensemble.neurons_<label>_bias`` and
        ``Connection_<label>_weights``.

    Raises
    ------
    ImportError
        If the package ``tensorboard`` is not installed.
    ValidationError
        For an object of another kind, or one without such a parameter.
    """

    def __init__(self, log_dir: str | Path, sim: Simulator, objects: Iterable[Any]) -> None:
        super().__init__()
        _need_tensorboard("NengoSummaries")
        self.sim = sim
        self.summaries = [_summary(sim, obj) for obj in objects]
        self.writer = tf.summary.create_file_writer(str(log_dir))

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Write the present values, with the number of the epoch as step."""
        with self.writer.as_default():
            for tag, obj, attr in self.summaries:
                ((value),) = self.sim.data.get_params((obj, attr))
                tf.summary.histogram(tag, _values(value), step=epoch)
        self.writer.flush()

    def on_train_end(self, logs: Logs = None) -> None:
        """Close the event file."""
        self.writer.close()


class TensorBoard(keras.callbacks.TensorBoard):
    """`keras.callbacks.TensorBoard` that profiles minibatches of ``predict``, too.

    Arguments are those of Keras; ``profile_batch`` counts minibatches of the call.

    Raises
    ------
    ImportError
        If the package ``tensorboard`` is not installed.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        _need_tensorboard("TensorBoard")
        super().__init__(*args, **kwargs)
        self._no_graph: NoTrainingGraph | None = None

    def on_predict_begin(self, logs: Logs = None) -> None:
        """Begin to count minibatches."""
        # the graph to write is that of training, which does not exist here
        self._no_graph = NoTrainingGraph(self)
        self.on_train_begin(logs)

    def on_predict_batch_begin(self, batch: int, logs: Logs = None) -> None:
        """Start the profiler if it is time."""
        self.on_train_batch_begin(batch)

    def on_predict_batch_end(self, batch: int, logs: Logs = None) -> None:
        """Stop the profiler if it is time."""
        self.on_train_batch_end(batch)  # without logs: those of predict are outputs, not metrics

    def on_predict_end(self, logs: Logs = None) -> None:
        """Stop the profiler."""
        self.on_train_end(logs)
        if self._no_graph is not None:
            self._no_graph.end()


class IsolateState(keras.callbacks.Callback):
    """Put the state of a simulator back after every minibatch.

    So each minibatch of a call with ``stateful=True`` starts from the same state: that which the
    simulator had when this callback was made.

    Parameters
    ----------
    sim : nengo_dl.Simulator
        The simulator.
    """

    def __init__(self, sim: Simulator) -> None:
        super().__init__()
        self.layer = sim.tensor_graph
        self.state = self.layer.get_state()

    def reset(self) -> None:
        """Put the state back."""
        self.layer.set_state(**self.state)

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        """Put the state back."""
        self.reset()

    def on_test_batch_end(self, batch: int, logs: Logs = None) -> None:
        """Put the state back."""
        self.reset()

    def on_predict_batch_end(self, batch: int, logs: Logs = None) -> None:
        """Put the state back."""
        self.reset()


def _need_tensorboard(name: str) -> None:
    if importlib.util.find_spec("tensorboard") is None:
        raise ImportError(
            f"nengo_dl.callbacks.{name} needs the package tensorboard, which TensorFlow does not"
            " bring along; install it with `pip install tensorboard`"
        )


def _summary(sim: Simulator, obj: Any) -> tuple[str, Any, str]:
    """Tag of an object's summary, and the object and attribute that it shows."""
    if isinstance(obj, nengo.Ensemble):
        kind, owner, parameter, attr = "Ensemble", obj, "encoders", "scaled_encoders"
    elif isinstance(obj, nengo.ensemble.Neurons):
        kind, owner, parameter, attr = "Ensemble.neurons", obj.ensemble, "bias", "bias"
    elif isinstance(obj, nengo.Connection):
        kind, owner, parameter, attr = "Connection", obj, "weights", "weights"
    else:
        raise ValidationError(
            f"Unknown summary object {obj!r}; should be an Ensemble, Neurons, or Connection",
            attr="objects",
        )
    source = owner if isinstance(obj, nengo.ensemble.Neurons) else obj
    if source not in sim.data:
        raise ValidationError(f"{obj} is not in this simulator's model", attr="objects")
    if getattr(sim.data[source], attr) is None:
        raise ValidationError(
            f"{type(obj).__name__} '{obj}' does not have any {parameter} to log", attr="objects"
        )
    return f"{kind}_{owner.label}_{parameter}", source, attr


def _values(value: Any) -> Any:
    """Return a parameter as an array, of a sparse one its elements."""
    return getattr(value, "data", value) if hasattr(value, "indices") else value
