"""Every registered neuron type against Nengo's own step, over hundreds of steps."""

import nengo
import numpy as np
import pytest
from kernel_programs import LAYOUTS, OneOp, pack_generator
from neuron_types import span

from nengo_dl import _engine
from nengo_dl.neurons import neuron_class

TYPES = _engine.neuron_types()
DT, STEPS, N = 0.001, 250, 37  # an odd number: the last vector is a part of one

# parameters of the blocks; what a type doesn't have is left out, what is not here is drawn about
# its default
VALUES = {
    "negative_slope": (0.3, 0.1, 0.0),
    "sigma": (1.0, 0.02, 0.3),
    "tau_rc": (0.02, 0.05, 0.007),
    "tau_ref": (0.002, 0.0013, 0.004),
    "min_voltage": (0.0, -0.7, 0.0),
    "amplitude": (1.0, 0.25, 3.0),
    "tau_n": (1.0, 0.1, 0.03),
    "inc_n": (0.01, 0.05, 0.001),
    "tau_recovery": (0.02, 0.1, 0.03),
    "coupling": (0.2, 0.25, 0.1),
    "reset_voltage": (-65.0, -50.0, -60.0),
    "reset_recovery": (8.0, 2.0, 6.0),
}


def parameters(name):
    """A value for each block, by parameter."""
    names = TYPES[name]["parameters"]
    return {p: VALUES[p] if p in VALUES else np.linspace(*span(name, p), 3) for p in names}


def of_rates(name):
    """Whether a type makes spikes of rates, which are its current."""
    return issubclass(neuron_class(name), nengo.neurons.RatesToSpikesNeuronType)


def make_type(name, k, negative=False):
    cls, values = neuron_class(name), {p: v[k] for p, v in parameters(name).items()}
    if of_rates(name):
        base = nengo.Tanh() if negative else nengo.RectifiedLinear()
        return cls(base, **values)
    return cls(**values)


def currents(name, rng, size):
    """Strong, weak, negative and changing currents."""
    if of_rates(name):
        return rng.uniform(-100, 900, size=(STEPS, size))
    low, high = (-5, 25) if name == "Izhikevich" else (-2, 12)
    steady = rng.uniform(low, high, size=size)
    return steady + rng.normal(size=(STEPS, size))


def initial(name, rng, size):
    spans = {
        "voltage": (0, 1),
        "refractory_time": (0, 0.004),
        "adaptation": (0, 1),
        "recovery": (-15, 5),
    }
    if name == "Izhikevich":
        spans["voltage"] = (-70, -40)
    states = TYPES[name]["states"]
    return {s: rng.uniform(*(spans[s] if s in spans else span(name, s)), size=size) for s in states}


def nengo_steps(kind, J, states, rng=None):
    """Outputs of Nengo's step for one block; the states are changed."""
    out = np.zeros_like(J)
    extra = {} if rng is None else {"rng": rng}
    for j, o in zip(J, out, strict=True):
        kind.step(DT, j.copy(), o, **states, **extra)
    return out


def make_case(name, blocks, dtype, **kwargs):
    rng = np.random.RandomState(len(name))
    J = currents(name, rng, N * blocks).astype(dtype)
    states = {s: v.astype(dtype) for s, v in initial(name, rng, N * blocks).items()}
    attrs = {"type": name, **dict.fromkeys(TYPES[name]["flags"], 0)}
    attrs |= {p: np.array(v[:blocks]) for p, v in parameters(name).items()}
    if TYPES[name]["draws"]:
        attrs["rng"] = 0
    writes = {"out": (N,)}
    return OneOp("neurons", attrs, {"J": J}, writes, states, blocks=blocks, dtype=dtype, **kwargs)


def expected(case, name):
    """What Nengo makes of a case without random numbers, in the case's dtype."""
    states = {s: v.copy() for s, v in case.states.items()}
    out = np.zeros_like(case.reads["J"])
    for k in range(case.blocks):
        part = slice(k * N, (k + 1) * N)
        mine = {s: v[part] for s, v in states.items()}
        out[:, part] = nengo_steps(make_type(name, k), case.reads["J"][:, part], mine)
    return out, states


DETERMINISTIC = [name for name in TYPES if not TYPES[name]["draws"]]


@pytest.mark.parametrize("carried", [False, True])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("blocks", [1, 3])
@pytest.mark.parametrize("name", DETERMINISTIC)
def test_equals_nengo(name, blocks, layout, carried, isa):
    case = make_case(name, blocks, "float64", layout=layout, carried=carried, window=17)
    due, due_states = expected(case, name)
    outputs, states, _ = case.run(STEPS)
    np.testing.assert_allclose(outputs["out"], due, rtol=1e-12, atol=1e-12)
    for s, value in due_states.items():
        np.testing.assert_allclose(states[s], value, rtol=1e-12, atol=1e-13, err_msg=s)


