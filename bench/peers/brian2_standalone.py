"""Spiking networks in Brian2's C++ standalone mode, on request: those of `networks.spiking`.

The same equations in single precision: LIF neurons that integrate exactly and rest for 2 ms, and a
current that decays with 5 ms. (Brian2 has spikes at the end of a step, Nengo within it; Nengo's
voltages stop at 0.) What counts is the run, without building and compiling.
"""

import sys
import tempfile
from pathlib import Path

import brian2 as b2
import numpy as np
import scipy.sparse

sys.path.insert(0, str(Path(__file__).parents[1]))
from protocol import Channel  # noqa: E402

N, BIAS, TAU_SYNAPSE = 2000, 1.5, 0.005
EQUATIONS = """
dv/dt = (bias + I - v) / tau_rc : 1 (unless refractory)
dI/dt = -I / tau_s : 1
fired : 1
"""
SPIKING = {"dense-2000": None, "sparse-2000": 0.05}  # share of the pairs that are connected


def weights_of(density, seed=0):
    """(post, pre, weight) of each connection."""
    rng = np.random.RandomState(seed)
    scale = 0.5 / 42 / np.sqrt(N * (density or 1))
    if density is None:
        post, pre = np.divmod(np.arange(N * N), N)
        return post, pre, scale * rng.randn(N * N)
    found = scipy.sparse.random(
        N, N, density, random_state=rng, data_rvs=lambda n: scale * rng.randn(n)
    )
    return found.row, found.col, found.data


class Standalone:
    """A compiled network."""

    def load(self, network, steps):
        """Build and compile it; the run that follows shows the rate."""
        b2.device.reinit()
        b2.device.activate()
        b2.set_device("cpp_standalone", build_on_run=False, directory=tempfile.mkdtemp())
        b2.prefs.core.default_float_dtype = np.float32
        b2.defaultclock.dt = 1 * b2.ms
        names = {"tau_rc": 20 * b2.ms, "tau_s": TAU_SYNAPSE * b2.second, "bias": BIAS}
        neurons = b2.NeuronGroup(
            N,
            EQUATIONS,
            threshold="v > 1",
            reset="v = 0; fired += 1",
            refractory=2 * b2.ms,
            method="exact",
            namespace=names,
        )
        synapses = b2.Synapses(neurons, neurons, "w : 1", on_pre="I_post += w")
        post, pre, weights = weights_of(SPIKING[network])
        synapses.connect(i=pre, j=post)
        synapses.w = weights / TAU_SYNAPSE
        self.net = b2.Network(neurons, synapses)
        self.net.run(steps * b2.ms)
        b2.device.build(run=False, directory=b2.device.build_options["directory"])
        self.time()
        return {"rate": float(np.mean(neurons.fired[:]) / (steps * 1e-3))}

    def time(self):
        """Seconds of a run from the beginning."""
        b2.device.run(b2.device.project_dir, with_output=False, run_args=[])
        return {"seconds": float(b2.device._last_run_time)}


if __name__ == "__main__":
    channel = Channel()
    standalone = Standalone()
    channel.answer(version=b2.__version__)
    channel.serve({"load": standalone.load, "time": standalone.time})
