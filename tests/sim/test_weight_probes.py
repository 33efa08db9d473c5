"""Weights as values: shapes of `nengo.Simulator`, and targets for Probes of them."""

import nengo
import numpy as np
import pytest
import tensorflow as tf
from nengo.exceptions import ValidationError


def weights(net):
    """Connections with weights of every rank, and a Probe of each."""
    with net:
        a = nengo.Node(np.ones(3))
        b = nengo.Node(size_in=3)
        ens = nengo.Ensemble(4, 3)
        conns = [
            nengo.Connection(a, b, transform=0.5, synapse=None),
            nengo.Connection(a[0], b[1], transform=2.0, synapse=None),
            nengo.Connection(a, ens, transform=3.0),
            nengo.Connection(ens.neurons, ens.neurons, transform=np.full((4, 4), 0.1)),
            nengo.Connection(a, b, transform=[1, 2, 3], synapse=None),
            nengo.Connection(a, b, transform=np.eye(3), synapse=None),
            nengo.Connection(ens, b),
        ]
        return a, conns, [nengo.Probe(conn, "weights") for conn in conns]


@pytest.mark.parametrize("size", [None, 2])
def test_shapes(Sim, double_net, size):
    """O-13: a scalar transform has weights of shape ``()``, probed with shape ``(steps,)``."""
    net = double_net()
    _, conns, probes = weights(net)
    with nengo.Simulator(net, progress_bar=False) as ref:
        ref.run_steps(4)
    sim = Sim(net, minibatch_size=size)
    assert sim.data[probes[0]] == []
    sim.run_steps(1)
    sim.run_steps(3)
    batch = () if size is None else (size,)
    values = sim.predict(n_steps=4)
    for conn, probe in zip(conns, probes, strict=True):
        due = ref.data[probe]
        for found in (sim.data[probe].reshape(-1, *due.shape)[0], values[probe][0]):
            assert found.shape == due.shape and np.array_equal(found, due)
        assert sim.data[probe].shape == (*batch, *due.shape)
        built = sim.data[conn].weights
        assert isinstance(built, np.ndarray) and built.shape == ref.data[conn].weights.shape
    assert sim.data[conns[0]].weights.shape == () and sim.data[probes[0]].shape == (*batch, 4)
    assert sim.get_nengo_params(conns[0]) == {"transform": 0.5}


def test_trained_scalar(Sim, double_net):
    """A trained scalar is one, too."""
    net = double_net()
    a, conns, probes = weights(net)
    sim = Sim(net, minibatch_size=2)
    sim.compile(tf.optimizers.SGD(0.1), loss={probes[0]: "mse"})
    sim.fit({a: np.ones((2, 3, 3))}, {probes[0]: np.zeros((2, 3))}, verbose=0)
    trained = sim.data[conns[0]].weights
    assert trained.shape == () and trained != 0.5 and not trained.flags.writeable
    assert sim.get_nengo_params(conns[0]) == {"transform": float(trained)}
    sim.freeze_params(net)
    assert conns[0].transform.init == trained


def targets(shape):
    """Targets for two items and four steps, of which every element is another."""
    return np.linspace(-1, 1, 4 * 3 * int(np.prod(shape))).reshape(4, 3, *shape)


@pytest.mark.parametrize(
    ("index", "shapes"), [(0, [(1,), ()]), (3, [(16,), (4, 4)]), (6, [(12,), (3, 4)])]
)
@pytest.mark.parametrize("form", ["arrays", "dataset"])
def test_targets(Sim, double_net, index, shapes, form):
    """Targets may be flattened, as in the original, or have the shape of the weights."""
    net = double_net()
    a, _, probes = weights(net)
    sim = Sim(net, minibatch_size=2)
    sim.compile(loss={probes[index]: "mse"}, metrics={probes[index]: "mae"})
    sim.run_steps(1)
    value = sim.data[probes[index]][0, 0]
    due = {
        "loss": np.mean((targets(value.shape) - value) ** 2),
        "mae": np.mean(np.abs(targets(value.shape) - value)),
    }
    name = sim.get_name(probes[index])
    for shape in shapes:
        x, y = np.ones((4, 3, 3)), targets(shape)
        if form == "dataset":
            rows = {sim.get_name(a): x, "n_steps": np.full((4, 1), 3)}
            data = (tf.data.Dataset.from_tensor_slices((rows, {name: y})).batch(2),)
        else:
            data = ({a: x}, {probes[index]: y})
        found = sim.evaluate(*data, verbose=0)
        np.testing.assert_allclose(found["loss"], due["loss"], rtol=1e-6)
        np.testing.assert_allclose(found[f"{name}_mae"], due["mae"], rtol=1e-6)


def test_targets_of_other_ranks(Sim, double_net):
    """What fits neither form is refused with both."""
    net = double_net()
    _, _, probes = weights(net)
    sim = Sim(net)
    sim.compile(loss={probes[6]: "mse"})
    for shape in ((1, 2, 5), (1, 2, 3, 4, 1), (1, 12)):
        message = r"expected rank 4 \(batch_size, n_steps, 3, 4\), or rank 3 .* 12\), got rank"
        with pytest.raises(ValidationError, match=message):
            sim.evaluate(n_steps=2, y={probes[6]: np.ones(shape)}, verbose=0)


@pytest.mark.parametrize("size", [None, 2])
def test_sparse(Sim, size):
    """S-76: of a sparse matrix they are its entries, in a row."""
    entries = [0.1, 0.2, 0.3]
    with nengo.Network() as net:
        a, b = nengo.Node([1, 2, 3]), nengo.Node(size_in=3)
        sparse = nengo.Sparse((3, 3), indices=[[0, 1], [2, 0], [1, 1]], init=entries)
        conn = nengo.Connection(a, b, transform=sparse)
        every, some = nengo.Probe(conn, "weights"), nengo.Probe(conn, "weights", sample_every=0.002)
    sim = Sim(net, minibatch_size=size)
    sim.run_steps(4)
    batch = () if size is None else (size,)
    found = sim.data[every]
    assert found.shape == (*batch, 4, 3) and sim.data[some].shape == (*batch, 2, 3)
    np.testing.assert_allclose(
        np.sort(found.reshape(-1, 3)), np.tile(entries, (found.size // 3, 1))
    )
    assert sim.predict(n_steps=2)[every].shape == (size or 1, 2, 3)
