"""Training (SPEC S-32, S-40 to S-50, S-57, X-27 to X-29)."""

import warnings

import keras
import nengo
import numpy as np
import pytest
import tensorflow as tf
from nengo.exceptions import SimulationError, ValidationError
from training_nets import RATE, descent, leaky, linear, rows, snapshot, unchanged, weights

import nengo_dl

X, Y = rows(8), rows(8, 3, 1, 1)


def make(Sim, net=None, size=2, rate=RATE, **compiled):
    net = net or linear()
    sim = Sim(net, minibatch_size=size)
    sim.net = net
    compiled.setdefault("loss", {net.py: "mse"})
    sim.compile(keras.optimizers.SGD(rate), **compiled)
    return sim


def test_gradient_descent(Sim):
    """The numbers are those of gradient descent; history has the losses' names."""
    sim = make(Sim)
    history = sim.fit(X, {sim.net.py: Y}, epochs=3, shuffle=False, verbose=0)
    due, losses = descent(X, Y, 3)
    assert isinstance(history, keras.callbacks.History) and history.epoch == [0, 1, 2]
    assert list(history.history) == ["loss", "py_loss"]
    assert np.allclose(history.history["loss"], losses, rtol=1e-12)
    assert np.allclose(weights(sim, sim.net.w), due, rtol=1e-12)
    assert np.all(weights(sim, sim.net.v) == -0.5)  # S-38: without a loss, not trained
    assert sim.n_steps == 0 and sim.data[sim.net.py] == []


def test_forms_of_data(Sim):
    """S-27 to S-31: all forms of data train alike."""
    n = np.full((8, 1), 3, np.int32)

    def parts():
        for i in range(0, 8, 2):
            part = slice(i, i + 2)
            yield {"x": X[part], "n_steps": n[part]}, {"py": Y[part]}

    class Parts(keras.utils.PyDataset):
        def __len__(self):
            return 4

        def __getitem__(self, i):
            return list(parts())[i]

    dataset = tf.data.Dataset.from_tensor_slices(({"x": X, "n_steps": n}, {"py": Y})).batch(2)
    due, losses = descent(X, Y)
    for x, y in (
        ({"x": X}, {"py": Y}),
        ([tf.constant(X)], [tf.constant(Y), None]),
        (X.astype(np.float32).astype(float), {"py": Y}),
        (parts(), None),
        (Parts(), None),
        (dataset, None),
    ):
        sim = make(Sim)
        history = sim.fit(x, y, shuffle=False, verbose=0)
        assert np.allclose(history.history["loss"], losses, rtol=1e-6)
        assert np.allclose(weights(sim, sim.net.w), due, rtol=1e-6)
    with pytest.raises(ValueError, match="`y`"):  # S-41
        sim.fit(dataset, {"py": Y}, verbose=0)
    with pytest.raises(SimulationError, match="n_steps"):
        sim.fit(dataset, n_steps=3, verbose=0)
    with pytest.raises(ValueError, match="validation_split"):
        sim.fit(dataset, validation_split=0.5, verbose=0)


def test_generated_input(Sim):
    """S-30: without data the number of steps counts, and items of the targets."""
    net = leaky()
    sim = make(Sim, net, size=1)
    before = weights(sim, net.w)
    first = sim.fit(y={net.py: np.ones((4, 5, 1))}, n_steps=5, epochs=5, verbose=0)
    assert first.history["loss"][-1] < first.history["loss"][0]
    assert not np.array_equal(before, weights(sim, net.w))
    with pytest.raises(ValidationError, match="Must specify either input data or n_steps"):
        sim.fit(y={net.py: np.ones((4, 5, 1))})


def test_missing_targets(Sim):
    """S-38, S-44: no target at all is an error, one that is missing is not."""
    sim = make(Sim, loss="mse")
    before = snapshot(sim)
    with pytest.raises(ValueError, match="fit needs targets.*py, pz"):
        sim.fit(X, verbose=0)
    assert unchanged(before, snapshot(sim))
    with pytest.raises(ValueError, match="fit needs targets.*py, pz"):
        sim.fit(X, validation_data=(X, {"py": Y}), verbose=0)
    with pytest.warns(UserWarning, match="no targets for mean_squared_error of 'pz'") as warned:
        history = sim.fit(X, {"py": Y}, shuffle=False, verbose=0).history
    assert warned[0].filename == __file__
    assert list(history) == ["loss", "py_loss", "pz_loss"] and history["pz_loss"] == [0]
    assert np.allclose(weights(sim, sim.net.w), descent(X, Y)[0])


