"""Models on other backends of the engine, by the argument `device`.

Here "far" (the CPU's kernels in memory that the host can't read) and "phases" (the CUDA backend as
plain C++) stand in for the GPU.
"""

import functools
import logging
import os
import re
import warnings

import keras
import nengo
import numpy as np
import pytest
import tensorflow as tf
from gpus import DEVICES, GPU

import nengo_dl
from nengo_dl import _engine
from nengo_dl.run import device


@pytest.fixture(params=DEVICES)
def gpu(request, monkeypatch):
    """A backend in place of the GPU's; the CPU's instructions are those that it is compiled for."""
    request.getfixturevalue(f"{request.param}_library")
    monkeypatch.setitem(device.BACKENDS, "GPU", request.param)
    before, tf32 = _engine.isa(), tf.config.experimental.tensor_float_32_execution_enabled()
    _engine.set_isa("baseline")
    tf.config.experimental.enable_tensor_float_32_execution(False)  # numbers are compared
    yield request.param
    _engine.set_isa(before)
    tf.config.experimental.enable_tensor_float_32_execution(tf32)


def integrator():
    """A recurrent ensemble with a changing input and noise."""
    with nengo.Network(seed=0) as net:
        net.inp = nengo.Node([0.3])
        ens = nengo.Ensemble(50, 1, noise=nengo.processes.WhiteNoise())
        nengo.Connection(net.inp, ens, transform=0.1, synapse=0.1)
        nengo.Connection(ens, ens, synapse=0.1)
        nengo.Probe(ens, synapse=0.01)
        nengo.Probe(ens.neurons)
    return net


def learning():
    """PES, whose weights a run changes."""
    with nengo.Network(seed=1) as net:
        net.inp = nengo.Node(nengo.processes.WhiteSignal(1.0, high=5, seed=0))
        pre, error = nengo.Ensemble(40, 1), nengo.Node(size_in=1)
        post = nengo.Node(size_in=1)
        nengo.Connection(net.inp, pre)
        nengo.Connection(net.inp, error, transform=-1)
        nengo.Connection(post, error)
        learned = nengo.Connection(
            pre, post, function=lambda x: 0, learning_rule_type=nengo.PES(1e-3)
        )
        nengo.Connection(error, learned.learning_rule)
        nengo.Probe(post)
        nengo.Probe(learned, "weights")
    return net


def trained(surrogate=None):
    """Two layers of neurons, the second one recurrent."""
    rng = np.random.RandomState(0)
    with nengo.Network(seed=0) as net:
        if surrogate:
            nengo_dl.configure_settings(surrogate=surrogate)
        net.inp = nengo.Node(np.zeros(6))
        first = nengo.Ensemble(20, 1, neuron_type=nengo.LIF(amplitude=0.01)).neurons
        tanh = {"neuron_type": nengo.Tanh(tau_ref=1), "gain": np.ones(12), "bias": np.zeros(12)}
        second = nengo.Ensemble(12, 1, **tanh).neurons
        for source, target in ((net.inp, first), (first, second), (second, second)):
            weights = rng.randn(target.size_in, source.size_out)
            synapse = None if source is net.inp else 0.005
            nengo.Connection(source, target, transform=weights, synapse=synapse)
        net.p = nengo.Probe(second)
    return net


def close(a, b):
    np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5 * max(1, np.abs(b).max()))


@pytest.mark.parametrize("make", [integrator, learning])
@pytest.mark.parametrize("minibatch_size", [None, 3])
def test_runs(Sim, gpu, make, minibatch_size):
    """S-05: as on the CPU, run after run, after a reset, and step by step."""
    net = make()
    here, there = (
        Sim(net, minibatch_size=minibatch_size, device=d, seed=3) for d in ("/cpu:0", "/gpu:0")
    )
    for sim in (here, there):
        sim.run_steps(30)
        sim.run_steps(30)
        sim.step()
    assert there.n_steps == 61
    first = [np.array(there.data[p]) for p in net.probes]
    for values, p in zip(first, net.probes, strict=True):
        assert np.any(values)
        close(values, here.data[p])
    there.reset()
    there.run_steps(61)
    for values, p in zip(first, net.probes, strict=True):
        np.testing.assert_array_equal(there.data[p], values)


