"""Names of input nodes and probes (SPEC S-19, S-20)."""

import nengo
import pytest
from nengo.exceptions import ValidationError

from nengo_dl.arguments.names import RESERVED, Names


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


@pytest.mark.parametrize("label", [*RESERVED, "N_Steps", "tensorgraph"])
def test_reserved(label):
    """S-19 [B]: neither a node nor a probe can take a name that the model needs for itself."""
    _, nodes, probes = make([label], [label])
    names = Names(nodes, probes)
    assert names[nodes[0]] == f"{label}_1" and names[probes[0]] == f"{label}_2"


def test_names_of_validation():
    """What Keras calls the values of validation is no other probe's."""
    _, nodes, probes = make(["val_a", "b"], ["val_c", "c", "val", "a", "val_b", "val_d"])
    names = Names(nodes, probes)
    found = [names[probe] for probe in probes]
    # nodes have no values in the history, but probes give way to all names that are taken
    assert found == ["val_c", "c_1", "val_1", "a_1", "val_b_1", "val_d"]


def test_history_of_validation(Sim):
    """Losses of probes and of validation are told apart, whatever the labels."""
    net, _, probes = make([], ["val", "py", "val_py"])
    sim = Sim(net)
    sim.compile(loss="mse")
    y = {probe: [[[float(k)]]] for k, probe in enumerate(probes, 1)}
    other = {probe: [[[k + 3.0]]] for k, probe in enumerate(probes, 1)}
    found = sim.fit(y=y, n_steps=1, validation_data=(None, other), verbose=0).history
    losses = {f"{sim.get_name(probe)}_loss": k**2 for k, probe in enumerate(probes, 1)}
    validation = {f"val_{name}": (k + 3) ** 2 for k, name in enumerate(losses, 1)}
    assert {k: v[0] for k, v in found.items()} == {
        "loss": 14, **losses, "val_loss": 77, **validation
    }  # fmt: skip


def test_keras_accepts(Sim):
    """S-19: whatever the label, the Keras model can be built, and its names are ours."""
    net, nodes, probes = make(["a/b", "ä ö", "", *RESERVED], ["p/q", *RESERVED])
    sim = Sim(net)
    model = sim.keras_model
    inputs = [tensor.name for tensor in model.inputs]
    assert inputs[:-2] == [sim.get_name(n) for n in nodes] and inputs[-1] == "n_steps"
    assert model.output_names == [*map(sim.get_name, probes), "steps_run"]
    assert model.input_names == inputs
    assert model.input_names == [*map(sim.get_name, sim.node_inputs), "n_steps"]
    assert set(sim.predict(n_steps=2)) == set(probes)
    own = {model.name, *(layer.name for layer in model.layers), *model.output_names}
    assert own - {*inputs[:-1], *map(sim.get_name, probes)} == set(RESERVED)


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
