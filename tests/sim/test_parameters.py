"""Saving, loading, freezing and resetting of parameters (SPEC 1.7-1.9)."""

import nengo
import numpy as np
import pytest
from nengo.exceptions import SimulationError, SimulatorClosed

from nengo_dl.config import configure_settings


def small(seed=0, n=10, **settings):
    """An input, two ensembles and a probe."""
    with nengo.Network(seed=seed) as net:
        configure_settings(dtype="float64", **settings)
        net.node = nengo.Node([0.5])
        net.a, net.b = nengo.Ensemble(n, 1), nengo.Ensemble(n, 1, label="b")
        net.into = nengo.Connection(net.node, net.a, transform=0.8)
        net.ab = nengo.Connection(net.a, net.b)
        net.p = nengo.Probe(net.b, synapse=0.01)
    return net


def change(sim, seed=1):
    """Stands for training: gives all trainable parameters other values."""
    rng = np.random.RandomState(seed)
    for weight in sim.keras_model.trainable_weights:
        values = weight.value.numpy()
        weight.assign(
            values * rng.uniform(0.7, 1.3, values.shape) + 1e-3 * rng.randn(*values.shape)
        )


def values(sim):
    """All parameters and the state."""
    state = sim.tensor_graph.get_state()
    return [*(w.value.numpy() for w in sim.keras_model.weights), *state.values()]


def assert_equal(first, second):
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)


# ---------------------------------------------------------------- files


def test_save_and_load(Sim, tmp_path):
    """S-66: what is in the file, by name and in Nengo's shapes, and back."""
    net = small()
    sim = Sim(net, minibatch_size=2)
    change(sim)
    before = values(sim)
    sim.save_params(tmp_path / "params")
    with np.load(tmp_path / "params.npz") as file:
        expected = {
            "Ensemble_0.encoders": sim.data[net.a].scaled_encoders,
            "Ensemble_0.bias": sim.data[net.a].bias,
            "b.encoders": sim.data[net.b].scaled_encoders,
            "b.bias": sim.data[net.b].bias,
            "Node_0_to_Ensemble_0.weights": sim.data[net.into].weights,
            "Ensemble_0_to_b.weights": sim.data[net.ab].weights,
        }
        assert set(file.files) == set(expected)
        for name, value in expected.items():
            np.testing.assert_array_equal(file[name], value)
    model = sim.keras_model
    sim.reset()
    assert any(np.any(a != b) for a, b in zip(values(sim), before, strict=True))
    sim.load_params(tmp_path / "params")
    assert_equal(values(sim), before)
    assert sim.keras_model is model
    other = Sim(net, minibatch_size=5)  # S-68: parameters are the same for all items
    other.load_params(tmp_path / "params")
    np.testing.assert_array_equal(other.data[net.ab].weights, sim.data[net.ab].weights)
    sim.save_params(str(tmp_path / "x.npz"))
    assert (tmp_path / "x.npz.npz").exists()


def test_state(Sim, tmp_path):
    """S-68 [B]: the simulation goes on where it was saved, and n_steps is right at once."""
    net = small()
    sim = Sim(net)
    sim.run_steps(10)
    sim.save_params(tmp_path / "all", include_state=True)
    sim.run_steps(10)
    other = Sim(net)
    other.load_params(tmp_path / "all", include_state=True)
    assert other.n_steps == 10 and other.time == pytest.approx(0.01)
    other.run_steps(10)
    np.testing.assert_array_equal(other.data[net.p], sim.data[net.p][10:])
    with pytest.warns(DeprecationWarning, match="include_state"):
        other.load_params(tmp_path / "all", include_non_trainable=True)
    assert other.n_steps == 10
    with pytest.warns(DeprecationWarning, match="include_state"):
        other.save_params(tmp_path / "again", include_non_trainable=True)
    with np.load(tmp_path / "again.npz") as one, np.load(tmp_path / "all.npz") as two:
        assert_equal(one.values(), two.values())


