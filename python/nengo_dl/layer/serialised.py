"""A layer as plain data, from which another process makes one that runs the same."""

import base64
import dataclasses
import io

import numpy as np
from nengo.exceptions import ValidationError

from ..ir.calls import TensorCall
from ..ir.program import Param, Port, from_bytes, to_bytes
from ..plan.pieces import Call, Delayed, Loop, Plan, Run, StoredWeight, runs_of, state_keys
from ..plan.show import short_list
from .serialised_calls import CalledOnce, is_data

SETTINGS = (
    "minibatch_size", "keep_history", "output_shapes", "input_names", "output_names",
    "learning_phase", "threads", "tape_memory", "stateful", "name",
)  # fmt: skip


def called_as_data(plan):
    """What a plan calls, as data: what says where each is, and a list of what JSON knows.

    Raises
    ------
    nengo.exceptions.ValidationError
        If there is Python among it, which is no data, or see `CalledOnce`.
    """
    names = [spec.name for spec in plan.callbacks]
    _refuse(names + [call.call.name for call in plan.calls if not is_data(call.call.func)])
    called = CalledOnce([call.call for call in plan.calls])
    return called, called.to_config()


def refuse_callbacks(plan):
    """The same for graphs of TensorFlow, which hold what TensorFlow does, but no Python either."""
    _refuse([spec.name for spec in plan.callbacks])


def _refuse(names):
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
    called, configs = called_as_data(plan)
    arrays = {
        # what is no weight never changes, but may have been drawn after the layer was made
        f"param_{i}": layer.get_param(i) if weight is None else values[i]
        for i, weight in enumerate(plan.weights)
    }
    for number, piece in enumerate(plan.runs):
        arrays[f"program_{number}"] = _as_bytes(piece.program)
        if piece.training is not None:
            arrays[f"training_{number}"] = _as_bytes(piece.training)
        arrays.update((key, layer.initial_values[key]) for key in state_keys(number))
    return {
        **{name: _plain(getattr(layer, name)) for name in SETTINGS},
        "trainable_params": [bool(weight.trainable) for weight in layer.base_params],
        "call_names": list(layer.called.names),
        "dtype": plan.dtype,
        "dt": plan.dt,
        "inference_only": plan.inference_only,
        "called": configs,
        "pieces": [_piece_config(piece, called) for piece in plan.pieces],
        "results": list(plan.results),
        "ports": [_records(plan.inputs), _records(plan.outputs)],
        "weights": _records(plan.weights),
        "arrays": _packed(arrays),
    }


def from_config(config):
    """Arguments of a `nengo_dl.tensor_graph.TensorGraph` from what `to_config` returned."""
    config = dict(config)
    arrays = _unpacked(config.pop("arrays"))
    pieces = _Pieces(arrays, CalledOnce.from_config(config.pop("called")))
    made = tuple(pieces.make(fields) for fields in config.pop("pieces"))
    inputs, outputs = (tuple(Port(**port) for port in ports) for ports in config.pop("ports"))
    weights = [w if w is None else _weight(w) for w in config.pop("weights")]
    param_values = [arrays[f"param_{i}"] for i in range(len(weights))]
    plan = Plan(
        pieces=made,
        dtype=config.pop("dtype"),
        dt=config.pop("dt"),
        inference_only=config.pop("inference_only"),
        inputs=inputs,
        outputs=outputs,
        results=tuple(config.pop("results")),
        params=_params(runs_of(made), param_values, weights),
        param_values=tuple(param_values),
        weights=tuple(weights),
    )
    single = len(pieces.states) == 1
    return {
        **config,
        "plan": plan,
        "param_values": param_values,
        "state": pieces.states[0] if single else pieces.states,
        "istate": pieces.istates[0] if single else pieces.istates,
    }


def _piece_config(piece, called):
    """A piece as plain data, but for its program and state, which are arrays."""
    if isinstance(piece, Loop):
        return {
            "pieces": [_piece_config(inner, called) for inner in piece.pieces],
            "delayed": _records(piece.delayed),
            "outputs": list(piece.outputs),
        }
    fields = {"inputs": list(piece.inputs), "outputs": list(piece.outputs)}
    if isinstance(piece, Run):
        return {**fields, "params": list(piece.params)}
    call = piece.call
    func = called.place(call.func)
    shapes = {"ins": _plain(call.ins), "outs": _plain(call.outs)}
    return {**fields, "func": func, "name": call.name, **shapes, "pass_time": call.pass_time}


class _Pieces:
    """Pieces from plain data, in order, and the states of their programs."""

    def __init__(self, arrays, called):
        self.arrays, self.called = arrays, called
        self.states, self.istates = [], []

    def make(self, fields):
        """Make a piece."""
        numbers = {k: tuple(v) for k, v in fields.items() if k in ("inputs", "outputs", "params")}
        if "pieces" in fields:
            pieces = tuple(self.make(inner) for inner in fields["pieces"])
            delayed = tuple(Delayed(**entry) for entry in fields["delayed"])
            return Loop(pieces, delayed, **numbers)
        if "params" in fields:
            return self._run(numbers)
        ins, outs = (tuple(tuple(shape) for shape in fields[key]) for key in ("ins", "outs"))
        entry, place = fields["func"]
        func = self.called[entry][place]
        call = TensorCall(func, fields["name"], ins, outs, fields["pass_time"])
        return Call(call, **numbers)

    def _run(self, numbers):
        arrays, number = self.arrays, len(self.states)
        state, istate = (arrays[key] for key in state_keys(number))
        self.states.append(state)
        self.istates.append(istate)
        training = arrays.get(f"training_{number}")
        return Run(
            from_bytes(arrays[f"program_{number}"].tobytes()),
            state[0],
            training=None if training is None else from_bytes(training.tobytes()),
            **numbers,
        )


def _params(runs, values, weights):
    """The parameters of a plan: as a program has them, or a weight that none uses."""
    found = [
        Param(weight.name if weight else "", value.shape[-1])
        for value, weight in zip(values, weights, strict=True)
    ]
    for piece in runs:
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
