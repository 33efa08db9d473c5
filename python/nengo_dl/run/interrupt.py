"""Ctrl-C during a run: stop between two pieces of work, so that nothing that was done is lost."""

import _signal  # what the module signal is made of, without its enums, which take 20 us a run
import threading
from _thread import get_ident


class Interrupt:
    """Turns Ctrl-C into a request that a run answers when its books are in order.

    ``with interrupt.watch():`` surrounds a run, which calls `check` between two pieces. User code
    that runs inside is entered through ``with interrupt:`` and is interrupted at once. A handler
    for SIGINT that somebody else has installed is left alone.
    """

    def __init__(self):
        self.pending = False
        # threads, once for each level: user code may run a program that calls user code
        self.in_user_code = []

    def watch(self):
        """Return a context in which Ctrl-C is only noted."""
        return _Watch(self)

    def check(self):
        """Raise `KeyboardInterrupt` if Ctrl-C was pressed."""
        if self.pending:
            self.pending = False
            raise KeyboardInterrupt

    def handle(self, signum, frame):
        """Note the request, or interrupt user code."""
        if self.in_user_code:
            raise KeyboardInterrupt
        self.pending = True

    def inside(self):
        """Whether this thread is within user code."""
        return bool(self.in_user_code) and get_ident() in self.in_user_code

    def __enter__(self):
        if self.pending:
            self.check()
        self.in_user_code.append(get_ident())

    def __exit__(self, *exc_info):
        self.in_user_code.remove(get_ident())


class _Watch:
    def __init__(self, interrupt):
        self.interrupt = interrupt
        self.previous = None

    def __enter__(self):
        self.interrupt.pending = False
        if (
            threading.current_thread() is threading.main_thread()
            and _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler
        ):
            self.previous = _signal.signal(_signal.SIGINT, self.interrupt.handle)

    def __exit__(self, exc_type, exc, traceback):
        if self.previous is not None:
            _signal.signal(_signal.SIGINT, self.previous)
        if exc_type is None:
            self.interrupt.check()
