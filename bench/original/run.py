"""Runs all programs of this folder in one environment and saves what they return.

    python bench/original/run.py OUTPUT.npz

A program is a function of one of the modules below; what it returns is a dict of arrays. It is
saved as ``module.function.name``, an exception that it raises as ``module.function.raised``.
"""

import argparse
import importlib
import inspect
import os
import sys
import tempfile
import time
import traceback
import warnings

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
MODULES = (
    "simulating",
    "states",
    "training",
    "learning",
    "parameters",
    "settings",
    "tensor_nodes",
    "tensor_nodes_more",
    "converting",
    "components",
    "extending",
    "scenarios",
)


def programs(only=()):
    """Name of a program -> its function, in order; those whose name holds one of ``only``."""
    for folder in (os.path.dirname(HERE), HERE):
        if folder not in sys.path:
            sys.path.insert(0, folder)
    found = {}
    for name in MODULES:
        module = importlib.import_module(name)
        for key, value in vars(module).items():
            own = inspect.isfunction(value) and value.__module__ == name
            if own and not key.startswith("_"):
                found[f"{name}.{key}"] = value
    return {
        name: function
        for name, function in found.items()
        if not only or any(part in name for part in only)
    }


def run(function):
    """Run a program in a folder of its own; returns its arrays by name."""
    import tensorflow as tf

    before = os.getcwd()
    np.random.seed(0)
    tf.random.set_seed(0)
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        os.chdir(folder)
        try:
            return {name: np.asarray(value) for name, value in function().items()}
        finally:
            os.chdir(before)
            tf.keras.backend.clear_session()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output", help="file for the arrays (.npz)")
    parser.add_argument("--only", nargs="+", default=(), help="parts of names of programs")
    args = parser.parse_args()
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    arrays = {}
    for name, function in programs(args.only).items():
        start = time.time()
        try:
            found = run(function)
        except Exception as e:
            traceback.print_exc()
            found = {"raised": np.array(f"{type(e).__name__}: {e}"[:500])}
        arrays.update({f"{name}.{key}": value for key, value in found.items()})
        print(f"{name}: {len(found)} arrays, {time.time() - start:.1f} s", flush=True)
    np.savez_compressed(args.output, **arrays)


if __name__ == "__main__":
    main()
