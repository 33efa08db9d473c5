"""The loader of the op library, and the op NengoDL>Run on programs written by hand."""

import re
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from gradient_networks import tape_bytes
from handmade import clock_plan, filter_plan, filter_reference, noise_plan

from nengo_dl.ir.program import to_bytes
from nengo_dl.layer import tf_ops


def filter_arguments(batch=3, steps=7, dtype="float32", seed=0):
    rng = np.random.RandomState(seed)
    plan = filter_plan(dtype)
    run = tf_ops.RunOp(plan.only_program(), [False, False])
    arguments = {
        "inputs": [rng.randn(batch, steps, 2).astype(dtype)],
        "params": [
            plan.param_values[0].astype(dtype),
            rng.randn(batch, 2).astype(dtype),
        ],
        "state": rng.randn(batch, 2).astype(dtype),
        "istate": np.zeros((batch, 0), np.int32),
        "first_step": 0,
        "n_steps": steps,
    }
    return run, arguments


# ---------------------------------------------------------------- loader


def test_version_in_the_file_is_the_running_one():
    assert tf_ops.built_for() == tf.__version__


def test_other_tensorflow_version(monkeypatch):
    tf_ops.load.cache_clear()
    monkeypatch.setattr(tf, "__version__", "2.99.1")
    with pytest.raises(ImportError) as info:
        tf_ops.load()
    message = str(info.value)
    assert tf_ops.built_for() in message and "2.99.1" in message
    assert "pip install --no-build-isolation --force-reinstall --no-deps ." in message


def test_missing_library(monkeypatch, tmp_path):
    tf_ops.load.cache_clear()
    monkeypatch.setattr(tf_ops, "LIBRARY", tmp_path / "nothing.so")
    with pytest.raises(ImportError, match="nothing.so.*Build it with: pip install"):
        tf_ops.load()


@pytest.mark.parametrize("content", [b"", b"\x7fELF and no version", b"x" + tf_ops.MARKER + b"2.2"])
def test_file_without_version(tmp_path, content):
    library = tmp_path / "other.so"
    library.write_bytes(content)
    with pytest.raises(ImportError, match="doesn't say which TensorFlow"):
        tf_ops.built_for(library)


@pytest.mark.parametrize("installed", [True, False])
def test_foreign_keras_backend(tmp_path, installed):
    """In a process of its own: a Keras that runs on something else, or can't run at all."""
    if installed:
        (tmp_path / "keras.py").write_text(
            "__version__ = '3.15.0'\nclass backend:\n    backend = staticmethod(lambda: 'jax')\n"
        )
    else:
        (tmp_path / "keras.py").write_text("raise ModuleNotFoundError('No module named jax')\n")
    code = f"""
import sys
sys.path.insert(0, {str(tmp_path)!r})
try:
    import nengo_dl.tensor_graph
except ImportError as e:
    assert "tensorflow" in str(e) and "jax" in str(e) and "KERAS_BACKEND" in str(e), e
else:
    raise SystemExit("no ImportError")
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_first_use_in_several_threads():
    """In a process of its own: the library is loaded and its gradients registered just once."""
    code = """
import threading, time
import nengo, numpy as np
import tensorflow as tf
import nengo_dl

loads, load = [], tf.load_op_library
def slowly(path):
    loads.append(path)
    time.sleep(0.2)  # all others get here meanwhile, if they can
    return load(path)
tf.load_op_library = slowly

def work():
    with nengo.Network(seed=0) as net:
        x = nengo.Node([1.0])
        y = nengo.Node(size_in=1)
        nengo.Connection(x, y, transform=[[0.5]], synapse=None)
        p = nengo.Probe(y)
    ready.wait()
    with nengo_dl.Simulator(net, progress_bar=False) as sim:
        sim.run_steps(3)
        sim.compile("sgd", loss="mse")
        sim.fit(n_steps=1, y=np.zeros((1, 1, 1)), verbose=0)
        done.append(sim.data[p].tolist())

