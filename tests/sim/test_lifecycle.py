"""Making, closing and resetting simulators (SPEC S-01 to S-09, S-12, S-18, S-56 to S-65)."""

import copy
import gc
import pickle
import warnings

import keras
import nengo
import numpy as np
import pytest
import tensorflow as tf
from nengo.exceptions import NengoWarning, SimulationError, SimulatorClosed, ValidationError

import nengo_dl


@pytest.fixture
def net():
    with nengo.Network(seed=3) as net:
        net.node = nengo.Node([0.5])
        net.ens = nengo.Ensemble(10, 1)
        net.conn = nengo.Connection(net.node, net.ens)
        net.p = nengo.Probe(net.ens, synapse=0.01)
    return net


def test_no_network(Sim):
    """S-01 [B]: neither network nor model is an error that says so."""
    with pytest.raises(ValidationError, match="network or a model"):
        Sim(None)


def test_prebuilt_model(Sim, net):
    """S-02, S-04: a built model can serve several simulators, and wins with its dt."""
    model = nengo.builder.Model(dt=0.002)
    model.build(net)
    operators = list(model.operators)
    signals = [list(op.all_signals) for op in operators]
    results = []
    for make in (Sim, nengo.Simulator, Sim):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NengoWarning)
            sim = make(None, model=model, progress_bar=False)
        sim.run_steps(20)
        results.append(np.array(sim.data[net.p]))
        if make is Sim:
            assert model.operators == operators
            assert [list(op.all_signals) for op in operators] == signals
            assert sim.dt == 0.002
        else:  # Nengo's simulator keeps its values in the model, and optimises it
            sim.close()
            operators = list(model.operators)
            signals = [list(op.all_signals) for op in operators]
    assert np.allclose(results[0], results[1], atol=1e-5)
    assert np.allclose(results[0], results[2], atol=1e-5)
    with pytest.warns(NengoWarning, match="does not match"):
        Sim(None, model=model)


def test_network_is_not_changed(Sim, net):
    """The network stays as it is."""
    before = {obj: dict(vars(obj)) for obj in net.all_objects}
    params = dict(net.config.params)
    Sim(net).run_steps(3)
    assert {obj: dict(vars(obj)) for obj in net.all_objects} == before
    assert dict(net.config.params) == params


def test_seed(Sim):
    """S-03: the network's seed plus one, or a random one; Nengo's global draws are the same."""
    assert Sim(nengo.Network(seed=4)).seed == 5
    assert Sim(nengo.Network(seed=4), seed=9).seed == 9
    np.random.seed(0)
    with nengo.Simulator(nengo.Network(), progress_bar=False) as ref:
        due = ref.seed
    np.random.seed(0)
    assert Sim(nengo.Network()).seed == due


def test_device(Sim, net):
    """S-05: device strings are TensorFlow's; a missing GPU is no error."""
    for device in (None, "/cpu:0", "/gpu:0"):
        with warnings.catch_warnings():  # on a machine that has none
            warnings.filterwarnings("ignore", "device '/gpu:0': the model runs on the CPU")
            sim = Sim(net, device=device)
        sim.run_steps(2)
        assert sim.predict(n_steps=2)[net.p].shape == (1, 2, 1)
    with pytest.raises(ValueError, match="gpx"):
        Sim(net, device="/gpx:0")


STRATEGIES = {
    "OneDeviceStrategy": lambda: tf.distribute.OneDeviceStrategy("/cpu:0"),
    "MirroredStrategy": lambda: tf.distribute.MirroredStrategy(["/cpu:0"]),
}


@pytest.mark.parametrize("kind", STRATEGIES)
def test_strategies_are_refused(Sim, net, kind):
    """When a simulator is made and when Keras is called; outside of them it goes on."""
    message = rf"no strategy of tf.distribute, got the scope\(\) of {kind}: "
    sim = Sim(net, minibatch_size=2)
    sim.compile(optimizer="sgd", loss="mse")
    y = {net.p: np.ones((2, 3, 1))}
    calls = [
        lambda: Sim(net),
        lambda: sim.fit(n_steps=3, y=y, verbose=0),
        lambda: sim.evaluate(n_steps=3, y=y, verbose=0),
        lambda: sim.keras_model.predict({"n_steps": np.full((2, 1), 3)}, verbose=0),
    ]
    for call in calls:
        with pytest.raises(RuntimeError, match=message), STRATEGIES[kind]().scope():
            call()
    for call in calls[:3]:
        call()


def test_optimize(Sim, net):
    """S-09: an argument of Nengo's that changes nothing."""
    sims = [Sim(net, optimize=optimize) for optimize in (True, False)]
    assert str(sims[0].plan) == str(sims[1].plan)


def test_no_copies(Sim, net):
    """S-18: neither pickled nor copied."""
    sim = Sim(net)
    for attempt in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(NotImplementedError, match="pickled or copied"):
            attempt(sim)