def test_equals_nengo(Sim, gpu, reference):
    """The same spikes as `nengo.Simulator`, in double precision."""
    net = integrator()
    with net:
        nengo_dl.configure_settings(dtype="float64")
    due = reference(net, net.probes, 100, seed=5)
    sim = Sim(net, device="/gpu:0", seed=5)
    sim.run_steps(100)
    for values, p in zip(due, net.probes, strict=True):
        np.testing.assert_allclose(sim.data[p], values, rtol=1e-9, atol=1e-12)


def history(sim, net):
    """What training gives: losses, an evaluation, predictions and weights."""
    rng = np.random.RandomState(1)
    x, y = rng.uniform(-1, 1, (8, 10, 6)), rng.uniform(-1, 1, (8, 10, 12))
    sim.compile(keras.optimizers.Adam(0.01), loss="mse")
    losses = sim.fit({net.inp: x}, {net.p: y}, epochs=3, shuffle=False, verbose=0).history["loss"]
    score = sim.evaluate({net.inp: x}, {net.p: y}, verbose=0)["loss"]
    return [losses, score, sim.predict({net.inp: x})[net.p], *sim.keras_model.get_weights()]


def test_training(Sim, gpu):
    """`fit`, `evaluate` and `predict` as on the CPU, where training makes a difference."""
    net = trained("SuperSpike")
    due, got = (history(Sim(net, minibatch_size=4, device=d), net) for d in (None, "/gpu:0"))
    assert due[0][0] > 1.01 * due[0][-1]
    assert len(got) == len(due) > 4
    for a, b in zip(got, due, strict=True):
        close(a, b)


def test_gradients(Sim, gpu):
    """`check_gradients` finds them right; a tape in a device's memory is asked for by its run."""
    sim = Sim(trained(), minibatch_size=2, device="/gpu:0")
    sim.check_gradients()
    (op,) = sim._runtime.layer.training_ops
    assert op.backend == gpu


def test_saved_parameters_go_from_device_to_device(Sim, gpu, tmp_path):
    """What one has learned, another runs with."""
    net = learning()
    first = Sim(net, device="/gpu:0", seed=0)
    first.run_steps(50)
    first.save_params(tmp_path / "params")
    here, there = (Sim(net, device=d, seed=0) for d in ("/cpu:0", "/gpu:0"))
    for sim in (here, there):
        sim.load_params(tmp_path / "params")
        sim.run_steps(20)
    weights = net.probes[1]
    assert np.any(there.data[weights][0])
    for p in net.probes:
        close(there.data[p], here.data[p])


def test_plan(Sim, gpu):
    """The plan shows the backend, and what it fuses."""
    sim = Sim(integrator(), device="/gpu:0")
    text = str(sim.plan)
    assert f"Runs on the engine's backend '{gpu}'" in text
    where = "on its GPU" if sim.tensor_graph.on_gpu else "on the CPU: each call takes what it needs"
    assert f"Parameters and state are TensorFlow variables {where}" in text
    assert "several threads" not in text and "shared out among" not in text
    assert len(re.findall(r"one kernel, op by op: .* to take [\d.e+]+ us", text)) == (gpu == GPU)


def test_python_stays_on_the_cpu(Sim, gpu, caplog):
    """A program that calls Python runs as without the argument; the log says why."""
    with nengo.Network(seed=0) as net:
        node = nengo.Node(lambda t, x: 2 * x, size_in=1, label="doubler")
        nengo.Connection(nengo.Node([1.0]), node, synapse=None)
        p = nengo.Probe(node)
    with caplog.at_level(logging.INFO, "nengo_dl"):
        sim = Sim(net, device="/gpu:0")
    assert "stays on the CPU, as it calls Python" in caplog.text and "doubler" in caplog.text
    sim.run_steps(3)
    assert sim.data[p].ravel().tolist() == [2.0, 2.0, 2.0]
    assert "Runs on the CPU, on one thread" in str(sim.plan)


