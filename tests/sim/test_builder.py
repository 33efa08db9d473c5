"""TensorFlow code for operators, neuron types and processes; builders of objects (SPEC 7)."""

import nengo
import numpy as np
import pytest
import tensorflow as tf
from nengo.builder import Builder as CoreBuilder
from nengo.builder import Operator, Signal
from nengo.builder.operator import Reset
from nengo.exceptions import BuildError

import nengo_dl
from nengo_dl import builder
from nengo_dl.config import configure_settings
from nengo_dl.ir.lowering import TENSOR_CODE

STEPS = 8


@pytest.fixture(autouse=True)
def _tables_as_before(monkeypatch):
    for owner, name in ((builder.Builder, "builders"), (builder.NengoBuilder, "builders")):
        monkeypatch.setattr(owner, name, dict(getattr(owner, name)))
    before = dict(TENSOR_CODE)
    yield
    TENSOR_CODE.clear()
    TENSOR_CODE.update(before)


class Mix(Operator):
    """``y = 2 x + s``, ``z += x s``, and from the next step on ``s`` is ``0.5 s + x``."""

    def __init__(self, x, y, z, s):
        super().__init__()
        self.sets, self.incs, self.reads, self.updates = [y], [z], [x], [s]

    def make_step(self, signals, dt, rng):
        x, y, z, s = (signals[v] for v in (*self.reads, *self.sets, *self.incs, *self.updates))

        def step():
            y[...] = 2 * x + s
            z[...] += x * s
            s[...] = 0.5 * s + x

        return step


def mix(op, dt, x, s):
    return 2 * x + s, x * s, 0.5 * s + x


class Mixer(nengo.Node):
    """A Node that is built of the operator."""


def build_mixer(model, node):
    model.sig[node]["in"] = x = Signal(shape=node.size_in, name="x")
    y, z = (Signal(shape=node.size_in, name=name) for name in "yz")
    s = Signal(np.full(node.size_in, 0.3), name="s")
    model.sig[node]["out"], model.sig[node]["z"], model.params[node] = y, z, None
    model.add_op(Reset(x))
    model.add_op(Reset(z, value=1))
    model.add_op(Mix(x, y, z, s))


def mixed(on_cycle=False):
    with nengo.Network(seed=0) as net:
        configure_settings(dtype="float64")
        net.u = nengo.Node(lambda t: [np.sin(300 * t), np.cos(200 * t)])
        node = Mixer(size_in=2)
        nengo.Connection(net.u, node, synapse=None)
        if on_cycle:
            nengo.Connection(node, node, synapse=0.01, transform=0.3)
        out = nengo.Node(size_in=2)
        nengo.Connection(node, out, synapse=0.005)
        for obj in (node, out):
            nengo.Probe(obj)
    return net


def in_nengo(net):
    with nengo.Simulator(net, progress_bar=False, optimize=False) as sim:
        sim.run_steps(STEPS)
        return [np.asarray(sim.data[probe]) for probe in net.all_probes]


def assert_equal(Sim, net, due, calls=1):
    sim = Sim(net, minibatch_size=2)
    assert len(sim.plan.calls) == calls and not sim.plan.callbacks
    for n_steps in (3, STEPS - 3):
        sim.run_steps(n_steps)
    for probe, expected in zip(net.all_probes, due, strict=True):
        for item in range(2):
            np.testing.assert_allclose(sim.data[probe][item], expected, rtol=1e-9, atol=1e-12)
    return sim


class MixBuilder(builder.OpBuilder):
    """The same in the form of NengoDL."""

    def build_pre(self, signals, config):
        super().build_pre(signals, config)
        (op,) = self.ops
        self.x, self.y = signals.combine(op.reads), signals.combine(op.sets)

    def build_step(self, signals):
        (op,) = self.ops
        x, s = signals.gather(self.x), signals.gather(op.updates[0])
        signals.scatter(self.y, 2 * x + s)
        signals.scatter(op.incs[0], x * s, mode="inc")
        signals.scatter(op.updates[0], 0.5 * s + x)


@pytest.mark.parametrize("on_cycle", [False, True])
@pytest.mark.parametrize("form", ["function", "OpBuilder"])
def test_operators(Sim, monkeypatch, form, on_cycle):
    """E-01 to E-03: what is set, incremented and updated, in programs and on cycles."""
    monkeypatch.setitem(CoreBuilder.builders, Mixer, build_mixer)
    due = in_nengo(mixed(on_cycle))
    if form == "function":
        builder.tensorflow(Mix)(mix)
    else:
        builder.Builder.register(Mix)(MixBuilder)
        assert builder.Builder.builders[Mix] is MixBuilder
    sim = assert_equal(Sim, mixed(on_cycle), due)
    sim.check_gradients(atol=1e-6)