def test_close(Sim, net):
    """S-63: what is refused and what goes on after close."""
    sim = Sim(net)
    sim.run_steps(5)
    built, signals = sim.data[net.ens].bias, sim.signals
    bias = sim.model.sig[net.ens.neurons]["bias"]
    assert np.array_equal(signals[bias], built)
    sim.close()
    sim.close()
    assert sim.closed and (sim.n_steps, sim.time, sim.dt) == (5, 0.005, 0.001)
    assert sim.data[net.p].shape == (5, 1) and len(sim.trange()) == 5
    with pytest.warns(UserWarning, match="closed"):
        assert np.array_equal(sim.data[net.ens].bias, built)
    for use in (
        lambda: sim.keras_model,
        lambda: sim.tensor_graph,
        lambda: sim.seed,
        lambda: sim.signals,
        lambda: signals[bias],
        lambda: list(signals),
        lambda: sim.get_name(net.node),
        lambda: sim.run(1),
        lambda: sim.run_steps(1),
        lambda: sim.step(),
        lambda: sim.predict(n_steps=1),
        lambda: sim.predict_on_batch(n_steps=1),
        lambda: sim.reset(),
        lambda: sim.__enter__(),
    ):
        with pytest.raises(SimulatorClosed, match="simulator is closed"):
            use()


def test_close_inside_with(net):
    """S-63 [B]: closing inside the block is no error."""
    with nengo_dl.Simulator(net, progress_bar=False) as sim:
        sim.close()
    assert sim.closed


def test_context():
    """S-64: precision of layers inside the block and in calls, restored also after an error."""
    with nengo.Network() as net:
        nengo_dl.configure_settings(dtype="float64")
        nengo.Probe(nengo.Ensemble(5, 1))
    before = keras.config.floatx(), keras.config.dtype_policy().name
    with pytest.raises(ZeroDivisionError), nengo_dl.Simulator(net, progress_bar=False) as sim:
        assert keras.config.dtype_policy().name == keras.layers.Dense(1).dtype == "float64"
        assert keras.config.floatx() == before[0]  # it would be that of all threads
        raise ZeroDivisionError
    assert (keras.config.floatx(), keras.config.dtype_policy().name) == before and sim.closed
    with pytest.raises(TypeError):
        nengo_dl.Simulator(net, progress_bar=False).predict(n_steps=1, nonsense=3)
    assert (keras.config.floatx(), keras.config.dtype_policy().name) == before


def test_deleted_while_open(net):
    """S-65: a warning of both classes, Nengo's and NengoDL's."""
    for category in (RuntimeWarning, ResourceWarning):
        sim = nengo_dl.Simulator(net, progress_bar=False)
        with pytest.warns(category, match="Simulator.*deallocated while open"):
            del sim
            gc.collect()


def test_deleted_while_tensorflow_is_busy(net):
    """Python may collect its garbage while a function is traced, which then sees none of it."""
    with net:
        node = nengo_dl.TensorNode(tf.square, shape_in=(1,), pass_time=False)
        nengo.Connection(net.ens, node)
    made = [nengo_dl.Simulator(net, progress_bar=False)]
    assert made[0]._runtime.layer.direct is None

    @tf.function(autograph=False)
    def function(x):
        with pytest.warns(ResourceWarning, match="deallocated while open"):
            made.clear()
            gc.collect()
        return x + 1

    graph = function.get_concrete_function(tf.constant(1.0)).graph
    assert "ReadVariableOp" not in {op.type for op in graph.get_operations()}


def test_removed(Sim, net):
    """S-62: methods of NengoDL 2."""
    sim = Sim(net)
    for method in (sim.train, sim.loss):
        with pytest.raises(SimulationError, match="removed"):
            method(1, optimizer=2)


def test_weights_and_state(Sim, net):
    """S-56: state is not among the weights of the Keras model."""
    sim = Sim(net)
    sim.run_steps(3)
    sizes = {tuple(w.shape) for w in sim.keras_model.weights}
    state = sim.tensor_graph.saved_state["state"]
    assert tuple(state.shape) not in sizes
    named = [weight for weight in sim.plan.weights if weight is not None]
    assert [w.name for w in sim.keras_model.weights] == [weight.name for weight in named]
    # no decoder of the Probe
    assert len(named) == 2 and len(sim.plan.only_program().params) == 3


@pytest.mark.parametrize("method", ["run_steps", "predict", "predict_on_batch"])
def test_stateful(Sim, net, method):
    """S-57: where a call starts and whether it leaves a trace."""
    due = Sim(net)
    due.run_steps(30)
    sim = Sim(net)

    def run(steps, stateful):
        if method != "run_steps":
            return getattr(sim, method)(n_steps=steps, stateful=stateful)[net.p][0]
        before = len(sim.data[net.p])
        sim.run_steps(steps, stateful=stateful)
        return sim.data[net.p][before:]

    rows = due.data[net.p]
    assert np.allclose(run(10, False), rows[:10], atol=1e-6) and sim.n_steps == 0
    assert np.allclose(run(10, True), rows[:10], atol=1e-6) and sim.n_steps == 10
    assert np.allclose(run(10, False), rows[10:20], atol=1e-6) and sim.n_steps == 10
    assert np.allclose(run(20, True), rows[10:30], atol=1e-6) and sim.n_steps == 30


