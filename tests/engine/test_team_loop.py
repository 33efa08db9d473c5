"""Loops of batches that teams of blocks run."""

from dataclasses import replace

import nengo
import numpy as np
import pytest
from gpus import GPU, ways
from test_phases import assert_close, assert_same_bits
from whole_models import model_of, spiking_layers

from nengo_dl.ir.program import Buffer
from nengo_dl.surrogates import SuperSpike

SIZE = 70  # products of this size are shared out


WAY = "team"
pytestmark = pytest.mark.usefixtures("one_way")


def memory(memory_first=False):
    """A Legendre memory unit: a hidden layer and a linear memory that feed each other.

    What is first given to the memory is copied to it, or the bias of a product, if that is itself.
    """
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
        for pre in (m, into) if memory_first else (into, m):
            if pre is into:
                nengo.Connection(into, m, transform=weights(SIZE, 1), synapse=None)
            else:
                nengo.Connection(m, m, transform=0.9 * weights(SIZE, SIZE), synapse=0)
        nengo.Connection(m, h, transform=weights(SIZE - 3, SIZE), synapse=None)
        nengo.Connection(h, h, transform=weights(SIZE - 3, SIZE - 3), synapse=0)
        nengo.Connection(h, into, transform=weights(1, SIZE - 3), synapse=0)
        nengo.Connection(m, into, transform=weights(1, SIZE), synapse=0)
        out = nengo.Node(size_in=10)
        nengo.Connection(h, out, transform=weights(10, SIZE - 3), synapse=None)
        nengo.Probe(out)
    return net


def ensemble():
    """Neurons with encoders, biases and decoders in the loop."""
    with nengo.Network(seed=8) as net:
        u = nengo.Node(np.full(SIZE, 0.05))
        a = nengo.Ensemble(SIZE, SIZE, neuron_type=nengo.Sigmoid())
        nengo.Connection(u, a, synapse=None)
        nengo.Connection(a, a, synapse=0.005)
        nengo.Probe(a, synapse=0.01)
    return net


MODELS = {
    "spiking": lambda: spiking_layers(SIZE),
    "memory": memory,
    "memory first": lambda: memory(memory_first=True),
    "ensemble": ensemble,
}
EVERY_MODEL = pytest.mark.parametrize("name", MODELS)


def model(name):
    return model_of(MODELS[name](), "float32", surrogate=SuperSpike(0.5))


def three(made):
    cpu, teams = made.compiled("cpu"), made.compiled(GPU)
    assert ways(teams) == ["team"]
    return cpu, teams, made.compiled(GPU, fuse=False)


@EVERY_MODEL
@pytest.mark.parametrize("batch", [1, 3, 150])
def test_runs(name, batch):
    """As on the CPU, and op by op the same bits; teams have one, two or four items."""
    made = model(name)
    cpu, teams, plain = three(made)
    expected = made.run(cpu, 25, batch)
    assert np.mean([np.any(output) for output in expected[: len(made.program.outputs)]]) >= 0.5
    got = made.run(teams, 25, batch)
    assert_close(got, expected, 1e-5)
    assert_same_bits(made.run(plain, 25, batch), got)


@EVERY_MODEL
@pytest.mark.parametrize("batch", [1, 3, 150])
def test_gradients(name, batch):
    """Likewise, with a tape and without one."""
    made = model(name).training
    cpu, teams, plain = three(made)
    expected = made.gradients(cpu, 25, batch)
    assert np.mean([np.any(gradient) for gradient in expected]) > 0.6
    got = made.gradients(teams, 25, batch)
    assert_close(got, expected, 1e-5)
    assert_same_bits(made.gradients(teams, 25, batch, tape=True), got)
    assert_same_bits(made.gradients(plain, 25, batch), got)


@pytest.mark.parametrize("name, kind", [("memory first", "state"), ("ensemble", "param")])
def test_biases(name, kind):
    """These models have products with a bias of this kind in their loops."""
    program = model(name).training.program
    loops = [op for region in program.regions if region.kind == "loop" for op in region.ops]
    biases = [op.args["bias"] for op in loops if "bias" in op.args]
    assert [program.buffers[bias.buffer].kind for bias in biases] == [kind]


def test_an_unknown_way_is_refused(monkeypatch):
    """A way that is spelled wrong would otherwise be one that is silently not taken."""
    monkeypatch.setenv("NENGO_DL_LOOP_WAY", "taem")
    with pytest.raises(ValueError, match="expected one of .*'op by op', 'team', .*, got 'taem'"):
        three(model("memory"))


def test_what_no_way_is_sure_to_run_is_run_op_by_op(monkeypatch):
    """Frames of so many buffers don't fit into a block: teams may take the loop, but not always."""
    made = model("memory")
    more = tuple(Buffer("local", f"unused {i}", 1) for i in range(5000))
    made = replace(made, program=replace(made.program, buffers=(*made.program.buffers, *more)))
    assert three(made)
    monkeypatch.delenv("NENGO_DL_LOOP_WAY")
    assert made.compiled(GPU).fused() == []