def test_parts_around_tensorflow(Sim, gpu):
    """The engine's programs run on the device, the calls where TensorFlow puts them."""
    with nengo.Network(seed=0) as net:
        ens = nengo.Ensemble(30, 1)
        node = nengo_dl.TensorNode(lambda t, x: tf.square(x), shape_in=(1,), pass_time=True)
        nengo.Connection(nengo.Node([0.5]), ens)
        nengo.Connection(ens, node)
        p = nengo.Probe(node, synapse=0.01)
    here, there = Sim(net), Sim(net, device="/gpu:0")
    for sim in (here, there):
        sim.run_steps(40)
    assert {op.backend for op in there._runtime.layer.run_ops} == {gpu}
    assert np.any(there.data[p])
    close(there.data[p], here.data[p])


def test_a_tape_stays_in_the_memory_of_its_device(gpu):
    """Whoever shares it keeps it; a gradient on another device does not take it for one of its."""
    from gradient_networks import filter_layer

    from nengo_dl.layer.tf_ops import RunOp, load

    layer = filter_layer()
    (piece,) = layer.plan.runs
    run = RunOp(piece.program, [False] * len(piece.program.outputs), backend=gpu)
    u, y, total, gain = (tf.ones(shape, tf.float64) for shape in ((3, 7, 2), (3, 2), (3, 2), (2,)))
    istate = np.zeros((3, 0), np.int32)
    result = run([u], [gain, total], y, istate, 0, 7, record=True)
    kept, none = tf.identity(result.tape), tf.zeros_like(result.tape)
    given = {
        "state": y, "istate": istate, "first_step": 0, "n_steps": 7, "steps": 7, "inputs": [u],
        "params": [gain, total], "output_grads": [tf.ones_like(o) for o in result.outputs],
        "learned_grads": [tf.zeros_like(o) for o in result.learned],
        "state_out_grad": tf.zeros_like(result.state), "n_input_grads": 1, "n_param_grads": 0,
        "n_state_grads": 0, "want_inputs": [0], "want_params": [], "want_state": False,
        "wanted": [0, 1], **{key: run._attrs[key] for key in (
            "program", "output_sizes", "keep_last", "learned", "callbacks", "backend", "threads",
            "memory")},
    }  # fmt: skip
    (by_u,), *_ = load().nengo_dl_run_grad(tape=result.tape, **given)
    del result
    for tape in (kept, none):
        (again,), *_ = load().nengo_dl_run_grad(tape=tape, **given)
        np.testing.assert_array_equal(by_u, again)
    with pytest.raises(tf.errors.InvalidArgumentError, match="in the memory of another device"):
        load().nengo_dl_run_grad(tape=kept, **{**given, "backend": "cpu"})


def test_without_a_gpu(Sim, monkeypatch):
    """A device that is not there is told, and the model runs on the CPU."""

    def load_cuda():
        raise RuntimeError("the CUDA backend: expected a GPU of NVIDIA and its driver, got none")

    monkeypatch.setattr(_engine, "load_cuda", load_cuda)
    net = integrator()
    with pytest.warns(UserWarning, match="'/gpu:0': the model runs on the CPU, as .*got none"):
        sim = Sim(net, device="/gpu:0")
    sim.run_steps(3)
    assert "Runs on the CPU" in str(sim.plan)
    with pytest.warns(UserWarning, match="no engine for a TPU"):
        Sim(net, device="/tpu:0")


def layer_of(n_neurons):
    """A layer of neurons that is driven by 32 numbers; no cycle."""
    with nengo.Network(seed=0) as net:
        ens = nengo.Ensemble(n_neurons, 1)
        weights = np.random.RandomState(0).uniform(-1, 1, (n_neurons, 32))
        nengo.Connection(nengo.Node(np.full(32, 0.2)), ens.neurons, transform=weights)
        net.p = nengo.Probe(ens, synapse=0.01)
    return net


