"""Saves programs and their numbers, for machines that have neither TensorFlow nor Nengo.

``python bench/gpu/save.py FOLDER`` builds the networks of ``bench/networks.py`` and of
``bench/training_networks.py`` and writes an ``.npz`` for each: the program's bytes, parameters,
state and sizes. ``bench/gpu/run.py`` runs them. A layer of 16384 neurons, which takes 4 GB of
memory to build, goes to ``FOLDER/large``. Of parameters with more than 2^26 numbers the spread is
written, and numbers are drawn where they are run: how long that takes is the same.
"""

import argparse
import sys
from pathlib import Path

import nengo
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

import networks
import training_networks

import nengo_dl
from nengo_dl.ir.program import to_bytes
from nengo_dl.plan.training import training_program


def surrogate(loop=False):
    """784-256-10, spikes and a surrogate gradient."""
    return training_networks.with_surrogate(training_networks.mlp(n_steps=25, loop=loop))


def layer():
    """512 numbers, 512 spiking neurons, dense weights between them."""
    return training_networks.with_surrogate(training_networks.mlp(sizes=(512, 512), synapse=None))


def large_layer(n=16384):
    """Likewise, with weights that Nengo draws itself."""
    limit = np.sqrt(3 / n)
    weights = nengo.Dense((n, n), init=nengo.dists.Uniform(-limit, limit))
    with nengo.Network(seed=0) as net:
        net.inp = nengo.Node(np.zeros(n))
        neurons = training_networks.population(n, nengo.LIF(amplitude=0.01))
        nengo.Connection(net.inp, neurons, transform=weights, synapse=None)
        net.p = nengo.Probe(neurons)
    return training_networks.with_surrogate(net)


def convolutions():
    """Three convolutions with stride 2 of a picture, spikes and a surrogate gradient."""
    spikes = nengo.LIF(amplitude=0.01)
    net = training_networks.convolutional(filters=(32, 64, 128), neuron_type=spikes)
    return training_networks.with_surrogate(net)


# by name: what makes it, steps and batch of a training step
TRAINED = {
    "train-784-256-10": (training_networks.mlp, 25, 100),
    "train-surrogate": (surrogate, 25, 100),
    "train-recurrent": (lambda: surrogate(loop=True), 25, 100),
    "train-layer-512": (layer, 500, 16),
    "train-convolutions": (convolutions, 25, 100),
    "train-lmu": (training_networks.lmu, 784, 100),
}
LARGE = {"train-layer-16384": (large_layer, 500, 16)}
MOST = 1 << 26  # numbers of a parameter that are written


def save(path, net, **sizes):
    """Write the only program of a network, in its training form if `sizes` has a batch."""
    with nengo_dl.Simulator(net, progress_bar=False) as sim:
        (piece,) = sim.plan.runs
        program = training_program(piece.program) if sizes else piece.program
        values = sim.plan.param_values
    arrays = {}
    for i, value in enumerate(values):
        value = np.asarray(value, program.dtype).ravel()
        if value.size > MOST:
            arrays[f"random{i}"] = np.array([value.size, np.std(value[:MOST])])
        else:
            arrays[f"param{i}"] = value
    np.savez_compressed(
        path,
        program=np.frombuffer(to_bytes(program), np.uint8),
        state=np.asarray(piece.initial_state, program.dtype),
        istate=np.zeros(program.istate_size, np.int32),
        inputs=np.array([port.size for port in program.inputs], np.int64),
        outputs=np.array([port.size for port in program.outputs], np.int64),
        learned=np.array([param.learned for param in program.params], bool),
        **{key: np.int64(value) for key, value in sizes.items()},
        **arrays,
    )
    print("saved", path.name, flush=True)


def main(folder):
    """Save all networks that a GPU can run."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, make in networks.NETWORKS.items():
        if name != "python-node":  # a Python function in the loop
            save(folder / f"{name}.npz", make()[0])
    for name, (make, steps, batch) in TRAINED.items():
        save(folder / f"{name}.npz", make(), steps=steps, batch=batch)
    (folder / "large").mkdir(exist_ok=True)
    for name, (make, steps, batch) in LARGE.items():
        save(folder / "large" / f"{name}.npz", make(), steps=steps, batch=batch)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    main(parser.parse_args().folder)
