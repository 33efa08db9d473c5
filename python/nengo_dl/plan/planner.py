"""From Nengo's operators to a plan: the list of passes, in order."""

import contextlib
import gc
from dataclasses import dataclass

import numpy as np

from . import fuse as fusing
from . import show
from .classes import accesses, classify
from .graph import Graph, check_acyclic, components, layers
from .kinds import KINDS
from .layout import emit, lay_out
from .lower import CallbackSpec, lower, port_ops
from .lowering import Context
from .program import RNG_WORDS, Port, Program
from .schedule import schedule
from .simplify import default_simplifications, simplify
from .verify import verify_ops, verify_program

__all__ = ["CallbackSpec", "Place", "Plan", "RngSlot", "TableSlot", "make_plan"]


@dataclass(frozen=True)
class Place:
    """Where a signal is stored."""

    kind: str  # "param" or "learned": index is that of the parameter; "state"
    index: int  # parameter; -1 for state
    offset: int  # first element, within the parameter or the packed state
    shape: tuple
    strides: tuple  # in elements


@dataclass(frozen=True)
class RngSlot:
    """A random generator of the program and the Nengo operator that it belongs to."""

    offset: int  # into the integer state
    op: object  # SimProcess or SimNeurons


@dataclass(frozen=True)
class TableSlot:
    """A parameter whose rows the simulator fills per item from a process' step function."""

    param: int
    place: Place
    op: object

    @property
    def rows(self):
        """Number of rows of the table."""
        return self.place.shape[0]


@dataclass(frozen=True, eq=False)
class Plan:
    """A program and what belongs to it on the Python side."""

    program: Program
    param_values: tuple  # initial values, one flat array per parameter
    trainable: tuple  # per parameter: whether the caller's predicate said so
    initial_state: np.ndarray
    rngs: tuple
    tables: tuple
    callbacks: tuple
    notes: tuple  # what the passes did, for people
    _places: dict  # base Signal -> (Var, offset of the signal in it)
    _layout: object
    feeds: tuple = ()  # how the values of inputs are made, for people
    training: Program = None  # training form of the program; None: there is no training mode

    def place(self, signal):
        """Where a signal (or view) is stored, or None if it is not stored.

        Returns
        -------
        Place or None
        """
        found = self._places.get(signal.base)
        if found is None:
            return None
        var, start = found
        index, at = self._layout.place[var]
        buffer = self.program.buffers[index]
        if signal.sparse:
            offset, shape, strides = 0, (var.size,), (1,)
        else:
            offset, shape, strides = signal.elemoffset, signal.shape, signal.elemstrides
        if var.rows:
            offset, strides = column_major(signal, var.rows)
        offset += start + at
        if buffer.kind in ("param", "learned"):
            return Place(buffer.kind, buffer.param, offset, tuple(shape), tuple(strides))
        if buffer.kind in ("state", "carried"):
            return Place("state", -1, buffer.state_offset + offset, tuple(shape), tuple(strides))
        return None

    def __str__(self):
        return show.text(self)


