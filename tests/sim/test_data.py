"""What ``sim.data`` gives (SPEC S-73 to S-77)."""

import nengo
import numpy as np
import pytest
import scipy.sparse
from nengo.exceptions import ReadonlyError, ValidationError

from nengo_dl.config import configure_settings
from nengo_dl.simulator.history import History


def test_mapping(Sim):
    """S-73: over all built objects; unknown keys are refused."""
    with nengo.Network() as net:
        ens = nengo.Ensemble(5, 1)
        conn = nengo.Connection(ens, ens)
        p = nengo.Probe(ens)
        node = nengo.Node([1])
    sim = Sim(net)
    assert {net, ens, ens.neurons, conn, p, node} - {ens.neurons} <= set(sim.data)
    assert len(sim.data) == len(list(sim.data)) and p in sim.data and 3 not in sim.data
    assert sim.data[node] is None
    with pytest.raises(ValidationError, match="not in this simulator"):
        sim.data["x"]
    other = nengo.Ensemble(3, 1, add_to_container=False)
    with pytest.raises(ValidationError):
        sim.data[other]


def test_probe(Sim):
    """S-74: empty before a run, then a read-only array over all runs."""
    with nengo.Network() as net:
        p = nengo.Probe(nengo.Node(lambda t: t))
    sim = Sim(net)
    assert sim.data[p] == []
    sim.run_steps(3)
    first = sim.data[p]
    sim.run_steps(2)
    second = sim.data[p]
    sim.run_steps(2)
    assert first.shape == (3, 1) and second.shape == (5, 1)
    assert np.array_equal(second, sim.data[p][:5]) and sim.data[p].shape == (7, 1)
    with pytest.raises(ValueError, match="read-only"):
        second[0] = 1
    sim.clear_probes()
    assert sim.data[p] == [] and np.allclose(second[:, 0], np.arange(1, 6) * 0.001)


def test_history():
    """Pieces are joined when looked at, and what was seen never changes."""
    history, seen, due = History(), [], np.zeros((2, 0, 3))
    rng = np.random.default_rng(0)
    for steps in (0, 1, 4, 0, 2, 30, 1, 1):
        piece = rng.normal(size=(2, steps, 3))
        due = np.concatenate([due, piece], axis=1)
        history.append(piece)
        assert len(history) == due.shape[1]
        if steps != 4 and due.shape[1]:
            assert np.array_equal(history.array(), due)
            seen.append((history.array(), due))
    assert all(np.array_equal(came, then) for came, then in seen)
    history.clear()
    assert len(history) == 0 and history.array() is None


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_built_objects(Sim, dtype):
    """S-75, S-76: without learning the values are those of Nengo's build."""
    import nengo_dl

    with nengo.Network(seed=1) as net:
        nengo_dl.configure_settings(dtype=dtype)
        a = nengo.Ensemble(20, 2, radius=1.5)
        direct = nengo.Ensemble(1, 2, neuron_type=nengo.Direct())
        nengo.Connection(a, a, function=lambda x: x * 2)
        nengo.Connection(a, direct, transform=0.5)
        nengo.Connection(a.neurons, a.neurons, transform=3.0)
        nengo.Connection(a, direct)
    sim = Sim(net)
    sim.run_steps(3)
    for obj in (a, direct, *net.connections):
        built, due = sim.data[obj], sim.model.params[obj]
        for field in due._fields:
            came, value = getattr(built, field), getattr(due, field)
            if isinstance(value, np.ndarray):
                assert np.array_equal(came, value) and came.shape == value.shape
    assert sim.data[net.connections[2]].weights.shape == ()
    assert sim.data[direct].gain is None and sim.data[direct].bias is None


