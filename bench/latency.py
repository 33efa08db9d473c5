"""What single calls cost: `sim.step()`, functions of Nodes, `predict`, the build of many weights.

    python bench/latency.py

Each simulator takes its turn with `nengo.Simulator` in one process, round by round; figures are
medians of the rounds, by the clock. "times faster" is the median of the rounds' ratios, in
processor time, which does not count what other programs take; so are the figures of functions.
Spread as in `run.py`. float32, one item, calls that follow many others.
"""

import argparse
import os
import time
from functools import partial
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import nengo
import numpy as np
import results
import tensorflow as tf

import nengo_dl

US = 1e6


def ensemble(output, neurons=50):
    """An ensemble with an input Node and a decoded probe."""
    with nengo.Network(seed=0) as net:
        node = nengo.Node(output)
        neurons = nengo.Ensemble(neurons, 1)
        nengo.Connection(node, neurons)
        net.p = nengo.Probe(neurons, synapse=0.01)
    return net


def decay(t, x):
    return 0.9 * x + 0.05


def loops(count, neurons=50):
    """Ensembles with a Python function in a loop each."""
    with nengo.Network(seed=0) as net:
        for _ in range(count):
            ens = nengo.Ensemble(neurons, 1)
            node = nengo.Node(decay, size_in=1)
            nengo.Connection(ens, node, synapse=0.1)
            nengo.Connection(node, ens)
        net.p = nengo.Probe(ens, synapse=0.01)
    return net


STEPPED = {
    "constant input": lambda: ensemble(0.5),
    "function as input": lambda: ensemble(lambda t: np.sin(t)),
    "process as input": lambda: ensemble(nengo.processes.WhiteSignal(1.0, high=5)),
    "Python node in a loop": lambda: loops(1),
    "30 Python nodes": lambda: loops(30),
}


def many_weights(count):
    """Connections whose weights all have shapes of their own."""
    with nengo.Network(seed=0) as net:
        node = nengo.Node(0.5)
        for i in range(count):
            target = nengo.Node(size_in=i + 2)
            nengo.Connection(node, target, transform=np.ones((i + 2, 1)), synapse=None)
        net.p = nengo.Probe(target)
    return net


def seconds(call, times):
    """Wall and processor seconds of a call, the mean of some in a row."""
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(times):
        call()
    return (time.perf_counter() - wall) / times, (time.process_time() - cpu) / times


def pairs(ours, theirs, times, rounds, unit=US):
    """Time two calls in turn: ours, theirs, how many times faster."""
    for call in (ours, theirs):
        seconds(call, times)
    found = [(seconds(ours, times), seconds(theirs, times)) for _ in range(rounds)]
    return {
        "ours": results.summarise([unit * wall for (wall, _), _ in found]),
        "nengo": results.summarise([unit * wall for _, (wall, _) in found]),
        "times faster": results.summarise([theirs / ours for (_, ours), (_, theirs) in found]),
    }


def show(name, row):
    def figure(key):
        return f"{row[key]['median']:>9.2f} ({100 * row[key]['spread']:.0f} %)"

    print(f"{name:<44}" + "".join(f"{figure(key):>18}" for key in row))


def both(net):
    return nengo_dl.Simulator(net, progress_bar=False), nengo.Simulator(net, progress_bar=False)


def steps(rounds):
    """`step()` and `run_steps(1)`, microseconds."""
    rows = {}
    for name, make in STEPPED.items():
        ours, theirs = both(make())
        with ours, theirs:
            rows[f"step(): {name}"] = pairs(ours.step, theirs.step, 200, rounds)
            if name == "constant input":
                one = [partial(sim.run_steps, 1, progress_bar=False) for sim in (ours, theirs)]
                rows[f"run_steps(1): {name}"] = pairs(*one, 200, rounds)
    return rows


