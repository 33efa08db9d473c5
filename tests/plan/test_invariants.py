"""What must hold for every plan, whatever the planner makes of a model."""

import gc
from dataclasses import replace

import nengo
import networks
import networks_dynamics  # noqa: F401 (registers its networks)
import numpy as np
import pytest
from nengo.builder import Operator, Signal
from nengo.exceptions import BuildError
from planned import assert_same, build, plan, run_twin

from nengo_dl.ir.program import Op, Operand, ProgramError, elements, from_bytes, to_bytes
from nengo_dl.plan import make_plan
from nengo_dl.plan.verify import _apart, verify_program


def kinds(made):
    return [op.kind for op in made.only_program().ops()]


def find(made, kind):
    return [op for op in made.only_program().ops() if op.kind == kind]


@pytest.mark.parametrize("name", networks.NETWORKS)
def test_program_survives_its_bytes(name):
    data = to_bytes(plan(build(networks.make(name))).only_program())
    same = to_bytes(from_bytes(data)) == data  # outside of assert: pytest would diff the bytes
    assert same


@pytest.mark.parametrize("name", ["pes", "slices", "convolutions", "custom_neurons"])
def test_planning_leaves_the_model_as_it_is(name):
    model = build(networks.make(name))

    def snapshot():
        return [
            (op, [[(s, s.shape, s.offset, s.name) for s in group] for group in signals])
            for op in model.operators
            for signals in [(op.sets, op.incs, op.reads, op.updates)]
        ]

    before, values = snapshot(), {s: s.initial_value for op in model.operators for s in op.reads}
    plan(model)
    assert snapshot() == before
    assert all(s.initial_value is value for s, value in values.items())


@pytest.mark.parametrize("name", networks.NETWORKS)
def test_planning_is_reproducible(name):
    model = build(networks.make(name))
    same = to_bytes(plan(model).only_program()) == to_bytes(plan(model).only_program())
    assert same


def test_equal_ensembles_are_blocks_of_one_op():
    with nengo.Network(seed=0) as net:
        ea = nengo.networks.EnsembleArray(10, 32)
        nengo.Connection(ea.output, ea.input, synapse=0.1)
        nengo.Probe(ea.output)
    made = plan(build(net))
    assert [op.blocks for op in find(made, "neurons")] == [32]
    assert sorted(op.blocks for op in find(made, "dense")) == [32, 32]
    assert not find(made, "fill")
    for op in find(made, "neurons") + find(made, "dense"):
        for arg, operand in op.args.items():
            steps = np.unique(np.diff(operand.offsets))
            assert len(steps) == 1, f"blocks of {op.kind}.{arg} are not evenly spaced"
    assert len(find(plan(build(net), merge=False), "neurons")) == 32


def test_only_cycles_loop():
    with nengo.Network(seed=0) as net:
        a, b, c = (nengo.Ensemble(10, 1, label=label) for label in "abc")
        nengo.Connection(a, b)
        nengo.Connection(b, b)
        nengo.Connection(b, c)
        nengo.Probe(c)
    regions = plan(build(net)).only_program().regions
    assert [r.kind for r in regions] == ["sequence", "loop", "sequence"]
    for region, label in zip(regions, "abc", strict=True):
        (neurons,) = [op for op in region.ops if op.kind == "neurons"]
        assert f"'{label}'" in neurons.name


def test_spikes_stay_inside_the_loop():
    with nengo.Network(seed=0) as net:
        a = nengo.Ensemble(50, 1)
        nengo.Connection(a, a)
        nengo.Probe(a, synapse=0.01)
    made = plan(build(net))
    (neurons,) = find(made, "neurons")
    buffer = made.only_program().buffers[neurons.args["out"].buffer]
    assert buffer.kind == "local"


def test_place_finds_parameters_and_state():
    with nengo.Network(seed=0) as net:
        a = nengo.Ensemble(20, 3)
        out = nengo.Node(size_in=2)
        conn = nengo.Connection(a, out, transform=np.ones((2, 3)), learning_rule_type=nengo.PES())
        nengo.Connection(nengo.Node([1, 2, 3]), a)
        nengo.Probe(out)
        nengo.Probe(a.neurons, "voltage")
    model = build(net)
    made = plan(model)
    encoders, weights = model.sig[a]["encoders"], model.sig[conn]["weights"]
    bias, voltage = model.sig[a.neurons]["bias"], model.sig[a.neurons]["voltage"]
    for signal in (encoders, encoders[3:9, 1:], encoders[4], weights, weights[1:], bias, bias[::2]):
        place = made.place(signal)
        values = made.param_values[place.index]
        view = np.lib.stride_tricks.as_strided(
            values[place.offset :], place.shape, [s * values.itemsize for s in place.strides]
        )
        np.testing.assert_array_equal(view, signal.initial_value)
    assert made.place(weights).kind == "learned" and made.place(bias).kind == "param"
    place = made.place(voltage)
    assert place.kind == "state"
    found = made.pieces[place.index].initial_state[place.offset : place.offset + 20]
    np.testing.assert_array_equal(found, voltage.initial_value)
    assert made.place(model.sig[a.neurons]["in"]) is None


