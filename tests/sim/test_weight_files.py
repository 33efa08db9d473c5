"""Weights by parameters: names, shapes, and files that other forms of the network can load."""

import subprocess
import sys
import textwrap

import keras
import nengo
import numpy as np
import pytest
import tensorflow as tf

from nengo_dl.config import configure_settings

TWINS = {  # rate form and spiking form
    "lif": (nengo.LIFRate(), nengo.LIF()),
    "relu": (nengo.RectifiedLinear(), nengo.SpikingRectifiedLinear()),
    "adaptive": (nengo.AdaptiveLIFRate(), nengo.AdaptiveLIF()),
    "poisson": (nengo.LIFRate(), nengo.PoissonSpiking(nengo.LIFRate())),
    "regular": (nengo.RectifiedLinear(), nengo.RegularSpiking(nengo.RectifiedLinear())),
    "stochastic": (nengo.Tanh(), nengo.StochasticSpiking(nengo.Tanh())),
}


def network(neuron_type=None, probes=(), dtype="float32", **settings):
    """Ensembles with and without labels, of one shape and of others, in two networks."""
    with nengo.Network(seed=0) as net:
        configure_settings(dtype=dtype, **settings)
        if neuron_type is not None:
            net.config[nengo.Ensemble].neuron_type = neuron_type
            net.config[nengo.Ensemble].max_rates = nengo.dists.Uniform(100, 120)
        u = nengo.Node([0.3, -0.2])
        net.a = nengo.Ensemble(20, 2, label="a")
        net.twins = [nengo.Ensemble(15, 1) for _ in range(3)]
        with nengo.Network(label="inner"):
            net.inner = nengo.Ensemble(20, 2)
            net.ring = nengo.Connection(net.inner.neurons, net.inner, transform=np.zeros((2, 20)),
                                        label="ring")  # fmt: skip
        out = nengo.Node(size_in=2)
        net.conns = [nengo.Connection(u, net.a, transform=[[1, 0.2], [0, 1]])]
        net.conns += [nengo.Connection(net.a[0], twin) for twin in net.twins]
        net.conns += [nengo.Connection(twin, net.inner[0], synapse=0.01) for twin in net.twins]
        weights = np.random.RandomState(1).randn(2, 20) * 1e-3
        net.conns.append(nengo.Connection(net.inner.neurons, out, transform=weights))
        net.conns.append(nengo.Connection(out, net.a, transform=0.1, synapse=0.1))
        net.out = nengo.Probe(out)
        for what in probes:
            nengo.Probe(what(net), synapse=0.02)
    return net


PROBES = [lambda net: net.a, lambda net: net.twins[1], lambda net: net.inner[1]]
OTHERS = {  # another form of the network, and another simulator of it
    "probes": (dict(probes=PROBES), {}),
    "minibatch": ({}, dict(minibatch_size=3)),
    "inference_only": (dict(inference_only=True), {}),
    "float64": (dict(dtype="float64"), {}),
    "settings": (dict(simplifications=[], stateful=False, learning_phase=False), {}),
}


def train(sim, seed=1):
    """Stands for training."""
    rng = np.random.RandomState(seed)
    for weight in sim.keras_model.trainable_weights:
        weight.assign(weight.value.numpy() * rng.uniform(0.7, 1.3, weight.shape))


def assert_same_parameters(net, sim, other_net, other):
    """Parameters of all objects are equal, up to single precision."""
    pairs = [(net.a, other_net.a), (net.inner, other_net.inner)]
    pairs += zip(net.twins, other_net.twins, strict=True)
    for mine, theirs in pairs:
        for what in ("scaled_encoders", "bias"):
            values = getattr(sim.data[mine], what), getattr(other.data[theirs], what)
            np.testing.assert_array_equal(*(np.float32(v) for v in values))
    for mine, theirs in zip(net.conns, other_net.conns, strict=True):
        values = sim.data[mine].weights, other.data[theirs].weights
        np.testing.assert_array_equal(*(np.float32(v) for v in values))


class Files:
    """The ways to save and load."""

    def npz(self, sim, other, path):
        sim.save_params(path)
        other.load_params(path)

    def h5(self, sim, other, path):
        sim.keras_model.save_weights(f"{path}.weights.h5")
        other.keras_model.load_weights(f"{path}.weights.h5")

    def checkpoint(self, sim, other, path):
        saved = tf.train.Checkpoint(model=sim.keras_model).write(str(path))
        tf.train.Checkpoint(model=other.keras_model).read(saved).assert_existing_objects_matched()


