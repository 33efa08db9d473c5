"""Types of the compiled module (cpp/python); its docstrings say what everything does."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

class ProgramError(ValueError): ...

class Compiled:
    def __init__(
        self, bytes: bytes, backend: str | None = None, fuse: bool | None = None
    ) -> None: ...
    @property
    def backend(self) -> str: ...
    def fused(self) -> list[tuple[int, int, int, str]]: ...
    def loops(self, items: int) -> list[tuple[int, str, float]]: ...
    def divided(self, threads: int) -> list[tuple[int, int, int, str, float]]: ...
    def run(
        self,
        inputs: Sequence[np.ndarray],
        params: Sequence[np.ndarray],
        state: np.ndarray,
        istate: np.ndarray,
        first_step: int,
        n_steps: int,
        batch: int,
        keep_last: Sequence[bool],
        callbacks: int = -1,
        threads: int = 0,
        time_limit: float = 0.0,
        tape: Tape | None = None,
        memory: int = -1,
        wanted_params: Sequence[bool] | None = None,
        tf32: bool = False,
    ) -> tuple[list[np.ndarray], int, BaseException | None]: ...
    def tape_bytes(
        self,
        batch: int,
        n_steps: int,
        memory: int = -1,
        wanted_params: Sequence[bool] | None = None,
    ) -> int: ...
    def tape(
        self,
        batch: int,
        n_steps: int,
        memory: int = -1,
        wanted_params: Sequence[bool] | None = None,
    ) -> Tape: ...
    def grad(
        self,
        inputs: Sequence[np.ndarray],
        params: Sequence[np.ndarray],
        state: np.ndarray,
        istate: np.ndarray,
        first_step: int,
        n_steps: int,
        batch: int,
        keep_last: Sequence[bool],
        output_grads: Sequence[np.ndarray | None],
        learned_grads: Sequence[np.ndarray | None] | None = None,
        state_out_grad: np.ndarray | None = None,
        want_inputs: Sequence[bool] | None = None,
        want_params: Sequence[bool] | None = None,
        want_state: bool = True,
        tape: Tape | None = None,
        memory: int = -1,
        wanted_params: Sequence[bool] | None = None,
        callbacks: int = -1,
        threads: int = 0,
        tf32: bool = False,
    ) -> tuple[list[np.ndarray | None], list[np.ndarray | None], np.ndarray | None]: ...

class Tape:
    @property
    def nbytes(self) -> int: ...
    @property
    def on_host(self) -> bool: ...
    @property
    def steps(self) -> int: ...
    @property
    def memory(self) -> np.ndarray: ...

def add_callbacks(functions: Sequence[Callable[..., None]]) -> int: ...
def remove_callbacks(handle: int) -> None: ...
def callback_error(handle: int) -> BaseException | None: ...
def loaded_libraries() -> list[str]: ...
def backends() -> list[str]: ...
def load_cuda() -> None: ...
def cuda_info() -> str: ...
def cuda_seconds() -> float: ...
def cuda_memory() -> tuple[int, int]: ...
def set_backend(name: str) -> None: ...
def isa() -> str: ...
def set_isa(name: str) -> None: ...
def isas() -> list[str]: ...
def op_specs() -> dict[str, dict[str, Any]]: ...
def neuron_types() -> dict[str, dict[str, Any]]: ...
def surrogates() -> dict[str, dict[str, Any]]: ...

class Bound:
    def __init__(self, number: int) -> None: ...
    def run(
        self,
        inputs: Sequence[np.ndarray],
        n_steps: int,
        time_limit: float,
        kept_steps: Sequence[np.ndarray | None] | None = None,
    ) -> tuple[tuple[np.ndarray, ...], int, int, str]: ...
    def run_items(
        self, inputs: Sequence[np.ndarray], n_steps: int, items: int, keep_state: bool
    ) -> tuple[tuple[np.ndarray, ...], int, int, str]: ...
    @property
    def steps_done(self) -> int: ...

class UserCode:
    def __init__(
        self,
        flags: bytearray,
        within: list[int],
        deliver: Callable[[], Any],
        main_thread: int,
    ) -> None: ...

class NodeFunction:
    def __init__(
        self,
        function: Callable[..., Any],
        with_time: bool,
        with_input: bool,
        user_code: UserCode,
        given: bytearray,
        step: Callable[..., None],
        returned: Callable[[Any], None],
        failed: Callable[[BaseException], BaseException],
    ) -> None: ...
