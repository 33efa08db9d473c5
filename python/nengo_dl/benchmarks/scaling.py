"""How time and memory grow with a model, a run, the minibatch and the threads."""

from __future__ import annotations

import multiprocessing
import os
import resource
import statistics
import sys
import time
from collections.abc import Iterator
from typing import Any

import nengo
import numpy as np

from ..config import configure_settings
from ..simulator import Simulator

REPEATS = 3  # runs that count, after one that does not
NEURONS, STEPS = 100, 1000  # of an ensemble and of a run, where they are not what grows
POINTS = np.array([[-0.5], [0.5]])  # evaluation points where no decoders are solved for


def population(n_neurons: int) -> nengo.Network:
    """A population that integrates its input, with decoders that are given.

    Parameters
    ----------
    n_neurons : int
        Its size.

    Returns
    -------
    nengo.Network
        With a Probe of 1 number.
    """
    weights = np.random.RandomState(0).uniform(-1, 1, (n_neurons, 1)) / n_neurons
    with nengo.Network(seed=0) as net:
        ensemble = nengo.Ensemble(n_neurons, 1, eval_points=POINTS)
        solver = nengo.solvers.NoSolver(weights)
        nengo.Connection(nengo.Node([0.5]), ensemble, synapse=0.1)
        nengo.Connection(ensemble, ensemble, synapse=0.1, solver=solver)
        nengo.Probe(ensemble, synapse=0.01, solver=solver)
    return net


def integrators(n_ensembles: int) -> nengo.Network:
    """An array of integrators of 100 neurons each.

    Parameters
    ----------
    n_ensembles : int
        How many there are.

    Returns
    -------
    nengo.Network
        With a Probe of a number for each of them.
    """
    with nengo.Network(seed=0) as net:
        array = nengo.networks.EnsembleArray(NEURONS, n_ensembles)
        nengo.Connection(nengo.Node(np.full(n_ensembles, 0.5)), array.input, transform=0.1)
        nengo.Connection(array.output, array.input, synapse=0.1)
        nengo.Probe(array.output, synapse=0.01)
    return net


def _neurons(size: int) -> tuple[nengo.Network, dict]:
    return population(size), {}


def _ensembles(size: int) -> tuple[nengo.Network, dict]:
    return integrators(size), {}


def _steps(size: int) -> tuple[nengo.Network, dict]:
    return integrators(1), {"steps": size}


def _batch(size: int) -> tuple[nengo.Network, dict]:
    return integrators(10), {"batch": size}


def _threads(size: int) -> tuple[nengo.Network, dict]:
    return integrators(128), {"threads": size}


# what grows: how a point is made, its sizes and those of the short form
AXES: dict[str, tuple] = {
    "neurons": (_neurons, (100, 1000, 10_000, 100_000, 1_000_000), (100, 1000)),
    "ensembles": (_ensembles, (1, 10, 100, 1000, 10_000), (1, 4)),
    "steps": (_steps, (100, 1000, 10_000, 100_000, 1_000_000), (100, 200)),
    "batch": (_batch, (1, 4, 16, 64, 256, 1024), (1, 2)),
    "threads": (_threads, (), (1, 2)),
}


def sizes(axis: str, quick: bool) -> tuple[int, ...]:
    """What is measured along an axis.

    Parameters
    ----------
    axis : str
        One of ``AXES``.
    quick : bool
        Whether in the short form, which says little.

    Returns
    -------
    tuple of int
        Sizes, the smallest one first.
    """
    if axis == "threads" and not quick:
        most = os.cpu_count() or 1
        return tuple(sorted({1, most, *(1 << i for i in range(most.bit_length() - 1))}))
    return AXES[axis][2 if quick else 1]


def peak_memory() -> float:
    """The most memory that this process had at a time, in MB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1e6 if sys.platform == "darwin" else 1e3)


def measure(point: tuple[str, int]) -> dict[str, Any]:
    """Build a model and run it some times.

    Parameters
    ----------
    point : (str, int)
        What grows, and its size.

    Returns
    -------
    dict
        Seconds to build, of the first run and of a later one; time per neuron, step and item; how
        far the most memory rose; number of ops of the plan.
    """
    axis, size = point
    net, options = AXES[axis][0](size)
    steps, batch = options.get("steps", STEPS), options.get("batch", 1)
    with net:
        configure_settings(inference_only=True, threads=options.get("threads"))
    with Simulator(integrators(1), progress_bar=False) as sim:  # what is made once per process
        sim.run_steps(2)
    before, began = peak_memory(), time.perf_counter()
    with Simulator(net, minibatch_size=batch, progress_bar=False) as sim:
        build, seconds = time.perf_counter() - began, []
        for _ in range(1 + REPEATS):
            sim.clear_probes()
            began = time.perf_counter()
            sim.run_steps(steps)
            seconds.append(time.perf_counter() - began)
        n_ops = sum(1 for run in sim.plan.runs for _ in run.program.ops())
        if not all(np.isfinite(sim.data[probe]).all() for probe in net.all_probes):
            raise ValueError(f"{axis}, {size}: expected finite values, got others")
    each = statistics.median(seconds[1:])
    return {
        "axis": axis,
        "size": size,
        "build_seconds": build,
        "first_run_seconds": seconds[0],
        "seconds": each,
        "all_seconds": seconds[1:],
        "ns_per_neuron_step": each / (net.n_neurons * steps * batch) * 1e9,
        "memory": peak_memory() - before,
        "ops": n_ops,
    }


def rows(axes: list[str], quick: bool) -> Iterator[dict[str, Any]]:
    """Measure along axes, each point in a process of its own; in this one in the short form.

    Parameters
    ----------
    axes : list of str
        Of ``AXES``.
    quick : bool
        Whether in the short form.

    Yields
    ------
    dict
        As of `measure`, as soon as it is there.
    """
    points = [(axis, size) for axis in axes for size in sizes(axis, quick)]
    if quick:
        yield from map(measure, points)
        return
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        yield from pool.imap(measure, points)