def functions(rounds, many=1000):
    """What a Node's function costs per step beyond its own time, microseconds."""
    ours, theirs = both(loops(1))
    same = nengo_dl.Simulator(native_loop(), progress_bar=False)
    x = np.array([0.3], np.float32)
    with ours, theirs, same:
        calls = (
            lambda: [decay(0.1, x) for _ in range(many)],
            lambda: ours.run_steps(many, progress_bar=False),
            lambda: same.run_steps(many, progress_bar=False),
            lambda: theirs.run_steps(many, progress_bar=False),
        )
        for call in calls:
            call()
        found = [[US / many * seconds(call, 5)[1] for call in calls] for _ in range(rounds)]
    summed = {
        "the function by itself": [f for f, *_ in found],
        "a step with it": [a for _, a, *_ in found],
        "beyond function and rest of the step": [a - f - s for f, a, s, _ in found],
        "Nengo: a step with it": [b for *_, b in found],
    }
    return {name: {"ours": results.summarise(values)} for name, values in summed.items()}


def native_loop(neurons=50):
    """The network of `loops` with what its function does as a connection."""
    with nengo.Network(seed=0) as net:
        ens, node = nengo.Ensemble(neurons, 1), nengo.Node(size_in=1)
        nengo.Connection(ens, node, synapse=0.1, transform=0.9)
        nengo.Connection(nengo.Node(0.05), node)
        nengo.Connection(node, ens, synapse=0)
        net.p = nengo.Probe(ens, synapse=0.01)
    return net


def predicts(rounds):
    """The first `predict` and those after it, milliseconds; beside it Nengo's `run_steps`."""
    net = ensemble(0.5)
    first = []
    for _ in range(rounds):
        with nengo_dl.Simulator(net, progress_bar=False) as sim:
            first.append(1e3 * seconds(lambda sim=sim: sim.predict(n_steps=100), 1)[0])
    ours, theirs = both(net)
    with ours, theirs:
        lengths = iter(range(200, 100_000))
        rows = {
            "predict, 100 steps": pairs(
                lambda: ours.predict(n_steps=100),
                lambda: theirs.run_steps(100, progress_bar=False),
                10,
                rounds,
                1e3,
            ),
            "predict, another number of steps each time": {
                "ours": results.summarise(
                    [
                        1e3 * seconds(lambda: ours.predict(n_steps=next(lengths)), 10)[0]
                        for _ in range(rounds)
                    ]
                )
            },
            "predict, 100 steps, processor time": {
                "ours": results.summarise(
                    [1e3 * seconds(lambda: ours.predict(n_steps=100), 50)[1] for _ in range(rounds)]
                )
            },
        }
    return {"the first predict of a simulator": {"ours": results.summarise(first)}, **rows}


def weights(count):
    """Seconds of build and first `predict` with many separate weights, once."""
    import keras

    net = many_weights(count)
    build_nengo = seconds(lambda: nengo.Simulator(net, progress_bar=False).close(), 1)[0]
    layer = keras.layers.Layer(dtype="float32")

    def plain():
        for i in range(count):  # shapes that TensorFlow has not seen either
            value = np.ones((1, i + 2), np.float32)
            layer.add_weight(
                name=f"w{i}",
                shape=value.shape,
                dtype="float32",
                initializer=lambda shape, dtype=None, value=value: tf.convert_to_tensor(value),
            )

    build_keras = seconds(plain, 1)[0]
    sims = []
    build = seconds(lambda: sims.append(nengo_dl.Simulator(net, progress_bar=False)), 1)[0]
    (sim,) = sims
    with sim:
        made = len(sim.tensor_graph.weights)
        first = seconds(lambda: sim.predict(n_steps=5), 1)[0]
    found = {
        f"nengo.Simulator, {count} connections": build_nengo,
        f"as many weights of a plain Keras layer ({made})": build_keras,
        "nengo_dl.Simulator": build,
        "its first predict": first,
    }
    return {name: {"ours": results.summarise([value])} for name, value in found.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--weights", type=int, default=300, help="0: leave them out")
    parser.add_argument("--output", type=Path, help="JSON file for all values")
    args = parser.parse_args()
    found = {"machine": results.machine()}
    parts = {
        "microseconds (spread)": lambda: steps(args.rounds),
        "microseconds per step of 1000, processor time": lambda: functions(args.rounds),
        "milliseconds": lambda: predicts(args.rounds),
    }
    if args.weights:
        parts["seconds, once"] = lambda: weights(args.weights)
    for title, measure in parts.items():
        rows = found[title] = measure()
        print(f"\n{title:<44}" + "".join(f"{key:>18}" for key in max(rows.values(), key=len)))
        for name, row in rows.items():
            show(name, row)
    results.write(found, args.output)


if __name__ == "__main__":
    main()
