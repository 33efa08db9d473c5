"""Operators and neuron types in the form of NengoDL: `OpBuilder`, `TFNeuronBuilder` (SPEC 7)."""

import nengo
import numpy as np
import pytest
import tensorflow as tf
from nengo.builder import Operator, Signal
from nengo.builder.operator import Reset
from nengo.exceptions import BuildError, ValidationError
from test_builder import Leaky, leaky

from nengo_dl import builder
from nengo_dl.config import configure_settings
from nengo_dl.ir.lowering import TENSOR_CODE
from nengo_dl.neuron_builders import SimNeuronsBuilder, TFNeuronBuilder

STEPS = 4


@pytest.fixture(autouse=True)
def _tables_as_before(monkeypatch):
    for owner in (builder.Builder, builder.NengoBuilder):
        monkeypatch.setattr(owner, "builders", dict(owner.builders))
    tables = TENSOR_CODE, SimNeuronsBuilder.TF_NEURON_IMPL
    before = [dict(table) for table in tables]
    yield
    for table, entries in zip(tables, before, strict=True):
        table.clear()
        table.update(entries)


# ------------------------------------------------------------ operators


class Act(Operator):
    """An operator in TensorFlow alone."""

    def __init__(self, time, sets=(), reads=()):
        super().__init__()
        self.time, self.x = time, next(iter(reads), None)
        self.sets, self.incs, self.updates = list(sets), [], []
        self.reads = [*reads, *([] if time is None else [time])]

    def make_step(self, signals, dt, rng):
        raise NotImplementedError("in TensorFlow alone")


class Actor(nengo.Node):
    """A Node that is built of the operator."""


def acting(reads=True, sets=True, timed=False, on_cycle=False, **settings):
    """A network whose input, if it is read, goes through the operator to a Probe."""

    def build(model, node):
        x, y = (Signal(np.zeros(2), name=name) for name in "xy")
        model.sig[node]["in"], model.sig[node]["out"], model.params[node] = x, y, None
        model.add_op(Reset(x))
        if not sets:
            model.add_op(Reset(y))
        time = model.time if timed else None
        model.add_op(Act(time, [y] if sets else [], [x] if reads else []))

    builder.NengoBuilder.builders[Actor] = build
    with nengo.Network(seed=0) as net:
        configure_settings(**settings)
        net.inp = nengo.Node([1, 2])
        node = Actor(size_in=2)
        nengo.Connection(net.inp, node, synapse=None)
        if on_cycle:
            nengo.Connection(node, node, synapse=0)
        net.p = nengo.Probe(node, label="p")
    return net


def in_mode(sim, training):
    rows = [tf.tile([[[1.0, 2]]], (sim.minibatch_size, STEPS, 1))]
    rows.append(tf.fill((sim.minibatch_size, 1), STEPS))
    return np.asarray(sim.keras_model(rows, training=training)["p"])


class Noted(builder.OpBuilder):
    """Counts what is called, and keeps what it was told."""

    made = ()

    def __init__(self, ops):
        super().__init__(ops)
        self.pre = self.post = 0
        type(self).made = (*self.made, self)

    def build_pre(self, signals, config):
        super().build_pre(signals, config)
        self.pre += 1

    def build_post(self, signals):
        self.post += 1

    def build_step(self, signals):
        (op,) = self.ops
        signals.scatter(op.sets[0], signals.gather(op.x))


@pytest.mark.parametrize("on_cycle", [False, True])
def test_the_mode_is_known(Sim, on_cycle):
    """E-02: `config.training` is that of the step that is built."""

    class Modal(Noted):
        def build_step(self, signals):
            (op,) = self.ops
            x = signals.gather(op.x)
            signals.scatter(op.sets[0], x * 2 if not self.config.training else x * 5)

    builder.Builder.register(Act)(Modal)
    sim = Sim(acting(on_cycle=on_cycle), minibatch_size=2)
    for training, factor in ((True, 5), (False, 2), (True, 5)):
        np.testing.assert_allclose(in_mode(sim, training)[:, 0], [[factor, 2 * factor]] * 2)
    sim = Sim(acting(inference_only=True))
    np.testing.assert_allclose(in_mode(sim, training=False)[:, 0], [[2, 4]])


