"""Trains the same networks here and in the original NengoDL 3.6; their losses must agree.

    python bench/compare_losses.py --original /path/to/original/bin/python

Same model, data and seed, plain gradient descent, float64: the losses of ten training steps, each
on a minibatch of its own, agree to 1e-6 relative. Every network runs in a process of its own, this
file's other part, under the Python that has the simulator.
"""

import argparse
import json
import os
import subprocess
import sys

import numpy as np

# Learning rates with which the loss changes visibly within ten steps.
RATES = {"rate": 1e-5, "soft-lif": 1e-5, "recurrent-50": 1e-6, "lmu": 1e-2}
TOLERANCE = 1e-6


def train(name, steps):
    """Losses of a network before each of its training steps, and how far its weights came."""
    import tensorflow as tf
    from training_networks import NETWORKS

    import nengo_dl

    net = NETWORKS[name]()
    with net:
        nengo_dl.configure_settings(dtype="float64")
    rng = np.random.RandomState(10)
    x = rng.uniform(-1, 1, size=(steps, net.batch, 1, net.inp.size_out))
    x = x + 0.3 * rng.randn(steps, net.batch, net.n_steps, net.inp.size_out)
    y = rng.uniform(-1, 1, size=(steps, net.batch, net.n_steps, net.p.size_in))
    losses = []
    with nengo_dl.Simulator(net, minibatch_size=net.batch, progress_bar=False, seed=0) as sim:
        sim.compile(tf.keras.optimizers.SGD(RATES[name]), loss={net.p: "mse"})
        before = [weight.numpy() for weight in sim.keras_model.trainable_weights]
        for inputs, targets in zip(x, y):  # noqa: B905  the original's Python may be 3.8
            found = sim.fit({net.inp: inputs}, {net.p: targets}, verbose=0)
            losses.append(float(found.history["loss"][0]))
        after = [weight.numpy() for weight in sim.keras_model.trainable_weights]
    moved = max(float(np.max(np.abs(a - b))) for a, b in zip(after, before))  # noqa: B905
    return {
        "losses": losses,
        "moved": moved,
        "trained": sum(weight.size for weight in after),
        "version": nengo_dl.__version__,
    }


def worker(python, name, steps):
    """Run `train` under another Python."""
    command = [python, "-W", "ignore", os.path.abspath(__file__)]
    command += ["--steps", str(steps), "--train", name]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr[-4000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def compare(name, ours, theirs):
    """Print the losses side by side; return whether they agree."""
    apart = [abs(a - b) / abs(b) for a, b in zip(ours["losses"], theirs["losses"])]  # noqa: B905
    print(
        f"\n{name}: {ours['trained']} parameters here, {theirs['trained']} in the original"
        f" {theirs['version']}\n  {'step':>4}{'nengo_dl':>22}{'original':>22}{'difference':>12}"
    )
    for step, row in enumerate(zip(ours["losses"], theirs["losses"], apart)):  # noqa: B905
        print(f"  {step:>4}{row[0]:>22.15f}{row[1]:>22.15f}{row[2]:>12.1e}")
    agree = max(apart) <= TOLERANCE and ours["trained"] == theirs["trained"]
    changed = min(ours["moved"], theirs["moved"]) > 0
    print(f"  largest {max(apart):.1e}: {'agrees' if agree and changed else 'DIFFERS'}")
    return agree and changed


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--original", help="Python of a venv with NengoDL 3.6")
    parser.add_argument("--networks", nargs="+", choices=sorted(RATES), default=list(RATES))
    parser.add_argument("--steps", type=int, default=10, help="training steps (%(default)s)")
    parser.add_argument("--train", choices=sorted(RATES), help=argparse.SUPPRESS)
    args = parser.parse_args()
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    if args.train:
        print(json.dumps(train(args.train, args.steps)))
        return
    if not args.original:
        parser.error("--original is missing")
    agree = [
        compare(
            name,
            worker(sys.executable, name, args.steps),
            worker(args.original, name, args.steps),
        )
        for name in args.networks
    ]
    if not all(agree):
        sys.exit(1)


if __name__ == "__main__":
    main()
