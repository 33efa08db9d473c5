"""Forms of data and the checks on it (SPEC S-27 to S-32)."""

import warnings

import keras
import nengo
import numpy as np
import pytest
import tensorflow as tf
from nengo.exceptions import SimulationError, ValidationError

import nengo_dl


@pytest.fixture
def net():
    with nengo.Network() as net:
        net.a = nengo.Node([1.0], label="a")
        net.b = nengo.Node([2.0, 3.0], label="b")
        net.hidden = nengo.Node(size_in=1)
        net.pa, net.pb = nengo.Probe(net.a), nengo.Probe(net.b)
    return net


def ramp(batch, steps, size):
    return np.arange(batch * steps * size, dtype=np.float32).reshape(batch, steps, size)


def run(sim, data, n_steps, method):
    if method == "run_steps":
        sim.run_steps(n_steps, data=data)
        return sim.data
    return getattr(sim, method)(data)


@pytest.mark.parametrize("method", ["run_steps", "predict", "predict_on_batch"])
def test_forms(Sim, net, method):
    """S-27 to S-29, S-32: dicts by Node or name, lists, arrays, tensors, integers."""
    x, y = ramp(2, 4, 1), ramp(2, 4, 2)
    forms = [
        {net.a: x, net.b: y},
        {"a": x, net.b: tf.constant(y)},
        [x, y],
        (tf.constant(x), y.astype(int)),
    ]
    for data in forms:
        found = run(Sim(net, minibatch_size=2), data, 4, method)
        assert np.array_equal(found[net.pa], x) and np.array_equal(found[net.pb], y)
        assert found[net.pa].dtype == np.float32
    found = run(Sim(net, minibatch_size=2), {net.b: y}, 4, method)
    assert np.all(found[net.pa] == 1) and np.array_equal(found[net.pb], y)
    for data in (x, tf.constant(x), [x]):
        with pytest.warns(UserWarning, match="Number of elements"):
            found = run(Sim(net, minibatch_size=2), data, 4, method)
        assert np.array_equal(found[net.pa], x) and np.all(found[net.pb] == [2, 3])
    with pytest.warns(UserWarning, match="Number of elements"):
        run(Sim(net, minibatch_size=2), [x, y, x], 4, method)


@pytest.mark.parametrize("method", ["run_steps", "predict", "predict_on_batch"])
@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"n_steps": np.ones((2, 1))}, "not a valid input name"),
        ({"x": ramp(2, 4, 1)}, "not a valid input name.*a, b"),
        ({"hidden": ramp(2, 4, 1)}, "not a valid input name"),
        ({"pa": ramp(2, 4, 1)}, "not a valid input name"),
        ({"a": np.ones((2, 4))}, "rank 2"),
        ({"a": ramp(2, 3, 1)}, "not evenly divisible"),
        ({"a": ramp(2, 4, 1), "b": ramp(4, 4, 2)}, "does not match"),
        ({"a": ramp(2, 4, 1), "b": ramp(2, 2, 2)}, "does not match"),
        ({"a": ramp(2, 4, 2)}, "Last axis"),  # [B]
        ({"a": ramp(2, 4, 1) * 1j}, "expected real numbers, got type complex"),
        ({"a": np.full((2, 4, 1), "x")}, "expected real numbers"),
        ({"a": [[1], [2, 3]]}, "is no array"),
    ],
)
def test_checks(Sim, net, data, message, method):
    """S-32: what is wrong with data is found before anything runs."""
    sim = Sim(net, minibatch_size=2, unroll_simulation=2)
    with pytest.raises(ValidationError, match=message):
        run(sim, data, 4, method)
    assert sim.n_steps == 0


def test_exact_numbers(Sim, net):
    """S-30, S-32: explicit numbers of steps and items."""
    sim = Sim(net, minibatch_size=2)
    for call in (
        lambda: sim.run_steps(5, data={"a": ramp(2, 4, 1)}),
        lambda: sim.run_steps(4, data={"a": ramp(4, 4, 1)}),
        lambda: sim.predict({"a": ramp(2, 4, 1)}, n_steps=5),
        lambda: sim.predict_on_batch({"a": ramp(4, 4, 1)}),
    ):
        with pytest.raises(ValidationError, match="does not match expected size"):
            call()
    for method in (sim.predict, sim.predict_on_batch):
        with pytest.raises(ValidationError, match="Must specify either input data or n_steps"):
            method()
    assert sim.predict({"a": ramp(2, 4, 1)}, n_steps=4)[net.pa].shape == (2, 4, 1)


