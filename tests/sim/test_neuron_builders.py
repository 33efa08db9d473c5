"""Builders of neuron types in `nengo_dl.neuron_builders`, as libraries subclass them (SPEC 7)."""

import nengo
import numpy as np
import pytest
import tensorflow as tf
from nengo.exceptions import BuildError

import nengo_dl
from nengo_dl import neuron_builders
from nengo_dl.builder import OpBuilder
from nengo_dl.neuron_builders import (
    GenericNeuronBuilder,
    LIFBuilder,
    LIFRateBuilder,
    SimNeuronsBuilder,
    SoftLIFRateBuilder,
    SpikingRectifiedLinearBuilder,
    TFNeuronBuilder,
)

# of gains, when currents are given as they are
pytestmark = pytest.mark.filterwarnings("ignore:divide by zero:RuntimeWarning")

TABLE = SimNeuronsBuilder.TF_NEURON_IMPL
STEPS = 30
# far below the threshold, at it, a little above it, far above it
CURRENTS = np.array([-700, -60, -5, -0.5, 0, 0.3, 0.9, 1, 1.001, 1.1, 1.7, 4, 700])
N = len(CURRENTS)
# type, parameters, factor on the currents
CASES = [
    (nengo.LIF, {}, 1),
    (nengo.LIF, {"tau_rc": 0.03, "tau_ref": 0.0037, "amplitude": 0.4, "min_voltage": -0.3}, 1),
    (nengo.LIFRate, {}, 1),
    (nengo.LIFRate, {"tau_rc": 0.03, "tau_ref": 0.001, "amplitude": 0.4}, 1),
    (nengo_dl.SoftLIFRate, {}, 1),
    (nengo_dl.SoftLIFRate, {"sigma": 0.02, "tau_rc": 0.03, "amplitude": 2.5}, 1),
    (nengo.RectifiedLinear, {}, 3),
    (nengo.RectifiedLinear, {"amplitude": 0.4}, 3),
    (nengo_dl.LeakyReLU, {"negative_slope": 0.2, "amplitude": 0.4}, 3),
    (nengo.SpikingRectifiedLinear, {}, 300),
    (nengo.SpikingRectifiedLinear, {"amplitude": 0.4}, 300),
    (nengo_dl.SpikingLeakyReLU, {"negative_slope": 0.2, "amplitude": 0.4}, 300),
    (nengo.Sigmoid, {"tau_ref": 0.004}, 1),
    (nengo.Tanh, {"tau_ref": 0.004}, 1),
    (nengo.RegularSpiking, {"base_type": nengo.Tanh(), "amplitude": 0.4}, 1),
]
RANDOM = [nengo.StochasticSpiking, nengo.PoissonSpiking]


@pytest.fixture(autouse=True)
def _table_as_before():
    before = dict(TABLE)
    yield
    TABLE.clear()
    TABLE.update(before)


def own(cls, builder=None):
    """A subclass of a neuron type, and of the builder that the table has for it."""
    mine = type(f"My{cls.__name__}", (cls,), {})
    TABLE[mine] = type(f"My{cls.__name__}Builder", (builder or TABLE[cls],), {})
    return mine


def network(*neuron_types, size=N, **settings):
    """Ensembles whose neurons get an input of several currents, and a Probe of each."""
    settings = {"dtype": "float64", **settings}
    with nengo.Network(seed=0) as net:
        nengo_dl.configure_settings(**settings)
        net.inp = nengo.Node(np.zeros(size))
        for i, neuron_type in enumerate(neuron_types):
            ens = nengo.Ensemble(
                size, 1, neuron_type=neuron_type, gain=np.ones(size), bias=np.zeros(size)
            )
            nengo.Connection(net.inp, ens.neurons, synapse=None)
            nengo.Probe(ens.neurons, label=f"p{i}")
    return net


def rows(currents, items=2):
    """Currents that fall by a half in the course of the steps, (items, STEPS, neurons)."""
    falling = np.linspace(1, 0.5, STEPS)[:, None] * currents
    return np.stack([falling * (1 - 0.1 * item) for item in range(items)])


def trained(sim, x):
    """Outputs in training mode, and the gradient of their sum."""
    ins = [tf.constant(x), tf.fill((len(x), 1), STEPS)]
    with tf.GradientTape() as tape:
        tape.watch(ins[0])
        found = sim.keras_model(ins, training=True)
        found = [found[name] for name in sorted(found) if name.startswith("p")]
        total = tf.add_n([tf.reduce_sum(value) for value in found])
    return [np.asarray(value) for value in found], np.asarray(tape.gradient(total, ins[0]))


