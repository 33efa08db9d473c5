"""TensorFlow that is told to be deterministic refuses to draw random numbers without a seed."""

import subprocess
import sys

import pytest

SCRIPT = """
import sys
import nengo, nengo_dl, numpy as np, tensorflow as tf

tf.config.experimental.enable_op_determinism()
with nengo.Network() as net:
    node, out = nengo.Node([0.0]), nengo.Node(size_in=1)
    nengo.Connection(node, out, transform=0.5, synapse=None)
    nengo.Probe(out)
x = np.linspace(-1, 1, 12).reshape(12, 1, 1)
with nengo_dl.Simulator(net, minibatch_size=2, seed=int(sys.argv[1]), progress_bar=False) as sim:
    sim.compile("sgd", loss="mse")
    for _ in range(2):
        losses = sim.fit(x, x**2, epochs=2, validation_split=0.2, verbose=0).history["loss"]
        print(*map(float.hex, losses))
    sim.evaluate(x, x**2, verbose=0)
    sim.predict(x)
"""


@pytest.mark.slow
def test_training_without_a_seed_of_tensorflow():
    """The order of the items follows the simulator's seed."""
    runs = [
        subprocess.run([sys.executable, "-c", SCRIPT, seed], capture_output=True, text=True)
        for seed in ("0", "0", "1")
    ]
    assert [run.returncode for run in runs] == [0, 0, 0], runs[0].stderr
    assert runs[0].stdout == runs[1].stdout != runs[2].stdout
    first, second = runs[0].stdout.splitlines()
    assert first != second
