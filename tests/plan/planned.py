"""Runs planned networks in the NumPy twin, next to nengo.Simulator."""

from dataclasses import replace
from functools import partial

import nengo
import numpy as np
from nengo.builder import Model
from nengo.builder.neurons import SimNeurons
from nengo.builder.signal import SignalDict

from nengo_dl import reference
from nengo_dl.ir.given import Weight
from nengo_dl.ir.rng import pack_rng
from nengo_dl.plan import make_plan
from nengo_dl.plan.pieces import fold


def build(net, dt=0.001):
    """Build a network into a fresh Nengo model."""
    model = Model(dt=dt)
    model.build(net)
    return model


def weights(model, chosen, together=()):
    """A weight for every base signal of which ``chosen(signal)``; signals that share one."""
    signals = {s.base: None for op in model.operators for s in op.all_signals}
    alone = [s for s in signals if chosen(s) and s not in together]
    made = [Weight(s.name, {s.name: s}, True) for s in alone]
    if together:
        made.append(Weight("together", {f"{i}": s for i, s in enumerate(together)}, True))
    return made


def plan(model, inputs=(), **options):
    """Plan a built model, its probes as outputs; ``trainable`` chooses weights."""
    outputs = [(str(probe), model.sig[probe]["in"]) for probe in model.probes]
    if "trainable" in options:
        options["weights"] = weights(model, options.pop("trainable"))
    options = {"dtype": "float64", "verify": True, **options}
    return make_plan(
        model.operators,
        dt=model.dt,
        time=model.time,
        step=model.step,
        inputs=inputs,
        outputs=outputs,
        **options,
    )


def callback(spec, dt, time):
    """One item's function for the twin that runs a Nengo operator."""
    signals = SignalDict()
    spec.op.init_signals(signals)
    for array in signals.values():
        array.setflags(write=True)
    step = spec.op.make_step(signals, dt, np.random.RandomState(0))

    def call(item, now, ins, outs):
        if time in signals:
            signals[time][...] = now
        for signal, value in zip(spec.ins, ins, strict=True):
            signals[signal][...] = value
        for signal, value in zip(spec.states, outs[len(spec.outs) :], strict=True):
            signals[signal][...] = value
        step()
        for signal, target in zip((*spec.outs, *spec.states), outs, strict=True):
            target[...] = signals[signal]

    return call


def start_values(made, model):
    """Parameters of a plan, and the states of each of its runs, for one item."""
    params = [
        np.array(v).reshape(1, -1) if p.learned else np.array(v).ravel()
        for v, p in zip(made.param_values, made.params, strict=True)
    ]
    for slot in made.tables:
        place = slot.place
        process = slot.op.process
        step = process.make_step((0,), slot.op.output.shape, model.dt, process.get_rng(None), {})
        rows = np.array([step(i * model.dt) for i in range(slot.rows)])
        params[slot.param][0, place.offset : place.offset + rows.size] = rows.ravel()
    istates = [np.zeros((1, p.program.istate_size), dtype=np.int32) for p in made.runs]
    for slot in made.rngs:
        native = isinstance(slot.op, SimNeurons)
        rng = slot.op.state_extra["rng"] if native else slot.op.process.get_rng(None)
        istates[slot.run][0, slot.offset : slot.offset + 628] = pack_rng(rng)
    return params, [np.array(piece.initial_state)[None] for piece in made.runs], istates


def run_twin(made, model, n_steps, inputs=(), window=5, run_program=reference.run):
    """Run a plan in the twin for one item; a list of (n_steps, size) arrays.

    Who else runs programs as `nengo_dl.reference.run` does may do it instead: ``run_program``.
    """
    params, states, istates = start_values(made, model)
    callbacks = [callback(spec, model.dt, model.time) for spec in made.callbacks]

    def pieces(first_step, n_steps):
        """What runs the pieces of a plan, or of a loop, for some steps."""

        def run(number, piece, values):
            return run_program(
                piece.program,
                values,
                [params[i] for i in piece.params],
                states[number],
                istates[number],
                first_step,
                n_steps,
                1,
                callbacks,
                window=1 if callbacks else window,
            )

        return {"run": run, "call": partial(call_step_by_step, first_step, made.dt), "loop": loop}

    def loop(first, piece, values):
        given = dict(zip(piece.inputs, values, strict=True))
        rows = {i: [] for i in piece.outputs}
        for t in range(n_steps):
            known = {i: value[:, t : t + 1] for i, value in given.items()}
            for d in piece.delayed:
                known[d.value] = states[d.run][:, None, d.offset : d.offset + d.size].copy()
            found = fold(piece.pieces, known, first=first, **pieces(t, 1))
            for i, row in rows.items():
                row.append(found[i])
        return [np.concatenate(row, axis=1) for row in rows.values()]

    values = fold(made.pieces, [np.asarray(x)[None] for x in inputs], **pieces(0, n_steps))
    return [values[i][0] for i in made.results]


def call_step_by_step(first_step, dt, number, piece, values):
    """What a call of the tensors' function gives, which is one of NumPy here, for one item."""
    call = piece.call
    n_steps = values[0].shape[1] if values else 1
    rows = []
    for t in range(n_steps):
        args = [(first_step + t + 1) * dt] if call.pass_time else []
        args += [v[:, t].reshape(1, *s) for v, s in zip(values, call.ins, strict=True)]
        found = call.func(*args)
        rows.append([f.reshape(1, 1, -1) for f in (found if len(call.outs) > 1 else [found])])
    return [np.concatenate(row, axis=1) for row in zip(*rows, strict=True)]


def with_run(made, **fields):
    """The plan with other fields of its only piece."""
    (run,) = made.pieces
    return replace(made, pieces=(replace(run, **fields),))


def run_nengo(net, n_steps, dt=0.001):
    """Run a network in nengo.Simulator; a list of (n_steps, size) arrays, one per probe."""
    # Nengo's optimizer now and then fails on reversed slices ("strides is incompatible")
    with nengo.Simulator(net, dt=dt, progress_bar=False, seed=0, optimize=False) as sim:
        sim.run_steps(n_steps)
        return [np.asarray(sim.data[p]).reshape(n_steps, -1) for p in sim.model.probes]


def assert_same(net, n_steps=60, dt=0.001, **options):
    """Compare a planned network with nengo.Simulator on all its probes; returns the plan."""
    expected = run_nengo(net, n_steps, dt)
    model = build(net, dt)
    made = plan(model, **options)
    got = run_twin(made, model, n_steps)
    for probe, ours, theirs in zip(model.probes, got, expected, strict=True):
        scale = max(1.0, np.abs(theirs).max(initial=0))
        worst = np.abs(ours - theirs).max(initial=0) / scale
        assert worst < 1e-9, f"{probe} differs by {worst:g}\n{made}"
    return made