@pytest.mark.parametrize(
    "name, parents",
    [
        ("GenericNeuronBuilder", [OpBuilder]),
        ("LIFBuilder", [SoftLIFRateBuilder, LIFRateBuilder]),
        ("LIFRateBuilder", []),
        ("PoissonSpikingBuilder", []),
        ("RectifiedLinearBuilder", []),
        ("RegularSpikingBuilder", []),
        ("SigmoidBuilder", []),
        ("SoftLIFRateBuilder", [LIFRateBuilder]),
        ("SpikingRectifiedLinearBuilder", [neuron_builders.RectifiedLinearBuilder]),
        ("StochasticSpikingBuilder", []),
        ("TanhBuilder", []),
    ],
)
def test_the_names(name, parents):
    """E-05: with the parents that subclasses call."""
    found = getattr(neuron_builders, name)
    assert all(issubclass(found, parent) for parent in parents or [TFNeuronBuilder])
    # the engine has the types of these entries
    natives = [cls for cls, builder in TABLE.items() if builder is found]
    assert natives or found is GenericNeuronBuilder
    assert all(cls.spiking == found.spiking for cls in natives)


@pytest.mark.parametrize("cls, given, factor", CASES)
def test_steps_are_those_of_nengo(Sim, cls, given, factor):
    """E-05: a subclass that changes nothing."""
    net = network(own(cls)(**given))
    x = rows(CURRENTS * factor)
    sim = Sim(net, minibatch_size=2)
    assert len(sim.plan.calls) == 1 and not sim.plan.callbacks
    found = sim.predict({net.inp: x})[net.probes[0]]
    for item, currents in enumerate(x):
        net.inp.output = nengo.processes.PresentInput(currents, 0.001)
        with nengo.Simulator(net, progress_bar=False) as ref:
            ref.run_steps(STEPS)
        np.testing.assert_allclose(found[item], ref.data[net.probes[0]], rtol=1e-12, atol=1e-12)
    assert np.any(found)


