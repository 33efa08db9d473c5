"""What the op kinds of a program are: the one table of these facts in Python.

The engine has the same table (`cpp/engine/kind.h`) and hands it out; a test compares them field by
field. Planner, verifier, training form and twin read it; nothing else lists kinds.
docs/PROGRAM.md explains what the kinds compute. `tensor`, a call of TensorFlow, is the planner's
alone: it cuts a model into pieces before there are programs.
"""

from dataclasses import dataclass
from functools import cached_property

from .neuron_kinds import NEURONS
from .table import Table

READ, WRITE, INC, UPDATE = "read", "write", "inc", "update"
INT, FLOAT, STR, INTS, FLOATS = "int", "float", "str", "ints", "floats"
ANY = -1  # rank of an argument that may have any


@dataclass(frozen=True)
class Arg:
    """An argument of an op kind; one whose name ends in ``*`` may occur with any number there."""

    name: str
    access: str
    rank: int = ANY
    optional: bool = False
    old_value: bool = True  # False: updated without looking at the value of the step before
    # A factor of what the op adds to its target, where zeros add nothing: "zero". Where ones or
    # the identity matrix, too, leave just the op's other factor: "ones", "identity".
    factor: str = ""


@dataclass(frozen=True)
class Attr:
    """An attribute of an op kind."""

    name: str
    type: str
    per_block: bool = False  # one value for all blocks, or one for each
    optional: bool = False


@dataclass(frozen=True)
class Kind:
    """An op kind."""

    name: str
    args: tuple
    attrs: tuple = ()
    settable: str = ""  # argument that the attribute `set` turns from `inc` to `write`
    merges: bool = True  # equal ops may become blocks of one op; never those that draw
    slices: bool = True  # one op of several blocks may be cut into several ops
    lanes: bool = False  # elements along the first axis of its arguments: nothing to do with others
    rows: tuple = ()  # arguments of which row i of an op takes row i alone; it reads others whole
    gradient: str = "none"  # "exact"; "type": the neuron type says; "none"
    reads: tuple = ()  # arguments whose values the way back looks at; of "type", the type says
    edge: str = ""  # what it is to the outside: "input", "output", "python" or "tensorflow"
    elements: str = ""  # attribute that lists which elements of `settable` are written; "": all
    placing: int = 9  # the layout places the operands of small numbers first, in block order
    engine: bool = True  # False: it is in no program, the planner alone knows it

    @cached_property
    def _args(self) -> dict:
        return {arg.name: arg for arg in self.args}

    def arg(self, name: str) -> Arg:
        """Return the argument of this name; `ValueError` if there is none."""
        found = self._args.get(name) or self._args.get(name.rstrip("0123456789") + "*")
        if found is None:
            raise ValueError(
                f"op kind {self.name!r} has no argument {name!r}, it has {', '.join(self._args)}"
            )
        return found

    @cached_property
    def per_block(self) -> frozenset:
        """Names of the attributes that may differ from block to block."""
        return frozenset(attr.name for attr in self.attrs if attr.per_block)

    @cached_property
    def factors(self) -> tuple:
        """The arguments that are factors."""
        return tuple(arg for arg in self.args if arg.factor)

    @property
    def visible(self) -> bool:
        """Whether the outside sees what it does, whoever reads what it writes."""
        return self.edge in ("output", "python", "tensorflow")


def _floats(*names: str, optional: bool = False) -> tuple:
    return tuple(Attr(name, FLOAT, per_block=True, optional=optional) for name in names)


def _once(names) -> tuple:
    return tuple(dict.fromkeys(names))


_STATES = _once(state for entry in NEURONS.values() for state in entry.states)
_PARAMETERS = _once(name for entry in NEURONS.values() for name in entry.parameters)
_FLAGS = _once(name for entry in NEURONS.values() for name in entry.flags)
_SET = Attr("set", INT)
_INDEX = (Attr("index", INT),)
_RNG = Attr("rng", INT)
_ROWS = (_SET, Attr("indices", INTS), Attr("indptr", INTS))
_WAY_BACK = {"gradient": "exact", "reads": ("A", "X")}
_CONVOLUTION = {
    "args": (Arg("W", READ, factor="zero"), Arg("X", READ, factor="zero"), Arg("Y", INC)),
    "attrs": (
        _SET,
        Attr("in_shape", INTS),
        Attr("out_shape", INTS),
        Attr("in_channels", INT),
        Attr("out_channels", INT),
        Attr("kernel", INTS),
        Attr("stride", INTS),
        Attr("pad", INTS),
        Attr("groups", INT),
        Attr("channels_last", INT),
    ),
    "settable": "Y",
    "gradient": "exact",
    "reads": ("W", "X"),
}
_PRE, _POST = Arg("pre_filtered", READ), Arg("post_filtered", READ)
_ERROR, _DELTA = Arg("error", READ), Arg("delta", UPDATE, 2, old_value=False)

