"""Names of input nodes, probes and weights, as Keras and dictionaries of data use them."""

import re

import nengo
from nengo.exceptions import ValidationError

# names of the Keras model, of its layer, and of its own input and output
RESERVED = ("keras_model", "TensorGraph", "n_steps", "steps_run")
VALIDATION = "val_"  # what Keras puts before the names of losses and metrics of validation


class Names:
    """A unique name for every input node and probe.

    An object is called by its label, or else by its class, in characters that Keras takes; a
    number makes it unique without regard to case. Names that the Keras model needs for itself are
    taken, and so are those with which values of two Probes would have one name in the history.

    Parameters
    ----------
    nodes : list of nengo.Node
        Input nodes.
    probes : list of nengo.Probe
        Probes, named after the nodes.
    """

    def __init__(self, nodes, probes):
        self.names = {}
        taken = {name.lower() for name in RESERVED}
        tried = {}  # by what an object is called: the number found last; all below are taken
        for obj in (*nodes, *probes):
            base = _clean(type(obj).__name__.lower() if obj.label is None else obj.label)
            base = base or type(obj).__name__.lower()
            count = tried.get(base.lower(), 0)
            name = f"{base}_{count}" if count else base
            while name.lower() in taken or (isinstance(obj, nengo.Probe) and _shadows(name, taken)):
                count += 1
                name = f"{base}_{count}"
            tried[base.lower()] = count
            taken.add(name.lower())
            self.names[obj] = name
        self.nodes = {self.names[node]: node for node in nodes}
        self.probes = {self.names[probe]: probe for probe in probes}

    def __getitem__(self, obj):
        """Return the name of an input node or a probe."""
        if not isinstance(obj, (nengo.Node, nengo.Probe)):
            raise ValidationError(
                f"{obj} is of unknown type {type(obj).__name__}, only input Nodes and Probes have a"
                " name",
                attr="name",
            )
        if obj in self.names:
            return self.names[obj]
        if isinstance(obj, nengo.Node) and obj.size_in > 0:
            raise ValidationError(f"{obj} is not an input Node (a Node with size_in=0)", "name")
        raise ValidationError(f"{obj} is from a different network than this simulator's", "name")


class OnlyNames:
    """Names of nodes and probes of which nothing else is known, as of a model from a file.

    Parameters
    ----------
    nodes, probes : iterable of str
        The names.
    """

    def __init__(self, nodes, probes):
        self.nodes = {name: name for name in nodes}
        self.probes = {name: name for name in probes}


def _shadows(name, taken):
    """Whether values of a Probe of this name would look like others' of validation, or they do."""
    name = name.lower()
    if f"{name}_".startswith(VALIDATION) and name[len(VALIDATION) :] in ("", *taken):
        return True
    return VALIDATION + name in taken


def sanitize_name(name):
    """Leave of a name what names in TensorFlow may have.

    Parameters
    ----------
    name : object
        The name; of other objects than texts, their text.

    Returns
    -------
    str
        The name with ``_`` for spaces and colons, and without other characters than letters of
        English, digits and ``_.-/``.
    """
    return re.sub(r"[^A-Za-z0-9_.\-/]", "", re.sub(r"[ :]", "_", str(name)))


def _clean(label):
    # Keras 3 refuses "/" in names, and "/" would otherwise be allowed
    return sanitize_name(label).replace("/", "_")


def weight_names(model):
    """Names of the weights of connections: Nengo calls them after their transforms.

    Parameters
    ----------
    model : nengo.builder.Model
        The built model.

    Returns
    -------
    dict
        Signal -> name.
    """
    connections = [obj for obj in model.params if isinstance(obj, nengo.Connection)]
    weights = ((conn, model.sig[conn].get("weights")) for conn in connections)
    return {signal: f"{conn}.weights" for conn, signal in weights if signal is not None}
