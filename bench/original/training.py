"""SPEC 1.5, 1.8 and 1.10: compile, fit, evaluate, gradients."""

import nengo
import numpy as np
import tensorflow as tf
from models import (
    feedforward,
    network,
    outcome,
    outcomes,
    rates,
    recurrent,
    rows,
    sgd,
    simulator,
    sizes,
    texts,
    warned,
)  # fmt: skip

import nengo_dl


def _trained(net, x, y, optimizer=None, loss="mse", epochs=3, batch=4, **kwargs):
    """Losses of some epochs, and what is predicted then."""
    with simulator(net, minibatch_size=batch) as sim:
        sim.compile(optimizer or sgd(), loss={net.p: loss})
        history = sim.fit(
            {net.inp: x}, {net.p: y}, epochs=epochs, verbose=0, shuffle=False, **kwargs
        )
        return {
            "losses": history.history["loss"],
            "p": sim.predict({net.inp: x})[net.p],
            "trained": sizes(sim.keras_model.trainable_weights),
        }


def plain():
    """S-36, S-40, S-50: gradient descent through several steps and synapses."""
    return _trained(feedforward(), rows(8, 6, 2), rows(8, 6, 1, seed=1), sgd(1e-3))


def one_step():
    """S-40, D-02: layers of rate neurons, one step."""
    return _trained(rates(2), rows(8, 1, 3), rows(8, 1, 2, seed=1))


def adam():
    """S-36: Adam."""
    return _trained(rates(), rows(8, 1, 3), rows(8, 1, 1, seed=1), tf.keras.optimizers.Adam(0.01))


def rmsprop():
    """S-36: RMSprop, by its name the default one."""
    return _trained(rates(), rows(8, 1, 3), rows(8, 1, 1, seed=1), "rmsprop")


def momentum():
    """S-36: gradient descent with momentum."""
    optimizer = tf.keras.optimizers.SGD(0.05, momentum=0.9, nesterov=True)
    return _trained(rates(), rows(8, 1, 3), rows(8, 1, 1, seed=1), optimizer)


def spiking_rates():
    """S-46, O-03: spiking neurons are trained by their rates, and run as they are."""
    net = recurrent()
    return _trained(net, rows(4, 30, 1), rows(4, 30, 1, seed=1), sgd(1e-5), epochs=4)


def spiking_rectified():
    """S-46, O-02: spiking rectified neurons likewise."""
    return _trained(
        feedforward(nengo.SpikingRectifiedLinear()),
        rows(4, 10, 2),
        rows(4, 10, 1, seed=1),
        sgd(1e-4),
    )


def state_of_spiking_neurons():
    """S-46, S-57: training leaves the voltages alone; synapses go on."""
    net = recurrent()
    with simulator(net, minibatch_size=2) as sim:
        sim.compile(sgd(0.0), loss={net.p: "mse"})
        sim.run_steps(7)
        sim.fit({net.inp: rows(2, 5, 1)}, {net.p: rows(2, 5, 1, seed=1)}, stateful=True, verbose=0)
        found = {"n": sim.n_steps}
        sim.run_steps(20)
        found["p"] = sim.data[net.p]
        return found


def _two_outputs(**settings):
    net = rates(2, **settings)
    with net:
        net.q = nengo.Probe(net.hidden.neurons, label="q")
    return net


def evaluated():
    """S-37, S-39: values by name, in this order: losses, then metrics."""
    net = _two_outputs()
    x, y, z = rows(8, 1, 3), rows(8, 1, 2, seed=1), rows(8, 1, 8, seed=2)
    with simulator(net, minibatch_size=4) as sim:
        sim.compile(sgd(), loss={net.p: "mse", "q": "mae"}, metrics={net.p: ["mae", "mse"]})
        both = sim.evaluate({net.inp: x}, {net.p: y, net.q: z}, verbose=0)
        sim.compile(sgd(), loss={net.p: "mse"})
        single = sim.evaluate({net.inp: x}, {net.p: y}, verbose=0)
        without = sim.evaluate({net.inp: x}, {net.p: y, net.q: z}, verbose=0)
        return {
            "keys": texts(both),
            "values": list(both.values()),
            "single_keys": texts(single),
            "single": list(single.values()),
            "without": list(without.values()),
        }