def chosen(sim):
    """The backends of a simulator's programs, and what its plan says of them."""
    lines = [line.strip() for line in str(sim.plan).splitlines() if "No device was given" in line]
    return [op.backend for op in sim._runtime.layer.run_ops], lines


def test_no_device_is_the_one_predicted_to_be_faster(Sim, gpu, caplog):
    """S-05: a large model goes to the GPU, a small one does not; plan and log say why."""
    for net, side, backend in ((layer_of(4000), "GPU", gpu), (integrator(), "CPU", "cpu")):
        caplog.clear()
        with caplog.at_level(logging.INFO, "nengo_dl"):
            sim = Sim(net)
        backends, (line,) = chosen(sim)
        assert backends == [backend]
        assert f"regions> runs on the {side}; a step is predicted to take " in line
        assert " us on the GPU, " in line and " us on the CPU (minibatch_size=1, " in line
        assert [r.message for r in caplog.records if "predicted" in r.message] == [line]
        here = Sim(net, device="/cpu:0", seed=1)
        assert chosen(here) == (["cpu"], [])
        there = Sim(net, seed=1)
        for s in (here, there):
            s.run_steps(20)
        for p in net.all_probes:
            assert np.any(here.data[p])
            close(there.data[p], here.data[p])


def test_items_and_threads_decide_too(Sim, gpu):
    """Many items of a small model are a large one."""
    net = integrator()
    with net:
        nengo_dl.configure_settings(threads=1)
    assert [chosen(Sim(net, minibatch_size=n))[0] for n in (2, 1000)] == [["cpu"], [gpu]]
    with net:
        nengo_dl.configure_settings(threads=1000)
    assert chosen(Sim(net, minibatch_size=1000))[0] == ["cpu"]


def test_each_program_by_itself(Sim, gpu):
    """Of a model that is cut, a large part may go to the GPU, the others not."""
    net = layer_of(4000)
    with net:
        node = nengo_dl.TensorNode(tf.square, shape_in=(1,), pass_time=False)
        small = nengo.Ensemble(20, 1)
        nengo.Connection(net.all_ensembles[0], node)
        nengo.Connection(node, small)
        nengo.Connection(small, small, synapse=0.1)
        p = nengo.Probe(small, synapse=0.01)
    here, there = Sim(net, device="/cpu:0"), Sim(net)
    backends, lines = chosen(there)
    assert backends == [gpu, "cpu"] and len(lines) == 2
    assert "runs on the GPU" in lines[0] and "runs on the CPU" in lines[1]
    for sim in (here, there):
        sim.run_steps(30)
    close(there.data[p], here.data[p])


def test_a_full_gpu_is_not_chosen(Sim, gpu, monkeypatch):
    """What would find no memory there runs where it ran before, and the plan says so."""
    rooms = []

    def has_room(program, minibatch_size, backend, alone):
        rooms.append((minibatch_size, backend))
        return False

    monkeypatch.setattr(device, "_has_room", has_room)
    backends, (line,) = chosen(Sim(layer_of(4000), minibatch_size=2))
    assert backends == ["cpu"] and rooms == [(2, gpu)]
    assert "runs on the CPU; " in line and line.endswith("of the memory of the GPU is free")
    assert "is free" not in chosen(Sim(integrator()))[1][0]
    assert len(rooms) == 1  # what is not faster there needs none


def test_room_on_a_gpu(Sim, monkeypatch):
    """Weights, state and values of two steps, and an eighth of all memory for a window."""
    program = Sim(layer_of(1000)).plan.only_program()
    total, few, many = 1 << 30, 2 * 4 * (32 * 1000), 2 * 4 * (32 * 1000 + 100 * 5 * 1000)
    free = total // 8 + (few + many) // 2
    monkeypatch.setattr(_engine, "cuda_memory", lambda: (free, total))
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind: [])
    room = functools.partial(device._has_room, program, backend="cuda", alone=True)
    assert room(1) and not room(1000)
    free = total // 8 + few
    assert not room(1)
    assert room(1, backend="phases")

    # what TensorFlow has taken counts as free unless a tensor lies there
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind: [kind])
    for used, due in ((total - free - few, True), (total - free, False)):
        info = {"current": used}
        monkeypatch.setattr(tf.config.experimental, "get_memory_info", lambda name, i=info: i)
        assert room(1) == due and not room(1, alone=False)


