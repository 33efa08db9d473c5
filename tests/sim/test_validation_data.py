"""What is validated within a training, and how."""

import keras
import nengo
import numpy as np
import pytest
from training_nets import of_linear, rows


def test_nodes_with_data_in_training_alone(Sim):
    """A node that the program calls gets its data, or its function is called, by kind of call."""
    with nengo.Network() as net:
        node = nengo.Node(lambda t: 5.0)
        echo = nengo.Node(lambda t, x: x, size_in=1)  # so that Python is called in the program
        out = nengo.Node(size_in=1)
        nengo.Connection(node, out, synapse=None)
        nengo.Connection(node, echo, synapse=None)
        p = nengo.Probe(out)
        nengo.Probe(echo)
    sim = Sim(net)
    sim.compile(keras.optimizers.SGD(0.0), loss={p: "mse"})
    zeros = np.zeros((1, 1, 1))
    options = {"n_steps": 1, "verbose": 0, "epochs": 3}
    history = sim.fit({node: zeros}, {p: zeros}, validation_data=(None, {p: zeros}), **options)
    assert history.history["loss"] == [0] * 3 and history.history["val_loss"] == [25] * 3
    history = sim.fit(None, {p: zeros}, validation_data=({node: zeros}, {p: zeros}), **options)
    assert history.history["loss"] == [25] * 3 and history.history["val_loss"] == [0] * 3


@pytest.mark.parametrize("steps, validation_steps", [(4, 1), (3, 4), (None, 2), (2, None)])
def test_validation_steps(Sim, steps, validation_steps):
    """So many minibatches of the validation data, whatever training has."""
    sim = of_linear(Sim)
    x, y = np.zeros((8, 3, 2)), np.zeros((8, 3, 1))
    targets = np.repeat(np.arange(1.0, 9), 2)[:, None, None] * np.ones((16, 3, 1))  # by minibatch
    sim.compile(keras.optimizers.SGD(0.0), loss={"py": "mse"})
    history = sim.fit(
        x, {"py": y}, steps_per_epoch=steps, validation_steps=validation_steps, verbose=0,
        validation_data=(np.zeros((16, 3, 2)), {"py": targets}),
    )  # fmt: skip
    due = np.mean(np.arange(1.0, (validation_steps or 8) + 1) ** 2)
    np.testing.assert_allclose(history.history["val_loss"], [due])


def test_class_weights_are_of_training_alone(Sim):
    """As in Keras, however the validation data is given."""
    sim = of_linear(Sim)
    x, labels = rows(8), np.arange(8).reshape(8, 1, 1) % 2 * np.ones((1, 3, 1))
    sim.compile(keras.optimizers.SGD(0.0), loss={"py": "mse"})
    options = {"class_weight": {1: 3.0}, "shuffle": False, "verbose": 0}
    split = sim.fit(x, {"py": labels}, validation_split=0.5, **options)
    given = (x[4:], {"py": labels[4:]})
    apart = sim.fit(x[:4], {"py": labels[:4]}, validation_data=given, **options)
    for key in ("loss", "val_loss"):
        np.testing.assert_allclose(split.history[key], apart.history[key])
    plain = sim.fit(x[:4], {"py": labels[:4]}, shuffle=False, verbose=0)
    assert plain.history["loss"] != apart.history["loss"]
