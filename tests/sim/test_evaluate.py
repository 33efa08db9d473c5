"""What evaluate takes and returns (SPEC S-35, S-38, S-39, S-41 to S-45, S-57)."""

import keras
import nengo
import numpy as np
import pytest
import tensorflow as tf
from nengo.exceptions import SimulationError, SimulatorClosed, ValidationError
from training_nets import leaky, linear, rows, snapshot, unchanged

import nengo_dl

X = rows(4)
PRED = X.sum(-1, keepdims=True) * 0.5
Y, Z = rows(4, 3, 1, 1), rows(4, 3, 1, 2)
ERROR = (PRED - Y) ** 2


@pytest.fixture
def sim(Sim):
    net = linear()
    sim = Sim(net, minibatch_size=2)
    sim.net = net
    sim.compile(loss="mse")
    return sim


def test_targets(sim):
    """S-38: targets that are missing count as 0, those without a loss don't matter."""
    net = sim.net
    both = sim.evaluate(X, {net.py: Y, "pz": Z}, verbose=0)
    assert list(both) == ["loss", "py_loss", "pz_loss"] and type(both["loss"]) is float
    assert both["py_loss"] == pytest.approx(np.mean(ERROR))
    assert sim.evaluate(X, [Y, Z], verbose=0) == both
    assert sim.evaluate([tf.constant(X)], [tf.constant(Y), Z], verbose=0) == both
    for y in ({net.py: Y}, [Y, None]):
        found = sim.evaluate({net.x: X}, y, verbose=0)
        assert found == {"loss": both["py_loss"], "py_loss": both["py_loss"], "pz_loss": 0}
    with pytest.warns(UserWarning, match="Number of elements in the targets"):
        assert sim.evaluate(X, Y, verbose=0) == found
    assert sim.evaluate(X, verbose=0) == {"loss": 0, "py_loss": 0, "pz_loss": 0}
    sim.compile(loss={net.py: "mse"})
    due = {"loss": both["py_loss"], "py_loss": both["py_loss"]}
    assert sim.evaluate(X, {net.py: Y, net.pz: Z}, verbose=0) == due


@pytest.mark.parametrize("return_dict", [True, False])
def test_return_dict(sim, return_dict):
    """S-39 [B]: always a dictionary."""
    found = sim.evaluate(X, {"py": Y}, verbose=0, return_dict=return_dict)
    assert found["loss"] == pytest.approx(np.mean(ERROR))


def test_opaque(sim):
    """S-31, S-41: generators, datasets and PyDatasets give everything by name."""
    n = np.full((4, 1), 3, np.int32)
    due = sim.evaluate(X, {"py": Y, "pz": Z}, verbose=0)

    def parts():
        for i in (0, 2):
            part = slice(i, i + 2)
            yield {"x": X[part], "n_steps": n[part]}, {"py": Y[part], "pz": Z[part]}

    class Parts(keras.utils.PyDataset):
        def __len__(self):
            return 2

        def __getitem__(self, i):
            return list(parts())[i]

    dataset = tf.data.Dataset.from_tensor_slices(({"x": X, "n_steps": n}, {"py": Y, "pz": Z}))
    in_order = tf.data.Dataset.from_tensor_slices(((X, n), (Y, Z)))
    for x in (parts(), Parts(), dataset.batch(2), in_order.batch(2)):
        assert sim.evaluate(x, verbose=0) == pytest.approx(due)
    assert sim.evaluate(dataset.batch(2).repeat(), steps=2, verbose=0) == pytest.approx(due)
    with pytest.raises(SimulationError, match="n_steps"):
        sim.evaluate(dataset.batch(2), n_steps=3)
    with pytest.raises(ValueError, match="`y`"):
        sim.evaluate(dataset.batch(2), y={"py": Y})
    wrong = tf.data.Dataset.from_tensor_slices(({"x": X, "n_steps": n}, {"x": Y}))
    with pytest.raises(ValueError, match="'x' is no name of a Probe; there are py, pz"):
        sim.evaluate(wrong.batch(2), verbose=0)