def test_trainable_parameters_are_never_folded():
    with nengo.Network(seed=0) as net:
        out = nengo.Node(size_in=2)
        nengo.Connection(nengo.Node([1, 2]), out, transform=np.eye(2), synapse=None)
        nengo.Connection(nengo.Node([1, 2]), out, transform=np.zeros((2, 2)), synapse=None)
        nengo.Probe(out)
    model = build(net)
    assert kinds(plan(model)).count("dense") == 0
    made = plan(model, trainable=lambda s: s.name.endswith("weights"))
    assert sum(op.blocks for op in find(made, "dense")) == 2
    assert any(made.trainable)


def test_zero_input_leaves_only_the_bias():
    with nengo.Network(seed=0) as net:
        nengo.Probe(nengo.Ensemble(10, 1).neurons)
    made = plan(build(net))
    assert kinds(made) == ["neurons", "output"]
    assert len(made.only_program().params) == 1


def test_unseen_work_is_dropped_but_callbacks_stay():
    called = []
    with nengo.Network(seed=0) as net:
        nengo.Connection(nengo.Ensemble(10, 1), nengo.Ensemble(10, 1))
        nengo.Node(lambda t: called.append(t))
    model = build(net)
    made = plan(model)
    assert kinds(made) == ["callback"]
    called.clear()  # Nengo tries functions when nodes are made
    run_twin(made, model, 3)
    assert called == [0.001, 0.002, 0.003]


def test_inputs_replace_nodes():
    with nengo.Network(seed=0) as net:
        u = nengo.Node(lambda t: [t, 2 * t])
        v = nengo.Node([5.0])
        nengo.Probe(u)
        nengo.Probe(v, synapse=0.01)
    model = build(net)
    inputs = [("u", model.sig[u]["out"]), ("v", model.sig[v]["out"])]
    made = plan(model, inputs=inputs)
    assert not made.callbacks and made.only_program().window == 0
    data = [np.arange(8.0).reshape(4, 2), np.ones((4, 1))]
    ours, filtered = run_twin(made, model, 4, data)
    np.testing.assert_array_equal(ours, data[0])
    a = np.exp(-0.1)
    np.testing.assert_allclose(filtered[:, 0], [0, 1 - a, 1 - a**2, 1 - a**3])


def test_callbacks_run_in_the_order_of_nengo():
    def network(log):
        with nengo.Network(seed=0) as net:
            previous = None
            for name in "caebd":
                node = nengo.Node(lambda t, x, name=name: log.append(name), size_in=1)
                source = nengo.Node(lambda t, name=name: log.append(name.upper()) or 0.0)
                nengo.Connection(source, node, synapse=None)
                if previous is not None:
                    nengo.Connection(source, previous, synapse=0)
                previous = node
        return net

    ours, theirs = [], []
    model = build(network(ours))
    made = plan(model)
    ours.clear()
    run_twin(made, model, 2)
    with nengo.Simulator(network(theirs), progress_bar=False, optimize=False) as sim:
        theirs.clear()
        sim.run_steps(2)
    assert made.only_program().window == 1
    assert ours == theirs


class Accumulate(Operator):
    """Adds a signal to another one that keeps its value, and remembers the largest sum."""

    def __init__(self, src, total, largest):
        super().__init__()
        self.sets, self.incs, self.reads, self.updates = [], [total], [src], [largest]

    def make_step(self, signals, dt, rng):
        src, total = signals[self.reads[0]], signals[self.incs[0]]
        largest = signals[self.updates[0]]

        def step():
            total[...] += src
            largest[...] = max(largest.max(), total.max())

        return step


def test_unknown_operators_become_callbacks():
    with nengo.Network(seed=0) as net:
        u = nengo.Node([0.5, -1])
        nengo.Probe(u)
    model = build(net)
    total, largest = Signal(np.ones(2), name="total"), Signal(np.zeros(1), name="largest")
    model.add_op(Accumulate(model.sig[u]["out"], total, largest))
    outputs = [("total", total), ("largest", largest), ("step", model.step), ("time", model.time)]
    made = make_plan(
        model.operators, dt=0.001, time=model.time, step=model.step, outputs=outputs, verify=True
    )
    total, largest, step, time = run_twin(made, model, 3)
    np.testing.assert_allclose(total, [[1.5, 0], [2, -1], [2.5, -2]])
    np.testing.assert_allclose(largest, [[1.5], [2], [2.5]])
    np.testing.assert_allclose(step[:, 0], [1, 2, 3])
    np.testing.assert_allclose(time[:, 0], [0.001, 0.002, 0.003])
    assert "Accumulate" in str(made) and "no native form" in str(made)


