"""What `nengo.Simulator` lets see beside ``data[...]``: raw data, operators, random numbers."""

import nengo
import numpy as np
import pytest
from nengo.exceptions import SimulatorClosed, ValidationError


@pytest.fixture
def net(double_net):
    net = double_net()
    with net:
        net.ens = nengo.Ensemble(10, 1)
        nengo.Connection(nengo.Node([0.5]), net.ens)
        conn = nengo.Connection(net.ens, nengo.Node(size_in=1))
        net.values = nengo.Probe(net.ens)
        net.some = nengo.Probe(net.ens, sample_every=0.002)
        net.weights = nengo.Probe(conn, "weights")
    return net


def test_raw(Sim, net):
    """The same keys and values as there, until they are deleted."""
    sim = Sim(net)
    with nengo.Simulator(net, progress_bar=False) as nengo_sim:
        raws = sim.data.raw, nengo_sim.data.raw
        assert [set(map(str, raw)) for raw in raws][0] == set(map(str, raws[1]))
        assert len(raws[0]) == len(sim.data) and raws[0][net.ens] is sim.model.params[net.ens]
        for steps in (5, 3):
            for simulator in (sim, nengo_sim):
                simulator.run_steps(steps)
            for probe in (net.values, net.some, net.weights):
                found, due = (raw[probe] for raw in raws)
                assert len(found) == len(due) > 0
                for part in (slice(None), slice(-2, None), slice(0, 1)):
                    assert isinstance(found[part], list)
                    np.testing.assert_allclose(found[part], due[part], atol=1e-9)
                np.testing.assert_allclose(found[-1], due[-1], atol=1e-9)
                np.testing.assert_allclose(list(found), due, atol=1e-9)
            for raw in raws:
                del raw[net.values][:]
            assert len(raws[0][net.values]) == 0 and raws[0][net.values][:] == []
            assert sim.data[net.values] == [] and len(sim.data[net.weights]) == sim.n_steps
        with pytest.raises(KeyError):
            raws[0]["x"]
    with pytest.raises(IndexError):
        raws[0][net.values][0]
    with pytest.raises(ValidationError, match=r"expected del raw\[probe\]\[:\], got -1"):
        del raws[0][net.some][-1]


def test_raw_of_a_minibatch(Sim, net):
    sim = Sim(net, minibatch_size=3)
    sim.run_steps(4)
    assert [step.shape for step in sim.data.raw[net.values]] == 4 * [(3, 1)]
    assert np.array_equal(sim.data.raw[net.values][2], sim.data[net.values][:, 2])


def test_dependencies_of_operators(Sim, net):
    """Each operator comes before those that depend on it."""
    sim = Sim(net)
    place = {op: i for i, op in enumerate(sim.step_order)}
    edges = [(op, after) for op, others in sim.dg.items() for after in others]
    assert set(sim.dg) == set(sim.model.operators) and edges
    assert all(place[op] < place[after] for op, after in edges if {op, after} <= place.keys())


def test_random_numbers(Sim, net):
    """They follow the seed, and begin anew with it."""
    sim = Sim(net, seed=3)
    due = np.random.RandomState(3).randint(1000, size=4)
    assert np.array_equal([sim.rng.randint(1000) for _ in range(4)], due)
    sim.reset(include_processes=False)
    assert sim.rng.randint(1000) not in due[:1]
    sim.reset()
    assert sim.rng.randint(1000) == due[0]
    sim.reset(seed=4)
    assert sim.rng.randint(1000) == np.random.RandomState(4).randint(1000)
    sim.close()
    with pytest.raises(SimulatorClosed, match="rng"):
        sim.rng.randint(1000)
