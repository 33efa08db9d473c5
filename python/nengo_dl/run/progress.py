"""Progress bars: Nengo's own, in the terminal and in notebooks, without a thread of their own.

Nengo redraws its bar from a thread that it joins after every run, which takes up to 0.1 s: a
thousand times as long as a short run takes here. The bar is redrawn between pieces of work instead.
"""

import functools
import time

from nengo.exceptions import ValidationError
from nengo.utils.progress import NoProgressBar, Progress, to_progressbar

from .interrupt import interrupt

INTERVAL = 0.1  # seconds between two updates of the bar


class Stage(Progress):
    """A piece of work between whose steps Ctrl-C is delivered and the bar redrawn now and then."""

    def __init__(self, display, *args):
        super().__init__(*args)
        self.display = display

    def step(self, n=1):
        """Advance by ``n`` steps."""
        super().step(n)
        interrupt.check()
        self.display.update(self)


class Display:
    """A progress bar and the stages that it shows, as a context.

    Parameters
    ----------
    progress_bar : bool or nengo.utils.progress.ProgressBar or None
        As in `nengo.Simulator`: True is Nengo's default bar, False or None is none.
    during, after : str
        What is being done, what has been done.
    max_steps : int, optional
        Number of steps, if known.
    """

    def __init__(self, progress_bar, during, after, max_steps=None):
        self.what = during, after, max_steps
        self.hidden = progress_bar is None or progress_bar is False
        if self.hidden:  # a run of one step notices what is done here
            return
        self.bar = to_progressbar(progress_bar)
        if not (hasattr(self.bar, "update") and hasattr(self.bar, "close")):
            raise ValidationError(
                f"expected a bool or a progress bar of nengo.utils.progress, got {progress_bar!r}",
                attr="progress_bar",
            )
        self.hidden = isinstance(self.bar, NoProgressBar)
        self.last = time.time()

    @functools.cached_property
    def total(self):
        """Stage : The whole."""
        return Stage(self, *self.what)

    def stage(self, during, after, max_steps=None):
        """Begin a stage of so many steps, if that is known; it is shown when it steps."""
        return Stage(self, during, after, max_steps)

    def step(self, n=1):
        """Advance the whole by ``n`` steps."""
        if not self.hidden:
            self.total.step(n)

    def update(self, progress):
        """Redraw the bar, unless that was done a moment ago."""
        if self.hidden:
            return
        now = time.time()
        if now - self.last >= INTERVAL:
            self.last = now
            self.bar.update(progress)

    def __enter__(self):
        if not self.hidden:
            self.total.__enter__()
        return self

    def __exit__(self, *exc_info):
        if self.hidden:
            return
        self.total.__exit__(*exc_info)
        self.bar.update(self.total)
        self.bar.close()
