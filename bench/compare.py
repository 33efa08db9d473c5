"""Compares two builds of nengo_dl, or one build with different numbers of threads.

    python bench/compare.py --old /path/to/old/python --output result.json
    python bench/compare.py --threads 1 2 --only integrators-128x100 convolution-128x100

Each side has a process that holds one network after the other; the sides are measured in turn,
pair by pair, and some rounds of this have processes of their own. See bench/README.md.
"""

import argparse
import dataclasses
import importlib.util
import statistics
import sys
import tempfile
from pathlib import Path

import networks
import training_networks
from protocol import Worker
from results import commit, machine, summarise, write

DECODERS = Path(tempfile.gettempdir()) / "nengo-dl-bench-decoders"
MINIBATCHES = 10  # of a call of fit
# Calls that are timed: all training networks by their bare step, one also by fit.
TRAINED = {
    "mlp-784-256-10": ("step", "fit"),
    "recurrent-200": ("step",),
    "lmu": ("step",),
    "rate-mlp": ("step",),
    "surrogate-784-256-10": ("step",),
    "surrogate-recurrent": ("step",),
    "convolutional": ("step",),
    "adaptive": ("step",),
}
CALLS = {
    "simulation": dict.fromkeys(networks.NETWORKS, ("run_steps",)),
    "training": TRAINED,
}
assert set(TRAINED) <= set(training_networks.NETWORKS)


@dataclasses.dataclass(frozen=True)
class Side:
    """One of the two that are compared."""

    name: str
    package: Path  # folder that nengo_dl is imported from
    threads: int

    def start(self, kind, args):
        """A worker for all networks of a kind."""
        script, *options = {
            "simulation": (
                *("worker.py", "nengo_dl"),
                *("--steps", args.steps, "--decoder-cache", DECODERS),
            ),
            "training": ("train_worker.py", "--minibatches", MINIBATCHES, "--optimizer", "Adam"),
        }[kind]
        options += ["--threads", self.threads]
        return Worker(sys.executable, script, *options, package=self.package)

    def check(self, worker):
        """The package must be this side's, and not one that is installed."""
        got = Path(worker.started["package"]).resolve().parents[1]
        if got != self.package:
            raise SystemExit(f"{self.name}: expected nengo_dl from {self.package}, got {got}")


def start(kind, sides, args):
    """The worker of each side."""
    workers = {side: side.start(kind, args) for side in sides}
    for side, worker in workers.items():
        side.check(worker)
    return workers


def load(kind, network, workers):
    """Have all workers load a network; returns whether their results are equal to the last bit."""
    loaded = [worker.ask("load", network=network) for worker in workers.values()]
    first, second = (answer["output" if kind == "simulation" else "loss"] for answer in loaded)
    # A build that computes something else has no time worth comparing.
    if not abs(first - second) <= 0.15 * abs(first):
        raise SystemExit(
            f"{network}: expected results like those of the first side, {first:.6g}, got"
            f" {second:.6g} from the second"
        )
    if kind == "training":
        loaded = [worker.ask("digest") for worker in workers.values()]
    return loaded[0]["digest"] == loaded[1]["digest"]


def measure(call, workers, args):
    """Answers of all workers, in the order of the pairs."""
    answers = {side: [] for side in workers}
    repeat = repetitions(call, workers.values(), args.seconds)
    for pair in range(args.pairs):
        # A B B A: what drifts, drifts for both
        for side in reversed(workers) if pair % 2 else workers:
            answers[side].append(workers[side].ask(call, repeat=repeat, warm_up=1))
    return answers


def repetitions(call, workers, seconds):
    """How many calls take about so many seconds, the same on both sides."""
    slowest = max(worker.time(call, warm_up=2) for worker in workers)
    return max(1, round(seconds / slowest))


def figures(answers):
    """What is reported of a call: second over first side, by the clock and of processors."""
    result = {}
    for clock in ("seconds", "cpu_seconds"):
        first, second = ([a[clock] for a in of_side] for of_side in answers.values())
        ratios = [b / a for a, b in zip(first, second, strict=True)]
        result[clock] = {
            "first": summarise(first),
            "second": summarise(second),
            "ratio": summarise(ratios),
            "ratio_of_minima": min(second) / min(first),
        }
    return result


def row(name, result, same):
    """One line of the table."""
    clock, cpu = result["seconds"], result["cpu_seconds"]
    return (
        f"{name:<28}{clock['first']['min'] * 1e3:>9.3f}{clock['second']['min'] * 1e3:>9.3f}"
        f"{clock['ratio']['median']:>9.3f}{clock['ratio']['spread']:>7.0%}"
        f"{clock['ratio_of_minima']:>9.3f}"
        f"{cpu['ratio']['median']:>9.3f}{cpu['ratio']['spread']:>7.0%}"
        f"{cpu['ratio_of_minima']:>9.3f}{'equal' if same else 'differ':>8}"
    )


