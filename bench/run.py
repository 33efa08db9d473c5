"""Times nengo_dl against nengo.Simulator and, where its venv is given, the original NengoDL 3.6.

    python bench/run.py --original /path/to/venv/bin/python --output result.json

Each simulator runs in a process of its own. All of them are measured in turn within every
repetition, so that a slower minute of the machine hits them alike. See bench/README.md.
"""

import argparse
import statistics
import sys
from pathlib import Path

from networks import NETWORKS
from protocol import Worker
from results import machine, summarise, write

WARM_UP = 2  # calls before the first that counts


def contestants(args):
    """Names of the columns, each with how to start its worker and the calls to time."""
    rows = {
        "nengo_dl": (sys.executable, "nengo_dl", 1, ("run_steps", "graph")),
        "nengo": (sys.executable, "nengo", 1, ("run_steps",)),
    }
    if args.original:
        for unroll in args.unroll:
            name = f"original (unroll {unroll})"
            rows[name] = (args.original, "original", unroll, ("run_steps", "graph"))
    return rows


def measure(network, args):
    """Seconds of every call, in the order of the repetitions, and of every first run."""
    seconds, first, started = {}, {}, {}
    for _ in range(args.rounds):
        workers = {}
        for name, (python, simulator, unroll, calls) in contestants(args).items():
            worker = Worker(
                python, "worker.py", simulator, "--steps", args.steps, "--unroll", unroll
            )
            workers[name] = (worker, calls)
            started[name] = {**worker.started, **worker.ask("load", network=network)}
            first.setdefault(name, []).append(started[name]["first_run_seconds"])
            for call in calls:
                for _ in range(WARM_UP):
                    worker.time(call)
        for _ in range(args.repetitions):
            for name, (worker, calls) in workers.items():
                for call in calls:
                    seconds.setdefault((name, call), []).append(worker.time(call))
        for worker, _ in workers.values():
            worker.close()
    return seconds, first, started


def check_outputs(network, started):
    """A simulator that computes something else has no time worth comparing."""
    expected = started["nengo"]["output"]
    for name, start in started.items():
        if not abs(start["output"] - expected) <= 0.15 * expected:
            raise SystemExit(
                f"{network}: expected a root mean square of the output of {expected:.4g} as in"
                f" nengo, got {start['output']:.4g} from {name}"
            )


def report(network, seconds, first, started):
    """Print one network's table; return its part of the result."""
    ours = seconds["nengo_dl", "run_steps"]
    result = {"calls": [], "first_run": {}, "import": {}}
    print(f"\n{network}\n  {'':<32}{'median':>10}{'min':>10}{'spread':>9}{'ratio':>9}")
    for (name, call), values in seconds.items():
        row = {"simulator": name, "call": call, **summarise(values)}
        # Pairs of one repetition are compared, not the medians of different minutes.
        row["ratio"] = statistics.median(a / b for a, b in zip(values, ours, strict=True))
        result["calls"].append(row)
        print(
            f"  {name + ', ' + call:<32}{row['median'] * 1e3:>7.2f} ms{row['min'] * 1e3:>7.2f} ms"
            f"{row['spread']:>8.0%} {row['ratio']:>7.1f}x"
        )
    for name, values in first.items():
        result["first_run"][name] = summarise(values)
        result["import"][name] = started[name]["import_seconds"]
        print(
            f"  {name + ', first run':<32}{statistics.median(values):>8.2f} s {min(values):>8.2f} s"
            f"   (import before it: {started[name]['import_seconds']:.1f} s)"
        )
    return result


def table(networks):
    """The published table, in Markdown: what README.md shows of a result."""
    names = [c for c in next(iter(networks.values()))["first_run"] if c != "nengo_dl"]
    head = ["network", "`nengo_dl`, ms", *(f"{n}, ratio" for n in names), "first run - nengo's, s"]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for network, result in networks.items():
        calls = {c["simulator"]: c for c in result["calls"] if c["call"] == "run_steps"}
        first = {name: values["median"] for name, values in result["first_run"].items()}
        cells = [network, f"{calls['nengo_dl']['median'] * 1e3:.2f}"]
        cells += [f"{calls[name]['ratio']:.1f}" for name in names]
        cells += [f"{first['nengo_dl'] - first['nengo']:+.2f}"]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--original", help="Python of a venv with NengoDL 3.6")
    parser.add_argument(
        "--unroll", type=int, nargs="+", default=[25], help="unroll_simulation of the original"
    )
    parser.add_argument(
        "--networks", nargs="+", choices=sorted(NETWORKS), default=list(NETWORKS), metavar="NETWORK"
    )
    parser.add_argument("--steps", type=int, default=1000, help="steps per call (%(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="fresh processes (%(default)s)")
    parser.add_argument(
        "--repetitions", type=int, default=10, help="timed calls per process (%(default)s)"
    )
    parser.add_argument("--output", type=Path, help="JSON file for all measured values")
    return parser.parse_args()


def main():
    args = parse_arguments()
    result = {"machine": machine(), "steps": args.steps, "networks": {}}
    print(
        f"{result['machine']['cpu']}, {result['machine']['cores']} cores, "
        f"load {result['machine']['load']:.1f}; batch 1, {args.steps} steps per call\n"
        "ratio: time of the row over that of nengo_dl, run_steps, median over the repetitions"
    )
    for network in args.networks:
        seconds, first, started = measure(network, args)
        check_outputs(network, started)
        result["networks"][network] = report(network, seconds, first, started)
        result["versions"] = {name: start["versions"] for name, start in started.items()}
    print("\n" + table(result["networks"]))
    write(result, args.output)


if __name__ == "__main__":
    main()
