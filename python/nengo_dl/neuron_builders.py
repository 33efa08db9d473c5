"""TensorFlow code for neuron types in the form of NengoDL; see also `nengo_dl.builder`."""

from __future__ import annotations

from typing import Any

import nengo
from nengo.exceptions import BuildError

from .builder.tensor_code import neuron_lowering, register_lowering


class TFNeuronBuilder:
    """Base of TensorFlow code for a neuron type.

    Attributes
    ----------
    spiking : bool
        Whether the neurons spike; for people.
    """

    spiking = False

    def step(self, J: Any, dt: float, **state: Any) -> Any:
        """Run a step.

        Parameters
        ----------
        J : tensor, shape (minibatch_size, n_neurons)
            Input currents.
        dt : float
            Length of a step in seconds.
        **state : tensors
            What the neurons keep, by its names.

        Returns
        -------
        tensor or tuple
            The output, or it and the new states in their order.
        """
        raise NotImplementedError(f"{type(self).__name__}: expected a class that overrides step")

    def training_step(self, J: Any, dt: float, **state: Any) -> Any:
        """Run a step in training; as otherwise, unless a class says something else.

        It may return the output alone: states then stay as they are while the model is trained.
        """
        return self.step(J, dt, **state)


class _Implementations(dict):
    """Neuron type -> subclass of `TFNeuronBuilder`; what is put in is used from then on."""

    def __setitem__(self, neuron_type: type, builder: type) -> None:
        if not issubclass(neuron_type, nengo.neurons.NeuronType):
            raise BuildError(f"expected a subclass of NeuronType, got {neuron_type}")
        made = builder()

        def step(neurons: Any, dt: float, J: Any, training: bool, **state: Any) -> Any:
            found = (made.training_step if training else made.step)(J, dt, **state)
            if training and not isinstance(found, (list, tuple)):
                found = (found, *state.values())
            count = len(found) - 1 if isinstance(found, (list, tuple)) else 0
            if count != len(state):
                raise ValueError(
                    f"{builder.__name__}: expected the output and {len(state)} states "
                    f"({', '.join(state) or 'none'}), got {count} states"
                )
            return found

        step.__name__ = builder.__name__
        register_lowering(neuron_type, neuron_lowering(step, takes_training=True))
        super().__setitem__(neuron_type, builder)


class SimNeuronsBuilder:
    """Where `TFNeuronBuilder` classes are registered.

    Attributes
    ----------
    TF_NEURON_IMPL : dict
        Neuron type -> subclass of `TFNeuronBuilder`. Native types are not in it.
    """

    TF_NEURON_IMPL = _Implementations()