@pytest.mark.parametrize("way", ["npz", "h5", "checkpoint"])
@pytest.mark.parametrize("form", OTHERS)
def test_another_form_of_the_network(Sim, tmp_path, form, way):
    """There and back: it is the parameters that are saved, not how they are stored."""
    changed, simulator = OTHERS[form]
    if way == "checkpoint" and form == "float64":
        pytest.skip("TensorFlow's checkpoints restore values in the precision they have")
    first, second = network(), network(**changed)
    for nets, kwargs in (((first, second), ({}, simulator)), ((second, first), (simulator, {}))):
        sim, other = (Sim(net, **options) for net, options in zip(nets, kwargs, strict=True))
        if not sim.keras_model.trainable_weights:  # inference only: load, then hand on
            train(sim_of_training := Sim(first))
            Files().npz(sim_of_training, sim, tmp_path / "trained")
        train(sim)
        getattr(Files(), way)(sim, other, tmp_path / "file")
        assert_same_parameters(nets[0], sim, nets[1], other)
        built = other.model.params[nets[1].a].bias
        assert np.any(np.abs(other.data[nets[1].a].bias - built) > 1e-3), "nothing was loaded"


@pytest.mark.parametrize("kind", TWINS)
def test_rates_then_spikes(Sim, tmp_path, kind):
    """A rate network is trained without, its spiking twin is run with an evaluation Probe."""
    rates, spikes = (network(neuron_type, probes) for neuron_type, probes in
                     zip(TWINS[kind], ([], PROBES), strict=True))  # fmt: skip
    sim, other = Sim(rates, minibatch_size=2), Sim(spikes)
    train(sim)
    for way in ("npz", "h5"):
        other.reset()
        getattr(Files(), way)(sim, other, tmp_path / "file")
        assert_same_parameters(rates, sim, spikes, other)


def test_what_is_loaded_is_what_runs(Sim, tmp_path):
    """Also where ops with the built values were simplified, and where nothing is trained."""
    for settings in ({}, {"inference_only": True}, {"trainable": False}):
        with nengo.Network(seed=0) as net:
            configure_settings(dtype="float64", **settings)
            u, out = nengo.Node([1.0, 2.0]), nengo.Node(size_in=2)
            conn = nengo.Connection(u, out, transform=np.eye(2), synapse=None, label="c")
            p = nengo.Probe(out)
        sim = Sim(net)
        np.savez(tmp_path / "p.npz", **{"c.weights": [[0.0, 3.0], [5.0, 0.0]]})
        sim.load_params(tmp_path / "p")
        sim.run_steps(1)
        np.testing.assert_array_equal(sim.data[p], [[6, 5]])
        np.testing.assert_array_equal(sim.data[conn].weights, [[0, 3], [5, 0]])
        np.testing.assert_array_equal(sim.keras_model.weights[0], [[0, 5], [3, 0]])


def test_names_and_shapes(Sim):
    """S-67: matrices have inputs first; equal ones share a weight; names have no addresses."""
    expected = {
        "encoders_20x2": (2, 2, 20), "bias_20": (2, 20),
        "encoders_15x1": (3, 1, 15), "bias_15": (3, 15),
        "Node_0_to_a.weights": (2, 2), "weights_1x15": (3, 15, 1), "weights_1x20": (3, 20, 1),
        "inner.Ensemble_0.neurons_to_Node_1.weights": (20, 2), "Node_1_to_a.weights": (),
        "inner.ring.weights": (20, 2),
    }  # fmt: skip
    for probes in ([], PROBES):
        model = Sim(network(probes=probes)).keras_model
        assert {w.name: tuple(w.shape) for w in model.weights} == expected
    # what is not trained has a weight of its own
    net = network(trainable=None)
    net.config[net.twins[0]].trainable = False
    weights = {w.name: w for w in Sim(net).keras_model.weights}
    assert tuple(weights["bias_15"].shape) == (2, 15)
    fixed = weights["Ensemble_1.bias"]
    assert tuple(fixed.shape) == (15,) and not fixed.trainable