def test_settings_and_generator(Sim):
    """E-02: what `build_pre` is told."""

    class Draws(Noted):
        def build_pre(self, signals, config):
            super().build_pre(signals, config)
            self.drawn = config.rng.uniform(size=3)

    builder.Builder.register(Act)(Draws)
    Sim(acting(lif_smoothing=0.2, inference_only=True), seed=5)
    Sim(acting(), seed=5)
    Sim(acting())  # the network's seed plus one
    told, default, own = (made.config for made in Draws.made)
    assert (told.inference_only, told.lif_smoothing, told.cpu_only) == (True, 0.2, True)
    assert (default.inference_only, default.lif_smoothing) == (False, None)
    for made, seed in zip(Draws.made, (5, 5, 1), strict=True):
        np.testing.assert_array_equal(made.drawn, np.random.RandomState(seed).uniform(size=3))
    assert own.rng is not default.rng


@pytest.mark.parametrize("reads", [False, True])
def test_the_time(Sim, reads):
    """E-03: the signal of the time is gathered like others."""

    class Timed(Noted):
        def build_step(self, signals):
            (op,) = self.ops
            t = signals.gather(op.time)
            assert t.shape == (3, 1)
            signals.scatter(op.sets[0], tf.concat([t, 2 * t], axis=1))

    builder.Builder.register(Act)(Timed)
    sim = Sim(acting(reads, timed=True), minibatch_size=3)
    sim.run_steps(STEPS)
    t = sim.dt * np.arange(1, STEPS + 1)
    np.testing.assert_allclose(sim.data[sim.model.probes[0]], [np.stack([t, 2 * t], 1)] * 3)


def test_without_arguments(Sim):
    """E-03: the size of the minibatch is the simulator's."""

    class Ones(Noted):
        def build_step(self, signals):
            assert signals.minibatch_size == 3
            rows = tf.reshape(tf.range(6, dtype=signals.dtype), (signals.minibatch_size, 2))
            signals.scatter(self.ops[0].sets[0], rows)

    builder.Builder.register(Act)(Ones)
    sim = Sim(acting(reads=False), minibatch_size=3)
    sim.run_steps(STEPS)
    due = np.repeat(np.arange(6.0).reshape((3, 1, 2)), STEPS, axis=1)
    np.testing.assert_array_equal(sim.data[sim.model.probes[0]], due)


def test_functions_without_arguments(Sim):
    """E-01: as many steps as are asked for."""
    builder.tensorflow(Act)(lambda op, dt: tf.ones((3, 2)))
    sim = Sim(acting(reads=False), minibatch_size=3)
    sim.run_steps(STEPS)
    np.testing.assert_array_equal(sim.data[sim.model.probes[0]], np.ones((3, STEPS, 2)))


@pytest.mark.parametrize("form", ["OpBuilder", "function"])
@pytest.mark.parametrize("on_cycle", [False, True])
def test_without_results(Sim, form, on_cycle):
    """E-01: an operator may be there for its effects alone, one for each step."""
    total, steps = tf.Variable(0.0), tf.Variable(0)

    def note(x):
        total.assign_add(tf.reduce_sum(x))
        steps.assign_add(1)

    class Notes(Noted):
        def build_step(self, signals):
            note(signals.gather(self.ops[0].x))

    if form == "OpBuilder":
        builder.Builder.register(Act)(Notes)
    else:
        builder.tensorflow(Act)(lambda op, dt, x: note(x))
    sim = Sim(acting(sets=False, on_cycle=on_cycle), minibatch_size=2)
    assert (total.numpy(), steps.numpy()) == (0, 0)
    sim.run_steps(STEPS)
    assert (total.numpy(), steps.numpy()) == (2 * 3 * STEPS, STEPS)
    in_mode(sim, training=False)
    assert steps.numpy() == 2 * STEPS
    sim.predict(np.ones((2, STEPS, 2)))
    assert steps.numpy() == 3 * STEPS


