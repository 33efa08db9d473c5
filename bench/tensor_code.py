"""Times models that call TensorFlow against the original NengoDL 3.6, and looks at their memory.

    python bench/tensor_code.py --original /path/to/original/bin/python --output result.json

Both run in processes of their own and are measured in turn. Figures of a case: seconds of a call
(an epoch of 10 minibatches of 50 items, or a prediction), and the original's over ours.
"""

import argparse
import sys
from pathlib import Path

from protocol import Worker
from results import machine, summarise, write

CASES = {
    "train": "Conv2D layers and LIF neurons, an epoch at one step",
    "predict": "the same, spiking, 30 steps",
    "cycle 1": "a TensorNode on a cycle, 1000 steps, one item",
    "cycle 50": "the same, 50 items",
    "converted": "a converted Keras model, spiking, 30 steps",
}
MEMORY_STEPS = (1000, 10_000)


def measure(case, args):
    """Seconds of every call, by side."""
    seconds = {"ours": [], "original": []}
    for _ in range(args.rounds):
        workers = {
            "ours": Worker(sys.executable, "tensor_code_worker.py", "--threads", args.threads)
        }
        if args.original:
            workers["original"] = Worker(
                args.original, "tensor_code_worker.py", "--threads", args.threads, package=""
            )
        for worker in workers.values():
            worker.ask("load", case=case, unroll=args.unroll)
            worker.ask("time", repeat=1, warm_up=1)
        for _ in range(args.repetitions):
            for name, worker in workers.items():
                seconds[name].append(worker.time("time", repeat=1, warm_up=0))
        for worker in workers.values():
            worker.close()
    return seconds


def report(case, seconds):
    """Print a line; what goes into the file."""
    result = {name: summarise(values) for name, values in seconds.items() if values}
    line = f"{case:<12}{result['ours']['median'] * 1e3:>9.1f} ms"
    if seconds["original"]:
        pairs = zip(seconds["original"], seconds["ours"], strict=True)
        result["ratio"] = ratio = summarise([theirs / ours for theirs, ours in pairs])
        line += f"   original / ours {ratio['median']:6.2f}, spread {ratio['spread']:.0%}"
    print(f"{line}   ({CASES[case]})", flush=True)
    return result


def memory(args):
    """How the memory of a run grows with its steps."""
    worker = Worker(sys.executable, "tensor_code_worker.py", "--threads", args.threads)
    found = {n: worker.ask("grow", n_steps=n)["megabytes"] for n in MEMORY_STEPS}
    worker.close()
    for n_steps, megabytes in found.items():
        print(f"run_steps({n_steps}) through 2000 units, 4 items: {megabytes:.0f} MB more")
    return {str(n): value for n, value in found.items()}


def main():
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--original", help="Python interpreter of NengoDL 3.6")
    parser.add_argument("--output", type=Path)
    parser.add_argument("--only", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--unroll", type=int, default=10, help="the original's unroll_simulation")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    result = {"machine": machine(), "cases": {}}
    for case in args.only:
        result["cases"][case] = report(case, measure(case, args))
    result["megabytes"] = memory(args)
    if args.output:
        write(result, args.output)


if __name__ == "__main__":
    main()
