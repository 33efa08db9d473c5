"""CubaLIF against the solution of its equations, its spikes counted, and in training."""

import keras
import nengo
import numpy as np
import pytest
import scipy.linalg
from nengo.exceptions import ValidationError

import nengo_dl
from nengo_dl.neurons import CubaLIF, CubaLIFRate
from nengo_dl.surrogates import SURROGATES

DT = 0.001
OTHER = {"r": 3.0, "v_leak": -0.2, "v_threshold": 0.7, "v_reset": 0.1, "w_in": 0.6}


def solved(kind, J, current, voltage, time):
    """Current and voltage after some time with the same input, without a spike."""
    rows = np.zeros((3, 3))  # of (current, voltage, 1)
    rows[0] = -1 / kind.tau_syn, 0, kind.w_in * J / kind.tau_syn
    rows[1] = kind.r / kind.tau_mem, -1 / kind.tau_mem, kind.v_leak / kind.tau_mem
    return (scipy.linalg.expm(rows * time) @ [current, voltage, 1])[:2]


@pytest.mark.parametrize("tau_mem", [0.02, 0.005, 0.005 + 1e-9, 0.0007])
def test_steps_are_exact(tau_mem):
    kind = CubaLIF(0.005, tau_mem, **{**OTHER, "v_threshold": 100})
    current, voltage, output = np.array([0.3]), np.array([-0.4]), np.ones(1)
    for n in range(1, 30):
        kind.step(DT, np.array([1.7]), output, current, voltage)
        due = solved(kind, 1.7, 0.3, -0.4, n * DT)
        np.testing.assert_allclose([current[0], voltage[0]], due, rtol=1e-12)
        assert output[0] == 0


def test_without_synapse_it_is_the_lif_of_nir():
    """The limit of a short time constant, and Nengo's LIF as long as nothing spikes."""
    J, states = np.linspace(-2, 0.9, 9), {}
    for tau_syn in (0, 1e-9):
        kind = CubaLIF(tau_syn, 0.02)
        states[tau_syn] = np.zeros(9), np.full(9, 0.5)
        for _ in range(20):
            kind.step(DT, J, np.zeros(9), *states[tau_syn])
        np.testing.assert_array_equal(states[tau_syn][0], J)
    voltage = np.full(9, 0.5)
    for _ in range(20):
        nengo.LIF(tau_rc=0.02, min_voltage=-9).step(DT, J, np.zeros(9), voltage, np.zeros(9))
    np.testing.assert_allclose(states[0][1], voltage, rtol=1e-13)
    np.testing.assert_allclose(states[1e-9][1], voltage, rtol=1e-6)


def fired(kind, J, steps=4000):
    """When neurons with constant input spike, (steps, n), from rest at the reset."""
    current, voltage, output = kind.w_in * J, np.full(len(J), float(kind.v_reset)), np.zeros(len(J))
    found = []
    for _ in range(steps):
        kind.step(DT, J, output, current, voltage)
        assert set(output) <= {0, kind.amplitude / DT}
        found.append(output > 0)
    return np.array(found)


@pytest.mark.parametrize("more", [{}, OTHER])
def test_reset_to_a_value(more):
    """A neuron fires every so many steps as it takes from reset to above the threshold."""
    kind = CubaLIF(amplitude=0.5, **more)
    _, J = kind.gain_bias(np.linspace(5, 450, 20), np.zeros(20))
    J = J + kind.gain_bias(np.linspace(5, 450, 20), np.zeros(20))[0]
    spikes = fired(kind, J)
    rates = CubaLIFRate(**more).rates(np.zeros((1, 20)), np.ones(20), J)[0]
    np.testing.assert_allclose(rates, np.linspace(5, 450, 20), rtol=1e-12)
    for column, rate in zip(spikes.T, rates, strict=True):
        interval = int(np.ceil(1 / (rate * DT) - 1e-9))
        assert (np.diff(np.flatnonzero(column)) == interval).all() and column.sum() >= 19


def test_subtractive_reset_keeps_the_rate():
    kind = CubaLIF(subtractive_reset=True, **OTHER)
    gain, bias = kind.gain_bias(np.linspace(20, 300, 20), np.zeros(20))
    rates = fired(kind, gain + bias).mean(axis=0) / DT
    np.testing.assert_allclose(rates, np.linspace(20, 300, 20), rtol=0.06, atol=1)
    lost = fired(CubaLIF(**OTHER), gain + bias).mean(axis=0) / DT
    assert (lost <= rates).all() and lost[-1] < 0.9 * rates[-1]


def test_a_spike_moves_the_current():
    kind = CubaLIF(w_in=3, tau_syn=0.01)
    current = np.zeros(1)
    kind.step(1e-6, np.array([2 / 1e-6]), np.zeros(1), current, np.zeros(1))
    np.testing.assert_allclose(current, 2 * 3 / 0.01, rtol=1e-4)


def test_initial_voltages_lie_between_reset_and_threshold():
    state = CubaLIF(**OTHER).make_state(1000, np.random.RandomState(0))
    assert (state["current"] == 0).all()
    low, high = state["voltage"].min(), state["voltage"].max()
    assert OTHER["v_reset"] < low < 0.11 and 0.69 < high < OTHER["v_threshold"]
    given = CubaLIF(initial_state={"voltage": nengo.dists.Choice([5])}, **OTHER).make_state(3)
    assert given["voltage"].tolist() == [5, 5, 5]


