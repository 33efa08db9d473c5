"""Whether a converted network computes what its Keras model does."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from ..simulator import Simulator

ITEMS, STEPS, EPOCHS, LEARNING_RATE = 2, 10, 3, 0.1
ROUNDING, LEAST = 3e-5, 1e-8  # of the largest output; 50 layers of convolutions differ by 2e-5


def verify_conversion(
    converter: Any, training: bool, inputs: Any, atol: float | None, rtol: float
) -> bool:
    """Compare a network with its Keras model; `Converter.verify` has the details."""
    data = _inputs(converter, inputs)
    # a model of its own, as another may be compiled already
    model = keras.Model(converter.model.inputs, converter.model.outputs)
    expected = _outputs(model, data)  # the first call builds layers that are activation functions
    weights = model.get_weights()
    probes = [converter.outputs[tensor] for tensor in converter.model.outputs]
    try:
        if training:
            _train(model, data, [np.ones(values.shape) for values in expected])
            n_trainable = _count(model)
            expected = _outputs(model, data)
        # layers in TensorNodes share them
        model.set_weights(weights)
        steps = data[0].shape[1] if converter.temporal_model else 1
        with Simulator(converter.net, minibatch_size=len(data[0]), progress_bar=False) as sim:
            x = {
                converter.inputs[tensor]: values.reshape(len(values), steps, -1)
                for tensor, values in zip(converter.model.inputs, data, strict=True)
            }
            if training:
                if _count(sim.keras_model) != n_trainable:
                    raise ValueError(
                        f"expected {n_trainable} parameters that may be trained, as in the Keras "
                        f"model, got {_count(sim.keras_model)} in the converted Nengo network"
                    )
                y = {
                    probe: np.ones((len(values), steps, probe.size_in))
                    for probe, values in zip(probes, expected, strict=True)
                }
                sim.compile(keras.optimizers.SGD(LEARNING_RATE), loss="mse")
                sim.fit(x, y, epochs=EPOCHS, verbose=0)
            found = sim.predict(x)
    finally:
        model.set_weights(weights)
    for tensor, probe, values in zip(converter.model.outputs, probes, expected, strict=True):
        _compare(tensor.name, values, found[probe].reshape(values.shape), atol, rtol)
    return True


def _compare(name: str, expected: Any, found: Any, atol: float | None, rtol: float) -> None:
    if atol is None:
        finite = np.abs(expected[np.isfinite(expected)])
        atol = max(LEAST, ROUNDING * finite.max(initial=0))
    if not np.allclose(found, expected, atol=atol, rtol=rtol):
        i = np.unravel_index(np.argmax(np.abs(found - expected)), found.shape)
        raise ValueError(
            f"{name}: the network differs from the Keras model by up to "
            f"{np.max(np.abs(found - expected)):.2g}, at {list(map(int, i))}: "
            f"expected {expected[i]:.6g}, got {found[i]:.6g}"
        )


def _inputs(converter: Any, inputs: Any) -> list[np.ndarray]:
    """Arrays in the order of the model's inputs."""
    tensors = converter.model.inputs
    if inputs is None:
        return [
            np.ones((ITEMS, *(STEPS if n is None else n for n in tensor.shape[1:])))
            for tensor in tensors
        ]
    if isinstance(inputs, dict):
        inputs = [inputs[tensor.name] for tensor in tensors]
    elif not isinstance(inputs, (list, tuple)):
        inputs = [inputs]
    if len(inputs) != len(tensors):
        raise ValueError(f"inputs: expected {len(tensors)} arrays, got {len(inputs)}")
    return [np.asarray(values) for values in inputs]


def _outputs(model: keras.Model, data: list[np.ndarray]) -> list[np.ndarray]:
    found = model.predict(data, batch_size=len(data[0]), verbose=0)
    return [np.asarray(values) for values in keras.tree.flatten(found)]


def _train(model: keras.Model, data: list[np.ndarray], targets: list[np.ndarray]) -> None:
    model.compile(keras.optimizers.SGD(LEARNING_RATE), loss=["mse"] * len(targets))
    model.fit(data, targets, batch_size=len(data[0]), epochs=EPOCHS, verbose=0)


def _count(model: keras.Model) -> int:
    return sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)
