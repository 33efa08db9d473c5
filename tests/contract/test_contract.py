"""The engine against the twin, for every op kind and every neuron type that it registers."""

import threading
from dataclasses import replace

import numpy as np
import pytest
from contract_cases import LAYOUTS, CaseBuilder, run_twin
from contract_chains import Chain
from contract_engine import (
    _engine,
    assert_close,
    assert_same,
    compile_case,
    run_engine,
)
from contract_kinds import make_subject
from contract_neurons import make_neurons_of

pytestmark = pytest.mark.usefixtures("backend")

SEEDS = range(24)
KINDS = sorted(_engine.op_specs())
TYPES = sorted(_engine.neuron_types())


def make_case(make, seed, dtype=None, batch=None):
    """A random case; the seed decides on everything that is not given."""
    rng = np.random.RandomState(seed)
    builder = CaseBuilder(
        rng,
        dtype or ["float64", "float32"][seed % 2],
        LAYOUTS[seed // 2 % len(LAYOUTS)],
        batch or 1 + seed % 5,
        n_steps=7,
        dt=[0.001, 0.0005][seed // 8 % 2],
    )
    builder.add(make(rng))
    return builder.build(window=[0, 1, 3, 4][seed % 4], first_step=[0, 1000, 2**31 + 5][seed % 3])


def kind_case(kind, seed, **kwargs):
    return make_case(lambda rng: make_subject(kind, rng), seed, **kwargs)


def type_case(name, seed, **kwargs):
    return make_case(lambda rng: make_neurons_of(name, rng), seed, **kwargs)


def chain_case(seed, dtype=None, batch=3, n_steps=20):
    rng = np.random.RandomState(seed)
    dtype = dtype or ["float64", "float32"][seed % 2]
    return Chain(rng, dtype, batch, n_steps, loop=bool(seed // 2 % 2)).build()


@pytest.mark.parametrize("kind", KINDS)
def test_kind_equals_twin(kind, isa):
    for seed in SEEDS:
        case = kind_case(kind, seed)
        assert_close(run_engine(case), run_twin(case), f"{kind} seed {seed}")


@pytest.mark.parametrize("kind", [kind for kind in KINDS if _engine.op_specs()[kind]["settable"]])
def test_sums_in_place_equal_twin(kind, isa):
    """In state, what a sequence adds in one step is there in the next."""
    for seed in range(24):
        rng = np.random.RandomState(seed)
        builder = CaseBuilder(rng, "float64", "sequence", 1 + seed % 3, n_steps=9)
        builder.add(make_subject(kind, rng))
        case = builder.build(window=[0, 4][seed % 2])
        assert_close(run_engine(case), run_twin(case), f"{kind} seed {seed}")


@pytest.mark.parametrize("name", TYPES)
def test_neuron_type_equals_twin(name, isa):
    for seed in SEEDS:
        case = type_case(name, seed)
        assert_close(run_engine(case), run_twin(case), f"{name} seed {seed}")


def test_chains_equal_twin(isa):
    for seed in range(80):
        case = chain_case(seed)
        assert_close(run_engine(case), run_twin(case), f"chain seed {seed}")


@pytest.mark.parametrize("kind", KINDS)
def test_runs_may_be_split(kind):
    for seed in SEEDS:
        case = kind_case(kind, seed)
        compiled = compile_case(case)
        whole = run_engine(case, compiled=compiled)
        assert_same(run_engine(case, splits=(1, 4), compiled=compiled), whole, f"{kind} {seed}")


def batch_equals_single_runs(case, what):
    together = run_engine(case)
    for b in range(case.batch):
        alone = run_engine(case.item(b))
        for i, values in enumerate(together.outputs):
            np.testing.assert_array_equal(values[b : b + 1], alone.outputs[i], err_msg=what)
        np.testing.assert_array_equal(together.state[b : b + 1], alone.state, err_msg=what)
        np.testing.assert_array_equal(together.istate[b : b + 1], alone.istate, err_msg=what)
        for param, values, of_one in zip(
            case.program.params, together.params, alone.params, strict=True
        ):
            mine = values[b : b + 1] if param.learned else values
            np.testing.assert_array_equal(mine, of_one, err_msg=what)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "callback"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_batch_equals_single_runs(kind, dtype, isa):
    for seed in SEEDS:
        case = kind_case(kind, seed, dtype=dtype, batch=5)
        batch_equals_single_runs(case, f"{kind} seed {seed}")


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_batch_of_chains_equals_single_runs(dtype, isa):
    for seed in range(30):
        batch_equals_single_runs(chain_case(seed, dtype, batch=19), f"chain seed {seed}")


@pytest.mark.parametrize("kind", KINDS)
def test_threads_do_not_change_results(kind):
    for seed in SEEDS:
        case = kind_case(kind, seed, batch=5)
        compiled = compile_case(case)
        due = run_engine(case, compiled=compiled)
        for threads in (0, 2, 4):
            got = run_engine(case, threads=threads, compiled=compiled)
            assert_same(got, due, f"{kind} seed {seed} threads {threads}")


def test_window_does_not_change_results():
    for seed in range(24):
        case = chain_case(seed)
        due = run_engine(case)
        for window in (1, 2, 7, 10**6):
            other = replace(case, program=replace(case.program, window=window))
            assert_same(run_engine(other), due, f"chain seed {seed} window {window}")


def test_runs_at_once_equal_runs_alone():
    cases = [chain_case(seed, n_steps=300) for seed in range(2)]
    # the first program runs in two threads at once, too
    work = [(cases[0], compile_case(cases[0])), (cases[1], compile_case(cases[1]))]
    work.append(work[0])
    due = [run_engine(case, compiled=compiled) for case, compiled in work]
    got = [[] for _ in work]

    def run(i):
        case, compiled = work[i]
        for _ in range(10):
            got[i].append(run_engine(case, compiled=compiled))

    threads = [threading.Thread(target=run, args=(i,)) for i in range(len(work))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for results, expected in zip(got, due, strict=True):
        assert len(results) == 10
        for result in results:
            assert_same(result, expected)


def test_keep_last():
    case = chain_case(3)
    outputs = run_engine(case).outputs
    params, state, istate = [v.copy() for v in case.params], case.state.copy(), case.istate.copy()
    args = (case.inputs, params, state, istate, 0, case.n_steps, case.batch, [True])
    (last,), steps, error = compile_case(case).run(*args)
    assert steps == case.n_steps
    assert error is None
    np.testing.assert_array_equal(last, outputs[0][:, -1:])


# ---------------------------------------------------------------- the matrix is complete


def seen_names(cases):
    args, attrs = set(), set()
    for case in cases:
        for op in case.program.ops():
            args |= {(op.kind, name.rstrip("0123456789")) for name in op.args}
            attrs |= {(op.kind, name) for name in op.attrs}
    return args, attrs


@pytest.mark.parametrize("kind", KINDS)
def test_every_argument_and_attribute_is_tried(kind):
    cases = [kind_case(kind, seed) for seed in SEEDS]
    if kind == "neurons":
        cases += [type_case(name, seed) for name in TYPES for seed in range(4)]
    args, attrs = seen_names(cases)
    spec = _engine.op_specs()[kind]
    assert {(kind, arg["name"].rstrip("*")) for arg in spec["args"]} <= args
    assert {(kind, attr["name"]) for attr in spec["attrs"]} <= attrs
