"""Surrogate gradients: what stands for the derivative of a spike when a network trains with spikes.

A spike is a step of the membrane potential, and a step has no useful derivative. With the setting
``surrogate`` the network spikes in training as it does when it is run, and the derivative of a
neuron's output is taken to be

    d out / d u = amplitude / dt * h(u)

where ``u`` is the distance of the membrane potential from the threshold before the neuron resets,
in units of the way from reset to threshold, and ``h`` a bump around the threshold. All bumps
here are 1 at the threshold (``u = 0``), so that ``width`` is the only thing to choose:
the narrower, the nearer to a spike a neuron must be to learn.

The leak, the floor of the voltage, adaptation and recovery variables are differentiated through
time; the reset and the refractory time count as numbers [1]_. Neurons that can spike several times
in a step have a threshold at each whole unit, and ``u`` is the distance to the nearest one.
Neurons that draw their spikes at random pass on the derivative of the expected output, whatever
the surrogate.

References
----------
.. [1] F. Zenke, T. P. Vogels. The remarkable robustness of surrogate gradient learning for
   instilling complex function in spiking neural networks. Neural Computation 33, 2021.
"""

import dataclasses
import math
import numbers
from typing import Any, ClassVar

from nengo.exceptions import ValidationError


@dataclasses.dataclass(frozen=True)
class Surrogate:
    """Base of all surrogates; ``kind`` is their name in a program."""

    kind: ClassVar[str] = ""

    def __post_init__(self) -> None:
        width = getattr(self, "width", 1.0)
        number = isinstance(width, numbers.Real) and not isinstance(width, bool)
        if not number or not 0 < width < math.inf:
            raise ValidationError(
                f"must be a number above 0, got {width!r}", attr="width", obj=type(self)
            )


@dataclasses.dataclass(frozen=True)
class SuperSpike(Surrogate):
    """Derivative of a fast sigmoid: ``h(u) = 1 / (1 + |u| / width)^2``.

    Long tails: neurons far below the threshold learn a little, too.

    Parameters
    ----------
    width : float
        Distance at which the derivative is a quarter, in units of the way from reset to threshold.
        The paper's ``beta`` is ``1 / width``.

    References
    ----------
    F. Zenke, S. Ganguli. SuperSpike: Supervised learning in multilayer spiking neural networks.
    Neural Computation 30, 2018.
    """

    width: float = 0.1
    kind: ClassVar[str] = "superspike"


@dataclasses.dataclass(frozen=True)
class Arctan(Surrogate):
    """Derivative of an arc tangent: ``h(u) = 1 / (1 + (pi u / width)^2)``.

    Parameters
    ----------
    width : float
        In units of the way from reset to threshold; at ``u = width / pi`` the derivative is
        a half. 1 is the paper's form.

    References
    ----------
    W. Fang, Z. Yu, Y. Chen, T. Masquelier, T. Huang, Y. Tian. Incorporating learnable membrane time
    constant to enhance learning of spiking neural networks. ICCV 2021.
    """

    width: float = 1.0
    kind: ClassVar[str] = "arctan"


@dataclasses.dataclass(frozen=True)
class Triangle(Surrogate):
    """A triangle: ``h(u) = max(0, 1 - |u| / width)``.

    Neurons further than ``width`` from the threshold learn nothing in that step.

    Parameters
    ----------
    width : float
        Half the base of the triangle, in units of the way from reset to threshold.
        1 is the papers' form; their damping factor is left to the learning rate.

    References
    ----------
    S. K. Esser et al. Convolutional networks for fast, energy-efficient neuromorphic computing.
    PNAS 113, 2016.
    G. Bellec, D. Salaj, A. Subramoney, R. Legenstein, W. Maass. Long short-term memory and
    learning-to-learn in networks of spiking neurons. NeurIPS 2018.
    """

    width: float = 1.0
    kind: ClassVar[str] = "triangle"


@dataclasses.dataclass(frozen=True)
class Logistic(Surrogate):
    """Derivative of a logistic sigmoid ``s = 1 / (1 + exp(-u / width))``: ``h(u) = 4 s (1 - s)``.

    Its tails vanish exponentially, where those of `Arctan` and `SuperSpike` are long.

    Parameters
    ----------
    width : float
        In units of the way from reset to threshold; at ``u = 1.76 width`` the derivative is a half.
        The papers' slope is ``1 / width``.

    References
    ----------
    F. Zenke, T. P. Vogels. The remarkable robustness of surrogate gradient learning for
    instilling complex function in spiking neural networks. Neural Computation 33, 2021.
    """

    width: float = 0.25
    kind: ClassVar[str] = "logistic"


@dataclasses.dataclass(frozen=True)
class StraightThrough(Surrogate):
    """The derivative of the neuron's rate by its input current; nothing passes through time.

    `~nengo.Izhikevich` has no rate in closed form: there it is the rate of a neuron that just adds
    up its input from ``reset_voltage`` to the threshold, 1000 / (30 - reset_voltage) Hz per unit.

    References
    ----------
    Y. Bengio, N. Leonard, A. Courville. Estimating or propagating gradients through stochastic
    neurons for conditional computation. arXiv:1308.3432, 2013.
    """

    kind: ClassVar[str] = "straight_through"


SURROGATES: dict[str, type[Surrogate]] = {
    cls.__name__: cls for cls in (SuperSpike, Arctan, Triangle, Logistic, StraightThrough)
}


def resolve(value: Any) -> Surrogate | None:
    """The surrogate that a setting means.

    Parameters
    ----------
    value : Surrogate, class, str or None
        An instance; or one of the classes here, or its name, which mean one with default width.

    Returns
    -------
    Surrogate or None

    Raises
    ------
    nengo.exceptions.ValidationError
        If there is no such surrogate; the message lists those that there are.
    """
    if value is None or (isinstance(value, Surrogate) and type(value) in SURROGATES.values()):
        return value
    for name, cls in SURROGATES.items():
        if value is cls or (isinstance(value, str) and value == name):
            return cls()
    raise ValidationError(
        f"must be None or one of {', '.join(SURROGATES)} (of nengo_dl.surrogates: an instance, "
        f"the class or its name), got {value!r}",
        attr="surrogate",
    )