def test_learned_weights_and_batches(Sim, tmp_path):
    """S-68: what each item has for itself needs the same number of items."""
    with nengo.Network(seed=0) as net:
        a = nengo.Ensemble(5, 1)
        conn = nengo.Connection(a, a, learning_rule_type=nengo.PES(1e-3))
        error = nengo.Node([1])
        nengo.Connection(error, conn.learning_rule)
    sim, other = Sim(net, minibatch_size=2), Sim(net, minibatch_size=3)
    sim.run_steps(5)  # both items learn the same: any number of items may have it
    sim.save_params(tmp_path / "p")
    other.load_params(tmp_path / "p")
    for values_of_item in other.data[conn].weights:
        np.testing.assert_array_equal(values_of_item, sim.data[conn].weights[0])
    alone = Sim(net)
    for source, target in ((sim, alone), (alone, other)):
        source.save_params(tmp_path / "alone")
        target.reset()
        target.load_params(tmp_path / "alone")
        found = np.broadcast_to(target.data[conn].weights, (3, 1, 5))
        np.testing.assert_array_equal(found, np.broadcast_to(sim.data[conn].weights[0], (3, 1, 5)))
    sim.run_steps(5, data={error: np.stack([np.zeros((5, 1)), np.ones((5, 1))])})
    sim.save_params(tmp_path / "p")
    before = values(other)
    with pytest.raises(
        SimulationError, match=r"expected shape \(3, 1, 5\).*minibatch.*got \(2, 1, 5\)"
    ):
        other.load_params(tmp_path / "p")
    assert_equal(values(other), before)


def test_what_does_not_fit(Sim, tmp_path):
    """Nothing changes if a file does not fit, and the message says what was expected."""
    sim = Sim(small())
    change(sim)
    sim.run_steps(3)
    before = values(sim)
    bigger = Sim(small(n=11))
    bigger.save_params(tmp_path / "bigger")
    sim.save_params(tmp_path / "state", include_state=True)
    with np.load(tmp_path / "state.npz") as file:
        arrays = dict(file)
    params = {name: v for name, v in arrays.items() if "." in name}
    np.savez(tmp_path / "numbers.npz", *params.values())
    np.savez(tmp_path / "text.npz", **{name: v.astype(str) for name, v in params.items()})
    np.savez(tmp_path / "float.npz", **{**arrays, "istate": arrays["istate"].astype(float)})
    np.savez(tmp_path / "negative.npz", **{**arrays, "n_steps": np.int64(-3)})
    np.savez(
        tmp_path / "layout.npz", **{**arrays, "state_layout": arrays["state_layout"][::-1] + 1}
    )
    np.savez(tmp_path / "objects.npz", **dict.fromkeys(params, np.array([{}], dtype=object)))
    del params["b.bias"]
    np.savez(tmp_path / "other.npz", more=1, **params)
    (tmp_path / "broken.npz").write_bytes(b"PK\x03\x04 no archive")
    (tmp_path / "empty.npz").write_bytes(b"")
    with open(tmp_path / "single.npz", "wb") as file:
        np.save(file, np.ones(3))
    for name, state, message in (
        ("bigger", False, r"Ensemble_0.encoders: expected shape \(10, 1\), got \(11, 1\)"),
        ("bigger", True, "has no state.*include_state"),
        (
            "numbers",
            False,
            "by the names.*got arr_0, arr_1.*NengoDL 3.6.*get_nengo",
        ),
        ("numbers", True, "a file of NengoDL 3.6"),
        ("other", False, "missing: b.bias; not of this network: more"),
        ("text", False, "that do not fit: Ensemble_0.encoders"),
        ("float", True, "istate: expected type int32, got float64"),
        ("negative", True, "n_steps"),
        ("layout", True, "these Probes and settings"),
        ("objects", False, "save_params"),
        ("broken", False, "save_params"),
        ("empty", False, "save_params"),
        ("single", False, "save_params.*archive of arrays, got an array"),
    ):
        with pytest.raises(SimulationError, match=message):
            sim.load_params(tmp_path / name, include_state=state)
    with pytest.raises(FileNotFoundError):
        sim.load_params(tmp_path / "missing")
    assert_equal(values(sim), before)


