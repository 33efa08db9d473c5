"""`Simulator.check_gradients` (SPEC S-72)."""

import nengo
import numpy as np
import pytest
from nengo.exceptions import SimulationError, ValidationError

import nengo_dl
from nengo_dl.config import configure_settings


def network(neuron_type=None, dtype="float64", **settings):
    """Two input nodes, a loop and something after it."""
    with nengo.Network(seed=0) as net:
        configure_settings(dtype=dtype, **settings)
        kwargs = {} if neuron_type is None else {"neuron_type": neuron_type}
        net.u, net.v = nengo.Node([0.3, 0.1], label="u"), nengo.Node([0.2], label="v")
        a, b = nengo.Ensemble(15, 2, **kwargs), nengo.Ensemble(8, 1, **kwargs)
        nengo.Connection(net.u, a, synapse=None)
        nengo.Connection(net.v, a[0])
        nengo.Connection(a, a, synapse=0.01)
        nengo.Connection(a, b, function=lambda x: x[0] * x[1], synapse=None)
        net.p, net.q = nengo.Probe(b, label="p"), nengo.Probe(a.neurons[:3], label="q")
    return net


def rows(items, steps):
    rng = np.random.RandomState(1)
    return [rng.uniform(-0.5, 0.5, (items, steps, size)) for size in (2, 1)]


TYPES = [
    nengo.LIF(), nengo.Tanh(), nengo.SpikingRectifiedLinear(), nengo.AdaptiveLIF(),
    nengo.PoissonSpiking(nengo.Sigmoid()),
]  # fmt: skip


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("neuron_type", TYPES)
def test_types(Sim, neuron_type, dtype):
    """Analytic and numeric derivatives agree, in the form of training, in both precisions."""
    net = network(neuron_type, dtype)
    sim = Sim(net, minibatch_size=2)
    found = sim.check_gradients(inputs=rows(2, 5))
    assert list(found) == [net.p, net.q]
    for probe, size in ((net.p, 1), (net.q, 3)):
        for kind in ("analytic", "numeric"):
            shapes = [matrix.shape for matrix in found[probe][kind]]
            assert shapes == [(2 * 5 * size, 2 * 5 * 2), (2 * 5 * size, 2 * 5)]
        direct, delayed = found[probe]["numeric"]
        assert np.any(direct) and not np.any(direct[: 5 * size, 10:]), "items depend on others"
        by_step = np.abs(delayed[: 5 * size, :5]).reshape(5, size, 5).sum(axis=1)
        assert np.any(np.tril(by_step, -1)), "no derivative through time"


def test_arguments(Sim):
    """Zeros by default, some probes only; wrong ones are refused."""
    net = network()
    sim = Sim(net, unroll_simulation=3)
    found = sim.check_gradients(outputs=[net.q])
    assert list(found) == [net.q] and found[net.q]["analytic"][1].shape == (18, 6)
    with pytest.raises(ValidationError, match="2 input Nodes"):
        sim.check_gradients(inputs=rows(1, 3)[:1])
    with pytest.raises(ValidationError, match=r"expected shape \(1, 3, 2\), got \(2, 3, 2\)"):
        sim.check_gradients(inputs=rows(2, 3))
    with pytest.raises(ValidationError, match="expected at least 1 step, got 0"):
        sim.check_gradients(inputs=rows(1, 0))
    with pytest.raises(ValidationError, match="no Probe"):
        sim.check_gradients(outputs=[net.u])


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda net: {"inputs": [net.p]}, r"got <Probe .*check_gradients\(outputs=\[\.\.\]\)"),
        (lambda net: {"inputs": [net.p, net.q]}, "got <Probe .*<Probe .*outputs="),
        (lambda net: {"inputs": net.p}, "inputs: expected a list with an array .*got <Probe"),
        (lambda net: {"inputs": {net.u: 1}}, "inputs: expected a list with an array"),
        (lambda net: {"inputs": 5}, "inputs: expected a list with an array .*got 5"),
        (lambda net: {"inputs": ["a", "b"]}, "inputs: expected arrays of real numbers"),
        (lambda net: {"inputs": [[[[1, 2], [3]]], 0]}, "inputs: expected arrays of real numbers"),
        (lambda net: {"outputs": net.p}, "outputs: expected a list of Probes, got <Probe"),
        (lambda net: {"outputs": "p"}, "outputs: expected a list of Probes, got 'p'"),
        (lambda net: {"outputs": ["p"]}, "p is no Probe of this simulator"),
    ],
)
def test_arguments_of_other_kinds(shared, make, message):
    """Probes where values are expected, and the like: nothing has happened when it is said."""
    sim, net = shared
    sim.run_steps(1)
    before = sim.n_steps
    with pytest.raises(ValidationError, match=message):
        sim.check_gradients(**make(net))
    assert sim.n_steps == before


