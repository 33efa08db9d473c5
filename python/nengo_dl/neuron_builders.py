"""TensorFlow code for neuron types in the form of NengoDL; see also `nengo_dl.builder`."""

# mypy: disable-error-code="override"
# a step takes the states of its own neuron type

from __future__ import annotations

from functools import partial
from typing import Any

import nengo
import tensorflow as tf
from nengo.exceptions import BuildError
from nengo.neurons import NeuronType

from .builder.neuron_code import GenericNeuronBuilder, TFNeuronBuilder
from .builder.op_builders import BuildConfig, OpBuilder, SignalDict, look_up
from .neurons import LeakyReLU, SoftLIFRate, SpikingLeakyReLU

__all__ = [
    "GenericNeuronBuilder",
    "LIFBuilder",
    "LIFRateBuilder",
    "PoissonSpikingBuilder",
    "RectifiedLinearBuilder",
    "RegularSpikingBuilder",
    "SigmoidBuilder",
    "SimNeuronsBuilder",
    "SoftLIFRateBuilder",
    "SpikingRectifiedLinearBuilder",
    "StochasticSpikingBuilder",
    "TFNeuronBuilder",
    "TanhBuilder",
]


class RectifiedLinearBuilder(TFNeuronBuilder):
    """TensorFlow code for `nengo.RectifiedLinear` and `nengo_dl.LeakyReLU`.

    Attributes
    ----------
    negative_slope : tensor or None
        The neurons' parameter; None if they have none.
    """

    def build_pre(self, signals: SignalDict, config: BuildConfig) -> None:
        """Read the neurons' parameters."""
        super().build_pre(signals, config)
        leaks = all(hasattr(op.neurons, "negative_slope") for op in self.ops)
        self.negative_slope = self._parameter(signals, "negative_slope") if leaks else None

    def _rectified(self, J: Any) -> Any:
        if self.negative_slope is None:
            return tf.nn.relu(J)
        return tf.where(J > 0, J, self.negative_slope * J)

    def step(self, J: Any, dt: Any) -> Any:
        """Rates of the currents."""
        return self._scaled(self._rectified(J))


class SpikingRectifiedLinearBuilder(RectifiedLinearBuilder):
    """TensorFlow code for `nengo.SpikingRectifiedLinear` and `nengo_dl.SpikingLeakyReLU`.

    They are trained by their rates.
    """

    spiking = True

    def step(self, J: Any, dt: Any, voltage: Any) -> tuple:
        """Spikes, and what is left of the voltage."""
        voltage = voltage + self._rectified(J) * dt
        # spikes of neurons that leak are negative below zero, where they count towards zero
        spikes = tf.floor(voltage)
        if self.negative_slope is not None:
            spikes = tf.where(voltage < 0, tf.math.ceil(voltage), spikes)
        return self.alpha * spikes, voltage - spikes

    def training_step(self, J: Any, dt: Any, **state: Any) -> Any:
        """Rates of the currents."""
        return RectifiedLinearBuilder.step(self, J, dt)


class _WithTauRef(TFNeuronBuilder):
    def build_pre(self, signals: SignalDict, config: BuildConfig) -> None:
        """Read the neurons' parameters."""
        super().build_pre(signals, config)
        self.tau_ref = self._parameter(signals, "tau_ref")


class SigmoidBuilder(_WithTauRef):
    """TensorFlow code for `nengo.Sigmoid`.

    Attributes
    ----------
    tau_ref : tensor
        The neurons' parameter, in seconds.
    """

    def step(self, J: Any, dt: Any) -> Any:
        """Rates of the currents."""
        return tf.nn.sigmoid(J) / self.tau_ref


class TanhBuilder(_WithTauRef):
    """TensorFlow code for `nengo.Tanh`; attributes are those of `SigmoidBuilder`."""

    def step(self, J: Any, dt: Any) -> Any:
        """Rates of the currents."""
        return tf.nn.tanh(J) / self.tau_ref


