"""Trained parameters as arguments of Nengo's objects."""

import nengo
import numpy as np
from nengo.ensemble import Neurons
from nengo.solvers import NoSolver
from nengo.transforms import (
    Convolution,
    ConvolutionTranspose,
    Dense,
    NoTransform,
    Sparse,
    SparseMatrix,
)

_KERNEL = ("n_filters", "input_shape", "kernel_size", "strides", "padding", "channels_last")
_CONVOLUTIONS = {
    Convolution: (*_KERNEL, "groups"),
    ConvolutionTranspose: (*_KERNEL, "output_shape"),
}


class FullWeights(NoSolver):
    """The whole weight matrix of a connection between ensembles, already solved for.

    Parameters
    ----------
    values : (pre neurons, post neurons) array
        The weights, transposed.
    """

    compositional = False

    def __init__(self, values):
        super().__init__(values, weights=True)


class Zeros:
    """A function of a connection of which only the size of its result matters."""

    def __init__(self, size):
        self.size = size

    def __call__(self, x):
        return np.zeros(self.size)


def params_of(data, obj):
    """Arguments with which an Ensemble or Connection has its present parameters.

    Parameters
    ----------
    data : nengo_dl.simulator.data.SimulationData
        What the simulator has of its model.
    obj : Ensemble, Neurons or Connection
        The object.

    Returns
    -------
    dict
    """
    if isinstance(obj, Neurons):
        obj = obj.ensemble
    if isinstance(obj, nengo.Ensemble):
        return _ensemble(data, obj)
    if isinstance(obj, nengo.Connection):
        return _connection(data, obj)
    raise ValueError(
        f"{obj} is a {type(obj).__name__}; only Ensembles, Neurons and Connections have parameters"
    )


def get_params(data, objs, as_dict):
    """Present parameters of an object or several; see `nengo_dl.Simulator.get_nengo_params`."""
    single = not isinstance(objs, (list, tuple))
    objs = [objs] if single else list(objs)
    params = [params_of(data, obj) for obj in objs]
    if as_dict:
        return _by_label(objs, params)
    return params[0] if single else params


def _by_label(objs, params):
    result = {}
    for obj, values in zip(objs, params, strict=True):
        label = getattr(obj, "ensemble", obj).label
        if label in result:
            raise ValueError(
                f"two of the objects have the label {label!r}, by which the result would"
                " be sorted; give them other labels or use as_dict=False"
            )
        result[label] = values
    return result


def _single(value, built, obj):
    """A parameter without its axis of items, all of which must have the same."""
    if value.ndim == built.ndim:
        return value
    if not np.array_equal(value, np.broadcast_to(value[:1], value.shape)):
        raise ValueError(
            f"{obj} has learned other values in each of the {len(value)} items of the minibatch;"
            " use a simulator with minibatch_size=1, or reset()"
        )
    return value[0]


def _ensemble(data, ens):
    if isinstance(ens.neuron_type, nengo.Direct):
        raise ValueError(
            f"{ens} is in Direct mode and has no parameters that an Ensemble takes; its encoders"
            " are in sim.data"
        )
    built, live = data.model.params[ens], data[ens]
    scaled = _single(live.scaled_encoders, built.scaled_encoders, ens)
    silent = built.gain == 0
    if np.any(scaled[silent]):
        raise ValueError(
            f"{ens} has neurons with a gain of 0 whose scaled encoders were trained: no encoders"
            " make them with this gain"
        )
    gain = np.where(silent, 1, built.gain)[:, None]
    encoders = np.where(silent[:, None], built.encoders, scaled * ens.radius / gain)
    return {
        "encoders": encoders,
        "normalize_encoders": False,
        "gain": np.array(built.gain),
        "bias": np.array(live.bias),
        "max_rates": nengo.Ensemble.max_rates.default,
        "intercepts": nengo.Ensemble.intercepts.default,
    }


