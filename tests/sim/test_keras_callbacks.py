"""Callbacks of Keras, and how often they are called (SPEC X-29 to X-32)."""

import importlib.util

import keras
import numpy as np
import pytest
from training_nets import linear, rows, weights

X, Y = rows(8), rows(8, 3, 1, 1)


@pytest.fixture
def sim(Sim):
    net = linear()
    sim = Sim(net, minibatch_size=2)
    sim.net = net
    sim.compile(keras.optimizers.Adam(0.05), loss={net.py: "mse"}, metrics={net.py: "mae"})
    return sim


def fit(sim, *callbacks, **kwargs):
    kwargs = {"epochs": 3, "verbose": 0, "shuffle": False} | kwargs
    return sim.fit(X, {"py": Y}, callbacks=list(callbacks), **kwargs)


class Counter(keras.callbacks.Callback):
    """Keeps what it is called with."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def on_train_batch_begin(self, batch, logs=None):
        self.calls.append(("begin", batch))

    def on_train_batch_end(self, batch, logs=None):
        self.calls.append(("end", batch, sorted(logs)))

    def on_test_batch_end(self, batch, logs=None):
        self.calls.append(("test", batch))

    def on_epoch_end(self, epoch, logs=None):
        self.calls.append(("epoch", epoch))


def test_every_minibatch(sim):
    """A callback that asks for minibatches sees each of them."""
    counter, names = Counter(), ["loss", "py_loss", "py_mae"]
    fit(sim, counter, epochs=1, validation_data=(X[:4], {"py": Y[:4]}))
    each = [call for b in range(4) for call in (("begin", b), ("end", b, names))]
    assert counter.calls == [*each, ("test", 0), ("test", 1), ("epoch", 0)]
    counter = Counter()
    sim.compile("sgd", loss={"py": "mse"}, steps_per_execution=3)
    fit(sim, counter, epochs=1)
    ends = [call[1] for call in counter.calls if call[0] == "end"]
    assert ends == [2, 5]  # as Keras counts
    seen = []
    fit(sim, keras.callbacks.LambdaCallback(on_train_batch_end=lambda b, logs: seen.append(b)))
    assert len(seen) == 6


def test_results_do_not_depend_on_callbacks(Sim):
    """The same weights, however many minibatches run in a call."""
    results = []
    for callbacks in ([], [Counter()]):
        keras.utils.set_random_seed(0)
        net = linear()
        sim = Sim(net, minibatch_size=2)
        sim.compile("adam", loss={net.py: "mse"})
        fit(sim, *callbacks, shuffle=True)
        results.append(weights(sim, net.w))
    assert np.array_equal(*results)


def test_list_of_the_caller(Sim):
    """Epochs have orders of their own with a CallbackList, too, which stays as it was."""
    results = []
    for as_list in (False, True):
        keras.utils.set_random_seed(0)
        net = linear()
        sim = Sim(net, minibatch_size=2)
        sim.compile("sgd", loss={net.py: "mse"})
        callbacks, counter = [], Counter()
        if as_list:
            callbacks = keras.callbacks.CallbackList([counter], add_history=True)
            callbacks.set_model(sim.keras_model)
        for _ in range(2):
            sim.fit(X, {"py": Y}, callbacks=callbacks, epochs=3, verbose=0)
        results.append(weights(sim, net.w))
    assert [type(c).__name__ for c in callbacks.callbacks] == ["Counter", "History"]
    assert len([call for call in counter.calls if call[0] == "end"]) == 24
    assert np.array_equal(*results)


@pytest.mark.parametrize("verbose", [1, 2])
def test_progress(sim, capsys, verbose):
    """What Keras prints."""
    fit(sim, verbose=verbose, epochs=2)
    text = capsys.readouterr().out
    assert "Epoch 2/2" in text and "4/4" in text and "py_mae" in text
    sim.evaluate(X, {"py": Y}, verbose=verbose)
    assert "4/4" in capsys.readouterr().out


def test_model_checkpoint(sim, tmp_path):
    """Weights and the optimizer's state are saved, and load into another simulator."""
    path = str(tmp_path / "{epoch}.weights.h5")
    saver = keras.callbacks.ModelCheckpoint(path, save_weights_only=True)
    fit(sim, saver, epochs=2)
    due = weights(sim, sim.net.w)
    fit(sim, epochs=4, initial_epoch=2)
    later = weights(sim, sim.net.w)
    assert not np.array_equal(due, later)
    sim.reset()
    sim.compile(keras.optimizers.Adam(0.05), loss={"py": "mse"})
    sim.keras_model.load_weights(path.format(epoch=2))
    assert np.array_equal(weights(sim, sim.net.w), due)
    assert int(sim.keras_model.optimizer.iterations) == 8
    fit(sim, epochs=4, initial_epoch=2)
    assert np.array_equal(weights(sim, sim.net.w), later)


