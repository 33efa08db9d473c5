"""Networks whose gradients are checked, and the numeric derivatives they are checked against."""

import re

import nengo
import numpy as np
import tensorflow as tf
from handmade import filter_plan, in_training

import nengo_dl
from nengo_dl.tensor_graph import TensorGraph

NETWORKS = {}
N_STEPS = 12  # several of them after the longest delay


def network(function):
    """Register a network: a function that fills the network that is open and returns probes."""
    NETWORKS[function.__name__] = function
    return function


def build(name, **settings):
    """Build a network in double precision; returns it and its probes."""
    with nengo.Network(seed=3) as net:
        nengo_dl.configure_settings(dtype="float64", **settings)
        probes = NETWORKS[name]()
    return net, probes


def units(n, neuron_type, dimensions=1, low=-1.0, high=1.0, scale=1.0):
    """An ensemble whose gains and biases are given, so that rates are moderate."""
    rng = np.random.RandomState(n)
    return nengo.Ensemble(
        n,
        dimensions,
        neuron_type=neuron_type,
        gain=scale * rng.uniform(0.5, 1.5, n),
        bias=rng.uniform(low, high, n),
    )


def glorot(pre, size):
    limit = np.sqrt(6 / (pre.size_out + size))
    rng = np.random.RandomState(pre.size_out * 100 + size)
    return rng.uniform(-limit, limit, (size, pre.size_out))


@network
def feed_forward():
    u = nengo.Node(np.zeros(2))
    a = units(12, nengo.RectifiedLinear(), 2)
    b = units(10, nengo.LIFRate(amplitude=0.01), low=2, high=4)
    c = units(9, nengo_dl.LeakyReLU())
    nengo.Connection(u, a, synapse=None)
    nengo.Connection(a, b, function=lambda x: x[0] * x[1], synapse=None)
    nengo.Connection(a.neurons, c.neurons, transform=glorot(a.neurons, 9), synapse=None)
    return [nengo.Probe(b), nengo.Probe(a.neurons), nengo.Probe(c.neurons)]


@network
def recurrent():
    u = nengo.Node(np.zeros(1))
    a = units(15, nengo.Tanh(tau_ref=1), 2)
    nengo.Connection(u, a[0], synapse=0.005)
    nengo.Connection(a, a, synapse=0.01, transform=[[0.9, -0.4], [0.4, 0.9]])
    return [nengo.Probe(a, synapse=0.01), nengo.Probe(a.neurons)]


@network
def adaptive():
    """Rates with a state of their own, in a loop through their neurons."""
    u = nengo.Node(np.zeros(1))
    a = units(6, nengo.AdaptiveLIFRate(), low=3, high=5)
    nengo.Connection(u, a, synapse=None)
    nengo.Connection(a.neurons, a.neurons, transform=np.eye(6)[::-1] * 1e-3, synapse=0.003)
    return [nengo.Probe(a.neurons, synapse=0.1)]


@network
def lmu():
    """A Legendre memory of linear nodes, read by a layer of tanh units that sees itself."""
    order, theta, tau = 4, 0.05, 0.02
    i, j = np.indices((order, order))
    a = np.where(i < j, -1.0, (-1.0) ** (i - j + 1)) * (2 * i + 1) / theta
    b = (-1.0) ** i[:, :1] * (2 * i[:, :1] + 1) / theta
    u = nengo.Node(np.zeros(1))
    memory = nengo.Node(size_in=order)
    hidden = units(8, nengo.Tanh(tau_ref=1)).neurons
    nengo.Connection(u, memory, transform=tau * b, synapse=tau)
    nengo.Connection(memory, memory, transform=tau * a + np.eye(order), synapse=tau)
    for pre, synapse in ((u, None), (memory, None), (hidden, 0)):
        nengo.Connection(pre, hidden, transform=glorot(pre, 8), synapse=synapse)
    out = nengo.Node(size_in=2)
    nengo.Connection(hidden, out, transform=glorot(hidden, 2), synapse=None)
    return [nengo.Probe(out), nengo.Probe(memory)]


