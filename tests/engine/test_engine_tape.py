"""Tapes: sizes, what is refused, callbacks, random numbers, programs without a gradient."""

import numpy as np
import pytest
from gradient_models import (
    MODELS,
    Setup,
    assert_close,
    assert_same,
    chain,
    learning,
    new_tape,
    rate_neurons,
    recurrent,
)
from handmade_programs import Maker, _engine, op, to_bytes, view

pytestmark = pytest.mark.usefixtures("backend")


def tape_of(setup, **options):
    return new_tape(setup.compiled, setup.batch, setup.n_steps, **options)


def grad_on(setup, tape, **kwargs):
    istate = np.zeros((setup.batch, 0), np.int32)
    kwargs = {**setup.shape, **setup.given, "tape": tape, **kwargs}
    return setup.compiled.grad(setup.inputs, setup.params, setup.state, istate, **kwargs)


# ---------------------------------------------------------------- sizes


def test_the_limit_bounds_the_values():
    setup = Setup(chain(window=10), n_steps=1000, batch=16)
    full, least = tape_of(setup).nbytes, tape_of(setup, memory=0).nbytes
    assert least < full / 4
    for memory in (0, 10_000, 100_000, full):
        assert tape_of(setup, memory=memory).nbytes <= least + memory
    sizes = [tape_of(setup, memory=m).nbytes for m in range(0, full, full // 20)]
    assert len(set(sizes)) > 10


def test_checkpoints_hold_no_weights_that_stay():
    # the weights of `chain` are parameters, which no checkpoint holds
    setup = Setup(chain(window=1), n_steps=200, batch=1)
    assert tape_of(setup, memory=0).nbytes < 64 * 3 * 200


def test_unwanted_parameters_need_no_values():
    m = Maker()
    w = m.buffer("param", 50, "w", np.arange(50.0))
    j, a, out = (m.buffer("window", 50) for _ in range(3))
    m.region(
        "sequence",
        op("copy", {"src": view(w, (50,)), "dst": view(j, (50,))}, set=1),
        rate_neurons(view(j, (50,)), view(a, (50,))),
        op("copy", {"src": view(a, (50,)), "dst": view(out, (50,))}, set=1),
        m.output(view(out, (50,))),
    )
    setup = Setup(m, n_steps=20)
    assert tape_of(setup, wanted_params=[False]).nbytes < 200 < tape_of(setup).nbytes


def test_a_tape_too_large_to_count():
    compiled = _engine.Compiled(to_bytes(chain().program()))
    with pytest.raises(RuntimeError, match="larger than memory can be"):
        compiled.tape_bytes(2**40, 2**40)


# ---------------------------------------------------------------- what is refused


def test_tape_of_wrong_size_or_kind():
    setup = Setup(chain())
    size = tape_of(setup).nbytes
    assert setup.compiled.tape_bytes(setup.batch, setup.n_steps) == size
    for bad in (np.zeros(size, np.uint8), bytes(size)):
        for ask in (lambda bad: setup.run(tape=bad), lambda bad: grad_on(setup, bad)):
            with pytest.raises(ValueError, match="the tape: expected a Tape, .* got a (nd|b)"):
                ask(bad)
    for other in (Setup(chain(), n_steps=9), Setup(chain(), batch=4), Setup(recurrent())):
        tape = tape_of(other)
        message = f"the tape: expected {size} bytes, .* got {tape.nbytes}"
        with pytest.raises(ValueError, match=message):
            setup.run(tape=tape)
        other.run(tape=tape)
        with pytest.raises(ValueError, match=message):
            grad_on(setup, tape)


def test_what_a_tape_says():
    setup = Setup(chain())
    tape = tape_of(setup)
    assert tape.steps == 0
    if tape.on_host:
        assert tape.memory.shape == (tape.nbytes,) and np.all(tape.memory == 0xFF)
    else:
        with pytest.raises(ValueError, match="only its backend can read them"):
            tape.memory  # noqa: B018
    setup.run(tape=tape)
    assert tape.steps == setup.n_steps


def test_tape_of_another_run():
    setup, tape = Setup(chain()), tape_of(Setup(chain()))
    with pytest.raises(ValueError, match="was not recorded by a run"):
        grad_on(setup, tape)
    setup.run(tape=tape)
    grad_on(setup, tape)
    with pytest.raises(ValueError, match="was not recorded by a run"):
        grad_on(setup, tape, first_step=6)
    other = Setup(chain(rng=np.random.RandomState(9)), seed=1)
    other.maker.outputs[0] = type(other.maker.outputs[0])("another name", 3)
    other.__post_init__()
    with pytest.raises(ValueError, match="was not recorded by a run"):
        grad_on(other, tape)


def test_unwanted_parameter_of_a_tape():
    setup = Setup(chain())
    wanted = [True, False, True]
    tape = tape_of(setup, wanted_params=wanted)
    setup.run(tape=tape, wanted_params=wanted)
    with pytest.raises(ValueError, match="'bias' is asked for, but the tape was recorded without"):
        grad_on(setup, tape, wanted_params=wanted)
    inputs, params, _ = grad_on(setup, tape, wanted_params=wanted, want_params=wanted)
    assert params[1] is None
    np.testing.assert_array_equal(inputs[0], setup.grad()[0][0])


@pytest.mark.parametrize(
    "change, message",
    [
        ({"output_grads": []}, "output_grads: expected 1, .* got 0"),
        (
            {"output_grads": [np.zeros((3, 7, 2))]},
            r"output_grads\[0\] \('output'\): expected a \(3, 7, 3\).* got a \(3, 7, 2\)",
        ),
        ({"learned_grads": [np.zeros((3, 10)), None, None]}, "expected None, as no run changes"),
        ({"learned_grads": []}, "learned_grads: expected 3, .* got 0"),
        (
            {"state_out_grad": np.zeros((3, 4))},
            r"state_out_grad: expected a \(3, 5\).* got a \(3, 4\)",
        ),
        ({"state_out_grad": np.zeros((3, 5), np.float32)}, "state_out_grad: .* got a .*float32"),
        ({"want_inputs": [True, True]}, "values of want_inputs: expected 1, .* got 2"),
        ({"want_params": []}, "values of want_params: expected 3, .* got 0"),
        ({"wanted_params": []}, "values of wanted_params: expected 3, .* got 0"),
        ({"n_steps": 6}, r"inputs\[0\] \('input'\): expected a \(3, 6, 2\).* got a \(3, 7, 2\)"),
        ({"batch": 0}, "at least 0, 0 and 1"),
        ({"n_steps": -1}, "at least 0, 0 and 1"),
    ],
)
def test_bad_arguments(change, message):
    setup = Setup(chain())
    with pytest.raises(ValueError, match=message):
        grad_on(setup, None, **change)


def test_the_gradient_takes_constant_arrays():
    setup = Setup(MODELS["learning"]())
    due = setup.grad()
    for v in (*setup.inputs, *setup.params, setup.state):
        v.setflags(write=False)
    assert_same(setup.grad(), due)


# ---------------------------------------------------------------- callbacks


def with_callback(rng):
    """input -> dense -> (callback adds 1 to its state and doubles) -> product with the dense."""
    m = Maker(window=1)
    u, x, y = (m.buffer("window", 2) for _ in range(3))
    out, s = m.buffer("window", 2), m.buffer("state", 2)
    w = m.buffer("param", 4, "w", rng.normal(size=4))
    m.region(
        "loop",
        m.input(u, 2),
        op("dense", {"A": view(w, (2, 2)), "X": view(u, (2,)), "Y": view(x, (2,))}, set=1),
        op(
            "callback",
            {"in0": view(u, (2,)), "out0": view(y, (2,)), "state0": view(s, (2,))},
            index=0,
        ),
        op("elementwise", {"A": view(y, (2,)), "X": view(x, (2,)), "Y": view(out, (2,))}, set=1),
        m.output(view(out, (2,))),
    )
    return m


def double_and_count(item, time, inputs, outputs):
    outputs[0][...] = 2 * inputs[0]
    outputs[1][...] += 1


@pytest.mark.calls_python
def test_callbacks_are_recorded():
    rng = np.random.RandomState(0)
    setup = Setup(with_callback(rng), callbacks=(double_and_count,), n_steps=5, batch=10)
    inputs, (w,), state = setup.grad(-1)
    # out = 2u * (W u), whose first factor is a number to the gradient
    g, u = setup.given["output_grads"][0], setup.inputs[0]
    weights = setup.params[0].reshape(2, 2)
    np.testing.assert_allclose(inputs[0], (g * 2 * u) @ weights, rtol=1e-12)
    np.testing.assert_allclose(w, np.einsum("bti,btj->ij", g * 2 * u, u).ravel(), rtol=1e-12)
    # what Python made of the state depends on nothing the engine knows
    np.testing.assert_array_equal(state, np.zeros_like(state))
    assert_same(setup.grad(0), (inputs, (w,), state))


@pytest.mark.calls_python
def test_callbacks_need_a_tape():
    setup = Setup(with_callback(np.random.RandomState(0)), callbacks=(double_and_count,))
    with pytest.raises(ValueError, match="can't be run again: record the run on a tape"):
        table = _engine.add_callbacks([double_and_count])
        try:
            setup.grad(callbacks=table)
        finally:
            _engine.remove_callbacks(table)


@pytest.mark.calls_python
def test_a_run_that_failed_has_no_gradient():
    calls = []

    def fail_later(item, time, inputs, outputs):
        calls.append(item)
        if len(calls) > 8:
            raise ZeroDivisionError("late")

    setup = Setup(with_callback(np.random.RandomState(0)), n_steps=5, batch=2)
    tape, state = tape_of(setup), setup.state.copy()
    table = _engine.add_callbacks([fail_later])
    try:
        _, steps, error = setup.compiled.run(
            setup.inputs,
            setup.params,
            state,
            np.zeros((2, 0), np.int32),
            **setup.shape,
            callbacks=table,
            tape=tape,
        )
    finally:
        _engine.remove_callbacks(table)
    assert steps == 4 and isinstance(error, ZeroDivisionError)
    with pytest.raises(ValueError, match="expected 5 steps, got 4: its run did not finish"):
        grad_on(setup, tape)


# ---------------------------------------------------------------- programs without a gradient


def test_neurons_in_a_sequence_must_not_forget_what_they_need():
    # the exact gradient of this filter of neurons needs their voltage before each step
    m = Maker()
    u, j, a, v = (m.buffer(k, 3) for k in ("window", "window", "window", "state"))
    w = m.buffer("state", 3)
    m.region(
        "sequence",
        m.input(u, 3),
        op("lowpass", {"x": view(u, (3,)), "y": view(v, (3,))}, a=0.5, b=0.5),
    )
    m.region(
        "loop",
        op("elementwise", {"A": view(v, (3,)), "X": view(u, (3,)), "Y": view(j, (3,))}, set=1),
        op("copy", {"src": view(j, (3,)), "dst": view(w, (3,))}, set=1),
    )
    m.region("sequence", rate_neurons(view(j, (3,)), view(a, (3,))), m.output(view(a, (3,))))
    setup = Setup(m)
    setup.run()
    for ask in (setup.grad, lambda: setup.grad(-1), lambda: tape_of(setup)):
        with pytest.raises(
            _engine.ProgramError, match="(?s)elementwise.*expected a carried buffer"
        ):
            ask()


def test_values_between_two_changes_of_a_step_are_not_recorded():
    m = Maker()
    u, s, out = m.buffer("window", 2), m.buffer("state", 2), m.buffer("window", 2)
    change = op("copy", {"src": view(u, (2,)), "dst": view(s, (2,))}, set=0)
    m.region(
        "loop",
        m.input(u, 2),
        change,
        op("elementwise", {"A": view(s, (2,)), "X": view(u, (2,)), "Y": view(out, (2,))}, set=1),
        change,
        m.output(view(out, (2,))),
    )
    setup = Setup(m)
    setup.run()
    with pytest.raises(_engine.ProgramError, match="before and after this one"):
        setup.grad()


def in_place(kind, args, **attrs):
    """A loop whose op works on ``s``, elements 0 and 2 or 1 and 3 of a state."""
    m = Maker(window=2)
    u, s, out = m.buffer("window", 2), m.buffer("state", 4), m.buffer("window", 4)
    w = m.buffer("param", 2, "w", np.array([0.5, -0.7]))
    views = {
        "even": view(s, (2,), (2,)), "odd": view(s, (2,), (2,), [1]), "w": view(w, (2,)),
    }  # fmt: skip
    args = {name: views[where] for name, where in args.items()}
    m.region(
        "loop",
        m.input(u, 2),
        op(kind, args, **attrs),
        op("copy", {"src": view(u, (2,)), "dst": views["even"]}, set=0),
        op("copy", {"src": view(s, (4,)), "dst": view(out, (4,))}, set=1),
        m.output(view(out, (4,))),
    )
    return Setup(m, n_steps=5)


@pytest.mark.parametrize(
    "kind, args, attrs, place",
    [
        ("elementwise", {"A": "w", "Y": "odd"}, {"set": 1}, "X"),
        ("copy", {"dst": "odd"}, {"set": 1}, "src"),
        ("lowpass", {"y": "odd"}, {"a": 0.5, "b": 0.3}, "x"),
    ],
)
def test_no_op_overwrites_what_it_reads(kind, args, attrs, place):
    # the adjoint in place can't be that of both; between the elements there is room for others
    good = in_place(kind, {**args, place: "even"}, **attrs)
    assert_close(good.grad(), good.numeric())
    bad = in_place(kind, {**args, place: "odd"}, **attrs)
    bad.run()
    for ask in (bad.grad, lambda: tape_of(bad)):
        with pytest.raises(_engine.ProgramError, match=f"(?s){kind}.*overwrites.*'{place}' reads"):
            ask()


def test_a_product_added_in_place_to_itself():
    setup = in_place("elementwise", {"A": "w", "X": "odd", "Y": "odd"}, set=0)
    assert_close(setup.grad(), setup.numeric())


# ---------------------------------------------------------------- the rest


def test_rules_are_numbers_to_the_gradient():
    # learning changes the weights, and the changes are treated as given: as if they were inputs
    m = learning()
    loop = m.regions[1]
    x, e, delta = 1, 2, 3
    rule = op(
        "pes",
        {
            "pre_filtered": view(x, (2,)),
            "error": view(e, (3,)),
            "delta": view(delta, (3, 2), shift=1),
        },
        alpha=-0.2,
    )
    m.regions[1] = type(loop)("loop", (*loop.ops[:-1], rule))
    setup = Setup(m)
    expected = setup.grad()
    assert_same(setup.grad(0), expected)
    # the same without a rule, the changes coming from outside
    free = learning()
    source = free.buffer("window", 6)
    loop = free.regions[1]
    given = op("copy", {"src": view(source, (6,)), "dst": view(delta, (6,), shift=1)}, set=1)
    free.regions[0] = type(loop)("sequence", (*free.regions[0].ops, free.input(source, 6)))
    free.regions[1] = type(loop)("loop", (*loop.ops[:-1], given))
    frozen = Setup(free)
    deltas, first = [], setup.state.copy()
    for n in range(1, setup.n_steps + 1):
        short = Setup(m, n_steps=n)
        short.inputs, short.params, short.state = [setup.inputs[0][:, :n]], setup.params, first
        short.inputs = [np.ascontiguousarray(v) for v in short.inputs]
        deltas.append(short.run()[2][:, 2:])
    frozen.inputs = [setup.inputs[0], np.ascontiguousarray(np.stack(deltas, axis=1))]
    frozen.params, frozen.state, frozen.given = setup.params, setup.state, dict(setup.given)
    frozen.given["state_out_grad"] = setup.given["state_out_grad"].copy()
    inputs, params, state = frozen.grad()
    assert_close(expected, (inputs[:1], params, state))
    assert_close((inputs, params, state), frozen.numeric())


@pytest.mark.parametrize("make", [chain, recurrent])
def test_many_windows_of_a_long_run(make):
    m = make()
    setup = Setup(m, n_steps=1000, batch=2)
    expected = setup.grad()
    for memory in (-1, 0, 20_000):
        assert_same(setup.grad(memory), expected)
    direction = np.random.RandomState(0).normal(size=setup.inputs[0].shape)
    step = 1e-5
    more = setup.loss(inputs=[setup.inputs[0] + step * direction])
    less = setup.loss(inputs=[setup.inputs[0] - step * direction])
    slope = np.sum(expected[0][0] * direction)
    np.testing.assert_allclose((more - less) / step / 2, slope, rtol=1e-6)


@pytest.mark.parametrize("memory", [-1, 0])
def test_what_nobody_writes_is_zero_in_recorded_runs_too(memory):
    """As in others, whatever memory held before; so is the state that comes of it."""
    maker = Maker("float64", window=3)
    x, y = maker.buffer("window", 2, "x"), maker.buffer("carried", 2, "y")
    out = maker.buffer("window", 2, "out")
    maker.region("sequence", maker.input(x, 1))  # and the second element stays as it is
    first = op("copy", {"src": view(x, (1,)), "dst": view(y, (1,), shift=1)}, set=1)
    maker.region("sequence", first)
    rates = op("neurons", {"J": view(x, (2,)), "out": view(out, (2,))}, type="Sigmoid", tau_ref=1.0)
    maker.region("sequence", rates)
    maker.region("sequence", maker.output(view(out, (2,))), maker.output(view(y, (2,), shift=1)))
    compiled = _engine.Compiled(to_bytes(maker.program()))
    inputs = np.random.RandomState(0).randn(2, 8, 1)
    due, *_, state = maker.run(8, 2, [inputs], compiled=compiled)
    for _ in range(3):
        tape = compiled.tape(2, 8, memory)
        got, *_, after = maker.run(8, 2, [inputs], compiled=compiled, tape=tape, memory=memory)
        for a, b in zip((*got, after), (*due, state), strict=True):
            np.testing.assert_array_equal(a, b)
        assert not np.any(after[:, 1])
