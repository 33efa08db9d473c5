"""Ctrl-C: held back while something must not be torn apart, delivered between pieces of work."""

import _signal  # what the module signal is made of, without its enums, which take 20 us a run
import functools
import sys
import threading
from _thread import get_ident
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P, R = ParamSpec("P"), TypeVar("R")

MAIN_THREAD = threading.main_thread().ident  # the only one that Python tells of signals
HELD, PENDING = 0, 1  # places in `Interrupt.flags`


class Interrupt:
    """The handler of SIGINT while a simulator works.

    What a simulator does is surrounded by `hold`: Ctrl-C in the main thread is noted there, so that
    nothing stops half done, TensorFlow's tracing for one, whose memory an exception corrupts. It is
    delivered by `check`, between two pieces of work, or at the end. User code that is called within
    is entered through ``with interrupt:`` and is interrupted at once.

    To deliver it is to call the handler that was there before, Python's or the user's. Where SIGINT
    is ignored, or handled by something that is not Python, it stays so.
    """

    def __init__(self):
        # whether Ctrl-C is only noted just now, and whether it was pressed meanwhile: bytes, since
        # the engine sets them around every call of a Node's function
        self.flags = bytearray(2)
        self._depth = 0  # how many `hold` are open; between two of them there may be user code
        self._previous = None  # the handler before the outermost `hold`, None if it stays
        self._handler = self._handle  # one object, to be known again

    def hold(self):
        """Return a context that begins and ends a piece of work; it may lie in another one."""
        return _Hold(self)

    def check(self):
        """Deliver Ctrl-C if it was pressed: here the books are in order."""
        if self.flags[PENDING] and get_ident() == MAIN_THREAD:
            self._deliver()

    def _handle(self, signum, frame):
        if self.flags[HELD]:
            self.flags[PENDING] = True
        elif self._previous is not None:
            # what is raised leaves user code, or never enters it
            self.flags[HELD] = self._depth > 0
            self._previous(signum, frame)
            self.flags[HELD] = False

    def _deliver(self):
        self.flags[PENDING] = False
        if self._previous is not None:
            self._previous(_signal.SIGINT, sys._getframe(1))

    def __enter__(self):
        if get_ident() == MAIN_THREAD:
            self.flags[HELD] = False
            if self.flags[PENDING]:  # pressed before
                self.flags[HELD] = self._depth > 0
                self._deliver()
                self.flags[HELD] = False

    def __exit__(self, *exc_info):
        self.flags[HELD] = self._depth > 0  # in another thread, too: Ctrl-C is late at worst


class _Hold:
    """See `Interrupt.hold`. Other threads than the main one pass through it."""

    __slots__ = ("active", "before", "interrupt")

    def __init__(self, interrupt):
        self.interrupt = interrupt
        self.active = False

    def __enter__(self):
        if get_ident() != MAIN_THREAD:
            return
        interrupt = self.interrupt
        before, interrupt.flags[HELD] = interrupt.flags[HELD], True
        self.before = before and interrupt._depth > 0
        if interrupt._depth == 0:
            interrupt.flags[PENDING] = False
            previous = _signal.getsignal(_signal.SIGINT)
            if previous is not interrupt._handler:  # user code may have put that back too late
                interrupt._previous = previous if callable(previous) else None
            if interrupt._previous is not None:
                _signal.signal(_signal.SIGINT, interrupt._handler)
        interrupt._depth += 1
        self.active = True

    def __exit__(self, *exc_info):
        if not self.active:
            return
        interrupt = self.interrupt
        interrupt._depth -= 1
        previous = interrupt._previous
        if (
            interrupt._depth == 0
            and previous is not None
            and _signal.getsignal(_signal.SIGINT) is interrupt._handler
        ):
            _signal.signal(_signal.SIGINT, previous)
        interrupt.flags[HELD] = self.before
        if interrupt.flags[PENDING] and not self.before:
            interrupt.check()


interrupt = Interrupt()  # there is one SIGINT for the process


def in_one_piece(method: Callable[P, R]) -> Callable[P, R]:
    """Let a method of a simulator not be torn apart by Ctrl-C, see `Interrupt`."""

    @functools.wraps(method)
    def held(*args: P.args, **kwargs: P.kwargs) -> R:
        with interrupt.hold():
            return method(*args, **kwargs)

    return held
