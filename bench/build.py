"""Build times, against nengo.Simulator, and time and memory of the planner alone.

    python bench/build.py --output result.json

``models``: seconds from `Simulator(net)` until it can run, both simulators in turn, each in a warm
process of its own, Nengo's decoder cache off. ``planner``: the planner alone on the operators of 1
to 20,000 ensembles, alike and all different, with the exponent of its time in their number.
"""

import argparse
import gc
import math
import statistics
import sys
from pathlib import Path

import numpy as np
from build_networks import MODELS, PLANNED
from protocol import Channel, Worker, timed
from results import machine, summarise, write

COUNTS = (1, 10, 100, 1000, 5000, 20_000)  # ensembles
FIT_FROM = 100  # ensembles: below, what does not depend on their number is most of the time


# ---------------------------------------------------------------- in processes of their own


def serve_builds(simulator, float_bits):
    """Build models on request with one simulator, after a small one that does not count."""
    channel = Channel()
    import nengo

    nengo.rc["decoder_cache"]["enabled"] = "False"
    if float_bits:
        nengo.rc["precision"]["bits"] = str(float_bits)
    if simulator == "nengo_dl":
        from nengo_dl import Simulator
    else:
        from nengo import Simulator
    networks = {}

    def build(model):
        if model not in networks:
            networks[model] = MODELS[model]()
        gc.collect()
        seconds, sim = timed(lambda: Simulator(networks[model], progress_bar=False))
        answer = {
            **seconds,
            "ensembles": len(networks[model].all_ensembles),
            "connections": len(networks[model].all_connections),
        }
        sim.close()
        return answer

    build("warm-up")
    channel.answer()
    channel.serve({"build": build})


def resident(field):
    """Bytes of this process in memory: VmRSS at present, VmHWM at most."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024
    raise SystemExit(f"expected {field} in /proc/self/status, got none")


def serve_plans():
    """Plan networks on request; their operators are made before."""
    channel = Channel()
    import nengo

    from nengo_dl.ir.program import to_bytes
    from nengo_dl.plan import make_plan

    nengo.rc["decoder_cache"]["enabled"] = "False"
    built = {}

    def load(network, count):
        net, probe = PLANNED[network](count)
        model = nengo.builder.Model(dt=0.001)
        model.build(net)
        built.update(model=model, outputs=[("probe", model.sig[probe]["in"])])
        return {"operators": len(model.operators)}

    def plan():
        model = built["model"]
        gc.collect()
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
        before = resident("VmRSS")
        signals = {"time": model.time, "step": model.step, "outputs": built["outputs"]}
        planning, made = timed(lambda: make_plan(model.operators, dt=0.001, **signals))
        peak = resident("VmHWM") - before
        writing, data = timed(lambda: to_bytes(made.only_program()))
        return {
            **planning,
            "serialise_seconds": writing["seconds"],
            "bytes": len(data),
            "peak": peak,
            "ops": sum(1 for _ in made.only_program().ops()),
        }

    channel.answer()
    channel.serve({"load": load, "plan": plan})


# ---------------------------------------------------------------- what is measured


def measure_models(args):
    """Pairs of builds of every model; prints a table."""
    result = {}
    print(f"{'model':<22}{'ensembles':>10}{'nengo_dl':>11}{'nengo':>10}{'ratio':>8}{'spread':>8}")
    for model in args.models:
        sides = {
            name: Worker(sys.executable, "build.py", "--serve", name, "--bits", args.bits)
            for name in ("nengo_dl", "nengo")
        }
        rows = {name: [] for name in sides}
        for _ in range(args.pairs):
            for name, worker in sides.items():
                rows[name].append(worker.ask("build", model=model))
        for worker in sides.values():
            worker.close()
        seconds = {name: [row["seconds"] for row in found] for name, found in rows.items()}
        ratios = [a / b for a, b in zip(seconds["nengo_dl"], seconds["nengo"], strict=True)]
        summed = summarise(ratios)
        result[model] = {"rows": rows, "ratio": summed}
        middle = {name: statistics.median(values) for name, values in seconds.items()}
        print(
            f"{model:<22}{rows['nengo'][0]['ensembles']:>10}{middle['nengo_dl']:>9.2f} s"
            f"{middle['nengo']:>8.2f} s{summed['median']:>8.2f}{summed['spread']:>8.0%}",
            flush=True,
        )
    return result


def exponent(sizes, seconds):
    """Slope of the logarithm of seconds over that of sizes, by least squares."""
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])


def measure_planner(args):
    """Time and memory of the planner by the number of ensembles; prints a table."""
    result = {}
    for network in args.networks:
        print(
            f"\nplanner, {network}\n{'ensembles':>10}{'operators':>11}{'ops':>7}{'seconds':>10}"
            f"{'CPU':>9}{'us each':>9}{'memory':>10}{'program':>11}"
        )
        rows = []
        for count in args.counts:
            worker = Worker(sys.executable, "build.py", "--serve", "planner")
            row = {"ensembles": count, **worker.ask("load", network=network, count=count)}
            found = [worker.ask("plan") for _ in range(args.plans)]
            worker.close()
            row.update(found[0])  # the first one's memory: later ones reuse what it freed
            for clock in ("seconds", "cpu_seconds"):
                row[clock] = statistics.median(f[clock] for f in found[1:] or found)
            row["all"] = found
            rows.append(row)
            print(
                f"{count:>10}{row['operators']:>11}{row['ops']:>7}{row['seconds']:>10.3f}"
                f"{row['cpu_seconds']:>9.3f}{row['cpu_seconds'] / row['operators'] * 1e6:>9.1f}"
                f"{row['peak'] / 1e6:>7.1f} MB"
                f"{row['bytes'] / 1e3:>8.1f} kB",
                flush=True,
            )
        large = [row for row in rows if row["ensembles"] >= FIT_FROM]
        slope = math.nan
        if len(large) > 1:
            slope = exponent([r["operators"] for r in large], [r["cpu_seconds"] for r in large])
        print(f"exponent of CPU time in operators, from {FIT_FROM} ensembles on: {slope:.3f}")
        result[network] = {"rows": rows, "exponent": slope}
    return result


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=("models", "planner"))
    parser.add_argument("--models", nargs="+", choices=sorted(MODELS), default=["cconv", "spa"])
    parser.add_argument("--pairs", type=int, default=5, help="builds of each (%(default)s)")
    parser.add_argument(
        "--bits", type=int, default=0, help="precision of Nengo's builder; Nengo's default"
    )
    parser.add_argument(
        "--networks", nargs="+", choices=PLANNED, default=list(PLANNED), help="that are planned"
    )
    parser.add_argument("--counts", type=int, nargs="+", default=list(COUNTS))
    parser.add_argument("--plans", type=int, default=4, help="the first one apart (%(default)s)")
    parser.add_argument("--output", type=Path, help="JSON file for all measured values")
    parser.add_argument("--serve", choices=("nengo", "nengo_dl", "planner"), help=argparse.SUPPRESS)
    return parser.parse_args()


def main():
    args = parse_arguments()
    if args.serve == "planner":
        return serve_plans()
    if args.serve:
        return serve_builds(args.serve, args.bits)
    result = {"machine": machine()}
    if args.only != "planner":
        result["models"] = measure_models(args)
    if args.only != "models":
        result["planner"] = measure_planner(args)
    write(result, args.output)


if __name__ == "__main__":
    main()
