"""Decoders of many connections at a time: they are solved for on several threads.

What Nengo's builder wants to know of a connection is asked for all those after it, too, that are of
the same network; it finds their decoders solved when it comes to them. Functions of users, and
Nengo's decoder cache, are only ever used by one thread at a time; solvers and neuron types of users
are left to Nengo. A product of matrices is one thread's meanwhile; those of large ensembles, which
are solved for one by one, are all threads'.
"""

import contextlib
import logging
import os
import pickle
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property

import numpy as np
from nengo import Ensemble, neurons, solvers
from nengo.builder import Builder, connection
from nengo.exceptions import CacheIOError
from nengo.utils import least_squares_solvers as subsolvers

from .blas import blas_threads, thread_counts

logger = logging.getLogger(__name__)

# what is computed from its arguments alone, without a random number
_SOLVERS = (solvers.LstsqL2, solvers.LstsqL2nz)
_SUBSOLVERS = (subsolvers.Cholesky,)
_NEURONS = (
    neurons.LIF,
    neurons.LIFRate,
    neurons.RectifiedLinear,
    neurons.SpikingRectifiedLinear,
    neurons.Sigmoid,
    neurons.Tanh,
)
_AT_ONCE = 1 << 22  # evaluation points times neurons of all connections that are asked for at once


class Decoders:
    """Solves for decoders, as a context in which a network is built.

    Parameters
    ----------
    network : nengo.Network
        What is built.
    threads : int, optional
        Number of threads; by default that of the processors that there are for this process.
    """

    def __init__(self, network, threads=None):
        self.threads = len(os.sched_getaffinity(0)) if threads is None else threads
        self.places = {
            conn: (net.connections, number)
            for net in (network, *network.all_networks)
            for number, conn in enumerate(net.connections)
        }
        self.early = {}  # connection -> what was asked for before its turn
        self._cache = threading.Lock()
        self._counts = {}
        self._start = _at_once  # or what a pool of threads has
        self._open = contextlib.ExitStack()

    def __enter__(self):
        if self.threads > 1:
            self._counts = thread_counts()
            self._open.enter_context(blas_threads(dict.fromkeys(self._counts, 1)))
        return self

    def __exit__(self, *exc_info):
        self._open.close()

    @cached_property
    def _pool(self):
        pool = ThreadPoolExecutor(self.threads, "nengo_dl decoders")
        self._open.callback(pool.shutdown, cancel_futures=True)
        return pool

    def use(self, build_decoders, solve):
        """Take what asks for decoders and what solves for them.

        Parameters
        ----------
        build_decoders : callable
            ``build_decoders(solve)`` is `nengo.builder.connection.build_decoders`, but for the
            function that solves.
        solve : callable
            As `nengo.builder.connection.solve_for_decoders`.
        """
        self.solve = solve
        self._build_now, self._build_early = build_decoders(solve), build_decoders(self._submit)

    def build_solver(self, model, solver, conn, rng):
        """Evaluation points, decoders and what the solver says, as of Nengo's build function."""
        if self.threads > 1 and conn not in self.early and _is_known(conn):
            self._ask(model, conn)
        if conn not in self.early:
            is_large = _size(model, conn) > _AT_ONCE
            with blas_threads(self._counts if is_large else {}):
                return self._build_now(model, conn, rng)
        points, solved, drawn = self.early.pop(conn)
        decoders, info = solved.result()
        if conn.eval_points is not None:  # they may have been drawn
            rng.set_state(drawn.get_state())
        return points, decoders.T, info

    def _ask(self, model, conn):
        """Ask for a connection and those after it."""
        asked, size = [], 0
        found, number = self.places.get(conn, ((conn,), 0))
        for later in found[number:]:
            if not _is_known(later) or later in model.params:
                continue
            if later.pre_obj not in model.params:
                break
            size += _size(model, later)
            if size > _AT_ONCE:
                break
            asked.append(later)
        # of one connection this thread would wait for the other
        self._start = self._pool.submit if len(asked) > 1 else _at_once
        for later in asked:
            rng = np.random.RandomState(model.seeds[later])
            points, solved, _ = self._build_early(_Model(model, self), later, rng)
            self.early[later] = points, solved.future, rng

    def _submit(self, *args, **kwargs):
        return _Solved(self._start(self.solve, *args, **kwargs)), None

    def wrap_solver(self, cache, solve):
        """``solve`` behind Nengo's cache, which is for one thread at a time.

        What can't be read there, whatever has become of its file, is solved for.
        """

        def alone(*args, **kwargs):
            was_read = []

            def meanwhile(*args, **kwargs):
                was_read.append(False)
                self._cache.release()
                try:
                    return self.solve(*args, **kwargs)
                finally:
                    self._cache.acquire()

            with self._cache:
                try:
                    return cache.wrap_solver(meanwhile)(*args, **kwargs)
                except (ValueError, EOFError, pickle.UnpicklingError, CacheIOError):
                    if was_read:
                        raise
                    logger.warning("Nengo's decoder cache can't be read", exc_info=True)
            return self.solve(*args, **kwargs)

        return lambda *args, **kwargs: (_Solved(self._start(alone, *args, **kwargs)), None)


def _at_once(function, *args, **kwargs):
    """As the `submit` of a pool of threads, but that this one calls the function."""
    future = Future()
    future.set_result(function(*args, **kwargs))
    return future


class _Model:
    """What of a model is asked for decoders; its cache is that of many threads."""

    def __init__(self, model, decoders):
        self.params, self.seeded = model.params, model.seeded
        self._cache, self._decoders = model.decoder_cache, decoders
        self.decoder_cache = self

    def wrap_solver(self, solve):
        """As of the cache."""
        return self._decoders.wrap_solver(self._cache, solve)


class _Solved:
    """Decoders that are being solved for, before and after they are transposed."""

    def __init__(self, future):
        self.future = future

    @property
    def T(self):  # noqa: N802  as of arrays
        """The same: who waits for them transposes them."""
        return self


def _size(model, conn):
    """Numbers in the matrix of activities of a connection whose evaluation points are drawn."""
    return len(model.params[conn.pre_obj].eval_points) * conn.pre_obj.n_neurons


def _is_known(conn):
    """Whether nothing but Nengo's own code takes part in solving."""
    solver, pre = conn.solver, conn.pre_obj
    builders = (Builder.builders[base] for base in type(solver).__mro__ if base in Builder.builders)
    return (
        isinstance(pre, Ensemble)
        and type(pre.neuron_type) in _NEURONS
        and type(solver) in _SOLVERS
        and type(solver.solver) in _SUBSOLVERS
        and (solver.compositional or not solver.weights)
        and next(builders, None) is connection.build_solver
    )
