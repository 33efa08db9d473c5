"""Every number equals `nengo.Simulator`'s: the engine on many networks, in double precision.

Items of a minibatch equal simulators of their own, to the last bit, whatever the threads.
"""

import functools
import sys
import threading
import warnings
from pathlib import Path

import nengo
import numpy as np
import pytest
from equality_networks import MORE
from hypothesis import given, settings
from hypothesis import strategies as st

import nengo_dl
from nengo_dl.tensor_graph import TensorGraph

sys.path.append(str(Path(__file__).parents[1] / "plan"))
import networks  # noqa: E402
import networks_dynamics  # noqa: E402, F401 (registers its networks)
from random_networks import random_network  # noqa: E402

ALL = {**networks.NETWORKS, **MORE}
STEPS = 100


def make(name):
    """Build a network that is configured for double precision."""
    with nengo.Network(seed=1) as net:
        nengo_dl.configure_settings(dtype="float64")
        ALL[name]()
    return net


def run_nengo(name):
    """Values of all probes in `nengo.Simulator`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what Nengo says about it is not what is tested
        with nengo.Simulator(make(name), progress_bar=False, optimize=False, seed=7) as sim:
            sim.run_steps(STEPS)
            return [np.array(sim.data[probe]) for probe in sim.model.probes]


def run(name, seed=7, steps=STEPS, **kwargs):
    """Values of all probes here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with nengo_dl.Simulator(make(name), progress_bar=False, seed=seed, **kwargs) as sim:
            sim.run_steps(steps)
            return [np.array(sim.data[probe]) for probe in sim.model.probes], sim.model.probes


def is_spikes(probe, values):
    """Whether a probe shows spikes, which are there or not there."""
    target = probe.obj
    return (
        isinstance(target, nengo.ensemble.Neurons)
        and probe.attr == "output"
        and probe.synapse is None
        and target.ensemble.neuron_type.spiking
    )


@pytest.mark.parametrize("name", ALL)
def test_values(name):
    """O-12: all probes within 1e-9 of the largest value, spikes at the same steps."""
    due = run_nengo(name)
    found, probes = run(name)
    assert len(due) == len(found)
    for probe, ours, theirs in zip(probes, found, due, strict=True):
        assert ours.shape == theirs.shape
        scale = np.abs(theirs).max(initial=0)
        worst = np.abs(ours - theirs).max(initial=0)
        assert worst <= 1e-9 * scale, f"{probe} differs by {worst:g}, its largest value is {scale}"
        if is_spikes(probe, theirs):
            assert np.array_equal(ours != 0, theirs != 0), f"{probe} spikes at other steps"


def test_networks_are_as_promised():
    """The networks are alive: there are spikes, learning, many ensembles."""
    net = make("semantic_pointers")
    assert len(set(net.all_ensembles)) > 200
    spikes = total = 0
    for name in ("feed_forward", "recurrent", "input_free", "voja", "bcm", "pes_on_neurons"):
        values, probes = run(name)
        for probe, value in zip(probes, values, strict=True):
            total += bool(np.ptp(value) > 0) if value.size else 0
            spikes += np.count_nonzero(value) if is_spikes(probe, value) else 0
    assert total > 12 and spikes > 500


@pytest.mark.parametrize("minibatch_size", [None, 3])
@given(number=st.integers(0, 100000))
@settings(max_examples=10)
def test_random_networks(minibatch_size, number):
    """Random networks in two runs; the items of a minibatch are all the same here."""
    net = random_network(number)
    with net:
        nengo_dl.configure_settings(dtype="float64")
    with nengo.Simulator(net, progress_bar=False, optimize=False) as due:
        due.run_steps(40)
    with nengo_dl.Simulator(net, minibatch_size=minibatch_size, progress_bar=False) as sim:
        sim.run_steps(15)
        sim.run_steps(25)
    for probe in net.all_probes:
        found = sim.data[probe] if minibatch_size is None else sim.data[probe][-1]
        scale = max(1e-3, np.abs(due.data[probe]).max(initial=0))
        assert np.abs(found - due.data[probe]).max(initial=0) <= 1e-9 * scale, f"{probe}"


ITEMWISE = [
    "recurrent", "neuron_types", "noise", "learning_pes", "learning_rls_weights", "two_rules",
    "voja", "convolutions", "sparse", "unseeded_noise", "custom_neurons", "slices",
]  # fmt: skip


@pytest.mark.parametrize("name", ITEMWISE)
def test_items_are_single_runs(name):
    """Item b of a minibatch is what a simulator with seed + b gives, exactly."""
    together, probes = run(name, seed=3, minibatch_size=3, steps=40)
    for item in range(3):
        alone, _ = run(name, seed=3 + item, steps=40)
        for probe, many, one in zip(probes, together, alone, strict=True):
            if item and stochastic(probe):
                continue  # Nengo seeds these at build time; see test_minibatch.py
            assert np.array_equal(many[item], one), f"item {item} of {probe}"


def stochastic(probe):
    """Whether a probe shows neurons with a random generator of their own."""
    target = getattr(probe.obj, "ensemble", None)
    kinds = (nengo.StochasticSpiking, nengo.PoissonSpiking)
    return target is not None and isinstance(target.neuron_type, kinds)


@pytest.mark.parametrize("names", [("recurrent", "learning_pes"), ("neuron_types", "noise")])
def test_two_python_threads(names):
    """Two simulators that run at once give what they give alone."""
    due = [run(name, steps=600)[0] for name in names]
    sims = [nengo_dl.Simulator(make(name), progress_bar=False, seed=7) for name in names]
    together = threading.Barrier(2)

    def work(sim):
        for _ in range(12):
            together.wait(timeout=60)
            sim.run_steps(50)

    threads = [threading.Thread(target=work, args=(sim,)) for sim in sims]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for sim, values in zip(sims, due, strict=True):
        for probe, one in zip(sim.model.probes, values, strict=True):
            assert np.array_equal(sim.data[probe], one), f"{probe}"
        sim.close()


@pytest.mark.parametrize("name", ["recurrent", "neuron_types", "learning_pes", "noise"])
def test_number_of_threads(name, monkeypatch):
    """The result does not depend on how many threads the op may use."""
    plain = TensorGraph.__init__
    due = None
    for threads in (1, 2, 3, 8):
        with_threads = functools.partialmethod(plain, threads=threads)
        monkeypatch.setattr(TensorGraph, "__init__", with_threads)
        found, _ = run(name, minibatch_size=7, steps=40)
        if due is None:
            due = found
        assert all(np.array_equal(a, b) for a, b in zip(found, due, strict=True)), threads
