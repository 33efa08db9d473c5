"""The networks of the benchmarks, in terms that Nengo 3.2 and Nengo 4.1 share.

Each function makes a network and its probe. ``NETWORKS`` names them.
"""

import nengo


def integrators(n_integrators, neurons_each=100, seed=0):
    """An array of LIF integrators, driven by a constant input each."""
    with nengo.Network(seed=seed) as net:
        source = nengo.Node([0.5] * n_integrators)
        array = nengo.networks.EnsembleArray(neurons_each, n_integrators)
        nengo.Connection(source, array.input, transform=0.1, synapse=0.1)
        nengo.Connection(array.output, array.input, synapse=0.1)
        probe = nengo.Probe(array.output, synapse=0.01)
    return net, probe


def integrator(neurons=100, seed=0):
    """One LIF ensemble that integrates a constant input."""
    with nengo.Network(seed=seed) as net:
        source = nengo.Node([0.5])
        ensemble = nengo.Ensemble(neurons, 1)
        nengo.Connection(source, ensemble, transform=0.1, synapse=0.1)
        nengo.Connection(ensemble, ensemble, synapse=0.1)
        probe = nengo.Probe(ensemble, synapse=0.01)
    return net, probe


def feedforward(sizes=(784, 256, 10), seed=0):
    """Layers of LIF neurons with dense random weights between their neurons."""
    with nengo.Network(seed=seed) as net:
        net.config[nengo.Connection].synapse = None
        layer = nengo.Node([0.5] * sizes[0])
        for size in sizes[1:]:
            ensemble = nengo.Ensemble(
                size, 1, gain=nengo.dists.Choice([1.0]), bias=nengo.dists.Choice([1.0])
            )
            scale = (3.0 / (layer.size_out if isinstance(layer, nengo.Node) else len(layer))) ** 0.5
            if not isinstance(layer, nengo.Node):
                scale *= 0.02  # spikes are 1/dt high, 20 of them a second make 0.02 of that
            nengo.Connection(
                layer, ensemble.neurons, transform=nengo.dists.Uniform(-scale, scale), synapse=None
            )
            layer = ensemble.neurons
        probe = nengo.Probe(layer, synapse=0.01)
    return net, probe


NETWORKS = {
    "integrators-128x100": lambda: integrators(128),
    "integrator-100": lambda: integrator(),
    "feedforward-784-256-10": lambda: feedforward(),
}
