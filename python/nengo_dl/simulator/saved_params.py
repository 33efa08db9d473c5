"""Files of parameters and state."""

import zipfile

import numpy as np
from nengo.exceptions import SimulationError

from ..plan.show import short_list

LAYOUT = "state_layout"  # sizes of what the state is made of: it fits no other plan


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
    layer = side.runtime.layer
    arrays = layer.get_parameters()
    if include_state:
        arrays.update((name, np.asarray(value)) for name, value in layer.get_state().items())
        arrays[LAYOUT] = _layout(layer)
    np.savez_compressed(f"{path}.npz", **arrays)


def load(path, side, include_state):
    """Read arrays and take them over, once all of them fit; arguments are those of `save`."""
    file, layer = f"{path}.npz", side.runtime.layer
    found = _read(file)
    _refuse_numbered(file, found)
    state = {name: found.pop(name) for name in (*layer.get_state(), LAYOUT) if name in found}
    if include_state:
        _check_state(file, layer, state)
    try:
        layer.set_parameters(found)
    except ValueError as e:
        raise SimulationError(f"{file}: {e}") from e
    if include_state:
        layer.set_state(**{name: state[name] for name in layer.get_state()})


def _layout(layer):
    """Sizes of the buffers that the state is made of."""
    programs = [piece.program for piece in layer.plan.runs]
    return np.array([b.size for p in programs for b in p.buffers if b.state_offset >= 0], np.int64)


def _check_state(file, layer, state):
    present = {**layer.get_state(), LAYOUT: _layout(layer)}
    missing = [name for name in present if name not in state]
    if missing:
        raise SimulationError(
            f"{file} has no state (no {', '.join(missing)}): expected a file that save_params wrote"
            " with include_state=True, or load it with include_state=False"
        )
    for name, now in present.items():
        _check(file, name, now, state[name])
    if not np.array_equal(state[LAYOUT], present[LAYOUT]):
        raise SimulationError(
            f"{file}: expected the state of this network with these Probes and settings, got"
            " another; include_state=False loads the parameters alone"
        )
    if state["n_steps"] < 0:
        raise SimulationError(f"n_steps: expected 0 or more, got {state['n_steps']} in {file}")


def _read(file):
    try:
        archive = np.load(file, allow_pickle=False)
        if isinstance(archive, np.ndarray):
            raise ValueError(
                f"expected an archive of arrays, got an array of shape {archive.shape}"
            )
        with archive:
            return {name: archive[name] for name in archive.files}
    except (ValueError, EOFError, zipfile.BadZipFile) as e:
        raise SimulationError(f"{file} is no file that save_params wrote: {e}") from e


def _refuse_numbered(file, found):
    """Say of a file of NengoDL 3.6 what can be done: its arrays are known by their order alone."""
    if found and all(name.startswith("arr_") and name[4:].isdigit() for name in found):
        raise SimulationError(
            f"{file}: expected arrays by the names of parameters, got {short_list(list(found))}: a"
            " file of NengoDL 3.6, whose numbers say nothing of the objects that they belong to."
            " Load it there, take what sim.get_nengo_params(objects) returns, and give it to the"
            " Ensembles and Connections of the network here; or train again"
        )


def _check(file, name, now, value):
    now = np.asarray(now)
    if value.shape != now.shape:
        hint = ""
        if value.ndim == now.ndim == 2 and value.shape[1] == now.shape[1]:
            hint = "; it has a row per item of the minibatch, whose size must be the same"
        raise SimulationError(
            f"{name}: expected shape {now.shape}, got {value.shape} in {file}{hint}. State takes"
            " the same network with the same Probes and settings"
        )
    integers = now.dtype.kind in "iu"
    if value.dtype.kind not in ("iu" if integers else "fiu"):
        raise SimulationError(f"{name}: expected type {now.dtype}, got {value.dtype} in {file}")
