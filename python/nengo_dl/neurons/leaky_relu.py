"""Rectified linear neurons that leak: a small slope instead of silence below zero."""

from typing import Any

import numpy as np
from nengo.neurons import RectifiedLinear, SpikingRectifiedLinear
from nengo.params import NumberParam


def leaky(J: np.ndarray, negative_slope: float) -> np.ndarray:
    """``J`` where it is above 0, else ``negative_slope * J``."""
    return np.where(J > 0, J, negative_slope * J)


class LeakyReLU(RectifiedLinear):
    """Rectified linear rate neurons with a slope below zero.

    The output is ``amplitude * J`` for ``J > 0``, else ``amplitude * negative_slope * J``.

    Parameters
    ----------
    negative_slope : float
        Slope of the output below zero, in units of that above it.
    amplitude : float
        Output in Hz per unit of input current.
    initial_state : dict, optional
        None of its values is used: these neurons have no state.

    References
    ----------
    A. L. Maas, A. Y. Hannun, A. Y. Ng. Rectifier nonlinearities improve neural network acoustic
    models. ICML 2013.
    """

    negative_slope = NumberParam("negative_slope")

    def __init__(
        self,
        negative_slope: float = 0.3,
        amplitude: float = 1,
        initial_state: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(amplitude=amplitude, initial_state=initial_state)
        self.negative_slope = negative_slope

    def step(self, dt: float, J: np.ndarray, output: np.ndarray) -> None:
        """The rates of currents ``J``, written to ``output``."""
        output[...] = self.amplitude * leaky(J, self.negative_slope)


class SpikingLeakyReLU(SpikingRectifiedLinear):
    """Spiking neurons whose rate is that of `LeakyReLU`.

    The voltage adds up the rate (without ``amplitude``); each whole unit of it is a spike of height
    ``amplitude / dt`` and is taken off again. Below zero spikes are negative.

    Parameters
    ----------
    negative_slope : float
        Slope of the rate below zero, in units of that above it.
    amplitude : float
        Area of a spike.
    initial_state : dict, optional
        Initial ``voltage``, a distribution or array.
    """

    rate_form = "LeakyReLU"  # trained by it

    negative_slope = NumberParam("negative_slope")

    def __init__(
        self,
        negative_slope: float = 0.3,
        amplitude: float = 1,
        initial_state: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(amplitude=amplitude, initial_state=initial_state)
        self.negative_slope = negative_slope

    def rates(self, x: Any, gain: Any, bias: Any) -> np.ndarray:
        """Rates of `LeakyReLU` for inputs ``x``."""
        return self.amplitude * leaky(self.current(x, gain, bias), self.negative_slope)

    def step(self, dt: float, J: np.ndarray, output: np.ndarray, voltage: np.ndarray) -> None:
        """The spikes of one step, written to ``output``; ``voltage`` is changed."""
        voltage += leaky(J, self.negative_slope) * dt
        spikes = np.trunc(voltage)
        output[...] = (self.amplitude / dt) * spikes
        voltage -= spikes
