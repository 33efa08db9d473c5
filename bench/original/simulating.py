"""SPEC 1.1 to 1.6: building, data, runs."""

import copy

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
    simulator,
    texts,
    warned,
)  # fmt: skip

import nengo_dl


def run_steps():
    """S-07, S-15, S-51, S-74: a run of spiking neurons, without a minibatch."""
    net = recurrent()
    with simulator(net) as sim:
        sim.run_steps(40)
        sim.run(0.0104)
        sim.step()
        return {
            "p": sim.data[net.p],
            "n_steps": sim.n_steps,
            "time": sim.time,
            "batch": sim.minibatch_size,
        }


def run_with_data():
    """S-07, S-51: a minibatch, with data."""
    net = recurrent()
    with simulator(net, minibatch_size=3) as sim:
        sim.run_steps(20, data={net.inp: rows(3, 20, 1)})
        sim.run_steps(5)
        return {"p": sim.data[net.p], "seen": sim.data[net.p].shape}


def one_item_keeps_its_axis():
    """S-07: a minibatch of one."""
    net = feedforward()
    with simulator(net, minibatch_size=1) as sim:
        sim.run_steps(4)
        return {"p": sim.data[net.p], "gain": sim.data[net.ens].gain}


def dt():
    """S-02, S-16: another length of a step."""
    net = feedforward()
    with simulator(net, dt=0.002) as sim:
        sim.run(0.02)
        return {
            "p": sim.data[net.p],
            "n": sim.n_steps,
            "dt": sim.dt,
            "set": outcome(lambda: setattr(sim, "dt", 0.1)),
        }


def seeds():
    """S-03: the seed of a simulator, given or that of the network."""
    net = feedforward()
    with simulator(net, seed=5) as one, simulator(net, seed=None) as other:
        return {"seeds": [one.seed, other.seed]}


def given_model():
    """S-02, S-04, T-08: a model that was built before."""
    net = feedforward()
    model = nengo.builder.Model(dt=0.002)
    model.build(net)
    n_operators = len(model.operators)
    with simulator(None, model=model, dt=0.002) as sim:
        sim.run_steps(10)
        found = {"p": sim.data[net.p], "same": len(model.operators) == n_operators}
        found["warning"] = texts(warned(lambda: simulator(net, model=model).close(), "dt"))
    with nengo.Simulator(None, model=model, progress_bar=False) as core:
        core.run_steps(10)
        found["core"] = core.data[net.p]
    return found


def names():
    """S-19: names of nodes and probes."""
    net = network()
    with net:
        nodes = [nengo.Node([0], label=label) for label in ("aa", "a b:c", "Aa", None, "x$y", None)]
        probes = [nengo.Probe(nodes[0], label=label) for label in ("aa", None, "other", None)]
        inner = nengo.Node(size_in=1)
    foreign = nengo.Node([0], add_to_container=False)
    with simulator(net) as sim:
        return {
            "names": texts(sim.get_name(obj) for obj in (*nodes, *probes)),
            "outputs": texts(sim.keras_model.output_names),
            **outcomes(
                inner=lambda: sim.get_name(inner),
                foreign=lambda: sim.get_name(foreign),
                number=lambda: sim.get_name(3),
            ),
        }


def shapes():
    """S-12, S-20: inputs and outputs of the Keras model."""
    net = feedforward()
    with net:
        weights = nengo.Probe(net.enc, "weights")
    with simulator(net, minibatch_size=3) as sim:
        model = sim.keras_model
        found = sim.predict(n_steps=4)
        return {
            "name": np.array(model.name),
            "inputs": texts(t.name for t in model.inputs),
            "input_shapes": texts(tuple(t.shape) for t in model.inputs),
            "p": found[net.p].shape,
            "weights": found[weights].shape,
            "static": all(t.shape[0] == 3 for t in model.inputs),
        }  # fmt: skip


def functions_of_time():
    """S-21 to S-23: functions are called once for each step, with the time."""
    net, calls = network(), []

    def record(t):
        calls.append(t)
        return [np.sin(10 * t), t]

    with net:
        node = nengo.Node(record, label="wave")
        net.p = nengo.Probe(node)
        nengo.Node(lambda t: calls.append(100 + t), label="silent")
    with simulator(net, minibatch_size=2) as sim:
        del calls[:]
        sim.run_steps(3)
        first = sorted(calls)
        del calls[:]
        sim.run_steps(2)
        second = sorted(calls)
        del calls[:]
        sim.run_steps(2, data={node: rows(2, 2, 2)})
        return {"p": sim.data[net.p], "first": first, "second": second, "third": sorted(calls)}


