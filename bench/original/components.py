"""SPEC 5 (and parts of 6): neurons, distributions, losses, utils, benchmarks."""

import nengo
import numpy as np
import tensorflow as tf
from models import network, outcome, rows, simulator, texts
from training_networks import decode, ensemble

from nengo_dl import dists, losses, neurons, utils


def _ran(neuron_type, steps=60, probes=("output",)):
    """Neurons with a current each, which changes in time."""
    net = network()
    with net:
        current = nengo.Node(lambda t: 2 * np.sin(30 * t) * np.linspace(-1, 1.5, 8))
        given = {"gain": np.ones(8), "bias": np.linspace(0.5, 1.5, 8), "encoders": np.ones((8, 1))}
        ens = nengo.Ensemble(8, 1, neuron_type=neuron_type, **given)
        nengo.Connection(current, ens.neurons, synapse=None)
        found = {name: nengo.Probe(ens.neurons, name) for name in probes}
    with simulator(net) as sim:
        sim.run_steps(steps)
        return {name: sim.data[probe] for name, probe in found.items()}


def lif():
    """O-03, O-13: spikes, voltages and refractory times."""
    return _ran(
        nengo.LIF(tau_rc=0.01, tau_ref=0.003, amplitude=0.5),
        probes=("output", "voltage", "refractory_time"),
    )


def lif_rate():
    """O-01."""
    return _ran(nengo.LIFRate(amplitude=2))


def rectified():
    """O-01, O-02."""
    spikes = _ran(nengo.SpikingRectifiedLinear(amplitude=0.1), probes=("output", "voltage"))
    return {**spikes, "rates": _ran(nengo.RectifiedLinear(amplitude=3))["output"]}


def sigmoid_and_tanh():
    """O-01."""
    return {
        "sigmoid": _ran(nengo.Sigmoid())["output"],
        "tanh": _ran(nengo.Tanh(tau_ref=0.01))["output"],
    }


def adaptive():
    """O-05: in Python there, native here."""
    return {
        "spikes": _ran(nengo.AdaptiveLIF(tau_n=0.05, inc_n=0.02))["output"],
        "rates": _ran(nengo.AdaptiveLIFRate(tau_n=0.05, inc_n=0.02))["output"],
    }


def izhikevich():
    """O-05."""
    return _ran(nengo.Izhikevich(), probes=("output", "voltage", "recovery"))


def regular_spiking():
    """O-04: spikes of a rate neuron, without chance."""
    initial = {"voltage": nengo.dists.Choice([0.25])}
    return _ran(nengo.RegularSpiking(nengo.LIFRate(), initial_state=initial))


def soft_lif():
    """M-01."""
    found = {"rates": _ran(neurons.SoftLIFRate(sigma=0.1, tau_rc=0.03))["output"]}
    currents = np.linspace(-30, 10, 50)
    found["curve"] = neurons.SoftLIFRate(sigma=0.5).rates(currents, 1, 0.2)
    found["one"] = neurons.SoftLIFRate().rates(currents, 2, 0)
    found["texts"] = texts([neurons.SoftLIFRate(), neurons.SoftLIFRate(sigma=0.5)])
    found["sigma"] = outcome(lambda: neurons.SoftLIFRate(sigma=0))
    return found


def leaky():
    """M-02."""
    spiking = neurons.SpikingLeakyReLU(negative_slope=0.2, amplitude=0.05)
    found = _ran(spiking, probes=("output", "voltage"))
    found["rates"] = _ran(neurons.LeakyReLU(amplitude=2))["output"]
    kinds = (neurons.LeakyReLU, neurons.SpikingLeakyReLU)
    found["subclasses"] = [issubclass(kind, nengo.RectifiedLinear) for kind in kinds]
    found["negative"] = [kind().negative for kind in kinds]
    found["texts"] = texts([neurons.LeakyReLU(), spiking])
    return found


def custom_neurons():
    """E-01, E-05, O-05: a type that nobody knows."""

    class Squared(nengo.neurons.RectifiedLinear):
        def step(self, dt, J, output):
            output[...] = np.maximum(J, 0) ** 2

    return _ran(Squared())