# ---------------------------------------------------------------- Nengo's objects


def frozen_network(kind):
    """A network with one thing that has parameters; probes see everything."""
    with nengo.Network(seed=3) as net:
        configure_settings(dtype="float64", trainable=True)
        u = nengo.Node(lambda t: [np.sin(30 * t), 0.4])
        a = nengo.Ensemble(20, 2, radius=1.5)
        nengo.Connection(u, a, transform=[[0.9, 0.1], [0, 1.2]])
        if kind == "decoded":
            b = nengo.Ensemble(15, 3, neuron_type=nengo.LIFRate())
            nengo.Connection(a[1], b[[0, 2]], function=lambda x: [x[0] ** 2, x[0], 1],
                             transform=[[1, 0, 1], [0, 1, 0]])  # fmt: skip
            nengo.Connection(a, b[1], transform=[[0.5, -0.5]], synapse=0.02)
        elif kind == "neurons":
            b = nengo.Ensemble(20, 1)
            nengo.Connection(a.neurons, b.neurons, transform=np.eye(20) * 0.01)
            nengo.Connection(a.neurons[:3], b, transform=np.ones((1, 3)) * 1e-3)
            nengo.Connection(a.neurons, b.neurons, transform=0.01)
            nengo.Connection(a.neurons, b.neurons, transform=np.linspace(0, 0.02, 20))
        elif kind == "weights":
            b = nengo.Ensemble(15, 2)
            solver = nengo.solvers.LstsqL2(weights=True)
            nengo.Connection(a, b, solver=solver)
            nengo.Connection(a, b[1], function=lambda x: x[0] * x[1], solver=solver)
        elif kind == "sparse":
            b = nengo.Ensemble(20, 1)
            transform = nengo.Sparse((20, 20), [[3, 1], [0, 2], [3, 0]], [0.02, 0.03, -0.01])
            nengo.Connection(a.neurons, b.neurons, transform=transform)
        elif kind == "convolution":
            b = nengo.Ensemble(20, 1)
            for cls in (nengo.Convolution, nengo.ConvolutionTranspose):
                transform = cls(1, (20, 1), kernel_size=(3,), strides=(1,), padding="same")
                nengo.Connection(a.neurons, b.neurons, transform=transform)
        else:
            b = nengo.Ensemble(20, 2)
            rule = nengo.PES(1e-4) if kind == "pes" else nengo.Voja()
            conn = nengo.Connection(a, b, learning_rule_type=rule)
            size = 2 if kind == "pes" else 1
            nengo.Connection(nengo.Node([0.5] * size), conn.learning_rule)
        nengo.Probe(a.neurons)
        nengo.Probe(b.neurons)
        nengo.Probe(
            b, synapse=0.01, solver=nengo.solvers.NoSolver(np.ones((b.n_neurons, b.dimensions)))
        )
    return net


@pytest.mark.filterwarnings("ignore:The (weights|encoders) of")
@pytest.mark.parametrize(
    "kind", ["decoded", "neurons", "weights", "sparse", "convolution", "pes", "voja"]
)
def test_freeze(Sim, reference, kind):
    """S-71: nengo.Simulator runs the network as it was trained."""
    net = frozen_network(kind)
    sim = Sim(net)
    built = reference(net, net.probes, 25)
    sim.run_steps(10)  # online learning
    change(sim)
    sim.reset(include_trainable=False)
    sim.freeze_params(net)
    sim.run_steps(25)
    frozen = reference(net, net.probes, 25)
    for probe, before, after in zip(net.probes, built, frozen, strict=True):
        scale = np.abs(after).max()
        np.testing.assert_allclose(sim.data[probe], after, rtol=1e-9, atol=1e-9 * scale)
        assert np.abs(before - after).max() > 1e-6 * scale, "nothing was trained"