def test_variables(Sim):
    """E-01: made in `build_pre`, once per simulator; `build_post` may give them their values."""

    class Counts(Noted):
        def build_pre(self, signals, config):
            super().build_pre(signals, config)
            self.steps = tf.Variable(7.0, dtype=signals.dtype)

        def build_step(self, signals):
            (op,) = self.ops
            signals.scatter(op.sets[0], signals.gather(op.x) + self.steps.assign_add(1))

        def build_post(self, signals):
            super().build_post(signals)
            self.steps.assign(signals.zero)

    builder.Builder.register(Act)(Counts)
    sim = Sim(acting(), minibatch_size=2)
    for n_steps in (STEPS, 1):
        sim.run_steps(n_steps)
    p = sim.model.probes[0]
    np.testing.assert_allclose(sim.data[p][0, :, 0], 1 + np.arange(1, STEPS + 2))
    in_mode(sim, training=True)
    (made,) = Counts.made
    assert (made.pre, made.post) == (1, 1)
    sim.reset()
    assert (made.pre, made.post) == (1, 2)
    sim.run_steps(1)
    np.testing.assert_allclose(sim.data[p][:, 0, 0], 2)


def test_signals_have_no_values_before_a_step(Sim):
    class Early(Noted):
        def build_pre(self, signals, config):
            signals.gather(self.ops[0].x)

    builder.Builder.register(Act)(Early)
    with pytest.raises(BuildError, match="and a call in build_step"):
        Sim(acting())


def test_the_table_of_operators_is_looked_up(Sim):
    """E-01: what is in `Builder.builders` when a simulator is made."""
    builder.Builder.builders.update({Act: Noted})
    assert len(Sim(acting()).plan.calls) == 1
    with pytest.warns(UserWarning, match="Act has TensorFlow code already"):
        builder.tensorflow(Act)(lambda op, dt, x: 3 * x)
    sim = Sim(acting())
    sim.run_steps(1)
    np.testing.assert_allclose(sim.data[sim.model.probes[0]], [[3, 6]])
    with pytest.warns(UserWarning, match="Act has TensorFlow code already"):
        builder.Builder.register(Act)(Noted)
    sim = Sim(acting())
    sim.run_steps(1)
    np.testing.assert_allclose(sim.data[sim.model.probes[0]], [[1, 2]])
    del builder.Builder.builders[Act]
    with pytest.raises(NotImplementedError, match="in TensorFlow alone"):
        Sim(acting())


# ------------------------------------------------------------ neuron types


class Square(nengo.neurons.RectifiedLinear):
    """Neurons without a state: ``scale J**2``."""

    scale = nengo.params.NumberParam("scale", default=1, readonly=True)

    def __init__(self, scale=1):
        super().__init__()
        self.scale = scale

    def step(self, dt, J, output):
        output[...] = self.scale * J**2


def neurons(*types, current=0.7, **settings):
    """Ensembles whose neurons get a current, and a Probe of each."""
    with nengo.Network(seed=0) as net:
        configure_settings(dtype="float64", **settings)
        net.inp = nengo.Node([current])
        for i, neuron_type in enumerate(types):
            ens = nengo.Ensemble(
                5, 1, neuron_type=neuron_type, gain=np.ones(5), bias=np.zeros(5), label=f"e{i}"
            )
            nengo.Connection(net.inp, ens.neurons, transform=np.ones((5, 1)), synapse=None)
            nengo.Probe(ens.neurons, label=f"p{i}")
    return net


def outputs(sim, training=False):
    rows = [tf.fill((1, STEPS, 1), tf.constant(0.7, tf.float64)), tf.fill((1, 1), STEPS)]
    found = sim.keras_model(rows, training=training)
    return [np.asarray(found[name])[0, :, 0] for name in ("p0", "p1") if name in found]


@pytest.mark.parametrize("inference_only", [False, True])
@pytest.mark.parametrize("form", [lambda x: x, lambda x: (x,), lambda x: [x]])
def test_neurons_without_state(Sim, form, inference_only):
    """E-05: they return a tensor, alone or as the only entry of a tuple."""

    class Squares(TFNeuronBuilder):
        def step(self, J, dt):
            return form(J**2)

    SimNeuronsBuilder.TF_NEURON_IMPL[Square] = Squares
    sim = Sim(neurons(Square(), inference_only=inference_only))
    assert len(sim.plan.calls) == 1
    np.testing.assert_allclose(outputs(sim), [[0.49] * STEPS])
    if not inference_only:
        sim.check_gradients(atol=1e-6)
        np.testing.assert_allclose(outputs(sim, training=True), [[0.49] * STEPS])


