"""SPEC 1.6 and 1.7: steps, what goes on from where, what is taken back."""

import nengo
from models import feedforward, outcome, outcomes, recurrent, rows, simulator, texts, warned


def unrolled():
    """S-06, S-52: more steps than asked for."""
    net = recurrent()
    with simulator(net, unroll_simulation=4) as sim:
        sim.run_steps(6)
        return {"p": sim.data[net.p], "n": sim.n_steps, "time": sim.time, "t": sim.trange()}


def zero_steps():
    """S-52: no steps at all."""
    net = feedforward()
    with simulator(net) as sim:
        sim.run_steps(0)
        return {"n": sim.n_steps, "shape": sim.predict(n_steps=0)[net.p].shape}


def sample_every():
    """S-33, S-53, S-54: sampled probes, over several runs; predict gives all steps."""
    net = feedforward(nengo.RectifiedLinear())
    with net:
        q = nengo.Probe(net.ens.neurons[:2], sample_every=0.003)
    with simulator(net) as sim:
        sim.run_steps(7)
        sim.run_steps(6)
        return {
            "q": sim.data[q],
            "t": sim.trange(sample_every=0.003),
            "all": sim.trange(),
            "predicted": sim.predict(n_steps=5)[q],
        }


def stateful():
    """S-57: what goes on from where, by default and when asked."""
    net = recurrent()
    with simulator(net, minibatch_size=2) as sim:
        found = {"first": sim.predict(n_steps=10)[net.p], "n0": sim.n_steps}
        found["kept"] = sim.predict(n_steps=10, stateful=True)[net.p]
        found["n1"] = sim.n_steps
        found["on"] = sim.predict(n_steps=10)[net.p]
        sim.run_steps(10, stateful=False)
        found["n2"] = sim.n_steps
        sim.run_steps(10)
        found["run"] = sim.data[net.p]
        return found


def many_minibatches():
    """S-57: each starts from the same state, or goes on where the one before stopped."""
    net = recurrent()
    x = rows(6, 8, 1)
    with simulator(net, minibatch_size=2) as sim:
        apart = sim.predict({net.inp: x})[net.p]
        through = sim.predict({net.inp: x}, stateful=True)[net.p]
        return {"apart": apart, "through": through, "n": sim.n_steps}


def resets():
    """S-61: what a reset takes back."""
    net = recurrent()
    with simulator(net) as sim:
        sim.run_steps(15)
        first = sim.data[net.p].copy()
        sim.reset(include_probes=False)
        sim.run_steps(5)
        both = sim.data[net.p].copy()
        found = {"t": len(sim.trange()), "first": first, "both": both}
        sim.reset()
        found["empty"] = len(sim.data[net.p])
        sim.run_steps(15)
        found["again"] = sim.data[net.p]
        found["seed"] = texts(warned(lambda: sim.reset(seed=4), "will not affect"))
        found["new_seed"] = sim.seed
        return found


def learning_persists():
    """S-60, T-04, S-76: online learning changes parameters, one copy for each item."""
    net = feedforward(nengo.RectifiedLinear())
    with net:
        error = nengo.Node(size_in=1)
        net.dec.learning_rule_type = nengo.PES(1e-3)
        nengo.Connection(net.dec.post, error)
        nengo.Connection(error, net.dec.learning_rule)
        p = nengo.Probe(net.dec, "weights")
    with simulator(net, minibatch_size=2) as sim:
        x = rows(2, 10, 2)
        sim.run_steps(10, data={net.inp: x}, stateful=False)
        found = {"p": sim.data[p], "live": sim.data[net.dec].weights}
        sim.reset(include_trainable=False)
        found["kept"] = sim.data[net.dec].weights
        sim.reset()
        found["back"] = sim.data[net.dec].weights
        return found


def closed():
    """S-63, S-65: what still works after it is closed."""
    net = feedforward()
    sim = simulator(net)
    sim.run_steps(3)
    sim.close()
    sim.close()
    errors = outcomes(
        keras_model=lambda: sim.keras_model,
        tensor_graph=lambda: sim.tensor_graph,
        seed=lambda: sim.seed,
        get_name=lambda: sim.get_name(net.p),
        run_steps=lambda: sim.run_steps(2),
        predict=lambda: sim.predict(n_steps=2),
        reset=lambda: sim.reset(),
        n_steps=lambda: sim.n_steps,
        probe_data=lambda: sim.data[net.p],
        parameters=lambda: sim.data[net.ens],
        enter=lambda: sim.__enter__(),
    )
    return {
        **errors,
        "n": sim.n_steps,
        "p": sim.data[net.p],
        "t": sim.trange(),
    }


def deprecated():
    """S-54, S-62: old names."""
    net = feedforward()
    with simulator(net) as sim:
        sim.run_steps(4)
        return {
            "trange": texts(warned(lambda: sim.trange(dt=0.002), "")[0]),
            "both": outcome(lambda: sim.trange(dt=0.002, sample_every=0.002)),
            "train": outcome(lambda: sim.train({}, None)),
            "loss": outcome(lambda: sim.loss({})),
            "soft": texts(warned(lambda: sim.soft_reset(), "deprecated")),
            "n": sim.n_steps,
        }
