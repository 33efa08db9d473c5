"""Arguments that `compile`, `fit` and `evaluate` hand on: wrong ones are told before a run."""

import inspect
import warnings

import keras
import nengo
import numpy as np
import pytest
from nengo.exceptions import ValidationError

import nengo_dl

X = np.linspace(-1, 1, 16).reshape(8, 2, 1)


@pytest.fixture(scope="module")
def sim():
    with nengo.Network(seed=0) as net:
        given = nengo.Node([0.0])
        ensemble = nengo.Ensemble(10, 1, neuron_type=nengo.RectifiedLinear())
        nengo.Connection(given, ensemble, synapse=None)
        nengo.Probe(ensemble, label="out")
    with nengo_dl.Simulator(net, progress_bar=False) as sim:
        yield sim


@pytest.fixture
def compiled(sim):
    sim.compile(keras.optimizers.SGD(1e-4), loss="mse")
    return sim


WRONG = [
    ({"epochs": 1.5}, "epochs: must be an integer, 0 or more, got 1.5"),
    ({"epochs": -1}, "epochs"),
    ({"epochs": True}, "epochs"),
    ({"initial_epoch": "a"}, "initial_epoch: must be an integer, 0 or more, got 'a'"),
    ({"steps_per_epoch": 0}, "steps_per_epoch: must be an integer, 1 or more or None, got 0"),
    ({"validation_steps": 2.0}, "validation_steps"),
    ({"validation_freq": 0}, "validation_freq"),
    ({"validation_freq": [1, "a"]}, "validation_freq"),
    ({"validation_split": "a"}, "validation_split: must be between 0 and 1, got 'a'"),
    ({"verbose": "a"}, "verbose: expected 0, 1, 2 or 'auto', got 'a'"),
    ({"callbacks": "a"}, "callbacks: expected objects of keras.callbacks.Callback, got 'a'"),
    ({"callbacks": [keras.callbacks.EarlyStopping]}, r"did you mean EarlyStopping\(\)\?"),
    ({"class_weight": [1, 2]}, "class_weight: expected a dict from class numbers to weights, got"),
    ({"sample_weight": "a"}, "sample_weight: expected an array, a list of arrays or a dict"),
    ({"sample_weight": np.full(8, np.nan)}, "for 'out': expected finite numbers, got NaN"),
    (
        {"y": np.where(X > 0.9, np.inf, X)},
        "targets: those for 'out' have 1 infinite, which its loss",
    ),
    ({"y": 5}, "targets: expected an array, a list of arrays or a dict of them, got 5"),
    ({"x": "a"}, "data: expected an array, a list of arrays or a dict of them, got 'a'"),
]


@pytest.mark.parametrize("wrong, message", WRONG)
def test_of_fit(compiled, wrong, message):
    with pytest.raises(ValidationError, match=message):
        compiled.fit(**{"x": X, "y": X, "verbose": 0} | wrong)


def test_of_other_calls(compiled):
    with pytest.raises(ValidationError, match="steps: must be an integer, 1 or more or None"):
        compiled.evaluate(X, X, steps=0)
    with pytest.raises(ValidationError, match="targets: expected an array"):
        compiled.evaluate(X, 5)
    with pytest.raises(ValidationError, match="data: expected an array"):
        compiled.predict(5)


def test_no_optimizer(compiled):
    compiled.compile(None, loss="mse")
    with pytest.raises(ValueError, match="fit needs an optimizer"):
        compiled.fit(X, X)


@pytest.mark.parametrize("weights", ["a", ["a"], {"out": "a"}, {"out": True}, np.nan])
def test_weights_of_losses(compiled, weights):
    with pytest.raises(
        ValidationError, match="loss_weights: expected a finite number for 'out', got"
    ):
        compiled.compile("sgd", loss="mse", loss_weights=weights)


@pytest.mark.parametrize("weights", [2, 2.0, np.float32(2), [np.array(2)], {"out": 2}])
def test_numbers_as_weights_of_losses(compiled, weights):
    single = compiled.evaluate(X, X, verbose=0)["loss"]
    compiled.compile("sgd", loss="mse", loss_weights=weights)
    assert compiled.evaluate(X, X, verbose=0)["loss"] == pytest.approx(2 * single)


def test_steps_per_execution(compiled):
    with pytest.raises(ValidationError, match="steps_per_execution: must be an integer, 1 or more"):
        compiled.compile("sgd", loss="mse", steps_per_execution="a")
    compiled.compile("sgd", loss="mse", steps_per_execution="auto")
    assert len(compiled.fit(X, X, epochs=2, verbose=0).history["loss"]) == 2


@pytest.mark.parametrize("each", [False, True])  # whether a callback wants each minibatch
@pytest.mark.parametrize("steps, epochs, done", [(12, 2, 16), (3, 3, 8), (4, 2, 8), (None, 2, 16)])
def test_data_that_runs_out(compiled, steps, epochs, done, each):
    """As in Keras: the epoch ends, with a warning."""
    told = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: None)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        kwargs = {"steps_per_epoch": steps, "epochs": epochs, "callbacks": [told] * each}
        compiled.fit(X, X, validation_data=(X[:3], X[:3]), verbose=0, **kwargs)
    assert int(compiled.keras_model.optimizer.iterations) == done
    ran_out = [w for w in said if "ran out" in str(w.message)]
    assert bool(ran_out) == (steps in (12, 3))
    if ran_out and not each:
        assert f"expected a multiple of the {steps} minibatches" in str(ran_out[0].message)


# what public methods are given beside an argument that they don't have
GIVEN = {
    "check_gradients": {},
    "clear_probes": {},
    "close": {},
    "compile": {"loss": "mse"},
    "evaluate": {"n_steps": 2},
    "fit": {"n_steps": 2},
    "freeze_params": {"objs": []},
    "get_name": {"obj": None},
    "get_nengo_params": {"nengo_objs": []},
    "load_params": {"path": "x"},
    "predict": {"n_steps": 2},
    "predict_on_batch": {"n_steps": 2},
    "reset": {},
    "run": {"time_in_seconds": 0.002},
    "run_steps": {"n_steps": 2},
    "save_params": {"path": "x"},
    "soft_reset": {},
    "step": {},
    "trange": {},
}
REMOVED = ("train", "loss")  # which say so, whatever they are given


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("name", ["nonsense", "call", "function", "name", "method"])
def test_unknown_arguments_are_refused_by_the_method(Sim, name, compiled):
    """The error names what was called, no function within; nothing is done."""
    methods = dict(inspect.getmembers(nengo_dl.Simulator, inspect.isfunction))
    assert {method for method in methods if method[0] != "_"} == {*GIVEN, *REMOVED}
    with nengo.Network() as net:
        nengo.Probe(nengo.Node([0.0]))
    sim = Sim(net)
    if compiled:
        sim.compile("sgd", loss="mse")
    for method, given in GIVEN.items():
        named = {"run": "run_steps", "step": "run_steps"}.get(method, method)
        with pytest.raises(TypeError, match=rf"\b{named}\(\) got an unexpected.* '{name}'"):
            getattr(sim, method)(**given, **{name: 3})
    with pytest.raises(TypeError, match=r"\bpredict\(\) got an unexpected keyword argument 'y'"):
        sim.predict(n_steps=2, y=3)
    with pytest.raises(TypeError, match=r"run_steps\(\) got multiple values for argument 'self'"):
        sim.run_steps(2, self=3)
    assert sim.n_steps == 0 and not sim.closed
