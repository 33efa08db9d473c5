"""The values of a probe over all runs."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

from ..run.interrupt import in_one_piece

MANY, SMALL = 256, 1 << 16  # so many pieces in a row, of so few bytes, are put together


class History:
    """The values of one probe over all runs, ``(minibatch, steps, *shape)``.

    Runs add pieces, which are joined only when somebody looks; room for more grows by doubling, so
    that looking after every step stays cheap. One thread may look while another one adds.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._room: Any = None  # array with space for more steps than there are
            self._steps = 0  # steps in `_room`
            self._pieces: list[np.ndarray] = []
            self._small = 0  # small ones at the end of `_pieces`

    def append(self, values: np.ndarray) -> None:
        """Add an array ``(minibatch, steps, *shape)`` that nobody else writes to."""
        with self._lock:
            if not values.shape[1] and (self._pieces or self._room is not None):
                return  # the first one, if without a step, tells its shape
            self._pieces.append(values)
            self._small = self._small + 1 if values.nbytes < SMALL else 0
            if self._small >= MANY:  # an array takes 100 bytes and more beside its values
                self._pieces[-MANY:] = [np.concatenate(self._pieces[-MANY:], axis=1)]
                self._small = 0

    def __len__(self) -> int:
        with self._lock:
            return self._length()

    def _length(self) -> int:
        return self._steps + sum(piece.shape[1] for piece in self._pieces)

    def array(self) -> np.ndarray | None:
        """All values as a read-only array, or None if there are none."""
        with self._lock:
            return self._array()

    def _array(self) -> np.ndarray | None:
        if self._room is None and not self._pieces:
            return None
        if self._pieces:
            self._join()
        values = self._room[:, : self._steps]
        values.setflags(write=False)
        return values

    @in_one_piece
    def _join(self) -> None:
        if self._room is None and len(self._pieces) == 1:
            self._room, self._steps = self._pieces[0], self._pieces[0].shape[1]
            self._pieces, self._small = [], 0
            return
        steps = self._length()
        if self._room is None or self._room.shape[1] < steps:
            # the first time exactly what is needed, later twice that
            capacity = steps if self._room is None else 2 * steps
            first = self._pieces[0]
            room = np.empty((first.shape[0], capacity, *first.shape[2:]), first.dtype)
            if self._room is not None:
                room[:, : self._steps] = self._room[:, : self._steps]
            self._room = room
        for piece in self._pieces:
            self._room[:, self._steps : self._steps + piece.shape[1]] = piece
            self._steps += piece.shape[1]
        self._pieces, self._small = [], 0
