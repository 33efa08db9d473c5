"""Random networks for the tests that hold the planner and the engine against Nengo."""

import nengo
import numpy as np

SYNAPSES = [None, 0, 0.01, 0.03, nengo.Alpha(0.01), nengo.LinearFilter([1, 0.5], [0.1, 1])]
NEURONS = [nengo.LIF(), nengo.LIFRate(), nengo.RectifiedLinear(), nengo.AdaptiveLIF()]


def random_slice(rng, size):
    """Some way to name elements of an object."""
    choices = [slice(None), slice(None, None, -1), int(rng.randint(size)), [0, size - 1][:size]]
    return choices[rng.randint(len(choices))]


def random_network(seed):
    """Ensembles, nodes and arrays, connected at random; no cycle within one step."""
    rng = np.random.RandomState(seed)
    with nengo.Network(seed=seed) as net:
        objects = [nengo.Node(lambda t: [np.sin(9 * t), np.cos(7 * t)])]
        for _ in range(rng.randint(1, 6)):
            size = rng.randint(1, 4)
            kind = rng.randint(5)
            if kind <= 1:
                neurons = NEURONS[rng.randint(len(NEURONS))]
                objects.append(nengo.Ensemble(rng.randint(3, 12), size, neuron_type=neurons))
            elif kind == 2:
                objects.append(nengo.Node(size_in=size))
            elif kind == 3:
                objects.append(nengo.Node(rng.randint(-1, 2, size=size)))
            else:
                array = nengo.networks.EnsembleArray(5, size)
                objects.append((array.input, array.output))
        for _ in range(rng.randint(1, 12)):
            connect(rng, objects)
        for obj in objects:
            obj = obj[1] if isinstance(obj, tuple) else obj
            nengo.Probe(obj, synapse=SYNAPSES[rng.randint(len(SYNAPSES))])
            if isinstance(obj, nengo.Ensemble):
                nengo.Probe(obj.neurons, rng.choice(["input", "output"]))
                nengo.Probe(obj, "input")
    return net


def connect(rng, objects):
    """One connection; backward ones have a synapse."""
    i, j = rng.randint(len(objects)), rng.randint(len(objects))
    pre, post = objects[i], objects[j]
    pre = pre[1] if isinstance(pre, tuple) else pre
    post = post[0] if isinstance(post, tuple) else post
    if not post.size_in:
        return
    synapse = SYNAPSES[rng.randint(0 if i < j else 1, 4 if i >= j else len(SYNAPSES))]
    if rng.randint(6) == 0 and isinstance(post, nengo.Ensemble):
        post = post.neurons
    if rng.randint(6) == 0 and isinstance(pre, nengo.Ensemble):
        pre = pre.neurons
    pre = pre[random_slice(rng, pre.size_out)]
    post = post[random_slice(rng, post.size_in)]
    values = [rng.uniform(-0.5, 0.5, (post.size_in, pre.size_out)), None, np.zeros, np.eye]
    transform = values[rng.randint(4)]
    if transform is np.zeros:
        transform = np.zeros((post.size_in, pre.size_out))
    elif transform is np.eye:
        transform = np.eye(post.size_in, pre.size_out)
    if transform is None:
        if pre.size_out != post.size_in:
            return
        transform = nengo.connection.Default
    nengo.Connection(pre, post, synapse=synapse, transform=transform)
