"""Times nengo_dl against nengo.Simulator and, where its venv is given, the original NengoDL 3.6.

    python bench/run.py --original /path/to/venv/bin/python --output result.json

Each simulator runs in a process of its own. All of them are measured in turn within every
repetition, so that a slower minute of the machine hits them alike. See bench/README.md.
"""

import argparse
import datetime
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from networks import NETWORKS

BENCH = Path(__file__).resolve().parent
WARM_UP = 2  # calls before the first that counts


class Worker:
    """A process that holds one simulator and times it on request.

    ``script`` is a file of this folder that answers as worker.py does.
    """

    def __init__(self, python, script, *args):
        command = [python, "-W", "ignore", str(BENCH / script), *map(str, args)]
        self.errors = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
        )
        self.started = self.read()

    def read(self):
        line = self.process.stdout.readline()
        if not line:
            self.process.wait()
            self.errors.seek(0)
            raise SystemExit(f"{' '.join(self.process.args)} failed:\n{self.errors.read()[-4000:]}")
        return json.loads(line)

    def ask(self, call):
        """Have it do something; returns all that it answers."""
        self.process.stdin.write(call + "\n")
        self.process.stdin.flush()
        return self.read()

    def time(self, call):
        return self.ask(call)["seconds"]

    def close(self):
        self.process.communicate()
        self.errors.close()


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
                python, "worker.py", simulator, network, "--steps", args.steps, "--unroll", unroll
            )
            workers[name] = (worker, calls)
            started[name] = worker.started
            first.setdefault(name, []).append(worker.started["first_run_seconds"])
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
    means = {name: start["output_mean"] for name, start in started.items()}
    expected = means["nengo"]
    for name, mean in means.items():
        if not abs(mean - expected) <= 0.15 * abs(expected):
            raise SystemExit(
                f"{network}: the mean output of {name} is {mean:.4g}, that of nengo {expected:.4g}"
            )


def summarise(values):
    middle = statistics.median(values)
    quartiles = statistics.quantiles(values, n=4) if len(values) > 1 else [middle] * 3
    return {
        "median": middle,
        "min": min(values),
        "max": max(values),
        "spread": (quartiles[2] - quartiles[0]) / middle,
        "all": values,
    }


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


def cpu_name():
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor()


def git(*args):
    done = subprocess.run(["git", "-C", str(BENCH), *args], capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 else None


def machine():
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "cpu": cpu_name(),
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
        "system": platform.platform(),
        "commit": git("rev-parse", "HEAD"),
        "uncommitted": bool(git("status", "--porcelain", "--", "..")),
    }


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
    if args.output:
        args.output.write_text(json.dumps(result, indent=1) + "\n")
        print(f"\nall values: {args.output}")


if __name__ == "__main__":
    main()
