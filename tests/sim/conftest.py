"""What the tests of the simulator share."""

import keras
import nengo
import numpy as np
import pytest

import nengo_dl


@pytest.fixture(autouse=True)
def _same_training_in_every_run():
    """The order of minibatches and initial weights follow TensorFlow's global seed."""
    keras.utils.set_random_seed(0)


@pytest.fixture
def Sim():  # named like the class that it makes
    """Make simulators without a progress bar and close them at the end of the test."""
    made = []

    def make(network, **kwargs):
        kwargs.setdefault("progress_bar", False)
        sim = nengo_dl.Simulator(network, **kwargs)
        made.append(sim)
        return sim

    yield make
    for sim in made:
        sim.close()


@pytest.fixture
def double_net():
    """Make networks in double precision."""

    def make(seed=0, **settings):
        net = nengo.Network(seed=seed)
        with net:
            nengo_dl.configure_settings(dtype="float64", **settings)
        return net

    return make


@pytest.fixture
def reference():
    """Run a network in `nengo.Simulator`; returns the values of probes."""

    def run(net, probes, n_steps, **kwargs):
        with nengo.Simulator(net, progress_bar=False, optimize=False, **kwargs) as sim:
            sim.run_steps(n_steps)
            return [np.array(sim.data[p]) for p in probes]

    return run
