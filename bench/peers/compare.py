"""Times training steps of nengo_dl against those of JAX, SpikingJelly, Norse and snnTorch.

    python bench/peers/compare.py --jax /path/to/venv/bin/python --torch /path/to/venv/bin/python

Each has a process of its own; all are measured in turn within every repetition. `common.py` says
what they train. The venvs:

    python3.11 -m venv jax && jax/bin/pip install jax jaxlib optax
    python3.11 -m venv torch && torch/bin/pip install torch torchvision spikingjelly norse snntorch

The clock's figures are worth something on a machine that does nothing else; processor time, of all
threads, counts what is done.
"""

import argparse
import statistics
import sys
from pathlib import Path

from common import NETWORKS
from protocol import Worker
from results import machine, summarise, write

ON_TORCH = ("SpikingJelly", "Norse", "snnTorch")
OURS = ("step", "fit", "fit, callback")  # calls of nengo_dl; the others have a step only


def start(args):
    """Workers by name."""
    scripts = {"nengo_dl": (sys.executable, "ours.py"), "JAX": (args.jax, "jax_scan.py")}
    scripts |= {name: (args.torch, f"{name.lower()}_step.py") for name in ON_TORCH}
    return {
        name: Worker(python, f"peers/{script}")
        for name, (python, script) in scripts.items()
        if python and (args.only is None or name in ("nengo_dl", *args.only))
    }


def measure(network, workers, args):
    """Seconds per training step of each row, in the order of the repetitions, by two clocks."""
    seconds = {}
    for worker in workers.values():
        worker.ask("load", network=network)
    for repetition in range(args.repetitions + 1):
        for name, worker in workers.items():
            for call in OURS if name == "nengo_dl" else OURS[:1]:
                took = worker.ask("time", name=call, repeat=args.steps)
                if repetition:  # the first one warms up
                    seconds.setdefault((name, call), []).append(took)
    return seconds


def report(network, seconds):
    """Print a table; return its rows."""
    print(
        f"\n{network}\n  {'per training step':<28}{'median':>11}{'spread':>8}{'/ our step':>12}"
        f"{'processors':>14}{'/ our step':>12}"
    )
    rows = []
    for (name, call), values in seconds.items():
        row = {"name": name, "call": call}
        for clock in ("seconds", "cpu_seconds"):
            mine = [value[clock] for value in values]
            ours = [value[clock] for value in seconds["nengo_dl", "step"]]
            ratio = statistics.median(a / b for a, b in zip(mine, ours, strict=True))
            row[clock] = {**summarise(mine), "ratio": ratio}
        rows.append(row)
        clock, cpu = row["seconds"], row["cpu_seconds"]
        print(
            f"  {f'{name}, {call}':<28}{clock['median'] * 1e3:>8.2f} ms{clock['spread']:>8.0%}"
            f"{clock['ratio']:>12.2f}{cpu['median'] * 1e3:>11.2f} ms{cpu['ratio']:>12.2f}"
        )
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jax", help="Python of a venv with JAX and Optax")
    parser.add_argument("--torch", help="Python of a venv with the libraries on PyTorch")
    parser.add_argument("--only", nargs="+", choices=("JAX", *ON_TORCH), help="some of the peers")
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=NETWORKS)
    parser.add_argument("--steps", type=int, default=20, help="per measurement (%(default)s)")
    parser.add_argument("--repetitions", type=int, default=7, help="(%(default)s)")
    parser.add_argument("--output", type=Path, help="JSON file for all measured values")
    args = parser.parse_args()
    workers = start(args)
    result = {"machine": machine(), "networks": {}}
    result["versions"] = {name: worker.started["versions"] for name, worker in workers.items()}
    print(result["machine"]["cpu"], *result["versions"].values(), sep="\n")
    for network in args.networks:
        result["networks"][network] = report(network, measure(network, workers, args))
    for worker in workers.values():
        worker.close()
    write(result, args.output)


if __name__ == "__main__":
    main()
