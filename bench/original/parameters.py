"""SPEC 1.8 and 1.9: files, freezing, parameters, probed values."""

import os

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
    sizes,
    texts,
)  # fmt: skip


def _train(sim, net, n_in=2, steps=4):
    sim.compile(sgd(1e-3), loss={net.p: "mse"})
    batch = sim.minibatch_size
    sim.fit(rows(batch, steps, n_in), rows(batch, steps, 1, seed=1), epochs=2, verbose=0)


def saved_and_loaded():
    """S-66, S-68, S-69: what is trained goes through a file, to other minibatches, too."""
    net = feedforward()
    with simulator(net, minibatch_size=2) as sim:
        _train(sim, net)
        sim.save_params("weights.npz")
        files = sorted(os.listdir())
        trained = sim.predict(n_steps=5)[net.p]
    with simulator(net, minibatch_size=3) as sim:
        before = sim.predict(n_steps=5)[net.p]
        sim.load_params("weights.npz")
        after = sim.predict(n_steps=5)[net.p]
    with np.load("weights.npz.npz") as data:
        n_elements = sum(array.size for array in (data[name] for name in data.files))
    return {
        "files": texts(files),
        "before": before,
        "after": after,
        "equal": np.allclose(after[0], trained[0]),
        "elements": n_elements,
    }


def saved_state():
    """S-66, S-68: the state goes through a file."""
    net = recurrent()
    with simulator(net) as sim:
        sim.run_steps(12)
        sim.save_params("state", include_state=True)
        sim.run_steps(10)
        on = sim.data[net.p][12:]
    with simulator(net) as sim:
        sim.load_params("state", include_state=True)
        n = sim.n_steps
        sim.run_steps(10)
        return {"on": on, "again": sim.data[net.p], "n": n, "n_after": sim.n_steps}


def weights_of_keras():
    """S-67, S-69: the Keras model's own weights and files of them."""
    net = feedforward()
    with simulator(net, minibatch_size=2) as sim:
        _train(sim, net)
        sim.keras_model.save_weights("model.weights.h5")
        trained = sim.predict(n_steps=5)[net.p]
        n_elements = sizes(sim.keras_model.weights)
    with simulator(net, minibatch_size=2) as sim:
        sim.keras_model.load_weights("model.weights.h5")
        loaded = sim.predict(n_steps=5)[net.p]
        return {"same": np.array_equal(trained, loaded), "p": loaded, "elements": n_elements}


def file_of_another_network():
    """S-68: a file that does not fit."""
    with simulator(feedforward()) as sim:
        sim.save_params("a")
    with simulator(rates()) as sim:
        return outcomes(other=lambda: sim.load_params("a"), missing=lambda: sim.load_params("b"))


def nengo_params():
    """S-70: arguments that make the trained objects again."""
    net = feedforward()
    with simulator(net, minibatch_size=2) as sim:
        _train(sim, net)
        ens, enc, dec = sim.get_nengo_params([net.ens, net.enc, net.dec])
        named = sim.get_nengo_params(net.ens)
        return {
            "encoders": ens["encoders"],
            "gain": ens["gain"],
            "bias": ens["bias"],
            "normalize": ens["normalize_encoders"],
            "ens_keys": texts(sorted(ens)),
            "transform": enc["transform"],
            "dec_keys": texts(sorted(dec)),
            "decoders": dec["solver"].values,
            "same": np.array_equal(named["bias"], ens["bias"]),
        }


def nengo_params_as_dict():
    """S-70: by label; what can't be got."""
    net = network()
    with net:
        a = nengo.Node([1.0], label="a")
        b = nengo.Node(size_in=1)
        c = nengo.Ensemble(5, 1, neuron_type=nengo.Direct(), label="c")
        one = nengo.Connection(a, b, transform=2.5, synapse=None, label="one")
        two = nengo.Connection(a, b, synapse=None, label="two")
        three = nengo.Connection(a, b, transform=3, synapse=None, label="one")
        nengo.Connection(c, b)
    with simulator(net) as sim:
        found = sim.get_nengo_params([one, two], as_dict=True)
        return {
            "keys": texts(sorted(found)),
            "one": found["one"]["transform"],
            "two": texts([found["two"]["transform"]]),
            **outcomes(
                direct=lambda: sim.get_nengo_params(c),
                node=lambda: sim.get_nengo_params(a),
                labels=lambda: sim.get_nengo_params([one, three], as_dict=True),
            ),
        }


def frozen():
    """S-71: a trained network runs in Nengo."""
    net = feedforward()
    with simulator(net, minibatch_size=2) as sim:
        _train(sim, net)
        ours = sim.predict(n_steps=10)[net.p][0]
        sim.freeze_params(net)
        errors = outcomes(
            other=lambda: sim.freeze_params(nengo.Ensemble(3, 1, add_to_container=False)),
            kind=lambda: sim.freeze_params(net.p),
        )
    with nengo.Simulator(net, progress_bar=False) as core:
        core.run_steps(10)
        return {
            "p": core.data[net.p],
            "same": np.allclose(core.data[net.p], ours, atol=1e-5),
            **errors,
            "closed": outcome(lambda: sim.freeze_params(net)),
        }


def built_values():
    """S-73 to S-77: ensembles and connections of the simulator's data."""
    net = feedforward()
    with simulator(net, minibatch_size=2) as sim:
        before = sim.data[net.ens]
        found = {
            "encoders": before.encoders,
            "scaled": before.scaled_encoders,
            "gain": before.gain,
            "bias": before.bias,
            "max_rates": before.max_rates,
            "intercepts": before.intercepts,
            "enc": sim.data[net.enc].weights,
            "dec": sim.data[net.dec].weights,
            "empty": len(sim.data[net.p]),
        }
        _train(sim, net)
        after = sim.data[net.ens]
        found.update(
            trained_scaled=after.scaled_encoders,
            trained_bias=after.bias,
            trained_gain=after.gain,
            trained_dec=sim.data[net.dec].weights,
            unknown=outcome(lambda: sim.data[3]),
            read_only=outcome(lambda: sim.data[net.ens].bias.__setitem__(0, 1)),
        )
        return found


def kinds_of_weights():
    """S-76, O-11: weights of all kinds of transforms."""
    net = network()
    with net:
        a, b = nengo.Node(np.ones(4)), nengo.Node(size_in=4)
        conns = {
            "none": nengo.Connection(a, b, synapse=None),
            "scalar": nengo.Connection(a, b, transform=2, synapse=None),
            "vector": nengo.Connection(a, b, transform=[1, 2, 3, 4], synapse=None),
            "matrix": nengo.Connection(a, b, transform=np.arange(16).reshape(4, 4), synapse=None),
            "sliced": nengo.Connection(a[[0, 0, 3]], b[:3], transform=-1, synapse=None),
            "sparse": nengo.Connection(
                a,
                b,
                transform=nengo.Sparse((4, 4), indices=[(0, 1), (2, 2)], init=[0.5, 1.5]),
                synapse=None,
            ),
        }
        conv = nengo.Convolution(2, (2, 2, 1), kernel_size=(2, 2), init=rows(2, 2, 1, 2))
        conns["convolution"] = nengo.Connection(a, b[:2], transform=conv, synapse=None)
        p = nengo.Probe(b)
    found = {}
    with simulator(net) as sim:
        sim.run_steps(2)
        found["p"] = sim.data[p]
        for name, conn in conns.items():
            weights = sim.data[conn].weights
            weights = weights.toarray() if hasattr(weights, "toarray") else weights
            found[name] = texts([None]) if weights is None else weights
        found["trained"] = sizes(sim.keras_model.trainable_weights)
    return found
