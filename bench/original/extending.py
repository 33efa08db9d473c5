"""SPEC 7: operators, objects and types of neurons of one's own, written in TensorFlow."""

import nengo
import numpy as np
import tensorflow as tf
from models import network, outcome, rows, sgd, simulator, texts, warned
from nengo.builder import Operator, Signal
from nengo.builder.operator import Reset

import nengo_dl


class _Mix(Operator):
    """``y = 2 x + s``, and from the next step on ``s`` is ``0.5 s + x``."""

    def __init__(self, x, y, s):
        super().__init__()
        self.sets, self.incs, self.reads, self.updates = [y], [], [x], [s]

    def make_step(self, signals, dt, rng):
        raise NotImplementedError("in TensorFlow alone")


class _MixBuilder(nengo_dl.builder.OpBuilder):
    def build_pre(self, signals, config):
        super().build_pre(signals, config)
        self.x = signals.combine([op.reads[0] for op in self.ops])
        self.y = signals.combine([op.sets[0] for op in self.ops])
        self.s = signals.combine([op.updates[0] for op in self.ops])

    def build_step(self, signals):
        x, s = signals.gather(self.x), signals.gather(self.s)
        signals.scatter(self.y, 2 * x + s)
        signals.scatter(self.s, 0.5 * s + x)


def _mixer_class():
    """A new kind of Node, which only this backend knows how to build."""

    class Mixer(nengo.Node):
        pass

    @nengo_dl.builder.NengoBuilder.register(Mixer)
    def build_mixer(model, node):
        x = Signal(np.zeros(node.size_in), name="x")
        y = Signal(np.zeros(node.size_in), name="y")
        s = Signal(np.full(node.size_in, 0.3), name="s")
        model.sig[node]["in"], model.sig[node]["out"], model.params[node] = x, y, None
        model.add_op(Reset(x))
        model.add_op(_Mix(x, y, s))

    return Mixer


def operators():
    """E-01, E-03, E-04: an operator, and the object that is made of it."""
    if _Mix not in nengo_dl.builder.Builder.builders:
        nengo_dl.builder.Builder.register(_Mix)(_MixBuilder)
    net = network()
    with net:
        net.inp = nengo.Node(np.zeros(2))
        node = _mixer_class()(size_in=2)
        nengo.Connection(net.inp, node, synapse=None)
        nengo.Connection(node, node, transform=0.2, synapse=0.01)
        net.p = nengo.Probe(node, synapse=0.005)
    with simulator(net, minibatch_size=2) as sim:
        found = {"p": sim.predict({net.inp: rows(2, 6, 2)})[net.p]}
        sim.run_steps(3)
        sim.run_steps(3)
        return {**found, "run": sim.data[net.p]}


def registered():
    """E-01, E-04: the tables, and what they warn of."""

    class Another(_Mix):
        pass

    register = nengo_dl.builder.Builder.register
    first = warned(lambda: register(Another)(_MixBuilder), "")[0]
    again = warned(lambda: register(Another)(_MixBuilder), "already")
    return {
        "first": texts(first),
        "again": texts(again),
        "no_builder": texts(warned(lambda: register(type("Third", (_Mix,), {}))(dict), "")[0]),
        "table": nengo_dl.builder.Builder.builders[Another] is _MixBuilder,
    }


def _squared_class():
    """A type of neurons with a state, spiking, which is trained by another curve."""
    from nengo_dl.neuron_builders import SimNeuronsBuilder, TFNeuronBuilder

    class Adding(nengo.neurons.RectifiedLinear):
        state = {"total": nengo.dists.Choice([0.0])}

        def step(self, dt, J, output, total):
            raise NotImplementedError("in TensorFlow alone")

    class AddingBuilder(TFNeuronBuilder):
        spiking = True

        def step(self, J, dt, total):
            total = total + J * dt
            spikes = tf.cast(total > 0.01, J.dtype)
            return spikes / dt, total * (1 - spikes)

        def training_step(self, J, dt, **state):
            return tf.nn.relu(J) * 100.0

    SimNeuronsBuilder.TF_NEURON_IMPL[Adding] = AddingBuilder
    return Adding


def neuron_types():
    """E-05: neurons of one's own, run and trained."""
    net = network()
    with net:
        net.inp = nengo.Node(np.zeros(4))
        given = {"gain": np.ones(4), "bias": np.linspace(0.5, 2, 4), "encoders": np.ones((4, 1))}
        ens = nengo.Ensemble(4, 1, neuron_type=_squared_class()(), **given)
        nengo.Connection(net.inp, ens.neurons, transform=rows(4, 4), synapse=None)
        net.p = nengo.Probe(ens.neurons)
    x, y = rows(2, 20, 4), rows(2, 20, 4, seed=1)
    with simulator(net, minibatch_size=2) as sim:
        found = {"p": sim.predict({net.inp: x})[net.p]}
        sim.compile(sgd(1e-6), loss={net.p: "mse"})
        history = sim.fit(x, y, epochs=3, verbose=0).history
        return {**found, "losses": history["loss"]}


def operators_that_nobody_knows():
    """O-16: an operator without a builder."""

    class Unknown(_Mix):
        pass

    class Maker(nengo.Node):
        pass

    @nengo_dl.builder.NengoBuilder.register(Maker)
    def build_maker(model, node):
        x, y, s = (Signal(np.zeros(1), name=name) for name in "xys")
        model.sig[node]["in"], model.sig[node]["out"], model.params[node] = x, y, None
        model.add_op(Reset(x))
        model.add_op(Unknown(x, y, s))

    net = network()
    with net:
        nengo.Probe(Maker(size_in=1))
    return {"outcome": outcome(lambda: simulator(net).run_steps(1))}
