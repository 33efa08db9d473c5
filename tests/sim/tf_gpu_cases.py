"""What is true where TensorFlow has a GPU: variables stay there, and the engine works on them.

Not collected by itself: `test_tf_gpu.py` runs it in a process where a stand-in for a GPU is
TensorFlow's (tests/tf_gpu.py). Its memory is the backend's, which the host can't read.
"""

import contextlib

import keras
import nengo
import numpy as np
import pytest
import tensorflow as tf
import tf_gpu
from gradient_networks import build, filter_layer
from test_device import close, integrator, layer_of, learning, trained
from test_device import gpu as gpu  # the fixture

import nengo_dl
from nengo_dl.keras_private import plain_variable
from nengo_dl.layer.tf_ops import RunOp
from nengo_dl.tensor_graph import TensorGraph


@pytest.fixture(autouse=True)
def _in_the_backend_of_this_process(request, gpu):
    if gpu != tf_gpu.NAME:
        pytest.skip("the memory of the GPU is another backend's")


def place_of(tensor):
    return tf.DeviceSpec.from_string(tensor.device).device_type


def layers_of(net, **kwargs):
    """The layers of two simulators, on the CPU and on the GPU, and the simulators."""
    sims = [
        nengo_dl.Simulator(net, device=d, progress_bar=False, **kwargs)
        for d in ("/cpu:0", "/gpu:0")
    ]
    return [sim._runtime.layer for sim in sims], sims


@pytest.mark.parametrize("make", [integrator, learning, trained])
def test_variables_stay_on_the_gpu(make):
    """Parameters and state; integers stay on the CPU."""
    (here, there), sims = layers_of(make())
    for layer, kind in ((here, "CPU"), (there, "GPU")):
        assert {place_of(plain_variable(weight)) for weight in layer.base_params} == {kind}
        state = layer.saved_state
        assert place_of(state["state"]) == kind
        assert place_of(state["istate"]) == place_of(state["n_steps"]) == "CPU"
    assert there.on_gpu and not here.on_gpu
    told = ["are TensorFlow variables on its GPU" in str(sim.plan) for sim in sims]
    assert told == [False, True]


@pytest.mark.parametrize("graph", [False, True])
@pytest.mark.parametrize("stateful", [False, True])
def test_a_run_moves_nothing_but_results(graph, stateful):
    """Neither parameters nor state come from the host, but a few tables of the backend's do."""
    (_, layer), _ = layers_of(layer_of(4000), minibatch_size=2)
    size = layer.plan.inputs[0].size
    with tf.device("/gpu:0"):
        rows = tf.identity(tf.random.uniform((2, 7, size)))

    def run():
        return layer.run_graph([rows], tf.constant(7, tf.int64), stateful).outputs

    call = tf.function(run, autograph=False) if graph else run
    first = call()
    before = tf_gpu.engine_bytes()
    again = call()
    assert tf_gpu.engine_bytes() - before < 4 * 4000 < 4 * size * 4000
    if not graph:
        assert {place_of(value) for value in first} == {"GPU"}
    for a, b in zip(first, again, strict=True):
        assert np.any(a.numpy() != b.numpy()) == stateful
    begun, ended = tf_gpu.visits()
    assert begun >= ended > 0  # more where memory was lent meanwhile


def derivatives(layer, rows, graph):
    """Derivatives of a sum of squares by all weights and the input."""

    def compute(rows):
        with tf.GradientTape() as tape:
            tape.watch(rows)
            outputs = layer.run_graph(
                [rows], tf.constant(9, tf.int64), False, training=True
            ).outputs
            loss = tf.add_n([tf.reduce_sum(tf.square(value)) for value in outputs])
        return loss, tape.gradient(loss, [rows, *layer.trainable_weights])

    return (tf.function(compute, autograph=False) if graph else compute)(rows)


@pytest.mark.parametrize("graph", [False, True])
def test_gradients(graph):
    """Of all weights and inputs, as on the CPU."""
    layers, _ = layers_of(trained("SuperSpike"), minibatch_size=3)
    rows = tf.constant(np.random.RandomState(0).uniform(-1, 1, (3, 9, 6)), tf.float32)
    (loss, due), (_, got) = (derivatives(layer, rows, graph) for layer in layers)
    assert loss > 0 and len(due) > 2
    assert sum(np.any(value.numpy()) for value in due) > 2
    for a, b in zip(got, due, strict=True):
        assert place_of(a) == "GPU"
        close(a.numpy(), b.numpy())


@pytest.mark.parametrize("flow", ["loop", "branch"])
@pytest.mark.parametrize("outside", [False, True])
def test_gradients_through_control_flow(outside, flow):
    """Tapes of runs in a loop or a branch stay where they are, whoever differentiates."""

    def loss_of(layer, rows):
        def run(rows):
            n_steps = tf.constant(9, tf.int64)
            outputs = layer.run_graph([rows], n_steps, False, training=True).outputs
            return tf.add_n([tf.reduce_sum(tf.square(value)) for value in outputs])

        def turn(i, total):
            return i + 1, total + run(rows / tf.cast(i + 1, tf.float32))

        if flow == "branch":
            return tf.cond(tf.reduce_sum(rows) < 1e9, lambda: run(rows), lambda: 0.0)
        return tf.while_loop(lambda i, _: i < 3, turn, (0, 0.0))[1]

    def derivatives(layer, rows, outside):
        def differentiated(function):
            with tf.GradientTape() as tape:
                tape.watch(rows)
                loss = function()
            return tape.gradient(loss, [rows, *layer.trainable_weights])

        function = tf.function(lambda: loss_of(layer, rows), autograph=False)
        if outside:
            return differentiated(function)
        return tf.function(lambda: differentiated(function), autograph=False)()

    (here, there), _ = layers_of(trained("SuperSpike"), minibatch_size=3)
    rows = tf.constant(np.random.RandomState(0).uniform(-1, 1, (3, 9, 6)), tf.float32)
    due, got = derivatives(here, rows, False), derivatives(there, rows, outside)
    assert sum(np.any(value.numpy()) for value in due) > 2
    for a, b in zip(got, due, strict=True):
        close(a.numpy(), b.numpy())