def wrong_functions():
    """S-24, S-55: what functions must not return, and their errors."""
    found = {}
    for value in (None, np.nan, "text", ZeroDivisionError):

        def function(t, value=value):
            if t < 0.0015:
                return 1.0
            if isinstance(value, type):
                raise value("oh")
            return value

        net = network()
        with net:
            node = nengo.Node(function, size_out=1)
            nengo.Probe(node)
        name = getattr(value, "__name__", str(value))
        found[name] = outcome(lambda net=net: simulator(net).run_steps(3))
    return found


def processes():
    """S-22: seeded processes are equal in all items."""
    net = network()
    with net:
        node = nengo.Node(nengo.processes.PresentInput([[1.0], [2.0], [3.0]], 0.002))
        noise = nengo.Node(nengo.processes.WhiteSignal(0.1, 20, seed=3))
        p, q = nengo.Probe(node), nengo.Probe(noise)
    with simulator(net, minibatch_size=2) as sim:
        sim.run_steps(7)
        sim.run_steps(4)
        first = sim.data[q][0]
        return {
            "present": sim.data[p],
            "signal": sim.data[q],
            "same": np.array_equal(first, sim.data[q][1]),
        }


def processes_of_many_batches():
    """S-25: data is generated for all minibatches of a call."""
    net = network()
    with net:
        a = nengo.Node([0.0])
        noise = nengo.Node(nengo.processes.WhiteNoise(seed=None))
        nengo.Probe(a)
        nengo.Probe(noise)
    with simulator(net, minibatch_size=2) as sim:
        return {"outcome": outcome(lambda: sim.predict({a: np.zeros((4, 3, 1))}))}


def forms_of_data():
    """S-27 to S-30, S-32 to S-34: dict by node or name, list, array, tensor, integers, n_steps."""
    net = feedforward()
    x = rows(2, 5, 2)
    with simulator(net, minibatch_size=2) as sim:
        forms = [{net.inp: x}, {"inp": x}, [x], x, tf.constant(x, tf.float32), tf.constant(x)]
        found = {f"form{i}": sim.predict(form)[net.p] for i, form in enumerate(forms)}
        found["ints"] = sim.predict({net.inp: np.arange(20).reshape(2, 5, 2)})[net.p]
        found["none"] = sim.predict(n_steps=5)[net.p]
        found["on_batch"] = sim.predict_on_batch({net.inp: x})[net.p]
        found["dtype"] = np.array(str(found["none"].dtype))
        found["untouched"] = len(sim.data[net.p])
        return found


def data_that_does_not_fit():
    """S-27 to S-32: the classes of errors."""
    net = feedforward()
    with net:
        inner = nengo.Node(size_in=1)
    with simulator(net, minibatch_size=2, unroll_simulation=2) as sim:
        return outcomes(
            inner_node=lambda: sim.predict({inner: np.zeros((2, 4, 1))}),
            unknown_name=lambda: sim.predict({"nope": np.zeros((2, 4, 1))}),
            n_steps_given=lambda: sim.predict(
                {"inp": np.zeros((2, 4, 2)), "n_steps": np.zeros((2, 1))}
            ),
            nothing=lambda: sim.predict(),
            rank=lambda: sim.predict({"inp": np.zeros((2, 4))}),
            small_batch=lambda: sim.predict({"inp": np.zeros((1, 4, 2))}),
            unroll=lambda: sim.predict({"inp": np.zeros((2, 3, 2))}),
            steps_differ=lambda: sim.predict({"inp": np.zeros((2, 4, 2))}, n_steps=6),
            n_steps_unroll=lambda: sim.predict(n_steps=3),
            on_batch=lambda: sim.predict_on_batch({"inp": np.zeros((4, 4, 2))}),
            run_batch=lambda: sim.run_steps(4, data={"inp": np.zeros((4, 4, 2))}),
            n_steps_missing=lambda: sim.run_steps(2, data={"inp": np.zeros((2, 4, 2))}),
            negative=lambda: sim.run(-1),
            generator_steps=lambda: sim.predict(
                ({"inp": np.zeros((2, 4, 2))} for _ in range(1)), n_steps=4
            ),
            generator_run=lambda: sim.run_steps(
                4, data=({"inp": np.zeros((2, 4, 2))} for _ in range(1))
            ),
        )


