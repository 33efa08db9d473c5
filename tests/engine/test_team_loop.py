"""Loops of batches that teams of blocks run, compiled as plain C++."""

from dataclasses import replace

import nengo
import numpy as np
import pytest
from test_phases import assert_close, assert_same_bits
from whole_models import WholeModel, build, plan, start_values

from nengo_dl import _engine
from nengo_dl.surrogates import SuperSpike

SIZE = 70  # products of this size are shared out


@pytest.fixture(autouse=True)
def _teams_alone(phases_library, monkeypatch):
    monkeypatch.setenv("NENGO_DL_LOOP_WAY", "team")
    before = _engine.isa()
    _engine.set_isa("baseline")
    yield
    _engine.set_isa(before)


def spiking():
    """Spiking neurons that excite each other, and a probe of their voltages."""
    with nengo.Network(seed=6) as net:
        u = nengo.Node(np.linspace(0, 1, 12))
        one = {"gain": nengo.dists.Choice([1.0]), "bias": nengo.dists.Choice([0.9])}
        hidden = nengo.Ensemble(SIZE, 1, **one).neurons
        out = nengo.Ensemble(5, 1, **one).neurons
        for pre, post, scale in ((u, hidden, 0.5), (hidden, hidden, 1e-3), (hidden, out, 5e-3)):
            weights = nengo.dists.Uniform(-scale, scale)
            nengo.Connection(pre, post, transform=weights, synapse=0.005)
        nengo.Probe(out)
        nengo.Probe(hidden, synapse=0.01)
    return net


def memory():
    """A Legendre memory unit: a hidden layer and a linear memory that feed each other."""
    tanh = {"neuron_type": nengo.Tanh(tau_ref=1), "gain": nengo.dists.Choice([1.0])}
    rng = np.random.RandomState(3)

    def weights(*shape):
        return rng.uniform(-1, 1, shape) / np.sqrt(shape[-1])

    with nengo.Network(seed=7) as net:
        u = nengo.Node([0.7])
        into, m = nengo.Node(size_in=1), nengo.Node(size_in=SIZE)
        h = nengo.Ensemble(SIZE - 3, 1, bias=nengo.dists.Choice([0.1]), **tanh).neurons
        nengo.Connection(u, into, synapse=None)
        nengo.Connection(u, h, transform=weights(SIZE - 3, 1), synapse=None)
        nengo.Connection(into, m, transform=weights(SIZE, 1), synapse=None)
        nengo.Connection(m, m, transform=0.9 * weights(SIZE, SIZE), synapse=0)
        nengo.Connection(m, h, transform=weights(SIZE - 3, SIZE), synapse=None)
        nengo.Connection(h, h, transform=weights(SIZE - 3, SIZE - 3), synapse=0)
        nengo.Connection(h, into, transform=weights(1, SIZE - 3), synapse=0)
        nengo.Connection(m, into, transform=weights(1, SIZE), synapse=0)
        out = nengo.Node(size_in=10)
        nengo.Connection(h, out, transform=weights(10, SIZE - 3), synapse=None)
        nengo.Probe(out)
    return net


MODELS = {"spiking": spiking, "memory": memory}
EVERY_MODEL = pytest.mark.parametrize("name", MODELS)


def model_of(name, window=7):
    net = MODELS[name]()
    model = build(net)
    nodes = [node for node in net.all_nodes if isinstance(node.output, np.ndarray)]
    inputs = [(f"u{i}", model.sig[node]["out"]) for i, node in enumerate(nodes)]
    made = plan(model, inputs, dtype="float32", surrogate=lambda op: SuperSpike(0.5))
    params, (state,), (istate,) = start_values(made, model)
    (piece,) = made.runs
    params = [params[i] for i in piece.params]
    return WholeModel(replace(piece.program, window=window), params, state, istate)


def three(model):
    cpu, teams = model.compiled("cpu"), model.compiled("phases")
    assert [found[3] for found in teams.fused()] == ["the whole loop: team"]
    return cpu, teams, model.compiled("phases", fuse=False)


@EVERY_MODEL
@pytest.mark.parametrize("batch", [1, 3, 150])
def test_runs(name, batch):
    """As on the CPU, and op by op the same bits; teams have one, two or four items."""
    model = model_of(name)
    cpu, teams, plain = three(model)
    expected = model.run(cpu, 25, batch)
    assert np.mean([np.any(output) for output in expected[: len(model.program.outputs)]]) >= 0.5
    got = model.run(teams, 25, batch)
    assert_close(got, expected, 1e-5)
    assert_same_bits(model.run(plain, 25, batch), got)


@EVERY_MODEL
@pytest.mark.parametrize("batch", [1, 3, 150])
def test_gradients(name, batch):
    """Likewise, with a tape and without one."""
    model = model_of(name).training
    cpu, teams, plain = three(model)
    expected = model.gradients(cpu, 25, batch)
    assert np.mean([np.any(gradient) for gradient in expected]) > 0.6
    got = model.gradients(teams, 25, batch)
    assert_close(got, expected, 1e-5)
    assert_same_bits(model.gradients(teams, 25, batch, tape=True), got)
    assert_same_bits(model.gradients(plain, 25, batch), got)


def test_an_unknown_way_is_refused(monkeypatch):
    """A way that is spelled wrong would otherwise be one that is silently not taken."""
    monkeypatch.setenv("NENGO_DL_LOOP_WAY", "taem")
    with pytest.raises(ValueError, match="expected one of 'op by op', 'team', .*, got 'taem'"):
        three(model_of("memory"))