def test_objects_are_built_here_alone(Sim):
    """E-04: and Nengo builds them as before."""
    builder.tensorflow(Mix)(mix)
    due = in_nengo(mixed())
    builder.NengoBuilder.register(Mixer)(build_mixer)
    np.testing.assert_array_equal(in_nengo(mixed()), due)
    sim = Sim(mixed())
    sim.run_steps(STEPS)
    assert np.abs(sim.data[sim.model.probes[0]] - due[0]).max() > 0.1
    with pytest.warns(UserWarning, match="already"):
        builder.NengoBuilder.register(Mixer)(build_mixer)


class Leaky(nengo.neurons.NeuronType):
    """A leaky unit: ``v += dt / 0.01 (J - v)``, the output is ``v**2``."""

    negative = False
    state = {"voltage": nengo.dists.Choice([0.2])}

    def gain_bias(self, max_rates, intercepts):
        return np.ones_like(max_rates), np.zeros_like(max_rates)

    def max_rates_intercepts(self, gain, bias):
        return np.ones_like(gain), np.zeros_like(gain)

    def rates(self, x, gain, bias):
        return self.current(x, gain, bias) ** 2

    def step(self, dt, J, output, voltage):
        voltage += dt / 0.01 * (J - voltage)
        output[...] = voltage**2


def leaky(neurons, dt, J, voltage):
    voltage = voltage + dt / 0.01 * (J - voltage)
    return voltage**2, voltage


def test_neuron_types(Sim):
    """E-05: its state goes on from step to step."""

    def net():
        with nengo.Network(seed=0) as net:
            configure_settings(dtype="float64")
            net.u = nengo.Node(lambda t: np.sin(300 * t))
            ens = nengo.Ensemble(10, 1, neuron_type=Leaky())
            nengo.Connection(net.u, ens, synapse=None)
            nengo.Probe(ens.neurons)
            nengo.Probe(ens.neurons, "voltage")
        return net

    due = in_nengo(net())
    builder.tensorflow(Leaky)(leaky)
    sim = assert_equal(Sim, net(), due)
    sim.check_gradients(atol=1e-6)


class Decay(nengo.Process):
    """With input or without: a state that decays, and grows with the input and the time."""

    def __init__(self, size_in=0):
        super().__init__(default_size_in=size_in, default_size_out=2)

    def make_state(self, shape_in, shape_out, dt, dtype=None):
        return {"level": np.full(shape_out, 0.5)}

    def make_step(self, shape_in, shape_out, dt, rng, state):
        level = state["level"]

        def step(t, x=0.0):
            level[...] = 0.9 * level + x + t
            return level.copy()

        return step


def decay(process, dt, t, x, level):
    level = 0.9 * level + (0.0 if x is None else x) + t
    return level, level


def test_processes(Sim):
    """E-05: of Nodes with input, and as synapses."""

    def net():
        with nengo.Network(seed=0) as net:
            configure_settings(dtype="float64")
            u = nengo.Node(lambda t: [np.sin(300 * t), t])
            node = nengo.Node(Decay(2), size_in=2)
            nengo.Connection(u, node, synapse=None)
            nengo.Probe(node)
        return net

    due = in_nengo(net())
    builder.tensorflow(Decay)(decay)
    assert_equal(Sim, net(), due)


class Hebb(nengo.learning_rules.LearningRuleType):
    """``weights += rate dt post pre``."""

    modifies = "weights"
    probeable = ("delta",)

    def __init__(self, rate):
        super().__init__(rate, size_in=0)
        self.rate = rate


class SimHebb(Operator):
    """The change of the weights in a step, which is made in the next one."""

    def __init__(self, rate, pre, post, delta):
        super().__init__()
        self.rate = rate
        self.sets, self.incs, self.reads, self.updates = [], [], [pre, post], [delta]

    def make_step(self, signals, dt, rng):
        pre, post, delta = (signals[v] for v in (*self.reads, *self.updates))

        def step():
            delta[...] = self.rate * dt * np.outer(post, pre)

        return step


def build_hebb(model, hebb, rule):
    conn = rule.connection
    pre, post = (model.sig[obj]["out"] for obj in (conn.pre_obj, conn.post_obj))
    model.add_op(SimHebb(hebb.rate, pre, post, model.sig[rule]["delta"]))


def hebb(op, dt, pre, post, delta):
    return op.rate * dt * post[:, :, None] * pre[:, None, :]