def test_minibatches_of_predict(Sim):
    """S-57: each minibatch starts from the same state, or goes on; functions of time too."""
    with nengo.Network() as net:
        data = nengo.Node([0.0])
        clock = nengo.Node(lambda t: t)
        held = nengo.Node(size_in=1)
        nengo.Connection(data, held, synapse=nengo.Lowpass(0.1))
        p, q = nengo.Probe(held), nengo.Probe(clock)
    sim = Sim(net, minibatch_size=2)
    x = np.ones((4, 5, 1))
    apart = sim.predict(x_of(data, x))
    assert np.array_equal(apart[p][:2], apart[p][2:]) and np.array_equal(apart[q][:2], apart[q][2:])
    assert sim.n_steps == 0
    on = sim.predict(x_of(data, x), stateful=True)
    assert np.array_equal(on[p][:2], apart[p][:2]) and np.all(on[p][2:] > on[p][:2, -1:])
    assert np.allclose(on[q][2, :, 0], np.arange(6, 11) * 0.001) and sim.n_steps == 10


def x_of(node, values):
    return {node: values}


def test_stateful_setting(Sim, net):
    """C-09, S-59: with stateful=False nothing is ever kept."""
    with net:
        nengo_dl.configure_settings(stateful=False)
    sim = Sim(net)
    assert not sim.stateful
    sim.run_steps(5)
    with pytest.warns(UserWarning, match="Ignoring stateful=True"):
        sim.predict(n_steps=5, stateful=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        sim.predict_on_batch(n_steps=5, stateful=True)
        sim.run_steps(5, stateful=True)
    assert sim.n_steps == 0 and np.array_equal(sim.data[net.p][:5], sim.data[net.p][5:])


def test_reset(Sim, net):
    """S-61: the same numbers again, with or without probed values."""
    with net:
        noise = nengo.Node(nengo.processes.WhiteNoise(), size_out=1)
        q = nengo.Probe(noise)
    sim = Sim(net)
    sim.run_steps(10)
    first = [sim.data[p].copy() for p in (net.p, q)]
    sim.reset(include_probes=False)
    assert sim.n_steps == 0 and len(sim.data[net.p]) == 10
    sim.run_steps(10)
    assert all(np.array_equal(sim.data[p][10:], f) for p, f in zip((net.p, q), first, strict=True))
    sim.reset(seed=1)
    assert sim.seed == 1 and sim.data[q] == []
    sim.run_steps(10)
    assert np.array_equal(sim.data[net.p], first[0]) and not np.any(sim.data[q] == first[1])


def test_soft_reset(Sim, net):
    """S-62: deprecated, keeps probes and parameters by default."""
    sim = Sim(net)
    sim.run_steps(10)
    with pytest.warns(DeprecationWarning, match="soft_reset"):
        sim.soft_reset()
    assert sim.n_steps == 0 and len(sim.data[net.p]) == 10


def test_predict_warnings(Sim, net):
    """S-35, S-45, X-09: arguments that are ignored, and a run too short for synapses."""
    sim = Sim(net)
    with pytest.warns(UserWarning, match="Batch size is determined statically"):
        sim.predict(n_steps=2, batch_size=4)
    with pytest.warns(UserWarning, match="workers"):
        sim.predict(n_steps=2, workers=4)
    for call in (
        lambda: sim.predict(n_steps=1),
        lambda: sim.predict_on_batch(n_steps=1),
        lambda: sim.run_steps(1, stateful=False),
    ):
        with pytest.warns(UserWarning, match="Running for one timestep"):
            call()
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        sim.step()
        sim.predict(n_steps=1, stateful=True)


def test_predict_nothing(Sim, net):
    """S-52, S-33: no steps give empty arrays; sim.data is not touched; probes are the keys."""
    sim = Sim(net, minibatch_size=3)
    found = sim.predict(n_steps=0)
    assert list(found) == sim.model.probes and found[net.p].shape == (3, 0, 1)
    assert sim.data[net.p] == []


@pytest.mark.parametrize("seed", ["a", 1.5, True, -1, 2**32])
def test_what_is_no_seed(Sim, net, seed):
    """Told when a simulator is made and when it is reset, which leaves it as it is."""
    with pytest.raises(
        ValidationError, match=r"seed: must be an integer from 0 to 2\*\*32 - 1, got"
    ):
        Sim(net, seed=seed)
    sim = Sim(net, seed=np.int64(7))
    sim.run_steps(2)
    with pytest.raises(ValidationError, match="seed: must be an integer"):
        sim.reset(seed=seed)
    assert sim.n_steps == 2 and sim.seed == 7
