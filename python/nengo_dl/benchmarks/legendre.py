"""The Legendre memory unit, of Nengo objects and as a Keras layer."""

from typing import Any

import keras
import nengo
import numpy as np
import tensorflow as tf

from ..config import configure_settings
from ..dists import Glorot
from ..tensor_node import Layer

ORDER, UNITS, CLASSES = 256, 212, 10


class LMUCell(keras.layers.Layer):
    """A step of the Legendre memory unit of Voelker, Kajic and Eliasmith, for `keras.layers.RNN`.

    Parameters
    ----------
    theta : float
        Length, in steps, of what the memory holds.
    units, order : int
        Sizes of the hidden layer and of the memory.
    **kwargs
        As for Keras layers.
    """

    def __init__(self, theta: float, units: int = UNITS, order: int = ORDER, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.theta, self.units, self.order = theta, units, order
        self.state_size = [units, order]
        self.output_size = units

    def build(self, input_shape: Any) -> None:
        """Make the weights."""

        def weight(name: str, shape: Any, initializer: Any, trained: bool = True) -> Any:
            return self.add_weight(shape, initializer, name=name, trainable=trained)

        def fixed(name: str, matrix: np.ndarray) -> Any:
            initial = keras.initializers.Constant(matrix.T)
            return weight(name, matrix.T.shape, initial, trained=False)

        a, b = delay(self.order, self.theta)
        inputs, units, order = input_shape[-1], self.units, self.order
        self.input_encoder = weight("input_encoder", (inputs, 1), "ones")
        self.hidden_encoder = weight("hidden_encoder", (units, 1), "zeros")
        self.memory_encoder = weight("memory_encoder", (order, 1), "zeros")
        self.input_kernel = weight("input_kernel", (inputs, units), "zeros")
        self.hidden_kernel = weight("hidden_kernel", (units, units), "zeros")
        self.memory_kernel = weight("memory_kernel", (order, units), "glorot_normal")
        self.a, self.b = fixed("a", a), fixed("b", b)

    def call(self, inputs: Any, states: Any) -> Any:
        """Run a step."""
        hidden, memory = states
        x = tf.matmul(inputs, self.input_encoder) + tf.matmul(hidden, self.hidden_encoder)
        x += tf.matmul(memory, self.memory_encoder)
        memory = tf.matmul(memory, self.a) + tf.matmul(x, self.b)
        hidden = tf.tanh(
            tf.matmul(inputs, self.input_kernel)
            + tf.matmul(hidden, self.hidden_kernel)
            + tf.matmul(memory, self.memory_kernel)
        )
        return hidden, [hidden, memory]


def delay(order: int, theta: float) -> tuple[np.ndarray, np.ndarray]:
    """Matrices of the Legendre delay, held over a step.

    Parameters
    ----------
    order : int
        Number of polynomials.
    theta : float
        Length of the delay in steps.

    Returns
    -------
    tuple of array
        Shapes (order, order) and (order, 1).
    """
    q = np.arange(order, dtype=np.float64)
    rows, columns = q[:, None], q[None, :]
    rate = (2 * rows + 1) / theta
    a = rate * np.where(rows < columns, -1, (-1.0) ** (rows - columns + 1))
    b = rate * (-1.0) ** rows
    joint = np.block([[a, b], [np.zeros((1, order + 1))]])
    power = tf.linalg.expm(joint).numpy()  # both at once
    return power[:order, :order], power[:order, order:]


def lmu(
    theta: int, input_d: int, native_nengo: bool = False, dtype: str = "float32"
) -> nengo.Network:
    """A Legendre memory unit that reads a sequence and then answers.

    Parameters
    ----------
    theta : int
        Length of the sequence, in steps.
    input_d : int
        Length of the vectors in it.
    native_nengo : bool
        Whether it is made of Nengo objects, and reads a vector per step. Otherwise it is a Keras
        layer in a TensorNode, which gets the whole sequence, ``theta * input_d`` numbers, at once.
    dtype : str
        Precision of the simulation.

    Returns
    -------
    nengo.Network
        With ``inp`` and ``p``.
    """
    with nengo.Network(seed=0) as net:
        configure_settings(trainable=None, stateful=False, keep_history=False, dtype=dtype)
        net.config[nengo.Connection].synapse = None
        if native_nengo:
            net.inp = nengo.Node(np.zeros(input_d))
            hidden = _native_lmu(net, theta)
        else:
            net.inp = nengo.Node(np.zeros(theta * input_d))
            layer = keras.layers.RNN(LMUCell(theta, dtype=dtype), dtype=dtype)
            hidden = Layer(layer)(net.inp, shape_in=(theta, input_d), shape_out=(UNITS,))
        out = nengo.Node(size_in=CLASSES)
        nengo.Connection(hidden, out, transform=Glorot())
        net.p = nengo.Probe(out)
    return net


def _native_lmu(net: nengo.Network, theta: int) -> Any:
    """The steps of `LMUCell` as Nengo objects of a network; returns the hidden neurons."""
    a, b = delay(ORDER, theta)
    x, memory = nengo.Node(size_in=1), nengo.Node(size_in=ORDER)
    ensemble = nengo.Ensemble(
        UNITS, 1, neuron_type=nengo.Tanh(tau_ref=1), gain=np.ones(UNITS), bias=np.zeros(UNITS)
    )
    hidden = ensemble.neurons
    nengo.Connection(net.inp, x, transform=np.ones((1, net.inp.size_out)))
    nengo.Connection(hidden, x, transform=np.zeros((1, UNITS)), synapse=0)
    nengo.Connection(memory, x, transform=np.zeros((1, ORDER)), synapse=0)
    fixed = [
        nengo.Connection(memory, memory, transform=a, synapse=0),
        nengo.Connection(x, memory, transform=b),
    ]
    for obj in (ensemble, *fixed):
        net.config[obj].trainable = False
    nengo.Connection(net.inp, hidden, transform=np.zeros((UNITS, net.inp.size_out)))
    nengo.Connection(hidden, hidden, transform=np.zeros((UNITS, UNITS)), synapse=0)
    nengo.Connection(memory, hidden, transform=Glorot(distribution="normal"))
    return hidden
