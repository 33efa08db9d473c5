"""Generators and datasets in the forms in which arrays may be given."""

import nengo
import numpy as np
import pytest
import tensorflow as tf


@pytest.fixture
def two_inputs(Sim):
    """A simulator of two input nodes with a loss, and its data."""
    with nengo.Network(seed=0) as net:
        net.a = nengo.Node([0.0], label="a")
        net.b = nengo.Node([0.0, 0.0], label="b")
        out = nengo.Node(size_in=1)
        nengo.Connection(net.a, out, transform=np.eye(1))
        nengo.Connection(net.b, out, transform=[[2, 3]])
        net.p = nengo.Probe(out, label="out")
    sim = Sim(net, minibatch_size=2)
    sim.compile("sgd", loss="mse")
    rng = np.random.RandomState(0)
    data = [rng.uniform(size=(4, 3, size)).astype(np.float32) for size in (1, 2, 1)]
    return sim, net, data


def forms(net, a, b):
    """Inputs in every form: a name for each."""
    return {
        "names": {"a": a, "b": b},
        "names and steps": {"a": a, "b": b, "n_steps": np.full((len(a), 1), 3, np.int32)},
        "tuple": (a, b),
        "nodes": {net.a: a, net.b: b},
    }


def batches(x, y=None):
    """Yield two minibatches of two items."""
    for part in (slice(0, 2), slice(2, 4)):
        found = (
            {key: value[part] for key, value in x.items()}
            if isinstance(x, dict)
            else tuple(value[part] for value in x)
        )
        if y is None:
            yield found if isinstance(found, dict) else (found,)
        else:
            targets = {key: v[part] for key, v in y.items()} if isinstance(y, dict) else y[part]
            yield found, targets


def stream(kind, x, y=None):
    """A generator or a dataset of two minibatches."""
    if kind == "generator":
        return batches(x, y)
    rows = (x,) if y is None else (x, y)
    return tf.data.Dataset.from_tensor_slices(rows).batch(2)


CASES = [
    ("generator", "names"), ("generator", "names and steps"), ("generator", "tuple"),
    ("generator", "nodes"), ("dataset", "names"), ("dataset", "names and steps"),
    ("dataset", "tuple"),
]  # fmt: skip


@pytest.mark.filterwarnings("ignore:Your input ran out of data")
@pytest.mark.parametrize(("kind", "form"), CASES)
def test_forms(two_inputs, kind, form):
    """Names, Nodes or order, with or without n_steps: what arrays give."""
    sim, net, (a, b, y) = two_inputs
    x = forms(net, a, b)[form]
    due = sim.predict({net.a: a, net.b: b})[net.p]
    assert np.array_equal(sim.predict(stream(kind, x))[net.p], due)
    loss = sim.evaluate({net.a: a, net.b: b}, {net.p: y}, verbose=0)["loss"]
    for targets in (y, {"out": y}, {net.p: y}):
        if kind == "dataset" and isinstance(targets, dict) and net.p in targets:
            continue  # TensorFlow sorts the keys of a dataset, and takes only names
        found = sim.evaluate(stream(kind, x, targets), verbose=0)["loss"]
        np.testing.assert_allclose(found, loss, rtol=1e-6)


@pytest.mark.filterwarnings("ignore:Your input ran out of data")
@pytest.mark.parametrize("kind", ["generator", "dataset"])
def test_fit(two_inputs, kind):
    """Training and validation take them, too."""
    sim, net, (a, b, y) = two_inputs
    before = sim.keras_model.get_weights()
    sim.fit({net.a: a, net.b: b}, {net.p: y}, shuffle=False, verbose=0)
    due = sim.keras_model.get_weights()
    sim.keras_model.set_weights(before)
    history = sim.fit(
        stream(kind, (a, b), y), validation_data=stream("dataset", (a, b), y), verbose=0
    ).history
    for found, expected in zip(sim.keras_model.get_weights(), due, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-6)
    loss = sim.evaluate({net.a: a, net.b: b}, {net.p: y}, verbose=0)["loss"]
    np.testing.assert_allclose(history["val_loss"], [loss], rtol=1e-6)


def test_missing_input(two_inputs):
    """An input node without data is named."""
    sim, _, (a, _, y) = two_inputs
    with pytest.raises(ValueError, match='Missing data for input "b"'):
        sim.evaluate(stream("dataset", {"a": a}, y), verbose=0)
