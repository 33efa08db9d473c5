"""The networks whose building is timed, in plain Nengo.

``MODELS`` are built by simulators, ``PLANNED`` have many small ensembles, for the planner alone.
"""

import nengo
import numpy as np
from networks import circular_convolution, integrators, unit_vector

D = 128  # dimensions of a symbol


def unit_vectors(rng, count):
    """Random vectors of length 1, by rows."""
    return np.array([unit_vector(rng, D) for _ in range(count)])


def spa(neurons_each=50, memories=8, bindings=6, cleanups=2, items=128, actions=16, seed=0):
    """A model like those of the semantic pointer architecture: 5,000 ensembles by default.

    Working memories, bindings of what they hold by circular convolution, cleanup memories behind
    the bindings, and basal ganglia that choose which memory is fed back.
    """
    rng = np.random.RandomState(seed)
    with nengo.Network(seed=seed) as net:
        source = nengo.Node(unit_vector(rng, D))
        held = []
        for _ in range(memories):
            memory = nengo.networks.EnsembleArray(neurons_each, D, radius=3.5 / np.sqrt(D))
            nengo.Connection(memory.output, memory.input, synapse=0.1)
            nengo.Connection(source, memory.input, transform=0.1, synapse=0.1)
            held.append(memory)
        bound = []
        for number in range(bindings):
            bind = nengo.networks.CircularConvolution(neurons_each, D)
            nengo.Connection(held[number % memories].output, bind.input_a)
            nengo.Connection(held[(number + 1) % memories].output, bind.input_b)
            bound.append(bind)
        for number in range(cleanups):
            cleanup = nengo.networks.AssociativeMemory(unit_vectors(rng, items), n_neurons=50)
            cleanup.add_wta_network(1.5)
            cleanup.add_threshold_to_outputs()
            nengo.Connection(bound[number % bindings].output, cleanup.input)
            nengo.Connection(cleanup.output, held[-1 - number % memories].input, transform=0.2)
        ganglia = nengo.networks.BasalGanglia(actions, neurons_each)
        thalamus = nengo.networks.Thalamus(actions, neurons_each)
        states = unit_vectors(rng, actions)
        nengo.Connection(held[0].output, ganglia.input, transform=states)
        nengo.Connection(ganglia.output, thalamus.input)
        nengo.Connection(thalamus.output, held[1].input, transform=states.T)
        nengo.Probe(held[1].output, synapse=0.01)
    return net


MODELS = {
    "warm-up": lambda: integrators(2)[0],
    "cconv": lambda: circular_convolution(D, 100)[0],
    "spa": spa,
    "spa-small": lambda: spa(memories=2, bindings=1, cleanups=1, items=32),
}


def _cheap(decoders):
    """Settings under which Nengo builds an ensemble in no time: no decoders are solved for."""
    config = nengo.Config(nengo.Ensemble, nengo.Connection)
    config[nengo.Ensemble].eval_points = np.zeros((1, 1))
    config[nengo.Connection].solver = nengo.solvers.NoSolver(decoders)
    return config


def alike(count, seed=0):
    """Integrators in one array, all of the same form."""
    with nengo.Network(seed=seed) as net, _cheap(np.full((4, 1), 0.1)):
        array = nengo.networks.EnsembleArray(4, count)
        nengo.Connection(array.output, array.input, synapse=0.1)
        probe = nengo.Probe(array.output)
    return net, probe


def different(count, seed=0):
    """Ensembles of several sizes, each of which hears three random others by various filters."""
    rng = np.random.RandomState(seed)
    solvers = {n: nengo.solvers.NoSolver(np.full((n, 1), 0.1)) for n in range(3, 9)}
    with nengo.Network(seed=seed) as net, _cheap(None):
        ensembles = [nengo.Ensemble(int(n), 1) for n in rng.randint(3, 9, size=count)]
        for target in ensembles:
            for pre in rng.randint(count, size=3):
                nengo.Connection(
                    ensembles[pre],
                    target,
                    transform=float(rng.uniform(0.1, 0.3)),
                    synapse=float(rng.choice([0.005, 0.01, 0.1])),
                    solver=solvers[ensembles[pre].n_neurons],
                )
        probe = nengo.Probe(ensembles[0].neurons)
    return net, probe


PLANNED = {"alike": alike, "different": different}