def test_code_of_neurons_without_state_may_return_a_tuple(Sim):
    """E-05: also as a function."""
    builder.tensorflow(Square)(lambda neurons, dt, J: (neurons.scale * J**2,))
    sim = Sim(neurons(Square(scale=2)))
    np.testing.assert_allclose(outputs(sim), [[0.98] * STEPS])


def test_parameters_and_settings(Sim):
    """E-05: `build_pre` reads parameters of the neurons, steps read `config`."""

    class Scaled(TFNeuronBuilder):
        spiking = True

        def build_pre(self, signals, config):
            super().build_pre(signals, config)
            sizes = [op.J.shape[0] for op in self.ops]
            types = [op.neurons for op in self.ops]
            self.scale = signals.op_constant(types, sizes, "scale", signals.dtype)
            self.table = tf.Variable(tf.ones((), signals.dtype))

        def step(self, J, dt):
            return self.scale * J**2 * self.table

        def training_step(self, J, dt):
            return self.scale * J * self.config.lif_smoothing

    SimNeuronsBuilder.TF_NEURON_IMPL[Square] = Scaled
    sim = Sim(neurons(Square(2), Square(3), lif_smoothing=0.5))
    np.testing.assert_allclose(outputs(sim), [[0.98] * STEPS, [1.47] * STEPS])
    np.testing.assert_allclose(outputs(sim, training=True), [[0.7] * STEPS, [1.05] * STEPS])


class LeakyBuilder(TFNeuronBuilder):
    """Of neurons that keep a voltage."""

    def step(self, J, dt, voltage):
        return leaky(None, np.asarray(dt), J, voltage)

    def training_step(self, J, dt, **state):
        return J  # NengoDL's classes return no states here


class SpikingBuilder(LeakyBuilder):
    """The same that is said to spike."""

    spiking = True


@pytest.mark.parametrize("code", [LeakyBuilder, SpikingBuilder])
def test_neuron_builders(Sim, code):
    """E-05: with a step of its own for training, if the neurons spike."""
    with nengo.Simulator(neurons(Leaky()), progress_bar=False) as ref:
        ref.run_steps(STEPS)
        due = ref.data[ref.model.probes[0]][:, 0]
    SimNeuronsBuilder.TF_NEURON_IMPL[Leaky] = code
    sim = Sim(neurons(Leaky()))
    assert len(sim.plan.calls) == 1 and not sim.plan.callbacks
    np.testing.assert_allclose(outputs(sim), [due])
    trained = [0.7] * STEPS if code.spiking else due
    np.testing.assert_allclose(outputs(sim, training=True), [trained])


@pytest.mark.parametrize("found", [1, 3])
def test_states_are_counted(Sim, found):
    """E-05: all of them have to be returned, and no more."""

    class Wrong(TFNeuronBuilder):
        spiking = True

        def step(self, J, dt, voltage):
            return (J,) * found

    SimNeuronsBuilder.TF_NEURON_IMPL[Leaky] = Wrong
    due = rf"Wrong: expected the output and 1 states \(voltage\), got {found - 1} states"
    with pytest.raises(ValidationError, match=due):
        Sim(neurons(Leaky()))


def test_the_table_of_neuron_types_is_a_dict(Sim):
    """E-05: what is in it when a simulator is made."""
    table = SimNeuronsBuilder.TF_NEURON_IMPL
    table.update({Leaky: LeakyBuilder})
    assert len(Sim(neurons(Leaky())).plan.calls) == 1
    del table[Leaky]
    sim = Sim(neurons(Leaky()))
    assert not sim.plan.calls and len(sim.plan.callbacks) == 1
    table.setdefault(Leaky, dict)
    with pytest.raises(BuildError, match="expected a subclass of TFNeuronBuilder"):
        Sim(neurons(Leaky()))
    table.clear()
    table[Leaky()] = LeakyBuilder
    with pytest.raises(BuildError, match="expected subclasses of NeuronType"):
        Sim(neurons(Leaky()))
