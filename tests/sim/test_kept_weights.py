"""Weights on a device: sent when they have changed, whoever changed them, and not otherwise."""

import ctypes

import keras
import nengo
import numpy as np
import pytest
import tensorflow as tf

from nengo_dl.keras_private import plain_variable
from nengo_dl.run import device

N_IN, N_OUT, MINIBATCH = 60, 50, 2


@pytest.fixture
def received(far_library, monkeypatch):
    """How many times as many bytes as the weights have a call sent to the device."""
    monkeypatch.setitem(device.BACKENDS, "GPU", "far")
    far_library.bytes_received.restype = ctypes.c_int64

    def count(call):
        before = far_library.bytes_received()
        call()
        return (far_library.bytes_received() - before) / (4 * N_IN * N_OUT)

    return count


@pytest.fixture
def net():
    """Weights beside which inputs, state and biases are small."""
    rng = np.random.RandomState(0)
    with nengo.Network(seed=0) as net:
        net.inp = nengo.Node(rng.uniform(-1, 1, N_IN))
        tanh = {"neuron_type": nengo.Tanh(tau_ref=1), "gain": np.ones(N_OUT)}
        ens = nengo.Ensemble(N_OUT, 1, bias=np.zeros(N_OUT), **tanh).neurons
        weights = rng.randn(N_OUT, N_IN) / 8
        net.weights = nengo.Connection(net.inp, ens, transform=weights, synapse=None)
        net.p = nengo.Probe(ens)
    return net


def weights_of(sim):
    """Their variable."""
    (found,) = (w for w in sim._runtime.layer.base_params if np.prod(w.shape) == N_IN * N_OUT)
    return plain_variable(found)


def sent(times):
    """As many times the weights, and not so much of inputs, state and smaller parameters."""
    return pytest.approx(times + 0.2, abs=0.2)


def test_runs_send_them_once(Sim, net, received):
    """Steps, runs and predictions of equal weights, and those after a reset or a save."""
    sim = Sim(net, device="/gpu:0", minibatch_size=MINIBATCH)
    x = np.random.RandomState(1).uniform(-1, 1, (4 * MINIBATCH, 1, N_IN))
    assert received(lambda: sim.run_steps(3)) == sent(1)
    for call in (
        lambda: sim.run_steps(3),
        sim.step,
        lambda: sim.predict({net.inp: x[:MINIBATCH]}),
        lambda: sim.reset(include_probes=False),
        lambda: sim.keras_model.set_weights(sim.keras_model.get_weights()),
        sim.step,
    ):
        assert received(call) == sent(0)
    many = received(lambda: sim.predict({net.inp: x}))
    assert many < 0.8, "four minibatches"


def add(variable, sim, net):
    variable.assign_add(tf.ones_like(variable))


def assign(variable, sim, net):
    variable.assign(np.float32(2) * variable.numpy())


def some_rows(variable, sim, net):
    """What makes TensorFlow write in place for ever after."""
    for value in (1.0, 2.0):
        row = tf.fill([1, *variable.shape[1:]], value)
        variable.scatter_add(tf.IndexedSlices(row, tf.constant([0])))


def through_numpy(variable, sim, net):
    """An array that TensorFlow may have taken as it is."""
    values = np.array(variable.numpy())
    variable.assign(values)
    sim.step()
    values += 1
    variable.assign(values)


def keras_weights(variable, sim, net):
    sim.keras_model.set_weights([w + 0.5 for w in sim.keras_model.get_weights()])


def trained(optimizer):
    def train(variable, sim, net):
        rng = np.random.RandomState(1)
        x, y = rng.uniform(-1, 1, (4, 1, N_IN)), rng.uniform(-1, 1, (4, 1, N_OUT))
        sim.compile(optimizer(0.1), loss="mse")
        sim.fit({net.inp: x}, {net.p: y}, verbose=0)

    return train


WRITERS = {
    "assign": assign,
    "assign_add": add,
    "scatter": some_rows,
    "numpy": through_numpy,
    "set_weights": keras_weights,
    "Adam": trained(keras.optimizers.Adam),
    "SGD": trained(keras.optimizers.SGD),
}


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_whoever_writes_is_heard(Sim, net, received, write):
    """The next run has what the variable holds."""
    here, there = (Sim(net, device=d, minibatch_size=MINIBATCH) for d in (None, "/gpu:0"))
    for _ in range(2):
        there.run_steps(2)
        before = np.array(there.data[net.p][:, -1])
        write(weights_of(there), there, net)
        assert received(there.step) == sent(1)
        assert received(there.step) == sent(0)
        here.keras_model.set_weights(there.keras_model.get_weights())
        here.step()
        due, got = here.data[net.p][:, -1], there.data[net.p][:, -1]
        np.testing.assert_allclose(got, due, rtol=1e-5, atol=1e-7)
        assert np.abs(got - before).max() > 1e-3


def test_a_training_step_sends_them_once(Sim, net, received):
    """Its gradient uses what its run was sent; an evaluation afterwards, what training has left."""
    sim = Sim(net, device="/gpu:0", minibatch_size=MINIBATCH)
    rng, items = np.random.RandomState(2), 5 * MINIBATCH
    x = {net.inp: rng.uniform(-1, 1, (items, 1, N_IN))}
    y = {net.p: rng.uniform(-1, 1, (items, 1, N_OUT))}
    sim.compile(keras.optimizers.Adam(0.01), loss="mse")
    sim.fit(x, y, verbose=0)
    assert 5 < received(lambda: sim.fit(x, y, verbose=0)) < 7
    first = sim.evaluate(x, y, verbose=0)["loss"]
    assert received(lambda: sim.evaluate(x, y, verbose=0)) < 1
    assert sim.evaluate(x, y, verbose=0)["loss"] == first
