"""SPEC 2: configure_settings."""

import functools

import nengo
import numpy as np
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
    texts,
)

import nengo_dl
from nengo_dl import graph_optimizer
from nengo_dl.config import get_setting


def placed():
    """2: settings are on the outermost network, trainable on the innermost."""
    with nengo.Network() as net:
        with nengo.Network() as inner:
            nengo_dl.configure_settings(dtype="float64", trainable=False)
    return {
        "dtype": texts(get_setting(n, "dtype", "unset") for n in (net, inner)),
        "trainable": texts(
            getattr(n.config[nengo.Ensemble], "trainable", "unset") for n in (net, inner)
        ),
    }


def refused():
    """2: no context, unknown names, values."""

    def inside(**kwargs):
        with nengo.Network():
            nengo_dl.configure_settings(**kwargs)

    return outcomes(
        context=lambda: nengo_dl.configure_settings(dtype="float64"),
        name=lambda: inside(colour="red"),
        value=lambda: inside(trainable="yes"),
        dtype=lambda: simulator(feedforward(dtype="int32")),
        unset=lambda: network().config[nengo.Ensemble].trainable,
    )


def double():
    """C-07: all in double precision."""
    net = recurrent(dtype="float64")
    with simulator(net) as sim:
        sim.run_steps(50)
        return {"p": sim.data[net.p], "dtype": np.array(str(sim.predict(n_steps=2)[net.p].dtype))}


def smoothing():
    """C-06: LIF neurons are trained by the smoothed curve."""
    net = feedforward(nengo.LIF(), lif_smoothing=0.05)
    with simulator(net, minibatch_size=4) as sim:
        sim.compile(sgd(1e-4), loss={net.p: "mse"})
        x, y = rows(4, 8, 2), rows(4, 8, 1, seed=1)
        losses = sim.fit(x, y, epochs=4, verbose=0).history["loss"]
        return {"losses": losses, "p": sim.predict(x)[net.p]}


def last_step_only():
    """C-08: of all probes or of one."""
    net = feedforward(keep_history=False)
    with net:
        q = nengo.Probe(net.ens.neurons)
    net.config[q].keep_history = True
    with simulator(net, minibatch_size=2) as sim:
        found = sim.predict({net.inp: rows(2, 6, 2)})
        sim.run_steps(5)
        sim.run_steps(4)
        return {
            "p": found[net.p],
            "q": found[q],
            "run": sim.data[net.p],
            "run_q": sim.data[q].shape,
        }


def last_step_is_trained():
    """C-08, D-04: targets of one step."""
    net = feedforward(keep_history=False)
    with simulator(net, minibatch_size=2) as sim:
        sim.compile(sgd(1e-3), loss={net.p: "mse"})
        x, y = rows(2, 6, 2), rows(2, 1, 1, seed=1)
        return {"losses": sim.fit(x, y, epochs=3, verbose=0).history["loss"]}


def never_stateful():
    """C-09, S-59: nothing is ever kept."""
    net = recurrent(stateful=False)
    with simulator(net) as sim:
        sim.run_steps(8)
        sim.run_steps(8)
        sim.predict(n_steps=3, stateful=True)
        return {"p": sim.data[net.p], "n": sim.n_steps}


def no_loop():
    """C-10: a fixed number of steps."""
    net = feedforward(use_loop=False)
    with simulator(net, unroll_simulation=4) as sim:
        return {
            "p": sim.predict({net.inp: rows(1, 4, 2)})[net.p],
            "n_steps": outcome(lambda: sim.predict(n_steps=8)),
            "data": outcome(lambda: sim.predict({net.inp: rows(1, 8, 2)})),
        }


def inference_only():
    """C-05: the same values, and no training."""
    net = recurrent(inference_only=True)
    with simulator(net) as sim:
        sim.run_steps(30)
        found = {"p": sim.data[net.p]}
    both = feedforward(inference_only=True, learning_phase=True)
    found["both"] = outcome(lambda: simulator(both))
    return found


def phase():
    """C-11: runs by rates."""
    net = recurrent(learning_phase=True)
    with simulator(net) as sim:
        sim.run_steps(30)
        return {"p": sim.data[net.p], "predicted": sim.predict(n_steps=5)[net.p]}


def planners():
    """C-02 to C-04, E-06, E-07: they change nothing in the results."""
    found = {}
    for name, options in {
        "noop": {"planner": graph_optimizer.noop_planner},
        "deep": {"planner": functools.partial(graph_optimizer.tree_planner, max_depth=4)},
        "sorter": {"sorter": graph_optimizer.noop_order_signals},
        "none": {"simplifications": []},
        "some": {
            "simplifications": [
                graph_optimizer.remove_zero_incs,
                graph_optimizer.remove_identity_muls,
            ]
        },
        "default": {"simplifications": graph_optimizer.default_simplifications},
    }.items():
        net = recurrent(**options)
        with simulator(net) as sim:
            sim.run_steps(10)
            found[name] = sim.data[net.p]
    return found


def not_trained():
    """C-01: what may not be trained stays as it is."""
    net = rates(trainable=False)
    net.config[net.last].trainable = True
    with simulator(net, minibatch_size=4) as sim:
        before = sim.data[net.first].weights.copy()
        sim.compile(sgd(), loss={net.p: "mse"})
        sim.fit(rows(4, 1, 3), rows(4, 1, 1, seed=1), epochs=3, verbose=0)
        return {
            "first": np.array_equal(sim.data[net.first].weights, before),
            "last": sim.data[net.last].weights,
            "bias": sim.data[net.hidden].bias,
        }
