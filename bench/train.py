"""Times training steps of nengo_dl against those of the original NengoDL 3.6.

    python bench/train.py --original /path/to/venv/bin/python --output result.json

Each simulator runs in a process of its own, the original once for every ``unroll_simulation``. All
are measured in turn within every repetition. See bench/README.md.
"""

import argparse
import statistics
import sys
from pathlib import Path

from protocol import Worker
from results import machine, summarise, write

# Values of the original's unroll_simulation to choose from; each divides the number of steps.
NETWORKS = {
    "rate-mlp": (1,),
    "mlp-784-256-10": (1, 5, 20),
    "mlp-recurrent-256": (1, 5, 25),
    "convolutional-1": (1,),
    "convolutional": (1, 5, 10),
    "lmu": (1, 5, 25),
    "recurrent-200": (1, 5, 25),
}
CALLS = ("fit", "fit_callback", "step")
WARM_UP = 1  # calls before the first that counts


def start(network, args):
    """Workers by name."""
    rows = {"nengo_dl": (sys.executable, 1)}
    if args.original:
        rows |= {
            f"original (unroll {u})": (args.original, u) for u in args.unroll or NETWORKS[network]
        }
    return {
        name: Worker(
            python,
            "train_worker.py",
            "--unroll",
            unroll,
            "--minibatches",
            args.minibatches,
        )
        for name, (python, unroll) in rows.items()
    }


def measure(network, args):
    """Seconds of every call in the order of the repetitions, and what workers said at first."""
    seconds, started = {}, {}
    repeat = {"fit": 1, "fit_callback": 1, "step": args.minibatches}
    for _ in range(args.rounds):
        workers = start(network, args)
        for name, worker in workers.items():
            started[name] = {**worker.started, **worker.ask("load", network=network)}
            for call in CALLS * WARM_UP:
                worker.time(call, repeat=repeat[call])
        for _ in range(args.repetitions):
            for name, worker in workers.items():
                for call in CALLS:
                    took = worker.time(call, repeat=repeat[call])
                    seconds.setdefault((name, call), []).append(took)
        for worker in workers.values():
            worker.close()
    return seconds, started


def check_losses(network, started):
    """A simulator that trains something else has no time worth comparing."""
    expected = started["nengo_dl"]["loss"]
    for name, start_values in started.items():
        if not abs(start_values["loss"] - expected) <= 1e-3 * abs(expected):
            raise SystemExit(
                f"{network}: expected the loss {expected:.6g} of nengo_dl, got"
                f" {start_values['loss']:.6g} from {name}"
            )


def report(network, seconds, started):
    """Print one network's table; return its part of the result."""
    rows = []
    print(
        f"\n{network}\n  {'per training step':<32}{'median':>11}{'min':>11}"
        f"{'spread':>8}{'ratio':>9}"
    )
    for (name, call), values in seconds.items():
        row = {"simulator": name, "call": call, **summarise(values)}
        # Pairs of one repetition are compared, not the medians of different minutes.
        ours = seconds["nengo_dl", call]
        row["ratio"] = statistics.median(a / b for a, b in zip(values, ours, strict=True))
        rows.append(row)
        print(
            f"  {name + ', ' + call:<32}{row['median'] * 1e3:>8.2f} ms{row['min'] * 1e3:>8.2f} ms"
            f"{row['spread']:>8.0%}{row['ratio']:>8.1f}x"
        )
    first = {name: values["first_fit_seconds"] for name, values in started.items()}
    for name, value in first.items():
        print(f"  {name + ', first fit':<32}{value:>8.2f} s")
    return {"calls": rows, "first_fit": first}


def table(networks):
    """The published table, in Markdown: the original with the unrolling that suits it best."""
    lines = [
        "| network | `nengo_dl`: `fit`, ms | with a callback per minibatch, ms |"
        " its train step alone, ms | original: times slower, `fit` | with a callback |"
        " train step alone | with unroll |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for network, result in networks.items():
        best, unrolls = {}, set()
        for call in CALLS:
            rows = [r for r in result["calls"] if r["call"] == call and "orig" in r["simulator"]]
            if rows:
                best[call] = min(rows, key=lambda r: r["median"])
                unrolls.add(best[call]["simulator"].split()[-1].rstrip(")"))
        ours = {r["call"]: r for r in result["calls"] if r["simulator"] == "nengo_dl"}
        cells = [network, *(f"{ours[call]['median'] * 1e3:.2f}" for call in CALLS)]
        cells += [f"{best[call]['ratio']:.1f}" if best else "" for call in CALLS]
        lines.append("| " + " | ".join([*cells, ", ".join(sorted(unrolls, key=int))]) + " |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--original", help="Python of a venv with NengoDL 3.6")
    parser.add_argument(
        "--unroll",
        type=int,
        nargs="+",
        help="values of the original's unroll_simulation to try; the best one counts",
    )
    parser.add_argument(
        "--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS), metavar="NETWORK"
    )
    parser.add_argument(
        "--minibatches", type=int, default=20, help="training steps per call (%(default)s)"
    )
    parser.add_argument("--rounds", type=int, default=1, help="fresh processes (%(default)s)")
    parser.add_argument(
        "--repetitions", type=int, default=7, help="timed calls per process (%(default)s)"
    )
    parser.add_argument("--output", type=Path, help="JSON file for all measured values")
    args = parser.parse_args()

    result = {"machine": machine(), "minibatches": args.minibatches, "networks": {}}
    print(
        f"{result['machine']['cpu']}, {result['machine']['cores']} cores, "
        f"load {result['machine']['load']:.1f}; {args.minibatches} training steps per call\n"
        "ratio: time of the row over that of the same call of nengo_dl"
    )
    for network in args.networks:
        seconds, started = measure(network, args)
        check_losses(network, started)
        result["networks"][network] = report(network, seconds, started)
        result["versions"] = {name: values["versions"] for name, values in started.items()}
    print("\n" + table(result["networks"]))
    write(result, args.output)


if __name__ == "__main__":
    main()