def test_sample_weight(sim):
    """S-42, X-23: weights of items or steps, for all probes or each."""
    w, steps = np.array([1.0, 0, 2, 0.5]), rows(4, 3, 1, 5)[..., 0]
    both = {"py": Y, "pz": Z}
    due = np.mean(w[:, None, None] * ERROR)
    for weight in (w, {sim.net.py: w}, {"py": w}, list(w), [w, None], w[:, None]):
        found = sim.evaluate(X, {"py": Y}, sample_weight=weight, verbose=0)
        assert found["loss"] == pytest.approx(due)
    other = sim.evaluate(X, {"pz": Z}, verbose=0)["loss"]
    found = sim.evaluate(X, both, sample_weight={"py": w}, verbose=0)
    assert found["loss"] == pytest.approx(due + other)
    found = sim.evaluate(X, {"py": Y}, sample_weight=steps, verbose=0)
    assert found["loss"] == pytest.approx(np.mean(steps[..., None] * ERROR))
    for loss in (lambda y, p: (y - p) ** 2, lambda y, p: tf.reduce_mean((y - p) ** 2, (1, 2))):
        sim.compile(loss={"py": loss})
        assert sim.evaluate(X, both, sample_weight=w, verbose=0)["loss"] == pytest.approx(due)
    for wrong in (np.ones(3), np.ones((2, 3)), np.array(["a"] * 4), {"nothing": w}):
        with pytest.raises(ValidationError):
            sim.evaluate(X, {"py": Y}, sample_weight=wrong, verbose=0)


def test_weighted_metrics(sim):
    """Metrics take weights into account only if they are weighted ones."""
    w = np.array([1.0, 0, 2, 0.5])
    sim.compile(loss={"py": "mse"}, metrics={"py": "mse"}, weighted_metrics=["mae"])
    found = sim.evaluate(X, {"py": Y}, sample_weight=w, verbose=0)
    assert list(found) == ["loss", "py_loss", "py_mse", "py_mae", "pz_mae"]
    assert found["py_mse"] == pytest.approx(np.mean(ERROR))
    due = np.sum(w[:, None, None] * np.abs(PRED - Y)) / 3 / w.sum()
    assert found["py_mae"] == pytest.approx(due) and found["pz_mae"] == 0


def test_number_of_steps(Sim):
    """S-30: without data the number of steps is needed; targets may have more items."""
    net = linear()
    sim = Sim(net, minibatch_size=2)
    sim.compile(loss={net.py: "mse"})
    with pytest.raises(ValidationError, match="Must specify either input data or n_steps"):
        sim.evaluate(y={net.py: Y})
    found = sim.evaluate(y={net.py: Y}, n_steps=3, verbose=0)
    assert found["loss"] == pytest.approx(np.mean(Y**2))
    with pytest.raises(ValidationError, match="does not match expected size"):
        sim.evaluate(X, {net.py: Y}, n_steps=4)


def test_ignored_arguments(sim):
    """S-35, X-09."""
    with pytest.warns(UserWarning, match="Batch size is determined statically"):
        sim.evaluate(X, {"py": Y}, batch_size=3, verbose=0)
    with pytest.warns(UserWarning, match="workers"):
        sim.evaluate(X, {"py": Y}, workers=3, verbose=0)
    with pytest.raises(TypeError, match="nonsense"):
        sim.evaluate(X, {"py": Y}, nonsense=3, verbose=0)


