"""Differences between versions of Nengo, for scripts written for NengoDL 3.6, which hid them here.

Only one version of Nengo is supported now, so that all of it is Nengo's own. What NengoDL had here
for versions of TensorFlow and Keras is gone with them.
"""

from nengo import Connection
from nengo.neurons import PoissonSpiking, RegularSpiking, StochasticSpiking, Tanh
from nengo.transforms import ConvolutionTranspose, NoTransform

__all__ = [
    "HAS_NENGO_3_1_0",
    "HAS_NENGO_3_2_0",
    "HAS_NENGO_3_2_1",
    "ConvolutionTranspose",
    "NoTransform",
    "PoissonSpiking",
    "RegularSpiking",
    "StochasticSpiking",
    "Tanh",
    "conn_has_weights",
    "default_transform",
    "to_neurons",
]

HAS_NENGO_3_1_0 = HAS_NENGO_3_2_0 = HAS_NENGO_3_2_1 = True
default_transform = None


def conn_has_weights(conn: Connection) -> bool:
    """Whether a Connection has weights or decoders."""
    return bool(conn.has_weights)


def to_neurons(conn: Connection) -> bool:
    """Whether a Connection goes to neurons, and not to what their encoders read."""
    return bool(conn._to_neurons)
