"""Peak memory and time of training through a very long sequence, by the setting ``tape_memory``.

    python bench/tape_memory.py

A recurrent ensemble of 500 neurons, 10,000 steps, batch 8. Every limit gets a process of its own;
they are timed in turn. Losses and weights after the same steps must be equal whatever the limit.
"""

import argparse
import statistics
import sys
from pathlib import Path

from protocol import Channel, Worker, timed

MB = 1 << 20
EVERYTHING = 1 << 50  # bytes: more than any recording


def peak_bytes():
    """Most memory that this process has had at once."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("/proc/self/status has no line VmHWM")


def network(limit, n_neurons):
    """A recurrent ensemble whose training records at most ``limit`` bytes."""
    import nengo

    import nengo_dl

    with nengo.Network(seed=0) as net:
        nengo_dl.configure_settings(tape_memory=limit)
        net.inp = nengo.Node([0.0])
        neurons = nengo.Ensemble(n_neurons, 1)
        nengo.Connection(net.inp, neurons, synapse=0.1)
        nengo.Connection(neurons, neurons, synapse=0.1)
        net.p = nengo.Probe(neurons, synapse=0.01)
    return net


def work(args):
    """Train on request."""
    channel = Channel()
    import keras
    import numpy as np

    import nengo_dl

    net = network(args.worker, args.neurons)
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, size=(args.batch, args.steps, 1)).astype(np.float32)
    y = np.zeros_like(x)
    sim = nengo_dl.Simulator(net, minibatch_size=args.batch, progress_bar=False)
    with sim:
        sim.compile(keras.optimizers.SGD(1e-6), loss={net.p: "mse"})
        # All that is allocated once and has nothing to do with the length: TensorFlow, the graph.
        sim.fit(x[:, :10], y[:, :10], verbose=0, shuffle=False)
        channel.answer(base=peak_bytes())
        losses = []

        def fit():
            seconds, history = timed(lambda: sim.fit(x, y, verbose=0, shuffle=False).history)
            losses.extend(history["loss"])
            weights = sum(float(np.abs(w).sum(dtype=float)) for w in sim.keras_model.get_weights())
            return {**seconds, "peak": peak_bytes(), "losses": losses, "weights": weights}

        channel.serve({"fit": fit})


def measure(args):
    """What the worker of each limit said, in the order of its repetitions."""
    limits = {"everything": EVERYTHING, **{f"{mb} MB": mb * MB for mb in args.limits}}
    sizes = ("--steps", args.steps, "--neurons", args.neurons, "--batch", args.batch)
    workers = {
        name: Worker(sys.executable, "tape_memory.py", "--worker", limit, *sizes)
        for name, limit in limits.items()
    }
    answers = {name: [] for name in workers}
    for _ in range(args.repetitions + 1):  # the first does not count
        for name, worker in workers.items():
            answers[name].append(worker.ask("fit"))
    base = {name: worker.started["base"] for name, worker in workers.items()}
    for worker in workers.values():
        worker.close()
    return limits, base, answers


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--limits", type=int, nargs="+", default=[256, 64, 16, 0], help="MB each")
    parser.add_argument("--steps", type=int, default=10_000)
    parser.add_argument("--neurons", type=int, default=500)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument(
        "--slack",
        type=int,
        default=64,
        help="MB for all else that grows with the steps (%(default)s)",
    )
    parser.add_argument("--worker", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker is not None:
        work(args)
        return
    limits, base, answers = measure(args)
    print(
        f"{args.neurons} neurons, {args.steps} steps, batch {args.batch}\n"
        f"{'recorded at most':<18}{'before':>10}{'peak':>10}{'more':>10}{'median':>10}{'ratio':>8}"
    )
    everything = [answer["seconds"] for answer in answers["everything"][1:]]
    ok = True
    for name, rows in answers.items():
        seconds = [answer["seconds"] for answer in rows[1:]]
        ratio = statistics.median(a / b for a, b in zip(seconds, everything, strict=True))
        more = rows[-1]["peak"] - base[name]
        print(
            f"{name:<18}{base[name] / MB:>7.0f} MB{rows[-1]['peak'] / MB:>7.0f} MB"
            f"{more / MB:>7.0f} MB{statistics.median(seconds):>8.3f} s{ratio:>7.2f}x"
        )
        got, expected = (
            [*a[-1]["losses"], a[-1]["weights"]] for a in (rows, answers["everything"])
        )
        same = all(abs(a - b) <= 1e-9 * abs(b) for a, b in zip(got, expected, strict=True))
        # Beside the recording: data, outputs and their gradients, threads' own memory.
        bounded = limits[name] == EVERYTHING or more <= limits[name] + args.slack * MB
        if not same or not bounded or ratio > 1.5:
            ok = False
            print(f"  {'other results; ' * (not same)}{'not bounded; ' * (not bounded)}", end="")
            print("slower than 1.5 times" * (ratio > 1.5))
    sys.exit(not ok)


if __name__ == "__main__":
    main()