@pytest.mark.parametrize("size", [None, 2])
def test_learned_weights(Sim, double_net, size):
    """S-76: learned weights are live, and batched where there is a minibatch size."""
    net = double_net()
    with net:
        a, b = nengo.Ensemble(20, 1), nengo.Ensemble(20, 1)
        conn = nengo.Connection(a, b, learning_rule_type=nengo.PES(1e-3))
        nengo.Connection(b, conn.learning_rule)
        nengo.Connection(nengo.Node([1]), conn.learning_rule)
        p = nengo.Probe(conn, "weights")
    sim = Sim(net, minibatch_size=size)
    before = sim.data[conn].weights.copy()
    assert before.shape == ((1, 20) if size is None else (2, 1, 20))
    assert np.array_equal(before if size is None else before[0], sim.model.params[conn].weights)
    sim.run_steps(50)
    after = sim.data[conn].weights
    assert not np.allclose(before, after)
    assert np.array_equal(after, sim.data[p][-1] if size is None else sim.data[p][:, -1])
    with pytest.raises(ValueError, match="read-only"):
        after[...] = 0
    # S-60: kept without reset(include_trainable=True)
    sim.reset(include_trainable=False)
    assert np.array_equal(sim.data[conn].weights, after)
    sim.reset()
    assert np.array_equal(sim.data[conn].weights, before)


def test_learned_encoders(Sim, double_net):
    """S-75: encoders and gains follow Voja."""
    net = double_net()
    with net:
        a, b = nengo.Ensemble(20, 2), nengo.Ensemble(20, 2, radius=2)
        nengo.Connection(nengo.Node([0.9, 0.1]), a)
        nengo.Connection(a, b, learning_rule_type=nengo.Voja(learning_rate=1e-1))
        p = nengo.Probe(net.connections[-1].learning_rule, "scaled_encoders")
    sim = Sim(net)
    built = sim.data[b]
    assert np.array_equal(built.scaled_encoders, sim.model.params[b].scaled_encoders)
    sim.run_steps(60)
    live = sim.data[b]
    assert np.array_equal(live.scaled_encoders, sim.data[p][-1])
    assert not np.allclose(live.scaled_encoders, built.scaled_encoders)
    assert np.allclose(live.encoders * (live.gain / 2)[:, None], live.scaled_encoders)
    assert np.allclose(np.linalg.norm(live.encoders, axis=1), 1)
    max_rates, _ = b.neuron_type.max_rates_intercepts(live.gain, live.bias)
    assert np.allclose(live.max_rates, max_rates)


def test_sparse(Sim):
    """Sparse weights are Nengo's sparse matrix, as in `nengo.Simulator`."""
    with nengo.Network() as net:
        a = nengo.Ensemble(4, 1)
        transform = nengo.Sparse((4, 4), indices=[(3, 0), (0, 2), (0, 1)], init=[1, 2, 3])
        conn = nengo.Connection(a.neurons, a.neurons, transform=transform)
    sim = Sim(net)
    due = np.zeros((4, 4))
    due[[3, 0, 0], [0, 2, 1]] = [1, 2, 3]
    assert np.array_equal(sim.data[conn].weights.toarray(), due)


def test_sparse_matrices_are_sorted_rarely(Sim, monkeypatch):
    """A build takes long for large ones otherwise; entries given twice are one."""
    matrix = scipy.sparse.coo_matrix(([1.0, 2.0, 3.0], ([0, 2, 0], [1, 0, 1])), shape=(3, 3))
    sorts, real = [], type(matrix).tocsr
    monkeypatch.setattr(type(matrix), "tocsr", lambda *args: sorts.append(1) or real(*args))
    with nengo.Network() as net:
        a, b = nengo.Node([1.0, 10.0, 100.0]), nengo.Node(size_in=3)
        nengo.Connection(a, b, transform=nengo.Sparse((3, 3), init=matrix), synapse=None)
        p = nengo.Probe(b)
    sim = Sim(net)
    sim.run_steps(1)
    assert np.array_equal(sim.data[p], [[40, 0, 2]])
    assert 1 <= len(sorts) <= 4


