"""Gradients of a contract case: from the engine, and from differences of runs.

The loss is a random, mildly nonlinear function of all that a run leaves behind: outputs, learned
parameters, state. Elements that are not finite (the cases put NaN where no operand points) have no
weight in it.
"""

from dataclasses import dataclass, replace

import numpy as np
from contract_engine import Functions, compile_case, run_engine
from gradient_freeze import freeze, written

from nengo_dl.reference.memory import places

STEPS = (1e-3, 1e-4, 1e-5)


class Loss:
    """sum of ``w v + u sin(v / s) s`` over the elements v of a result, s being their size."""

    def __init__(self, rng, result, linear=False):
        self.terms = {}
        for name, v in result.arrays():
            if v.dtype.kind == "i" or (name.startswith("parameter") and v.ndim == 1):
                continue
            used = np.isfinite(v)
            w, u = rng.normal(size=(2, *v.shape)) * used
            s = np.maximum(1, np.abs(np.where(used, v, 0)))
            self.terms[name] = (used, w.astype(v.dtype), (0 if linear else 0.5) * u, s)

    def difference(self, more, less):
        """The loss of one result minus that of another, without cancellation."""
        total, less = 0.0, dict(less.arrays())
        for name, a in more.arrays():
            if name not in self.terms:
                continue
            used, w, u, s = self.terms[name]
            a, b = np.where(used, a, 0), np.where(used, less[name], 0)
            total += np.sum(w * (a - b))
            total += np.sum(u * s * 2 * np.cos((a + b) / (2 * s)) * np.sin((a - b) / (2 * s)))
        return total

    def gradients(self, result):
        """By outputs, by learned parameters (None for others) and by the state."""

        def of(name, v):
            if name not in self.terms:
                return None
            used, w, u, s = self.terms[name]
            g = w + u * np.cos(np.where(used, v, 0) / s)
            return np.ascontiguousarray(g, dtype=v.dtype)

        return (
            [of(f"output {i}", v) for i, v in enumerate(result.outputs)],
            [of(f"parameter {i}", v) for i, v in enumerate(result.params)],
            of("state", result.state),
        )


@dataclass
class Gradients:
    """Derivatives by the inputs, the parameters and the state before the run."""

    inputs: list
    params: list
    state: np.ndarray

    def arrays(self):
        """All arrays with names."""
        for i, values in enumerate(self.inputs):
            yield f"input {i}", values
        for i, values in enumerate(self.params):
            yield f"parameter {i}", values
        yield "state", self.state


def new_tape(compiled, case, memory):
    """A tape full of NaN, should it be read before it is written."""
    tape = compiled.tape(case.batch, case.n_steps, memory)
    if tape.on_host:
        tape.memory[:] = 0xFF
    return tape


def engine_gradients(case, grads, tape=False, memory=-1, threads=1, compiled=None, **wants):
    """What `Compiled.grad` says, with a tape recorded by a run or without."""
    compiled = compile_case(case) if compiled is None else compiled
    keep = [False] * len(case.program.outputs)
    size = (case.first_step, case.n_steps, case.batch, keep)
    given = (case.inputs, case.params, case.state, case.istate)
    with Functions(case.callbacks) as handle:
        extra = {"callbacks": handle, "threads": threads, "memory": memory}
        if tape or case.callbacks:  # Python can't be run again
            extra["tape"] = new_tape(compiled, case, memory)
            copies = [v.copy() for v in case.params], case.state.copy(), case.istate.copy()
            _, steps, error = compiled.run(case.inputs, *copies, *size, **extra)
            assert error is None
            assert steps == case.n_steps
        before = [np.copy(v) for v in _flat(given)]
        output_grads, learned_grads, state_grad = grads
        found = compiled.grad(
            *given, *size, output_grads, learned_grads, state_grad, **extra, **wants
        )
    for old, now in zip(before, _flat(given), strict=True):
        np.testing.assert_array_equal(old, now, err_msg="grad changed what it was given")
    return Gradients(*found)


def _flat(given):
    for part in given:
        yield from part if isinstance(part, list) else [part]


# ---------------------------------------------------------------- differences


@dataclass
class Worst:
    """The largest relative error found, and how many derivatives were smooth enough to tell."""

    error: float = 0.0
    where: str = ""
    smooth: int = 0
    tried: int = 0