@network
def learning_elsewhere():
    """PES changes one connection; another ensemble, which sees nothing of it, is probed."""
    u = nengo.Node(np.zeros(1))
    a = units(10, nengo.RectifiedLinear())
    b = units(10, nengo.RectifiedLinear())
    c = units(11, nengo.Tanh(tau_ref=1))
    nengo.Connection(u, a, synapse=None)
    nengo.Connection(u, c, synapse=0.01)
    learned = nengo.Connection(a, b, learning_rule_type=nengo.PES(1e-3))
    nengo.Connection(b, learned.learning_rule)
    return [nengo.Probe(c, synapse=0.01)]


@network
def convolution():
    u = nengo.Node(np.zeros(5 * 5 * 2))
    first = nengo.Convolution(3, (5, 5, 2), kernel_size=(3, 3))
    second = nengo.Convolution(2, first.output_shape.shape, kernel_size=(2, 2), padding="same")
    a = units(first.output_shape.size, nengo.RectifiedLinear()).neurons
    b = units(second.output_shape.size, nengo.Sigmoid(tau_ref=1)).neurons
    nengo.Connection(u, a, transform=first, synapse=None)
    nengo.Connection(a, b, transform=second, synapse=0.005)
    return [nengo.Probe(b)]


@network
def sparse():
    u = nengo.Node(np.zeros(6))
    a = units(9, nengo.Tanh(tau_ref=1)).neurons
    rng = np.random.RandomState(8)
    places = [(i, j) for i in range(9) for j in range(6) if (i + j) % 3 == 0]
    into = nengo.Sparse((9, 6), indices=places, init=rng.randn(len(places)))
    ring = nengo.Sparse((9, 9), indices=[(i, (i + 2) % 9) for i in range(9)], init=rng.randn(9))
    nengo.Connection(u, a, transform=into, synapse=0.004)
    nengo.Connection(a, a, transform=ring, synapse=0.01)
    return [nengo.Probe(a)]


@network
def synapses():
    """Probes with all kinds of synapses, one of them down-sampled."""
    u = nengo.Node(np.zeros(2))
    a = units(8, nengo.Tanh(tau_ref=1), 2)
    nengo.Connection(u, a, synapse=nengo.Alpha(0.004))
    second_order = nengo.LinearFilter([0.5, 1.0], [1e-4, 0.02, 1.0])
    kinds = [None, 0.01, nengo.Alpha(0.005), second_order, nengo.synapses.Triangle(0.004)]
    probes = [nengo.Probe(a, synapse=kind) for kind in kinds]
    return [*probes, nengo.Probe(a, sample_every=0.003)]


# ---------------------------------------------------------------- derivatives


def counts(batch, steps):
    """The last input of a layer: the number of steps."""
    return tf.fill((batch, 1), np.int32(steps))


def inputs_of(layer, n_steps=N_STEPS, seed=0):
    """Rows for every input of a layer."""
    rng = np.random.RandomState(seed)
    shape = (layer.minibatch_size, n_steps)
    return [tf.constant(rng.randn(*shape, port.size)) for port in layer.plan.inputs]


def loss_of(outputs):
    """A different loss for every probe, added up."""
    total = tf.constant(0.0, tf.float64)
    for i, out in enumerate(outputs):
        size = np.prod(out.shape[1:])
        weights = np.cos(np.arange(size) * 0.7 + i).reshape(out.shape[1:])
        total += tf.reduce_sum(weights * out) + (i + 1) * tf.reduce_sum(tf.sqrt(1 + out**2))
    return total


def variables_of(layer):
    """Everything but the inputs that has a gradient: name -> variable."""
    # numbers, since names of unlabeled objects hold addresses
    weights = enumerate(layer.base_params)
    named = {f"parameter {i}": w._value for i, w in weights if w.trainable}
    return {**named, "the state": layer.saved_state["state"]}


