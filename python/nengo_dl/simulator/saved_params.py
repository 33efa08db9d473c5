"""Files of parameters and state."""

import zipfile

import numpy as np
from nengo.exceptions import SimulationError


def save(path, side, include_state):
    """Write the arrays of a simulator; see `nengo_dl.Simulator.save_params`.

    Parameters
    ----------
    path : str or pathlib.Path
        Name of the file without ``".npz"``.
    side : nengo_dl.training.keras_side.KerasSide
        Whose model has the parameters.
    include_state : bool
        Whether the state is part of the file.
    """
    np.savez_compressed(f"{path}.npz", *_present(side, include_state).values())


def load(path, side, include_state):
    """Read arrays and take them over, once all of them fit; arguments are those of `save`."""
    file = f"{path}.npz"
    found = _read(file)
    present = _present(side, include_state)
    if len(found) != len(present):
        hint = "a file with state needs include_state=True, one without it include_state=False"
        raise SimulationError(
            f"Number of saved parameters in {file} ({len(found)}) is not what this simulator has"
            f" ({len(present)}: {', '.join(present)}); {hint}"
        )
    for (name, now), value in zip(present.items(), found, strict=True):
        _check(file, name, now, value)
    values = dict(zip(present, found, strict=True))
    for weight, name in zip(side.model.weights, present, strict=False):
        weight.assign(values[name])
    if include_state:
        layer = side.runtime.layer
        layer.set_state(**{name: values[name] for name in layer.get_state()})


def _present(side, include_state):
    """Present values by name, in the order of the file."""
    weights = side.model.weights
    values = {weight.path: weight.value.numpy() for weight in weights}
    if len(values) != len(weights):
        raise SimulationError("two weights of the Keras model have the same path; rename a layer")
    if include_state:
        state = side.runtime.layer.get_state()
        values.update((name, np.asarray(value)) for name, value in state.items())
    return values


def _read(file):
    try:
        with np.load(file, allow_pickle=False) as archive:
            names = [f"arr_{i}" for i in range(len(archive.files))]
            if set(names) != set(archive.files):
                raise SimulationError(
                    f"{file}: expected arrays arr_0, arr_1 and so on, as save_params writes them,"
                    f" got {', '.join(archive.files)}"
                )
            return [archive[name] for name in names]
    except (ValueError, EOFError, zipfile.BadZipFile) as e:
        raise SimulationError(f"{file} is no file that save_params wrote: {e}") from e


def _check(file, name, now, value):
    if value.shape != now.shape:
        hint = ""
        if value.ndim == now.ndim == 2 and value.shape[1] == now.shape[1]:
            hint = "; it has a row per item of the minibatch, whose size must be the same"
        raise SimulationError(
            f"{name}: expected shape {now.shape}, got {value.shape} in {file}{hint}. The model must"
            " be the same as the one that was saved"
        )
    integers = now.dtype.kind in "iu"
    if value.dtype.kind not in ("iu" if integers else "fiu"):
        raise SimulationError(f"{name}: expected type {now.dtype}, got {value.dtype} in {file}")
    if name == "n_steps" and value < 0:
        raise SimulationError(f"n_steps: expected a number of steps, got {value} in {file}")