def _connection(data, conn):
    built, live = data.model.params[conn], data[conn]
    if built.weights is None:
        return {"transform": None}
    transform = conn.transform
    if type(transform) is Sparse:
        return {"transform": _sparse(transform, live.weights)}
    weights = _single(live.weights, built.weights, conn)
    if type(transform) in _CONVOLUTIONS:
        return {"transform": _convolution(transform, np.array(weights))}
    if not isinstance(transform, (Dense, NoTransform)):
        raise NotImplementedError(
            f"{conn} has a transform of type {type(transform).__name__}, whose weights can't be"
            " handed out; there are Dense, Sparse, Convolution and ConvolutionTranspose"
        )
    pre = conn.pre_obj
    if not isinstance(pre, nengo.Ensemble) or isinstance(pre.neuron_type, nengo.Direct):
        return {"transform": weights.item() if weights.size == 1 else np.array(weights)}
    full = conn.solver.weights and isinstance(conn.post_obj, nengo.Ensemble)
    solver = FullWeights(weights.T) if full else NoSolver(weights.T, weights=False)
    return {"solver": solver, "function": Zeros(conn.size_out), "transform": None}


def _convolution(transform, kernel):
    arguments = {name: getattr(transform, name) for name in _CONVOLUTIONS[type(transform)]}
    return type(transform)(**arguments, init=kernel)


def _sparse(transform, weights):
    if isinstance(weights, SparseMatrix):
        return Sparse(transform.shape, indices=weights.indices, init=weights.data)
    matrix = weights.tocoo()
    indices = np.stack([matrix.row, matrix.col], axis=1)
    return Sparse(transform.shape, indices=indices, init=matrix.data)


def members(data, objs):
    """All Ensembles and Connections that are meant, each once.

    Parameters
    ----------
    data : nengo_dl.simulator.data.SimulationData
        What the simulator has of its model.
    objs : Network, Ensemble, Connection, or list of them
        What `nengo_dl.Simulator.freeze_params` was given.

    Returns
    -------
    list
    """
    found = {}
    for obj in objs if isinstance(objs, (list, tuple, set)) else [objs]:
        if isinstance(obj, nengo.Network):
            parts = [*obj.all_ensembles, *obj.all_connections]
            direct = {e for e in obj.all_ensembles if isinstance(e.neuron_type, nengo.Direct)}
            _same_encoders(data, [e for e in direct if e in data.model.params])
            found.update(dict.fromkeys(part for part in parts if part not in direct))
            top = data.model.toplevel
            inside = top is not None and (obj is top or obj in top.all_networks)
            if not inside and not all(part in data.model.params for part in parts):
                raise ValueError(f"{obj} is not in the network that this simulator has built")
        elif isinstance(obj, (nengo.Ensemble, nengo.Connection)):
            found[obj] = None
        else:
            raise TypeError(
                f"{obj!r} is a {type(obj).__name__}; only Networks, Ensembles and Connections can"
                " be frozen"
            )
    for obj in found:
        if obj not in data.model.params:
            raise ValueError(f"{obj} is not in the network that this simulator has built")
    return list(found)


def _same_encoders(data, direct):
    for ens in direct:
        if not np.array_equal(data[ens].scaled_encoders, data.model.params[ens].encoders):
            raise ValueError(
                f"{ens} is in Direct mode and its encoders were trained; Nengo's Ensembles in"
                " Direct mode can have none but the identity. Make them not trainable"
            )


def _probes(data, objs):
    """Probes of Networks that decode, with their decoders: Nengo would solve for them anew."""
    nets = objs if isinstance(objs, (list, tuple, set)) else [objs]
    found = {p for net in nets if isinstance(net, nengo.Network) for p in net.all_probes}
    built = [c for c in data.model.params if isinstance(c, nengo.Connection) and c.post in found]
    return [
        (conn.post, {"solver": NoSolver(weights.T, weights=False)})
        for conn in built
        if (weights := _decoders(data, conn)) is not None
    ]


def _decoders(data, conn):
    pre, built = conn.pre_obj, data.model.params[conn].weights
    if not isinstance(pre, nengo.Ensemble) or isinstance(pre.neuron_type, nengo.Direct):
        return None
    return None if built is None else _single(data[conn].weights, built, conn)


def freeze(data, objs):
    """Write present parameters into Nengo's objects; see `nengo_dl.Simulator.freeze_params`."""
    new = [(obj, params_of(data, obj)) for obj in members(data, objs)]  # errors come before changes
    new += _probes(data, objs)
    for obj, params in new:
        # the size of the function's result must be known before the transform is checked
        for name in sorted(params, key=lambda name: name != "function"):
            setattr(obj, name, params[name])
