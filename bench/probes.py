"""What a Probe of many weights costs: of all steps, of some (`sample_every`), of the last of a run.

    python bench/probes.py

A step of a connection with `--neurons` squared weights, with and without a learning rule, beside
the same network without the Probe, and beside `nengo.Simulator` with ``sample_every``. All take
their turns in one process, round by round; figures are medians of the rounds, by the clock, spread
as in `run.py`. float32, one item.
"""

import argparse
import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import nengo
import numpy as np
import results

import nengo_dl

RULES = {"no rule": None, "PES": nengo.PES(1e-5), "BCM": nengo.BCM(1e-12)}
FORMS = {
    "no Probe": {"probed": False},
    "every step": {},
    "every 100th": {"every": 0.1},
    "the last of a run": {"keep_history": False},
}
NENGO = "Nengo, every 100th"


def network(neurons, rule, probed=True, every=None, keep_history=True):
    """Two ensembles and the weights between their neurons."""
    with nengo.Network(seed=0) as net:
        nengo_dl.configure_settings(keep_history=keep_history)
        pre, post = nengo.Ensemble(neurons, 1), nengo.Ensemble(neurons, 1)
        solver = nengo.solvers.NoSolver(np.full((neurons, 1), 1e-3), weights=True)
        conn = nengo.Connection(pre, post, solver=solver, learning_rule_type=RULES[rule])
        if rule == "PES":
            nengo.Connection(post, conn.learning_rule)
        if probed:
            nengo.Probe(conn, "weights", sample_every=every)
    return net


def measure(neurons, rule, steps, rounds):
    """Microseconds per step of each form, a value per round."""
    sims = {
        form: nengo_dl.Simulator(network(neurons, rule, **given), progress_bar=False)
        for form, given in FORMS.items()
    }
    sims[NENGO] = nengo.Simulator(network(neurons, rule, every=0.1), progress_bar=False)
    times = {form: [] for form in sims}
    for _ in range(rounds + 1):  # the first one warms up
        for form, sim in sims.items():
            sim.clear_probes()
            begun = time.perf_counter()
            sim.run_steps(steps)
            times[form].append((time.perf_counter() - begun) / steps * 1e6)
    for sim in sims.values():
        sim.close()
    return {form: values[1:] for form, values in times.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--neurons", type=int, default=1000)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    print("us per step (spread)".ljust(20), *(form.rjust(20) for form in (*FORMS, NENGO)))
    for rule in RULES:
        found = measure(args.neurons, rule, args.steps, args.rounds)
        sums = map(results.summarise, found.values())
        cells = (f"{s['median']:.1f} ({s['spread']:.0%})".rjust(20) for s in sums)
        print(rule.ljust(20), *cells, flush=True)


if __name__ == "__main__":
    main()
