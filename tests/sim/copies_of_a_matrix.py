"""Prints how often a large matrix lies in memory: while its simulator lives, and after close.

Without decoding: the matrix that the user gave is the network's.
"""

import gc
import warnings
from pathlib import Path

import nengo
import numpy as np

import nengo_dl

SIZE = 3000  # 36 MB: what malloc gives back at once


def resident():
    """Bytes of this process that are in memory."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def networks():
    """A small one, and one with a large matrix."""
    with nengo.Network() as small:
        nengo.Probe(nengo.Node([1.0]))
    matrix = np.random.default_rng(0).uniform(-1, 1, (SIZE, SIZE)).astype(np.float32)
    with nengo.Network(seed=0) as net:
        a, b = nengo.Node(np.zeros(SIZE)), nengo.Node(size_in=SIZE)
        net.conn = nengo.Connection(a, b, transform=matrix, synapse=None)
        net.p = nengo.Probe(b)
    return small, net, matrix


def main():
    """Uses the small one until what a process makes once is there, then the other."""
    small, net, matrix = networks()
    for _ in range(2):
        with nengo_dl.Simulator(small, progress_bar=False) as sim:
            sim.run_steps(2)
            sim.predict(n_steps=2)
    before = resident()
    with nengo_dl.Simulator(net, progress_bar=False) as sim:
        sim.run_steps(2)
        sim.predict(n_steps=2)
        living = (resident() - before) / matrix.nbytes
    closed = (resident() - before) / matrix.nbytes
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        np.testing.assert_array_equal(sim.data[net.conn].weights, matrix)
    assert any("closed" in str(warning.message) for warning in caught)
    assert sim.data[net.p].shape == (2, SIZE) and "dense" in str(sim.plan)
    print(living, closed)


if __name__ == "__main__":
    main()
