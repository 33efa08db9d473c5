"""Random networks: planned equals nengo.Simulator, with and without the planner's passes."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planned import assert_same
from random_networks import random_network


@given(st.integers(0, 100000))
@settings(max_examples=25)
def test_planned_equals_nengo(seed):
    assert_same(random_network(seed), n_steps=25)


@pytest.mark.parametrize(
    "options",
    [
        {"merge": False},
        {"fuse": False},
        {"simplifications": []},
        {"trainable": lambda signal: True},
        {"merge": False, "fuse": False, "simplifications": []},
    ],
    ids=["unmerged", "unfused", "unsimplified", "trainable", "bare"],
)
@given(st.integers(0, 100000))
@settings(max_examples=8)
def test_every_pass_can_be_left_out(options, seed):
    assert_same(random_network(seed), n_steps=20, **options)