def forms_of_losses():
    """S-37: one for all, a list, a dict; weights of losses."""
    net = _two_outputs()
    x, y = rows(4, 1, 3), {"p": rows(4, 1, 2, seed=1), "q": rows(4, 1, 8, seed=2)}
    with simulator(net, minibatch_size=4) as sim:
        found = {}
        for name, arguments in {
            "for_all": {"loss": "mse"},
            "list": {"loss": ["mse", "mae"]},
            "dict": {"loss": {net.q: tf.keras.losses.MeanSquaredError()}},
            "weights": {"loss": {net.p: "mse", net.q: "mse"}, "loss_weights": {net.q: 0.3}},
            "weight_list": {"loss": ["mse", "mse"], "loss_weights": [0.1, 2.0]},
        }.items():
            sim.compile(sgd(), **arguments)
            result = sim.evaluate({net.inp: x}, y, verbose=0)
            found[name] = list(result.values())
            found[f"{name}_keys"] = texts(result)
        return found


def history_keys():
    """S-40: names in the history, and those of validation."""
    net = _two_outputs()
    x, y = rows(8, 1, 3), {net.p: rows(8, 1, 2, seed=1), net.q: rows(8, 1, 8, seed=2)}
    with simulator(net, minibatch_size=4) as sim:
        sim.compile(sgd(), loss={net.p: "mse", net.q: "mse"}, metrics={net.p: "mae"})
        found = sim.fit(
            {net.inp: x}, y, validation_data=({net.inp: x}, y), epochs=2, verbose=0, shuffle=False
        )
        return {
            "keys": texts(sorted(found.history)),
            **{name: values for name, values in found.history.items()},
        }


def validation():
    """S-40: a part of the data is split off; forms of validation data."""
    net = rates()
    x, y = rows(8, 1, 3), rows(8, 1, 1, seed=1)
    with simulator(net, minibatch_size=2) as sim:
        sim.compile(sgd(), loss={net.p: "mse"})
        first = sim.fit({net.inp: x}, {net.p: y}, validation_split=0.25, verbose=0, shuffle=False)
        second = sim.fit(x, y, validation_data=[x, y], verbose=0, shuffle=False)
        return {
            "split": first.history["val_loss"],
            "list": second.history["val_loss"],
            "uneven": outcome(lambda: sim.fit(x, y, validation_split=0.4, verbose=0)),
        }


def targets():
    """S-43, S-49: other numbers of steps; forms of what losses return."""
    net = rates()
    x, y = rows(4, 3, 3), rows(4, 3, 1, seed=1)
    found = {}
    with simulator(net, minibatch_size=4) as sim:
        for name, loss in {
            "scalar": lambda y, p: tf.reduce_mean(tf.abs(y - p)),
            "items": lambda y, p: tf.reduce_mean(tf.abs(y - p), axis=(1, 2)),
            "steps": lambda y, p: tf.reduce_mean(tf.abs(y - p), axis=2),
            "elements": lambda y, p: tf.abs(y - p),
            "number": lambda y, p: 3.0,
        }.items():
            sim.compile(sgd(), loss={net.p: loss})
            found[name] = list(sim.evaluate(x, y, verbose=0).values())
        sim.compile(sgd(), loss={net.p: lambda y, p: tf.reduce_mean((y[:, -1] - p[:, -1]) ** 2)})
        found["last"] = list(sim.evaluate(x, y[:, :1], verbose=0).values())
        return found


def nan_targets():
    """M-04: targets that are NaN, in training."""
    y = rows(8, 2, 1, seed=1)
    y[::3] = np.nan
    return _trained(rates(), rows(8, 2, 3), y, loss=nengo_dl.losses.nan_mse)


