"""Times one simulator, in a process of its own, on request.

``run.py`` and ``compare.py`` start it under the Python that has the simulator (for the original:
another venv). What it says at first are versions and import time. It is asked to ``load`` a
network, and answers with time and output of the first run; then for ``run_steps`` or ``graph``. See
protocol.py.

Only what Nengo 3.2 and 4.1, NengoDL 3.6 and this package share is used here.
"""

import argparse
import functools
import hashlib
import importlib
import sys

from protocol import Channel, limit_threads, timed


def load_nengo(_):
    """Nengo's own simulator."""
    import nengo

    return nengo.Simulator, {}, ("nengo", "numpy")


def load_nengo_dl(_):
    """This package."""
    import nengo_dl
    import nengo_dl.tensor_graph  # noqa: F401  imports TensorFlow, which else the first run would do

    return nengo_dl.Simulator, {"minibatch_size": 1}, ("nengo_dl", "nengo", "numpy", "tensorflow")


def load_original(unroll):
    """NengoDL 3.6, which unrolls some steps of the graph into one loop body."""
    simulator, options, packages = load_nengo_dl(unroll)
    return simulator, {**options, "unroll_simulation": unroll}, packages


LOADERS = {"nengo": load_nengo, "nengo_dl": load_nengo_dl, "original": load_original}


def compile_graph(sim, n_steps):
    """The Keras model as one compiled function of fixed inputs, without the simulator around it."""
    import tensorflow as tf

    model = sim.keras_model
    inputs = [tf.fill((1, n_steps, x.shape[-1]), tf.cast(0.5, x.dtype)) for x in model.inputs[:-1]]
    inputs.append(tf.constant([[n_steps]], dtype=model.inputs[-1].dtype))
    call = tf.function(lambda: model(inputs, training=False))
    return lambda: [output.numpy() for output in tf.nest.flatten(call())]


class Loaded:
    """A simulator of the network that was asked for last.

    Parameters
    ----------
    simulator : type
        The simulator.
    options : dict
        Its arguments.
    n_steps : int
        Steps of a run.
    """

    def __init__(self, simulator, options, n_steps):
        self.simulator, self.options, self.n_steps = simulator, options, n_steps
        self.sim = self.functions = None

    def load(self, network):
        """Build, run once and read the probe."""
        import numpy as np
        from networks import NETWORKS

        if self.sim is not None:
            self.sim.close()
        net, probe = NETWORKS[network]()
        first, output = timed(lambda: self._first_run(net, probe))
        self.functions = {"run_steps": lambda: self.sim.run_steps(self.n_steps, progress_bar=False)}
        return {
            "first_run_seconds": first["seconds"],
            "output": float(np.sqrt(np.mean(np.square(output)))),
            "mean": float(np.mean(output)),
            "digest": hashlib.sha256(np.ascontiguousarray(output).tobytes()).hexdigest(),
        }

    def _first_run(self, net, probe):
        self.sim = self.simulator(net, progress_bar=False, **self.options)
        self.sim.run_steps(self.n_steps, progress_bar=False)
        return self.sim.data[probe]

    def call(self, name, repeat=1, warm_up=1):
        """Time a call, after one that does not count: caches are those of the other simulators."""
        if name not in self.functions:
            self.functions[name] = compile_graph(self.sim, self.n_steps)
        seconds, _ = timed(self.functions[name], repeat, warm_up)
        self._clear_probes()
        return seconds

    def _clear_probes(self):
        if hasattr(self.sim, "clear_probes"):
            self.sim.clear_probes()
        else:  # the original
            self.sim.reset(include_trainable=False, include_processes=False)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("simulator", choices=sorted(LOADERS))
    parser.add_argument("--steps", type=int, required=True, help="of a run")
    parser.add_argument("--unroll", type=int, default=1)
    parser.add_argument("--threads", type=int, help="within an operation; TensorFlow's default")
    parser.add_argument("--decoder-cache", help="folder of decoders that were solved before")
    args = parser.parse_args()

    channel = Channel()
    loading, (simulator, options, packages) = timed(lambda: LOADERS[args.simulator](args.unroll))
    if args.threads:
        limit_threads(args.threads)

    import nengo

    # Without a cache of its own: only the first process would solve decoders.
    nengo.rc["decoder_cache"]["enabled"] = str(args.decoder_cache is not None)
    if args.decoder_cache is not None:
        nengo.rc["decoder_cache"]["path"] = args.decoder_cache
    channel.answer(
        import_seconds=loading["seconds"],
        python=sys.version.split()[0],
        package=importlib.import_module(packages[0]).__file__,
        versions={name: importlib.import_module(name).__version__ for name in packages},
    )
    loaded = Loaded(simulator, options, args.steps)
    calls = {name: functools.partial(loaded.call, name) for name in ("run_steps", "graph")}
    channel.serve({"load": loaded.load, **calls})


if __name__ == "__main__":
    main()
