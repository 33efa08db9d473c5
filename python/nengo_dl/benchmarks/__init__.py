"""Networks to measure simulators by, and `run_profile`, which measures; also from the command line.

    python -m nengo_dl.benchmarks build --benchmark integrator --dimensions 16 profile --time-only

Each function makes a network whose inputs are ``inp`` (or ``inp_a`` and ``inp_b``) and whose Probe
is ``p``. These are the networks that NengoDL is measured by, under the same names.
"""

from .profiling import run_profile  # first: the simulator looks whether Keras is as it has to be

# isort: split
from .legendre import lmu
from .networks import (
    basal_ganglia,
    cconv,
    integrator,
    mnist,
    pes,
    random_network,
    spaun,
)

__all__ = [
    "basal_ganglia",
    "cconv",
    "integrator",
    "lmu",
    "mnist",
    "pes",
    "random_network",
    "run_profile",
    "spaun",
]

BENCHMARKS = {
    function.__name__: function
    for function in (cconv, integrator, pes, basal_ganglia, random_network, mnist, lmu, spaun)
}