done, ready = [], threading.Barrier(4)
threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert done == [[[0.5]] * 3] * 4, done
assert len(loads) == 1, loads
"""
    subprocess.run([sys.executable, "-c", code], check=True)


# ---------------------------------------------------------------- op


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("graph", [False, True])
def test_values(dtype, graph):
    run, arguments = filter_arguments(dtype=dtype)
    call = tf.function(run) if graph else run
    result = call(**arguments)
    due = filter_reference(
        arguments["inputs"][0],
        arguments["state"],
        arguments["params"][1],
        np.array([1, 2]),
    )
    tolerance = {"rtol": 1e-5, "atol": 1e-5} if dtype == "float32" else {"rtol": 1e-12}
    for came, expected in zip(result.outputs, due, strict=True):
        assert came.dtype == dtype
        np.testing.assert_allclose(came, expected, **tolerance)
    np.testing.assert_allclose(result.state, due[0][:, -1], **tolerance)
    np.testing.assert_allclose(result.learned[0], due[1][:, -1], **tolerance)
    assert int(result.steps) == 7 and result.error.shape == (0,)


def test_arguments_are_not_written():
    run, arguments = filter_arguments()
    tensors = tf.nest.map_structure(tf.constant, arguments)
    run(**{**tensors, "first_step": 0, "n_steps": 7})
    tf.nest.map_structure(np.testing.assert_array_equal, tensors, arguments)


def test_pieces_equal_the_whole():
    run, arguments = filter_arguments(dtype="float64")
    whole = run(**arguments)
    first = run(**{**arguments, "inputs": [arguments["inputs"][0][:, :3]], "n_steps": 3})
    second = run(
        inputs=[arguments["inputs"][0][:, 3:]],
        params=[arguments["params"][0], first.learned[0]],
        state=first.state,
        istate=first.istate,
        first_step=3,
        n_steps=4,
    )
    for i, due in enumerate(whole.outputs):
        came = np.concatenate([first.outputs[i], second.outputs[i]], axis=1)
        np.testing.assert_array_equal(came, due)
    np.testing.assert_array_equal(second.state, whole.state)


def test_keep_last():
    run, arguments = filter_arguments()
    whole = run(**arguments)
    last = tf_ops.RunOp(filter_plan().only_program(), [True, False])(**arguments)
    np.testing.assert_array_equal(last.outputs[0], whole.outputs[0][:, -1:])
    np.testing.assert_array_equal(last.outputs[1], whole.outputs[1])


def test_no_steps():
    run, arguments = filter_arguments(steps=0)
    result = run(**arguments)
    assert [tuple(out.shape) for out in result.outputs] == [(3, 0, 2), (3, 0, 2)]
    np.testing.assert_array_equal(result.state, arguments["state"])
    np.testing.assert_array_equal(result.learned[0], arguments["params"][1])
    last = tf_ops.RunOp(filter_plan().only_program(), [True, True])(**arguments)
    np.testing.assert_array_equal(last.outputs[0], np.zeros((3, 1, 2)))


def test_time_follows_first_step():
    run = tf_ops.RunOp(clock_plan("float64").only_program(), [False])
    empty = {"inputs": [], "params": [], "state": np.zeros((2, 0))}
    result = run(**empty, istate=np.zeros((2, 0), np.int32), first_step=10, n_steps=5)
    due = np.arange(11, 16) * 0.001
    np.testing.assert_array_equal(result.outputs[0][..., 0], [due, due])


def test_integer_state_is_numpys():
    plan = noise_plan(seed=3)
    run = tf_ops.RunOp(plan.only_program(), [False])
    result = run([], [], np.zeros((1, 0)), plan.pieces[0].initial_istate[None], 0, 5)
    rng = np.random.RandomState(3)
    np.testing.assert_allclose(result.outputs[0][0], rng.normal(size=(5, 3)), rtol=1e-14)
    again = run([], [], np.zeros((1, 0)), result.istate, 5, 5)
    np.testing.assert_allclose(again.outputs[0][0], rng.normal(size=(5, 3)), rtol=1e-14)


def test_shapes_in_a_graph():
    run, arguments = filter_arguments()

    def call(rows, n_steps):
        result = run(**{**arguments, "inputs": [rows], "n_steps": n_steps})
        assert result.outputs[0].shape.as_list() == [3, None, 2]
        assert result.learned[0].shape.as_list() == [3, 2]
        assert result.state.shape.as_list() == [3, 2]
        fixed = run(**{**arguments, "inputs": [rows], "n_steps": 9})
        assert fixed.outputs[1].shape.as_list() == [3, 9, 2]

    tf.function(call).get_concrete_function(
        tf.TensorSpec((None, None, 2)), tf.TensorSpec((), tf.int64)
    )


WRONG = {
    "inputs": [np.zeros((3, 5, 2), np.float32)],
    "params": [np.zeros(5, np.float32), np.zeros((3, 2), np.float32)],
    "state": np.zeros((4, 2), np.float32),
    "istate": np.zeros((2, 0), np.int32),
    "first_step": np.zeros(2, np.int64),
    "n_steps": -1,
    "time_limit": -0.5,
}


@pytest.mark.parametrize("graph", [False, True])
@pytest.mark.parametrize("which", list(WRONG))
def test_wrong_argument_is_named(which, graph):
    run, arguments = filter_arguments()
    call = tf.function(run) if graph else run
    with pytest.raises((ValueError, tf.errors.InvalidArgumentError)) as info:
        call(**{**arguments, which: WRONG[which]})
    named = {"state": "(i?state|inputs\\[0\\]|params)", "n_steps": "n_steps"}
    assert re.search(f"'{named.get(which, which)}", str(info.value)), info.value
    assert "expected" in str(info.value)


def test_wrong_ranks_in_a_graph():
    run, arguments = filter_arguments()
    wrong = {
        "inputs": [np.zeros((3, 2), np.float32)],
        "params": [np.zeros(2, np.float32)] * 2,
        "state": np.zeros(2, np.float32),
        "istate": np.zeros((3, 0, 1), np.int32),
        "n_steps": [7],
    }
    for which, value in wrong.items():
        with pytest.raises(ValueError, match=rf"'{which}(\[.\])?': expected shape"):
            tf.function(run)(**{**arguments, which: value})


def test_malformed_program():
    run, arguments = filter_arguments()
    raw = to_bytes(filter_plan().only_program())
    for bad in (b"", raw[:-1], raw + b"x", b"garbage"):
        run._attrs["program"] = bad
        with pytest.raises(tf.errors.InvalidArgumentError, match="NengoDL>Run"):
            run(**arguments)


def test_attributes_must_repeat_the_program():
    for key, value in {
        "output_sizes": [2, 3],
        "learned": [0],
        "keep_last": [0],
    }.items():
        run, arguments = filter_arguments()
        run._attrs[key] = value
        with pytest.raises(tf.errors.InvalidArgumentError, match=key):
            run(**arguments)


def test_wrong_dtype():
    run, arguments = filter_arguments()
    doubles = tf.nest.map_structure(
        lambda v: np.float64(v) if getattr(v, "dtype", None) == np.float32 else v,
        arguments,
    )
    with pytest.raises(tf.errors.InvalidArgumentError, match="'T': expected float32.*got float64"):
        run(**doubles)


def test_unknown_callbacks():
    _, arguments = filter_arguments()
    run = tf_ops.RunOp(filter_plan().only_program(), [False, False], callbacks=10**9)
    with pytest.raises(tf.errors.FailedPreconditionError, match="are gone"):
        run(**arguments)


def test_time_limit():
    """A run that takes longer than its limit stops early, and the rest of its rows are zero."""
    plan = clock_plan()
    run = tf_ops.RunOp(plan.only_program(), [False])
    n_steps = 20_000_000
    state, istate = np.zeros((1, 0), np.float32), np.zeros((1, 0), np.int32)
    result = run([], [], state, istate, 0, n_steps, time_limit=1e-4)
    steps = int(result.steps)
    assert 0 < steps < n_steps
    rows = result.outputs[0].numpy()[0, :, 0]
    np.testing.assert_allclose(rows[:steps][[0, -1]], [0.001, steps * 0.001], rtol=1e-6)
    assert not rows[steps:].any()


# ---------------------------------------------------------------- recording


def test_recording_changes_nothing_else():
    run, arguments = filter_arguments()
    plain, recorded = run(**arguments), run(**arguments, record=True)
    assert tape_bytes(plain) is None and tape_bytes(recorded) > 0
    for came, due in zip(recorded[:-1], plain[:-1], strict=True):
        tf.nest.map_structure(np.testing.assert_array_equal, came, due)


@pytest.mark.parametrize("steps", [0, 1])
def test_recording_a_short_run(steps):
    run, arguments = filter_arguments(steps=steps)
    assert run(**arguments, record=True).tape.shape == ()


@pytest.mark.parametrize("wanted", [[1, 0], [0, 0], [2], [-1]])
def test_wanted_parameters_are_checked(wanted):
    run, arguments = filter_arguments()
    with pytest.raises(tf.errors.InvalidArgumentError, match="'wanted': expected ascending"):
        run(**arguments, record=True, wanted=wanted)


def test_memory_is_checked():
    _, arguments = filter_arguments()
    run = tf_ops.RunOp(filter_plan().only_program(), [False, False], memory=-2)
    with pytest.raises(tf.errors.InvalidArgumentError, match="'memory'.*bytes.*got -2"):
        run(**arguments)
