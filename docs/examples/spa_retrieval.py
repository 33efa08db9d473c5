"""Ask a vector that holds several pairs of words for the partner of one of them.

Pairs are bound by circular convolution and added up; convolution with the inverse of a word gives
its partner, with noise from the other pairs. Neurons that calculate it do so more exactly after
they have been trained.

    python docs/examples/spa_retrieval.py --help
"""

import common
import keras
import nengo
import numpy as np
from vectors import bound, recognised, vocabulary

import nengo_dl

DIMENSIONS = 48
NEURONS = 5  # for each product of two numbers
WORDS = 16
PAIRS = 3
MINIBATCH = 50


def questions(rng, words, n):
    """Sums of pairs, words to ask for, and the numbers of their partners."""
    chosen = np.stack([rng.permutation(len(words))[: 2 * PAIRS] for _ in range(n)])
    asked, partners = chosen[:, :PAIRS], chosen[:, PAIRS:]
    traces = bound(words[asked], words[partners]).sum(axis=1)
    return traces[:, None], words[asked[:, :1]], partners[:, 0]


class Retrieval:
    """A sum of pairs and a question; the answer of neurons."""

    def __init__(self, seed):
        with nengo.Network(seed=seed) as self.net:
            self.net.config[nengo.Ensemble].neuron_type = nengo.RectifiedLinear()
            self.net.config[nengo.Connection].synapse = None
            self.trace = nengo.Node(np.zeros(DIMENSIONS))
            self.question = nengo.Node(np.zeros(DIMENSIONS))
            unbind = nengo.networks.CircularConvolution(NEURONS, DIMENSIONS, invert_b=True)
            nengo.Connection(self.trace, unbind.input_a)
            nengo.Connection(self.question, unbind.input_b)
            self.answer = nengo.Probe(unbind.output, label="answer")

    def inputs(self, traces, asked):
        """Data of the simulator's."""
        return {self.trace: traces, self.question: asked}


def main():
    args = common.arguments(__doc__)
    rng = np.random.RandomState(args.seed)
    words = vocabulary(rng, WORDS, DIMENSIONS)
    traces, asked, partners = questions(rng, words, 1000 if args.short else 5000)
    test_traces, test_asked, test_partners = questions(rng, words, 1000)
    network = Retrieval(args.seed)
    x, test_x = network.inputs(traces, asked), network.inputs(test_traces, test_asked)
    ideal = bound(test_traces, np.roll(test_asked[..., ::-1], 1, axis=-1))
    print(f"recognised without neurons: {recognised(ideal[:, 0], words, test_partners):.1%}")

    sim = nengo_dl.Simulator(network.net, minibatch_size=MINIBATCH, progress_bar=False)
    sim.compile(keras.optimizers.RMSprop(2e-4), loss={network.answer: "mse"})
    for epochs in (0, 3 if args.short else 20):
        if epochs:
            sim.fit(x, {network.answer: words[partners][:, None]}, epochs=epochs, verbose=0)
        target = {network.answer: words[test_partners][:, None]}
        loss = sim.evaluate(test_x, target, verbose=0)["loss"]
        answers = sim.predict(test_x)[network.answer][:, 0]
        print(
            f"{'after' if epochs else 'before'} training: loss {loss:.4f}, "
            f"recognised {recognised(answers, words, test_partners):.1%}"
        )
    few = slice(MINIBATCH)
    sim.step(data=network.inputs(test_traces[few], test_asked[few]))  # a step of a minibatch
    answers = sim.data[network.answer][:, -1]
    print(f"in a single step: recognised {recognised(answers, words, test_partners[few]):.1%}")
    sim.close()


if __name__ == "__main__":
    main()