def run(layer, inputs, training=True):
    """Outputs of a layer that keeps its state."""
    batch, steps = inputs[0].shape[:2] if inputs else (layer.minibatch_size, N_STEPS)
    learned = [layer.base_params[i]._value.value() for i in layer.learned]
    outputs = layer([*inputs, counts(batch, steps)], training=training)[:-1]
    for i, value in zip(layer.learned, learned, strict=True):
        layer.base_params[i]._value.assign(value)
    return outputs


def gradients(layer, inputs, training=True, call=run):
    """Gradients of the loss by inputs (a list) and variables (a dict by name)."""
    variables = variables_of(layer)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        tape.watch(layer.saved_state["state"])
        loss = loss_of(call(layer, inputs, training))
    return tape.gradient(loss, [inputs, variables])


def check(layer, inputs, training=True, step=1e-6, rtol=1e-6, seed=1):
    """Compare gradients with differences along two random directions each.

    Central ones with one step and with half of it are extrapolated to none, since curvature makes
    more of a difference than rounding where rates begin.
    """
    layer.stateful = False
    by_inputs, by_variables = gradients(layer, inputs, training)
    rng = np.random.RandomState(seed)

    def loss():
        return float(loss_of(run(layer, inputs, training)))

    for i, (rows, grad) in enumerate(zip(inputs, by_inputs, strict=True)):
        for _ in range(2):
            way = rng.randn(*rows.shape)
            ends = []
            for sign in SIGNS:
                moved = [*inputs[:i], rows + sign * step * way, *inputs[i + 1 :]]
                ends.append(float(loss_of(run(layer, moved, training))))
            close(f"input {i}", np.sum(grad * way), ends, step, rtol)
    for name, variable in variables_of(layer).items():
        grad, value = by_variables[name], variable.numpy()
        if value.size == 0:
            continue
        assert grad is not None, name
        for _ in range(2):
            way = rng.randn(*value.shape)
            ends = []
            for sign in SIGNS:
                variable.assign(value + sign * step * way)
                ends.append(loss())
            variable.assign(value)
            close(name, np.sum(grad * way), ends, step, rtol)


SIGNS = (1, -1, 0.5, -0.5)


def close(name, came, ends, step, rtol):
    due = (8 * (ends[2] - ends[3]) - (ends[0] - ends[1])) / (6 * step)
    noise = 1e-15 * max(map(abs, ends)) / step  # what rounding makes of the difference
    assert abs(came - due) <= rtol * abs(due) + 20 * noise, (name, came, due)


def same(came, due, **tolerance):
    """Compare structures of tensors up to rounding."""
    tf.nest.map_structure(
        lambda a, b: np.testing.assert_allclose(
            a, b, **{"rtol": 1e-11, "atol": 1e-11, **tolerance}
        ),
        came,
        due,
    )


def tape_bytes(result):
    """How many bytes a run recorded, by what TensorFlow shows of its tape; None: no tape."""
    shown = re.search("no tape|a tape of ([0-9]+) bytes", repr(result.tape))
    return shown[1] and int(shown[1])


# ---------------------------------------------------------------- a program that TensorFlow can run


def filter_in_tensorflow(u, y, total, gain):
    """What `handmade.filter_program` computes: outputs, learned parameter and state."""
    ys, totals = [], []
    for t in range(u.shape[1]):
        y = 0.9 * y + gain * u[:, t]
        total = total + u[:, t]
        ys.append(y)
        totals.append(total)
    return tf.stack(ys, 1), tf.stack(totals, 1), total, y


def filter_layer(minibatch_size=3, **kwargs):
    """Make a layer of `handmade.filter_plan`, whose training form is the same."""
    plan = in_training(filter_plan("float64"))
    layer = TensorGraph(plan, minibatch_size, **kwargs)
    layer.stateful = False
    return layer
