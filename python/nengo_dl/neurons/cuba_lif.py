"""Current-based leaky integrate-and-fire neurons, with the equations and parameters of NIR."""

import math

import numpy as np
from nengo.dists import Choice
from nengo.exceptions import ValidationError
from nengo.neurons import NeuronType
from nengo.params import NumberParam


def risen(dt, tau):
    """The part of the way to its target that an exponential with time constant ``tau`` goes."""
    return -math.expm1(-dt / tau) if tau > 0 else 1.0


class CubaLIFRate(NeuronType):
    """Rate of current-based leaky integrate-and-fire neurons.

    The input ``J`` is filtered to a current ``I``, which has the rate that the neurons settle to::

        tau_syn dI/dt = w_in * J - I
        rate = amplitude / (tau_mem * log(1 + (v_threshold - v_reset) / (v - v_threshold)))
        v = v_leak + r * I

    where ``v`` is above ``v_threshold``, else 0. In a step ``J`` is constant, and ``I`` exact.
    By these rates `CubaLIF` neurons are trained unless they have a surrogate, and by them gains,
    biases and decoders of ensembles are found. The filter is part of the neuron: connections to it
    usually have ``synapse=None``.

    Parameters
    ----------
    tau_syn : float
        Time constant of the current, in seconds. 0: the current follows the input at once.
    tau_mem : float
        Time constant of the membrane, in seconds.
    r : float
        Resistance of the membrane: volts per unit of current.
    v_leak : float
        Voltage of the membrane without current.
    v_threshold : float
        Voltage above which a neuron spikes.
    v_reset : float
        Voltage after a spike, below ``v_threshold``.
    w_in : float
        Weight of the input.
    amplitude : float
        Factor on the rate.
    initial_state : dict, optional
        Initial ``current``, a distribution or array; 0 by default.

    References
    ----------
    J. E. Pedersen et al. Neuromorphic intermediate representation: a unified instruction set for
    interoperable brain-inspired computing. Nature Communications 15, 2024 (primitive ``CubaLIF``).
    """

    negative = False
    state = {"current": Choice([0])}

    tau_syn = NumberParam("tau_syn", low=0)
    tau_mem = NumberParam("tau_mem", low=0, low_open=True)
    r = NumberParam("r", low=0, low_open=True)
    v_leak = NumberParam("v_leak")
    v_threshold = NumberParam("v_threshold")
    v_reset = NumberParam("v_reset")
    w_in = NumberParam("w_in")
    amplitude = NumberParam("amplitude", low=0, low_open=True)

    def __init__(
        self,
        tau_syn=0.005,
        tau_mem=0.02,
        r=1,
        v_leak=0,
        v_threshold=1,
        v_reset=0,
        w_in=1,
        amplitude=1,
        initial_state=None,
    ):
        super().__init__(initial_state)
        self.tau_syn = tau_syn
        self.tau_mem = tau_mem
        self.r = r
        self.v_leak = v_leak
        self.v_threshold = v_threshold
        self.v_reset = v_reset
        self.w_in = w_in
        self.amplitude = amplitude
        if not v_reset < v_threshold:
            raise ValidationError(
                f"must be below v_threshold, which is {v_threshold}, got {v_reset}",
                attr="v_reset",
                obj=self,
            )

    def _at_threshold(self):
        """The input that leads just to the threshold, and by how much another way takes more.

        A way is as far as it is from reset to threshold.
        """
        weight = self.r * self.w_in
        if weight == 0:
            raise ValidationError(
                "expected a weight other than 0 to find gains and biases, got 0",
                attr="w_in",
                obj=self,
            )
        ways = self.v_threshold - self.v_reset
        return (self.v_threshold - self.v_leak) / weight, ways / weight

    def gain_bias(self, max_rates, intercepts):
        """Gains and biases, found from the rates in closed form."""
        max_rates = np.asarray(np.atleast_1d(max_rates), dtype=float)
        intercepts = np.asarray(np.atleast_1d(intercepts), dtype=float)
        threshold, unit = self._at_threshold()
        gain = unit / np.expm1(1 / (max_rates * self.tau_mem)) / (1 - intercepts)
        return gain, threshold - gain * intercepts

    def max_rates_intercepts(self, gain, bias):
        """The inverse of `gain_bias`."""
        gain, bias = np.asarray(gain, dtype=float), np.asarray(bias, dtype=float)
        max_rates = self._rates_of(self.w_in * (gain + bias)) / self.amplitude
        return max_rates, (self._at_threshold()[0] - bias) / gain

    def rates(self, x, gain, bias):
        """The rates that inputs ``x`` settle to."""
        return self._rates_of(self.w_in * self.current(x, gain, bias))

    def _rates_of(self, current):
        """The rates of currents that stay as they are."""
        above = self.v_leak + self.r * current - self.v_threshold
        above = above / (self.v_threshold - self.v_reset)
        fires = above > 0
        time = self.tau_mem * np.log1p(1 / np.where(fires, above, 1))
        return np.where(fires, self.amplitude / time, 0)

    def step(self, dt, J, output, current):
        """The rates of one step, written to ``output``; ``current`` is changed."""
        current += (self.w_in * J - current) * risen(dt, self.tau_syn)
        output[...] = self._rates_of(current)