def test_several_losses(Sim):
    """Losses of several probes, weighted, train each its own weights."""
    sim = make(Sim, loss="mse", loss_weights={"pz": 0.5}, metrics={"py": "mae"})
    history = sim.fit(X, {"py": Y, "pz": Y}, shuffle=False, verbose=0).history
    (w, first), (v, second) = descent(X, Y), descent(X, Y, w=-0.5, rate=RATE / 2)
    assert np.allclose(weights(sim, sim.net.w), w) and np.allclose(weights(sim, sim.net.v), v)
    assert list(history) == ["loss", "py_loss", "pz_loss", "py_mae"]
    assert np.allclose(history["loss"], first + second / 2)


def test_weights_of_items(Sim):
    """S-42, S-48: sample_weight, class_weight."""
    w = rows(8, 1, 1, 3)[:, 0, 0] + 1
    due = descent(X, Y, weight=w)[0]
    for weight in (w, {"py": w}):
        sim = make(Sim)
        sim.fit(X, {"py": Y}, sample_weight=weight, shuffle=False, verbose=0)
        assert np.allclose(weights(sim, sim.net.w), due)
    labels = np.repeat(np.arange(8)[:, None, None] % 2, 3, axis=1)
    by_class = np.where(np.arange(8) % 2, 3.0, 1.0)
    for y in (labels, labels.astype(float)):
        sim = make(Sim)
        sim.fit(X, {"py": y}, class_weight={1: 3.0}, shuffle=False, verbose=0)
        assert np.allclose(weights(sim, sim.net.w), descent(X, labels, weight=by_class)[0])
    with pytest.raises(ValueError, match="at the same time"):
        sim.fit(X, {"py": labels}, class_weight={1: 3.0}, sample_weight=w)
    with pytest.raises(ValueError, match="single Probe"):
        sim.fit(X, {"py": labels, "pz": labels}, class_weight={1: 3.0})


def test_validation_data(Sim):
    """S-40: validation data in all forms, in inference mode, without a trace."""
    sim = make(Sim, rate=0.0)
    x, y = rows(4, seed=7), rows(4, 3, 1, 8)
    due = sim.evaluate(x, {"py": y}, verbose=0)
    n = np.full((4, 1), 3, np.int32)
    dataset = tf.data.Dataset.from_tensor_slices(({"x": x, "n_steps": n}, {"py": y})).batch(2)
    w = np.array([1.0, 0, 1, 0])
    for data in ((x, {"py": y}), [x, [y, None]], ({sim.net.x: x}, {sim.net.py: y}), dataset):
        history = sim.fit(X, {"py": Y}, validation_data=data, epochs=2, verbose=0).history
        assert list(history) == ["loss", "py_loss", "val_loss", "val_py_loss"]
        assert history["val_loss"] == pytest.approx([due["loss"]] * 2)
    history = sim.fit(X, {"py": Y}, validation_data=(x, {"py": y}, w), verbose=0).history
    weighted = sim.evaluate(x, {"py": y}, sample_weight=w, verbose=0)["loss"]
    assert history["val_loss"] == pytest.approx([weighted]) and weighted != due["loss"]
    opaque = tf.data.Dataset.from_tensor_slices(
        ({"x": X, "n_steps": np.full((8, 1), 3, np.int32)}, {"py": Y})
    ).batch(2)
    history = sim.fit(
        opaque, validation_data=(x, {"py": y}), epochs=2, validation_freq=2, verbose=0
    ).history
    assert history["val_loss"] == pytest.approx([due["loss"]])
    with pytest.raises(ValidationError, match="validation_data"):
        sim.fit(X, {"py": Y}, validation_data=x, verbose=0)


def test_validation_split(Sim):
    """S-40: the last items are for validation; both parts are whole minibatches."""
    sim = make(Sim)
    history = sim.fit(X, {"py": Y}, validation_split=0.25, shuffle=False, verbose=0).history
    w, losses = descent(X[:6], Y[:6])
    assert np.allclose(history["loss"], losses) and np.allclose(weights(sim, sim.net.w), w)
    assert np.allclose(history["val_loss"], np.mean((X[6:] @ w.T - Y[6:]) ** 2))
    before = snapshot(sim)
    with pytest.raises(ValidationError, match="data for two minibatches of 2 items .* got 2 items"):
        sim.fit(X[:2], {"py": Y[:2]}, validation_split=0.5, verbose=0)
    with pytest.raises(ValidationError, match="validation_split"):
        sim.fit(X, {"py": Y}, validation_split=1.5, verbose=0)
    assert unchanged(before, snapshot(sim))


