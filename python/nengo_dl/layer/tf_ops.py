"""The TensorFlow op that runs a program: loading its library and calling it.

The library must run under the very TensorFlow it was built for. That is checked before it is
loaded, by looking for a marker in the file: loading a mismatched one would end in a missing
symbol at best.
"""

import functools
import threading
from pathlib import Path
from typing import Any, NamedTuple

LIBRARY = Path(__file__).parents[1] / "libnengo_dl_ops.so"
MARKER = b"nengo_dl-built-for-tensorflow="
REBUILD = (
    "pip install --no-build-isolation --force-reinstall --no-deps . "
    "(in a checkout of nengo-dl, with that TensorFlow installed)"
)
_loading = threading.Lock()


def built_for(library=None):
    """The TensorFlow version that an op library was built for, read from the file.

    Parameters
    ----------
    library : path, optional
        The shared library, nengo_dl's own by default; it is not loaded.

    Returns
    -------
    str
        For example ``"2.21.0"``.

    Raises
    ------
    ImportError
        If there is no such file, or it holds no version.
    """
    library = LIBRARY if library is None else library
    try:
        data = Path(library).read_bytes()
    except FileNotFoundError as e:
        raise ImportError(
            f"nengo_dl's compiled op is missing: no file {library}. Build it with: {REBUILD}"
        ) from e
    start = data.find(MARKER)
    end = data.find(b"\0", start)
    if start < 0 or end < 0:
        raise ImportError(
            f"{library} doesn't say which TensorFlow it was built for, so it isn't the op "
            f"library of this nengo_dl. Build it with: {REBUILD}"
        )
    return data[start + len(MARKER) : end].decode()


@functools.cache
def load():
    """The module of TensorFlow ops in nengo_dl's library; loaded on the first call.

    Raises
    ------
    ImportError
        If the library is missing, can't be loaded, or was built for another TensorFlow than the
        one that runs.
    """
    import tensorflow as tf

    built, running = built_for(), tf.__version__
    if built != running:
        raise ImportError(
            f"nengo_dl's compiled op was built for TensorFlow {built}, but TensorFlow {running} is "
            f"running. Either install tensorflow=={built}, or rebuild with: {REBUILD}"
        )
    try:
        with _loading:  # what functools.cache does not know yet, it calls in every thread
            return _load_with_gradients(str(LIBRARY))
    except tf.errors.NotFoundError as e:
        raise ImportError(f"nengo_dl's compiled op can't be loaded: {e}. Rebuild: {REBUILD}") from e


@functools.cache  # a gradient can't be registered twice
def _load_with_gradients(path):
    import tensorflow as tf

    from nengo_dl.layer import tf_gradients

    library = tf.load_op_library(path)
    tf_gradients.register(library)
    return library


class RunResult(NamedTuple):
    """What one run of a program gives, all tensors."""

    outputs: list  # (batch, n_steps or 1, size) each
    learned: list  # (batch, size) each: the learned parameters after the run
    state: object  # (batch, state_size)
    istate: object  # (batch, istate_size)
    steps: object  # () int64: steps that were done; outputs are zero after them
    error: object  # (bytes,) uint8: what a callback that failed said, or empty
    tape: object  # () variant: what the gradient needs; nothing if none was recorded


class GraphResult(NamedTuple):
    """What a run of all pieces gives, all tensors."""

    outputs: list  # (batch, n_steps or 1, size) each
    steps: Any  # () int64: steps that were done; outputs are zero after them
    error: Any  # as in `.RunResult`
    runs: list  # `.RunResult` of every program that is not in a loop
    losses: list  # () each: what layers added, where Keras does not find it


class RunOp:
    """The op ``NengoDL>Run`` with the attributes that belong to one program.

    Parameters
    ----------
    program : `.ir.program.Program`
        What to run.
    keep_last : list of bool
        For each output, whether only its last step is kept.
    callbacks : int
        Handle of the table of Python functions, -1 if the program has none.
    threads : int
        Most threads to use; 0 for as many as TensorFlow uses inside one op.
    memory : int
        Most bytes of values that a run records for its gradient; -1 for no limit.
    backend : str
        The engine's backend that runs it.
    on_gpu : bool
        Whether the tensors lie on TensorFlow's GPU (the op ``NengoDL>RunOnGpu``).
    """

    def __init__(
        self, program, keep_last, callbacks=-1, threads=0, memory=-1, backend="cpu", on_gpu=False
    ):
        from nengo_dl.ir.program import to_bytes

        learned = [i for i, param in enumerate(program.params) if param.learned]
        self.program = to_bytes(program)
        self.keep_last = [int(keep) for keep in keep_last]
        self.callbacks, self.threads, self.backend = callbacks, threads, backend
        self._attrs = {
            "program": self.program,
            "n_outputs": len(program.outputs),
            "n_learned": len(learned),
            "output_sizes": [port.size for port in program.outputs],
            "keep_last": self.keep_last,
            "learned": learned,
            "callbacks": callbacks,
            "backend": backend,
            "threads": threads,
            "memory": memory,
        }
        self._op = load().nengo_dl_run_on_gpu if on_gpu else load().nengo_dl_run

    def __call__(
        self,
        inputs,
        params,
        state,
        istate,
        first_step,
        n_steps,
        time_limit=0.0,
        partial=False,
        record=False,
        wanted=None,
    ):
        """Run ``n_steps`` steps.

        Parameters
        ----------
        inputs : list of tensors, shape (batch, n_steps, size)
            Rows of the model inputs.
        params : list of tensors, shape (size,), or (batch, size) if learned
            Parameters.
        state, istate : tensors, shape (batch, state_size) and (batch, istate_size)
            State before the run.
        first_step, n_steps : int64 scalars
            Steps done before this run, and steps to do.
        time_limit : float64 scalar
            Seconds after which the run stops at the next window border; 0 for no limit.
        partial : bool
            If a callback fails: return what was done before, instead of raising.
        record : bool
            Whether to record what the gradient needs; without it the gradient runs again.
        wanted : list of int, optional
            Parameters whose gradient can be had from the record, all by default. Where TensorFlow
            does not tell which gradients are asked for (a `tf.function` differentiated from
            outside), no others have one.

        Returns
        -------
        `.RunResult`
        """
        return RunResult(
            *self._op(
                inputs=inputs,
                params=params,
                state=state,
                istate=istate,
                first_step=first_step,
                n_steps=n_steps,
                time_limit=time_limit,
                partial=partial,
                record=record,
                wanted=list(range(len(params))) if wanted is None else list(wanted),
                **self._attrs,
            )
        )