def last_axis():
    """S-32: data of the wrong size."""
    net = feedforward()
    with simulator(net) as sim:
        return {"error": outcome(lambda: sim.predict({net.inp: np.zeros((1, 4, 3))}))}


def warnings_of_data():
    """S-28, S-32, S-35, S-45, S-51, S-52: what is warned of."""
    net = feedforward()
    with net:
        nengo.Node([0.0], label="second")
    with simulator(net, minibatch_size=2) as sim, simulator(net, unroll_simulation=3) as three:
        return {
            "elements": texts(warned(lambda: sim.predict([rows(2, 4, 2)]), "Number of elements")),
            "batch": texts(warned(lambda: sim.predict(n_steps=2, batch_size=5), "statically")),
            "cut": texts(warned(lambda: sim.predict({net.inp: rows(5, 4, 2)}), "truncated")),
            "one": texts(warned(lambda: sim.predict(n_steps=1), "one timestep")),
            "zero": texts(warned(lambda: sim.run(0), "0")),
            "unroll": texts(
                warned(lambda: three.run_steps(4), "") and [three.n_steps, three.data[net.p].shape]
            ),
        }


def truncated_batch():
    """S-32: rows that fill no minibatch are left out."""
    net = feedforward()
    with simulator(net, minibatch_size=2) as sim:
        return {"p": sim.predict({net.inp: rows(5, 4, 2)})[net.p]}


def datasets():
    """S-31: what has its own batches is passed on."""
    net = feedforward()
    x, steps = rows(4, 6, 2).astype(np.float32), np.full((4, 1), 6, np.int32)
    with simulator(net, minibatch_size=2) as sim:
        dataset = tf.data.Dataset.from_tensor_slices({"inp": x, "n_steps": steps}).batch(2)
        return {"p": sim.predict(dataset)[net.p]}


def nodes_with_inputs():
    """O-14, O-17: Python in the middle of a model, and its time."""
    net = network()
    with net:
        a = nengo.Node([0.5, -1.0])
        b = nengo.Node(lambda t, x: [x[0] * t, x[1] + 1, t], size_in=2)
        nengo.Connection(a, b, synapse=0.003)
        nengo.Connection(b[1], a_in := nengo.Node(size_in=1), synapse=None)
        p, q = nengo.Probe(b), nengo.Probe(a_in, synapse=0.01)
    with simulator(net, minibatch_size=2) as sim:
        sim.run_steps(6)
        return {"p": sim.data[p], "q": sim.data[q]}


def of_the_whole_package():
    """Package-level facts, P-01, S-09, S-18: names and refusals."""
    net = feedforward()
    names = "Simulator Converter Layer TensorNode tensor_layer configure_settings LeakyReLU"
    names += " SpikingLeakyReLU SoftLIFRate callbacks compat config converter dists losses neurons"
    names += " simulator tensor_node tensor_graph graph_optimizer utils"
    with simulator(net) as sim:
        found = {name: hasattr(nengo_dl, name) for name in names.split()}
        found["copied"] = outcome(lambda: copy.copy(sim))
        return found


def rate_layers():
    """O-12: connections between neurons, one step."""
    net = rates(2)
    with simulator(net, minibatch_size=4) as sim:
        return {"p": sim.predict({net.inp: rows(4, 1, 3)})[net.p]}


def attributes():
    """S-10, S-11, S-13, S-14, S-17: what a simulator has."""
    net = feedforward()
    with simulator(net, minibatch_size=2, unroll_simulation=3, seed=4) as sim:
        sim.run_steps(3)
        model = sim.model
        return {
            "names": [hasattr(model, n) for n in ("sig", "params", "probes", "operators", "seeds")],
            "toplevel": model.toplevel is net,
            "probes": [probe is net.p for probe in model.probes],
            "dt": model.dt,
            "graph": np.array(sim.tensor_graph.name),
            "inputs": [node is net.inp for node in sim.node_inputs],
            "input": texts([sim.node_inputs[net.inp].name]),
            "values": [sim.seed, sim.unroll, sim.minibatch_size],
            "flags": [bool(sim.stateful), bool(sim.closed)],
            "contains": [obj in sim.data for obj in (net.p, net.ens, net.enc, net.inp, net)],
        }
