"""Calls of one simulator from several threads: one after the other."""

import contextlib
import threading
from _thread import get_ident

from nengo.exceptions import SimulationError

from .. import _engine
from ..arguments.checks import warn_user
from .interrupt import MAIN_THREAD, interrupt

LONG = 30.0  # seconds of waiting after which it is said for what


class UserCode:
    """Entered around Python code that the user wrote: Ctrl-C comes through, calls are refused."""

    def __init__(self):
        # threads, once for each level: user code may run a program that calls user code
        self._within = []
        # the same for the engine, which calls functions of Nodes without a line of Python
        self.native = _engine.UserCode(
            interrupt.flags, self._within, interrupt.__enter__, MAIN_THREAD
        )

    def inside(self):
        """Whether this thread is within user code."""
        return bool(self._within) and get_ident() in self._within

    def __enter__(self):
        interrupt.__enter__()
        self._within.append(get_ident())

    def __exit__(self, *exc_info):
        thread = get_ident()
        if thread in self._within:  # a generator may run longer than the call that it is for
            self._within.remove(thread)
        interrupt.__exit__()

    def forget(self):
        """Say that nothing runs: what Ctrl-C had interrupted on its way into user code is gone."""
        self._within.clear()


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
        self._calls = ()  # of the thread that has the lock, the outermost first
        self._thread = None  # the one that had it last

    def __call__(self, call):
        """Return a context in which no other thread has its turn; it waits for those before it.

        Parameters
        ----------
        call : str
            Name of what is called.
        """
        self._get_ready(call)
        return self._turn(call)

    def alone(self, call):
        """The same for a call that ends all others: it may not come from within one of them."""
        self._get_ready(call)
        if self._calls and self._thread == get_ident():
            self._refuse(call, "a callback or progress bar")
        return self._turn(call)

    def run(self, call, function, /, *args, **kwargs):
        """Call a function in such a context, in half the time."""
        self._get_ready(call)
        with self._lock:
            before = self._calls
            try:
                self._begin(call)
                return function(*args, **kwargs)
            finally:
                self._calls = before

    @contextlib.contextmanager
    def _turn(self, call):
        # safe from Ctrl-C: `with` of a lock is, acquire() and then try is not
        with self._lock:
            before = self._calls
            try:
                self._begin(call)
                yield
            finally:
                self._calls = before

    def _get_ready(self, call):
        if not self._calls:
            return
        if self.user_code.inside():
            self._refuse(call, "Python code of its own model or data")
        if self._thread != get_ident():
            self._wait(call)

    def _refuse(self, call, by):
        raise SimulationError(
            f"{call} of a simulator was called by {by}, while"
            f" {' in '.join(reversed(self._calls))} runs that code; make another"
            " simulator for it, or call this one before or afterwards"
        )

    def _begin(self, call):
        if not self._calls:
            self.user_code.forget()
        self._thread, self._calls = get_ident(), (*self._calls, call)

    def _wait(self, call):
        if self._lock.acquire(timeout=LONG):
            self._lock.release()
            return
        warn_user(
            f"{call} has been waiting {LONG:g} s for {(*self._calls, 'a call')[0]} of the same"
            " simulator in another thread; calls of one simulator run one after the other"
        )
