"""Opening, closing and deleting a simulator, and what it no longer has."""

from __future__ import annotations

import contextlib
import functools
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn

from nengo.exceptions import SimulationError, SimulatorClosed

from ..arguments.checks import warn_user
from ..run.interrupt import in_one_piece, interrupt

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Concatenate, ParamSpec, TypeVar

    import nengo
    import numpy as np
    from typing_extensions import Self

    from ..run.runtime import Runtime
    from ..run.turns import Turns
    from ..training.keras_side import KerasSide
    from .data import SimulationData

    Given = ParamSpec("Given")
    Returned = TypeVar("Returned")
    Sim = TypeVar("Sim", bound="Lifecycle")


def in_turn(
    method: Callable[Concatenate[Sim, Given], Returned],
) -> Callable[Concatenate[Sim, Given], Returned]:
    """Let a method of an open simulator wait for those that other threads have called."""
    name = method.__name__

    def in_its_turn(self: Sim, /, *args: Given.args, **kwargs: Given.kwargs) -> Returned:
        self._check_open(name)  # another thread may have closed it meanwhile
        return method(self, *args, **kwargs)

    @functools.wraps(method)
    def call(self: Sim, /, *args: Given.args, **kwargs: Given.kwargs) -> Returned:
        self._check_open(name)
        return self._turns.run(name, in_its_turn, self, *args, **kwargs)

    return call


class OpenSimulatorWarning(RuntimeWarning, ResourceWarning):
    """A simulator was deleted before it was closed."""


class Lifecycle:
    """What a simulator has to do with being open or closed.

    Attributes
    ----------
    closed : bool
        Whether `close` was called; a simulator begins closed, until all of it is built.
    """

    model: nengo.builder.Model
    data: SimulationData
    _runtime: Runtime
    _keras: KerasSide
    _turns: Turns
    _scope: Callable[[], contextlib.AbstractContextManager[None]]

    def __init__(self) -> None:
        self.closed = True
        self._contexts = contextlib.ExitStack()
        self._final_steps = 0

    @in_one_piece
    def close(self) -> None:
        """Free what the simulator holds; only ``data``, times and numbers of steps stay.

        Not from within another call, by a callback of Keras for one: `SimulationError`.
        """
        if self.closed:
            return
        with self._turns.alone("close"):
            if self.closed:
                return
            self._final_steps = self._runtime.layer.n_steps
            self._free()

    def _free(self) -> None:
        self.closed = True
        self._keras.close()
        self._runtime.close()

    def train(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Removed in NengoDL 3."""
        raise SimulationError("Simulator.train was removed, use Simulator.compile and fit")

    def loss(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Removed in NengoDL 3."""
        raise SimulationError("Simulator.loss was removed, use Simulator.compile and evaluate")

    def _signal(self, signal: Any) -> tuple[np.ndarray, bool] | None:
        self._check_open("signals")
        return self._runtime.live(signal)

    def _write_signal(self, signal: Any, value: Any) -> None:
        def write() -> None:
            self._check_open("signals")
            self._runtime.write(signal, value)

        self._check_open("signals")
        self._turns.run("signals", write)

    def _check_open(self, what: str) -> None:
        if self.closed:
            raise SimulatorClosed(f"Cannot use {what}: the simulator is closed")

    @in_one_piece
    def __enter__(self) -> Self:
        if self.closed:
            raise SimulatorClosed("Cannot re-open: the simulator is closed")
        self._contexts = contextlib.ExitStack()
        self._contexts.enter_context(self._scope())
        return self

    @in_one_piece
    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._contexts.close()
        self.close()

    def __del__(self) -> None:
        if not getattr(self, "closed", True):
            warn_user(
                f"Simulator of {self.model} was deallocated while open; close simulators, or use"
                " them in a `with` block, to free what they hold",
                OpenSimulatorWarning,
            )
            # Nobody is left to ask or to wait for, and TensorFlow, which may be in the middle of
            # something when Python collects its garbage, is not called.
            with interrupt.hold():
                self._free()

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise NotImplementedError("a Simulator can't be pickled or copied; make a new one")