@pytest.mark.parametrize("n_steps", [-1, 2.0, 4.5, float("nan"), "4", True])
def test_number_of_steps(Sim, net, n_steps):
    """What is no number of steps is refused before anything runs."""
    sim = Sim(net)
    for method in (sim.run_steps, lambda n: sim.predict(n_steps=n)):
        with pytest.raises(ValidationError, match="n_steps"):
            method(n_steps)
    assert sim.n_steps == 0


@pytest.mark.parametrize(
    "time", [-0.1, float("nan"), float("inf"), "1", None, [1], np.ones(1), 1j, True]
)
def test_times(Sim, net, time):
    """What is no length of time is refused, with its value, before anything happens."""
    sim = Sim(net)
    with pytest.raises(ValidationError, match=r"time_in_seconds: must be.*finite.*got"):
        sim.run(time)
    if time is not None:
        with pytest.raises(ValidationError, match="sample_every: must be.*above 0, got"):
            sim.trange(time)
    with pytest.raises(ValidationError, match="dt: must be.*above 0, got"):
        Sim(net, dt=time)
    assert sim.n_steps == 0


def test_forms_of_times(Sim, net):
    sim = Sim(net, dt=np.float32(0.5))
    for time in (1, 1.0, np.float32(1), np.int8(1), np.array(1.0)):
        sim.run(time)
    assert sim.n_steps == 10 and sim.trange(np.array(1)).tolist() == [1, 2, 3, 4, 5]


def test_too_few_items(Sim, net):
    """S-32: a run has one minibatch; `predict` takes any number of items but none."""
    sim = Sim(net, minibatch_size=2)
    for method in ("run_steps", "predict_on_batch"):
        with pytest.raises(ValidationError, match=r"less than\s+minibatch_size"):
            run(sim, {"a": ramp(1, 4, 1)}, 4, method)
    with pytest.raises(ValidationError, match="is less than 1"):
        sim.predict({"a": ramp(0, 4, 1)})
    assert np.array_equal(sim.predict({"a": ramp(5, 3, 1)})[net.pa], ramp(5, 3, 1))


def test_other_network(Sim, net):
    """Nodes of another network are refused."""
    with nengo.Network():
        other = nengo.Node([1])
    for key in (other, net.hidden, net.pa, 3):
        with pytest.raises(ValidationError, match="not a valid input name"):
            Sim(net).run_steps(1, data={key: ramp(1, 1, 1)})


def test_opaque(Sim, net):
    """S-31: generators and datasets go to Keras as they are."""
    x, y, n = ramp(6, 4, 1), ramp(6, 4, 2), np.full((6, 1), 4, np.int32)
    sim = Sim(net, minibatch_size=2)

    def batches(form):
        for i in range(3):
            part = slice(2 * i, 2 * i + 2)
            yield form(x[part], y[part], n[part])

    class Batches(keras.utils.PyDataset):
        def __len__(self):
            return 3

        def __getitem__(self, i):
            return next(b for k, b in enumerate(batches(lambda *a: (a,))) if k == i)

    forms = [
        batches(lambda a, b, c: {"a": a, "b": b, "n_steps": c}),  # bare dictionaries
        batches(lambda a, b, c: ((a, b, c),)),
        tf.data.Dataset.from_tensor_slices({"a": x, "b": y, "n_steps": n}).batch(2),
        Batches(),
    ]
    for data in forms:
        found = sim.predict(data)
        assert np.array_equal(found[net.pa], x) and np.array_equal(found[net.pb], y)
    with pytest.raises(SimulationError, match="n_steps"):
        sim.predict(batches(lambda a, b, c: ((a, b, c),)), n_steps=4)
    with pytest.raises(SimulationError, match="run_steps"):
        sim.run_steps(4, data=batches(lambda a, b, c: ((a, b, c),)))


def test_no_nodes(Sim):
    """Without input nodes only the number of steps counts."""
    with nengo.Network() as net:
        p = nengo.Probe(nengo.Ensemble(5, 1))
    sim = Sim(net)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        assert sim.predict(n_steps=3)[p].shape == (1, 3, 1)
        assert sim.predict({}, n_steps=3)[p].shape == (1, 3, 1)
    assert isinstance(sim, nengo_dl.Simulator)
