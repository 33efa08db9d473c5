"""Random facts of random ops: sizes, flags, values."""

import numpy as np


def uniform(low, high):
    return lambda rng, shape: rng.uniform(low, high, size=shape)


def zero_or(chance, draw):
    """Values that are often exactly zero, as spikes are."""
    return lambda rng, shape: draw(rng, shape) * (rng.random_sample(shape) < chance)


def length(rng):
    """Mostly short vectors, sometimes longer than any vector register."""
    return int(rng.randint(1, 10) if rng.random_sample() < 0.75 else rng.randint(10, 75))


def n_blocks(rng):
    return int(rng.randint(1, 5)) if rng.random_sample() < 0.7 else 1


def flag(rng):
    return int(rng.randint(2))


def per_block(rng, blocks, draw):
    """A float attribute: one value for all blocks, or one for each."""
    if rng.random_sample() < 0.5:
        return float(draw(rng, ()))
    return np.asarray(draw(rng, (blocks,)), dtype=float)


def any_shape(rng, max_rank=4):
    return tuple(rng.randint(1, 5, size=rng.randint(max_rank + 1)).tolist())
