"""Random generators as 32-bit words, as the integer state of a program holds them.

NumPy's ``RandomState`` (a Mersenne twister) is the generator that Nengo draws from. Its whole
state fits in `RNG_WORDS` words: key (624), position, flag and value of the cached gauss.
"""

import numpy as np

from .program import RNG_WORDS

KEY_WORDS = 624


def pack_rng(rng):
    """Write the state of a generator down as words.

    Parameters
    ----------
    rng : numpy.random.RandomState
        The generator; it is not changed.

    Returns
    -------
    words : (628,) int32 array
    """
    name, key, position, has_gauss, gauss = rng.get_state()
    if name != "MT19937":
        raise ValueError(f"random generator is of kind {name!r}, expected 'MT19937' (RandomState)")
    words = np.empty(RNG_WORDS, dtype=np.int32)
    words[:KEY_WORDS] = np.asarray(key, dtype=np.uint32).view(np.int32)
    words[KEY_WORDS] = position
    words[KEY_WORDS + 1] = has_gauss
    words[KEY_WORDS + 2 :] = np.array([gauss], dtype="<f8").view("<i4")
    return words


def unpack_rng(words):
    """Make a generator that continues where `pack_rng` wrote it down.

    Parameters
    ----------
    words : (628,) int32 array

    Returns
    -------
    rng : numpy.random.RandomState
    """
    words = np.ascontiguousarray(words, dtype=np.int32)
    if words.shape != (RNG_WORDS,):
        raise ValueError(f"a random generator has shape ({RNG_WORDS},), got {words.shape}")
    gauss = words[KEY_WORDS + 2 :].view("<f8")[0]
    rng = np.random.RandomState()
    rng.set_state(
        (
            "MT19937",
            words[:KEY_WORDS].view(np.uint32),
            int(words[KEY_WORDS]),
            int(words[KEY_WORDS + 1]),
            float(gauss),
        )
    )
    return rng
