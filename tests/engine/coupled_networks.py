"""Networks of ensembles that act on each other, drawn at random."""

import nengo
import numpy as np
from scipy.sparse import csr_matrix

TYPES = (
    nengo.LIF(),
    nengo.LIF(amplitude=0.7),
    nengo.AdaptiveLIF(),
    nengo.Tanh(),
    nengo.SpikingRectifiedLinear(),
    nengo.LIFRate(),
    nengo.Izhikevich(),
)


def connect_neurons(rng, a, b, synapse):
    """By dense or by sparse weights."""
    weights = rng.normal(0, 1e-3, (b.n_neurons, a.n_neurons))
    if rng.rand() < 0.4:
        some = csr_matrix(weights * (rng.rand(*weights.shape) < 0.3))
        weights = nengo.Sparse(weights.shape, init=some)
    nengo.Connection(a.neurons, b.neurons, transform=weights, synapse=synapse)


def connect_learning(a, b, synapse):
    """By PES, with the error in the loop."""
    error, n = nengo.Node(size_in=b.size_in), b.size_in
    learned = nengo.Connection(
        a,
        b,
        function=lambda x: np.zeros(n),
        learning_rule_type=nengo.PES(1e-4),
        synapse=synapse,
    )
    nengo.Connection(b, error, synapse=0.005)
    nengo.Connection(error, learned.learning_rule, synapse=0.005)


def connect(rng, ensembles, relays):
    """One thing to another."""
    everything = ensembles + relays
    a, b = (everything[rng.randint(len(everything))] for _ in range(2))
    if a in relays and b in relays:
        return
    synapse, kind = rng.choice([0.005, 0.01, 0.05, 0]), rng.randint(5)
    both = a in ensembles and b in ensembles
    if both and kind == 0:
        connect_neurons(rng, a, b, synapse)
    elif both and kind == 1:
        connect_learning(a, b, synapse)
    else:
        at_once = a in ensembles and b in relays and rng.rand() < 0.4
        transform = rng.normal(0, 0.5, (b.size_in, a.size_out))
        nengo.Connection(a, b, transform=transform, synapse=None if at_once else synapse)


def network(seed):
    """The network of this number."""
    rng = np.random.RandomState(seed)
    with nengo.Network(seed=seed) as net:
        # decoders good enough to be run: at each point, neurons that adapt take a thousand steps
        net.config[nengo.Ensemble].n_eval_points = 50
        u = nengo.Node(rng.uniform(-1, 1, 1))
        ensembles = [
            nengo.Ensemble(
                int(rng.choice([5, 20, 40, 64, 70, 130])),
                rng.randint(1, 5),
                neuron_type=TYPES[rng.randint(len(TYPES)) if rng.rand() < 0.5 else 0],
            )
            for _ in range(rng.randint(2, 6))
        ]
        relays = [nengo.Node(size_in=rng.randint(1, 4)) for _ in range(rng.randint(0, 3))]
        for ensemble in ensembles:
            k = rng.randint(1, ensemble.dimensions + 1)
            synapse = None if rng.rand() < 0.7 else 0.005
            nengo.Connection(u, ensemble[:k], transform=np.ones((k, 1)), synapse=synapse)
            nengo.Probe(ensemble, synapse=0.01 if rng.rand() < 0.5 else None)
            if rng.rand() < 0.5:
                nengo.Probe(ensemble.neurons, synapse=0.01 if rng.rand() < 0.5 else None)
        for _ in range(rng.randint(3, 12)):
            connect(rng, ensembles, relays)
    return net
