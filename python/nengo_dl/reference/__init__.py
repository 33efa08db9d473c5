"""The NumPy twin: a slow, obvious executor of a program, the oracle of the tests.

It runs one step after the other and one item after the other, and calls Nengo's own step
functions wherever they exist. `run` has the array conventions of the compiled engine.
"""

from . import (  # noqa: F401  (each module registers its op kinds)
    steps_basic,
    steps_conv,
    steps_learning,
    steps_neurons,
    steps_processes,
    steps_synapses,
)
from .executor import run
from .registry import kinds

__all__ = ["kinds", "run"]
