"""The forms in which data for input nodes may be given, and the checks on it."""

import math
import numbers
from collections.abc import Mapping

import nengo
import numpy as np
from nengo.exceptions import ValidationError

from .checks import warn_user


def is_array(x):
    """Whether ``x`` is an array or a tensor."""
    return isinstance(x, np.ndarray) or (hasattr(x, "dtype") and hasattr(x, "shape"))


def is_opaque(x):
    """Whether ``x`` is something that only Keras can take apart: a generator, a dataset."""
    no_source = str, bytes, numbers.Number
    return not (x is None or is_array(x) or isinstance(x, (Mapping, list, tuple, *no_source)))


def by_node(x, names):
    """Sort data out by input node.

    Parameters
    ----------
    x : None, dict, list, tuple, array or tensor
        A dict has Nodes or their names as keys; a list has one array per input node, in order; an
        array is for the first input node. Entries are ``(batch, n_steps, size)``.
    names : nengo_dl.arguments.names.Names
        The input nodes.

    Returns
    -------
    dict
        Node -> array.
    """
    nodes = list(names.nodes.values())
    if x is None:
        return {}
    if isinstance(x, Mapping):
        pairs = [(_node(key, names), value) for key, value in x.items()]
    else:
        values = _listed(x, "data")
        warn_length("data", values, names.nodes, "input Nodes")
        pairs = zip(nodes, values, strict=False)  # the shorter one counts, as the warning said
    return {node: _array(value, names[node]) for node, value in pairs if value is not None}


def _listed(value, what):
    """The arrays of a list, in order; of an array, itself."""
    if is_array(value):
        return [value]
    if isinstance(value, (str, bytes, numbers.Number)):
        raise ValidationError(
            f"expected an array, a list of arrays or a dict of them, got {value!r}", attr=what
        )
    return list(value)


def warn_length(what, values, objects, kind):
    """Warn if a list does not have an entry for each of some objects, a dict by name."""
    if len(values) != len(objects):
        warn_user(
            f"Number of elements in the {what} ({len(values)}) does not match the number of {kind}"
            f" ({len(objects)}); the order is {', '.join(objects) or 'empty'}",
        )


def by_probe(y, names, what="targets"):
    """Sort targets, or weights of items, out by probe.

    Parameters
    ----------
    y : None, dict, list, tuple, array or tensor
        A dict has Probes or their names as keys; a list has one array per Probe, in order; an
        array is for the first Probe.
    names : nengo_dl.arguments.names.Names
        The probes.
    what : str
        What the arrays are, for messages.

    Returns
    -------
    dict
        Name of a probe -> array, in the order of the probes.
    """
    if y is None:
        return {}
    if isinstance(y, Mapping):
        pairs = [(probe_name(key, names, what), value) for key, value in y.items()]
    else:
        values = _listed(y, what)
        warn_length(what, values, names.probes, "Probes")
        pairs = zip(names.probes, values, strict=False)
    found = {name: _array(value, name) for name, value in pairs if value is not None}
    return {name: found[name] for name in names.probes if name in found}


def entries_by_probe(value, names, what, many=False):
    """Sort an argument of ``compile`` out by probe.

    Parameters
    ----------
    value : object
        A dict has Probes or their names as keys; a list has an entry per Probe, in order; anything
        else is for all of them.
    names : nengo_dl.arguments.names.Names
        The probes.
    what : str
        The argument, for messages.
    many : bool
        Whether a Probe may have a list of entries.

    Returns
    -------
    dict
        Name of a probe -> entry, in the order of the probes; entries that are None are left out.

    Raises
    ------
    ValidationError
        If a key is no Probe, or a list of single entries has more of them than there are Probes.
    """
    if value is None:
        return {}
    if isinstance(value, Mapping):
        pairs = [(probe_name(key, names, what), entry) for key, entry in value.items()]
    elif isinstance(value, (list, tuple)):
        if len(value) > len(names.probes) and not many:
            raise ValidationError(
                f"expected an entry for each of {len(names.probes)} Probes"
                f" ({', '.join(names.probes) or 'none'}), got {len(value)}; an entry for a certain"
                " Probe can be given in a dict",
                attr=what,
            )
        warn_length(what, value, names.probes, "Probes")
        pairs = zip(names.probes, value, strict=False)
    else:
        pairs = [(name, value) for name in names.probes]
    found = {name: entry for name, entry in pairs if entry is not None}
    for name, entry in found.items():
        if isinstance(entry, (list, tuple, Mapping)) and not many:
            raise ValidationError(f"of {name!r}: expected a single entry, got {entry!r}", attr=what)
    return {name: found[name] for name in names.probes if name in found}


def probe_name(key, names, what):
    """Return the name of a probe, given the Probe or its name."""
    if isinstance(key, str) and key in names.probes:
        return key
    if isinstance(key, nengo.Probe) and key in names.names:
        return names.names[key]
    raise ValidationError(
        f"{key!r} is not a valid probe name, nor a Probe of this network; there are "
        f"{', '.join(names.probes) or 'none'}",
        attr=what,
    )


