"""Whether a layer combines steps of a temporal model, found by trying it."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

ITEMS, STEPS = 2, 4  # of what is tried; as many steps as a model has, if it says
MAGNITUDES = (1.0, 100.0, 0.01)
TOLERANCE = 1e-3  # of the largest value of an output


class NotTried(Exception):
    """A layer fails on random values, gives none, or gives other ones each time."""


def combines_steps(
    all_steps: Callable[[list], Any], single: Callable[[list], Any], inputs: list
) -> str:
    """Compare what a layer gives for several steps with what it gives for each by itself.

    Parameters
    ----------
    all_steps : callable
        From an array for each input, (items, steps, \\*shape), to outputs with these axes.
    single : callable
        The same for a single step: how the converted layer is called.
    inputs : list of keras.KerasTensor
        The inputs, (None, steps, \\*shape).

    Returns
    -------
    str
        How they differ, for people; "" if they don't.

    Raises
    ------
    NotTried
        If they can't be compared.
    """
    compared = False
    steps = next((tensor.shape[1] for tensor in inputs if tensor.shape[1]), STEPS)
    for trial, magnitude in enumerate(MAGNITUDES):
        rng = np.random.RandomState(trial)
        values = [_random(rng, tensor, steps, magnitude) for tensor in inputs]
        try:
            expected, again = (_arrays(all_steps(values)) for _ in range(2))
        except Exception as e:
            raise NotTried(f"{type(e).__name__}: {e}") from e
        if not all(map(_close, again, expected)):
            raise NotTried("it gives other values each time")
        for t in {0, steps - 1, *rng.randint(steps, size=2)}:
            try:
                found = _arrays(single([value[:, t : t + 1] for value in values]))
            except Exception as e:
                return f"with a single step it fails ({type(e).__name__}: {e})"
            parts = [values[:, t : t + 1] for values in expected]
            if not all(map(_close, found, parts)):
                return "a step by itself gives another output than among others"
        compared = compared or any(np.isfinite(values).any() for values in expected)
    if not compared:
        raise NotTried("it gives NaN for random numbers")
    return ""


def _random(rng: np.random.RandomState, tensor: Any, steps: int, magnitude: float) -> np.ndarray:
    shape = (ITEMS, tensor.shape[1] or steps, *tensor.shape[2:])
    dtype = keras.backend.standardize_dtype(tensor.dtype)
    if dtype == "bool" or "int" in dtype:  # numbers of words, say: the least that there may be
        return rng.randint(2, size=shape).astype(dtype)
    values = rng.normal(size=shape) * magnitude
    # the smallest are positive, for layers that take no others
    return (np.abs(values) if magnitude < 1 else values).astype("float32")


def _arrays(outputs: Any) -> list[np.ndarray]:
    found = keras.tree.flatten(outputs)
    return [np.asarray(keras.ops.convert_to_numpy(keras.ops.cast(y, "float32"))) for y in found]


def _close(found: np.ndarray, expected: np.ndarray) -> bool:
    if found.shape != expected.shape:
        return False
    finite = np.abs(expected[np.isfinite(expected)])
    atol = TOLERANCE * finite.max() if finite.size else 0.0
    return np.allclose(found, expected, rtol=0, atol=atol, equal_nan=True)


def check_steps(
    where: str,
    variables: list,
    all_steps: Callable,
    single: Callable,
    inputs: list,
    training: bool = False,
) -> None:
    """Refuse a layer that combines steps, and warn of one that can't be tried.

    Parameters
    ----------
    where : str
        The layer, for people.
    variables : list of keras.Variable
        What calls may change, which is put back.
    all_steps, single, inputs
        As for `combines_steps`.
    training : bool
        Whether the calls are in training mode, where many layers give other values each time:
        of these nothing is said.

    Raises
    ------
    TypeError
        If it combines steps.
    """
    before = [keras.ops.convert_to_numpy(variable) for variable in variables]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a softmax over a single step, say
            difference = combines_steps(all_steps, single, inputs)
    except NotTried as e:
        if training:
            return
        warnings.warn(
            f"{where} gets one step of the temporal model at a time; whether it combines steps, "
            f"which would make its output another one, could not be tried ({e})",
            stacklevel=2,
        )
        return
    finally:
        for variable, value in zip(variables, before, strict=True):
            variable.assign(value)
    if difference and training:
        difference = (
            f"in training {difference}; put it into a TimeDistributed layer if it is for each step "
            "by itself, freeze it (trainable=False), or set inference_only=True"
        )
    if difference:
        raise TypeError(f"{where} would combine steps of a temporal model: {difference}")