def moved(case, name, direction, step):
    """The case with one of its arrays moved along a direction."""
    kind, _, index = name.partition(" ")
    if kind == "state":
        return replace(case, state=case.state + step * direction)
    values = list(case.inputs if kind == "input" else case.params)
    values[int(index)] = values[int(index)] + step * direction
    return replace(case, **{f"{kind}s" if kind == "input" else "params": values})


def derivative(case, compiled, loss, middle, name, direction):
    """Central differences with one step of Richardson's; None where the loss has a kink."""
    for step in STEPS:
        central = []
        for h in (step, step / 2):
            up, down = (
                run_engine(moved(case, name, direction, s), compiled=compiled) for s in (h, -h)
            )
            central.append(loss.difference(up, down) / (2 * h))
        right, left = loss.difference(up, middle) / h, loss.difference(middle, down) / h
        size = max(abs(central[1]), 1e-9)
        if abs(central[1] - central[0]) < 1e-5 * size and abs(right - left) < 0.05 * size:
            return (4 * central[1] - central[0]) / 3
    return None


def directions(rng, values, allowed, count):
    """Single elements, and if there are more of them a mixture of all."""
    where = np.argwhere(allowed)
    if len(where) == 0:
        return
    for at in where[rng.permutation(len(where))[:count]]:
        direction = np.zeros_like(values)
        direction[tuple(at)] = 1
        yield direction
    if len(where) > 1:
        yield rng.normal(size=values.shape) * allowed


def indices(case):
    """Per array: elements that hold an index (of a ring buffer), not a number."""
    masks = {name: np.zeros(v.shape[-1], dtype=bool) for name, v in sources(case)}
    program = case.program
    for op in program.ops():
        if op.kind != "triangle":
            continue
        at, buffer = np.ravel(places(op.args["Xi"])), program.buffers[op.args["Xi"].buffer]
        if buffer.param >= 0:
            masks[f"parameter {buffer.param}"][at] = True
        if buffer.state_offset >= 0:
            masks["state"][buffer.state_offset + at] = True
    return masks


def overwritten(case):
    """Per array: elements of inputs that another op of the step overwrites unread.

    The contract's cases fill what the op under test overwrites; no planner makes such programs.
    """
    masks = {name: np.zeros(v.shape[-1], dtype=bool) for name, v in sources(case)}
    filled = {}  # buffer with rows: the port whose values it was given
    for op in case.program.ops():
        for operand, adds in written(op):
            if case.program.buffers[operand.buffer].kind in ("state", "learned") or adds:
                continue
            at = places(operand)
            if op.kind == "copy" and "dst_index" in op.attrs:
                at = at[:, op.attrs["dst_index"]]
            if operand.buffer in filled:
                masks[filled[operand.buffer]][np.ravel(at)] = True
            if op.kind == "input":
                filled[operand.buffer] = f"input {op.attrs['index']}"
    return masks


def sources(case):
    """All arrays that a gradient is asked for."""
    yield from ((f"input {i}", v) for i, v in enumerate(case.inputs))
    yield from ((f"parameter {i}", v) for i, v in enumerate(case.params))
    yield "state", case.state


def compare(case, loss, gradients, rng, count=4):
    """Hold the gradients of a case against differences of runs of the frozen case."""
    worst = Worst()
    frozen = freeze(case)
    compiled = compile_case(frozen)
    middle = run_engine(frozen, compiled=compiled)
    masks, unread = indices(case), overwritten(case)
    found = dict(gradients.arrays())
    for name, values in sources(case):
        gradient = found[name]
        assert gradient.shape == values.shape
        assert gradient.dtype == values.dtype
        finite = np.isfinite(values)
        np.testing.assert_array_equal(gradient[~finite], 0, err_msg=f"{name}: nobody reads these")
        np.testing.assert_array_equal(
            gradient[..., masks[name]], 0, err_msg=f"{name}: an index has none"
        )
        allowed = finite & ~masks[name] & ~unread[name]
        scale = np.abs(gradient).max(initial=0)
        for direction in directions(rng, values, allowed, count):
            worst.tried += 1
            due = derivative(frozen, compiled, loss, middle, name, direction)
            if due is None:
                continue
            worst.smooth += 1
            got = np.sum(gradient * direction)
            error = abs(got - due) / max(abs(due), 1e-3 * scale, 1e-6)
            if not error <= worst.error:
                worst.error = error
                at = np.argwhere(direction).tolist() if np.sum(direction != 0) == 1 else "all"
                worst.where = f"{name} {at}: {got!r}, differences say {due!r}"
    return worst
