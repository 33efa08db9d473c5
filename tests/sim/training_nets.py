"""Small networks for tests of training, and what they ought to give."""

import nengo
import numpy as np

import nengo_dl

RATE = 0.1  # of learning


def linear(sizes=(2, 1), dtype="float64", **settings):
    """Two probed linear maps of an input node: ``y = W x``, ``z = V x``."""
    with nengo.Network(seed=0) as net:
        nengo_dl.configure_settings(dtype=dtype, **settings)
        net.x = nengo.Node(np.zeros(sizes[0]), label="x")
        net.y = nengo.Node(size_in=sizes[1], label="y")
        net.z = nengo.Node(size_in=sizes[1], label="z")
        shape = (sizes[1], sizes[0])
        net.w = nengo.Connection(net.x, net.y, transform=np.full(shape, 0.5), synapse=None)
        net.v = nengo.Connection(net.x, net.z, transform=np.full(shape, -0.5), synapse=None)
        net.py = nengo.Probe(net.y, label="py")
        net.pz = nengo.Probe(net.z, label="pz")
    return net


def of_linear(Sim):
    """A simulator of `linear`, two items a minibatch, with the network as ``net``."""
    net = linear()
    sim = Sim(net, minibatch_size=2)
    sim.net = net
    return sim


def leaky(dtype="float64"):
    """A trainable weight behind a synapse: what it gives depends on the state."""
    with nengo.Network(seed=0) as net:
        nengo_dl.configure_settings(dtype=dtype)
        net.x = nengo.Node([1.0], label="x")
        net.y = nengo.Node(size_in=1)
        net.w = nengo.Connection(net.x, net.y, transform=[[0.5]], synapse=0.01)
        net.py = nengo.Probe(net.y, label="py")
    return net


def rows(items, steps=3, size=2, seed=0):
    """Random values of the shape of data."""
    return np.random.default_rng(seed).uniform(-1, 1, (items, steps, size))


def weights(sim, connection):
    """Present weights of a connection, as a copy."""
    return np.array(sim.data[connection].weights)


def snapshot(sim):
    """Everything that a call that fails must leave as it was."""
    model = sim.keras_model
    found = {f"w{i}": w.numpy() for i, w in enumerate(model.weights)}
    found |= {k: np.array(v) for k, v in sim.tensor_graph.get_state().items()}
    if model.compiled and model.optimizer is not None:
        found |= {f"o{i}": v.numpy() for i, v in enumerate(model.optimizer.variables)}
        found["targets"] = model.untracked.targets
    found["stateful"] = sim.tensor_graph.stateful
    found["steps"] = model.steps_per_execution if model.compiled else None
    return found


def unchanged(before, after):
    """Whether two snapshots are equal."""
    return before.keys() == after.keys() and all(
        np.array_equal(before[key], after[key])
        if isinstance(before[key], np.ndarray)
        else before[key] == after[key]
        for key in before
    )


def descent(x, y, epochs=1, size=2, w=0.5, rate=RATE, weight=None):
    """The weights and losses of plain gradient descent for ``py = W x``."""
    w = np.full((1, x.shape[-1]), w)
    losses = []
    weight = np.ones(len(x)) if weight is None else weight
    for _ in range(epochs):
        losses.append([])
        for i in range(0, len(x), size):
            part, factor = x[i : i + size], weight[i : i + size, None, None]
            error = part @ w.T - y[i : i + size]
            losses[-1].append(np.mean(factor * error**2))
            w = w - rate * np.einsum("bti,btj->ij", 2 * factor * error, part) / error.size
    return w, np.mean(losses, axis=1)
