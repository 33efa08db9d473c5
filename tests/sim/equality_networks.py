"""Larger and odder networks for `test_equals_nengo`; they join those of tests/plan/networks.py."""

import nengo
import numpy as np
import scipy.sparse
from nengo import processes, solvers, spa
from nengo.dists import Choice, Exponential, Gaussian, Uniform

MORE = {}


def network(function):
    """Register a function that builds a network inside the open context."""
    MORE[function.__name__] = function
    return function


def sine(size=1):
    return nengo.Node(lambda t: np.sin(20 * t + np.arange(size)), label="sine")


def probe_all(obj):
    """Probe whatever Nengo lets one probe, plain and filtered."""
    for attribute in obj.probeable:
        nengo.Probe(obj, attribute)
        nengo.Probe(obj, attribute, synapse=0.01)


@network
def everything_probeable():
    u = sine(2)
    through = nengo.Node(size_in=2)
    nengo.Connection(u, through, synapse=None)
    for kind in (nengo.LIF(), nengo.AdaptiveLIF(), nengo.Izhikevich(), nengo.RectifiedLinear()):
        a = nengo.Ensemble(9, 2, neuron_type=kind)
        conn = nengo.Connection(a, a[::-1], function=lambda x: x * 0.5, synapse=0.05)
        nengo.Connection(through, a)
        for obj in (a, a.neurons, conn):
            probe_all(obj)
    probe_all(u)
    probe_all(through)


RULES = {
    "pes": (nengo.PES(1e-3), False),
    "pes_weights": (nengo.PES(1e-3, pre_synapse=nengo.Alpha(0.01)), True),
    "rls": (nengo.RLS(1e-2), False),
    "rls_weights": (nengo.RLS(1e-2), True),
    "bcm": (nengo.BCM(1e-9), True),
    "oja": (nengo.Oja(1e-6), True),
    "voja": (nengo.Voja(), False),
    "pes_and_voja": ([nengo.PES(1e-3), nengo.Voja()], False),
    "bcm_and_oja": ({"a": nengo.BCM(1e-9), "b": nengo.Oja(1e-6)}, True),
}


def _learning(rule, weights):
    u = sine()
    a, b = nengo.Ensemble(12, 1), nengo.Ensemble(11, 1)
    nengo.Connection(u, a)
    solver = solvers.LstsqL2(weights=weights)
    conn = nengo.Connection(a, b, solver=solver, learning_rule_type=rule)
    rules = conn.learning_rule
    if not isinstance(rules, (list, dict)):
        rules = [rules]
    for one in rules.values() if isinstance(rules, dict) else rules:
        if one.size_in:
            nengo.Connection(u, one)
        probe_all(one)
    probe_all(conn)
    probe_all(b)


for _name, _rule in RULES.items():
    MORE[f"learning_{_name}"] = lambda rule=_rule: _learning(*rule)


@network
def unseeded_noise():
    """Everything that draws its seed from the simulator's, natively and in Python."""
    for process in (
        processes.WhiteNoise(),
        processes.WhiteNoise(Exponential(1.0)),
        processes.WhiteNoise(Uniform(0, 1), scale=False),
        processes.WhiteNoise(Uniform(0, 5, integer=True)),
        processes.WhiteNoise(Choice([np.ones(6), np.zeros(6)])),
        processes.WhiteNoise(Gaussian(0, 1), seed=8),
        processes.FilteredNoise(),
        processes.FilteredNoise(nengo.Alpha(0.01)),
        processes.FilteredNoise(nengo.Triangle(0.01)),
        processes.FilteredNoise(nengo.LinearFilter([1, 0.1], [0.01, 0.1, 1])),
        processes.BrownNoise(),
        processes.WhiteSignal(0.05, high=100),
        processes.WhiteSignal(1.0, high=5, rms=0.3, y0=0.1),
        processes.PresentInput(np.eye(6), 0.003),
        processes.Piecewise({0.01: np.arange(6.0), 0.02: np.zeros(6)}),
    ):
        a = nengo.Ensemble(6, 1, noise=process)
        nengo.Connection(sine(), a)
        nengo.Probe(a.neurons, "input")
        nengo.Probe(a.neurons)
        nengo.Probe(nengo.Node(process, size_out=6))
    for kind in (nengo.StochasticSpiking, nengo.PoissonSpiking):
        nengo.Probe(nengo.Ensemble(9, 1, neuron_type=kind(nengo.LIFRate())).neurons)


