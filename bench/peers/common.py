"""What the workers of all peers have in common: sizes, data, and the talk with `compare.py`.

Every worker trains the same two networks, forward, back and Adam, on one minibatch that lies
ready: 784 inputs, 256 LIF neurons, 10 LIF neurons, spikes with a surrogate gradient, a lowpass
filter behind the weights of the second layer and behind its spikes, mean squared error over all
steps. In ``recurrent`` the 256 neurons have weights among themselves, too, with a filter and a
delay of one step.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from protocol import Channel, timed  # noqa: E402

SIZES = 784, 256, 10
BATCH, STEPS = 100, 25
DT, TAU_RC, SYNAPSE = 0.001, 0.02, 0.005
SPIKE = 10  # amplitude / dt: what a spike counts; the peers' spikes are 1, their weights larger
NETWORKS = ("feed-forward", "recurrent")


def arrays():
    """Inputs and targets of a minibatch, steps first, and weights: float32, the same everywhere."""
    import numpy as np

    rng = np.random.RandomState(0)
    n_in, n_hidden, n_out = SIZES

    def weights(rows, columns):
        limit = np.sqrt(6 / (rows + columns))
        return rng.uniform(-limit, limit, size=(rows, columns)).astype("float32")

    # every input changes about a value of its own, so that neurons get currents that make them fire
    x = rng.uniform(-1, 1, size=(BATCH, n_in)) + 0.3 * rng.randn(STEPS, BATCH, n_in)
    y = rng.uniform(-1, 1, size=(STEPS, BATCH, n_out)).astype("float32")
    layers = [weights(n_in, n_hidden), SPIKE * weights(n_hidden, n_out)]
    layers.append(0.5 * SPIKE * weights(n_hidden, n_hidden))
    return x.astype("float32"), y, layers


def serve(make, versions):
    """Answer ``load`` and ``time`` of `compare.py` until there are no more requests.

    Parameters
    ----------
    make : callable
        ``make(recurrent)`` returns a function that does one training step and returns the loss, a
        float, so that all of it is done by then.
    versions : dict
        What to note beside the figures.
    """
    channel, steps = Channel(), {}
    channel.answer(versions=versions)

    def load(network):
        steps["now"] = make(network == "recurrent")
        return {"loss": steps["now"]()}

    def time(name, repeat):
        return timed(steps["now"], repeat)[0]

    channel.serve({"load": load, "time": time})
