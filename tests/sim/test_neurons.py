"""The neuron types that come on top of Nengo's: as classes, in Nengo and in this simulator."""

import inspect
import pickle

import nengo
import numpy as np
import pytest
from nengo.exceptions import ValidationError
from neuron_types import other_than_default

import nengo_dl
from nengo_dl import neurons
from nengo_dl.neurons import LeakyReLU, SoftLIFRate, SpikingLeakyReLU

TYPES = [getattr(neurons, name)() for name in neurons.__all__]
TYPES += [other_than_default(name) for name in neurons.__all__]
TYPES += [
    LeakyReLU(negative_slope=0.1, amplitude=0.5),
    SpikingLeakyReLU(negative_slope=0.7, amplitude=2),
    SoftLIFRate(sigma=0.02, tau_rc=0.03, tau_ref=0.001, amplitude=0.3),
]


def test_they_are_exported():
    assert nengo_dl.LeakyReLU is LeakyReLU
    assert nengo_dl.SpikingLeakyReLU is SpikingLeakyReLU
    assert nengo_dl.SoftLIFRate is SoftLIFRate
    assert {"LeakyReLU", "SoftLIFRate", "surrogates"} <= set(dir(nengo_dl))


@pytest.mark.parametrize(
    "made, text",
    [
        (LeakyReLU(), "LeakyReLU()"),
        (LeakyReLU(0.2, 3), "LeakyReLU(negative_slope=0.2, amplitude=3)"),
        (SpikingLeakyReLU(amplitude=2), "SpikingLeakyReLU(amplitude=2)"),
        (SoftLIFRate(), "SoftLIFRate()"),
        (SoftLIFRate(sigma=0.5, tau_rc=0.1), "SoftLIFRate(sigma=0.5, tau_rc=0.1)"),
    ],
)
def test_repr(made, text):
    assert repr(made) == text
    assert repr(pickle.loads(pickle.dumps(made))) == text


def test_kinds():
    assert isinstance(LeakyReLU(), nengo.RectifiedLinear) and not LeakyReLU().spiking
    assert isinstance(SpikingLeakyReLU(), nengo.SpikingRectifiedLinear)
    assert SpikingLeakyReLU().probeable == ("output", "voltage")
    assert isinstance(SoftLIFRate(), nengo.LIFRate) and not SoftLIFRate().negative
    assert LeakyReLU(0.2) == LeakyReLU(0.2) != LeakyReLU(0.3)


@pytest.mark.parametrize(
    "make",
    [
        lambda: SoftLIFRate(sigma=0),
        lambda: SoftLIFRate(sigma=-1),
        lambda: SoftLIFRate(tau_rc=0),
        lambda: LeakyReLU(amplitude=0),
        lambda: LeakyReLU(negative_slope="steep"),
        lambda: SpikingLeakyReLU(negative_slope=None),
    ],
)
def test_bad_arguments_are_refused(make):
    with pytest.raises(ValidationError):
        make()


@pytest.mark.parametrize("kind", TYPES, ids=repr)
def test_gains_and_biases_give_the_rates_that_were_asked_for(kind):
    due = np.array([50.0, 200, 400]), np.array([-0.5, 0.3, 0.9])
    gain, bias = kind.gain_bias(*due)
    np.testing.assert_allclose(kind.max_rates_intercepts(gain, bias), due, rtol=1e-12)
    if not isinstance(kind, SoftLIFRate):  # its gains are those of LIFRate
        rates = kind.rates(np.ones((1, 3)), gain, bias)
        np.testing.assert_allclose(rates, kind.amplitude * due[0][None], rtol=1e-12)
        silent = kind.rates(due[1][None] - 1e-9, gain, bias)
        firing = kind.rates(due[1][None] + 1e-9, gain, bias)
        assert (silent <= 0).all() and (firing > 0).all()


def test_negative_spikes():
    """M-02."""
    kind, voltage = SpikingLeakyReLU(), np.array([0.2, 0.9, -0.9, 0.5])
    output = np.zeros(4)
    kind.step(0.001, np.array([1500.0, 200, -1000, -5000]), output, voltage)
    np.testing.assert_allclose(output, [1000, 1000, -1000, -1000])
    np.testing.assert_allclose(voltage, [0.7, 0.1, -0.2, 0], atol=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("sigma", [1e-3, 0.02, 1.0, 30.0])
def test_soft_lif_for_any_current(sigma, dtype):
    """M-01: no warning, nothing infinite; far above threshold the rate of LIF."""
    J = np.array([-np.inf, -1e30, -100, -1, 0, 1, 2, 1e4, 1e30, np.inf], dtype)
    rates = np.zeros_like(J)
    with np.errstate(all="raise", under="ignore"):
        SoftLIFRate(sigma=sigma).step(0.001, J, rates)
    assert rates.dtype == dtype and (np.diff(rates) >= 0).all() and rates[0] == 0
    hard = np.zeros(3)
    nengo.LIFRate().step(0.001, np.array([1e4, 1e30, np.inf]), hard)
    np.testing.assert_allclose(rates[-3:], hard, rtol=1e-5)
    x = np.linspace(-1, 1, 5)[:, None]
    assert (SoftLIFRate(sigma=sigma).rates(x, np.ones(1), np.ones(1)) > 0).all() or sigma < 0.01


@pytest.mark.parametrize("kind", TYPES, ids=repr)
def test_as_in_nengo(kind):
    with nengo.Network(seed=1) as net:
        nengo_dl.configure_settings(dtype="float64")
        stimulus = nengo.Node(lambda t: np.sin(40 * t))
        ensemble = nengo.Ensemble(40, 1, neuron_type=kind)
        nengo.Connection(stimulus, ensemble)
        nengo.Connection(ensemble, ensemble, synapse=0.1)
        probes = [nengo.Probe(ensemble), nengo.Probe(ensemble.neurons)]
        probes += [nengo.Probe(ensemble.neurons, state) for state in kind.state]
    with nengo.Simulator(net, progress_bar=False) as due:
        due.run_steps(200)
    with nengo_dl.Simulator(net, progress_bar=False) as got:
        got.run_steps(200)
        ops = [op for r in got.plan.only_program().regions for op in r.ops if op.kind == "neurons"]
        assert [op.attrs["type"] for op in ops] == [type(kind).__name__]
    for probe in probes:
        np.testing.assert_allclose(got.data[probe], due.data[probe], rtol=1e-7, atol=1e-9)
    assert np.ptp(due.data[probes[1]]) > 1


@pytest.mark.parametrize("name", neurons.__all__)
def test_parameters_and_states_are_documented(name):
    """docs/PROGRAM.md leaves it to the class to say what they are."""
    cls = getattr(neurons, name)
    for key in (*inspect.signature(cls).parameters, *cls.state):
        assert key in cls.__doc__


def test_types_with_different_slopes_are_one_op():
    with nengo.Network(seed=2) as net:
        stimulus = nengo.Node([0.5])
        for slope in (0.1, 0.2, 0.3):
            ensemble = nengo.Ensemble(5, 1, neuron_type=LeakyReLU(slope, amplitude=1 + slope))
            nengo.Connection(stimulus, ensemble)
            nengo.Probe(ensemble.neurons)
    with nengo_dl.Simulator(net, progress_bar=False) as sim:
        ops = [op for r in sim.plan.only_program().regions for op in r.ops if op.kind == "neurons"]
        assert len(ops) == 1 and ops[0].blocks == 3
        assert list(ops[0].attrs["negative_slope"]) == pytest.approx([0.1, 0.2, 0.3])
