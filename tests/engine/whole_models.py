"""Small models of many sorts, and their runs and gradients with one backend or another."""

import importlib.util
import sys
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import nengo
import numpy as np
from nengo.processes import FilteredNoise, WhiteNoise

from nengo_dl import _engine
from nengo_dl.ir.program import Program, to_bytes
from nengo_dl.plan.training import training_program
from nengo_dl.pooling import MaxPool
from nengo_dl.surrogates import SuperSpike

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "tests" / "plan"))
from planned import build, plan, start_values  # noqa: E402


def bench_networks():
    """``bench/networks.py``; tests have a module of that name, too."""
    spec = importlib.util.spec_from_file_location("bench_networks", ROOT / "bench" / "networks.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


BENCH = bench_networks()


def basal_ganglia():
    with BENCH.basal_ganglia(3, 15)[0] as net:
        (ganglia,) = [n for n in net.networks if n.label == "Basal Ganglia"]
        nengo.Probe(ganglia.output)  # the thalamus is silent for long
    return net


def filters():
    """Synapses with one state and with many, in a loop and outside of one."""
    synapses = nengo.Alpha(0.01), nengo.Triangle(0.004), nengo.LinearFilter([1], [1e-4, 1e-2, 1])
    slow = np.poly([-100, -120, -150, -170, -200])
    high = nengo.LinearFilter(slow[-1:], slow)
    with nengo.Network(seed=1) as net:
        u = nengo.Node([0.4, -0.7])
        a = nengo.Ensemble(20, 2)
        for synapse in (*synapses, high):
            nengo.Connection(u, a, synapse=synapse)
            nengo.Connection(a, a, synapse=synapse, transform=0.2)
            nengo.Probe(a, synapse=synapse)
            nengo.Probe(u, synapse=synapse)
    return net


def noise():
    """Random numbers: processes in Nodes and ensembles, and spikes that are drawn."""
    with nengo.Network(seed=2) as net:
        u = nengo.Node([0.3])
        drawn = (nengo.StochasticSpiking, nengo.PoissonSpiking)
        types = [cls(nengo.RectifiedLinear(), amplitude=0.1) for cls in drawn]
        for neuron_type in (nengo.LIF(), *types):
            white = WhiteNoise(nengo.dists.Gaussian(0, 0.1), seed=3)
            a = nengo.Ensemble(15, 1, neuron_type=neuron_type, noise=white)
            nengo.Connection(u, a, synapse=None)
            nengo.Probe(a.neurons)
        node = nengo.Node(FilteredNoise(nengo.Alpha(0.01), seed=4), size_out=2)
        nengo.Connection(node, a, transform=[[0.5, 0.5]])
        nengo.Probe(node)
    return net


def neuron_types():
    """Ensembles of several types in a loop."""
    kinds = [nengo.AdaptiveLIF(), nengo.Izhikevich(), nengo.Tanh(), nengo.Sigmoid()]
    kinds += [nengo.SpikingRectifiedLinear(), nengo.RegularSpiking(nengo.LIFRate())]
    current = {"gain": nengo.dists.Uniform(1, 2), "bias": nengo.dists.Uniform(1, 5)}
    with nengo.Network(seed=3) as net:
        u = nengo.Node([0.6])
        total = nengo.Node(size_in=1)
        for kind in kinds:
            a = nengo.Ensemble(12, 1, neuron_type=kind, **current)
            nengo.Connection(u, a)
            nengo.Connection(total, a, transform=0.1, synapse=0.01)
            nengo.Connection(a, total, synapse=0.005)
        nengo.Probe(total)
    return net


def learning_rules():
    """All rules but PES at work."""
    with nengo.Network(seed=4) as net:
        u = nengo.Node([0.5, -0.3])
        pre, post = nengo.Ensemble(20, 2), nengo.Ensemble(15, 2)
        nengo.Connection(u, pre, learning_rule_type=nengo.Voja(learning_rate=1e-2))
        for rule in (nengo.Oja(1e-6), nengo.BCM(1e-10)):
            weights = nengo.solvers.LstsqL2(weights=True)
            nengo.Connection(pre, post, solver=weights, learning_rule_type=rule)
        learned = nengo.Connection(pre, post, learning_rule_type=nengo.RLS())
        nengo.Connection(u, learned.learning_rule, transform=-0.1)
        nengo.Probe(post, synapse=0.01)
        nengo.Probe(pre, synapse=0.01)
    return net


def image():
    """Convolutions and the largest values of windows, in a loop."""
    with nengo.Network(seed=5) as net:
        u = nengo.Node(np.linspace(-1, 1, 7 * 6 * 2) ** 2)
        first = nengo.Convolution(4, (7, 6, 2), kernel_size=(3, 3))
        pool = MaxPool(first.output_shape, 2, strides=1, padding="same")
        second = nengo.Convolution(3, pool.output_shape, (2, 3), strides=(2, 1))
        relu = {"neuron_type": nengo.RectifiedLinear(), "gain": nengo.dists.Choice([1])}
        layers = [
            nengo.Ensemble(c.size_out, 1, bias=nengo.dists.Choice([0.1]), **relu).neurons
            for c in (first, second)
        ]
        node = nengo.Node(pool, size_in=first.size_out)
        nengo.Connection(u, layers[0], transform=first, synapse=None)
        nengo.Connection(layers[0], node, synapse=None)
        nengo.Connection(node, layers[1], transform=second, synapse=0.005)
        back = nengo.dists.Uniform(-0.02, 0.02)
        nengo.Connection(layers[1], layers[0], transform=back, synapse=0.01)
        nengo.Probe(layers[1])
        nengo.Probe(node, synapse=0.01)
    return net


def spiking_layers(size=30):
    """Layers of spiking neurons with a loop, trained with a surrogate."""
    with nengo.Network(seed=6) as net:
        u = nengo.Node(np.linspace(0, 1, 12))
        one = {"gain": nengo.dists.Choice([1.0]), "bias": nengo.dists.Choice([0.9])}
        hidden = nengo.Ensemble(size, 1, **one).neurons
        out = nengo.Ensemble(5, 1, **one).neurons
        for pre, post, scale in ((u, hidden, 0.5), (hidden, hidden, 1e-3), (hidden, out, 5e-3)):
            weights = nengo.dists.Uniform(-scale, scale)
            nengo.Connection(pre, post, transform=weights, synapse=0.005)
        nengo.Probe(out)
        nengo.Probe(hidden, synapse=0.01)
    return net


MODELS = {
    "integrators": lambda: BENCH.integrators(6, 20)[0],
    "circular convolution": lambda: BENCH.circular_convolution(4, 15)[0],
    "basal ganglia": basal_ganglia,
    "PES": lambda: BENCH.pes(3, 12)[0],
    "random ensembles": lambda: BENCH.random_ensembles(4, 2, 20, 2)[0],
    "chain": lambda: BENCH.chain(4, 20)[0],
    "dense": lambda: BENCH.spiking(40)[0],
    "sparse": lambda: BENCH.spiking(60, 0.1)[0],
    "filters": filters,
    "noise": noise,
    "neuron types": neuron_types,
    "learning rules": learning_rules,
    "image": image,
    "spiking layers": spiking_layers,
}


@dataclass
class WholeModel:
    """A program with the numbers that it starts from, for one item."""

    program: Program
    params: list
    state: np.ndarray
    istate: np.ndarray

    @property
    def training(self):
        """The same model in the form that gradients are taken of.

        Rate curves are smooth: at its threshold LIF's is so steep that the gradients of two engines
        differ by what the roundings of float32 do to it.
        """
        return replace(self, program=training_program(self.program, lif_smoothing=0.1))

    def compiled(self, backend, fuse=None):
        return _engine.Compiled(to_bytes(self.program), backend, fuse)

    def arguments(self, n_steps, batch):
        """What runs and gradients take: inputs, parameters and states differ between items."""
        rng, dtype = np.random.RandomState(7), self.program.dtype

        def around(value, *shape):
            return (value + 0.05 * rng.normal(size=shape)).astype(dtype)

        params = [
            around(value, batch, port.size) if port.learned else value.astype(dtype)
            for value, port in zip(self.params, self.program.params, strict=True)
        ]
        inputs = [0.3 + 6 * around(0, batch, n_steps, port.size) for port in self.program.inputs]
        state, istate = (
            np.tile(self.state.astype(dtype), (batch, 1)),
            np.tile(self.istate, (batch, 1)),
        )
        keep = [False] * len(self.program.outputs)
        return [inputs, params, state, istate, 0, n_steps, batch, keep]

    def run(self, compiled, n_steps, batch, **options):
        """Outputs, learned parameters and the state after some steps."""
        args = self.arguments(n_steps, batch)
        outputs, steps, error = compiled.run(*args, **options)
        assert error is None and steps == n_steps
        learned = [v for v, p in zip(args[1], self.program.params, strict=True) if p.learned]
        return [*outputs, *learned, args[2], args[3]]

    def gradients(self, compiled, n_steps, batch, tape=False):
        """Of a loss that is linear in all that a run leaves behind, by all that it is given."""
        options = {}
        if tape:
            options["tape"] = compiled.tape(batch, n_steps)
            self.run(compiled, n_steps, batch, **options)
        rng, dtype = np.random.RandomState(8), self.program.dtype

        def normal(*shape):
            return rng.normal(size=shape).astype(dtype)

        program = self.program
        inputs, params, state = compiled.grad(
            *self.arguments(n_steps, batch),
            output_grads=[normal(batch, n_steps, port.size) for port in program.outputs],
            learned_grads=[normal(batch, p.size) if p.learned else None for p in program.params],
            state_out_grad=normal(batch, program.state_size),
            **options,
        )
        return [*inputs, *params, state]


@cache
def whole_model(name, dtype, window=7):
    """A model of `MODELS`: what its Nodes give are inputs."""
    surrogate = SuperSpike(0.5) if name == "spiking layers" else None
    return model_of(MODELS[name](), dtype, window, surrogate)


def model_of(net, dtype, window=7, surrogate=None):
    """A model of any network."""
    model = build(net)
    nodes = [node for node in net.all_nodes if isinstance(node.output, np.ndarray)]
    inputs = [(f"u{i}", model.sig[node]["out"]) for i, node in enumerate(nodes)]
    made = plan(model, inputs, dtype=dtype, surrogate=surrogate and (lambda op: surrogate))
    params, (state,), (istate,) = start_values(made, model)
    (piece,) = made.runs
    params = [params[i] for i in piece.params]
    return WholeModel(replace(piece.program, window=window), params, state, istate)
