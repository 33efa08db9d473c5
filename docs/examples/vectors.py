"""Vectors that stand for words, and can be bound to each other by circular convolution."""

import numpy as np


def vocabulary(rng, n_words, dimensions):
    """Random unit vectors, a row for each word."""
    words = rng.normal(size=(n_words, dimensions))
    return words / np.linalg.norm(words, axis=-1, keepdims=True)


def bound(a, b):
    """Circular convolution of the last axes."""
    return np.fft.irfft(np.fft.rfft(a) * np.fft.rfft(b), n=a.shape[-1])


def recognised(values, words, expected):
    """Share of vectors that are nearer to the expected word than to any other one."""
    return np.mean((values @ words.T).argmax(axis=-1) == expected)