class LIFRateBuilder(TFNeuronBuilder):
    """TensorFlow code for `nengo.LIFRate`.

    Attributes
    ----------
    tau_rc, tau_ref : tensor
        The neurons' parameters, in seconds.
    zero, one, epsilon : tensor
        Scalars; the last is the smallest current above threshold that counts, 1e-15.
    zeros : tensor, shape (minibatch_size, n_neurons)
        Zeros for all neurons.
    """

    def build_pre(self, signals: SignalDict, config: BuildConfig) -> None:
        """Read the neurons' parameters."""
        super().build_pre(signals, config)
        self.tau_rc = self._parameter(signals, "tau_rc")
        self.tau_ref = self._parameter(signals, "tau_ref")
        self.zero, self.one = signals.zero, signals.one
        self.zeros = tf.zeros((signals.minibatch_size, *self.J_data.shape), signals.dtype)
        self.epsilon = tf.constant(1e-15, signals.dtype)

    def step(self, J: Any, dt: Any) -> Any:
        """Rates of the currents."""
        above = J - self.one
        period = self.tau_ref + self.tau_rc * tf.math.log1p(1 / tf.maximum(above, self.epsilon))
        return self._scaled(tf.where(above > self.zero, 1 / period, tf.zeros_like(J)))


class SoftLIFRateBuilder(LIFRateBuilder):
    """TensorFlow code for `nengo_dl.SoftLIFRate`.

    Attributes
    ----------
    sigma : tensor
        Width of the threshold, in units of current: the neurons' parameter.
    """

    # from so many widths below the threshold on, its smooth form is exp(x) to the last bit
    _far = -40.0

    def build_pre(self, signals: SignalDict, config: BuildConfig) -> None:
        """Read the neurons' parameters."""
        super().build_pre(signals, config)
        self.sigma = self._parameter(signals, "sigma")

    def step(self, J: Any, dt: Any) -> Any:
        """Rates of the currents."""
        x = (J - self.one) / self.sigma
        above = self.sigma * tf.nn.softplus(tf.maximum(x, self._far))
        log = tf.where(x < self._far, -x - tf.math.log(self.sigma), tf.math.log1p(1 / above))
        return self._scaled(1 / (self.tau_ref + self.tau_rc * log))


class LIFBuilder(SoftLIFRateBuilder):
    """TensorFlow code for `nengo.LIF`.

    They are trained by the rates of `LIFRateBuilder`, or of `SoftLIFRateBuilder` where setting
    ``lif_smoothing`` gives a width of the threshold.

    Attributes
    ----------
    min_voltage : tensor
        The neurons' parameter.
    sigma : tensor
        The setting; there is no such attribute where it is not set.
    """

    spiking = True

    def build_pre(self, signals: SignalDict, config: BuildConfig) -> None:
        """Read the neurons' parameters."""
        super(SoftLIFRateBuilder, self).build_pre(signals, config)
        self.min_voltage = self._parameter(signals, "min_voltage")
        if config.lif_smoothing:
            self.sigma = tf.constant(config.lif_smoothing, signals.dtype)

    def step(self, J: Any, dt: Any, voltage: Any, refractory_time: Any) -> tuple:
        """Spikes, and the new voltages and refractory times."""
        refractory_time = refractory_time - dt
        awake = tf.clip_by_value(dt - refractory_time, self.zero, dt)
        voltage = voltage - (J - voltage) * tf.math.expm1(-awake / self.tau_rc)
        spiked = voltage > self.one
        late = tf.where(spiked, (voltage - 1) / (J - 1), tf.zeros_like(J))
        pause = self.tau_ref + (dt + self.tau_rc * tf.math.log1p(-late))
        return (
            self.alpha * tf.cast(spiked, J.dtype),
            tf.where(spiked, self.zero, tf.maximum(voltage, self.min_voltage)),
            tf.where(spiked, pause, refractory_time),
        )

    def training_step(self, J: Any, dt: Any, **state: Any) -> Any:
        """Rates of the currents."""
        rates = SoftLIFRateBuilder if self.config.lif_smoothing else LIFRateBuilder
        return rates.step(self, J, dt)