def test_cycles_within_a_step_are_refused():
    with nengo.Network() as net:
        a, b = nengo.Node(size_in=1), nengo.Node(size_in=1)
        nengo.Connection(a, b, synapse=None)
        nengo.Connection(b, a, synapse=None)
        nengo.Probe(a)
    with pytest.raises(BuildError, match="synapse"):
        plan(build(net), simplifications=[])


def test_two_setters_are_refused():
    signal = Signal(np.zeros(2), name="twice")
    resets = [nengo.builder.operator.Reset(s) for s in (signal, signal[1:])]
    with pytest.raises(BuildError, match="twice"):
        make_plan(resets, dt=0.001, outputs=[("out", signal)])


def test_large_updates_are_held_in_place():
    made = assert_same(networks.make("large_learned_weights"), n_steps=20)
    (bcm,) = find(made, "bcm")
    assert made.only_program().buffers[bcm.args["delta"].buffer].kind == "state"


def broken(program, region, change):
    """A program with one region's ops changed."""
    regions = list(program.regions)
    regions[region] = replace(regions[region], ops=tuple(change(list(regions[region].ops))))
    return replace(program, regions=tuple(regions))


def test_verifier_sees_what_is_wrong():
    program = plan(build(networks.make("recurrent"))).only_program()
    verify_program(program)
    loop = [r.kind for r in program.regions].index("loop")
    with pytest.raises(ProgramError, match="before it is"):
        verify_program(broken(program, loop, lambda ops: ops[::-1]))
    with pytest.raises(ProgramError, match="twice|too late"):
        verify_program(broken(program, loop, lambda ops: [*ops, *ops]))

    def misplace(ops):
        args = dict(ops[0].args)
        name = next(iter(args))
        offsets = tuple(o + (1 << 20) for o in args[name].offsets)
        return [replace(ops[0], args={**args, name: replace(args[name], offsets=offsets)})]

    with pytest.raises(ProgramError, match="outside"):
        verify_program(broken(program, 0, misplace))


def test_rls_between_neurons_is_native():
    """Nengo's rule has one error for all neurons there."""
    with nengo.Network(seed=0) as net:
        a, b = nengo.Ensemble(12, 1), nengo.Ensemble(11, 1)
        solver = nengo.solvers.LstsqL2(weights=True)
        conn = nengo.Connection(a, b, solver=solver, learning_rule_type=nengo.RLS(1e-2))
        nengo.Connection(a, conn.learning_rule)
        nengo.Probe(conn, "weights")
    made = assert_same(net, n_steps=20)
    (rls,) = find(made, "rls")
    assert rls.args["error"].strides == (0,) and not made.callbacks


def test_garbage_collection_goes_on():
    """Planning holds it back, also when it fails, and leaves it off where it was off."""
    for enabled in (True, False):
        (gc.enable if enabled else gc.disable)()
        try:
            plan(build(networks.make("sparse")))
            with pytest.raises(TypeError):
                make_plan([], dt=0.001, outputs=[None])
            assert gc.isenabled() is enabled
        finally:
            gc.enable()


def test_plan_is_printed():
    made = plan(build(networks.make("node_functions")))
    text = str(made)
    assert "Region 0" in text and "reset" in text and "Bytes: parameters" in text
    assert all(spec.name in text for spec in made.callbacks)
    assert "reverse" in text and "Python function" in text


def test_what_strides_tell_apart_is_different():
    """The short way of the verifier, which is taken where it is plain."""
    rng, told = np.random.RandomState(0), 0
    for _ in range(2000):
        rank = rng.randint(0, 4)
        shape = tuple(int(n) for n in rng.randint(0, 4, size=rank))
        strides = tuple(int(s) for s in rng.randint(-7, 8, size=rank))
        offsets = tuple(int(o) for o in rng.randint(50, 150, size=rng.randint(1, 4)))
        op = Op("copy", "op", len(offsets), {"dst": Operand(0, 0, shape, strides, offsets)})
        if _apart(op, "dst"):
            named = elements(op, "dst").ravel()
            assert len(set(named.tolist())) == len(named), op
            told += len(named) > 1
    assert told > 100
    rows = Operand(0, 0, (4, 5), (5, 1), (0, 20, 40))
    assert _apart(Op("copy", "rows", 3, {"dst": rows}), "dst")
