"""Current-based leaky integrate-and-fire neurons, with the equations and parameters of NIR."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from nengo.dists import Choice, Uniform
from nengo.exceptions import ValidationError
from nengo.neurons import NeuronType
from nengo.params import BoolParam, NumberParam


def risen(dt: float, tau: float) -> float:
    """The part of the way to its target that an exponential with time constant ``tau`` goes."""
    return -math.expm1(-dt / tau) if tau > 0 else 1.0


def lateness(dt: float, tau_syn: float, tau_mem: float) -> float:
    """The part of a current's distance to its target that the voltage sees in a step, per ohm.

    Of the solution of both equations, ``tau_syn / (tau_syn - tau_mem)`` times
    ``exp(-dt / tau_syn) - exp(-dt / tau_mem)``, written so that the time constants may be equal.
    """
    if tau_syn == 0:
        return 0.0
    a, b = dt / tau_mem, dt / tau_syn
    x = -abs(a - b)  # and times the larger exponential, so that nothing overflows
    return a * math.exp(-min(a, b)) * (math.expm1(x) / x if x else 1.0)


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
        tau_syn: float = 0.005,
        tau_mem: float = 0.02,
        r: float = 1,
        v_leak: float = 0,
        v_threshold: float = 1,
        v_reset: float = 0,
        w_in: float = 1,
        amplitude: float = 1,
        initial_state: dict[str, Any] | None = None,
    ) -> None:
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

    def _at_threshold(self) -> tuple[float, float]:
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

    def gain_bias(self, max_rates: Any, intercepts: Any) -> tuple[np.ndarray, np.ndarray]:
        """Gains and biases, found from the rates in closed form."""
        max_rates = np.asarray(np.atleast_1d(max_rates), dtype=float)
        intercepts = np.asarray(np.atleast_1d(intercepts), dtype=float)
        threshold, unit = self._at_threshold()
        gain = unit / np.expm1(1 / (max_rates * self.tau_mem)) / (1 - intercepts)
        return gain, threshold - gain * intercepts

    def max_rates_intercepts(self, gain: Any, bias: Any) -> tuple[np.ndarray, np.ndarray]:
        """The inverse of `gain_bias`."""
        gain, bias = np.asarray(gain, dtype=float), np.asarray(bias, dtype=float)
        max_rates = self._rates_of(self.w_in * (gain + bias)) / self.amplitude
        return max_rates, (self._at_threshold()[0] - bias) / gain

    def rates(self, x: Any, gain: Any, bias: Any) -> np.ndarray:
        """The rates that inputs ``x`` settle to."""
        return self._rates_of(self.w_in * self.current(x, gain, bias))

    def _rates_of(self, current: np.ndarray) -> np.ndarray:
        """The rates of currents that stay as they are."""
        above = self.v_leak + self.r * current - self.v_threshold
        above = above / (self.v_threshold - self.v_reset)
        fires = above > 0
        time = self.tau_mem * np.log1p(1 / np.where(fires, above, 1))
        return np.where(fires, self.amplitude / time, 0)

    def step(self, dt: float, J: np.ndarray, output: np.ndarray, current: np.ndarray) -> None:
        """The rates of one step, written to ``output``; ``current`` is changed."""
        current += (self.w_in * J - current) * risen(dt, self.tau_syn)
        output[...] = self._rates_of(current)


class CubaLIF(CubaLIFRate):
    """Current-based leaky integrate-and-fire neurons, as NIR defines them.

    The input ``J`` is filtered to a current ``I``, which moves the voltage ``v`` of the membrane::

        tau_syn dI/dt = w_in * J - I
        tau_mem dv/dt = v_leak - v + r * I

    Where ``v`` is above ``v_threshold`` at the end of a step, the neuron spikes and ``v`` is reset.
    Spikes have the height ``amplitude / dt``, as all of Nengo's, so that a spike of another neuron,
    through a connection with ``synapse=None`` and weight ``w``, adds about ``w * w_in / tau_syn``
    to the current. There is no refractory period.

    In a step ``J`` is constant, and ``I`` and ``v`` are the exact solution; a neuron spikes once in
    a step at most. What ``v`` is above the threshold by then is lost by a reset to ``v_reset``:
    neurons fire every whole number of steps, slower than their rates say, which are those in
    continuous time. A subtractive reset keeps it, and the mean rate is close to them.

    Parameters
    ----------
    tau_syn : float
        Time constant of the current, in seconds. 0: the current follows the input at once, as in
        NIR's ``LIF``.
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
        Area of a spike.
    subtractive_reset : bool
        Whether a spike lowers the voltage by ``v_threshold - v_reset`` instead of setting it to
        ``v_reset``.
    initial_state : dict, optional
        Initial ``current`` (0 by default) and ``voltage`` (by default anywhere between
        ``v_reset`` and ``v_threshold``), distributions or arrays.

    Notes
    -----
    Trained by the rates of `CubaLIFRate`, or with a surrogate: then the distance to the threshold
    is in units of ``v_threshold - v_reset``, and derivatives pass through ``current`` and
    ``voltage`` back in time. The surrogate `~nengo_dl.surrogates.StraightThrough` takes the slope
    of the rate at the present current, as if the input had long been what it is.

    References
    ----------
    J. E. Pedersen et al. Neuromorphic intermediate representation: a unified instruction set for
    interoperable brain-inspired computing. Nature Communications 15, 2024 (primitive ``CubaLIF``).
    """

    spiking = True
    rate_form = "CubaLIFRate"
    state = {"current": Choice([0]), "voltage": Uniform(low=0, high=1)}

    subtractive_reset = BoolParam("subtractive_reset")

    def __init__(
        self,
        tau_syn: float = 0.005,
        tau_mem: float = 0.02,
        r: float = 1,
        v_leak: float = 0,
        v_threshold: float = 1,
        v_reset: float = 0,
        w_in: float = 1,
        amplitude: float = 1,
        subtractive_reset: bool = False,
        initial_state: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(
            tau_syn, tau_mem, r, v_leak, v_threshold, v_reset, w_in, amplitude, initial_state
        )
        self.subtractive_reset = subtractive_reset

    def make_state(
        self, n_neurons: int, rng: Any = np.random, dtype: Any = None
    ) -> dict[str, np.ndarray]:
        """Initial states; a voltage that nobody gave is drawn from reset to threshold."""
        state = super().make_state(n_neurons, rng=rng, dtype=dtype)
        if "voltage" not in (self.initial_state or {}):
            state["voltage"] *= self.v_threshold - self.v_reset
            state["voltage"] += self.v_reset
        return state

    def step(  # type: ignore[override]  # Nengo gives each type its own states
        self,
        dt: float,
        J: np.ndarray,
        output: np.ndarray,
        current: np.ndarray,
        voltage: np.ndarray,
    ) -> None:
        """The spikes of one step, written to ``output``; the states are changed."""
        steady = self.w_in * J
        late = self.r * (current - steady) * lateness(dt, self.tau_syn, self.tau_mem)
        voltage += (self.v_leak + self.r * steady - voltage) * risen(dt, self.tau_mem)
        voltage += late
        current += (steady - current) * risen(dt, self.tau_syn)
        fired = voltage > self.v_threshold
        output[...] = np.where(fired, self.amplitude / dt, 0)
        way = self.v_threshold - self.v_reset
        after = voltage - way if self.subtractive_reset else self.v_reset
        voltage[...] = np.where(fired, after, voltage)