@pytest.fixture(scope="module")
def shared():
    net = network()
    with nengo_dl.Simulator(net, progress_bar=False) as sim:
        yield sim, net


def test_last_step_only(Sim):
    net = network(keep_history=False)
    found = Sim(net).check_gradients(inputs=rows(1, 4))
    assert found[net.p]["analytic"][0].shape == (1, 8)
    assert np.any(found[net.p]["analytic"][0])


def test_what_it_leaves(Sim):
    """S-72: the state is reset, parameters (learned ones too) and probed values are kept."""
    net = network()
    with net:
        conn = nengo.Connection(net.ensembles[0], net.ensembles[1], function=lambda x: x[0],
                                learning_rule_type=nengo.PES())  # fmt: skip
        nengo.Connection(net.v, conn.learning_rule)
    sim = Sim(net)
    initial = sim.tensor_graph.get_state()
    sim.run_steps(5)
    weights = [weight.value.numpy() for weight in sim.keras_model.weights]
    sim.check_gradients(outputs=[net.q])
    assert sim.n_steps == 0 and len(sim.data[net.p]) == 5
    assert not sim.tensor_graph.stateful
    for key, value in sim.tensor_graph.get_state().items():
        np.testing.assert_array_equal(value, initial[key])
    for before, after in zip(weights, sim.keras_model.weights, strict=True):
        np.testing.assert_array_equal(before, after.value.numpy())
    sim.run_steps(5)
    assert len(sim.data[net.p]) == 10


def test_failure(Sim):
    """Nothing passes through Python, and a surrogate is no derivative."""
    net = network()
    with net:
        python = nengo.Node(lambda t, x: np.sin(x), size_in=1)
        nengo.Connection(net.v, python, synapse=None)
        p = nengo.Probe(python)
    sim = Sim(net)
    with pytest.raises(SimulationError, match="Gradient check failed.*Python"):
        sim.check_gradients()
    assert sim.n_steps == 0
    sim.check_gradients(outputs=[net.p])
    with pytest.raises(SimulationError, match="Python"):
        sim.check_gradients(outputs=[p])
    spiking = Sim(network(surrogate="SuperSpike"))
    with pytest.raises(SimulationError, match="surrogate"):
        spiking.check_gradients(inputs=[np.ones((1, 4, 2)), np.ones((1, 4, 1))])


def test_without_training_mode(Sim):
    with pytest.raises(SimulationError, match="inference_only"):
        Sim(network(inference_only=True)).check_gradients()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_functions_after_a_gradient_check(Sim, dtype):
    """The check compiles programs of its own; functions see their own values before and after."""
    seen = []
    with nengo.Network(seed=0) as net:
        configure_settings(dtype=dtype)
        ramp = nengo.Node(lambda t: [1000 * t, 2000 * t, 3000 * t])
        ens = nengo.Ensemble(10, 1, neuron_type=nengo.Tanh())
        python = nengo.Node(lambda t, x: seen.append(x.copy()), size_in=3, size_out=0)
        nengo.Connection(ramp, python, synapse=None)
        nengo.Connection(ramp[0], ens)
        nengo.Probe(ens)
    for _ in range(3):
        sim = Sim(net)
        for _ in range(3):
            sim.check_gradients()
        seen.clear()
        sim.run_steps(4)
        np.testing.assert_allclose(seen, np.outer(range(1, 5), [1, 2, 3]), rtol=1e-6)
