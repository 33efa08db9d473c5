"""Gradients of programs made by hand: against central differences, in every way of recording."""

import numpy as np
import pytest
from gradient_models import MODELS, Setup, assert_close, assert_same, chain, new_tape, recurrent

pytestmark = pytest.mark.usefixtures("backend")


@pytest.fixture(params=MODELS)
def model(request):
    return MODELS[request.param]


@pytest.mark.parametrize("keep_last", [False, True])
def test_against_differences(model, keep_last):
    setup = Setup(model(), keep_last=keep_last)
    assert_close(setup.grad(), setup.numeric())


@pytest.mark.parametrize("n_steps", [1, 2, 7])
def test_windows(model, n_steps):
    m = model()
    m.window = 3
    setup = Setup(m, n_steps=n_steps)
    assert_close(setup.grad(), setup.numeric())


def test_window_does_not_matter(model):
    results = []
    for window in (0, 1, 2, 5):
        m = model()
        m.window = window
        results.append(Setup(m, n_steps=11, batch=5).grad())
    for other in results[1:]:
        assert_close(other, results[0])


def test_each_way_of_recording_gives_the_same(model):
    m = model()
    m.window = 2
    setup = Setup(m, n_steps=9, batch=5)
    expected = setup.grad()
    full = setup.compiled.tape_bytes(5, 9)
    sizes = set()
    for memory in (-1, 0, full // 3, full // 2, full):
        sizes.add(setup.compiled.tape_bytes(5, 9, memory))
        assert_same(setup.grad(memory), expected)
        assert_same(setup.grad(tape_memory=memory), expected)
    assert max(sizes) == full


@pytest.mark.parametrize("batch", [1, 8, 37, 150])
def test_threads_do_not_matter(model, batch):
    m = model()
    m.window = 4
    setup = Setup(m, n_steps=6, batch=batch)
    expected = setup.grad(threads=1)
    for threads in (2, 4):
        assert_same(setup.grad(threads=threads), expected)
        assert_same(setup.grad(0, threads=threads), expected)


def test_batch_is_a_sum(model):
    # items don't touch each other: the gradient of many groups is that of all items by themselves
    m = model()
    setup = Setup(m, n_steps=4, batch=33)
    inputs, params, state = setup.grad()
    sums = [np.zeros_like(v) if v.ndim == 1 else None for v in params]
    for b in range(33):
        one = Setup(m, n_steps=4, batch=1)
        part = slice(b, b + 1)
        one.inputs = [v[part] for v in setup.inputs]
        one.params = [v if v.ndim == 1 else v[part] for v in setup.params]
        one.state = setup.state[part]
        one.given = {
            "output_grads": [v[part] for v in setup.given["output_grads"]],
            "learned_grads": [v if v is None else v[part] for v in setup.given["learned_grads"]],
            "state_out_grad": setup.given["state_out_grad"][part],
        }
        i, p, s = one.grad()
        np.testing.assert_allclose(s[0], state[b], rtol=1e-12, atol=1e-14)
        for mine, all_of_them in zip(i, inputs, strict=True):
            np.testing.assert_allclose(mine[0], all_of_them[b], rtol=1e-12, atol=1e-14)
        for k, v in enumerate(p):
            if sums[k] is None:
                np.testing.assert_allclose(v[0], params[k][b], rtol=1e-12, atol=1e-14)
            else:
                sums[k] += v
    for total, v in zip(sums, params, strict=True):
        if total is not None:
            np.testing.assert_allclose(v, total, rtol=1e-11, atol=1e-13)


def test_nothing_given_is_changed(model):
    setup = Setup(model())
    before = [v.copy() for v in (*setup.inputs, *setup.params, setup.state)]
    setup.grad()
    setup.grad(0)
    for old, new in zip(before, (*setup.inputs, *setup.params, setup.state), strict=True):
        np.testing.assert_array_equal(old, new)


def test_recorded_run_computes_the_same(model):
    m = model()
    m.window = 3
    setup = Setup(m, n_steps=8, batch=5)
    plain = setup.run()
    for memory in (-1, 0):
        tape = new_tape(setup.compiled, 5, 8, memory=memory)
        recorded = setup.run(tape=tape, memory=memory)
        for a, b in zip(
            plain[0] + plain[1] + [plain[2]], recorded[0] + recorded[1] + [recorded[2]], strict=True
        ):
            np.testing.assert_array_equal(a, b)


def test_what_is_not_wanted_is_none(model):
    setup = Setup(model())
    inputs, params, state = setup.grad()
    n, k = len(inputs), len(params)
    none = {"want_inputs": [False] * n, "want_params": [False] * k, "want_state": False}
    assert setup.grad(**none) == ([None] * n, [None] * k, None)
    for i in range(k):
        flags = [j == i for j in range(k)]
        for memory in (None, 0, -1):
            kwargs = {**none, "want_params": flags, "wanted_params": flags}
            only = setup.grad(memory, **kwargs)
            assert only[0] == [None] * n and only[2] is None
            assert [v is not None for v in only[1]] == flags
            np.testing.assert_array_equal(only[1][i], params[i])
    only = setup.grad(**{**none, "want_inputs": None})
    assert_same((only[0], [], None), (inputs, [], None))
    only = setup.grad(**{**none, "want_state": True})
    np.testing.assert_array_equal(only[2], state)


def test_what_is_not_given_is_zero(model):
    setup = Setup(model())
    zeros = {
        "output_grads": [np.zeros_like(v) for v in setup.given["output_grads"]],
        "learned_grads": [
            v if v is None else np.zeros_like(v) for v in setup.given["learned_grads"]
        ],
        "state_out_grad": np.zeros_like(setup.given["state_out_grad"]),
    }
    nothing = {"output_grads": [None] * len(zeros["output_grads"])}
    nothing |= {"learned_grads": None, "state_out_grad": None}
    for key in zeros:
        kwargs = {**setup.given, key: nothing[key]}
        assert_close(setup.grad(**kwargs), setup.grad(**{**setup.given, key: zeros[key]}))
        kwargs = {**nothing, key: setup.given[key]}
        assert_close(setup.grad(**kwargs), setup.grad(**{**zeros, key: setup.given[key]}))
    for v in setup.grad(**nothing)[0]:
        assert not v.any()


def test_no_steps(model):
    setup = Setup(model(), n_steps=0)
    for memory in (None, -1, 0):
        inputs, params, state = setup.grad(memory)
        np.testing.assert_array_equal(state, setup.given["state_out_grad"])
        for v, g in zip(params, setup.given["learned_grads"], strict=True):
            np.testing.assert_array_equal(v, np.zeros_like(v) if g is None else g)
        assert all(v.shape[1] == 0 for v in inputs)


@pytest.mark.parametrize("make", [chain, recurrent])
def test_single_precision(make):
    double, single = Setup(make(), batch=9), Setup(make(dtype="float32"), batch=9)
    for a, b in zip(double.grad()[1], single.grad()[1], strict=True):
        assert b.dtype == np.float32
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
