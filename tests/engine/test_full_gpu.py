"""A GPU whose memory is too small for a run, or full of what earlier runs have left."""

import os

import keras
import nengo
import numpy as np
import pytest
import tensorflow as tf
from gpus import GPU
from test_engine_run import integrator

import nengo_dl
from nengo_dl import _engine

MIB = int(os.environ.get("NENGO_DL_HOST_GPU_MIB", 0))

pytestmark = pytest.mark.skipif(
    GPU != "cuda" or not MIB, reason="NENGO_DL_HOST_GPU_MIB makes no GPU of the host's small"
)
MESSAGE = rf"expected \d+ MiB of the GPU's memory .*, got \d+ MiB that are free of {MIB} MiB; "


@pytest.fixture
def gpu():
    _engine.load_cuda()
    _engine.set_backend("cuda")
    yield
    _engine.set_backend("cpu")


def run(mib, items=1):
    """A run of three steps whose rows of a step have so many MiB; it has to be right."""
    n = mib << 17
    x = np.full((items, 3, n), [[1.0], [2.0], [4.0]])
    (before, after), done, error, _ = integrator(n=n).run(3, items, [x])
    assert done == 3 and error is None
    np.testing.assert_array_equal(after[:, :, ::4099], np.cumsum(x[:, :, ::4099], axis=1))
    np.testing.assert_array_equal(before[:, 0], 0)


def test_what_is_spare_is_given_back(gpu):
    """Runs of other sizes need what those before have left, again and again."""
    sizes = (12, 10, 8, 12, 6, 10)
    run(sizes[0])
    free, total = _engine.cuda_memory()
    assert (total - free) / sizes[0] * sum(set(sizes)) > total  # together they don't fit
    for mib in sizes[1:]:
        run(mib)


def test_too_large_a_run(gpu):
    """It says so, and the next one that fits runs."""
    for _ in range(2):
        with pytest.raises(MemoryError, match=MESSAGE + "use fewer items per minibatch, "):
            run(6, items=6)
        run(3)


def wide_filter(n):
    """A Node's values, filtered."""
    with nengo.Network(seed=0) as net:
        inp = nengo.Node(np.ones(n), label="node")
        net.p = nengo.Probe(inp, synapse=0.01)
    return net


def rates(n):
    """Neurons' rates, decoded."""
    with nengo.Network(seed=0) as net:
        nengo_dl.configure_settings(trainable=True)
        ens = nengo.Ensemble(n, 1, neuron_type=nengo.RectifiedLinear())
        net.conn = nengo.Connection(nengo.Node([0.5]), ens.neurons, transform=np.ones((n, 1)))
        decoders = nengo.solvers.NoSolver(np.full((n, 1), 1e-6))
        net.p = nengo.Probe(ens, solver=decoders)
    return net


def test_simulator_of_too_many_items():
    """Runs and predictions say so; nothing was done."""
    net = wide_filter(MIB << 10)
    inputs = {"node": np.zeros((256, 2, MIB << 10)), "n_steps": np.full((256, 1), 2)}
    with nengo_dl.Simulator(net, minibatch_size=256, device="/gpu:0", progress_bar=False) as sim:
        with pytest.raises(MemoryError, match=MESSAGE):
            sim.run_steps(2)
        with pytest.raises(tf.errors.ResourceExhaustedError, match=MESSAGE):
            sim.keras_model.predict_on_batch(inputs)
        assert sim.n_steps == 0


def test_training_that_records_too_much():
    """Its error names the setting that bounds what is recorded; with it, training goes on."""
    n_steps, trained = 400, []
    y = np.ones((8, n_steps, 1))
    for device, tape in (("/cpu:0", None), ("/gpu:0", None), ("/gpu:0", MIB << 17)):
        net = rates(MIB << 5)
        with net:
            nengo_dl.configure_settings(tape_memory=tape)
        with nengo_dl.Simulator(net, minibatch_size=8, device=device, progress_bar=False) as sim:
            sim.compile(optimizer=keras.optimizers.SGD(10.0), loss="mse")
            sim.run_steps(3)
            due = np.array(sim.data[net.p])
            if device == "/gpu:0" and tape is None:
                with pytest.raises(tf.errors.ResourceExhaustedError, match="tape_memory"):
                    sim.fit(n_steps=n_steps, y=y, verbose=0)
            else:
                sim.fit(n_steps=n_steps, y=y, verbose=0)
                trained.append(sim.data[net.conn].weights)
            np.testing.assert_array_equal(sim.data[net.p], due)
            assert sim.n_steps == 3
    assert np.any(trained[0] != 1)
    np.testing.assert_allclose(*trained, rtol=1e-5)
