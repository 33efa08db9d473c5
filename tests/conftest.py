"""What all tests share."""

import os

import hypothesis
import numpy as np
import pytest

# Before TensorFlow is imported: its start-up messages would fill the reports of failing tests.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")

# Machines that run tests are shared and slow at times; an example's duration says nothing.
hypothesis.settings.register_profile("shared-machine", deadline=None)
hypothesis.settings.load_profile("shared-machine")


@pytest.fixture(autouse=True)
def _same_networks_in_every_run():
    """Networks without a seed take theirs from NumPy's global generator."""
    np.random.seed(0)


@pytest.fixture(params=["baseline", "avx2", "avx512"])
def isa(request):
    """Runs the test with the kernels of each instruction set that the processor has."""
    from nengo_dl import _engine  # here, as tests of the planner do without the library

    if request.param not in _engine.isas():
        pytest.skip(f"the processor has no {request.param}")
    before = _engine.isa()
    _engine.set_isa(request.param)
    yield request.param
    _engine.set_isa(before)