def column_major(signal, rows):
    """Offset and strides of a view of a matrix that is stored column by column."""
    columns = signal.base.size // rows
    strides = []
    for n, s in zip(signal.shape, signal.elemstrides, strict=True):
        if s % columns == 0:
            strides.append(s // columns)
        elif abs(s) * (n - 1) < columns:
            strides.append(s * rows)
        else:
            raise ValueError(f"{signal.name}: this view has no strides in a transposed matrix")
    row, column = divmod(signal.elemoffset, columns)
    return row + column * rows, strides


@contextlib.contextmanager
def _no_collection():
    """Hold Python's cyclic garbage collector back.

    Planning makes many small objects that stay, so that a large model spends two fifths of the
    time on looking for garbage among them.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@_no_collection()
def make_plan(
    operators,
    *,
    dt,
    dtype="float32",
    time=None,
    step=None,
    inputs=(),
    outputs=(),
    trainable=None,
    constant=(),
    surrogate=None,
    names=None,
    simplifications=None,
    merge=True,
    fuse=True,
    verify=False,
):
    """Plan a model.

    Parameters
    ----------
    operators : list of nengo.builder.Operator
        Operators of a built model; neither they nor their signals are changed.
    dt : float
        Length of a step in seconds.
    dtype : str
        ``float32`` or ``float64``.
    time, step : nengo.builder.Signal
        Signals of the model's time and step count.
    inputs, outputs : list of (str, nengo.builder.Signal)
        What the outside sets, and what it reads at the end of each step.
    trainable : callable
        ``trainable(signal) -> bool``; values of trainable signals are never relied on.
    constant : iterable of nengo.builder.Signal
        Signals that count as not trainable, whatever ``trainable`` says.
    surrogate : callable
        ``surrogate(op)`` is what stands for the derivative of the spikes of a
        `nengo.builder.neurons.SimNeurons`, a `nengo_dl.surrogates.Surrogate` or None.
    names : dict
        Names for people of signals whose own says too little; parameters are called by them.
    simplifications : list of callable
        Passes over the planner's ops, `.simplify.default_simplifications` if None.
    merge, fuse : bool
        Whether to merge equal ops into blocks, and to fuse ops that follow each other.
    verify : bool
        Whether to check the ops after every pass; otherwise only after lowering, and the
        finished program.

    Returns
    -------
    Plan
    """
    operators = list(operators)
    check = verify_ops if verify else lambda ops: None
    ctx = Context(dt, time, trainable, constant, surrogate, names)
    ops = lower(operators, ctx, inputs) + port_ops(ctx, inputs, outputs)
    count = len(ops)
    verify_ops(ops)
    check_acyclic(Graph(ops, classify(ops), ()))  # also of what simplification would remove
    ops = simplify(ops, default_simplifications if simplifications is None else simplifications)
    check(ops)
    notes = [f"{len(operators)} operators lowered to {count} ops, simplified to {len(ops)}"]
    chain_of = _callback_order(operators, ctx)
    if fuse:
        ops, fused = fusing.fuse(ops, chain_of, check)
        notes += fused
        ops = fusing.store_by_columns(ops)
    classes = classify(ops)
    graph = Graph(ops, classes, chain_of(ops))
    check_acyclic(graph)
    layer = layers(graph)
    if fuse:
        layer = fusing.pull_decoders(ops, graph, layer)
    kinds, graph = _settle(ops, classes, graph, layer, chain_of)
    regions = _regions(ops, graph, layer, kinds, merge)
    layout = lay_out(ops, regions, kinds)
    emitted, rngs = emit(ops, regions, kinds, layout)
    program = Program(
        dtype=str(np.dtype(dtype)),
        dt=float(dt),
        window=1 if ctx.callbacks else 0,
        state_size=layout.initial_state.size,
        istate_size=RNG_WORDS * len(rngs),
        buffers=layout.buffers,
        params=layout.params,
        inputs=tuple(Port(name, signal.size) for name, signal in inputs),
        outputs=tuple(Port(name, signal.size) for name, signal in outputs),
        regions=emitted,
    )
    verify_program(program)
    return _plan(program, ops, layout, rngs, ctx, notes)


def _plan(program, ops, layout, rngs, ctx, notes):
    dtype = np.dtype(program.dtype)
    param_values = tuple(
        np.concatenate([var.initial for var, _ in vars_]).astype(dtype)
        for vars_ in layout.param_vars
    )
    tables = []
    for op in ops:
        for ref in (r for _, r in op.refs() if r.var.per_item):
            index, at = layout.place[ref.var]
            param = program.buffers[index].param
            place = Place("learned", param, at + ref.offset, ref.shape, ref.strides)
            tables.append(TableSlot(param, place, op.source))
    places = {}
    for var in layout.place:
        for part, offset in var.parts or ((var, 0),):
            if part.signal is not None:
                places[part.signal] = (var, offset)
    return Plan(
        program=program,
        param_values=param_values,
        trainable=layout.trainable,
        initial_state=layout.initial_state.astype(dtype),
        rngs=tuple(RngSlot(offset, op) for offset, op in rngs),
        tables=tuple(tables),
        callbacks=tuple(ctx.callbacks),
        notes=tuple(notes),
        _places=places,
        _layout=layout,
    )


def _callback_order(operators, ctx):
    """A function from ops to the callbacks among them, in the order Nengo would call them."""
    if not ctx.callbacks:
        return lambda ops: ()
    from nengo.utils.graphs import toposort
    from nengo.utils.simulator import operator_dependency_graph

    order = {op: i for i, op in enumerate(toposort(operator_dependency_graph(operators)))}

    def chain(ops):
        found = [i for i, op in enumerate(ops) if KINDS[op.kind].edge == "python"]
        return sorted(found, key=lambda i: order[ops[i].source])

    return chain


def _settle(ops, classes, graph, layer, chain_of):
    """Buffer kind and way of writing per variable; values that one loop keeps lie in place."""
    uses = accesses(ops)
    how = {}
    for var, found in uses.items():
        access = {r.access for _, _, r in found}
        how[var] = "advance" if "advance" in access else "update"
    inner = {
        var
        for var, found in uses.items()
        if len({layer[i] for i, _, _ in found}) == 1 and layer[found[0][0]] % 2
    }
    in_place = {v for v, c in classes.items() if c == "carried" and v in inner}
    in_place = {v for v in in_place if how[v] == "advance" or _may_lie_still(v, uses[v], ops)}
    while in_place:
        trial = Graph(ops, {**classes, **dict.fromkeys(in_place, "tied")}, chain_of(ops))
        knots = [m for m in components(len(ops), trial.same.__getitem__) if len(m) > 1]
        if not knots:
            graph = trial
            break
        # two filters that feed each other: one of them needs the old value kept apart
        in_place -= {r.var for members in knots for i in members for _, r in ops[i].refs()}
    kinds = {}
    for var, kind in classes.items():
        if kind == "tied" or var in in_place:
            kind = "state"
        elif kind == "temp":
            kind = "local" if var in inner else "window"
        kinds[var] = (kind, how[var])
    return kinds, graph


def _may_lie_still(var, uses, ops):
    """Whether updating the variable in place, after all reads, can't reorder anything else."""
    changers = {i for i, _, r in uses if r.access == "update"}
    readers = {i for i, _, r in uses if r.access in ("read", "final")}
    alone = all(r.access in ("read", "update") for i in changers for _, r in ops[i].refs())
    return alone and not changers & readers


def _regions(ops, graph, layer, kinds, merge):
    by_layer = {}
    for i, number in enumerate(layer):
        by_layer.setdefault(number, []).append(i)
    result = []
    for number in sorted(by_layer):
        loop = number % 2 == 1
        groups = schedule(by_layer[number], graph, kinds, loop, merge)
        result.append(("loop" if loop else "sequence", groups))
    return result
