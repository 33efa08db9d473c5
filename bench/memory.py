"""Memory that long uses leave: many simulators in a process, many calls of one.

    python bench/memory.py

Each figure comes from a process of its own. ``simulators``: build, fit, close, beside the same for
plain Keras models with as many parameters; the first third is not counted. ``predict``: calls of a
simulator that is warm. ``matrix``: how many times a large weight matrix lies in memory, without
oneDNN, with which TensorFlow keeps freed memory for itself. ``hour``: how far memory rises within
one run of an hour of simulated time, after its first minute.
"""

import argparse
import gc
import os
import subprocess
import sys
import time
from pathlib import Path

N_NEURONS, STEPS, ITEMS = 50, 10, 4
MATRIX = 3900  # rows and columns: 61 MB in single precision


def resident():
    """Bytes of this process that are in memory, after what is unreachable has been freed."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def network():
    """An ensemble behind an input node."""
    import nengo

    with nengo.Network(seed=0) as net:
        net.x = nengo.Node([0.0])
        ens = nengo.Ensemble(N_NEURONS, 1, neuron_type=nengo.RectifiedLinear())
        nengo.Connection(net.x, ens, synapse=None)
        net.y = nengo.Node(size_in=1)
        nengo.Connection(ens, net.y, synapse=None)
        net.p = nengo.Probe(net.y)
    return net


def use_simulator(data):
    """Build, fit, close."""
    import nengo_dl

    net = network()
    with nengo_dl.Simulator(net, minibatch_size=ITEMS, progress_bar=False) as sim:
        sim.compile("sgd", loss={net.p: "mse"})
        sim.fit({net.x: data}, {net.p: data}, verbose=0)


def use_keras(data):
    """The same of a plain Keras model."""
    import keras

    model = keras.Sequential(
        [
            keras.Input((STEPS, 1)),
            keras.layers.Dense(N_NEURONS, activation="relu"),
            keras.layers.Dense(1, use_bias=False),
        ]
    )
    model.compile("sgd", loss="mse")
    model.fit(data, data, batch_size=ITEMS, verbose=0)


def growth(use, count):
    """Bytes that each use leaves."""
    import numpy as np

    data = np.ones((ITEMS, STEPS, 1), np.float32)
    for _ in range(count // 3):
        use(data)
    before = resident()
    for _ in range(count - count // 3):
        use(data)
    return (resident() - before) / (count - count // 3)


def simulators(count):
    """Growth per simulator, in kB."""
    return f"{growth(use_simulator, count) / 1e3:.0f} kB per simulator of {count}"


def keras_models(count):
    """Growth per Keras model, in kB."""
    return f"{growth(use_keras, count) / 1e3:.0f} kB per Keras model of {count}"


def predict(count):
    """Growth over calls of `predict`, in MB."""
    import numpy as np

    import nengo_dl

    net = network()
    with nengo_dl.Simulator(net, minibatch_size=ITEMS, progress_bar=False) as sim:
        data = np.ones((ITEMS, STEPS, 1), np.float32)
        for _ in range(500):
            sim.predict({net.x: data})
        before = resident()
        for _ in range(count):
            sim.predict({net.x: data})
        return f"{(resident() - before) / 1e6:.2f} MB in {count} calls of predict"


def matrix(size):
    """Copies of a matrix beside the user's own: in the life of a simulator, after close, after."""
    os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"  # before TensorFlow is imported
    import nengo
    import numpy as np

    import nengo_dl

    use_simulator(np.ones((ITEMS, STEPS, 1), np.float32))
    with nengo.Network(seed=0) as net:
        a, b = nengo.Node(np.zeros(size)), nengo.Node(size_in=size)
        weights = np.random.default_rng(0).uniform(-1, 1, (size, size)).astype(np.float32)
        nengo.Connection(a, b, transform=weights, synapse=None)
        nengo.Probe(b)
    before, found = resident(), []

    def count():
        found.append((resident() - before) / weights.nbytes)

    sim = nengo_dl.Simulator(net, progress_bar=False)
    sim.run_steps(3)
    sim.predict(n_steps=3)
    count()
    sim.close()
    count()
    del sim
    count()
    living, closed, deleted = found
    return (
        f"{weights.nbytes / 1e6:.0f} MB: {living:.2f} copies in the life of a simulator,"
        f" {closed:.2f} after close, {deleted:.2f} when it is gone"
    )


def hour(minutes):
    """Rise of resident memory within one call of `run`, after a minute of simulated time."""
    import nengo
    from nengo.utils.progress import ProgressBar

    import nengo_dl

    class Watch(ProgressBar):
        """A progress bar that notes how much memory there is in use, instead of drawing."""

        seen = []

        def update(self, progress):
            self.seen.append((progress.n_steps, resident()))

        def close(self):
            pass

    with nengo.Network(seed=0) as net:
        source = nengo.Node([0.5])
        ens = nengo.Ensemble(N_NEURONS, 1, noise=nengo.processes.WhiteNoise())
        nengo.Connection(source, ens, transform=0.1, synapse=0.1)
        nengo.Connection(ens, ens, synapse=0.1)
        probe = nengo.Probe(ens, synapse=0.01, sample_every=0.1)
    with nengo_dl.Simulator(net, progress_bar=False) as sim:
        began, bar = time.perf_counter(), Watch()
        sim.run(60 * minutes, progress_bar=bar)
        seconds = time.perf_counter() - began
        samples = len(sim.data[probe])
    late = [size for steps, size in bar.seen if steps >= 60_000]
    if samples != 600 * minutes or len(late) < 10:
        raise SystemExit(
            f"expected {600 * minutes} samples and memory seen 10 times, got {samples}, {len(late)}"
        )
    rise = (max(late) - late[0]) / 1e6
    if rise > 10:
        raise SystemExit(f"expected memory to rise by at most 10 MB, got {rise:.1f} MB")
    return (
        f"{60_000 * minutes} steps in one run, {seconds:.0f} s: resident memory rises by {rise:.2f}"
        f" MB after the first minute, seen {len(late)} times, at {max(late) / 1e6:.0f} MB"
    )


FIGURES = {"simulators": simulators, "keras_models": keras_models, "predict": predict,
           "matrix": matrix, "hour": hour}  # fmt: skip


def main():
    """Print all figures, or one in this process."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--simulators", type=int, default=300)
    parser.add_argument("--calls", type=int, default=10_000)
    parser.add_argument("--minutes", type=int, default=60, help="of the hour (%(default)s)")
    parser.add_argument("--only", choices=FIGURES, help="one figure, in this process")
    args = parser.parse_args()
    sizes = {"predict": args.calls, "matrix": MATRIX, "hour": args.minutes}
    for name in [args.only] if args.only else FIGURES:
        if args.only:
            print(FIGURES[name](sizes.get(name, args.simulators)), flush=True)
            continue
        command = [sys.executable, __file__, "--only", name, "--calls", str(args.calls)]
        command += ["--simulators", str(args.simulators), "--minutes", str(args.minutes)]
        subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
