"""A layer as plain data, from which another process makes one that runs the same."""

import base64
import dataclasses
import io

import numpy as np
from nengo.exceptions import ValidationError

from ..ir.program import Param, Port, from_bytes, to_bytes
from ..plan.pieces import Plan, Run, StoredWeight, state_keys
from ..plan.show import short_list

SETTINGS = (
    "minibatch_size", "keep_history", "output_shapes", "input_names", "output_names",
    "learning_phase", "threads", "tape_memory", "stateful", "name",
)  # fmt: skip


def refuse_python(plan):
    """Raise `nengo.exceptions.ValidationError` if a plan calls Python, which is no data."""
    names = [spec.name for spec in plan.callbacks]
    if names:
        raise ValidationError(
            f"the model calls Python ({short_list(names)}), and can't be"
            " saved as a whole, only its weights: keras_model.save_weights, save_params, or"
            " ModelCheckpoint(..., save_weights_only=True)",
            attr="keras_model",
        )


def to_config(layer):
    """What `from_config` makes an equal layer of: what JSON knows.

    Parameters
    ----------
    layer : nengo_dl.tensor_graph.TensorGraph
        The layer.

    Returns
    -------
    dict
        With the values that parameters and state start from; Nengo's objects are left out.
    """
    plan, values = layer.plan, list(layer.initial_values.values())
    refuse_python(plan)
    arrays = {
        # what is no weight never changes, but may have been drawn after the layer was made
        f"param_{i}": layer.get_param(i) if weight is None else values[i]
        for i, weight in enumerate(plan.weights)
    }
    pieces = []
    for number, piece in enumerate(plan.pieces):
        arrays[f"program_{number}"] = _as_bytes(piece.program)
        if piece.training is not None:
            arrays[f"training_{number}"] = _as_bytes(piece.training)
        arrays.update((key, layer.initial_values[key]) for key in state_keys(number))
        pieces.append(
            {name: list(getattr(piece, name)) for name in ("inputs", "outputs", "params")}
        )
    return {
        **{name: _plain(getattr(layer, name)) for name in SETTINGS},
        "trainable_params": [bool(weight.trainable) for weight in layer.base_params],
        "pieces": pieces,
        "results": list(plan.results),
        "ports": [_records(plan.inputs), _records(plan.outputs)],
        "weights": _records(plan.weights),
        "arrays": _packed(arrays),
    }


def from_config(config):
    """Arguments of a `nengo_dl.tensor_graph.TensorGraph` from what `to_config` returned."""
    config = dict(config)
    arrays = _unpacked(config.pop("arrays"))
    pieces, states, istates = [], [], []
    for number, fields in enumerate(config.pop("pieces")):
        state, istate = (arrays[key] for key in state_keys(number))
        training = arrays.get(f"training_{number}")
        pieces.append(
            Run(
                from_bytes(arrays[f"program_{number}"].tobytes()),
                state[0],
                training=None if training is None else from_bytes(training.tobytes()),
                **{name: tuple(values) for name, values in fields.items()},
            )
        )
        states.append(state)
        istates.append(istate)
    inputs, outputs = (tuple(Port(**port) for port in ports) for ports in config.pop("ports"))
    weights = [w if w is None else _weight(w) for w in config.pop("weights")]
    param_values = [arrays[f"param_{i}"] for i in range(len(weights))]
    plan = Plan(
        pieces=tuple(pieces),
        dtype=pieces[0].program.dtype,
        dt=pieces[0].program.dt,
        inputs=inputs,
        outputs=outputs,
        results=tuple(config.pop("results")),
        params=_params(pieces, len(weights)),
        param_values=tuple(param_values),
        weights=tuple(weights),
    )
    single = len(pieces) == 1
    return {
        **config,
        "plan": plan,
        "param_values": param_values,
        "state": states[0] if single else states,
        "istate": istates[0] if single else istates,
    }


def _params(pieces, count):
    found: list[Param] = [None] * count
    for piece in pieces:
        for index, param in zip(piece.params, piece.program.params, strict=True):
            found[index] = param
    return tuple(found)


def _weight(fields):
    fields = {**fields, "shape": tuple(fields["shape"]), "members": tuple(fields["members"])}
    return StoredWeight(**fields)


def _records(values):
    return [value if value is None else dataclasses.asdict(value) for value in values]


def _plain(value):
    return [_plain(v) for v in value] if isinstance(value, (tuple, list)) else value


def _as_bytes(program):
    return np.frombuffer(to_bytes(program), np.uint8)


def _packed(arrays):
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return base64.b64encode(file.getvalue()).decode()


def _unpacked(text):
    with np.load(io.BytesIO(base64.b64decode(text)), allow_pickle=False) as archive:
        return dict(archive)