@pytest.mark.parametrize("forked", [False, True])
def test_no_device_and_no_gpu(Sim, monkeypatch, caplog, forked):
    """Nothing is said or predicted; so in a process forked from the one that opened the GPU."""

    def load_cuda():
        if not forked:
            raise RuntimeError("the CUDA backend can't be loaded")

    def predict(*args):
        raise AssertionError("nobody needs to know")

    monkeypatch.setattr(_engine, "load_cuda", load_cuda)
    monkeypatch.setattr(device, "predict", predict)
    monkeypatch.setattr(device, "_processes", {"cuda": os.getpid() + 1} if forked else {})
    net = layer_of(4000)
    with caplog.at_level(logging.INFO, "nengo_dl"), warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        sim, due = Sim(net), Sim(net, device="/cpu:0")
    assert not caplog.records
    assert chosen(sim) == (["cpu"], []) and str(sim.plan) == str(due.plan)
    sim.run_steps(3)


def products(sim, net):
    """What runs, predictions and training leave of products with weights."""
    x = np.random.RandomState(0).uniform(-1, 1, (4, 32, 60))
    y = np.zeros((4, 32, 50))
    sim.reset()
    sim.run_steps(32, data={net.inp: x}, progress_bar=False)
    found = [np.array(sim.data[net.p]), sim.predict({net.inp: x}, verbose=0)[net.p]]
    sim.fit({net.inp: x}, {net.p: y}, shuffle=False, verbose=0)
    (trained,) = (w for w in sim.keras_model.get_weights() if w.size == 50 * 60)
    return [*found, trained]


@pytest.mark.parametrize("side", ["/cpu:0", "/gpu:0"])
def test_tf32_is_as_tensorflow_says(Sim, gpu, monkeypatch, side):
    """S-05: products of single precision, by the switch as it is at the time of each call."""
    monkeypatch.setenv("NENGO_DL_GEMM", "1")  # however small, products are cuBLAS's
    monkeypatch.setenv("NENGO_DL_TEST_PIECE", str(1 << 30))
    with nengo.Network(seed=0) as net:
        net.inp = nengo.Node(np.zeros(60))
        ens = nengo.Ensemble(50, 1, neuron_type=nengo.Tanh(tau_ref=1), gain=np.ones(50),
                             bias=np.zeros(50)).neurons  # fmt: skip
        weights = np.random.RandomState(1).randn(50, 60) / 8
        nengo.Connection(net.inp, ens, transform=weights, synapse=None)
        net.p = nengo.Probe(ens)
    sim = Sim(net, minibatch_size=4, device=side)
    sim.compile(keras.optimizers.SGD(1000.0), loss="mse")
    history = []
    for allowed in (False, True, False, True):
        tf.config.experimental.enable_tensor_float_32_execution(allowed)
        history.append(products(sim, net))
    plain, rounded, off, on = history
    for first, second in ((plain, off), (rounded, on)):
        for a, b in zip(first, second, strict=True):
            np.testing.assert_array_equal(a, b)
    for a, b in zip(plain, rounded, strict=True):
        if side == "/gpu:0" and gpu == GPU:
            assert 1e-5 < np.abs(a - b).max() / np.abs(a).max() < 5e-3
        else:
            np.testing.assert_array_equal(a, b)


def test_a_second_gpu_is_told_how_to_be_the_first(Sim, gpu):
    """The engine runs on the first GPU that the process sees."""
    message = "'/gpu:1': .*the first GPU .*expected '/gpu:0', got '/gpu:1'.*CUDA_VISIBLE_DEVICES=1 "
    with pytest.warns(UserWarning, match=message):
        sim = Sim(integrator(), device="/gpu:1")
    assert chosen(sim)[0] == [gpu]
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        Sim(integrator(), device="/gpu:0"), Sim(integrator(), device="/gpu")
