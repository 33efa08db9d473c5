"""Planned networks, run in the NumPy twin, equal nengo.Simulator in double precision."""

import networks
import networks_dynamics  # noqa: F401 (registers its networks)
import pytest
from planned import assert_same

UNPLANNED = {"merge": False, "fuse": False, "simplifications": []}


@pytest.mark.parametrize("name", networks.NETWORKS)
def test_planned_equals_nengo(name):
    assert_same(networks.make(name))


@pytest.mark.parametrize("name", networks.NETWORKS)
def test_unplanned_equals_nengo(name):
    assert_same(networks.make(name), **UNPLANNED)