def test_best_weights(sim, tmp_path):
    """Keras' files end in .weights.h5; the best epoch is kept."""
    path = str(tmp_path / "best.weights.h5")
    saver = keras.callbacks.ModelCheckpoint(
        path, monitor="val_py_mae", save_best_only=True, save_weights_only=True, mode="min"
    )
    history = fit(sim, saver, validation_data=(X, {"py": Y}), epochs=4).history
    sim.keras_model.load_weights(path)
    found = sim.evaluate(X, {"py": Y}, verbose=0)["py_mae"]
    assert found == pytest.approx(min(history["val_py_mae"]))
    with pytest.raises(ValueError, match=r"\.weights\.h5"):
        keras.callbacks.ModelCheckpoint(str(tmp_path / "best"), save_weights_only=True)


def test_early_stopping(sim):
    """Training ends, and the best weights come back."""
    sim.compile(keras.optimizers.SGD(5.0), loss={"py": "mse"})
    stopper = keras.callbacks.EarlyStopping(
        "loss", patience=1, restore_best_weights=True, start_from_epoch=0
    )
    history = fit(sim, stopper, epochs=20).history
    assert len(history["loss"]) < 20
    assert np.all(np.isfinite(weights(sim, sim.net.w)))


def test_stop_in_the_middle(sim):
    """A callback can end training at any minibatch."""

    class Stop(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            self.model.stop_training = batch == 1

    history = fit(sim, Stop())
    assert history.epoch == [0] and int(sim.keras_model.optimizer.iterations) == 2


def test_learning_rates(sim):
    """Schedulers; the history has the rates under Keras 3's name."""
    scheduler = keras.callbacks.LearningRateScheduler(lambda epoch, rate: 0.1 / (epoch + 1))
    history = fit(sim, scheduler, validation_data=(X, {"py": Y})).history
    assert history["learning_rate"] == pytest.approx([0.1, 0.05, 0.1 / 3])
    losses = ["loss", "py_loss", "py_mae"]
    assert list(history) == [*losses, *(f"val_{n}" for n in losses), "learning_rate"]
    plateau = keras.callbacks.ReduceLROnPlateau("loss", factor=0.5, patience=0, min_delta=1e9)
    fit(sim, plateau)
    assert float(sim.keras_model.optimizer.learning_rate) < 0.1 / 3


def test_csv(sim, tmp_path):
    """CSVLogger writes a line per epoch."""
    path = tmp_path / "log.csv"
    fit(sim, keras.callbacks.CSVLogger(str(path)))
    lines = path.read_text().splitlines()
    assert lines[0].split(",")[:4] == ["epoch", "loss", "py_loss", "py_mae"] and len(lines) == 4


def test_nan_ends_training(sim):
    """TerminateOnNaN sees the minibatch with the input that is no number."""
    x = X.copy()
    x[2] = np.nan
    stop = keras.callbacks.TerminateOnNaN()
    sim.fit(x, {"py": Y}, callbacks=[stop], shuffle=False, verbose=0, epochs=2)
    assert int(sim.keras_model.optimizer.iterations) == 2


def test_tensorboard(sim, tmp_path):
    """Writes its files, or says what is missing."""
    logger = keras.callbacks.TensorBoard(str(tmp_path), write_graph=False)
    if importlib.util.find_spec("tensorboard") is None:
        with pytest.raises(Exception, match="(?i)tensorboard"):
            fit(sim, logger)
    else:
        fit(sim, logger)
        assert list(tmp_path.rglob("events.*"))


def test_calls_from_callbacks(sim):
    """A callback may use the simulator; training goes on as without it."""
    found = []

    class Use(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            found.append(sim.evaluate(X, {"py": Y}, verbose=0)["loss"])
            error = sim.predict(X)[sim.net.py] - Y
            assert np.mean(error**2) == pytest.approx(found[-1])
            sim.predict_on_batch(X[:2], stateful=True)
            sim.run_steps(2, progress_bar=False)

    sim.predict(X)
    history = fit(sim, Use(), validation_data=(X, {"py": Y})).history
    assert found == pytest.approx(history["val_loss"])
    assert not sim.tensor_graph.stateful and sim.n_steps == 15
    with_callback = weights(sim, sim.net.w)
    sim.reset()
    sim.compile(keras.optimizers.Adam(0.05), loss={"py": "mse"})
    fit(sim)
    assert np.allclose(weights(sim, sim.net.w), with_callback, rtol=1e-12)