def test_nengo_params(Sim):
    """S-70: the form of the arguments, for one object and for several."""
    net = small()
    sim = Sim(net)
    change(sim)
    params = sim.get_nengo_params(net.a)
    built, live = sim.model.params[net.a], sim.data[net.a]
    assert set(params) == {"encoders", "normalize_encoders", "gain", "bias", "max_rates",
                           "intercepts"}  # fmt: skip
    np.testing.assert_array_equal(params["gain"], built.gain)
    np.testing.assert_array_equal(params["bias"], live.bias)
    assert params["normalize_encoders"] is False
    scaled = params["encoders"] * params["gain"][:, None] / net.a.radius
    np.testing.assert_allclose(scaled, live.scaled_encoders, rtol=1e-12)
    same = sim.get_nengo_params(net.a.neurons)
    np.testing.assert_array_equal(same["encoders"], params["encoders"])
    decoded, scalar = sim.get_nengo_params([net.ab, net.into])
    assert set(decoded) == {"solver", "function", "transform"} and decoded["transform"] is None
    np.testing.assert_array_equal(decoded["solver"].values.T, sim.data[net.ab].weights)
    assert scalar == {"transform": sim.data[net.into].weights.item()}
    labels = sim.get_nengo_params([net.a, net.b], as_dict=True)
    assert set(labels) == {None, "b"}
    # another network made of them runs the same
    with nengo.Network(seed=net.seed) as copy:
        node = nengo.Node([0.5])
        a = nengo.Ensemble(10, 1, **params)
        b = nengo.Ensemble(10, 1, **labels["b"])
        nengo.Connection(node, a, **scalar)
        nengo.Connection(a, b, **decoded)
        p = nengo.Probe(b.neurons)
    with nengo.Simulator(copy, progress_bar=False) as other:
        other.run_steps(20)
    with net:
        q = nengo.Probe(net.b.neurons)
    sim2 = Sim(net)
    for mine, theirs in zip(sim2.keras_model.trainable_weights, sim.keras_model.trainable_weights,
                            strict=True):  # fmt: skip
        mine.assign(theirs)
    sim2.run_steps(20)
    np.testing.assert_allclose(sim2.data[q], other.data[p], rtol=1e-9)


def test_nengo_params_errors(Sim):
    """S-70, S-71: what has no parameters, or can't have them."""
    net = small()
    with net:
        direct = nengo.Ensemble(1, 2, neuron_type=nengo.Direct())
        twin = nengo.Ensemble(5, 1, label="b")
        nengo.Connection(nengo.Node([0, 0]), direct)
        nengo.Probe(direct)
    sim = Sim(net)
    with pytest.raises(ValueError, match="Direct"):
        sim.get_nengo_params(direct)
    with pytest.raises(ValueError, match="Probe"):
        sim.get_nengo_params(net.p)
    with pytest.raises(ValueError, match="label 'b'"):
        sim.get_nengo_params([net.b, twin], as_dict=True)
    other = small()
    for obj in (other, other.a, other.ab):
        with pytest.raises(ValueError, match="is not in the network"):
            sim.freeze_params([net.b, obj])
    for obj in (net.p, net.node, "a"):
        with pytest.raises(TypeError, match="only Networks"):
            sim.freeze_params(obj)
    assert isinstance(net.b.encoders, nengo.dists.Distribution)
    sim.freeze_params(net)  # leaves an ensemble in Direct mode out
    assert not isinstance(net.b.encoders, nengo.dists.Distribution)
    place = sim.plan.place(sim.model.sig[direct]["encoders"])
    weight = sim.tensor_graph.base_params[place.index]
    weight.assign(weight.value.numpy() * 2)
    with pytest.raises(ValueError, match="Direct mode and its encoders were trained"):
        sim.freeze_params(net)
    sim.close()
    for call in (sim.freeze_params, sim.save_params, sim.load_params):
        with pytest.raises(SimulatorClosed):
            call("x")
    with pytest.raises(SimulatorClosed):
        sim.check_gradients()


def test_nengo_params_of_a_closed_simulator(Sim):
    """S-70: those with which it was built, with a warning, whatever was trained."""
    net = small()
    sim = Sim(net)
    built = sim.get_nengo_params([net.a, net.ab, net.into])
    change(sim)
    changed = sim.get_nengo_params([net.a, net.ab, net.into])
    sim.close()
    with pytest.warns(UserWarning, match="closed; parameters have the values with which they were"):
        found = sim.get_nengo_params([net.a, net.ab, net.into])
    for due, other, params in zip(built, changed, found, strict=True):
        assert flat(params) == flat(due) != flat(other)
    with pytest.warns(UserWarning, match="closed"):
        assert set(sim.get_nengo_params([net.b], as_dict=True)) == {"b"}