HEAD = (
    f"{'':<28}{'first':>9}{'second':>9}{'ratio':>9}{'spread':>7}{'of min':>9}"
    f"{'CPU':>9}{'spread':>7}{'of min':>9}{'bits':>8}"
)


def summary(rows):
    """Geometric means of the ratios, and the worst of them."""
    lines = {}
    for clock in ("seconds", "cpu_seconds"):
        for what, value in (
            ("ratio", lambda r: r["ratio"]["median"]),
            ("ratio of minima", lambda r: r["ratio_of_minima"]),
        ):
            ratios = {name: value(result[clock]) for name, result in rows.items()}
            worst = max(ratios, key=ratios.get)
            lines[f"{clock}, {what}"] = {
                "geometric_mean": statistics.geometric_mean(ratios.values()),
                "worst": [worst, ratios[worst]],
            }
    return lines


def run(kind, sides, args):
    """Compare all networks of a kind; returns its part of the result."""
    chosen = [network for network in CALLS[kind] if not args.only or network in args.only]
    if not chosen:
        return None
    rows, equal, answers = {}, {}, {}
    print(f"\n{kind}\n{HEAD}")
    for left in reversed(range(args.rounds)):
        workers = start(kind, sides, args)
        for network in chosen:
            equal[network] = load(kind, network, workers) and equal.get(network, True)
            for call in CALLS[kind][network]:
                name = network if call in ("run_steps", "step") else f"{network}, {call}"
                all_of_call = answers.setdefault(name, {side: [] for side in workers})
                for side, some in measure(call, workers, args).items():
                    all_of_call[side] += some
                if left == 0:
                    rows[name] = figures(all_of_call)
                    print(row(name, rows[name], equal[network]), flush=True)
        versions = {side.name: worker.started["versions"] for side, worker in workers.items()}
        for worker in workers.values():
            worker.close()
    means = summary(rows)
    for name, mean in means.items():
        worst, ratio = mean["worst"]
        print(f"{name}: geometric mean {mean['geometric_mean']:.3f}, most {ratio:.3f} ({worst})")
    return {"rows": rows, "equal": equal, "summary": means, "versions": versions}


def imported(parser):
    """The folder that this Python imports nengo_dl from."""
    found = importlib.util.find_spec("nengo_dl")
    if found is None:
        parser.error("expected --new FOLDER, got none, and this Python has no nengo_dl")
    return Path(found.origin).parents[1]


def parse_arguments():
    names = [name for calls in CALLS.values() for name in calls]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--old", type=Path, help="folder with nengo_dl and its built libraries")
    parser.add_argument(
        "--new", type=Path, help="another one (the folder that this Python imports nengo_dl from)"
    )
    parser.add_argument(
        "--threads",
        type=int,
        nargs="+",
        default=[1],
        help="one number for both sides, or two with which the new build is compared with itself"
        " (%(default)s)",
    )
    parser.add_argument("--kind", choices=sorted(CALLS), help="both by default")
    parser.add_argument("--only", nargs="+", choices=names, metavar="NETWORK", help="some networks")
    parser.add_argument(
        "--rounds",
        type=int,
        default=3,
        help="each in fresh processes (%(default)s)",
    )
    parser.add_argument(
        "--pairs", type=int, default=20, help="of measurements, in each round (%(default)s)"
    )
    parser.add_argument(
        "--seconds", type=float, default=0.02, help="of a measurement (%(default)s)"
    )
    parser.add_argument("--steps", type=int, default=1000, help="steps per run (%(default)s)")
    parser.add_argument("--output", type=Path, help="JSON file for all measured values")
    args = parser.parse_args()
    args.new = args.new or imported(parser)
    if len(args.threads) != (1 if args.old else 2):
        parser.error(
            "expected --old and one number of threads, or two numbers of threads without --old"
        )
    return args


def main():
    args = parse_arguments()
    if args.old:
        sides = (
            Side("old", args.old.resolve(), *args.threads),
            Side("new", args.new.resolve(), *args.threads),
        )
    else:
        sides = tuple(Side(f"{n} threads", args.new.resolve(), n) for n in args.threads)
    result = {
        "machine": machine(),
        "sides": [
            {"name": s.name, "threads": s.threads, "package": str(s.package), **commit(s.package)}
            for s in sides
        ],
    }
    for side in result["sides"]:
        print(f"{side['name']}: {side['commit']}, {side['threads']} thread(s)")
    print(
        f"{result['machine']['cpu']}, {result['machine']['cores']} cores, load"
        f" {result['machine']['load']:.1f}; ms per {args.steps} steps or per training step,"
        " the least; ratio: second over first, median of the pairs"
    )
    for kind in CALLS:
        if args.kind in (None, kind):
            result[kind] = run(kind, sides, args)
    write(result, args.output)
    equal = [e for kind in CALLS for e in ((result.get(kind) or {}).get("equal") or {}).values()]
    if not args.old and not all(equal):
        raise SystemExit("the numbers of threads give different results")


if __name__ == "__main__":
    main()