@pytest.mark.parametrize("name", ["recurrent", "adaptive", "lmu"])
def test_matrices_are_turned_where_they_lie(name):
    """Those that the program has column by column; in double precision."""
    net, _ = build(name)
    layers, _ = layers_of(net, minibatch_size=3)
    assert any(p.rows > 0 for run in layers[1].plan.runs for p in run.program.params)
    size = layers[1].plan.inputs[0].size
    rows = tf.constant(np.random.RandomState(0).uniform(-1, 1, (3, 9, size)))
    (loss, due), (again, got) = (derivatives(layer, rows, False) for layer in layers)
    close(again, loss)
    for a, b in zip(got, due, strict=True):
        close(a.numpy(), b.numpy())


def test_the_engine_waits_for_tensorflow():
    """Values that are on their way when the op begins are there when it needs them."""
    late = tf_gpu.ops().far_gpu_late
    (here, there), _ = layers_of(integrator(), minibatch_size=2)
    values = np.random.RandomState(0).uniform(-1, 1, (2, 7, 1)).astype(np.float32)

    @tf.function(autograph=False)
    def run(rows):
        with tf.device("/gpu:0"):
            for _ in range(8):
                rows = late(rows)
        return there.run_graph([rows], tf.constant(7, tf.int64), False).outputs

    due = here.run_graph([tf.constant(values)], 7, False).outputs
    for _ in range(5):
        for a, b in zip(run(tf.constant(values)), due, strict=True):
            close(a.numpy(), b.numpy())


def test_a_run_that_stops_early():
    """Rows that no step has written are zero there, too."""
    (_, layer), _ = layers_of(integrator())
    n_steps = 50_000
    result = layer.run_graph(
        [tf.ones((1, n_steps, 1))], tf.constant(n_steps, tf.int64), False, 1e-6, partial=True
    )
    done = int(result.steps)
    assert 0 < done < n_steps
    for value in result.outputs:
        assert np.all(np.isfinite(value.numpy())) and not np.any(value[:, done:].numpy())


def test_programs_of_the_cpu_stay_there():
    """If any program of a plan does, all are called from there; TensorFlow is told so."""
    with nengo.Network(seed=0) as net:
        inp = nengo.Node([0.5])
        ens = nengo.Ensemble(30, 1)
        python = nengo.Node(lambda t, x: 2 * x, size_in=1)
        node = nengo_dl.TensorNode(tf.square, shape_in=(1,), pass_time=False)
        nengo.Connection(inp, ens)
        nengo.Connection(ens, node)
        nengo.Connection(node, python)
        p = nengo.Probe(python)
    layers, sims = layers_of(net)
    backends = [run.backend for run in layers[1].plan.runs]
    assert "cpu" in backends and tf_gpu.NAME in backends
    assert not layers[1].on_gpu
    for sim in sims:
        sim.run_steps(20)
    assert np.any(sims[0].data[p])
    close(sims[1].data[p], sims[0].data[p])


@pytest.mark.parametrize("scope", [None, "/cpu:0", "/gpu:0"])
@pytest.mark.parametrize("graph", [False, True])
def test_the_program_decides_where_it_runs(scope, graph):
    """Whatever device is the default, in a function and outside of one."""
    layers, _ = layers_of(integrator())
    rows = tf.ones((1, 5, 1))
    for layer, kind in zip(layers, ("CPU", "GPU"), strict=True):

        def run(rows, layer=layer):
            return layer.run_graph([rows], tf.constant(5, tf.int64), False).outputs

        call = tf.function(run, autograph=False) if graph else run
        with tf.device(scope) if scope else contextlib.nullcontext():
            (value, *_) = call(rows)
        assert np.all(np.isfinite(value.numpy()))
        if not graph:
            assert place_of(value) == kind


def test_files_of_keras(tmp_path):
    """A layer that is loaded runs on the CPU, and returns the same."""
    _, (_, sim) = layers_of(trained())
    model, path = sim.keras_model, tmp_path / "model.keras"
    model.save(path)
    loaded = keras.models.load_model(path)
    (layer,) = (found for found in loaded.layers if isinstance(found, TensorGraph))
    assert not layer.on_gpu
    given = [np.ones((1, 5, 6), np.float32), np.full((1, 1), 5, np.int32)]
    for name, value in model(given).items():
        close(loaded(given)[name].numpy(), value.numpy())


def test_a_program_of_the_cpu_is_refused_there():
    """The op, placed on a GPU by hand. The last test: after such an error TensorFlow takes an
    argument of the call that failed for one of the next."""
    layer = filter_layer()
    (piece,) = layer.plan.runs
    keep = [False] * len(piece.program.outputs)
    run = RunOp(piece.program, keep, backend="cpu", on_gpu=True)
    u, y, total, gain = (tf.ones(shape, tf.float64) for shape in ((3, 7, 2), (3, 2), (3, 2), (2,)))
    with pytest.raises(
        tf.errors.InvalidArgumentError, match="'backend': expected one for the GPU.*got 'cpu'"
    ):
        run([u], [gain, total], y, np.zeros((3, 0), np.int32), 0, 7)
