"""Small programs written by hand, with what they compute written out in NumPy."""

from dataclasses import replace

import numpy as np

from nengo_dl.ir.program import Buffer, Op, Operand, Param, Port, Program, Region
from nengo_dl.plan import only_run, plan_of

DT = 0.001
DECAY = 0.9


def view(buffer, size, shift=0, scalar=False):
    shape, strides = ((), ()) if scalar else ((size,), (1,))
    return Operand(buffer=buffer, shift=shift, shape=shape, strides=strides, offsets=(0,))


def op(kind, args, **attrs):
    return Op(kind=kind, name=f"{kind} of the test", blocks=1, args=args, attrs=attrs)


def filter_program(dtype="float32", size=2):
    """Input u; outputs: lowpass of gain * u, and the sum of all u so far, kept in a parameter."""
    u, gain, scaled, y, total = range(5)
    buffers = (
        Buffer("window", "u", size),
        Buffer("param", "gain", size, param=0),
        Buffer("window", "scaled", size),
        Buffer("carried", "y", size, state_offset=0),
        Buffer("learned", "total", size, param=1),
    )
    feed_forward = (
        op("input", {"dst": view(u, size)}, index=0),
        op(
            "elementwise",
            {"A": view(gain, size), "X": view(u, size), "Y": view(scaled, size)},
            set=1,
        ),
        op("lowpass", {"x": view(scaled, size), "y": view(y, size, 1)}, a=DECAY, b=1.0),
        op("output", {"src": view(y, size, 1)}, index=0),
    )
    step_by_step = (
        op("copy", {"src": view(u, size), "dst": view(total, size)}, set=0),
        op("output", {"src": view(total, size)}, index=1),
    )
    return Program(
        dtype=dtype, dt=DT, window=0, state_size=size, istate_size=0, buffers=buffers,
        params=(Param("gain", size), Param("net/total", size, learned=1)),
        inputs=(Port("u", size),), outputs=(Port("y", size), Port("total", size)),
        regions=(Region("sequence", feed_forward), Region("loop", step_by_step)),
    )  # fmt: skip


def filter_plan(dtype="float32", size=2):
    run = only_run(filter_program(dtype, size), np.full(size, 0.5))
    return plan_of(run, [np.arange(1, size + 1), np.zeros(size)])


def filter_reference(u, y0, total0, gain):
    """Outputs of `filter_program` for rows ``u`` of shape (batch, steps, size)."""
    y, total = np.array(y0, np.float64), np.array(total0, np.float64)
    ys, totals = np.zeros(u.shape), np.zeros(u.shape)
    for t in range(u.shape[1]):
        y = DECAY * y + gain * u[:, t]
        total = total + u[:, t]
        ys[:, t], totals[:, t] = y, total
    return ys, totals


def in_training(plan, form=None):
    """The plan with a training form, by default the program itself."""
    (run,) = plan.pieces
    return replace(plan, pieces=(replace(run, training=form or run.program),))


def clock_plan(dtype="float32"):
    """No inputs, parameters or state; one output: the time."""
    clock = Program(
        dtype=dtype, dt=DT, window=0, state_size=0, istate_size=0,
        buffers=(Buffer("window", "time", 1),), params=(), inputs=(),
        outputs=(Port("time", 1),),
        regions=(
            Region(
                "sequence",
                (
                    op("time", {"time": view(0, 1, scalar=True)}),
                    op("output", {"src": view(0, 1, scalar=True)}, index=0),
                ),
            ),
        ),
    )  # fmt: skip
    return plan_of(only_run(clock, np.zeros(0)), [])


def noise_plan(seed, dtype="float64", size=3):
    """One output: Gaussian noise, as NumPy's RandomState draws it. Integer state only."""
    program = Program(
        dtype=dtype, dt=DT, window=0, state_size=0, istate_size=628,
        buffers=(Buffer("window", "noise", size),), params=(), inputs=(),
        outputs=(Port("noise", size),),
        regions=(
            Region(
                "sequence",
                (
                    op(
                        "noise", {"dst": view(0, size)}, set=1, dist="gaussian", mean=0.0, std=1.0,
                        scale=1.0, rng=0,
                    ),
                    op("output", {"src": view(0, size)}, index=0),
                ),
            ),
        ),
    )  # fmt: skip
    _, key, pos, has_gauss, cached = np.random.RandomState(seed).get_state()
    words = [*key.view(np.int32), pos, has_gauss, *np.array([cached]).view(np.int32)]
    return plan_of(only_run(program, np.zeros(0), initial_istate=np.array(words, np.int32)), [])


def callback_plan(dtype="float64", size=1):
    """Input u; outputs: what Python function 0 makes of the time and u, and before that u."""
    program = Program(
        dtype=dtype, dt=DT, window=1, state_size=1, istate_size=0,
        buffers=(
            Buffer("window", "u", size),
            Buffer("window", "time", 1),
            Buffer("window", "out", size),
            Buffer("carried", "sum", 1, state_offset=0),
        ),
        params=(), inputs=(Port("u", size),), outputs=(Port("out", size), Port("early", size)),
        regions=(
            Region(
                "sequence",
                (
                    op("time", {"time": view(1, 1, scalar=True)}),
                    op("input", {"dst": view(0, size)}, index=0),
                    op("output", {"src": view(0, size)}, index=1),
                    op("lowpass", {"x": view(1, 1), "y": view(3, 1, 1)}, a=1.0, b=1.0),
                    op(
                        "callback",
                        {
                            "t": view(1, 1, scalar=True),
                            "in0": view(0, size),
                            "out0": view(2, size),
                        },
                        index=0,
                    ),
                    op("output", {"src": view(2, size)}, index=0),
                ),
            ),
        ),
    )  # fmt: skip
    return plan_of(only_run(program, np.zeros(1)), [])
