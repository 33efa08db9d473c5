"""One file per family of operators: how Nengo's classes lower to native ops."""

from . import basic, conv, dense, learning, neurons, processes  # noqa: F401
