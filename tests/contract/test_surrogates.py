"""Gradients of neurons: spiking types with surrogates against TensorFlow's own derivatives."""

import functools
import itertools

import numpy as np
import pytest
from contract_engine import _engine
from neuron_types import span
from surrogate_programs import LAYOUTS, Population, assert_close, parameters_of, seed_of
from surrogate_reference import STEPS, gradients

from nengo_dl import surrogates
from nengo_dl.ir.neuron_kinds import NEURONS

pytestmark = pytest.mark.usefixtures("backend")

SURROGATES = tuple(_engine.surrogates())
BATCH, TIME, INPUTS, N, BLOCKS = 2, 24, 3, 11, 2

# Currents without input, how strongly inputs change them, and initial values. What has no entry is
# drawn about its default, currents as those of LIF.
CURRENTS = {
    "LIF": ((-2, 14), 3),
    "Izhikevich": ((-40, 60), 20),
    "SpikingRectifiedLinear": ((-300, 2500), 300),
    "SpikingLeakyReLU": ((-2500, 2500), 300),
    "RegularSpiking": ((-900, 2500), 300),
    "StochasticSpiking": ((100, 900), 5),
    "PoissonSpiking": ((100, 900), 5),
}
INITIAL = {
    "voltage": (0, 1),
    "refractory_time": (-0.002, 0.004),
    "adaptation": (0, 1),
    "recovery": (-15, 5),
}


def make(name, kind, blocks=BLOCKS, dtype="float64", **kwargs):
    """A population of a spiking type; inputs and derivatives of a loss for it."""
    rng = seed_of(name, kind)
    blocks = 1 if NEURONS[name].draws else blocks
    n = N * blocks
    (low, high), spread = CURRENTS.get(name, CURRENTS["LIF"])
    spec = _engine.neuron_types()[name]
    attrs = {"type": name, "surrogate": kind, **parameters_of(name, rng, blocks)}
    attrs |= {flag: int(kind == "arctan" and not spec["draws"]) for flag in spec["flags"]}
    if _engine.surrogates()[kind]["width"]:
        attrs["width"] = rng.uniform(0.2, 1, size=blocks)
    if spec["draws"]:
        attrs["rng"] = 0
        kwargs["istate"] = np.zeros(628, np.int32)
        kwargs["istate"][:624] = rng.randint(2**31, size=624)
    spans = {**INITIAL, "voltage": (-65, -40)} if name == "Izhikevich" else INITIAL
    spans = {s: spans[s] if s in spans else span(name, s) for s in spec["states"]}
    states = {s: rng.uniform(*spans[s], size=(BATCH, n)).astype(dtype) for s in spans}
    subject = Population(
        attrs,
        (rng.normal(size=(n, INPUTS)) * spread).astype(dtype),
        rng.uniform(low, high, size=n).astype(dtype),
        states,
        blocks,
        **kwargs,
    )
    x = rng.normal(size=(BATCH, TIME, INPUTS)).astype(dtype)
    by_out = rng.normal(size=(BATCH, TIME, n)).astype(dtype)
    by_state = {s: rng.normal(size=(BATCH, n)).astype(dtype) for s in states}
    return subject, x, by_out, by_state


def per_neuron(attrs):
    """The op's parameters, one value for each neuron."""
    return {k: np.repeat(v, N) if isinstance(v, np.ndarray) else v for k, v in attrs.items()}


@functools.cache
def reference(name, kind):
    """TensorFlow's outputs, final states and derivatives of ``make(name, kind)``."""
    subject, x, by_out, by_state = make(name, kind)
    attrs = per_neuron(subject.attrs)
    args = (name, kind, attrs, x, subject.W, subject.bias)
    return gradients(*args, subject.states, by_out, by_state)


CASES = list(itertools.product(STEPS, SURROGATES))


def test_surrogates_are_those_of_the_package():
    assert set(SURROGATES) == {cls.kind for cls in surrogates.SURROGATES.values()}
    for cls in surrogates.SURROGATES.values():
        assert hasattr(cls(), "width") == _engine.surrogates()[cls.kind]["width"]


def test_every_spiking_type_is_here():
    spiking = {name for name, entry in NEURONS.items() if entry.spikes}
    assert spiking == set(STEPS)


@pytest.mark.parametrize("name, kind", CASES)
def test_surrogates_equal_tensorflow(name, kind, isa):
    """In every layout, contiguous and with gaps, in one window and in many."""
    out, states, due = reference(name, kind)
    assert all(np.abs(d).max() > 0 for d in due[:3])
    for layout, gap, window in itertools.product(LAYOUTS, (1, 2), (0, 7)):
        subject, *args = make(name, kind, layout=layout, gap=gap, window=window)
        got_out, got_states = subject.run(args[0])
        assert (got_out != 0).mean() > 0.03 and (got_out == 0).mean() > 0.03
        if not NEURONS[name].draws:
            np.testing.assert_allclose(got_out, out, rtol=1e-9)
            for s, value in states.items():
                np.testing.assert_allclose(got_states[s], value, rtol=1e-6, atol=1e-9)
        assert_close(subject.grad(*args), due, 1e-8, (name, kind, layout, gap, window))
        assert_close(subject.grad(*args, memory=0), due, 1e-8, "checkpoints only")


def test_single_precision_is_close(isa):
    compared = 0
    for name, kind in CASES:
        subject, *args = make(name, kind, dtype="float32", layout="loop")
        exact, *exact_args = make(name, kind, layout="loop")
        # a spike that rounding moves by a step changes derivatives for good: compare where none did
        same = np.isclose(subject.run(args[0])[0], exact.run(exact_args[0])[0], rtol=1e-4)
        assert same.mean() > 0.98
        if same.all():
            assert_close(subject.grad(*args), exact.grad(*exact_args), 1e-3, (name, kind))
            compared += 1
        assert all(np.isfinite(g).all() for g in subject.grad(*args))
    assert compared > len(CASES) / 2


@pytest.mark.parametrize("name", STEPS)
def test_without_surrogate_nothing_passes(name):
    subject, *args = make(name, "superspike")
    attrs = {k: v for k, v in subject.attrs.items() if k not in ("surrogate", "width")}
    fixed = (subject.W, subject.bias, subject.states, subject.blocks)
    bare = Population(attrs, *fixed, istate=subject.istate)
    got = bare.grad(*args[:2])
    assert all((g == 0).all() for g in got)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"surrogate": "sigmoid"}, "unknown surrogate 'sigmoid'; known are superspike"),
        ({"width": 0.0}, "width of the surrogate: expected more than 0"),
        ({"width": float("inf")}, "width of the surrogate: expected more than 0"),
        ({"type": "LIFRate"}, "'LIFRate' does not spike"),
    ],
)
def test_bad_surrogates_are_refused(change, message):
    attrs = {"type": "LIF", "tau_rc": 0.02, "tau_ref": 0.002, "amplitude": 1.0}
    attrs |= {"min_voltage": 0.0, "surrogate": "arctan", "width": 1.0, **change}
    states = {"voltage": np.zeros((1, 2)), "refractory_time": np.zeros((1, 2))}
    if attrs["type"] == "LIFRate":
        del attrs["min_voltage"]
        states = {}
    with pytest.raises(_engine.ProgramError, match=message):
        Population(attrs, np.ones((2, 1)), np.zeros(2), states)
