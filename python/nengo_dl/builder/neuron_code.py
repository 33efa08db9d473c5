"""What TensorFlow code for neuron types is made of, in the form of NengoDL."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from .op_builders import BuildConfig, OpBuilder, SignalDict
from .tensor_code import neuron_results


class TFNeuronBuilder(OpBuilder):
    """Base of TensorFlow code for a neuron type.

    It is made for each `nengo.builder.neurons.SimNeurons` of a simulator. What a step needs of the
    neurons' parameters is read in `build_pre`, off ``op.neurons for op in self.ops``; tensors made
    of them are scalars, or of shape (1, n_neurons) where neurons differ.

    Attributes
    ----------
    spiking : bool
        Whether the neurons spike: only then there is a step of its own for training.
    config : nengo_dl.builder.BuildConfig
        What there is to know of the simulation, from `build_pre` on, as all that follows.
    amplitude : tensor or None
        The neurons' parameter, in their units; None if it is 1, or if they have none.
    alpha : tensor
        Height of a spike: the amplitude over the length of a step.
    """

    spiking = False

    def build_pre(self, signals: SignalDict, config: BuildConfig) -> None:
        """Prepare what steps need; a class that overrides it calls this one, too."""
        super().build_pre(signals, config)
        self.J_data = signals.combine([op.J for op in self.ops])
        self.output_data = signals.combine([op.output for op in self.ops])
        self.state_data = {
            name: signals.combine([op.state[name] for op in self.ops]) for name in self.ops[0].state
        }
        self.amplitude, self.alpha = None, tf.constant(1 / signals.dt_val, signals.dtype)
        if any(getattr(op.neurons, "amplitude", 1) != 1 for op in self.ops):
            self.amplitude = self._parameter(signals, "amplitude")
            exact = self._parameter(signals, "amplitude", tf.float64)
            self.alpha = tf.cast(exact / signals.dt_val, signals.dtype)

    def _parameter(self, signals: SignalDict, name: str, dtype: Any = None) -> Any:
        """A parameter of the neurons."""
        types, sizes = [op.neurons for op in self.ops], [op.J.shape[0] for op in self.ops]
        return signals.op_constant(types, sizes, name, dtype or signals.dtype)

    def _scaled(self, rates: Any) -> Any:
        return rates if self.amplitude is None else self.amplitude * rates

    def build_step(self, signals: SignalDict) -> None:
        """Run `step` or `training_step` on the signals of the operator."""
        state = {name: signals.gather(data) for name, data in self.state_data.items()}
        trains = self.spiking and self.config.training and not self.config.inference_only
        step = self.training_step if trains else self.step
        found = step(signals.gather(self.J_data), signals.dt, **state)
        results = neuron_results(found, state, type(self).__name__, states_stay=trains)
        for data, value in zip((self.output_data, *self.state_data.values()), results, strict=True):
            signals.scatter(data, value)

    def step(self, J: Any, dt: Any, **state: Any) -> Any:
        """Run a step.

        Parameters
        ----------
        J : tensor, shape (minibatch_size, n_neurons)
            Input currents.
        dt : tensor
            Length of a step in seconds.
        **state : tensors
            What the neurons keep, by its names.

        Returns
        -------
        tensor or tuple
            The output, or a tuple of it and the new states in their order.
        """
        raise NotImplementedError(f"{type(self).__name__}: expected a class that overrides step")

    def training_step(self, J: Any, dt: Any, **state: Any) -> Any:
        """Run a step of spiking neurons in training; as `step`, unless a class says otherwise.

        It may return the output alone: states then stay as they are while the model is trained.
        """
        return self.step(J, dt, **state)


class GenericNeuronBuilder(OpBuilder):
    """Neurons whose own Python code runs, item by item, called by TensorFlow in each step.

    No gradient passes. Neurons without any builder run their Python code faster.
    """

    def build_pre(self, signals: SignalDict, config: BuildConfig) -> None:
        """Bind the neurons' code to arrays."""
        super().build_pre(signals, config)
        (op,) = self.ops
        self._values = {s: np.zeros(s.shape) for s in (op.J, op.output, *op.state.values())}
        self._step = op.make_step(self._values, signals.dt_val, config.rng)

    def _run(self, *given: np.ndarray) -> list[np.ndarray]:
        """A step of all items: currents and states to outputs and states."""
        (op,) = self.ops
        ins, outs = ([value, *op.state.values()] for value in (op.J, op.output))
        found = [np.empty_like(given[0]), *map(np.empty_like, given[1:])]
        for i in range(len(given[0])):
            for signal, values in zip(ins, given, strict=True):
                self._values[signal][...] = values[i]
            self._step()
            for signal, values in zip(outs, found, strict=True):
                values[i] = self._values[signal]
        return found

    def build_step(self, signals: SignalDict) -> None:
        """Run the neurons' code on the signals of the operator."""
        (op,) = self.ops
        given = [signals.gather(signal) for signal in (op.J, *op.state.values())]
        found = tf.numpy_function(self._run, given, [signals.dtype] * len(given))
        for signal, value, like in zip((op.output, *op.state.values()), found, given, strict=True):
            signals.scatter(signal, tf.ensure_shape(value, like.shape))
