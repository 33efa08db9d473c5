"""Times networks of spiking neurons against Brian2 in C++ standalone mode.

    python bench/peers/spiking.py --brian /path/to/venv/bin/python

with a venv of its own:

    python3.11 -m venv brian && brian/bin/pip install brian2 scipy "numpy<2.3"

Both are measured in turn within every repetition: `sim.run_steps` here, the run of the compiled
program there. The mean rates must agree within 15 %.
"""

import argparse
import statistics
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from protocol import Worker  # noqa: E402
from results import machine, summarise, write  # noqa: E402

NETWORKS = ("dense-2000", "sparse-2000")


def measure(network, ours, brian, args):
    """Seconds of every run by name, and the rates."""
    rates = brian.ask("load", network=network, steps=args.steps), ours.ask("load", network=network)
    seconds = {"nengo_dl": [], "Brian2": []}
    for _ in range(args.repetitions):
        seconds["nengo_dl"].append(ours.time("run_steps"))
        seconds["Brian2"].append(brian.time("time"))
    return seconds, rates[0]["rate"], rates[1]["mean"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--brian", required=True, help="Python of a venv with Brian2")
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=NETWORKS)
    parser.add_argument("--steps", type=int, default=1000, help="of a run (%(default)s)")
    parser.add_argument("--repetitions", type=int, default=7)
    parser.add_argument("--output", type=Path, help="JSON file for all measured values")
    args = parser.parse_args()

    ours = Worker(sys.executable, "worker.py", "nengo_dl", "--steps", args.steps)
    brian = Worker(args.brian, "peers/brian2_standalone.py")
    result = {"machine": machine(), "steps": args.steps, "networks": {}}
    print(f"{result['machine']['cpu']}, load {result['machine']['load']:.1f}; {args.steps} steps")
    for network in args.networks:
        seconds, rate, due = measure(network, ours, brian, args)
        if not abs(rate - due) <= 0.15 * due:
            raise SystemExit(
                f"{network}: expected a rate of {due:.4g} Hz, got {rate:.4g} from Brian2"
            )
        ratio = statistics.median(
            b / a for a, b in zip(seconds["nengo_dl"], seconds["Brian2"], strict=True)
        )
        rows = {name: summarise(values) for name, values in seconds.items()}
        result["networks"][network] = {"rows": rows, "ratio": ratio, "rate": rate}
        for name, row in rows.items():
            print(f"{network:14s}{name:10s}{row['median'] * 1e3:8.1f} ms {row['spread']:5.0%}")
        print(f"{network:14s}Brian2 takes {ratio:.2f} times as long")
    for worker in (ours, brian):
        worker.close()
    write(result, args.output)


if __name__ == "__main__":
    main()
