"""Opening, closing and deleting a simulator, and what it no longer has."""

import contextlib

from nengo.exceptions import SimulationError, SimulatorClosed

from ..arguments.checks import warn_user


class OpenSimulatorWarning(RuntimeWarning, ResourceWarning):
    """A simulator was deleted before it was closed."""


class Lifecycle:
    """What a simulator has to do with being open or closed.

    Attributes
    ----------
    closed : bool
        Whether `close` was called; a simulator begins closed, until all of it is built.
    """

    def __init__(self):
        self.closed = True
        self._contexts = None
        self._final_steps = 0

    def close(self):
        """Free what the simulator holds; only ``data``, times and numbers of steps stay."""
        if self.closed:
            return
        self._final_steps = self.n_steps
        self.closed = True
        self._keras.close()
        self._runtime.close()

    def train(self, *args, **kwargs):
        """Removed in NengoDL 3."""
        raise SimulationError("Simulator.train was removed, use Simulator.compile and fit")

    def loss(self, *args, **kwargs):
        """Removed in NengoDL 3."""
        raise SimulationError("Simulator.loss was removed, use Simulator.compile and evaluate")

    def _check_open(self, what):
        if self.closed:
            raise SimulatorClosed(f"Cannot use {what}: the simulator is closed")

    def __enter__(self):
        if self.closed:
            raise SimulatorClosed("Cannot re-open: the simulator is closed")
        self._contexts = contextlib.ExitStack()
        self._contexts.enter_context(self._scope())
        return self

    def __exit__(self, *exc_info):
        self._contexts.close()
        self.close()

    def __del__(self):
        if not getattr(self, "closed", True):
            warn_user(
                f"Simulator of {self.model} was deallocated while open; close simulators, or use"
                " them in a `with` block, to free what they hold",
                OpenSimulatorWarning,
            )
            self.close()

    def __reduce_ex__(self, protocol):
        raise NotImplementedError("a Simulator can't be pickled or copied; make a new one")