@pytest.mark.parametrize("of_its_post", [False, True])
def test_learning_rules(Sim, monkeypatch, of_its_post):
    """E-05: the operator that a rule's build function adds; on the cycle of the weights, too."""
    monkeypatch.setitem(CoreBuilder.builders, Hebb, build_hebb)

    def net():
        with nengo.Network(seed=0) as net:
            configure_settings(dtype="float64")
            u = nengo.Node(lambda t: np.sin(300 * t))
            pre, post = (nengo.Ensemble(n, 1, neuron_type=nengo.LIFRate()) for n in (6, 5))
            nengo.Connection(u, pre, synapse=None)
            if not of_its_post:
                nengo.Connection(u, post, synapse=None)
            conn = nengo.Connection(
                pre.neurons, post.neurons if of_its_post else nengo.Ensemble(5, 1).neurons,
                transform=nengo_dl.dists.Glorot(), learning_rule_type=Hebb(1e-4), seed=1,
            )  # fmt: skip
            nengo.Probe(conn, "weights")
            nengo.Probe(post.neurons)
        return net

    due = in_nengo(net())
    builder.tensorflow(SimHebb)(hebb)
    assert_equal(Sim, net(), due)
    assert np.abs(np.diff(due[0], axis=0)).max() > 1e-5


def test_what_is_refused_or_warned_of():
    """E-01."""
    with pytest.raises(BuildError, match="expected subclasses of Operator"):
        builder.tensorflow(int)(mix)
    builder.tensorflow(Mix)(mix)
    with pytest.warns(UserWarning, match="Mix has TensorFlow code already"):
        builder.tensorflow(Mix)(mix)
    with pytest.warns(UserWarning, match="subclass of OpBuilder"):
        builder.Builder.register(Reset)(dict)


def test_signals():
    """E-03: shapes, parts, mismatches."""
    one, two = Signal(shape=(2,), name="one"), Signal(shape=(3,), name="two")
    values = {one: tf.constant([[1.0, 2]]), two: tf.constant([[3.0, 4, 5]])}
    signals = builder.SignalDict(0.001, "float32", 1, values)
    both = signals.combine([one, two])
    assert (both.shape, both.full_shape, both[1:4].shape) == ((5,), (None, 5), (3,))
    np.testing.assert_array_equal(signals.gather(both[1:4]), [[2, 3, 4]])
    assert both[1:].reshape((2, -1)).shape == (2, 2)
    assert signals.gather(both[1:].reshape((2, -1))).shape == (1, 2, 2)
    signals.scatter(both, tf.ones((1, 5)))
    signals.scatter(two, tf.ones((1, 3)), mode="inc")
    np.testing.assert_array_equal(signals.results[two], [[2, 2, 2]])
    with pytest.raises(BuildError, match="expected values of float32, got float64"):
        signals.scatter(one, tf.ones((1, 2), tf.float64))
    with pytest.raises(BuildError, match="expected a signal that the operator reads"):
        signals.gather(Signal(shape=(1,), name="other"))


def test_what_is_not_set_is_missed(Sim, monkeypatch):
    monkeypatch.setitem(CoreBuilder.builders, Mixer, build_mixer)

    class Half(builder.OpBuilder):
        def build_step(self, signals):
            signals.scatter(self.ops[0].sets[0], signals.gather(self.ops[0].reads[0]))

    builder.Builder.register(Mix)(Half)
    with pytest.raises(BuildError, match=r"Half: expected it to set \['z', 's'\]"):
        Sim(mixed())


class Since(nengo.neurons.NeuronType):
    """Neurons that keep their current, infinite before the first step."""

    state = {"last": nengo.dists.Choice([-np.inf])}

    def gain_bias(self, max_rates, intercepts):
        return np.ones_like(max_rates), np.zeros_like(max_rates)

    def max_rates_intercepts(self, gain, bias):
        return gain, bias

    def step(self, dt, J, output, last):
        output[...] = np.maximum(last, -1)
        last[...] = J


def test_a_state_that_was_infinite(Sim):
    """What comes after it is what the code says."""
    builder.tensorflow(Since)(
        lambda neurons, dt, J, last: (tf.maximum(last, tf.constant(-1.0, last.dtype)), J)
    )
    with nengo.Network(seed=0) as net:
        configure_settings(dtype="float64")
        ens = nengo.Ensemble(5, 1, neuron_type=Since())
        nengo.Connection(nengo.Node(np.sin), ens)
        p = nengo.Probe(ens.neurons)
    with nengo.Simulator(net, progress_bar=False) as ref:
        ref.run_steps(6)
    sim = Sim(net)
    sim.run_steps(6)
    np.testing.assert_allclose(sim.data[p], ref.data[p])