@network
def piecewise_interpolation():
    data = {0.0: [0.0], 0.01: [1.0], 0.02: [2.0], 0.03: [5.0], 0.05: [2]}
    for how in ("linear", "nearest", "slinear", "quadratic", "cubic"):
        nengo.Probe(nengo.Node(processes.Piecewise(data, interpolation=how)))


@network
def sampled_probes():
    a = nengo.Ensemble(20, 1)
    conn = nengo.Connection(a, a, solver=solvers.LstsqL2(weights=True), synapse=nengo.Alpha(0.01))
    for every in (0.001, 0.002, 0.0015, 0.0033, 0.0107, 0.0005):
        nengo.Probe(a, sample_every=every)
    nengo.Probe(conn, "weights", synapse=0.01, sample_every=0.02)


@network
def all_solvers():
    a, b = nengo.Ensemble(20, 2), nengo.Ensemble(15, 2)
    nengo.Connection(sine(2), a)
    for solver in (
        solvers.Lstsq(),
        solvers.LstsqNoise(),
        solvers.LstsqL2nz(),
        solvers.NoSolver(np.full((20, 2), 0.01)),
        solvers.LstsqDrop(drop=0.3),
        solvers.LstsqL2(weights=True),
    ):
        nengo.Probe(nengo.Connection(a, b, solver=solver), "weights")
    nengo.Probe(b.neurons)


@network
def networks_of_nengo():
    memory = nengo.networks.InputGatedMemory(20, 2, feedback=1, difference_gain=2.0)
    nengo.Connection(sine(2), memory.input)
    nengo.Connection(sine(), memory.gate)
    nengo.Connection(nengo.Node(lambda t: t > 0.03), memory.reset)
    nengo.Probe(memory.output)
    associative = nengo.networks.AssociativeMemory(np.eye(4), threshold=0.2)
    associative.add_wta_network()
    associative.add_default_output_vector(np.ones(4))
    associative.add_threshold_to_outputs()
    nengo.Connection(sine(4), associative.input)
    nengo.Probe(associative.output)
    product = nengo.networks.Product(30, 3)
    bind = nengo.networks.CircularConvolution(20, 3, invert_a=True, invert_b=True)
    for target in (product.input_a, product.input_b, bind.input_b):
        nengo.Connection(sine(3), target)
    nengo.Connection(product.output, bind.input_a)
    nengo.Probe(bind.output, synapse=0.01)
    array = nengo.networks.EnsembleArray(20, 4, ens_dimensions=2, radius=2)
    array.add_output("each", [lambda x: x[0] * x[1], lambda x: x[0], np.sum, lambda x: x[1]])
    nengo.Connection(sine(80), array.add_neuron_input(), transform=0.1)
    nengo.Connection(array.output, array.input, synapse=0.1)
    nengo.Probe(array.each)
    nengo.Probe(array.add_neuron_output())


@network
def odd_nodes():
    nengo.Node(lambda t: None)
    nengo.Node()
    nengo.Node(size_in=2)
    sink = nengo.Node(lambda t, x: None, size_in=2, size_out=0)
    nengo.Connection(sine(2), sink)
    nengo.Probe(sine(2))


@network
def direct_ensembles():
    a = nengo.Ensemble(1, 2, neuron_type=nengo.Direct())
    b = nengo.Ensemble(50, 1, neuron_type=nengo.Direct())
    nengo.Connection(sine(2), a)
    conn = nengo.Connection(a, b, function=lambda x: x[0] * x[1])
    nengo.Connection(b, a[0], synapse=0.02)
    probe_all(a)
    probe_all(b)
    nengo.Probe(conn, "output")
    nengo.Probe(conn, "input")


