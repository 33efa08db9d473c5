"""What Nengo's signals hold, and what they are called."""

import re
from weakref import WeakKeyDictionary

import numpy as np

LONG_LIST = re.compile(r"\[((?:-?\d+, ){3})(?:-?\d+, ){4,}(-?\d+)\]")
_entries = WeakKeyDictionary()  # of sparse signals: how many there are, each place once


def csr(signal):
    """Data, column indices and row pointers of a sparse signal, with rows in order."""
    matrix = signal.initial_value
    if hasattr(matrix, "tocsr"):
        matrix = matrix.tocsr()
        return (
            np.asarray(matrix.data),
            np.asarray(matrix.indices),
            np.asarray(matrix.indptr),
        )
    rows, cols = np.asarray(matrix.indices).T
    order = np.argsort(rows, kind="stable")
    indptr = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=matrix.shape[0]))])
    return np.asarray(matrix.data)[order], cols[order], indptr


def values_shape(signal):
    """Shape of the numbers of a base signal: of a sparse matrix they are its entries, in a row."""
    if not signal.sparse:
        return signal.shape
    if signal not in _entries:
        _entries[signal] = csr(signal)[0].size
    return (_entries[signal],)


def short_name(name):
    """The name of a signal or operator with ``[0, 2, 4, ..., 80]`` for lists of elements.

    Nengo calls a connection after all elements that it connects.
    """
    return LONG_LIST.sub(r"[\1..., \2]", str(name))