def test_shuffle(Sim):
    """The order follows the seed; each epoch has every item once and an order of its own."""

    def run(seed, shuffle, epochs=2):
        keras.utils.set_random_seed(seed)
        sim = make(Sim)
        history = sim.fit(X, {"py": Y}, shuffle=shuffle, epochs=epochs, verbose=0)
        return weights(sim, sim.net.w), history.history["loss"]

    first, again, other = run(0, True), run(0, True), run(1, True)
    assert np.array_equal(first[0], again[0]) and first[1] == again[1]
    assert not np.array_equal(first[0], other[0])
    assert not np.allclose(first[0], descent(X, Y, 2)[0])
    assert np.allclose(run(0, "batch")[0], descent(X, Y, 2)[0])
    seen = []

    def loss(y_true, y_pred):
        seen.append(y_true.numpy().ravel().copy())
        return tf.reduce_mean(y_pred)

    sim = make(Sim, loss={"py": loss}, run_eagerly=True)
    y = np.arange(24.0).reshape(8, 3, 1)
    sim.fit(X, {"py": y}, epochs=2, verbose=0)
    epochs = np.reshape(seen, (2, 24))
    assert np.array_equal(np.sort(epochs), np.tile(np.arange(24), (2, 1)))
    assert not np.array_equal(*epochs)


@pytest.mark.parametrize("steps", [None, 1, 3, 100])
@pytest.mark.parametrize("eager", [False, True])
def test_minibatches_per_call(Sim, steps, eager):
    """However many minibatches run in a call, the numbers are the same."""
    sim = make(Sim, steps_per_execution=steps, run_eagerly=eager)
    history = sim.fit(X, {"py": Y}, epochs=2, shuffle=False, verbose=0).history
    due, losses = descent(X, Y, 2)
    assert np.allclose(history["loss"], losses) and np.allclose(weights(sim, sim.net.w), due)
    assert sim.keras_model.steps_per_execution == (steps or 1)


def test_steps_per_epoch(Sim):
    """Epochs may be parts of the data, which begin anew at its end."""
    sim = make(Sim)
    history = sim.fit(X, {"py": Y}, steps_per_epoch=2, epochs=2, shuffle=False, verbose=0)
    due = descent(X, Y)[0]
    assert np.allclose(weights(sim, sim.net.w), due) and len(history.history["loss"]) == 2


def test_traces(Sim):
    """Nothing is traced twice: other epochs, other calls, other numbers of items."""
    sim = make(Sim, loss="mse")
    y = {"py": Y, "pz": Y}
    val = (X[:4], {"py": Y[:4], "pz": Y[:4]})
    for _ in range(2):
        sim.fit(X, y, epochs=2, validation_data=val, verbose=0)
        sim.fit(X[:2], {"py": Y[:2], "pz": Y[:2]}, verbose=0)
        sim.evaluate(X, y, verbose=0)
        assert sim.keras_model.untracked.traces == 2  # of training and of evaluation
    longer = rows(4, 5), {"py": rows(4, 5, 1), "pz": rows(4, 5, 1)}
    sim.evaluate(*longer, verbose=0)
    assert sim.keras_model.untracked.traces == 3


def test_state(Sim):
    """S-57: minibatches start from the same state, or go on; validation too."""
    net = leaky()
    zeros = np.zeros((4, 5, 1))
    validation = (None, {net.py: zeros[:2]})
    sim = make(Sim, net, size=1, rate=0.0)
    rows_due = sim.predict(n_steps=30)[net.py][0]
    arguments = {"y": zeros, "n_steps": 5, "validation_data": validation, "verbose": 0}
    apart = sim.fit(**arguments).history
    assert apart["loss"][0] == pytest.approx(np.mean(rows_due[:5] ** 2)) and sim.n_steps == 0
    assert apart["val_loss"] == pytest.approx(apart["loss"])
    on = sim.fit(stateful=True, **arguments).history
    assert on["loss"][0] == pytest.approx(np.mean(rows_due[:20] ** 2))
    assert on["val_loss"][0] == pytest.approx(np.mean(rows_due[20:] ** 2))
    assert sim.n_steps == 30 and not sim.tensor_graph.stateful
    sim.reset(include_trainable=False)
    assert sim.n_steps == 0


