"""What people type at a prompt: results by name, short texts, names that are not there yet."""

import nengo
import numpy as np
import pytest

import nengo_dl


@pytest.fixture
def labelled():
    """A network with labelled Probes, two of them alike, and one without a label."""
    with nengo.Network(seed=0, label="net") as net:
        node = nengo.Node([1.0, 2.0])
        net.out = nengo.Probe(node, label="out")
        net.twin = nengo.Probe(node[0], label="twin")
        net.other = nengo.Probe(node[1], label="twin")
        net.spaced = nengo.Probe(node[1], label="my out")
        net.plain = nengo.Probe(node)
    return net


@pytest.mark.parametrize("method", ["predict", "predict_on_batch"])
def test_results_by_name(Sim, labelled, method):
    """A label or the name in the Keras model stands for the Probe."""
    sim = Sim(labelled)
    found = getattr(sim, method)(n_steps=3)
    assert list(found) == labelled.all_probes and len(found) == 5 and isinstance(found, dict)
    assert np.array_equal(found["out"], np.tile([1.0, 2.0], (1, 3, 1)))
    for key, probe in (
        ("out", labelled.out),
        ("my out", labelled.spaced),
        (sim.get_name(labelled.spaced), labelled.spaced),
        (sim.get_name(labelled.plain), labelled.plain),
        (sim.get_name(labelled.other), labelled.other),
    ):
        assert found[key] is found[probe] and found.get(key) is found[probe] and key in found
    assert "nope" not in found and found.get("nope", 1) == 1 and labelled not in found


def test_names_of_no_result(Sim, labelled):
    """Labels of several Probes or of none are refused, with the names that there are."""
    found = Sim(labelled).predict(n_steps=1)
    with pytest.raises(KeyError, match="2 Probes are labelled 'twin'.*'twin', 'twin_1'"):
        found["twin"]
    with pytest.raises(KeyError, match="no Probe is labelled 'nope'.*'out', 'twin'"):
        found["nope"]
    with nengo.Network():
        stranger = nengo.Probe(nengo.Node([1.0]))
    with pytest.raises(KeyError, match="from a different network"):
        found[stranger]
    with pytest.raises(KeyError):
        found[3]


def test_short_texts(Sim, labelled):
    """What a notebook shows at the end of a cell is a line."""
    with labelled:
        for _ in range(300):
            nengo.Probe(nengo.Ensemble(5, 1))
    sim = Sim(labelled, minibatch_size=2)
    sim.run_steps(3)
    results = sim.predict(n_steps=2)
    assert "Simulator of net: open, at step 3" in repr(sim) and "minibatch_size=2" in repr(sim)
    assert "outputs: 305" in repr(sim.plan) and "print()" in repr(sim.plan)
    assert "out (2, 2, 2)" in repr(results) and "and 297 more" in repr(results)
    for shown in (sim, sim.plan, sim.plan.pieces, results, sim.data):
        assert len(repr(shown)) < 400 and "\n" not in repr(shown)
    assert len(str(sim.plan)) > 400
    sim.close()
    assert "closed, at step 3" in repr(sim)


def test_unknown_names():
    """What is not there gets the public names."""
    with pytest.raises(AttributeError, match="no attribute 'nope'; there are Converter"):
        _ = nengo_dl.nope