@pytest.mark.parametrize("name", DETERMINISTIC)
def test_float32(name, isa):
    """Rates agree closely; a spike may come a step later where rounding decides, not be lost."""
    case = make_case(name, 3, "float32")
    due, _ = expected(case, name)
    got = case.run(STEPS)[0]["out"]
    assert got.dtype == np.float32
    if neuron_class(name).spiking:
        unit = np.abs(due[due != 0]).min()
        assert np.abs(np.sum(got - due, axis=0)).max() <= 2 * np.abs(due).max() + 1e-3 * unit
        assert np.mean(np.abs(got - due) > 1e-3 * unit) < 0.01
    else:
        np.testing.assert_allclose(got, due, rtol=2e-5, atol=1e-5)


@pytest.mark.parametrize("name", [name for name in TYPES if TYPES[name]["draws"]])
@pytest.mark.parametrize("negative", [False, True])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_random_types_draw_as_nengo(name, negative, layout, isa):
    case = make_case(name, 1, "float64", layout=layout)
    J = case.reads["J"] if negative else np.maximum(case.reads["J"], 0)
    J[:, ::5] *= 30  # means above and below 10, where the Poisson algorithm changes
    J[:, 3] = 0  # nothing is drawn for it by the Poisson type
    case.reads["J"], case.attrs["negative"] = J, int(negative)
    case.istate = pack_generator(np.random.RandomState(9))
    rng = np.random.RandomState(9)
    due = nengo_steps(make_type(name, 0, negative), J, {}, rng)
    outputs, _, istate = case.run(STEPS)
    np.testing.assert_array_equal(outputs["out"], due)
    np.testing.assert_array_equal(istate[:625], pack_generator(rng)[:625])


@pytest.mark.parametrize("n, words", [(1, 1), (40, 623), (300, 7)])
def test_poisson_numbers_from_any_word_on(n, words, isa):
    """A sample takes two words, which may be the last of one key and the first of the next."""
    rng = np.random.RandomState(n)
    J = np.round(rng.uniform(0, 12000, size=(STEPS, n)))
    rng.bytes(4 * words)
    attrs = {"type": "PoissonSpiking", "amplitude": 1.0, "negative": 0, "rng": 0}
    case = OneOp("neurons", attrs, {"J": J}, {"out": (n,)}, istate=pack_generator(rng))
    outputs, _, istate = case.run(STEPS)
    due = np.array([rng.poisson(row * DT) for row in J])
    np.testing.assert_allclose(outputs["out"] * DT, due, rtol=1e-12)
    np.testing.assert_array_equal(istate[:625], pack_generator(rng)[:625])


@pytest.mark.parametrize("name", [name for name in TYPES if TYPES[name]["draws"]])
@pytest.mark.parametrize("word", [0, -1, 2**31 - 1, -(2**31)])
def test_hostile_generator(name, word, isa):
    """No content of the integer state reads foreign memory or makes an endless loop."""
    case = make_case(name, 1, "float64")
    case.reads["J"] = np.full((3, N), 20000.0)
    case.istate = np.full(628, word, np.int32)
    spikes = case.run(3)[0]["out"]
    assert spikes.shape == (3, N) and not (spikes < 0).any()


@pytest.mark.parametrize("name", DETERMINISTIC)
def test_nan_and_infinity_are_survived(name, isa):
    case = make_case(name, 1, "float32")
    case.reads["J"][:, :3] = np.nan, np.inf, -np.inf
    due, _ = expected(make_case(name, 1, "float32"), name)
    got = case.run(STEPS)[0]["out"]
    if not neuron_class(name).spiking:
        np.testing.assert_allclose(got[:, 3:], due[:, 3:], rtol=2e-5, atol=1e-5)
    clean = make_case(name, 1, "float32").run(STEPS)[0]["out"]
    np.testing.assert_array_equal(got[:, 3:], clean[:, 3:])


@pytest.mark.parametrize("n", [1, 7, 16, 50, 255, 256, 257, 600])
def test_any_number_of_neurons(n, isa):
    """Vectors, parts of vectors and whole groups give what single neurons give."""
    rng = np.random.RandomState(n)
    J = rng.uniform(0, 9, size=(60, n))
    attrs = {
        "type": "LIF",
        "tau_rc": 0.02,
        "tau_ref": 0.0023,
        "min_voltage": -1.0,
        "amplitude": 1.0,
    }
    states = {"voltage": rng.uniform(size=n), "refractory_time": np.zeros(n)}
    whole = OneOp("neurons", attrs, {"J": J}, {"out": (n,)}, states).run(60)
    due = {s: v.copy() for s, v in states.items()}
    out = nengo_steps(nengo.LIF(tau_ref=0.0023, min_voltage=-1.0), J, due)
    np.testing.assert_allclose(whole[0]["out"], out, rtol=1e-12)
    np.testing.assert_allclose(whole[1]["voltage"], due["voltage"], rtol=1e-12, atol=1e-13)


def test_unknown_type_lists_the_known_ones():
    case = make_case("LIF", 1, "float64")
    case.attrs["type"] = "Lif"
    with pytest.raises(_engine.ProgramError, match="unknown neuron type 'Lif'.*AdaptiveLIF"):
        case.run(1)
