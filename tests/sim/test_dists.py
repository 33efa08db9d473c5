"""Distributions of weights against their formulas (SPEC M-03)."""

import subprocess
import sys

import nengo
import numpy as np
import pytest
from nengo.exceptions import ValidationError
from scipy import stats

import nengo_dl
from nengo_dl.dists import Glorot, He, TruncatedNormal, VarianceScaling

N, D = 300, 100
TRUNCATED = stats.truncnorm(-2, 2).std()


def close(values, distribution):
    """Whether samples come from a distribution of scipy's."""
    return stats.kstest(values.ravel(), distribution.cdf).pvalue > 1e-3


@pytest.mark.parametrize("mean, stddev, limit", [(0, 1, None), (3, 2, None), (-1, 1.5, 0.5)])
def test_truncated_normal(mean, stddev, limit):
    samples = TruncatedNormal(mean, stddev, limit).sample(N, D, rng=np.random.RandomState(0))
    limit = 2 * stddev if limit is None else limit
    assert samples.shape == (N, D)
    assert np.abs(samples - mean).max() <= limit
    edge = limit / stddev
    assert close(samples, stats.truncnorm(-edge, edge, loc=mean, scale=stddev))


def test_values_within_the_limit_are_the_generators_own():
    plain = np.random.RandomState(1).normal(0, 2, size=(N, D))
    samples = TruncatedNormal(1, 2, 3).sample(N, D, rng=np.random.RandomState(1))
    inside = np.abs(plain) <= 3
    np.testing.assert_array_equal(samples[inside], 1 + plain[inside])
    assert not np.any(np.isin(samples[~inside], 1 + plain[~inside]))


def test_no_spread():
    np.testing.assert_array_equal(
        TruncatedNormal(mean=2, stddev=0).sample(3, 2), np.full((3, 2), 2)
    )


@pytest.mark.parametrize(
    "dist, variance",
    [
        (VarianceScaling(), 2 / (N + D)),
        (VarianceScaling(3, "fan_in"), 3 / D),
        (VarianceScaling(3, "fan_out"), 3 / N),
        (VarianceScaling(3, "fan_out", "normal"), 3 / N),
        (Glorot(), 2 / (N + D)),
        (Glorot(2, "normal"), 4 / (N + D)),
        (He(), 1 / D),
        (He(np.sqrt(2)), 2 / D),
        (He(2, "uniform"), 4 / D),
    ],
    ids=repr,
)
def test_variance(dist, variance):
    """M-03."""
    samples = dist.sample(N, D, rng=np.random.RandomState(2))
    assert samples.shape == (N, D)
    if dist.distribution == "uniform":
        limit = np.sqrt(3 * variance)
        assert close(samples, stats.uniform(-limit, 2 * limit))
    else:
        assert close(samples, stats.truncnorm(-2, 2, scale=np.sqrt(variance)))
        np.testing.assert_allclose(samples.std(), TRUNCATED * np.sqrt(variance), rtol=0.02)


@pytest.mark.parametrize("mode, fan", [("fan_in", 1), ("fan_out", 500), ("fan_avg", 250.5)])
def test_one_input_where_there_is_no_size(mode, fan):
    samples = VarianceScaling(mode=mode).sample(500, rng=np.random.RandomState(3))
    assert samples.shape == (500,)
    np.testing.assert_allclose(samples.var(), 1 / fan, rtol=0.1)
    limit = np.sqrt(3 / fan)
    assert np.abs(samples).max() <= limit


@pytest.mark.parametrize("dist", [TruncatedNormal(), He(), Glorot(distribution="normal")], ids=repr)
def test_global_generator_by_default(dist):
    state = np.random.get_state()
    try:
        np.random.seed(4)
        samples = dist.sample(5, 4)
    finally:
        np.random.set_state(state)
    np.testing.assert_array_equal(samples, dist.sample(5, 4, rng=np.random.RandomState(4)))


@pytest.mark.parametrize(
    "dist, text",
    [
        (TruncatedNormal(1, 2, 3), "TruncatedNormal(mean=1, stddev=2, limit=3)"),
        (VarianceScaling(), "VarianceScaling()"),
        (VarianceScaling(2, "fan_in", "normal"),
         "VarianceScaling(scale=2, mode='fan_in', distribution='normal')"),
        (Glorot(2), "Glorot(scale=2)"),
        (He(2, "uniform"), "He(scale=2, distribution='uniform')"),
    ],
)  # fmt: skip
def test_repr(dist, text):
    assert repr(dist) == text
    assert eval(text) == dist


@pytest.mark.parametrize(
    "make, name",
    [
        (lambda: TruncatedNormal(mean="a"), "TruncatedNormal.mean"),
        (lambda: TruncatedNormal(stddev=-1), "TruncatedNormal.stddev"),
        (lambda: TruncatedNormal(limit=-1), "TruncatedNormal.limit"),
        (lambda: TruncatedNormal(limit=0), "TruncatedNormal.limit"),
        (lambda: VarianceScaling(scale=-1), "VarianceScaling.scale"),
        (lambda: VarianceScaling(mode="fan"), "VarianceScaling.mode"),
        (lambda: Glorot(distribution="gamma"), "Glorot.distribution"),
        (lambda: He(scale=None), "He.scale"),
    ],
)
def test_bad_arguments(make, name):
    with pytest.raises(ValidationError, match=name.replace(".", r"\.")):
        make()


def test_as_weights_of_a_network():
    with nengo.Network(seed=0) as net:
        a, b = nengo.Node(np.zeros(40)), nengo.Node(size_in=30)
        connection = nengo.Connection(a, b, transform=Glorot())
    with nengo_dl.Simulator(net, progress_bar=False) as sim:
        weights = sim.data[connection].weights
    assert weights.shape == (30, 40)
    assert np.abs(weights).max() <= np.sqrt(6 / 70)
    np.testing.assert_allclose(weights.var(), 2 / 70, rtol=0.15)


def test_tensorflow_is_not_needed():
    """P-03."""
    script = "import sys, nengo_dl; nengo_dl.dists.He(); print('tensorflow' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.strip() == "False", done.stderr
