"""What may be trained (SPEC 1.10), and the settings of training."""

import warnings

import keras
import nengo
import numpy as np
import pytest
from nengo.exceptions import ValidationError

import nengo_dl
from nengo_dl.config import configure_settings, get_setting, resolve
from nengo_dl.run.object_settings import surrogates
from nengo_dl.run.weights import weights_of
from nengo_dl.surrogates import Arctan, StraightThrough, SuperSpike


def build(net):
    """Build a network into a model."""
    model = nengo.builder.Model()
    model.build(net)
    return model


def chosen(net):
    """Names of the trainable parameters: (label of the object, attribute)."""
    model = build(net)
    made = weights_of(model, resolve(model))
    found = {s for weight in made if weight.trainable for s in weight.members.values()}
    names = set()
    for obj in (*net.all_ensembles, *net.all_connections):
        signals = dict(model.sig[obj])
        if isinstance(obj, nengo.Ensemble):
            signals["bias"] = model.sig[obj.neurons].get("bias")
        names |= {
            (obj.label, key)
            for key in ("encoders", "bias", "weights")
            if signals.get(key) is not None and signals[key] in found
        }
    assert len(names) == len(found), "something else is trainable, too"
    return names


def two(**kwargs):
    """Two ensembles and two connections, all with labels."""
    with nengo.Network(seed=0, **kwargs) as net:
        a, b = nengo.Ensemble(5, 1, label="a"), nengo.Ensemble(6, 1, label="b")
        nengo.Connection(a, b, label="ab")
        nengo.Connection(a.neurons, b.neurons, transform=np.ones((6, 5)), label="nn")
        nengo.Probe(b, synapse=0.1)
    return net, a, b


ALL = {("a", "encoders"), ("a", "bias"), ("b", "encoders"), ("b", "bias"),
       ("ab", "weights"), ("nn", "weights")}  # fmt: skip


def test_default():
    """Encoders, biases and weights; a connection without weights has none; no probe has (T-07)."""
    net, _, _ = two()
    assert chosen(net) == ALL
    with net:
        node = nengo.Node([0])
        nengo.Connection(node, net.ensembles[0], label="plain")
        nengo.Connection(node, net.ensembles[0], transform=2, label="scalar")
        nengo.Ensemble(1, 2, neuron_type=nengo.Direct(), label="direct")
    assert chosen(net) == {*ALL, ("scalar", "weights"), ("direct", "encoders")}


def test_same_seed_as_a_probe():
    """T-05 [B]: a connection is no probe's because it has its seed."""
    net, _, _ = two()
    net.connections[0].seed = net.probes[0].seed = 5
    assert chosen(net) == ALL


def test_every_transform():
    """Sparse data and kernels of convolutions, too."""
    with nengo.Network() as net:
        pre, post = nengo.Node(np.zeros(4)), nengo.Node(size_in=4)
        nengo.Connection(pre, post, transform=nengo.Sparse((4, 4), [[0, 1]], [2.0]), label="sparse")
        for label, cls in (("conv", nengo.Convolution), ("back", nengo.ConvolutionTranspose)):
            transform = cls(1, (4, 1), kernel_size=(3,), strides=(1,), padding="same")
            nengo.Connection(pre, post, transform=transform, label=label)
    assert chosen(net) == {(label, "weights") for label in ("sparse", "conv", "back")}


def test_nothing():
    """T-01, T-02: for inference only, or by the setting; parameters are weights even so."""
    for settings in ({"inference_only": True}, {"trainable": False}):
        net, _, _ = two()
        with net:
            configure_settings(**settings)
        assert chosen(net) == set()


def test_class_and_object():
    """T-02, T-03: object before class, ensembles' neurons before ensembles for the bias."""
    net, a, b = two()
    with net:
        configure_settings(trainable=None)
    net.config[nengo.Ensemble].trainable = False
    net.config[a].trainable = True
    assert chosen(net) == ALL - {("b", "encoders"), ("b", "bias")}
    net.config[a.neurons].trainable = False
    assert chosen(net) == ALL - {("b", "encoders"), ("b", "bias"), ("a", "bias")}
    net.config[nengo.ensemble.Neurons].trainable = True
    assert chosen(net) == ALL - {("b", "encoders"), ("a", "bias")}
    net.config[net.connections[1]].trainable = False
    assert ("nn", "weights") not in chosen(net)


