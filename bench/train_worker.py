"""Times the training of one network in one simulator, in a process of its own, on request.

``train.py`` starts it under the Python that has the simulator (for the original: another venv) and
talks to it in lines: it reads ``fit`` or ``step`` from stdin and answers with one line of JSON,
seconds per training step. The first line it writes tells versions, the time of the first ``fit``
and its loss.

Only what NengoDL 3.6 on Keras 2 and this package on Keras 3 share is used here.
"""

import argparse
import importlib
import json
import os
import sys
import time


def timed(function, *args):
    start = time.perf_counter()
    result = function(*args)
    return time.perf_counter() - start, result


def targets_and_inputs(net, minibatches):
    """Random data for some minibatches, the same in every process."""
    import numpy as np

    rng = np.random.RandomState(10)
    items = minibatches * net.batch
    x = rng.uniform(-1, 1, size=(items, 1, net.inp.size_out))
    x = (x + 0.3 * rng.randn(items, net.n_steps, net.inp.size_out)).astype("float32")
    y = rng.uniform(-1, 1, size=(items, net.n_steps, net.p.size_in)).astype("float32")
    return x, y


def train_step(sim, net, x, y):
    """The Keras model's own train step as one compiled function of constant data."""
    import tensorflow as tf

    model = sim.keras_model
    n_steps = tf.fill((net.batch, 1), tf.cast(net.n_steps, model.inputs[-1].dtype))
    inputs = [tf.constant(x[: net.batch]), n_steps]
    outputs = {sim.get_name(net.p): tf.constant(y[: net.batch])}
    call = tf.function(lambda: model.train_step((inputs, outputs))["loss"], autograph=False)
    return lambda: call().numpy()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("network")
    parser.add_argument("--unroll", type=int, default=1)
    parser.add_argument("--minibatches", type=int, required=True)
    args = parser.parse_args()

    # What libraries print must not get between the answers.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def answer(**values):
        answers.write(json.dumps(values) + "\n")
        answers.flush()

    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
    import tensorflow as tf
    from training_networks import NETWORKS

    import nengo_dl

    net = NETWORKS[args.network]()
    x, y = targets_and_inputs(net, args.minibatches)
    sim = nengo_dl.Simulator(
        net, minibatch_size=net.batch, unroll_simulation=args.unroll, progress_bar=False
    )
    with sim:
        # so slow that the network stays the same, which matters to nobody's time
        sim.compile(tf.keras.optimizers.SGD(1e-9), loss={net.p: "mse"})

        def fit():
            return sim.fit({net.inp: x}, {net.p: y}, verbose=0).history["loss"][0]

        seconds, loss = timed(fit)
        answer(
            first_fit_seconds=seconds,
            loss=float(loss),
            python=sys.version.split()[0],
            versions={
                name: importlib.import_module(name).__version__
                for name in ("nengo_dl", "nengo", "numpy", "tensorflow", "keras")
            },
        )
        step = train_step(sim, net, x, y)

        def steps():
            for _ in range(args.minibatches):
                step()

        calls = {"fit": fit, "step": steps}
        for line in sys.stdin:
            call = calls[line.strip()]
            answer(seconds=timed(call)[0] / args.minibatches)


if __name__ == "__main__":
    main()