@pytest.mark.parametrize("smoothing", [None, 0.1])
@pytest.mark.parametrize("cls, given, factor", CASES)
def test_training_is_that_of_the_native_type(Sim, cls, given, factor, smoothing):
    """E-05: and so are gradients."""
    x = rows(CURRENTS * factor)
    results = []
    for kind in (cls, own(cls)):
        sim = Sim(network(kind(**given), lif_smoothing=smoothing), minibatch_size=2)
        assert len(sim.plan.calls) == (kind is not cls)
        results.append(trained(sim, x))
    (due, due_gradient), (found, gradient) = results
    np.testing.assert_allclose(found, due, rtol=1e-9, atol=1e-12)
    # below the threshold slopes fade away; what is left of them is rounded
    np.testing.assert_allclose(gradient, due_gradient, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("cls", RANDOM)
def test_spikes_by_chance(Sim, cls):
    """E-05: as many as the rates say, and trained by these."""
    rates = np.array([-900.0, 0, 300, 1700])
    kind = own(cls)(nengo_dl.LeakyReLU(negative_slope=1), amplitude=0.5)
    net = network(kind, size=4)
    tf.random.set_seed(0)
    sim = Sim(net, minibatch_size=50)
    x = np.tile(rates, (50, STEPS, 1))
    spikes = sim.predict({net.inp: x})[net.probes[0]] * 0.001 / 0.5
    np.testing.assert_array_equal(spikes, np.round(spikes))
    np.testing.assert_allclose(spikes.mean((0, 1)), rates / 1000, atol=0.1)
    high = {nengo.StochasticSpiking: 2, nengo.PoissonSpiking: 8}[cls]
    assert 2 <= spikes.max() <= high and spikes[..., 1].max() == 0
    (found,), gradient = trained(sim, x)
    np.testing.assert_allclose(found, 0.5 * x)
    np.testing.assert_allclose(gradient, 0.5)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_what_subclasses_read(Sim, dtype):
    """E-05: attributes, from `build_pre` on."""
    made = []

    class Kept(LIFBuilder):
        def build_pre(self, signals, config):
            super().build_pre(signals, config)
            made.append(self)
            # NengoDL gives types of TensorFlow, whose methods libraries use
            assert signals.dtype.as_numpy_dtype == np.dtype(dtype)
            ops, sizes = [nengo.LIF(tau_rc=tau) for tau in (0.01, 0.02)], [1, 2]
            of = [
                signals.op_constant(ops, sizes, name, signals.dtype)
                for name in ("tau_rc", "tau_ref")
            ]
            np.testing.assert_allclose(of[0], [[0.01, 0.02, 0.02]], rtol=1e-6)
            assert of[1].shape == ()

    plain, other = own(nengo.LIF, Kept), own(nengo.LIF, Kept)
    types = plain(), other(amplitude=0.5, min_voltage=-1)
    Sim(network(*types, dtype=dtype, lif_smoothing=0.2), minibatch_size=3)
    first, second = made
    assert first.amplitude is None and float(second.amplitude) == 0.5
    assert float(first.alpha) == 1000 and float(second.alpha) == 500
    due = {"tau_rc": 0.02, "tau_ref": 0.002, "sigma": 0.2, "zero": 0, "one": 1, "epsilon": 1e-15}
    for name, value in {**due, "min_voltage": 0}.items():
        found = getattr(first, name)
        assert found.shape == () and found.dtype == dtype
        np.testing.assert_allclose(found, value, rtol=1e-6)
    assert first.zeros.shape == (3, N) and not np.any(first.zeros)
    made.clear()
    Sim(network(plain(), dtype=dtype))
    assert not hasattr(made[0], "sigma")  # without the setting


@pytest.mark.parametrize("smoothing", [None, 0.1])
def test_noise_in_training(Sim, smoothing):
    """E-05: forward rates with noise, backward those of the parent, as for neuromorphic chips."""

    class Noisy(LIFBuilder):
        def __init__(self, ops):
            super().__init__(ops)
            self.level = ops[0].neurons.noise

        def training_step(self, J, dt, **state):
            rates = super().training_step(J, dt, **state)
            period = self.tau_ref + self.tau_rc * tf.math.log1p(
                1 / tf.maximum(J - self.one, self.epsilon)
            )
            whole = tf.where(J > self.one, 1 / (dt * tf.math.ceil(period / dt)), self.zeros)
            if self.amplitude is not None:
                whole *= self.amplitude
            noise = self.level * tf.random.uniform(tf.shape(J), -1, 1, J.dtype)
            return rates + tf.stop_gradient(whole + noise - rates)

    kind = own(nengo.LIF, Noisy)
    kind.noise = 0.5
    x = rows(CURRENTS)
    sims = [
        Sim(network(t(amplitude=0.7), lif_smoothing=smoothing), minibatch_size=2)
        for t in (nengo.LIF, kind)
    ]
    (_, due), ((found,), gradient) = (trained(sim, x) for sim in sims)
    np.testing.assert_allclose(gradient, due, rtol=1e-7, atol=1e-9)
    above = x - 1
    with np.errstate(divide="ignore", invalid="ignore"):
        whole = 0.7 / (0.001 * np.ceil((0.002 + 0.02 * np.log1p(1 / above)) / 0.001))
    whole = np.where(above > 0, whole, 0)
    assert 0.3 < np.abs(found - whole).max() <= 0.5


class Inhibited(nengo.LIF):
    """LIF neurons with a state more, of a kind that is not native."""

    state = {**nengo.LIF.state, "held": nengo.dists.Choice([0.25])}

    def step(self, dt, J, output, voltage, refractory_time, held):
        super().step(dt, J - held, output, voltage, refractory_time)
        held += 0.01


class InhibitedBuilder(SoftLIFRateBuilder):
    """Leaves out the parameters of its parent, and calls steps of other builders."""

    spiking = True

    def build_pre(self, signals, config):
        super(SoftLIFRateBuilder, self).build_pre(signals, config)
        self.min_voltage = signals.zero

    def step(self, J, dt, voltage, refractory_time, held):
        state = {"voltage": voltage, "refractory_time": refractory_time}
        return (*LIFBuilder.step(self, J - held, dt, **state), held + 0.01)

    def training_step(self, J, dt, **state):
        return LIFRateBuilder.step(self, J - state["held"], dt)


def test_steps_of_other_builders(Sim):
    """E-05: called as functions of a builder that has their attributes."""
    TABLE[Inhibited] = InhibitedBuilder
    net = network(Inhibited(tau_rc=0.03))
    net.inp.output = CURRENTS
    with nengo.Simulator(net, progress_bar=False) as ref:
        ref.run_steps(STEPS)
    sim = Sim(net)
    sim.run_steps(STEPS)
    np.testing.assert_allclose(sim.data[net.probes[0]], ref.data[net.probes[0]], rtol=1e-12)
    (found,), _ = trained(sim, np.tile(CURRENTS, (1, STEPS, 1)))
    # the state stays as the run has left it
    currents = CURRENTS[None] - 0.25 - 0.01 * STEPS
    due = nengo.LIFRate(tau_rc=0.03).rates(currents, np.ones(N), np.zeros(N))
    np.testing.assert_allclose(found[0], np.tile(due, (STEPS, 1)), rtol=1e-9)


def test_numbers_of_any_count_of_items(Sim):
    """E-05: fewer items than a minibatch has, and neurons on a cycle."""
    net = network(own(nengo.SpikingRectifiedLinear)(), own(nengo.LIFRate)())
    with net:
        for ens in net.all_ensembles:
            nengo.Connection(ens.neurons, ens.neurons, transform=0.001, synapse=0.01)
    sim = Sim(net, minibatch_size=3)
    x = rows(CURRENTS * 3, items=3)
    whole = sim.predict({net.inp: x})
    fewer = sim.predict({net.inp: x[:1]})
    for probe in net.probes:
        np.testing.assert_array_equal(fewer[probe], whole[probe][:1])


def test_native_types_stay_native(Sim):
    """E-05: entries that the table begins with change nothing; others count, and can be undone."""
    net = network(nengo.LIF(), nengo.SpikingRectifiedLinear())
    TABLE[nengo.LIF] = LIFBuilder
    assert not Sim(net).plan.calls
    TABLE[nengo.LIF] = type("Other", (LIFBuilder,), {})
    assert len(Sim(net).plan.calls) == 1
    TABLE[nengo.SpikingRectifiedLinear] = GenericNeuronBuilder
    assert len(Sim(net).plan.calls) == 2
    TABLE.clear()
    sim = Sim(net)
    assert not sim.plan.calls and not sim.plan.callbacks


def test_python_code_by_way_of_tensorflow(Sim):
    """E-05: `GenericNeuronBuilder` runs what the neurons' own step does."""
    net = network(own(nengo.LIF, GenericNeuronBuilder)(amplitude=0.4), own(nengo.Tanh)())
    TABLE[type(net.all_ensembles[1].neuron_type)] = GenericNeuronBuilder
    native = network(nengo.LIF(amplitude=0.4), nengo.Tanh())
    x = rows(CURRENTS)
    found, due = (
        list(Sim(n, minibatch_size=2).predict({n.inp: x}).values()) for n in (net, native)
    )
    np.testing.assert_allclose(found, due, rtol=1e-12)


class Unready:
    """What a library registers if its own import failed."""

    def __init__(self, ops):
        raise BuildError("please install the other library")


@pytest.mark.parametrize("entry, own_words", [(Unready, "other library"), (dict, ""), (3, "")])
def test_entries_that_are_no_builders(Sim, entry, own_words):
    """E-05: what they say, and what to do."""
    kind = own(nengo.LIF)
    TABLE[kind] = entry
    Sim(network(nengo.LIF()))  # others may be built
    with pytest.raises(BuildError, match="expected a subclass of TFNeuronBuilder, got") as e:
        Sim(network(kind()))
    assert own_words in str(e.value) and "try that import by itself" in str(e.value)
    del TABLE[kind]
    assert len(Sim(network(kind())).plan.callbacks) == 1


def test_converter_takes_types_with_builders():
    """E-05: as activations."""
    kind = own(nengo.SpikingRectifiedLinear, SpikingRectifiedLinearBuilder)
    inp = tf.keras.Input((4,))
    model = tf.keras.Model(inp, tf.keras.layers.Dense(3, activation=tf.nn.relu)(inp))
    x = np.ones((2, 1, 4), np.float32)
    found = []
    for cls in (nengo.SpikingRectifiedLinear, kind):
        swap = {tf.nn.relu: cls()}
        converted = nengo_dl.Converter(model, swap_activations=swap, scale_firing_rates=400)
        converted.net.seed = 0  # of the first voltages
        with nengo_dl.Simulator(converted.net, minibatch_size=2, progress_bar=False) as sim:
            assert len(sim.plan.calls) == (cls is kind)
            ins = {converted.inputs[model.input]: np.tile(x, (1, 20, 1))}
            found.append(sim.predict(ins)[converted.outputs[model.output]])
    np.testing.assert_allclose(found[1], found[0], rtol=1e-6)
    assert np.any(found[0])
