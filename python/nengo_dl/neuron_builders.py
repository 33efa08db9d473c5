"""TensorFlow code for neuron types in the form of NengoDL; see also `nengo_dl.builder`."""

from __future__ import annotations

from typing import Any

from nengo.exceptions import BuildError
from nengo.neurons import NeuronType

from .builder.op_builders import BuildConfig, OpBuilder, SignalDict, look_up
from .builder.tensor_code import neuron_results


class TFNeuronBuilder(OpBuilder):
    """Base of TensorFlow code for a neuron type.

    It is made for each `nengo.builder.neurons.SimNeurons` of a simulator. What a step needs of the
    neurons' parameters is read in `build_pre`, off ``op.neurons for op in self.ops``.

    Attributes
    ----------
    spiking : bool
        Whether the neurons spike: only then there is a step of its own for training.
    config : nengo_dl.builder.BuildConfig
        What there is to know of the simulation, from `build_pre` on.
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


class SimNeuronsBuilder:
    """Where `TFNeuronBuilder` classes are registered.

    Attributes
    ----------
    TF_NEURON_IMPL : dict
        Neuron type -> subclass of `TFNeuronBuilder`, looked up whenever a simulator is made, for
        neurons of exactly that type. Native types are not in it. What `nengo_dl.builder.tensorflow`
        says of a type goes first.
    """

    TF_NEURON_IMPL: dict[type, type] = {}  # noqa: RUF012  as NengoDL's


def _builder_of(cls: type) -> type | None:
    if not issubclass(cls, NeuronType):
        return None
    table = SimNeuronsBuilder.TF_NEURON_IMPL
    for key in table:
        if not (isinstance(key, type) and issubclass(key, NeuronType)):
            raise BuildError(f"TF_NEURON_IMPL: expected subclasses of NeuronType, got {key}")
    builder = table.get(cls)
    if not (builder is None or (isinstance(builder, type) and issubclass(builder, OpBuilder))):
        raise BuildError(
            f"TF_NEURON_IMPL[{cls.__name__}]: expected a subclass of TFNeuronBuilder, got {builder}"
        )
    return builder


look_up(_builder_of, autograph=True)
