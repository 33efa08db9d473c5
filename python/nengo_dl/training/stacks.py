"""Items of arrays as stacks of minibatches, the next one gathered while one is used."""

import math
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import tensorflow as tf

ALIGNED = 64  # bytes: what lies so TensorFlow takes as it is
THREAD_BYTES = 1 << 19  # to gather less takes no longer than to tell a thread to do it


class Stacks:
    """Takes items of arrays into stacks.

    The arrays are never copied as a whole. Stacks lie in memory that is used again as soon as no
    tensor has it.

    Parameters
    ----------
    arrays : list of ndarray, shape (items, ...)
        Where the items are.
    dtypes : list of dtype
        Type of the stack of each array.

    Attributes
    ----------
    shapes : list
        Shape of an item and type, for each array.
    item_bytes : int
        Size of an item in all stacks together.
    """

    def __init__(self, arrays, dtypes):
        self._arrays = arrays
        self._dtypes = [np.dtype(dtype).newbyteorder("=") for dtype in dtypes]
        self._blocks = [[] for _ in arrays]
        self.shapes = [
            (array.shape[1:], dtype) for array, dtype in zip(arrays, self._dtypes, strict=True)
        ]
        self.item_bytes = sum(math.prod(shape) * dtype.itemsize for shape, dtype in self.shapes)
        self._thread = self._ahead = None  # the latter: rows, and the future of their stacks

    @property
    def ahead(self):
        """int : Minibatches of the stack that is being gathered; 0 if there is none."""
        return 0 if self._ahead is None else len(self._ahead[0])

    def take(self, rows, following):
        """Return the stacks of some items as tensors.

        Parameters
        ----------
        rows : ndarray, shape (minibatches, items)
            Numbers of the items.
        following : ndarray
            Likewise, what will be taken next if all goes well: gathered until then. May be empty.

        Returns
        -------
        list of tensors, shape (minibatches, items, ...)
        """
        stacks = self._taken_ahead(rows)
        if stacks is None:
            stacks = self._gather(rows)
        if following.size * self.item_bytes > THREAD_BYTES:
            if self._thread is None:
                self._thread = ThreadPoolExecutor(1, "nengo_dl minibatches")
            self._ahead = following, self._thread.submit(self._gather, following)
        return [_tensor(stack) for stack in stacks]

    def close(self):
        """Wait for the thread and end it."""
        self._ahead = None
        if self._thread is not None:
            self._thread.shutdown()
            self._thread = None

    def _taken_ahead(self, rows):
        """Stacks of the items if they, or more that begin with them, were gathered before."""
        if self._ahead is None:
            return None
        (gathered, future), self._ahead = self._ahead, None
        stacks = future.result()
        if not np.array_equal(gathered[: len(rows)], rows):
            return None
        return [stack[: len(rows)] for stack in stacks]

    def _gather(self, rows):
        stacks = []
        for array, dtype, blocks in zip(self._arrays, self._dtypes, self._blocks, strict=True):
            stack = _free(blocks, (*rows.shape, *array.shape[1:]), dtype)
            if array.dtype == dtype and array.flags.c_contiguous:
                # other modes than "clip" gather into memory of their own first
                np.take(array, rows, axis=0, out=stack, mode="clip")
            else:
                np.copyto(stack, array[rows], casting="unsafe")
            stacks.append(stack)
        return stacks


def _free(blocks, shape, dtype):
    """An array in one of some blocks of memory that nothing else lies in, or in a new one."""
    size = math.prod(shape) * dtype.itemsize
    unused = [i for i in range(len(blocks)) if sys.getrefcount(blocks[i]) == 2]
    fitting = [i for i in unused if blocks[i].nbytes >= size + ALIGNED]
    if fitting:
        block = blocks[fitting[0]]
    else:
        for i in reversed(unused):  # too small ever since
            del blocks[i]
        block = np.empty(size + ALIGNED, np.uint8)
        blocks.append(block)
    start = -block.ctypes.data % ALIGNED
    return block[start : start + size].view(dtype).reshape(shape)  # its base is the block


def _tensor(stack):
    """A stack as a tensor in the same memory."""
    if not stack.size:
        return tf.constant(stack)
    return tf.experimental.dlpack.from_dlpack(stack.__dlpack__())