def regularized():
    """M-04: the norm of what is probed, beside a loss."""
    net = _two_outputs()
    x, y = rows(4, 2, 3), rows(4, 2, 2, seed=1)
    with simulator(net, minibatch_size=4) as sim:
        sim.compile(
            sgd(),
            loss={net.p: "mse", net.q: nengo_dl.losses.Regularize()},
            loss_weights={net.q: 0.01},
        )
        found = sim.fit({net.inp: x}, {net.p: y, net.q: np.zeros((4, 2, 8))}, epochs=3, verbose=0)
        return {name: values for name, values in found.history.items()}


def sample_weights():
    """S-42: weights of items, and by Probe."""
    net = rates()
    x, y, weights = rows(4, 1, 3), rows(4, 1, 1, seed=1), np.array([0.0, 1, 2, 0.5])
    with simulator(net, minibatch_size=4) as sim:
        sim.compile(sgd(), loss={net.p: "mse"})
        return {
            "array": list(sim.evaluate(x, y, sample_weight=weights, verbose=0).values()),
            "dict": list(sim.evaluate(x, y, sample_weight={"p": weights}, verbose=0).values()),
        }


def classification():
    """S-37, S-42, D-03: labels, their loss and accuracy."""
    net = rates(4)
    x, y = rows(8, 2, 3), np.random.RandomState(1).randint(4, size=(8, 2, 1))
    with simulator(net, minibatch_size=4) as sim:
        loss = tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        sim.compile(
            sgd(), loss={net.p: loss}, metrics={net.p: tf.metrics.sparse_categorical_accuracy}
        )
        history = sim.fit(x, y, epochs=3, verbose=0, shuffle=False).history
        return {
            "losses": history["loss"],
            "keys": texts(sorted(history)),
            "end": list(sim.evaluate(x, y, verbose=0).values()),
        }


def truncated_backpropagation():
    """S-50: training by pieces of a sequence."""
    net = feedforward()
    x, y = rows(2, 8, 2), rows(2, 8, 1, seed=1)
    with simulator(net, minibatch_size=2) as sim:
        sim.compile(sgd(1e-3), loss={net.p: "mse"})
        losses = []
        for _ in range(2):
            for piece in (slice(0, 4), slice(4, 8)):
                found = sim.fit(x[:, piece], y[:, piece], stateful=True, verbose=0, shuffle=False)
                losses += found.history["loss"]
            sim.reset(include_trainable=False)
        return {"losses": losses, "n": sim.n_steps}


def datasets():
    """S-31, S-41: datasets of inputs and targets."""
    net = rates()
    x = {"inp": rows(8, 1, 3).astype(np.float32), "n_steps": np.ones((8, 1), np.int32)}
    y = {"p": rows(8, 1, 1, seed=1).astype(np.float32)}
    data = tf.data.Dataset.from_tensor_slices((x, y)).batch(4)
    with simulator(net, minibatch_size=4) as sim:
        sim.compile(sgd(), loss={net.p: "mse"})
        losses = sim.fit(data, epochs=3, verbose=0).history["loss"]
        return {
            "losses": losses,
            "evaluated": list(sim.evaluate(data, verbose=0).values()),
            "y": outcome(lambda: sim.fit(data, {net.p: rows(8, 1, 1)}, verbose=0)),
        }