@network
def nothing():
    """An empty network."""


@network
def noise_in_python_behind_python():
    """Which adds to what a function's values come to in the same step."""
    noise = nengo.processes.WhiteNoise(nengo.dists.Exponential(0.1), seed=1)
    stim, ens = sine(), nengo.Ensemble(20, 1, noise=noise)
    echo = nengo.Node(lambda t, x: x, size_in=1)
    nengo.Connection(stim, echo, synapse=None)
    nengo.Connection(echo, ens, synapse=None)
    nengo.Connection(stim, ens, function=np.square, synapse=None)
    nengo.Probe(ens)
    direct = nengo.Ensemble(1, 1, neuron_type=nengo.Direct(), noise=noise)
    nengo.Connection(echo, direct, synapse=None)
    nengo.Probe(direct)


@network
def channels_last():
    """Large signals whose elements take turns in one."""
    channels = [nengo.Node(np.full(70_000, float(k + 1))) for k in range(2)]
    image, back = nengo.Node(size_in=140_000), nengo.Node(size_in=140_000)
    order = np.random.RandomState(0).permutation(140_000)
    for k, channel in enumerate(channels):
        nengo.Connection(channel, image[k::2], synapse=None)
        nengo.Connection(channel, back[order[k::2]], synapse=None)
    nengo.Probe(image[[0, 1, 139_999]])
    nengo.Probe(back[[0, 1, 139_999]])


@network
def sparse_without_entries():
    """A matrix of zeros, of which nothing is stored."""
    source, ens = sine(2), nengo.Ensemble(10, 1)
    empty = nengo.Sparse((1, 2), init=scipy.sparse.csr_matrix((1, 2)))
    nengo.Connection(source, ens, transform=empty)
    nengo.Connection(source[0], ens)
    nengo.Probe(ens.neurons)
    out = nengo.Node(size_in=1)
    nengo.Connection(source, out, transform=empty, synapse=None)
    nengo.Probe(out)


@network
def no_probes():
    nengo.Connection(sine(), nengo.Ensemble(10, 1))


@network
def semantic_pointers():
    """A model of nengo.spa with over 200 ensembles."""
    vocabulary = spa.Vocabulary(16, rng=np.random.RandomState(0))
    vocabulary.parse("A+B+C")
    small = {"vocab": vocabulary, "subdimensions": 1, "neurons_per_dimension": 20}
    with spa.SPA(seed=2) as model:
        model.state = spa.State(16, feedback=1.0, **small)
        model.buffer = spa.Buffer(16, **small)
        model.memory = spa.Memory(16, **small)
        model.compare = spa.Compare(16, vocab=vocabulary, neurons_per_multiply=40)
        model.bind = spa.Bind(16, vocab=vocabulary, n_neurons=40)
        model.associate = spa.AssociativeMemory(vocabulary)
        actions = spa.Actions(
            "dot(state, A) --> state=B, memory=state",
            "dot(state, B) --> state=A, buffer=state*memory",
            "0.5 --> buffer=A",
        )
        model.ganglia = spa.BasalGanglia(actions)
        model.thalamus = spa.Thalamus(model.ganglia)
        model.given = spa.Input(state=lambda t: "A" if t < 0.02 else "0")
        model.cortex = spa.Cortical(
            spa.Actions(
                "compare_A=state",
                "compare_B=bind",
                "bind_A=state",
                "bind_B=buffer",
                "associate=memory",
            )  # fmt: skip
        )
    for module in (model.state, model.buffer.state, model.memory.state, model.compare):
        nengo.Probe(module.output, synapse=0.01)
    nengo.Probe(model.associate.output)
    nengo.Probe(model.state.all_ensembles[0].neurons)
