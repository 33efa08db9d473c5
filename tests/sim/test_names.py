"""Names of input nodes and probes (SPEC S-19, S-20)."""

import nengo
import pytest
from nengo.exceptions import ValidationError

from nengo_dl.arguments.names import Names


def make(labels, probe_labels=()):
    with nengo.Network() as net:
        nodes = [nengo.Node([0], label=label) for label in labels]
        target = nengo.Node([0])
        probes = [nengo.Probe(target, label=label) for label in probe_labels]
    return net, nodes, probes


def test_labels_and_classes():
    """S-19: the label, or the class in lower case, cleaned."""
    _, nodes, probes = make([None, "a b:c", "x(y)[1]", "()"], [None])
    names = Names(nodes, probes)
    assert [names[n] for n in nodes] == ["node", "a_b_c", "xy1", "node_1"]
    assert names[probes[0]] == "probe"


def test_duplicates_ignore_case():
    """S-19: numbers are shared by nodes and probes and ignore case."""
    _, nodes, probes = make(["aa", "aa", "Aa"], ["AA", "aa_1"])
    names = Names(nodes, probes)
    assert [names[o] for o in (*nodes, *probes)] == ["aa", "aa_1", "Aa_2", "AA_3", "aa_1_1"]


@pytest.mark.parametrize("label", ["n_steps", "steps_run", "N_Steps"])
def test_reserved(label):
    """S-19 [B]: a node can't take the name of the model's own input."""
    _, nodes, _ = make([label])
    assert Names(nodes, [])[nodes[0]] == f"{label}_1"


def test_keras_accepts(Sim):
    """S-19: whatever the label, the Keras model can be built, and its names are ours."""
    net, nodes, probes = make(["a/b", "n_steps", "ä ö", ""], ["p/q", "steps_run"])
    sim = Sim(net)
    inputs = [tensor.name for tensor in sim.keras_model.inputs]
    assert inputs[:4] == [sim.get_name(n) for n in nodes] and inputs[-1] == "n_steps"
    assert sim.keras_model.output_names == [*map(sim.get_name, probes), "steps_run"]
    assert set(sim.predict(n_steps=2)) == set(probes)


def test_errors(Sim):
    """S-19: errors say what is wrong with the object."""
    net, _, _ = make(["a"])
    with net:
        ens = nengo.Ensemble(5, 1)
        inner = nengo.Node(size_in=1)
    _, (other,), (probe,) = make(["a"], ["p"])
    sim = Sim(net)
    for obj, message in [
        (inner, "not an input Node"),
        (other, "from a different network"),
        (probe, "from a different network"),
        (ens, "unknown type"),
    ]:
        with pytest.raises(ValidationError, match=message):
            sim.get_name(obj)


def test_shapes(Sim):
    """S-20: shapes and types of the Keras model's inputs and outputs."""
    with nengo.Network() as net:
        nengo.Node([1, 2])
        nengo.Node(lambda t: None, size_out=0)
        ens = nengo.Ensemble(5, 3)
        nengo.Probe(ens)
        conn = nengo.Connection(ens, ens)
        nengo.Probe(conn, "weights")
    sim = Sim(net, minibatch_size=4)
    model = sim.keras_model
    assert [t.shape for t in model.inputs] == [(4, None, 2), (4, None, 0), (4, 1)]
    assert [str(t.dtype) for t in model.inputs] == ["float32", "float32", "int32"]
    shapes = [model.output[name].shape for name in model.output_names]
    assert shapes == [(4, None, 3), (4, None, 3, 5), (4,)]
    assert list(sim.node_inputs) == net.nodes and len(sim.node_inputs) == 2
    assert model.name == "keras_model" and sim.tensor_graph.name == "TensorGraph"
