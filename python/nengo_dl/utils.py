"""Small helpers that scripts import: names, progress bars, Python functions in TensorFlow."""

import functools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import nengo.utils.functions
import numpy as np
from nengo.exceptions import SimulationError

from .arguments.names import sanitize_name
from .run.progress import Display

__all__ = [
    "MessageBar",
    "NullProgressBar",
    "ProgressBar",
    "SubProgressBar",
    "align_func",
    "function_name",
    "numpy_function",
    "sanitize_name",
    "tf_gpu_installed",  # noqa: F822  made when it is asked for
]


def __getattr__(name: str) -> Any:
    if name == "tf_gpu_installed":  # not before somebody asks: TensorFlow takes seconds to load
        import tensorflow as tf

        return bool(tf.config.list_physical_devices("GPU"))
    raise AttributeError(
        f"module {__name__!r} has no attribute {name!r}; there are {', '.join(__all__)}"
    )


def function_name(func: Any, sanitize: bool = True) -> str:
    """Name of a function, or of the type of another callable object.

    Parameters
    ----------
    func : callable
        What is to be named.
    sanitize : bool
        Whether to leave only characters that names in TensorFlow may have.

    Returns
    -------
    str
        The name.
    """
    name = nengo.utils.functions.function_name(func)
    return sanitize_name(name) if sanitize else name


def align_func(output_dtype: Any) -> Callable[[Callable], Callable[..., np.ndarray]]:
    """Decorator: what a function returns becomes an array of this type, or an error.

    Parameters
    ----------
    output_dtype : dtype or str
        Type of the array's elements, NumPy's or TensorFlow's.

    Returns
    -------
    callable
        The decorator. Functions that it decorates raise `nengo.exceptions.SimulationError` where
        they would return None, infinity, NaN or no numbers.
    """
    dtype = np.dtype(getattr(output_dtype, "as_numpy_dtype", output_dtype))

    def decorate(func: Callable) -> Callable[..., np.ndarray]:
        name = function_name(func, sanitize=False)

        @functools.wraps(func, assigned=("__doc__",), updated=())
        def aligned(*args: Any) -> np.ndarray:
            value = func(*args)
            if value is None:
                raise SimulationError(f"Function {name!r} returned None, expected numbers")
            try:
                array = np.asarray(value, dtype=dtype)
                finite = np.isfinite(array).all()
            except (TypeError, ValueError) as e:
                raise SimulationError(
                    f"Function {name!r} returned a value {value!r} of invalid type "
                    f"{type(value).__name__!r}, expected numbers"
                ) from e
            if not finite:
                raise SimulationError(f"Function {name!r} returned invalid value {value!r}")
            return array

        aligned.__name__ = name
        return aligned

    return decorate


def numpy_function(func: Callable, inp: Any, Tout: Any, name: str | None = None) -> Any:
    """``tf.numpy_function`` for functions that may change their arguments in place.

    Parameters
    ----------
    func : callable
        A function of NumPy arrays; it gets copies of its own.
    inp : list of tensor
        Its arguments.
    Tout : tf.DType or list of tf.DType
        Type, or types, of what it returns.
    name : str, optional
        Name of the operation.

    Returns
    -------
    tensor or list of tensor
        What it returns.
    """
    import tensorflow as tf

    return tf.numpy_function(lambda *args: func(*map(np.array, args)), inp, Tout, name=name)


class ProgressBar(Display):
    """Nengo's progress bar, as a context.

    Parameters
    ----------
    present : str
        What is being done.
    past : str, optional
        What has been done; by default ``present``.
    max_value : int or None
        Number of steps; None if it is unknown.

    Examples
    --------
    >>> with ProgressBar("Loading", "Loaded", max_value=10) as bar:
    ...     for name in bar(names):
    ...         load(name)
    """

    shown = True

    def __init__(self, present: str = "", past: str | None = None, max_value: int | None = 1):
        super().__init__(self.shown, present, past, max_value)

    @property
    def max_steps(self) -> int | None:
        """Number of steps; None if it is unknown. Nengo's builder sets it."""
        return self.total.max_steps

    @max_steps.setter
    def max_steps(self, value: int | None) -> None:
        self.total.max_steps = value

    def sub(self, msg: str | None = None, max_value: int | None = 1) -> "ProgressBar":
        """Make a bar for a part of the work, which is no step of this bar.

        Parameters
        ----------
        msg : str, optional
            What is being done there.
        max_value : int or None
            Number of steps.

        Returns
        -------
        SubProgressBar
            The bar; of a hidden bar the parts are hidden, too.
        """
        present = ": ".join(text for text in (self.total.name_during, msg) if text)
        return (SubProgressBar if self.shown else NullProgressBar)(present, max_value=max_value)

    def __call__(self, iterable: Iterable) -> Iterator:
        """Hand on the elements of an iterable, with a step after each."""
        for element in iterable:
            yield element
            self.step()


class SubProgressBar(ProgressBar):
    """The bar of a part of the work, see `ProgressBar.sub`."""


class NullProgressBar(ProgressBar):
    """A bar that shows nothing."""

    shown = False


class MessageBar(ProgressBar):
    """A bar for work of unknown length: a message while it is done, and one after it.

    Parameters
    ----------
    msg : str
        What is being done.
    finish_msg : str, optional
        What has been done.
    """

    def __init__(self, msg: str = "", finish_msg: str | None = None):
        super().__init__(msg, finish_msg, max_value=None)
