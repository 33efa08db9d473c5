"""JAX: a jitted training step, `jax.lax.scan` over the steps of each layer, Adam of Optax.

The products of a layer that are in no loop are done for all steps at once, before the scan.
"""

import jax
import jax.numpy as jnp
import optax
from common import DT, SYNAPSE, TAU_RC, arrays, serve

DECAY = float(jnp.exp(-DT / TAU_RC))
KEPT = float(jnp.exp(-DT / SYNAPSE))


@jax.custom_jvp
def spike(u):
    return (u > 0).astype(u.dtype)


@spike.defjvp
def _(primals, tangents):
    (u,), (du,) = primals, tangents
    return spike(u), du / (1 + jnp.abs(u)) ** 2  # SuperSpike


def lif(current, weights=None):
    """Spikes of a layer from its currents at all steps; ``weights`` are those among its neurons."""

    def step(state, J):
        voltage, filtered = state
        if weights is not None:
            J = J + filtered
        voltage = J + (voltage - J) * DECAY
        fired = spike(voltage - 1)
        voltage = voltage * (1 - jax.lax.stop_gradient(fired))
        if weights is not None:
            filtered = KEPT * filtered + (1 - KEPT) * (fired @ weights)
        return (voltage, filtered), fired

    zero = jnp.zeros_like(current[0])
    start = (zero, zero if weights is not None else None)
    return jax.lax.scan(step, start, current)[1]


def lowpass(values):
    def step(y, x):
        y = KEPT * y + (1 - KEPT) * x
        return y, y

    return jax.lax.scan(step, jnp.zeros_like(values[0]), values)[1]


def make(recurrent):
    x, y, weights = (jax.tree.map(jnp.asarray, part) for part in arrays())
    weights = weights if recurrent else weights[:2]
    optimizer = optax.adam(1e-9)

    def loss(weights):
        hidden = lif(x @ weights[0] + 1, weights[2] if recurrent else None)
        output = lowpass(lif(lowpass(hidden @ weights[1]) + 1))
        return jnp.mean((output - y) ** 2)

    @jax.jit
    def train(weights, state):
        value, gradients = jax.value_and_grad(loss)(weights)
        updates, state = optimizer.update(gradients, state)
        return optax.apply_updates(weights, updates), state, value

    held = [weights, optimizer.init(weights)]

    def step():
        held[0], held[1], value = train(*held)
        jax.block_until_ready(held)
        return float(value)

    return step


serve(make, {"jax": jax.__version__, "optax": optax.__version__})