KINDS = Table(
    "op kind",
    Kind(
        "time",
        (Arg("time", WRITE, 0), Arg("step", WRITE, 0, optional=True)),
        merges=False,
        slices=False,
    ),
    Kind(
        "input",
        (Arg("dst", WRITE, 1),),
        _INDEX,
        merges=False,
        slices=False,
        gradient="exact",
        edge="input",
    ),
    Kind(
        "output",
        (Arg("src", READ),),
        _INDEX,
        merges=False,
        slices=False,
        gradient="exact",
        edge="output",
    ),
    Kind("fill", (Arg("dst", WRITE),), _floats("value"), lanes=True),
    Kind(
        "copy",
        (Arg("src", READ, factor="zero"), Arg("dst", INC)),
        (_SET, Attr("src_index", INTS, optional=True), Attr("dst_index", INTS, optional=True)),
        settable="dst",
        elements="dst_index",
        lanes=True,
        gradient="exact",
    ),
    Kind(
        "elementwise",
        (Arg("A", READ, factor="ones"), Arg("X", READ, factor="ones"), Arg("Y", INC)),
        (_SET,),
        settable="Y",
        lanes=True,
        **_WAY_BACK,
    ),
    Kind(
        "dense",
        (
            Arg("A", READ, 2, factor="identity"),
            Arg("X", READ, 1, factor="zero"),
            Arg("Y", INC, 1),
            Arg("bias", READ, 1, optional=True),
        ),
        (_SET,),
        settable="Y",
        rows=("Y", "A", "bias"),
        placing=1,
        **_WAY_BACK,
    ),
    Kind(
        "sparse",
        (Arg("A", READ, factor="zero"), Arg("X", READ, factor="zero"), Arg("Y", INC)),
        _ROWS,
        settable="Y",
        merges=False,
        slices=False,
        rows=("Y",),
        **_WAY_BACK,
    ),
    Kind(
        "bsr",
        (Arg("A", READ, 3, factor="zero"), Arg("X", READ, factor="zero"), Arg("Y", INC)),
        _ROWS,
        settable="Y",
        merges=False,
        slices=False,
        **_WAY_BACK,
    ),
    Kind("conv", **_CONVOLUTION),
    Kind("conv_transpose", **_CONVOLUTION),
    Kind(
        "max_pool",
        (Arg("X", READ, factor="zero"), Arg("Y", INC)),
        (
            _SET,
            Attr("in_shape", INTS),
            Attr("out_shape", INTS),
            Attr("channels", INT),
            Attr("kernel", INTS),
            Attr("stride", INTS),
            Attr("pad", INTS),
            Attr("channels_last", INT),
            Attr("ties", STR),
        ),
        settable="Y",
        gradient="exact",
        reads=("X",),
    ),
    Kind(
        "neurons",
        (
            Arg("J", READ),
            Arg("out", WRITE),
            *(Arg(name, UPDATE, optional=True) for name in _STATES),
        ),
        (
            Attr("type", STR),
            Attr("rng", INT, optional=True),
            Attr("surrogate", STR, optional=True),
            *_floats("width", *_PARAMETERS, optional=True),
            *(Attr(name, INT, optional=True) for name in _FLAGS),
        ),
        lanes=True,
        gradient="type",
        placing=0,
    ),
    Kind(
        "lowpass",
        (Arg("x", READ), Arg("y", UPDATE)),
        _floats("a", "b"),
        lanes=True,
        gradient="exact",
        placing=2,
    ),
    Kind(
        "filter",
        (Arg("x", READ), Arg("y", WRITE, old_value=False), Arg("X", UPDATE, 2, optional=True)),
        (*(Attr(name, FLOATS) for name in "ABCD"), Attr("direct", INT)),
        gradient="exact",
        placing=3,
    ),
    Kind(
        "triangle",
        (
            Arg("x", READ),
            Arg("y", WRITE, old_value=False),
            Arg("Y", UPDATE),
            Arg("X", UPDATE, 2),
            Arg("Xi", UPDATE),
        ),
        (Attr("n0", FLOAT), Attr("ndiff", FLOAT)),
        gradient="exact",
        reads=("Xi",),
        placing=4,
    ),
    Kind(
        "noise",
        (Arg("dst", INC),),
        (
            _SET,
            Attr("dist", STR),
            *(Attr(name, FLOAT, optional=True) for name in ("mean", "std", "low", "high")),
            Attr("scale", FLOAT),
            _RNG,
        ),
        settable="dst",
        merges=False,
        slices=False,
    ),
    Kind(
        "table",
        (Arg("table", READ, 2), Arg("dst", INC)),
        (
            _SET,
            Attr("mode", STR),
            Attr("period", FLOAT, optional=True),
            Attr("times", FLOATS, optional=True),
        ),
        settable="dst",
        merges=False,
    ),
    Kind(
        "interpolate",
        (Arg("table", READ, 2), Arg("dst", INC)),
        (_SET, Attr("times", FLOATS)),
        settable="dst",
        merges=False,
    ),
    Kind("pes", (_PRE, _ERROR, _DELTA), _floats("alpha"), rows=("delta", "error")),
    Kind("rls", (_PRE, _ERROR, _DELTA, Arg("inv_gamma", UPDATE, 2))),
    Kind(
        "bcm",
        (_PRE, _POST, Arg("theta", READ), _DELTA),
        _floats("alpha"),
        rows=("delta", "post_filtered", "theta"),
    ),
    Kind(
        "oja",
        (_PRE, _POST, Arg("weights", READ, 2), _DELTA),
        _floats("alpha", "beta"),
        rows=("delta", "post_filtered", "weights"),
    ),
    Kind(
        "voja",
        (
            Arg("pre_decoded", READ),
            _POST,
            Arg("scaled_encoders", READ, 2),
            Arg("learning_signal", READ),
            Arg("scale", READ),
            _DELTA,
        ),
        _floats("alpha"),
        rows=("delta", "post_filtered", "scaled_encoders", "scale"),
    ),
    Kind(
        "callback",
        (
            Arg("t", READ, 0, optional=True),
            Arg("in*", READ, optional=True),
            Arg("out*", WRITE, optional=True),
            Arg("state*", UPDATE, optional=True),
        ),
        _INDEX,
        merges=False,
        slices=False,
        edge="python",
    ),
    Kind(
        "tensor",
        (Arg("in*", READ, optional=True), Arg("out*", WRITE, optional=True)),
        _INDEX,
        merges=False,
        slices=False,
        gradient="exact",
        edge="tensorflow",
        engine=False,
    ),
)