def test_truncated_propagation(Sim):
    """S-50: gradients reach as far back as a call; what was before it is a number."""
    net = leaky()
    y = np.ones((1, 10, 1))
    whole = make(Sim, net, size=1)
    whole.fit(y=y, n_steps=10, verbose=0)
    parts = make(Sim, net, size=1)
    for i in range(2):
        parts.fit(y=y[:, 5 * i : 5 * i + 5], n_steps=5, stateful=True, verbose=0)
    assert parts.n_steps == 10
    assert not np.allclose(weights(whole, net.w), weights(parts, net.w))


def test_training_mode(Sim):
    """S-46: fit trains on rates, evaluate and validation run spikes; voltages stay."""
    with nengo.Network(seed=0) as net:
        x = nengo.Node([0.5])
        ens = nengo.Ensemble(20, 1, neuron_type=nengo.SpikingRectifiedLinear())
        nengo.Connection(x, ens, synapse=None)
        p = nengo.Probe(ens.neurons)
        net.py = p
    sim = make(Sim, net, size=1, rate=0.0)
    built = sim.data[ens]
    # one row of points: an axis of its own keeps neurons apart
    seen = 0.5 * np.array(built.encoders).T
    rates = nengo.RectifiedLinear().rates(seen, built.gain, built.bias)
    zeros = np.zeros((1, 4, 20))
    history = sim.fit(
        y=zeros, n_steps=4, validation_data=(None, zeros), stateful=True, verbose=0
    ).history
    spikes = nengo.Simulator(net, progress_bar=False)
    spikes.run_steps(4)
    assert history["loss"][0] == pytest.approx(np.mean(rates**2), rel=1e-5)
    assert history["val_loss"][0] == pytest.approx(np.mean(spikes.data[p] ** 2), rel=1e-4)


@pytest.mark.parametrize("phase", [True, False])
def test_learning_phase(Sim, phase):
    """S-46, C-11: the setting pins the mode of fit, evaluate and predict."""
    with nengo.Network(seed=0) as net:
        nengo_dl.configure_settings(learning_phase=phase)
        x = nengo.Node([0.5])
        ens = nengo.Ensemble(20, 1, neuron_type=nengo.SpikingRectifiedLinear())
        nengo.Connection(x, ens, synapse=None)
        net.py = nengo.Probe(ens.neurons)
    sim = make(Sim, net, size=1, rate=0.0)
    values = sim.predict(n_steps=4)[net.py]
    assert np.allclose(values[0, 0], values[0, 1:]) == phase
    due = pytest.approx(np.mean(values**2), rel=1e-5)
    zeros = np.zeros((1, 4, 20))
    assert sim.evaluate(y=zeros, n_steps=4, verbose=0)["loss"] == due
    assert sim.fit(y=zeros, n_steps=4, verbose=0).history["loss"] == [due]


def test_inference_only(Sim):
    """S-44: said even before `compile`, which would not help."""
    net = linear(inference_only=True)
    for sim in (Sim(net, minibatch_size=2), make(Sim, net)):
        with pytest.raises(SimulationError, match="inference_only"):
            sim.fit(X, {"py": Y})
    assert sim.evaluate(X, {"py": Y}, verbose=0)["loss"] > 0