def test_get_params(Sim):
    """S-77: several attributes at once."""
    with nengo.Network() as net:
        ens = nengo.Ensemble(5, 1)
        conn = nengo.Connection(ens, ens)
    sim = Sim(net)
    weights, bias = sim.data.get_params((conn, "weights"), (ens, "bias"))
    assert np.array_equal(weights, sim.data[conn].weights)
    assert np.array_equal(bias, sim.data[ens].bias)


@pytest.mark.parametrize("minibatch_size", [None, 2])
def test_what_was_optimised_away(Sim, minibatch_size):
    """S-77: parameters that no op of the program uses are there all the same."""
    with nengo.Network(seed=0) as net:
        configure_settings(trainable=None)
        unseen, silent = nengo.Ensemble(20, 2), nengo.Ensemble(20, 2)
        out = nengo.Node(size_in=2)
        into = nengo.Connection(nengo.Node([1, 0]), unseen)
        identity = nengo.Connection(nengo.Node([1, 2]), out, transform=np.eye(2), synapse=None)
        zero = nengo.Connection(nengo.Node([1, 2]), out, transform=np.zeros((2, 2)))
        nengo.Probe(silent.neurons)  # needs its bias, but no encoders
        nengo.Probe(out)
    net.config[identity].trainable = net.config[zero].trainable = False
    sim = Sim(net, minibatch_size=minibatch_size)
    sig = sim.model.sig
    gone = [sig[unseen]["encoders"], sig[unseen.neurons]["bias"], sig[silent]["encoders"],
            sig[identity]["weights"], sig[zero]["weights"]]  # fmt: skip
    assert None not in [sim.plan.place(signal) for signal in gone]
    assert sim.plan.place(sig[silent.neurons]["bias"]).kind == "param"
    sim.run_steps(3)
    for ens in (unseen, silent):
        built, found = sim.model.params[ens], sim.data[ens]
        for attribute in ("scaled_encoders", "encoders", "bias", "gain", "max_rates", "intercepts"):
            assert np.array_equal(getattr(found, attribute), getattr(built, attribute)), attribute
    for conn in (into, identity, zero):
        weights = sim.model.params[conn].weights
        found = sim.data[conn].weights
        assert found is None if weights is None else np.array_equal(found, weights)


def test_signals(Sim):
    """Signals that live between steps can be read, as from `nengo.Simulator`."""
    with nengo.Network(seed=0) as net:
        ens = nengo.Ensemble(5, 1, intercepts=nengo.dists.Choice([-0.5]))  # all fire
        nengo.Probe(ens.neurons)
    sim = Sim(net)
    sim.run_steps(10)
    voltage = sim.signals[sim.model.sig[ens.neurons]["voltage"]]
    assert voltage.shape == (5,) and voltage.any()
    with pytest.raises(KeyError, match="probe it"):
        sim.signals[sim.model.sig[ens.neurons]["in"]]
    assert sim.model.sig[ens.neurons]["voltage"] in list(sim.signals)
    assert len(sim.step_order) == len(
        [op for op in sim.model.operators if hasattr(op, "make_step")]
    )


def test_signals_stay_read_only(Sim):
    """Nothing is written to an array, which the model would not see."""
    with nengo.Network(seed=0) as net:
        ens = nengo.Ensemble(5, 1)
        node = nengo.Node([1.0])
        nengo.Connection(node, ens)
        nengo.Probe(ens.neurons)
    sim = Sim(net)
    sig = sim.model.sig
    for signal in (sig[ens]["encoders"], sig[ens.neurons]["voltage"], sig[node]["out"]):
        value = sim.signals[signal]
        assert value.shape == signal.shape
        with pytest.raises(ValueError, match="read-only"):
            value[...] = 0
        with pytest.raises(ValueError, match="WRITEABLE"):
            value.setflags(write=True)