class RegularSpikingBuilder(TFNeuronBuilder):
    """TensorFlow code for `nengo.RegularSpiking`, which gets rates instead of currents.

    They are trained by these.
    """

    spiking = True

    def step(self, J: Any, dt: Any, voltage: Any) -> tuple:
        """Spikes, and what is left of the voltage."""
        voltage = voltage + J * dt
        spikes = tf.floor(voltage)
        return self.alpha * spikes, voltage - spikes

    def training_step(self, J: Any, dt: Any, **state: Any) -> Any:
        """The rates."""
        return self._scaled(J)


class StochasticSpikingBuilder(TFNeuronBuilder):
    """TensorFlow code for `nengo.StochasticSpiking`, which gets rates instead of currents.

    They are trained by these. TensorFlow draws the spikes, from its own generator.
    """

    spiking = True

    def step(self, J: Any, dt: Any) -> Any:
        """Spikes: whole ones of the rate, and one more by chance."""
        due = tf.abs(J) * dt
        whole = tf.floor(due)
        more = tf.random.uniform(tf.shape(J), dtype=J.dtype) < due - whole
        return self.alpha * tf.sign(J) * (whole + tf.cast(more, J.dtype))

    def training_step(self, J: Any, dt: Any) -> Any:
        """The rates."""
        return self._scaled(J)


class PoissonSpikingBuilder(StochasticSpikingBuilder):
    """TensorFlow code for `nengo.PoissonSpiking`, which gets rates instead of currents.

    They are trained by these. TensorFlow draws the spikes, from its own generator.
    """

    def step(self, J: Any, dt: Any) -> Any:
        """Spikes: as many as a Poisson process has."""
        drawn = tf.random.poisson((), tf.abs(J) * dt, J.dtype)
        return self.alpha * tf.sign(J) * drawn


_NATIVE: dict[type, type] = {
    nengo.RectifiedLinear: RectifiedLinearBuilder,
    nengo.SpikingRectifiedLinear: SpikingRectifiedLinearBuilder,
    LeakyReLU: RectifiedLinearBuilder,
    SpikingLeakyReLU: SpikingRectifiedLinearBuilder,
    nengo.Sigmoid: SigmoidBuilder,
    nengo.Tanh: TanhBuilder,
    nengo.LIF: LIFBuilder,
    nengo.LIFRate: LIFRateBuilder,
    SoftLIFRate: SoftLIFRateBuilder,
    nengo.RegularSpiking: RegularSpikingBuilder,
    nengo.StochasticSpiking: StochasticSpikingBuilder,
    nengo.PoissonSpiking: PoissonSpikingBuilder,
}


class SimNeuronsBuilder:
    """Where `TFNeuronBuilder` classes are registered.

    Attributes
    ----------
    TF_NEURON_IMPL : dict
        Neuron type -> subclass of `TFNeuronBuilder`, looked up whenever a simulator is made, for
        neurons of exactly that type. The entries it begins with stand for native types, which run
        in the engine as long as these are not replaced. What `nengo_dl.builder.tensorflow` says of
        a type goes first.
    """

    TF_NEURON_IMPL: dict[type, type] = dict(_NATIVE)  # noqa: RUF012  as NengoDL's


def _builder_of(cls: type) -> Any:
    if not issubclass(cls, NeuronType):
        return None
    table = SimNeuronsBuilder.TF_NEURON_IMPL
    for key in table:
        if not (isinstance(key, type) and issubclass(key, NeuronType)):
            raise BuildError(f"TF_NEURON_IMPL: expected subclasses of NeuronType, got {key}")
    builder = table.get(cls)
    if builder is None or builder is _NATIVE.get(cls):
        return None
    if not (isinstance(builder, type) and issubclass(builder, OpBuilder)):
        return partial(_refuse, cls.__name__, builder)
    return builder


def _refuse(name: str, builder: Any, ops: list) -> None:
    """Say what is wrong with an entry, with what it says itself: libraries leave such ones."""
    own, cause = "", None
    try:
        builder(ops)
    except Exception as e:
        own, cause = f", which says: {e}", e
    raise BuildError(
        f"TF_NEURON_IMPL[{name}]: expected a subclass of TFNeuronBuilder, got {builder}{own} "
        "(a library may put such a class there when an import of its own fails: try that import "
        f"by itself. Without the entry, `del TF_NEURON_IMPL[{name}]`, the neurons run in Python)"
    ) from cause


look_up(_builder_of, autograph=True)