def test_names_in_another_process(Sim, tmp_path):
    """They are the same in every process, whatever was made before."""
    code = """
    import sys
    import nengo
    nengo.Network().__enter__()
    [nengo.Ensemble(3, 1) for _ in range(7)]
    nengo.Network.context.clear()
    import nengo_dl
    from test_weight_files import network, train
    sim = nengo_dl.Simulator(network(), progress_bar=False)
    train(sim, seed=5)
    sim.keras_model.save_weights(sys.argv[1] + ".weights.h5")
    sim.save_params(sys.argv[1])
    sim.close()
    """
    path, folder = str(tmp_path / "x"), __file__.rsplit("/", 1)[0]
    subprocess.run([sys.executable, "-c", textwrap.dedent(code), path], check=True, cwd=folder)
    first, second = Sim(network()), Sim(network())
    first.keras_model.load_weights(path + ".weights.h5")
    second.load_params(path)
    here = Sim(network())
    train(here, seed=5)
    for weights in zip(*(s.keras_model.weights for s in (first, second, here)), strict=True):
        values = [w.value.numpy() for w in weights]
        np.testing.assert_array_equal(values[0], values[1])
        np.testing.assert_array_equal(values[0], values[2])


def test_many_objects_have_few_weights(Sim):
    """A Keras variable for each parameter of a thousand ensembles would take seconds."""
    with nengo.Network(seed=0) as net:
        u = nengo.Node([0.1])
        for _ in range(1000):
            ens = nengo.Ensemble(2, 1, eval_points=np.linspace(-1, 1, 5)[:, None])
            nengo.Connection(u, ens, transform=0.5)
            nengo.Probe(ens)
    model = Sim(net).keras_model
    shapes = {w.name: tuple(w.shape) for w in model.weights}
    assert shapes == {
        "encoders_2x1": (1000, 1, 2), "bias_2": (1000, 2), "layers_weights_scalar": (1000,),
    }  # fmt: skip


OPTIMIZERS = {
    "sgd": lambda: keras.optimizers.SGD(0.1, momentum=0.9, clipnorm=0.05, weight_decay=0.01),
    "adafactor": lambda: keras.optimizers.Adafactor(0.05),
    "adamw": lambda: keras.optimizers.AdamW(0.01, weight_decay=0.1),
    "lion": lambda: keras.optimizers.Lion(0.01),
    "muon": lambda: keras.optimizers.Muon(0.05),
    "lamb": lambda: keras.optimizers.Lamb(0.02),
}


@pytest.mark.parametrize("sizes", [(6, 4, 3), (4, 4, 4), (3, 12, 1)])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_trains_as_dense_does(Sim, name, sizes):
    """A linear network has the weights of `keras.layers.Dense`: optimizers do the same to both."""
    if name == "muon" and keras.__version__.startswith("3.12."):
        pytest.skip("this Muon fails with Dense layers, too")
    rng = np.random.RandomState(0)
    matrices = [rng.randn(m, n) * 0.5 for n, m in zip(sizes, sizes[1:], strict=False)]
    with nengo.Network(seed=0) as net:
        configure_settings(dtype="float64")
        nodes = [nengo.Node(np.zeros(sizes[0]))]
        for matrix in matrices:
            nodes.append(nengo.Node(size_in=len(matrix)))
            nengo.Connection(nodes[-2], nodes[-1], transform=matrix, synapse=None)
        nengo.Probe(nodes[-1])
    sim = Sim(net, minibatch_size=8)
    dtype = {"dtype": "float64"}
    layers = [keras.layers.Dense(m, use_bias=False, **dtype) for m in sizes[1:]]
    model = keras.Sequential([keras.Input((sizes[0],), **dtype), *layers])
    model.set_weights([matrix.T for matrix in matrices])
    x, y = rng.randn(80, sizes[0]), rng.randn(80, sizes[-1])
    before = keras.backend.floatx()
    keras.backend.set_floatx("float64")
    try:
        model.compile(OPTIMIZERS[name](), loss="mse")
        model.fit(x, y, batch_size=8, epochs=1, shuffle=False, verbose=0)
    finally:
        keras.backend.set_floatx(before)
    sim.compile(OPTIMIZERS[name](), loss="mse")
    sim.fit(x[:, None], y[:, None], epochs=1, shuffle=False, verbose=0)
    for ours, theirs, start in zip(sim.keras_model.weights, model.weights, matrices, strict=True):
        assert np.max(np.abs(ours.value.numpy() - start.T)) > 1e-3
        np.testing.assert_allclose(ours.value.numpy(), theirs.value.numpy(), rtol=0, atol=1e-6)
