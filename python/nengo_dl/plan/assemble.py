"""From the parts of a model, each with its program, to a plan."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field, replace

import numpy as np

from ..ir.program import Param
from .cut import CallPart, LoopPart, RunPart, run_parts
from .draft import Draft
from .layout import Place, Places, homes, outside
from .pieces import Call, Delayed, Loop, Plan, RngSlot, Run, StoredWeight, TableSlot


def assemble(draft: Draft, parts: list, direct: dict[int, Hashable]) -> Plan:
    """Make a plan.

    Parameters
    ----------
    draft : Draft
        The model before it was cut.
    parts : list
        What `.cut.cut` returned, programs and all.
    direct : dict
        Likewise.
    """
    return _Assembly(draft, parts).plan(direct)


def stored(weight, learned):
    """What a plan says of a weight."""
    members = tuple(weight.members)
    turned = weight.turned(learned) is not None
    return StoredWeight(weight.name, weight.shape(learned), members, weight.trainable, turned)


def _values(vars_, weight, learned, dtype):
    """Initial values of variables one after the other; of a single one its own array, if it can.

    A matrix that is a weight of its own is Nengo's, seen with inputs first: it may be large.
    """
    if len(vars_) == 1 and weight and weight.turned(learned):
        return vars_[0].signal.initial_value.T.astype(dtype, copy=False)
    values = [outside(var, weight, learned) for var in vars_]
    return (values[0] if len(values) == 1 else np.concatenate(values)).astype(dtype, copy=False)


@dataclass
class _Params:
    """Parameters of all programs; what several of them have of one weight is one."""

    params: list[Param] = field(default_factory=list)
    values: list = field(default_factory=list)
    weights: list = field(default_factory=list)
    numbers: dict = field(default_factory=dict)  # signals of a weight -> number

    def add(self, layout, dtype) -> tuple[int, ...]:
        """Number of each parameter of a program."""
        given = zip(layout.params, layout.param_vars, layout.weights, strict=True)
        return tuple(self._number(*parts, dtype) for parts in given)

    def add_weights(self, draft: Draft, kinds: dict) -> None:
        """Number the weights of a model, whether a program uses them or not."""
        groups = {}
        for var in draft.weights:
            if (kind := kinds[var.signal]) in ("param", "learned"):
                groups.setdefault((var.weight, kind), []).append(var)
        for (index, kind), vars_ in groups.items():
            whole, signals = draft.given.weights[index], {var.signal for var in vars_}
            members = {name: signal for name, signal in whole.members.items() if signal in signals}
            param = Param(whole.name, sum(var.size for var in vars_), int(kind == "learned"))
            weight = replace(whole, members=members)
            self._number(param, tuple(vars_), weight, np.dtype(draft.given.dtype))

    def _number(self, param, vars_, weight, dtype):
        key = None if weight is None else tuple(weight.members.values())
        if key in self.numbers:
            return self.numbers[key]
        learned = bool(param.learned)
        self.params.append(param)
        self.values.append(_values(vars_, weight, learned, dtype))
        self.weights.append(weight and stored(weight, learned))
        number = len(self.params) - 1
        if key is not None:
            self.numbers[key] = number
        return number


class _Assembly:
    """The numbers of what parts hand on, of their parameters and their states."""

    def __init__(self, draft: Draft, parts: list):
        self.draft, self.parts = draft, parts
        self.dtype = np.dtype(draft.given.dtype)
        self.numbers = {("input", i): i for i in range(len(draft.inputs))}
        self.params = _Params()
        if (kinds := next((p.draft.weight_kinds for p in run_parts(parts)), None)) is not None:
            self.params.add_weights(draft, kinds)
        self.runs, self.rngs, self.tables, self.homes = [], [], [], {}

    def plan(self, direct: dict[int, Hashable]) -> Plan:
        """The plan."""
        pieces = tuple(self._piece(part) for part in self.parts)
        outputs = range(len(self.draft.outputs))
        results = tuple(self.numbers[direct.get(i, ("output", i))] for i in outputs)
        return Plan(
            pieces=_with_what_leaves(pieces, results),
            dtype=str(self.dtype),
            dt=float(self.draft.given.dt),
            inputs=self.draft.inputs,
            outputs=self.draft.outputs,
            results=results,
            params=tuple(self.params.params),
            param_values=tuple(self.params.values),
            weights=tuple(self.params.weights),
            rngs=tuple(self.rngs),
            tables=tuple(self.tables),
            callbacks=self.draft.callbacks,
            notes=self._notes(),
            places=Places(self.homes),
        )

    def _notes(self):
        """What passes did to the whole model, and to its parts."""
        seen = dict.fromkeys(self.draft.notes)
        for part in run_parts(self.parts):
            seen.update(dict.fromkeys(part.draft.notes))
        return tuple(seen)

    def _numbers(self, keys):
        return tuple(self.numbers.setdefault(key, len(self.numbers)) for key in keys)

    def _piece(self, part):
        if isinstance(part, LoopPart):
            return self._loop(part)
        ins, outs = self._numbers(part.ins), self._numbers(part.outs)
        if isinstance(part, CallPart):
            return Call(part.call, ins, outs)
        return self._run(part, ins, outs)

    def _loop(self, part):
        self._numbers(part.delayed)
        pieces = tuple(self._piece(inner) for inner in part.parts)
        delayed = []
        for var, owner in part.delayed.items():
            start = state_offset(owner.draft.layout, var)
            run = self.runs.index(owner)
            delayed.append(Delayed(self.numbers[var], run, start, var.size))
        return Loop(pieces, tuple(delayed))

    def _run(self, part: RunPart, ins, outs):
        draft, number = part.draft, len(self.runs)
        self.runs.append(part)
        layout = draft.layout
        params = self.params.add(layout, self.dtype)
        self.rngs += [RngSlot(number, offset, op) for offset, op in draft.rngs]
        for op in draft.ops:
            for ref in (r for _, r in op.refs() if r.var.per_item):
                index, at = layout.place[ref.var]
                param = params[layout.buffers[index].param]
                place = Place("learned", param, at + ref.offset, ref.shape, ref.strides)
                self.tables.append(TableSlot(param, place, op.source))
        for signal, home in homes(layout, number, params).items():
            self.homes.setdefault(signal, home)
        state = layout.initial_state.astype(self.dtype)
        return Run(draft.program, state, ins, outs, params)


def state_offset(layout, var):
    """Where a variable that lives from step to step lies in the packed state."""
    for held, (index, at) in layout.place.items():
        for part, offset in held.parts or ((held, 0),):
            if part is var:
                buffer = layout.buffers[index]
                if buffer.state_offset < 0:
                    raise ValueError(f"planner: {var.name} is handed on, but kept in no state")
                return buffer.state_offset + at + offset
    raise ValueError(f"planner: {var.name} is handed on, but stored nowhere")


def _with_what_leaves(pieces, results):
    """Tell loops which of their values others use."""
    wanted, done = set(results), []
    for piece in reversed(pieces):
        if isinstance(piece, Loop):
            piece = piece.giving(sorted(wanted & piece.made))
        wanted.update(piece.inputs)
        done.append(piece)
    return tuple(reversed(done))
