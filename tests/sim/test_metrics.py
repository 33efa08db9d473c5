"""Metric objects of users: theirs are used, and copied only where one is for several Probes."""

import keras
import nengo
import numpy as np
import pytest
import tensorflow as tf
from nengo.exceptions import ValidationError
from training_nets import linear, rows

X = rows(4)
Y = {"py": rows(4, 3, 1, 1), "pz": rows(4, 3, 1, 2)}
PRED = {"py": X.sum(-1, keepdims=True) * 0.5, "pz": X.sum(-1, keepdims=True) * -0.5}


def above(probe, threshold):
    """How many values of a probe are above a threshold."""
    return np.sum(PRED[probe] > threshold)


class Plain(keras.metrics.Metric):
    """Counts the values above a threshold; takes no dtype, and no get_config tells of it."""

    def __init__(self, threshold=0.0, name="above"):
        super().__init__(name=name)
        self.threshold = threshold
        self.count = self.add_weight(name="count", initializer="zeros")

    def update_state(self, y_true, y_pred, sample_weight=None):
        self.count.assign_add(tf.reduce_sum(tf.cast(y_pred > self.threshold, self.dtype)))

    def result(self):
        return self.count


class Bare(Plain):
    """Takes no argument at all."""

    def __init__(self):
        super().__init__(0.25, "bare")


class Complete(Plain):
    """Tells its arguments."""

    def get_config(self):
        return {"threshold": self.threshold, "name": self.name}


class ByKeywords(Plain):
    """Hands further arguments on."""

    def __init__(self, threshold=0.0, **kwargs):
        super().__init__(threshold, **kwargs)

    def get_config(self):
        return {"name": self.name, "threshold": self.threshold}


class Restored(Plain):
    """Makes itself from what it tells, whatever that is."""

    def __init__(self, limits):
        super().__init__(limits[0], "restored")

    def get_config(self):
        return {"limit": self.threshold}

    @classmethod
    def from_config(cls, config):
        return cls([config["limit"]])


@pytest.fixture
def sim(Sim):
    net = linear(dtype="float64")  # objects made outside of the simulator have single precision
    sim = Sim(net, minibatch_size=2)
    sim.net = net
    return sim


def evaluate(sim, **compiled):
    sim.compile(loss={"py": "mse"}, **compiled)
    return sim.evaluate(X, Y, verbose=0)


def test_the_object_is_used(sim):
    """What was given holds the result, also beside metrics of other Probes."""
    own, mean, bare = Plain(0.25), keras.metrics.MeanSquaredError(), Bare()
    found = evaluate(sim, metrics={"py": [own], "pz": ["mae", bare]}, weighted_metrics={"py": mean})
    assert found["py_above"] == float(own.result()) == above("py", 0.25)
    assert found["py_mean_squared_error"] == float(mean.result())
    assert found["pz_bare"] == float(bare.result()) == above("pz", 0.25)
    # every call counts from zero
    assert sim.evaluate(X, Y, verbose=0)["py_above"] == above("py", 0.25)
    sim.fit(X, Y, epochs=2, verbose=0)
    assert sim.evaluate(X, Y, verbose=0)["py_above"] == float(own.result())


@pytest.mark.parametrize("make", [lambda: Complete(0.25), lambda: ByKeywords(0.25), Bare])
def test_one_object_for_several_probes(sim, make):
    """The first Probe has the object, the others have copies with the same arguments."""
    own = make()
    due = {f"{name}_{own.name}": above(name, 0.25) for name in PRED}
    assert above("py", 0.25) != above("pz", 0.25)
    for given in (own, {"pz": [own], "py": [own]}):
        found = evaluate(sim, metrics=given)
        assert {name: found[name] for name in due} == due
        assert float(own.result()) == above("py", 0.25)
    found = evaluate(sim, metrics={"pz": own}, weighted_metrics={"py": own})
    assert {name: found[name] for name in due} == due
    assert float(own.result()) == above("pz", 0.25)
    found = evaluate(sim, metrics={"py": [own, own]})
    assert found[f"py_{own.name}"] == found[f"py_{own.name}_1"] == above("py", 0.25)


def test_from_config_of_its_own(sim):
    found = evaluate(sim, metrics=Restored([0.25]))
    assert found["pz_restored"] == above("pz", 0.25)


@pytest.mark.parametrize(
    "own",
    [
        keras.metrics.BinaryAccuracy(threshold=0.25),
        keras.metrics.MeanMetricWrapper(keras.metrics.mean_absolute_error, name="wrapped"),
        keras.metrics.RootMeanSquaredError(),
        keras.metrics.AUC(thresholds=[0.0, 0.25, 1.0]),
        keras.metrics.AUC(num_thresholds=7),
        keras.metrics.Precision(thresholds=0.25),
    ],
    ids=lambda own: type(own).__name__,
)
def test_copies_of_keras_own(sim, own):
    """A copy counts what an object of its own with these arguments counts."""
    y = {name: np.round(np.clip(value, 0, 1)) for name, value in Y.items()}
    clipped = [np.clip(values, 0, 1) for values in PRED.values()]
    sim.compile(loss={"py": "mse"}, metrics=own)
    *_, second = sim.keras_model.untracked.targets.trackers
    first_config, second_config = own.get_config(), second.get_config()
    assert second is not own and first_config.keys() == second_config.keys()
    results = []
    for metric in (own, second):
        metric.reset_state()
        metric.update_state(y["pz"], clipped[1])
        results.append(float(metric.result()))
    assert results[0] == pytest.approx(results[1])


def test_what_cannot_be_copied(sim):
    """A copy that would lose an argument is none; what was compiled before stays."""
    sim.compile(loss="mse", metrics="mae")
    due = sim.evaluate(X, Y, verbose=0)
    message = r"'above' is one Plain for several Probes.*nothing of threshold.*object of its own"
    with pytest.raises(ValidationError, match=message):
        sim.compile(loss="mse", metrics=Plain(0.25))
    assert sim.evaluate(X, Y, verbose=0) == due
    found = evaluate(sim, metrics=[Plain(0.25), Plain(0.5)])
    assert (found["py_above"], found["pz_above"]) == (above("py", 0.25), above("pz", 0.5))


def test_values_are_numbers(Sim):
    """Of every version of Keras, as those of `fit`."""
    with nengo.Network(seed=0) as net:
        u = nengo.Node([0.5])
        net.p = nengo.Probe(u, label="p")
    sim = Sim(net, minibatch_size=2)
    sim.compile(keras.optimizers.SGD(0.0), loss="mse", metrics=["mae"])
    x, y = np.ones((4, 3, 1)), np.zeros((4, 3, 1))
    found = sim.evaluate({u: x}, {net.p: y}, verbose=0)
    assert len(found) >= 3 and all(type(value) is float for value in found.values())