def test_networks():
    """T-02: inner networks go before outer ones, and what says nothing does not count."""
    with nengo.Network() as net:
        configure_settings(trainable=False)
        nengo.Ensemble(3, 1, label="top")
        with nengo.Network() as middle:
            configure_settings(trainable=True)
            nengo.Ensemble(3, 1, label="middle")
            with nengo.Network():
                configure_settings(trainable=None)
                nengo.Ensemble(3, 1, label="inner")
            with nengo.Network():
                configure_settings(trainable=False)
                nengo.Ensemble(3, 1, label="off")
    assert {label for label, _ in chosen(net)} == {"middle", "inner"}
    net.config[middle.ensembles[0]].trainable = False  # further out than the class's setting
    assert {label for label, _ in chosen(net)} == {"middle", "inner"}
    middle.config[middle.ensembles[0]].trainable = False
    # what `configure_settings` said of its neurons still holds for the bias (T-03)
    inner = {("inner", "encoders"), ("inner", "bias")}
    assert chosen(net) == inner | {("middle", "bias")}
    middle.config[middle.ensembles[0].neurons].trainable = False
    assert chosen(net) == inner


RULES = [
    (nengo.PES(), "ens", {("ab", "weights")}),
    ({"x": nengo.PES(), "y": nengo.Voja()}, "ens", {("ab", "weights"), ("b", "encoders")}),
    ([nengo.BCM(), nengo.Oja()], "neurons", {("ab", "weights")}),
    (nengo.RLS(), "neurons", {("ab", "weights")}),
]


@pytest.mark.parametrize("rule, kind, targets", RULES)
def test_learning_rules(rule, kind, targets):
    """T-04: their targets are not trained, unless somebody wants it, who is warned."""

    def network():
        with nengo.Network() as net:
            a, b = nengo.Ensemble(3, 1, label="a"), nengo.Ensemble(3, 1, label="b")
            if kind == "ens":
                nengo.Connection(a, b, learning_rule_type=rule, label="ab")
            else:
                nengo.Connection(a.neurons, b.neurons, transform=np.ones((3, 3)), label="ab",
                                 learning_rule_type=rule)  # fmt: skip
        return net

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rest = chosen(network())
    assert not rest & targets and ("a", "encoders") in rest
    net = network()
    with net:
        configure_settings(trainable=True)
    with pytest.warns(UserWarning, match="learning rule") as record:
        assert chosen(net) == rest | targets
    assert len([w for w in record if "learning rule" in str(w.message)]) == len(targets)


def test_without_toplevel(Sim):
    """T-08: a model of which no network is known has nothing to train, and says so."""
    net, _, _ = two()
    model = build(net)
    model.toplevel = None
    with pytest.warns(UserWarning, match="top-level"):
        sim = Sim(None, model=model)
    assert not sim.keras_model.trainable_weights and sim.keras_model.weights


def test_weights_of_the_model(Sim):
    """The Keras model has the parameters of the network, the trainable ones first."""
    net, a, b = two()
    with net:
        configure_settings(trainable=None)
    net.config[a].trainable = False
    sim = Sim(net)
    model = sim.keras_model
    flags = [weight.trainable for weight in model.weights]
    assert flags == sorted(flags, reverse=True)
    # trainable: b's encoders and bias, both connections; not: a's; no gains, no decoder of a probe
    shapes = {weight.name: tuple(weight.shape) for weight in model.weights}
    assert shapes == {
        "b.encoders": (1, 6), "b.bias": (6,), "ab.weights": (5, 1), "nn.weights": (5, 6),
        "a.encoders": (1, 5), "a.bias": (5,),
    }  # fmt: skip
    assert flags == [True] * 4 + [False] * 2
    for ens in (a, b):
        sig = sim.model.sig[ens.neurons]["bias"]
        assert sim.plan.trainable[sim.plan.place(sig).index] == (ens is b)


def test_values_of_trainable_ones_are_not_relied_on(Sim):
    """T-11: identities, ones and zeros stay: training may change them, or a file.

    So they do where they are not trained. (NengoDL leaves those out, and runs the original numbers
    after others were loaded.)
    """
    for trainable in (True, False):
        with nengo.Network() as net:
            configure_settings(trainable=trainable)
            node, out = nengo.Node([1, 2]), nengo.Node(size_in=2)
            for transform in (np.eye(2), np.zeros((2, 2)), 1.0):
                nengo.Connection(node, out, transform=transform, synapse=None)
            ens = nengo.Ensemble(4, 2, bias=np.zeros(4), gain=np.ones(4))
            nengo.Connection(out, ens)
            nengo.Probe(ens.neurons)
            nengo.Probe(out)
        sim = Sim(net)
        places = [sim.plan.place(sim.model.sig[c]["weights"]) for c in net.connections[:3]]
        assert None not in places
        assert [sim.plan.trainable[place.index] for place in places] == [trainable] * 3
        for place in places:
            size = sim.plan.params[place.index].size
            sim.tensor_graph.set_param(place.index, np.full(size, 2.0))
        sim.run_steps(1)
        np.testing.assert_array_equal(sim.data[net.probes[1]], [[2 * 3 * 2 + 2, 2 * 3 * 2 + 4]])