def callbacks():
    """S-48, M-06, E-08: callbacks of Keras; state that is put back after every minibatch."""
    net = feedforward()
    x, y = rows(4, 5, 2), rows(4, 5, 1, seed=1)
    seen = []

    class Note(tf.keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            seen.append(logs["loss"])

    with simulator(net, minibatch_size=2) as sim:
        sim.compile(sgd(1e-3), loss={net.p: "mse"})
        stop = tf.keras.callbacks.EarlyStopping("loss", min_delta=1e3, patience=1)
        found = sim.fit(x, y, epochs=5, verbose=0, callbacks=[Note(), stop], shuffle=False)
        isolate = nengo_dl.callbacks.IsolateState(sim)
        sim.run_steps(3)
        sim.fit(x, y, stateful=True, verbose=0, callbacks=[isolate], shuffle=False)
        return {"seen": seen, "epochs": len(found.epoch), "n": sim.n_steps}


def wrong_calls():
    """S-36, S-37, S-38, S-40, S-44: the classes of errors."""
    net = rates()
    x, y = rows(4, 1, 3), rows(4, 1, 1)
    only = rates(inference_only=True)
    with simulator(net, minibatch_size=4) as sim, simulator(only, minibatch_size=4) as fixed:
        before = outcome(lambda: sim.fit(x, y, verbose=0))
        fixed.compile(sgd(), loss="mse")
        sim.compile(sgd(), loss={net.p: "mse"})
        return {
            "before": before,
            **outcomes(
                positional=lambda: sim.compile("adam", "mse"),
                key=lambda: sim.compile(sgd(), loss={net.inp: "mse"}),
                metric_key=lambda: sim.compile(
                    sgd(), loss={net.p: "mse"}, metrics={net.inp: "mae"}
                ),
                target=lambda: sim.fit(x, {"nope": y}, verbose=0),
                batch=lambda: sim.fit(x, y[:3], verbose=0),
                inference_only=lambda: fixed.fit(x, y, verbose=0),
                gradients=lambda: fixed.check_gradients(),
                no_target=lambda: sim.fit(x, verbose=0),
            ),
        }


def gradients():
    """S-72: what a check of gradients returns."""
    net = feedforward(dtype="float64")
    with simulator(net) as sim:
        found = sim.check_gradients([rows(1, 3, 2)], atol=1e-4)[net.p]
        return {
            "analytic": found["analytic"][0],
            "shape": np.shape(found["numeric"][0]),
            "n": sim.n_steps,
        }


def gradients_of_python():
    """S-72: a synapse that is no filter of its own passes no gradient, or a right one."""
    net = feedforward(synapse=nengo.synapses.Triangle(0.005))
    with simulator(net) as sim:
        return {"outcome": outcome(lambda: sim.check_gradients())}


def steps_and_synapses():
    """S-45: training a single step of a network with synapses is warned of."""
    net = feedforward()
    with simulator(net, minibatch_size=2) as sim:
        sim.compile(sgd(), loss={net.p: "mse"})
        call = lambda: sim.fit(rows(2, 1, 2), rows(2, 1, 1), verbose=0)  # noqa: E731
        return {"warning": texts(warned(call, "one timestep"))}


def what_is_trained():
    """S-76, T-01 to T-11: sizes of what may be trained."""
    found = {}

    def count(name, net):
        with simulator(net) as sim:
            found[name] = sizes(sim.keras_model.trainable_weights)

    count("all", feedforward())
    count("none", feedforward(inference_only=True))
    count("setting", feedforward(trainable=False))
    net = feedforward(trainable=False)
    net.config[net.dec].trainable = True
    count("connection", net)
    net = feedforward(trainable=None)
    net.config[nengo.Ensemble].trainable = False
    net.config[net.ens.neurons].trainable = True
    count("biases", net)
    net = network(trainable=None)
    with net:
        inner = nengo.Network()
        with inner:
            nengo_dl.configure_settings(trainable=False)
            a = nengo.Node([0.0])
            b = nengo.Node(size_in=2)
            nengo.Connection(a, b, transform=[[1], [2]], synapse=None)
        c = nengo.Node(size_in=3)
        nengo.Connection(b, c, transform=np.ones((3, 2)), synapse=None)
        nengo.Connection(b, nengo.Node(size_in=2), synapse=None)
        nengo.Probe(c)
    count("inner", net)
    net = feedforward()
    with net:
        net.dec.learning_rule_type = nengo.PES()
        nengo.Connection(net.dec.post, net.dec.learning_rule)
    count("learned", net)
    return found