def synapses():
    """O-08 to O-10: filters."""
    found = {}
    for name, synapse in {
        "lowpass": 0.01,
        "zero": 0,
        "none": None,
        "alpha": nengo.Alpha(0.01),
        "linear": nengo.LinearFilter([1, 0.3], [0.002, 0.05, 1]),
        "through": nengo.LinearFilter([0.5, 1], [0.02, 1]),
        "discrete": nengo.LinearFilter([0.2, 0.1], [1, -0.5, 0.1], analog=False),
        "triangle": nengo.synapses.Triangle(0.004),
    }.items():
        net = network()
        with net:
            source = nengo.Node(lambda t: [np.sin(100 * t), 1])
            p = nengo.Probe(source, synapse=synapse)
        with simulator(net) as sim:
            sim.run_steps(30)
            found[name] = sim.data[p]
    return found


def transforms():
    """O-11, O-16: convolutions, transposed ones, padding, strides, order of axes."""
    found = {}
    x = rows(32)
    for name, transform in {
        "valid": nengo.Convolution(3, (4, 4, 2), init=rows(3, 3, 2, 3)),
        "same": nengo.Convolution(
            3, (4, 4, 2), strides=(2, 2), padding="same", init=rows(3, 3, 2, 3)
        ),
        "first": nengo.Convolution(3, (2, 4, 4), channels_last=False, init=rows(3, 3, 2, 3)),
        "line": nengo.Convolution(2, (16, 2), kernel_size=(4,), strides=(3,), init=rows(4, 2, 2)),
        "transposed": nengo.ConvolutionTranspose(
            2, (4, 4, 2), strides=(2, 2), init=rows(3, 3, 2, 2)
        ),
    }.items():
        net = network()
        with net:
            out = nengo.Node(size_in=transform.size_out)
            nengo.Connection(nengo.Node(x), out, transform=transform, synapse=None)
            p = nengo.Probe(out)
        with simulator(net) as sim:
            sim.run_steps(1)
            found[name] = sim.data[p]
    return found


def learning_rules():
    """O-15: all rules, with their signals."""
    found = {}
    for name, rule in {
        "bcm": nengo.BCM(1e-8),
        "oja": nengo.Oja(1e-6),
        "voja": nengo.Voja(0.02),
        "pes": nengo.PES(1e-3),
    }.items():
        rng, net = np.random.RandomState(0), network()
        with net:
            pre, post = (ensemble(rng, 12, 1, nengo.LIF()) for _ in range(2))
            nengo.Connection(nengo.Node([0.7]), pre, synapse=None)
            if name in ("bcm", "oja"):
                conn = nengo.Connection(
                    pre.neurons, post.neurons, transform=1e-3 * rng.rand(12, 12)
                )
                probed = "weights"
            elif name == "voja":
                conn, probed = (
                    nengo.Connection(nengo.Node([0.4]), post, synapse=None),
                    "scaled_encoders",
                )
            else:
                conn, probed = decode(rng, pre, post, 1, 0.005), "weights"
                nengo.Connection(post, error := nengo.Node(size_in=1))
            conn.learning_rule_type = rule
            if name == "pes":
                nengo.Connection(error, conn.learning_rule)
            p = nengo.Probe(
                conn.learning_rule if name == "voja" else conn, probed, sample_every=0.01
            )
        with simulator(net) as sim:
            sim.run_steps(50)
            found[name] = sim.data[p]
    return found


def recursive_least_squares():
    """O-15, O-16: a rule without a builder there."""
    rng, net = np.random.RandomState(0), network()
    with net:
        pre = ensemble(rng, 12, 1, nengo.RectifiedLinear())
        post = nengo.Node(size_in=1)
        nengo.Connection(nengo.Node([0.5]), pre)
        conn = decode(rng, pre, post, 1, 0.005)
        conn.learning_rule_type = nengo.RLS()
        nengo.Connection(post, conn.learning_rule)
    return {"outcome": outcome(lambda: simulator(net).run_steps(2))}