def flat(params):
    """Arguments of an object as something to compare."""
    values = ((name, getattr(value, "values", value)) for name, value in params.items())
    return {name: np.asarray(value).tolist() for name, value in values if name != "function"}


def test_items_that_learned_differently(Sim):
    """Nengo's objects have one set of weights: items must agree."""
    with nengo.Network(seed=0) as net:
        u = nengo.Node([0.0])
        a = nengo.Ensemble(5, 1)
        conn = nengo.Connection(u, a)
        conn = nengo.Connection(a, a, learning_rule_type=nengo.PES(1e-3))
        nengo.Connection(u, conn.learning_rule)
    sim = Sim(net, minibatch_size=2)
    sim.run_steps(5)
    one = sim.get_nengo_params(conn)["solver"].values
    np.testing.assert_array_equal(one.T, sim.data[conn].weights[0])
    sim.run_steps(5, data={u: np.stack([np.zeros((5, 1)), np.ones((5, 1))])})
    with pytest.raises(ValueError, match="each of the 2 items"):
        sim.get_nengo_params(conn)


# ---------------------------------------------------------------- reset and data


def test_reset(Sim):
    """S-60, S-61: trained and learned values go back, or stay; the optimizer is not touched."""
    with nengo.Network(seed=0) as net:
        u = nengo.Node([0.5])
        a = nengo.Ensemble(5, 1)
        nengo.Connection(u, a)
        conn = nengo.Connection(a, a, learning_rule_type=nengo.PES(1e-3))
        nengo.Connection(u, conn.learning_rule)
        p = nengo.Probe(a)
    sim = Sim(net)
    sim.compile("adam", loss="mse")
    variables = [v.value.numpy() for v in sim.keras_model.optimizer.variables]
    built = values(sim)
    change(sim)
    sim.run_steps(5)
    changed = values(sim)[:-3]
    flags = [w.trainable for w in sim.keras_model.weights]
    differs = [np.any(a != b) for a, b in zip(changed, built[:-3], strict=True)]
    assert all(d for d, trained in zip(differs, flags, strict=True) if trained)
    weights = sim.plan.place(sim.model.sig[conn]["weights"]).index
    assert np.any(sim.tensor_graph.get_param(weights) != sim.plan.param_values[weights])
    sim.reset(include_trainable=False, include_probes=False)
    assert_equal(values(sim), [*changed, *built[-3:]])
    assert len(sim.data[p]) == 5
    sim.reset()
    assert_equal(values(sim), built)
    assert len(sim.data[p]) == 0
    assert_equal(variables, [v.value.numpy() for v in sim.keras_model.optimizer.variables])


def test_data_is_live(Sim):
    """S-75, S-76: sim.data has the present values, and what follows from them."""
    net = small()
    sim = Sim(net)
    built = sim.data[net.a]
    change(sim)
    live = sim.data[net.a]
    assert np.all(live.scaled_encoders != built.scaled_encoders)
    assert np.all(live.bias != built.bias)
    factor = np.abs(live.scaled_encoders / built.scaled_encoders)[:, 0]
    np.testing.assert_allclose(live.gain, built.gain * factor, rtol=1e-9)
    unit = live.scaled_encoders / live.gain[:, None]
    np.testing.assert_allclose(live.encoders, unit, rtol=1e-9)
    rates, intercepts = net.a.neuron_type.max_rates_intercepts(live.gain, live.bias)
    np.testing.assert_allclose(live.max_rates, rates)
    np.testing.assert_allclose(live.intercepts, intercepts)
    assert np.all(sim.data[net.ab].weights != sim.model.params[net.ab].weights)
    assert sim.data[net.into].weights.shape == ()
    sim.reset()
    assert_equal(sim.data[net.a], built)
