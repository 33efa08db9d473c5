"""Gradients of the engine against differences of its runs, for all that its registry lists.

`gradient_freeze` says what it is for an op to pass nothing on, `gradient_check` how differences are
taken. Spiking types with a surrogate are held against TensorFlow in `test_surrogates.py`.
"""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from contract_engine import _engine, compile_case, run_engine
from contract_kinds import make_subject
from gradient_cases import chain_case, gradient_case, kind_case, learning_case, type_case
from gradient_check import Loss, compare, engine_gradients, overwritten, sources
from gradient_freeze import freeze, passes

from nengo_dl.ir import kinds, neuron_kinds
from nengo_dl.reference.memory import places

pytestmark = pytest.mark.usefixtures("backend")

KINDS = sorted(_engine.op_specs())
EXACT, NONE = (
    [kind.name for kind in kinds.KINDS.values() if kind.engine and kind.gradient == gradient]
    for gradient in ("exact", "none")
)
TYPES = sorted(_engine.neuron_types())
DOCUMENT = Path(__file__).parents[2] / "docs" / "PROGRAM.md"
NO_GRADIENT = "in place in a sequence region"
LIMIT = 1e-6


def gradients_of(case, seed, **kwargs):
    """A loss of the case and its gradients."""
    compiled = compile_case(case)
    result = run_engine(case, compiled=compiled)
    loss = Loss(np.random.RandomState(seed), result)
    return loss, engine_gradients(case, loss.gradients(result), compiled=compiled, **kwargs)


def check(cases, count=4):
    """Compare all cases that have a gradient; most of them must, and most derivatives be smooth."""
    tried, smooth, due, had = 0, 0, 0, 0
    for seed, case in cases:
        due += 1
        try:
            loss, gradients = gradients_of(case, seed)
        except _engine.ProgramError as error:
            assert NO_GRADIENT in str(error)
            continue
        had += 1
        worst = compare(case, loss, gradients, np.random.RandomState(seed), count)
        assert worst.error < LIMIT, f"seed {seed}, {worst.where}: {worst.error:.1e}"
        tried, smooth = tried + worst.tried, smooth + worst.smooth
    assert had >= 0.4 * due
    assert smooth >= 0.6 * tried


# ---------------------------------------------------------------- against differences


@pytest.mark.parametrize("kind", KINDS)
def test_gradient_of_kind(kind):
    check((seed, kind_case(kind, seed)) for seed in range(8))


@pytest.mark.parametrize("name", TYPES)
def test_gradient_of_neuron_type(name):
    check((seed, type_case(name, seed)) for seed in range(8))


def test_gradient_of_chains():
    check((seed, chain_case(seed)) for seed in range(12))


@pytest.mark.parametrize("rule", ["pes", "oja"])
def test_gradient_beside_learning(rule):
    """The weights are numbers that the rule has changed, whatever it made its changes from."""
    check((seed, learning_case(rule, seed)) for seed in range(6))


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_gradient_of_kind_in_all_layouts(kind, isa):
    check(((seed, kind_case(kind, seed)) for seed in range(8, 32)), count=8)


@pytest.mark.slow
@pytest.mark.parametrize("name", TYPES)
def test_gradient_of_neuron_type_in_all_layouts(name, isa):
    check(((seed, type_case(name, seed)) for seed in range(8, 24)), count=8)


@pytest.mark.slow
def test_gradient_of_many_chains(isa):
    check(((seed, chain_case(seed)) for seed in range(12, 40)), count=8)


# ---------------------------------------------------------------- ways to make the same gradient


def with_gradient(cases):
    """Those of the cases that have one, with what `Compiled.grad` is to be given."""
    for seed, case in cases:
        compiled = compile_case(case)
        result = run_engine(case, compiled=compiled)
        grads = Loss(np.random.RandomState(seed), result).gradients(result)
        try:
            compiled.tape_bytes(case.batch, case.n_steps)
        except _engine.ProgramError as error:
            assert NO_GRADIENT in str(error)
            continue
        yield seed, case, compiled, grads


def assert_equal_gradients(got, due, what):
    for (name, a), (_, b) in zip(got.arrays(), due.arrays(), strict=True):
        np.testing.assert_array_equal(a, b, err_msg=f"{what} {name}")


def cases_of(subject):
    if subject == "chains":
        return ((seed, chain_case(seed, n_steps=40)) for seed in range(8))
    make = kind_case if subject in KINDS else type_case
    return ((seed, make(subject, seed)) for seed in range(4))


