"""Distributions for initial weights, as deep networks use them."""

from typing import Any

import numpy as np
from nengo.dists import Distribution
from nengo.exceptions import ValidationError
from nengo.params import EnumParam, NumberParam

__all__ = ("Glorot", "He", "TruncatedNormal", "VarianceScaling")


class TruncatedNormal(Distribution):
    """Normal distribution without its tails.

    Values further than ``limit`` from the mean are drawn again.

    Parameters
    ----------
    mean : float
        Mean of the normal distribution.
    stddev : float
        Its standard deviation; that of the samples is smaller.
    limit : float, optional
        Largest distance from the mean; two standard deviations by default.
    """

    mean = NumberParam("mean")
    stddev = NumberParam("stddev", low=0)
    limit = NumberParam("limit", low=0)

    def __init__(self, mean: float = 0, stddev: float = 1, limit: float | None = None) -> None:
        super().__init__()
        self.mean = mean
        self.stddev = stddev
        self.limit = 2 * stddev if limit is None else limit
        if self.limit == 0 and self.stddev > 0:
            raise ValidationError("must be greater than 0 (got 0)", attr="limit", obj=self)

    def sample(self, n: int, d: int | None = None, rng: Any = np.random) -> np.ndarray:
        """Draw samples.

        Parameters
        ----------
        n : int
            Number of samples.
        d : int, optional
            Elements of each sample.
        rng : numpy.random.RandomState
            Where random numbers come from.

        Returns
        -------
        (n,) or (n, d) array
            The samples.
        """
        samples = rng.normal(0, self.stddev, size=n if d is None else (n, d))
        outside = np.abs(samples) > self.limit
        while np.any(outside):
            samples[outside] = rng.normal(0, self.stddev, size=np.count_nonzero(outside))
            outside = np.abs(samples) > self.limit
        return self.mean + samples


class VarianceScaling(Distribution):
    """Zero-mean weights whose variance is ``scale`` over the number of inputs or outputs.

    For weights ``(n, d)`` the number of outputs (``fan_out``) is ``n``, that of inputs
    (``fan_in``) is ``d``, or 1 if no ``d`` is given.

    Parameters
    ----------
    scale : float
        Factor of the variance.
    mode : {"fan_avg", "fan_in", "fan_out"}
        What the variance is divided by: inputs, outputs, or the mean of both.
    distribution : {"uniform", "normal"}
        Uniform, or normal without what is more than two standard deviations from zero. The latter
        makes the variance of the samples smaller by a factor of 0.774.
    """

    scale = NumberParam("scale", low=0)
    mode = EnumParam("mode", values=("fan_in", "fan_out", "fan_avg"))
    distribution = EnumParam("distribution", values=("uniform", "normal"))

    def __init__(
        self, scale: float = 1, mode: str = "fan_avg", distribution: str = "uniform"
    ) -> None:
        super().__init__()
        self.scale = scale
        self.mode = mode
        self.distribution = distribution

    def sample(self, n: int, d: int | None = None, rng: Any = np.random) -> np.ndarray:
        """Draw weights; arguments and result as in `TruncatedNormal.sample`."""
        fan_out, fan_in = n, 1 if d is None else d
        fan = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[self.mode]
        variance = self._variance_scale() / max(1, fan)
        if self.distribution == "normal":
            return TruncatedNormal(stddev=np.sqrt(variance)).sample(n, d, rng=rng)
        limit = np.sqrt(3 * variance)
        return rng.uniform(-limit, limit, size=n if d is None else (n, d))

    def _variance_scale(self) -> float:
        return self.scale


class Glorot(VarianceScaling):
    """Weights whose variance is ``scale`` over the mean number of inputs and outputs.

    After Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural
    networks", 2010.

    Parameters
    ----------
    scale : float
        Factor of the variance. For rectified linear neurons sqrt(2) is common.
    distribution : {"uniform", "normal"}
        As in `VarianceScaling`.
    """

    def __init__(self, scale: float = 1, distribution: str = "uniform") -> None:
        super().__init__(scale=scale, mode="fan_avg", distribution=distribution)


class He(VarianceScaling):
    """Weights whose standard deviation is ``scale`` over the root of the number of inputs.

    After He et al., "Delving deep into rectifiers: surpassing human-level performance on ImageNet
    classification", 2015.

    Parameters
    ----------
    scale : float
        Factor of the standard deviation: sqrt(2) is the paper's choice for rectified linear
        neurons.
    distribution : {"uniform", "normal"}
        As in `VarianceScaling`.
    """

    def __init__(self, scale: float = 1, distribution: str = "normal") -> None:
        super().__init__(scale=scale, mode="fan_in", distribution=distribution)

    def _variance_scale(self) -> float:
        return self.scale**2
