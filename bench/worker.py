"""Times one simulator on one network, in a process of its own, on request.

``run.py`` starts it under the Python that has the simulator (for the original: another venv) and
talks to it in lines: it reads ``run_steps`` or ``graph`` from stdin and answers with one line of
JSON. The first line it writes tells versions, import time and the time of the first run.

Only what Nengo 3.2 and 4.1, NengoDL 3.6 and this package share is used here.
"""

import argparse
import importlib
import json
import os
import sys
import time


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


def timed(function, *args):
    start = time.perf_counter()
    result = function(*args)
    return time.perf_counter() - start, result


def first_run(simulator, net, probe, n_steps, options):
    """Build, run once and read the probe: the simulator, and the probe's last value."""
    sim = simulator(net, progress_bar=False, **options)
    sim.run_steps(n_steps, progress_bar=False)
    return sim, sim.data[probe][..., -1, :]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("simulator", choices=sorted(LOADERS))
    parser.add_argument("network")
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--unroll", type=int, default=1)
    args = parser.parse_args()

    # What libraries print must not get between the answers.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def answer(**values):
        answers.write(json.dumps(values) + "\n")
        answers.flush()

    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
    seconds_import, (simulator, options, packages) = timed(LOADERS[args.simulator], args.unroll)

    import nengo
    from networks import NETWORKS

    nengo.rc["decoder_cache"]["enabled"] = "False"  # else only the first process solves decoders
    net, probe = NETWORKS[args.network]()
    seconds_first, (sim, output) = timed(first_run, simulator, net, probe, args.steps, options)
    answer(
        import_seconds=seconds_import,
        first_run_seconds=seconds_first,
        output_mean=float(output.mean()),
        python=sys.version.split()[0],
        versions={name: importlib.import_module(name).__version__ for name in packages},
    )
    calls = {"run_steps": lambda: sim.run_steps(args.steps, progress_bar=False)}
    for line in sys.stdin:
        name = line.strip()
        if name not in calls:
            calls[name] = compile_graph(sim, args.steps)
        calls[name]()  # the other simulators ran since the last call: caches are theirs
        answer(seconds=timed(calls[name])[0])
    sim.close()


if __name__ == "__main__":
    main()