def test_warnings(Sim):
    """S-35, S-45, S-59, X-09."""
    net = leaky()
    sim = make(Sim, net, size=1)
    y = np.ones((2, 2, 1))
    for name in ("batch_size", "validation_batch_size"):
        with pytest.warns(UserWarning, match=f"determined statically.*{name} is ignored"):
            sim.fit(y=y, n_steps=2, verbose=0, **{name: 2})
    with pytest.warns(UserWarning, match="workers"):
        sim.fit(y=y, n_steps=2, verbose=0, workers=2, use_multiprocessing=True)
    with pytest.warns(UserWarning, match="Running for one timestep"):
        sim.fit(y=y[:, :1], n_steps=1, verbose=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        sim.fit(y=y[:, :1], n_steps=1, stateful=True, verbose=0)
        sim.fit(y=y, n_steps=2, verbose=0)
    with pytest.raises(TypeError, match="nonsense"):
        sim.fit(y=y, n_steps=2, verbose=0, nonsense=1)
    with net:
        nengo_dl.configure_settings(stateful=False)
    sim = make(Sim, net, size=1)
    with pytest.warns(UserWarning, match="Ignoring stateful=True"):
        sim.fit(y=y, n_steps=2, stateful=True, verbose=0)
    assert sim.n_steps == 0


def test_optimizers_and_schedules(Sim):
    """Optimizers of the user, schedules, clipping; each minibatch counts."""

    class Doubled(keras.optimizers.SGD):
        def update_step(self, gradient, variable, learning_rate):
            super().update_step(2 * gradient, variable, learning_rate)

    net = linear()
    sim = Sim(net, minibatch_size=2)
    sim.compile(Doubled(RATE / 2), loss={net.py: "mse"})
    sim.fit(X, {"py": Y}, shuffle=False, verbose=0)
    assert np.allclose(weights(sim, net.w), descent(X, Y)[0])
    rate = keras.optimizers.schedules.PiecewiseConstantDecay([1], [RATE, 0.0])
    sim = Sim(net, minibatch_size=2)
    sim.compile(keras.optimizers.SGD(rate), loss={net.py: "mse"})
    sim.fit(X, {"py": Y}, shuffle=False, verbose=0)
    assert np.allclose(weights(sim, net.w), descent(X[:4], Y[:4])[0])
    assert int(sim.keras_model.optimizer.iterations) == 4


def test_errors_of_python_functions(Sim):
    """The user's exception; what was trained before it stays, and training can go on."""
    with nengo.Network() as net:
        nengo_dl.configure_settings(dtype="float64")
        net.x = nengo.Node([0.0, 0.0], label="x")
        net.y = nengo.Node(size_in=1)
        net.w = nengo.Connection(net.x, net.y, transform=[[0.5, 0.5]], synapse=None)
        check = nengo.Node(lambda t, x: 1 / 0 if x > 1 else x, size_in=1)
        nengo.Connection(net.x[0], check, synapse=None)
        net.py = nengo.Probe(net.y, label="py")
    sim = make(Sim, net)
    x = X.copy()
    x[4] = 2
    with pytest.raises(SimulationError) as e:
        sim.fit(x, {"py": Y}, shuffle=False, verbose=0)
    assert isinstance(e.value.__cause__, ZeroDivisionError)
    assert np.allclose(weights(sim, net.w), descent(X[:4], Y[:4])[0])
    assert not sim.tensor_graph.stateful
    sim.fit(X[:2], {"py": Y[:2]}, verbose=0)


def test_two_runs_are_equal(Sim):
    """One seed, one result, bit by bit."""

    def run():
        keras.utils.set_random_seed(3)
        with nengo.Network(seed=1) as net:
            x = nengo.Node([0.0], label="x")
            ens = nengo.Ensemble(30, 1, neuron_type=nengo.LIFRate())
            nengo.Connection(x, ens)
            nengo.Connection(ens, ens, synapse=0.01)
            p = nengo.Probe(ens, synapse=0.01)
        sim = Sim(net, minibatch_size=4)
        sim.compile("adam", loss="mse")
        sim.fit(rows(16, 10, 1), {p: rows(16, 10, 1, 1)}, epochs=2, verbose=0)
        return sim.keras_model.get_weights()

    for first, second in zip(run(), run(), strict=True):
        assert np.array_equal(first, second)


def test_the_network_is_not_changed(Sim):
    """Training changes the simulator's parameters, not the model's."""
    sim = make(Sim)
    sim.fit(X, {"py": Y}, verbose=0)
    assert np.all(sim.net.w.transform.init == 0.5)
    sim.reset()
    assert np.all(weights(sim, sim.net.w) == 0.5)


def test_parameters_without_gradient(Sim):
    """A warning names what stands between a parameter and the losses; once per compile."""
    with nengo.Network(seed=0) as net:
        x = nengo.Node([1.0], label="x")
        before = nengo.Node(size_in=1)
        squared = nengo.Node(lambda t, x: x**2, size_in=1, label="squared")
        net.w = nengo.Connection(x, before, transform=[[0.5]], synapse=None)
        net.v = nengo.Connection(before, squared, transform=[[2.0]], synapse=None)
        net.py = nengo.Probe(squared)
        net.other = nengo.Probe(before)
    y = np.ones((1, 2, 1))
    sim = make(Sim, net, size=1)
    with pytest.warns(UserWarning, match="No gradient reaches.*squared"):
        sim.fit(y={net.py: y}, n_steps=2, verbose=0)
    assert np.all(weights(sim, net.w) == 0.5)
    sim.compile(keras.optimizers.SGD(RATE), loss={net.other: "mse"})
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="No gradient")
        sim.fit(y={net.other: y}, n_steps=2, verbose=0)
        sim.fit(y={net.other: y}, n_steps=2, verbose=0)
    assert np.all(weights(sim, net.w) > 0.5)