def test_not_compiled(Sim):
    """S-44, X-22."""
    sim = Sim(linear(), minibatch_size=2)
    for method in (sim.evaluate, sim.fit):
        for x in (X, iter([])):
            with pytest.raises(ValueError, match=r"You must call `compile\(\)`"):
                method(x, {"py": Y})
    sim.compile()
    with pytest.raises(ValueError, match="No loss to compute"):
        sim.evaluate(X, {"py": Y}, verbose=0)
    sim.close()
    with pytest.raises(SimulatorClosed):
        sim.evaluate(X, {"py": Y})


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (X, {"nothing": Y}, "'nothing' is not a valid probe name"),
        (X, {"x": Y}, "'x' is not a valid probe name.*py, pz"),
        ({"py": X}, {"py": Y}, "not a valid input name"),
        (X, {"py": Y[..., 0]}, "rank 2"),
        (X[0], {"py": Y}, "rank 2"),
        (X[:0], {"py": Y[:0]}, "is less than"),
        (X, {"py": Y[:2]}, r"'py' \(2\) does not match expected size \(4\)"),
        (X, {"py": Y, "pz": Z[:2]}, r"'pz' \(2\) does not match expected size \(4\)"),
        (X, {"py": Y[:, :2]}, r"'py' don't fit its loss mean_squared_error.*\(2, 2, 1\)"),
        (X, {"py": np.ones((4, 3, 2))}, r"'py' don't fit its loss.*\(2, 3, 2\)"),
        (X[..., :1], {"py": Y}, "Last axis"),
        (X, {"py": Y * 1j}, "complex"),
        (X, {"py": np.full((4, 3, 1), "a")}, "expected real numbers"),
        (X, {"py": [[1], [2, 3]]}, "is no array"),
    ],
)
@pytest.mark.parametrize("method", ["evaluate", "fit", "validation"])
def test_bad_data_changes_nothing(shared, x, y, message, method):
    """What is wrong with data is found before anything runs."""
    sim = shared
    before = snapshot(sim)
    with pytest.raises(ValidationError, match=message):
        if method == "validation":
            sim.fit(X, {"py": Y}, validation_data=(x, y), verbose=0)
        else:
            getattr(sim, method)(x, y, verbose=0)
    assert unchanged(before, snapshot(sim))


@pytest.mark.parametrize(
    ("x", "y", "n_steps", "message"),
    [
        (X[..., :1], {"py": Y}, None, "Last axis"),
        (X, {"py": Y[:2]}, None, "does not match expected size"),
        (X, {"nothing": Y}, None, "not a valid probe name"),
        (None, {"py": Y}, None, "Must specify either input data or n_steps"),
        (iter([]), None, 3, "n_steps can't be given together"),
    ],
)
def test_wrong_data_is_said_before_compile(Sim, x, y, n_steps, message):
    """S-44: what is wrong with the data is said first, as is that a network is not trained."""
    sim = Sim(linear(), minibatch_size=2)
    for method in (sim.evaluate, sim.fit):
        with pytest.raises((ValidationError, SimulationError), match=message):
            method(x, y, n_steps=n_steps)


@pytest.fixture(scope="module")
def shared():
    with nengo_dl.Simulator(linear(), minibatch_size=2, progress_bar=False) as sim:
        sim.compile("adam", loss="mse")
        yield sim


def test_items_that_fill_no_minibatch(sim):
    """They count as all others do, with their weights."""
    error = (sim.predict(X[:3])["py"] - Y[:3]) ** 2
    found = sim.evaluate(X[:3], {"py": Y[:3]}, sample_weight=np.arange(3), verbose=0)
    np.testing.assert_allclose(found["py_loss"], np.mean(np.arange(3)[:, None, None] * error))


def test_nan_targets(sim):
    """A target that is no number makes the loss none, and changes nothing else."""
    before = snapshot(sim)
    with_nan = np.where(np.arange(4)[:, None, None] == 1, np.nan, Y)
    assert np.isnan(sim.evaluate(X, {"py": with_nan}, verbose=0)["loss"])
    assert unchanged(before, snapshot(sim))


