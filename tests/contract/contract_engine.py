"""The compiled engine, as the contract tests use it."""

import numpy as np
from contract_cases import run_case

from nengo_dl import _engine
from nengo_dl.ir.program import to_bytes


def compile_case(case):
    return _engine.Compiled(to_bytes(case.program))


class Functions:
    """A table of callbacks that lives as long as a ``with`` block."""

    def __init__(self, functions):
        self.functions = functions
        self.handle = -1

    def __enter__(self):
        if self.functions:
            self.handle = _engine.add_callbacks(self.functions)
        return self.handle

    def __exit__(self, *_):
        if self.functions:
            _engine.remove_callbacks(self.handle)


def run_engine(case, splits=(), threads=1, compiled=None):
    """Run a case with the engine; see `contract_cases.run_case`."""
    compiled = compile_case(case) if compiled is None else compiled

    def runner(program, inputs, params, state, istate, first_step, n_steps, batch, callbacks):
        keep = [False] * len(program.outputs)
        args = (inputs, params, state, istate, first_step, n_steps, batch, keep)
        with Functions(callbacks) as handle:
            outputs, steps, error = compiled.run(*args, callbacks=handle, threads=threads)
        if error is not None:
            raise error
        assert steps == n_steps
        return outputs

    return run_case(case, runner, splits)


def assert_same(got, due, what=""):
    """Bitwise equal results (NaN equals NaN)."""
    for (name, a), (_, b) in zip(got.arrays(), due.arrays(), strict=True):
        np.testing.assert_array_equal(a, b, err_msg=f"{what} {name}")


def assert_close(got, due, what=""):
    """Equal up to rounding: the last digits of the largest element of an array."""
    for (name, a), (_, b) in zip(got.arrays(), due.arrays(), strict=True):
        if a.dtype.kind == "i":
            np.testing.assert_array_equal(a, b, err_msg=f"{what} {name}")
            continue
        rtol = 1e-12 if a.dtype == np.float64 else 2e-5
        finite = np.abs(b[np.isfinite(b)])
        atol = rtol * finite.max() if finite.size else 0
        np.testing.assert_allclose(a, b, rtol=rtol, atol=atol, err_msg=f"{what} {name}")