@pytest.mark.parametrize(
    "change, message",
    [
        ({"v_reset": 1}, "v_reset: must be below v_threshold, which is 1, got 1"),
        ({"v_threshold": -1}, "must be below v_threshold"),
        ({"tau_mem": 0}, "tau_mem"),
        ({"tau_syn": -0.1}, "tau_syn"),
        ({"r": 0}, "r"),
        ({"subtractive_reset": "zero"}, "subtractive_reset"),
    ],
)
def test_bad_arguments_are_refused(change, message):
    with pytest.raises(ValidationError, match=message):
        CubaLIF(**change)


def test_gains_need_a_weight():
    with pytest.raises(ValidationError, match="weight other than 0"):
        CubaLIF(w_in=0).gain_bias([100], [0])


def network(kind, surrogate=None):
    """Two ensembles and a layer of neurons between them, with a loop."""
    with nengo.Network(seed=3) as net:
        nengo_dl.configure_settings(dtype="float64", surrogate=surrogate)
        u = nengo.Node(lambda t: [np.sin(30 * t), np.cos(20 * t)], label="u")
        a, b = (nengo.Ensemble(30, 2, neuron_type=kind) for _ in range(2))
        layer = nengo.Ensemble(20, 1, neuron_type=kind, gain=np.ones(20), bias=np.full(20, 0.5))
        weights = np.random.RandomState(0).normal(size=(20, 30)) * 0.02
        nengo.Connection(u, a, synapse=None)
        nengo.Connection(a, b, synapse=None, function=np.square)
        nengo.Connection(b, b, synapse=0.1)
        nengo.Connection(a.neurons, layer.neurons, transform=weights, synapse=None)
        net.p = [nengo.Probe(b, synapse=0.01)]
        for e in (a, b, layer):
            net.p += [nengo.Probe(e.neurons, name) for name in e.neurons.probeable]
    return net


@pytest.mark.parametrize("subtractive", [False, True])
@pytest.mark.parametrize("minibatch_size", [None, 3])
def test_equals_nengo(subtractive, minibatch_size):
    """Single values and spikes to the last bits, for every item."""
    net = network(CubaLIF(0.004, 0.015, subtractive_reset=subtractive, amplitude=0.3, **OTHER))
    with nengo.Simulator(net, progress_bar=False, seed=5) as due:
        due.run_steps(200)
    with nengo_dl.Simulator(net, minibatch_size=minibatch_size, progress_bar=False, seed=5) as got:
        got.run_steps(200)
    for probe in net.p:
        theirs, ours = due.data[probe], got.data[probe]
        assert np.ptp(theirs) > 0
        for item in ours if minibatch_size else [ours]:
            np.testing.assert_allclose(item, theirs, rtol=0, atol=1e-15 * np.abs(theirs).max())


@pytest.mark.parametrize("surrogate", [None, *SURROGATES])
def test_training(surrogate):
    """The loss falls though only weights in front of two layers are trained, by rates or spikes."""
    with nengo.Network(seed=0) as net:
        nengo_dl.configure_settings(surrogate=surrogate, trainable=False)
        u = nengo.Node(np.ones(3), label="u")
        kind = CubaLIF(subtractive_reset=True, amplitude=0.01)
        ones = {"gain": np.ones(25), "bias": np.ones(25)}
        a, b = (nengo.Ensemble(25, 1, neuron_type=kind, **ones).neurons for _ in range(2))
        out = nengo.Node(size_in=1)
        connections = [
            nengo.Connection(*ends, transform=nengo_dl.dists.Glorot(), synapse=None)
            for ends in ((u, a), (a, b), (b, out))
        ]
        net.config[connections[0]].trainable = True
        p = nengo.Probe(out, synapse=0.02, label="p")
    rng = np.random.RandomState(0)
    x = np.repeat(rng.uniform(-1, 1, size=(64, 1, 3)), 40, axis=1)
    y = np.repeat(x[:, :1, :1] + 0.5, 40, axis=1)
    y[:, :20] = np.nan  # while the filters fill
    with nengo_dl.Simulator(net, minibatch_size=16, progress_bar=False, seed=0) as sim:
        sim.compile(keras.optimizers.Adam(0.02), loss=nengo_dl.losses.nan_mse)
        before = sim.evaluate({u: x}, {p: y}, verbose=0)["loss"]
        sim.fit({u: x}, {p: y}, epochs=15, verbose=0)
        after = sim.evaluate({u: x}, {p: y}, verbose=0)["loss"]
        assert len(sim.keras_model.trainable_weights) == 1
    assert after < 0.6 * before


@pytest.mark.parametrize("tau_syn", [0.005, 1e-7, 1e-6])
def test_membranes_much_faster_than_a_step(Sim, tau_syn):
    """Whose voltage follows the current at once."""
    with nengo.Network(seed=0) as net:
        nengo_dl.configure_settings(dtype="float64")
        neurons = CubaLIF(tau_syn=tau_syn, tau_mem=1e-6)
        ens = nengo.Ensemble(
            20, 1, neuron_type=neurons, gain=np.ones(20), bias=np.linspace(0, 3, 20)
        )
        p, voltage = nengo.Probe(ens.neurons), nengo.Probe(ens.neurons, "voltage")
    with nengo.Simulator(net, progress_bar=False) as ref:
        ref.run_steps(30)
    sim = Sim(net)
    sim.run_steps(30)
    assert np.all(np.isfinite(sim.data[voltage])) and np.any(sim.data[p])
    np.testing.assert_allclose(sim.data[voltage], ref.data[voltage], rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(sim.data[p], ref.data[p])