def test_state(Sim):
    """S-57: each minibatch starts from the same state, unless stateful."""
    net = leaky()
    sim = Sim(net)
    sim.compile(loss="mse")
    zeros = np.zeros((2, 5, 1))
    due = sim.predict(n_steps=10)[net.py][0]
    apart = sim.evaluate(y=zeros, n_steps=5, verbose=0)["loss"]
    assert apart == pytest.approx(np.mean(due[:5] ** 2)) and sim.n_steps == 0
    on = sim.evaluate(y=zeros, n_steps=5, stateful=True, verbose=0)["loss"]
    assert on == pytest.approx(np.mean(due**2)) and sim.n_steps == 10
    with net:
        nengo_dl.configure_settings(stateful=False)
        nengo.Probe(net.x)
    sim = Sim(net)
    sim.compile(loss={net.py: "mse"})
    with pytest.warns(UserWarning, match="Ignoring stateful=True"):
        sim.evaluate(y=[zeros, None], n_steps=5, stateful=True, verbose=0)
    assert sim.n_steps == 0


def test_one_step(Sim):
    """S-45: only probes with a loss count, and models without network too."""
    net = linear()
    with net:
        filtered = nengo.Probe(net.y, synapse=0.1)
    sim = Sim(net)
    sim.compile(loss={net.py: "mse"})
    sim.evaluate(n_steps=1, y={net.py: np.zeros((1, 1, 1))}, verbose=0)
    sim.compile(loss={filtered: "mse"})
    with pytest.warns(UserWarning, match="Running for one timestep"):
        sim.evaluate(n_steps=1, y={filtered: np.zeros((1, 1, 1))}, verbose=0)


def test_nodes_without_data(Sim):
    """Functions of time go on if the state does; processes always go on."""
    with nengo.Network(seed=0) as net:
        clock = nengo.Node(lambda t: t)
        noise = nengo.Node(nengo.processes.WhiteNoise(seed=1), size_out=1)
        given = nengo.Node([0.0], label="given")
        p, q, r = nengo.Probe(clock), nengo.Probe(noise), nengo.Probe(given)
    sim = Sim(net)
    seen = {p: [], q: [], r: []}

    def keep(probe):
        def loss(y_true, y_pred):
            seen[probe].append(y_pred.numpy().ravel().copy())
            return tf.reduce_mean(y_pred)

        return loss

    sim.compile(loss={probe: keep(probe) for probe in seen}, run_eagerly=True)
    x = np.arange(12.0).reshape(4, 3, 1)
    y = dict.fromkeys(seen, np.zeros((4, 3, 1)))
    due = nengo.Simulator(net, progress_bar=False, seed=sim.seed)
    due.run_steps(24)
    sim.evaluate({given: x}, y, verbose=0)
    sim.evaluate({given: x}, y, stateful=True, verbose=0)
    assert np.allclose(np.ravel(seen[r]), np.tile(x.ravel(), 2))
    first = np.tile(np.arange(1, 4), 4)
    assert np.allclose(np.ravel(seen[p]), np.append(first, np.arange(1, 13)) * 0.001)
    assert np.allclose(np.ravel(seen[q]), due.data[q].ravel(), atol=1e-6)


def test_errors_of_python_functions(Sim):
    """The exception is the one that `run` raises; the simulator can be used again."""
    with nengo.Network() as net:
        x = nengo.Node([0.0])
        checked = nengo.Node(lambda t, x: 1 / 0 if x > 1 else x, size_in=1)
        nengo.Connection(x, checked, synapse=None)
        p = nengo.Probe(checked)
    sim = Sim(net)
    sim.compile(loss="mse")
    values = np.zeros((3, 2, 1))
    values[1] = 2
    with pytest.raises(SimulationError) as e:
        sim.evaluate(values, {p: values}, verbose=0)
    assert isinstance(e.value.__cause__, ZeroDivisionError)
    assert sim.evaluate(values[:1], {p: values[:1]}, verbose=0)["loss"] == 0
