"""Convolutions of inputs that are mostly 0: terms of the others alone, the bits of all."""

import numpy as np
import pytest
from test_dense import refuse_to_skip, spikes
from test_kernels_conv import Conv

SHAPES = [
    Conv((9, 7), 8, 16),
    Conv((9, 7), 16, 32, stride=(2, 2), pad=(0, 0)),
    Conv((8, 8), 9, 5, kernel=(2, 3), stride=(1, 3), pad=(1, 0)),  # half of a vector and less
    Conv((5, 6), 12, 67, pad=(2, 2), kernel=(5, 5)),  # several strips, the last one overlaps
    Conv((6, 5), 8, 21, stride=(2, 1), transposed=True),
    Conv((5, 5), 10, 18, kernel=(2, 2), stride=(3, 3), pad=(0, 0), transposed=True),
    Conv((4, 4), 300, 20),  # more channels than are taken at once
    Conv((9, 7), 8, 16, last=False),
    Conv((9, 7), 16, 16, groups=2),
]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("share", [0, 0.03, 0.1, 0.6])
@pytest.mark.parametrize("set_", [0, 1])
@pytest.mark.parametrize("conv", SHAPES, ids=str)
@pytest.mark.usefixtures("isa")
def test_inputs_that_are_0_may_be_left_out(conv, set_, share, dtype):
    rng = np.random.RandomState(5)
    maker = conv.program(dtype, rng.randn(conv.elements[0]), set_)
    x = spikes(rng, (4, 6, conv.elements[1]), share, dtype)
    x[1, 2:4] = rng.randn(2, conv.elements[1])  # among rows of spikes
    (found,) = maker.run(6, 4, [x])[0]
    (alone,) = maker.run(6, 1, [x[3:]])[0]
    refuse_to_skip(maker, "W")
    (every,) = maker.run(6, 4, [x])[0]
    np.testing.assert_array_equal(found, every)
    np.testing.assert_array_equal(alone[0], every[3])


def test_weights_that_are_not_finite_are_seen():
    """0 times infinity is NaN, wherever there is no spike."""
    conv = Conv((5, 5), 8, 16)
    weights = np.ones(conv.elements[0])
    weights[0] = np.inf
    (found,) = conv.program("float64", weights).run(6, 4, [np.zeros((4, 6, conv.elements[1]))])[0]
    assert np.isnan(found).any()
