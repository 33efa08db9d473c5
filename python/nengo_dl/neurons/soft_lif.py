"""The rate of leaky integrate-and-fire neurons with a smooth firing threshold."""

import math
from typing import Any

import numpy as np
from nengo.neurons import LIFRate
from nengo.params import NumberParam

# below this, log(1 + exp(x)) is exp(x) to the last bit in double precision
FAR = -40.0


class SoftLIFRate(LIFRate):
    """Rate of LIF neurons with a smooth firing threshold.

    At its threshold the rate of `~nengo.LIFRate` rises infinitely steeply. Here the current above
    threshold ``J - 1`` is replaced by ``z = sigma * log(1 + exp((J - 1) / sigma))``:

        rate = amplitude / (tau_ref + tau_rc * log(1 + 1 / z))

    so that the slope is finite everywhere. Far above threshold both agree; for ``sigma`` to 0 they
    are the same.

    Parameters
    ----------
    sigma : float
        Width of the threshold in units of current, above 0.
    tau_rc : float
        Time constant of the membrane, in seconds.
    tau_ref : float
        Refractory period, in seconds.
    amplitude : float
        Factor on the rate.
    initial_state : dict, optional
        None of its values is used: these neurons have no state.

    Notes
    -----
    As in NengoDL, gains and biases are found as those of `~nengo.LIFRate`.

    References
    ----------
    E. Hunsberger, C. Eliasmith. Spiking deep networks with LIF neurons. arXiv:1510.08829, 2015.
    """

    sigma = NumberParam("sigma", low=0, low_open=True)

    def __init__(
        self,
        sigma: float = 1.0,
        tau_rc: float = 0.02,
        tau_ref: float = 0.002,
        amplitude: float = 1,
        initial_state: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(
            tau_rc=tau_rc, tau_ref=tau_ref, amplitude=amplitude, initial_state=initial_state
        )
        self.sigma = sigma

    def rates(self, x: Any, gain: Any, bias: Any) -> np.ndarray:
        """Rates for inputs ``x``."""
        J = self.current(x, gain, bias)
        output = np.zeros_like(J)
        self.step(dt=1, J=J, output=output)
        return output

    def step(self, dt: float, J: np.ndarray, output: np.ndarray) -> None:
        """The rates of currents ``J``, written to ``output``."""
        j = J - 1
        with np.errstate(over="ignore", divide="ignore"):  # the threshold is infinitely far away
            x = j / self.sigma
            z = np.maximum(j, 0) + self.sigma * np.log1p(np.exp(-np.abs(x)))
            # far below threshold z vanishes, but log(z) is the straight line x + log(sigma)
            log = np.where(
                x < FAR,
                np.log1p(z) - np.minimum(x, FAR) - math.log(self.sigma),
                np.log1p(1 / np.maximum(z, _tiny(z))),
            )
            output[...] = self.amplitude / (self.tau_ref + self.tau_rc * log)


def _tiny(z: np.ndarray) -> np.floating[Any]:
    """The smallest number whose inverse is finite in this precision."""
    return np.finfo(z.dtype).tiny * 4
