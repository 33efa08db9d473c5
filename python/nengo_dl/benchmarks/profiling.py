"""Time a run of a network, or its training."""

import contextlib
import time
from typing import Any

import nengo
import numpy as np
import tensorflow as tf

from ..config import configure_settings, get_setting
from ..simulator import Simulator


def run_profile(
    net: nengo.Network,
    train: bool = False,
    n_steps: int = 150,
    do_profile: bool = True,
    reps: int = 1,
    dtype: str = "float32",
    **kwargs: Any,
) -> float:
    """Time a run of a network, or its training.

    Parameters
    ----------
    net : nengo.Network
        One of this module's networks. Its settings are changed: ``dtype``, and ``inference_only``
        unless it is trained.
    train : bool
        Whether to time a training step, on random data, instead of a run.
    n_steps : int
        Number of steps.
    do_profile : bool
        Whether to record it with TensorFlow's profiler into the folder ``profile``, which
        TensorBoard shows.
    reps : int
        How often to repeat it.
    dtype : str
        Precision of the simulation.
    **kwargs
        As for `nengo_dl.Simulator`.

    Returns
    -------
    float
        Seconds that the fastest repetition took. A run to warm up goes before and does not count.
    """
    with net:
        configure_settings(inference_only=not train, dtype=dtype)
    with Simulator(net, **kwargs) as sim:
        work = _training(sim, net, n_steps) if train else lambda: sim.predict(n_steps=n_steps)
        print("Warmup time:", _seconds(work))
        profiler = tf.profiler.experimental.Profile("profile") if do_profile else None
        with profiler or contextlib.nullcontext():
            fastest = min(_seconds(work) for _ in range(reps))
    print("Execution time:", fastest)
    return fastest


def _training(sim: Simulator, net: nengo.Network, n_steps: int) -> Any:
    """A training step on random data."""
    rng = np.random.RandomState(0)
    size = (sim.minibatch_size, n_steps)
    nodes = [getattr(net, name) for name in ("inp", "inp_a", "inp_b") if hasattr(net, name)]
    x = {node: rng.uniform(-1, 1, (*size, node.size_out)) for node in nodes}
    history = get_setting(net, "keep_history", True, obj=net.p)
    y = {net.p: rng.uniform(-1, 1, (size[0], n_steps if history else 1, net.p.size_in))}
    sim.compile(tf.keras.optimizers.SGD(0.001), loss=tf.keras.losses.MeanSquaredError())
    return lambda: sim.fit(x, y, epochs=1, verbose=0)


def _seconds(work: Any) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