def chance():
    """O-04, O-07: neurons that draw fire as often as they should; a class of one's own."""

    class Own(nengo.PoissonSpiking):
        pass

    found = {}
    for kind in (nengo.PoissonSpiking, nengo.StochasticSpiking, Own):

        def mean(kind=kind):
            net = network()
            with net:
                given = {
                    "gain": np.ones(200),
                    "bias": np.full(200, 50),
                    "encoders": np.ones((200, 1)),
                }
                ens = nengo.Ensemble(200, 1, neuron_type=kind(nengo.RectifiedLinear()), **given)
                p = nengo.Probe(ens.neurons)
            with simulator(net) as sim:
                sim.run_steps(100)
                found[kind.__name__] = abs(np.mean(sim.data[p]) - 50) < 3

        found[f"{kind.__name__}_outcome"] = outcome(mean)
    return found


def direct():
    """O-06: ensembles without neurons."""
    net = network()
    with net:
        ens = nengo.Ensemble(1, 2, neuron_type=nengo.Direct())
        out = nengo.Node(size_in=1)
        nengo.Connection(nengo.Node([0.4, -0.6]), ens, synapse=None)
        nengo.Connection(ens, out, function=lambda x: x[0] * x[1], synapse=0.005)
        p = nengo.Probe(out)
    with simulator(net) as sim:
        sim.run_steps(8)
        return {"p": sim.data[p], "gain": texts([sim.data[ens].gain])}


def distributions():
    """M-03: bounds and arguments; the numbers are drawn by generators of different libraries."""
    found, rng = {}, np.random.RandomState(0)
    for name, dist in {
        "truncated": dists.TruncatedNormal(0.5, 0.1),
        "limited": dists.TruncatedNormal(0, 1, limit=0.2),
        "glorot": dists.Glorot(),
        "he": dists.He(),
        "scaling": dists.VarianceScaling(2, mode="fan_out", distribution="normal"),
    }.items():
        found[name] = dist.sample(400, 300, rng=rng).shape
        found[f"{name}_vector"] = dist.sample(7, rng=rng).shape
    found["bound"] = (
        abs(np.abs(dists.Glorot().sample(50, 30, rng=rng)).max() - np.sqrt(3 / 40)) < 1e-3
    )
    found["std"] = abs(dists.He().sample(400, 300, rng=rng).std() - np.sqrt(1 / 300) * 0.88) < 0.01
    return found


def distributions_draw():
    """M-03: the numbers that a seed gives."""
    return {
        "uniform": dists.Glorot().sample(5, 4, rng=np.random.RandomState(1)),
        "he": dists.He().sample(5, 4, rng=np.random.RandomState(1)),
        "normal": dists.TruncatedNormal(0, 1).sample(5, 4, rng=np.random.RandomState(1)),
    }


def loss_functions():
    """M-04."""
    y, p = rows(2, 3, 4).astype(np.float32), rows(2, 3, 4, seed=1).astype(np.float32)
    y[0, 1] = np.nan
    found = {"nan_mse": losses.nan_mse(y, p)}
    for order in (1, 2, "euclidean", np.inf):
        found[f"order_{order}"] = losses.Regularize(order=order)(None, tf.constant(p))
    wide = tf.constant(rows(2, 3, 4, 5).astype(np.float32))
    for axis in (None, 0, 1):
        found[f"axis_{axis}"] = losses.Regularize(axis=axis)(None, wide)
    return found


def names_of_functions():
    """M-09."""
    functions = (lambda: 0, np.sin, nengo.LIF())
    return {
        "functions": texts(utils.function_name(f) for f in functions),
        "plain": texts([utils.function_name(functions[0], sanitize=False)]),
        "names": texts(utils.sanitize_name(name) for name in ("a b", "a:b", "x$/y", 3)),
    }


def aligned_functions():
    """M-09, S-24."""
    align = utils.align_func(np.float32)
    found = {f"value{i}": align(lambda v=v: v)() for i, v in enumerate((1, [1, 2], True))}
    for name, value in {"none": None, "inf": np.inf, "text": "a", "complex": 1j}.items():
        found[name] = outcome(align(lambda v=value: v))
    return found


def numpy_functions():
    """M-09: functions may change what they get."""

    def twice(x):
        x *= 2
        return x

    x = tf.constant([1.0, 2.0])
    return {"y": utils.numpy_function(twice, [x], tf.float32), "x": x}