def _array(value, name):
    try:
        array = np.asarray(value)
    except ValueError as e:
        raise ValidationError(f"Data for {name!r} is no array: {e}", attr="data") from e
    if array.dtype.kind not in "biuf" and array.dtype.name != "bfloat16":
        raise ValidationError(
            f"Data for {name!r}: expected real numbers, got type {array.dtype}", attr="data"
        )
    return array


def _node(key, names):
    if isinstance(key, str) and key in names.nodes:
        return names.nodes[key]
    if isinstance(key, nengo.Node) and key in names.names:
        return key
    raise ValidationError(
        f"{key!r} is not a valid input name, nor an input Node of this network; there are "
        f"{', '.join(names.nodes) or 'none'}",
        attr="data",
    )


def truncate(data, minibatch_size):
    """Drop the items that do not fill a minibatch, with a warning."""
    result = {}
    for key, value in data.items():
        rest = value.shape[0] % minibatch_size if value.ndim else 0
        if value.ndim and value.shape[0] > minibatch_size and rest:
            warn_user(
                f"Number of items in the data ({value.shape[0]}) is not a multiple of"
                f" minibatch_size ({minibatch_size}); the last {rest} will be truncated",
            )
            value = value[: value.shape[0] - rest]
        result[key] = value
    return result


def _mismatch(what, name, expected, got, kind="data"):
    raise ValidationError(
        f"{what} of the {kind} for {name!r} ({got}) does not match expected size ({expected})",
        attr=kind,
    )


def check_data(data, names, least, unroll, n_steps=None, n_items=None):
    """Check arrays for input nodes against each other and the model.

    Parameters
    ----------
    data : dict
        Node -> array.
    names : nengo_dl.arguments.names.Names
        Names for messages.
    least, unroll : int
        Fewest items, 1 or a minibatch, and the number of which steps are a multiple.
    n_steps, n_items : int, optional
        Exact numbers that are expected.

    Returns
    -------
    n_items, n_steps : int or None
        Items and steps of the data; what was expected if there is no data.
    """
    items = steps = None
    for node, value in data.items():
        name = names[node]
        if value.ndim != 3:
            raise ValidationError(
                f"Data for {name!r}: expected rank 3 (batch_size, n_steps, size), got rank"
                f" {value.ndim} (shape {value.shape})",
                attr="data",
            )
        _check_items("data", name, value, least)
        if value.shape[1] % unroll:
            raise ValidationError(
                f"Number of steps of the data for {name!r} ({value.shape[1]}) is not evenly"
                f" divisible by unroll_simulation ({unroll})",
                attr="data",
            )
        if items is not None and value.shape[0] != items:
            _mismatch("Batch size", name, items, value.shape[0])
        if steps is not None and value.shape[1] != steps:
            _mismatch("Number of steps", name, steps, value.shape[1])
        items, steps = value.shape[:2]
        if n_items is not None and items != n_items:
            _mismatch("Batch size", name, n_items, items)
        if n_steps is not None and steps != n_steps:
            _mismatch("Number of steps", name, n_steps, steps)
        if value.shape[2] != node.size_out:
            _mismatch("Last axis", name, node.size_out, value.shape[2])
    return items or n_items, n_steps if steps is None else steps


def flattened(given, shape):
    """Whether targets of a shape have steps that are flattened values of another shape.

    Parameters
    ----------
    given : tuple of int
        Of the targets, ``(batch, n_steps, size)`` if they are flattened, or ``(batch, n_steps)``
        where a step is a single number.
    shape : tuple of int
        Of the values of the Probe in one step.
    """
    if len(given) == 2:
        return tuple(shape) == (1,)
    return len(given) == 3 and len(shape) > 1 and given[2] == math.prod(shape)


def _check_items(what, name, value, least):
    if value.shape[0] < least:
        than = f"minibatch_size ({least})" if least > 1 else "1"
        raise ValidationError(
            f"Batch size of the {what} for {name!r} ({value.shape[0]}) is less than {than}",
            attr=what,
        )


def check_targets(targets, shapes, least, items=None, unread=()):
    """Check targets against each other, the probes and the number of items.

    Parameters
    ----------
    targets : dict
        Name of a probe -> array.
    shapes : dict
        Name of a probe -> shape of its value in one step.
    least : int
        Fewest items.
    items : int, optional
        Number of items that is expected.
    unread : sequence of str
        Probes whose targets nobody looks at: whatever has that many items will do.

    Returns
    -------
    int or None
        Number of items; what was expected if there are no targets.
    """
    for name, value in targets.items():
        shape = shapes[name]
        rank, size = 2 + len(shape), math.prod(shape)
        flat = value.ndim == 3 and value.shape[2] == size
        if not (value.ndim == rank or flat or (name in unread and value.ndim)):
            form = ", ".join(
                ("batch_size", "n_steps", *(["size"] if rank == 3 else map(str, shape)))
            )
            other = f", or rank 3 (batch_size, n_steps, {size})" if rank != 3 else ""
            raise ValidationError(
                f"Targets for {name!r}: expected rank {rank} ({form}){other}, got rank"
                f" {value.ndim} (shape {value.shape})",
                attr="targets",
            )
        _check_items("targets", name, value, least)
        if items is not None and value.shape[0] != items:
            _mismatch("Batch size", name, items, value.shape[0], "targets")
        items = value.shape[0]
    return items