@pytest.mark.parametrize("subject", [*KINDS, *TYPES, "chains"])
def test_tape_and_memory_do_not_change_gradients(subject):
    for seed, case, compiled, grads in with_gradient(cases_of(subject)):
        due = engine_gradients(case, grads, compiled=compiled)
        everything = compiled.tape_bytes(case.batch, case.n_steps)
        for memory in (-1, 0, everything // 2, everything):
            for tape in (True, False):
                got = engine_gradients(case, grads, tape, memory, compiled=compiled)
                assert_equal_gradients(got, due, f"seed {seed} tape {tape} memory {memory}")


def test_less_memory_makes_a_smaller_tape():
    case = chain_case(1, n_steps=2000)
    compiled = compile_case(replace(case, program=replace(case.program, window=10)))
    least, most = (compiled.tape_bytes(case.batch, case.n_steps, memory) for memory in (0, -1))
    half = compiled.tape_bytes(case.batch, case.n_steps, most // 2)
    assert least < half < most
    assert half - least <= most // 2


def test_threads_do_not_change_gradients():
    cases = [(seed, replace_batch(seed)) for seed in range(8)]
    for seed, case, compiled, grads in with_gradient(cases):
        due = engine_gradients(case, grads, compiled=compiled)
        for threads in (2, 3, 0):
            for tape in (True, False):
                got = engine_gradients(case, grads, tape, threads=threads, compiled=compiled)
                assert_equal_gradients(got, due, f"seed {seed} threads {threads} tape {tape}")


def replace_batch(seed):
    return chain_case(seed, batch=37)


def assert_close_gradients(got, due, rtol, what):
    for (name, a), (_, b) in zip(got.arrays(), due.arrays(), strict=True):
        size = np.abs(b).max(initial=1e-3)
        assert np.abs(a - b).max(initial=0) <= rtol * size, f"{what} {name}"


def test_windows_do_not_change_gradients_but_for_rounding():
    for seed, case, compiled, grads in with_gradient((s, chain_case(s)) for s in range(12)):
        due = engine_gradients(case, grads, compiled=compiled)
        for window in (1, 2, 5, 10**6):
            other = replace(case, program=replace(case.program, window=window))
            got = engine_gradients(other, grads, tape=True)
            assert_close_gradients(got, due, 1e-11, f"seed {seed} window {window}")


def test_batch_equals_sum_of_items():
    for seed, case, compiled, grads in with_gradient((s, chain_case(s, batch=5)) for s in range(8)):
        together = engine_gradients(case, grads, compiled=compiled)
        summed = [np.zeros_like(values) for values in case.params]
        for b in range(case.batch):
            one = slice(b, b + 1)
            of_item = ([g[one] for g in grads[0]], grads[1], grads[2][one])
            alone = engine_gradients(case.item(b), of_item, compiled=compiled)
            for whole, part in zip(together.inputs, alone.inputs, strict=True):
                np.testing.assert_allclose(whole[one], part, rtol=1e-10, atol=1e-12)
            np.testing.assert_allclose(together.state[one], alone.state, rtol=1e-10, atol=1e-12)
            summed = [a + b for a, b in zip(summed, alone.params, strict=True)]
        for whole, parts in zip(together.params, summed, strict=True):
            np.testing.assert_allclose(whole, parts, rtol=1e-9, atol=1e-11, err_msg=str(seed))


@pytest.mark.parametrize("kind", [*EXACT, "neurons"])
def test_instruction_sets_agree(kind):
    before = _engine.isa()
    try:
        for seed in range(8):
            found = []
            for isa in _engine.isas():
                _engine.set_isa(isa)
                for _, case, compiled, grads in with_gradient([(seed, kind_case(kind, seed))]):
                    found.append(engine_gradients(case, grads, compiled=compiled))
            for other in found[1:]:
                assert_close_gradients(other, found[0], 1e-11, f"{kind} seed {seed}")
    finally:
        _engine.set_isa(before)


@pytest.mark.parametrize("kind", [*EXACT, "neurons"])
def test_single_precision_is_near_double_precision(kind, isa):
    for seed in range(8):
        found = []
        for dtype in ("float64", "float32"):
            case = kind_case(kind, seed, dtype=dtype)
            for _, same, compiled, grads in with_gradient([(seed, case)]):
                found.append(engine_gradients(same, grads, compiled=compiled))
        if found:
            double, single = found
            assert {v.dtype for _, v in single.arrays()} == {np.dtype("float32")}
            assert_close_gradients(single, double, 3e-4, f"{kind} seed {seed}")


# ---------------------------------------------------------------- what is asked for


def test_only_what_is_wanted_is_given():
    case = chain_case(3)
    result = run_engine(case)
    grads = Loss(np.random.RandomState(0), result).gradients(result)
    due = engine_gradients(case, grads)
    params = [i % 2 == 0 for i in range(len(case.params))]
    got = engine_gradients(case, grads, want_inputs=[False], want_params=params, want_state=False)
    assert got.inputs == [None]
    assert got.state is None
    for wanted, a, b in zip(params, got.params, due.params, strict=True):
        assert (a is not None) == wanted
        if wanted:
            np.testing.assert_array_equal(a, b)


def test_no_gradient_given_is_zero():
    case = chain_case(3)
    for _, values in engine_gradients(case, ([None], None, None)).arrays():
        np.testing.assert_array_equal(values, 0)


def test_gradient_of_the_last_step_only():
    case = chain_case(3)
    compiled, result = compile_case(case), run_engine(case)
    last = Loss(np.random.RandomState(0), result).gradients(result)[0][0][:, -1:]
    rest = np.zeros_like(result.outputs[0])
    rest[:, -1:] = last
    due = engine_gradients(case, ([rest], None, None), compiled=compiled)
    args = (case.inputs, case.params, case.state, case.istate, 0, case.n_steps, case.batch, [True])
    inputs, params, state = compiled.grad(*args, [np.ascontiguousarray(last)])
    np.testing.assert_array_equal(inputs[0], due.inputs[0])
    for a, b in zip(params, due.params, strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(state, due.state)


# ---------------------------------------------------------------- the matrix is complete


def documented(row):
    """The op kinds of a row of the table in "Gradients" (counting from 0)."""
    text = DOCUMENT.read_text().split("## Gradients")[1].split("## Bytes")[0]
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    found = set(re.findall(r"`([a-z_]+)`", rows[row].split("|")[1]))
    if "learning rules" in rows[row]:
        found |= {"pes", "rls", "bcm", "oja", "voja"}
    return found


def test_every_kind_is_exact_or_passes_nothing():
    assert documented(0) == set(EXACT)
    assert documented(1) == {"neurons"}
    assert documented(2) == set(NONE)


def gradients_by_argument(case, gradients):
    """Per argument of the op under test: gradients of what its elements are given from outside."""
    program, unread = case.program, overwritten(case)
    op = case_op(program)
    for name, operand in op.args.items():
        at, buffer = np.ravel(places(operand)), program.buffers[operand.buffer]
        for other in program.ops():
            if other.kind == "input" and other.args["dst"].buffer == operand.buffer:
                source = f"input {other.attrs['index']}"
                yield name, gradients[source][..., at][..., ~unread[source][at]]
        if buffer.param >= 0:
            yield name, gradients[f"parameter {buffer.param}"][..., at]
        if buffer.state_offset >= 0:
            yield name, gradients["state"][..., buffer.state_offset + at]


def case_op(program):
    """The op under test: the one that is neither an input nor an output."""
    (op,) = [op for op in program.ops() if op.kind not in ("input", "output")]
    return op


@pytest.mark.parametrize("kind", [kind for kind in EXACT if kind not in ("input", "output")])
@pytest.mark.parametrize("layout", ["sequence", "loop"])
def test_exact_kinds_pass_gradients_by_every_argument(kind, layout):
    moved = set()
    for seed in range(24):
        case = kind_case(kind, seed, layout=layout)
        for _, same, compiled, grads in with_gradient([(seed, case)]):
            found = dict(engine_gradients(same, grads, compiled=compiled).arrays())
            moved |= {name for name, g in gradients_by_argument(same, found) if np.any(g != 0)}
    spec = {arg.name for arg in kinds.KINDS[kind].args if arg.access != "write"}
    assert moved == spec - {"Xi"}


@pytest.mark.parametrize("kind", NONE)
def test_what_passes_nothing_is_frozen(kind):
    """The frozen case runs as the original does, so that it may stand for it."""
    for seed in range(8):
        case = kind_case(kind, seed)
        frozen = freeze(case)
        assert all(passes(op) for op in frozen.program.ops())
        for (name, a), (_, b) in zip(
            run_engine(frozen).arrays(), run_engine(case).arrays(), strict=True
        ):
            if name == "integer state":
                continue
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12, err_msg=name)


def test_surrogates_are_held_against_tensorflow():
    from surrogate_reference import STEPS  # here, as it needs TensorFlow

    assert set(STEPS) >= {name for name in TYPES if neuron_kinds.NEURONS[name].spikes}


def test_every_source_is_asked_for():
    case = gradient_case(lambda rng: make_subject("dense", rng), 3)
    names = [name for name, _ in sources(case)]
    assert len(names) == len(case.inputs) + len(case.params) + 1
