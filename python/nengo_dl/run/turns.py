"""Calls of one simulator from several threads: one after the other."""

import contextlib
import threading
from _thread import get_ident

from nengo.exceptions import SimulationError

from ..arguments.checks import warn_user
from .interrupt import interrupt

LONG = 30.0  # seconds of waiting after which it is said for what


class UserCode:
    """Entered around Python code that the user wrote: Ctrl-C comes through, calls are refused."""

    def __init__(self):
        # threads, once for each level: user code may run a program that calls user code
        self._within = []

    def inside(self):
        """Whether this thread is within user code."""
        return bool(self._within) and get_ident() in self._within

    def __enter__(self):
        interrupt.__enter__()
        self._within.append(get_ident())

    def __exit__(self, *exc_info):
        self._within.remove(get_ident())
        interrupt.__exit__()


class Turns:
    """A lock that a thread may take again while it has it, and that tells who has it.

    Attributes
    ----------
    user_code : UserCode
        To be entered around Python code that a run calls. A call of the simulator from there would
        wait for the run that waits for it, and is refused.
    """

    def __init__(self):
        self._lock = threading.RLock()
        self.user_code = UserCode()
        self._calls = []  # of the thread that has the lock, the outermost first

    def enter(self, call):
        """Wait for the calls of other threads to end.

        Parameters
        ----------
        call : str
            Name of what is called.
        """
        if self.user_code.inside():
            raise SimulationError(
                f"{call} of a simulator was called by Python code of its own model or data, while"
                f" {' in '.join(reversed(self._calls)) or 'a call'} runs that code; make another"
                " simulator for it, or call this one before or afterwards"
            )
        if not self._lock.acquire(blocking=False) and not self._lock.acquire(timeout=LONG):
            warn_user(
                f"{call} has been waiting {LONG:g} s for {', '.join(self._calls[:1])} of the same"
                " simulator in another thread; calls of one simulator run one after the other"
            )
            self._lock.acquire()
        self._calls.append(call)

    def leave(self):
        """Let others have their turn."""
        self._calls.pop()
        self._lock.release()

    @contextlib.contextmanager
    def __call__(self, call):
        """Do something in turn; see `enter`."""
        self.enter(call)
        try:
            yield
        finally:
            self.leave()
