"""Saves programs and their numbers, for machines that have neither TensorFlow nor Nengo.

``python bench/gpu/save.py FOLDER`` builds the networks of ``bench/networks.py`` and of
``bench/training_networks.py`` and writes an ``.npz`` for each: the program's bytes, parameters,
state and sizes. ``bench/gpu/run.py`` runs them.
"""

import argparse
import sys
from pathlib import Path

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


# by name: what makes it, steps and batch of a training step
TRAINED = {
    "train-784-256-10": (training_networks.mlp, 25, 100),
    "train-surrogate": (surrogate, 25, 100),
    "train-recurrent": (lambda: surrogate(loop=True), 25, 100),
    "train-layer-512": (layer, 500, 16),
    "train-lmu": (training_networks.lmu, 784, 100),
}


def save(path, net, **sizes):
    """Write the only program of a network, in its training form if `sizes` has a batch."""
    with nengo_dl.Simulator(net, progress_bar=False) as sim:
        (piece,) = sim.plan.runs
        program = training_program(piece.program) if sizes else piece.program
        values = sim.plan.param_values
    arrays = {f"param{i}": np.asarray(v, program.dtype).ravel() for i, v in enumerate(values)}
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


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    main(parser.parse_args().folder)