def test_surrogate():
    """The innermost network's, an ensemble's own, by name or as an instance."""
    with nengo.Network() as net:
        configure_settings(surrogate="SuperSpike")
        a = nengo.Ensemble(3, 1)
        with nengo.Network() as inner:
            configure_settings(surrogate=Arctan(0.5))
            b, c = nengo.Ensemble(3, 1), nengo.Ensemble(3, 1)
        with nengo.Network():
            configure_settings(surrogate=None)
            d = nengo.Ensemble(3, 1, neuron_type=nengo.PoissonSpiking(nengo.LIFRate()))
    inner.config[c].surrogate = "StraightThrough"
    model = build(net)
    find = surrogates(model)
    found = {op.output: find(op) for op in model.operators if hasattr(op, "neurons")}
    due = {a: SuperSpike(), b: Arctan(0.5), c: StraightThrough(), d: SuperSpike()}
    for ens, surrogate in due.items():
        assert found[model.sig[ens.neurons]["out"]] == surrogate
    with pytest.raises(ValidationError, match="surrogate"):
        inner.config[c].surrogate = "Surprise"


def test_surrogate_in_the_plan(Sim):
    """A surrogate keeps the spikes in training; the rest is trained by its rates."""
    with nengo.Network() as net:
        configure_settings(surrogate=None)
        a, b = nengo.Ensemble(3, 1), nengo.Ensemble(4, 1)
        nengo.Connection(a, b)
        nengo.Probe(b)
    net.config[a].surrogate = nengo_dl.surrogates.Triangle(0.3)
    text = str(Sim(net).plan)
    assert "LIF (3 neurons): spikes, with surrogate triangle (width 0.3)" in text
    assert "LIF (4 neurons): as LIFRate" in text


@pytest.mark.parametrize("value", [-1, 1.5, True, "1 GiB"])
def test_tape_memory_values(value):
    with nengo.Network() as net:
        with pytest.raises(ValidationError, match="tape_memory"):
            configure_settings(tape_memory=value)
        configure_settings(tape_memory=np.int64(1000))
    assert get_setting(net, "tape_memory") == 1000


def test_settings_reach_the_layer(Sim):
    with nengo.Network() as net:
        configure_settings(tape_memory=12345, learning_phase=True, lif_smoothing=0.05)
        nengo.Probe(nengo.Ensemble(3, 1))
    sim = Sim(net)
    layer = sim.tensor_graph
    assert layer.learning_phase is True and layer.training_ops[0]._attrs["memory"] == 12345
    types = [op.attrs["type"] for op in sim.plan.pieces[0].training.ops() if op.kind == "neurons"]
    assert types == ["SoftLIFRate"]
    with net:
        configure_settings(inference_only=True, learning_phase=False)
    sim = Sim(net)
    assert not sim.plan.trains and sim.tensor_graph.training_ops is None
    assert "In training" not in str(sim.plan)


@pytest.mark.parametrize("eagerly", [False, True])
@pytest.mark.parametrize(
    "make",
    [
        lambda: keras.optimizers.Adam(1e-3),
        lambda: keras.optimizers.SGD(0.1, global_clipnorm=1.0),
        lambda: keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.1)),
    ],
)
def test_losses_that_no_trainable_weight_takes_part_in(Sim, make, eagerly):
    """As in NengoDL: losses are computed, and nothing changes; but with a warning."""
    with nengo.Network() as net:
        node = nengo.Node([0.0])
        out, other = (
            nengo.Probe(node if layer is None else nengo_dl.Layer(layer)(node))
            for layer in (None, keras.layers.Dense(1))
        )
    sim, optimizer = Sim(net, minibatch_size=2), make()
    sim.compile(optimizer, loss={out: "mse"}, run_eagerly=eagerly)
    before = [weight.numpy() for weight in sim.keras_model.trainable_weights]
    assert len(before) == 2
    data = {"x": np.full((4, 3, 1), 2.0), "y": {out: np.zeros((4, 3, 1))}}
    with pytest.warns(UserWarning, match="No gradient of the losses reaches"):
        history = sim.fit(**data, epochs=2, verbose=0).history
    assert history["loss"] == [4.0, 4.0]
    for weight, value in zip(sim.keras_model.trainable_weights, before, strict=True):
        assert weight.numpy().tobytes() == value.tobytes()
    # one that takes part is trained as ever, and the optimizer is Keras' own again
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sim.compile(optimizer, loss={other: "mse"}, run_eagerly=eagerly)
        sim.fit(data["x"], {other: np.ones((4, 3, 1))}, epochs=1, verbose=0)
    assert not np.array_equal(sim.keras_model.trainable_weights[0].numpy(), before[0])
    assert "_filter_empty_gradients" not in vars(getattr(optimizer, "inner_optimizer", optimizer))