def test_signals_are_written_as_in_nengo(Sim, double_net):
    """Parameters, learned ones too, and state that users set before the simulation goes on."""
    net = double_net()
    with net:
        a, b = nengo.Ensemble(30, 2), nengo.Ensemble(30, 1)
        nengo.Connection(nengo.Node([0.5, -0.2]), a)
        fixed = nengo.Connection(a, b, function=lambda x: x[0] * x[1])
        learned = nengo.Connection(a[0], b, learning_rule_type=nengo.PES())
        nengo.Connection(b, learned.learning_rule)
        probes = [nengo.Probe(b), nengo.Probe(a.neurons), nengo.Probe(learned, "weights")]

    def change(sim, number):
        sig = sim.model.sig
        changed = [sig[a]["encoders"], sig[a.neurons]["bias"], sig[fixed]["weights"],
                   sig[learned]["weights"], sig[b.neurons]["voltage"]]  # fmt: skip
        value = np.array(sim.signals[changed[number]])
        value[..., : value.shape[-1] // 2] *= 0.5
        if isinstance(sim, nengo.Simulator):
            sim.signals[changed[number]].setflags(write=True)
        sim.signals[changed[number]] = value

    for number in range(5):
        with nengo.Simulator(net, progress_bar=False, optimize=False) as due:
            sim = Sim(net)
            for simulator in (due, sim):
                simulator.run_steps(20)
                change(simulator, number)
                simulator.run_steps(20)
            for probe in probes:
                np.testing.assert_allclose(sim.data[probe], due.data[probe], atol=1e-9)
            sim.reset()
            sim.run_steps(20)  # as if nothing had been written
            np.testing.assert_allclose(sim.data[probes[1]], due.data[probes[1]][:20], atol=1e-9)


def test_signals_of_a_minibatch_are_written(Sim):
    """State has a row for each item; an item's value and a number go to all of them."""
    with nengo.Network(seed=0) as net:
        ens = nengo.Ensemble(4, 1)
        nengo.Probe(ens.neurons)
    sim = Sim(net, minibatch_size=3)
    voltage = sim.model.sig[ens.neurons]["voltage"]
    rows = np.arange(12).reshape(3, 4)
    for value, due in ((rows, rows), (rows[1], rows[[1, 1, 1]]), (0.5, np.full((3, 4), 0.5))):
        sim.signals[voltage] = value
        assert np.array_equal(sim.signals[voltage], due)
    with pytest.raises(ValidationError, match=r"expected shape \(3, 4\) or \(4,\), got \(3,\)"):
        sim.signals[voltage] = [1, 2, 3]
    with pytest.raises(ValidationError, match="expected numbers, got <U1"):
        sim.signals[voltage] = "x"
    encoders = sim.model.sig[ens]["encoders"]
    with pytest.raises(ValidationError, match=r"expected shape \(4, 1\), got \(3, 4\)"):
        sim.signals[encoders] = rows
    assert np.array_equal(sim.signals[voltage], np.full((3, 4), 0.5))


def test_signals_that_can_not_be_written(Sim):
    """What the plan was made with, and what is computed anew, with what to do instead."""
    with nengo.Network(seed=0) as net:
        node, ens = nengo.Node([1.0]), nengo.Ensemble(4, 1)
        out = nengo.Node(size_in=1)
        nengo.Connection(node, out, synapse=None)
        nengo.Probe(out)
        probe = nengo.Probe(ens, synapse=None)
    sim = Sim(net)
    connection = next(c for c in sim.model.params if getattr(c, "post_obj", None) is probe)
    decoders = sim.model.sig[connection]["weights"]
    for signal in (sim.model.sig[node]["out"], decoders):
        with pytest.raises(ReadonlyError, match="got Signal.*: it is a constant"):
            sim.signals[signal] = sim.signals[signal]
    with pytest.raises(KeyError, match="computed anew in every step.*connect a Node"):
        sim.signals[sim.model.sig[out]["in"]] = [1.0]
