"""The training form of a program: what changes, and what must not."""

from dataclasses import replace

import nengo
import networks
import networks_dynamics  # noqa: F401 (registers its networks)
import numpy as np
import pytest
from planned import build, plan, run_twin, weights, with_run

from nengo_dl.ir import neuron_kinds
from nengo_dl.ir.program import Op, ProgramError, from_bytes, to_bytes
from nengo_dl.plan import only_run, plan_of, show, training
from nengo_dl.plan.obstacles import blocked_parameters
from nengo_dl.plan.training import training_program


def neurons(program):
    return [op for op in program.ops() if op.kind == "neurons"]


def with_surrogate(program, kind="superspike"):
    """The program with a surrogate on all its neurons."""

    def change(op):
        if op.kind != "neurons":
            return op
        return replace(op, attrs={**op.attrs, "surrogate": kind, "width": (0.5,)})

    regions = tuple(replace(r, ops=tuple(map(change, r.ops))) for r in program.regions)
    return replace(program, regions=regions)


def assert_same_frame(program, made):
    """What lies outside of a program is the same for both of its forms."""
    for name in ("dtype", "dt", "window", "state_size", "istate_size", "params"):
        assert getattr(made, name) == getattr(program, name)
    assert (made.inputs, made.outputs) == (program.inputs, program.outputs)
    for before, after in zip(program.buffers, made.buffers, strict=True):
        assert replace(after, kind=before.kind) == before


@pytest.mark.parametrize("surrogate", [False, True])
@pytest.mark.parametrize("name", networks.NETWORKS)
def test_every_network(name, surrogate):
    """The form verifies, survives its bytes, leaves the program alone, and is its own form."""
    program = plan(build(networks.make(name))).only_program()
    if surrogate:
        program = with_surrogate(program)
    before = to_bytes(program)
    made = training_program(program)
    assert_same_frame(program, made)
    same = to_bytes(program) == before and to_bytes(from_bytes(to_bytes(made))) == to_bytes(made)
    assert same
    again = to_bytes(training_program(made)) == to_bytes(made)
    assert again
    types = {op.attrs["type"] for op in neurons(made)}
    if not surrogate:
        assert not types & {"LIF", "AdaptiveLIF", "SpikingRectifiedLinear", "RegularSpiking"}


RATES = [
    (nengo.LIF(amplitude=0.5), nengo.LIFRate(amplitude=0.5)),
    (nengo.SpikingRectifiedLinear(amplitude=2), nengo.RectifiedLinear(amplitude=2)),
    (nengo.AdaptiveLIF(tau_n=0.3), nengo.AdaptiveLIFRate(tau_n=0.3)),
    (nengo.Izhikevich(), nengo.Izhikevich()),
    (nengo.Tanh(), nengo.Tanh()),
]


@pytest.mark.parametrize("spiking, rate", RATES)
def test_rates(spiking, rate):
    """A spiking network runs, in training, as that of the rate type does."""

    def network(neuron_type):
        with nengo.Network(seed=3) as net:
            a = nengo.Ensemble(8, 1, neuron_type=neuron_type)
            nengo.Connection(nengo.Node(0.7), a)
            nengo.Connection(a, a, synapse=0.05)
            nengo.Probe(a.neurons)
            nengo.Probe(a, synapse=0.02)
        return net

    # rates: the solver of decoders and the builder's gains are the same for both
    expected = network(rate)
    model = build(expected)
    due = run_twin(plan(model), model, 20)
    model = build(network(spiking))
    made = plan(model)
    got = run_twin(with_run(made, program=training_program(made.only_program())), model, 20)
    for ours, theirs in zip(got, due, strict=True):
        assert np.ptp(theirs) > 0
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-9)


def test_smoothing():
    """`lif_smoothing` chooses the smooth rate curve of LIF, and of nothing else."""
    program = plan(build(networks.make("neuron_types"))).only_program()
    plain, smooth = training_program(program), training_program(program, 0.02)
    pairs = zip(neurons(program), neurons(plain), neurons(smooth), strict=True)
    for before, rate, soft in pairs:
        if before.attrs["type"] == "LIF":
            assert (rate.attrs["type"], soft.attrs["type"]) == ("LIFRate", "SoftLIFRate")
            assert soft.attrs["sigma"] == (0.02,)
            assert set(soft.attrs) == {"type", "tau_rc", "tau_ref", "amplitude", "sigma"}
        else:
            assert rate == soft


@pytest.mark.parametrize("base", [nengo.LIFRate(), nengo.Tanh()])
@pytest.mark.parametrize(
    "cls", [nengo.RegularSpiking, nengo.StochasticSpiking, nengo.PoissonSpiking]
)
def test_spikes_of_rates(cls, base):
    """Types that make spikes of rates hand the rates on, with their amplitude."""
    with nengo.Network(seed=0) as net:
        a = nengo.Ensemble(6, 1, neuron_type=cls(base, amplitude=0.3))
        nengo.Connection(nengo.Node(0.5), a)
        nengo.Probe(a.neurons)
    made = training_program(plan(build(net)).only_program())
    rates, spikes = sorted(neurons(made), key=lambda op: op.attrs["type"] == "LeakyReLU")
    assert spikes.args["J"] == replace(rates.args["out"], shift=spikes.args["J"].shift)
    assert set(spikes.args) == {"J", "out"}
    attrs = {"type": "LeakyReLU", "amplitude": (0.3,), "negative_slope": (1.0,)}
    assert spikes.attrs == attrs


def probed(attribute):
    with nengo.Network(seed=0) as net:
        a = nengo.Ensemble(5, 1)
        nengo.Connection(nengo.Node(1), a)
        nengo.Probe(a.neurons, attribute)
        nengo.Probe(a, synapse=0.01)
    return net


@pytest.mark.parametrize("attribute", ["voltage", "refractory_time"])
def test_state_at_rest(attribute):
    """What rate neurons don't change is still there to be read."""
    model = build(probed(attribute))
    made = plan(model)
    state = np.arange(made.pieces[0].initial_state.size) * 0.5
    made = with_run(made, initial_state=state)
    place = made.place(model.sig[model.probes[0].obj][attribute])
    got = run_twin(with_run(made, program=training_program(made.only_program())), model, 7)
    due = state[place.offset : place.offset + 5]
    assert np.array_equal(got[0], np.tile(due, (7, 1)))
    assert np.ptp(run_twin(made, model, 7)[0]) > 0


def test_state_at_rest_beside_others():
    """A buffer of which only a part is still changed: the other part is handed on."""
    with nengo.Network(seed=0) as net:
        for neuron_type in (nengo.LIF(), nengo.Izhikevich()):
            a = nengo.Ensemble(5, 1, neuron_type=neuron_type)
            nengo.Connection(nengo.Node(1), a)
            nengo.Probe(a.neurons, "voltage", synapse=0.01)
    model = build(net)
    made = plan(model)
    form = training_program(made.only_program())
    starts = [made.place(model.sig[p.obj]["voltage"]).offset for p in model.probes]
    homes = [
        buffer
        for buffer in form.buffers
        for start in starts
        if 0 <= buffer.state_offset <= start < buffer.state_offset + buffer.size
    ]
    assert homes[0] is homes[1], "both voltages are meant to lie in one buffer"
    assert homes[0].kind == "carried"
    (held,) = [op for op in form.ops() if op.name.startswith("held in training")]
    assert (held.kind, held.attrs) == ("lowpass", {"a": (1.0,), "b": (0.0,)})
    state = np.linspace(0.1, 0.9, made.pieces[0].initial_state.size)
    made = with_run(made, initial_state=state, program=form)
    lif, izhikevich = run_twin(made, model, 9)
    voltage = state[made.place(model.sig[model.probes[0].obj]["voltage"]).offset :][:5]
    assert np.all(np.diff(np.abs(lif - voltage), axis=0) < 0), "it does not approach what is held"
    assert np.ptp(izhikevich) > 0


def test_rows_for_surrogates():
    """States that a gradient reads have rows, whether in a loop or not."""
    for recurrent in (False, True):
        with nengo.Network(seed=0) as net:
            a = nengo.Ensemble(5, 1)
            nengo.Connection(nengo.Node(1), a)
            if recurrent:
                nengo.Connection(a, a)
            nengo.Probe(a, synapse=0.01)
        model = build(net)
        made = plan(model)
        form = training_program(with_surrogate(made.only_program()))
        (op,) = neurons(form)
        assert op.attrs["type"] == "LIF"
        for name in ("voltage", "refractory_time"):
            operand = op.args[name]
            assert (form.buffers[operand.buffer].kind, operand.shift) == ("carried", 1)
        due = run_twin(made, model, 30)
        got = run_twin(with_run(made, program=form), model, 30)
        for ours, theirs in zip(got, due, strict=True):
            assert np.array_equal(ours, theirs)


def test_rows_for_the_index_of_a_triangle():
    """Its gradient reads where in the ring each step wrote."""
    with nengo.Network() as net:
        u = nengo.Node([1.0])
        nengo.Probe(u, synapse=nengo.Triangle(0.005))
    program = training_program(plan(build(net)).only_program())
    (op,) = [op for op in program.ops() if op.kind == "triangle"]
    assert program.buffers[op.args["Xi"].buffer].kind == "carried"
    assert program.buffers[op.args["X"].buffer].kind == "state"


def test_rows_only_where_legal():
    """A state that another op changes in place stays where it is."""
    with nengo.Network(seed=0) as net:
        a = nengo.Ensemble(5, 1)
        nengo.Connection(nengo.Node(1), a)
        nengo.Probe(a, synapse=0.01)
    program = with_surrogate(plan(build(net)).only_program())
    (op,) = neurons(program)
    voltage = op.args["voltage"]
    reader = Op("copy", "reader", 1, {"src": voltage, "dst": op.args["out"]}, {"set": 0})
    regions = tuple(
        replace(
            region,
            kind="loop",
            ops=tuple(x for o in region.ops for x in ((o, reader) if o is op else (o,))),
        )
        for region in program.regions
    )
    form = training_program(replace(program, regions=regions))
    (after,) = neurons(form)
    kinds = {name: form.buffers[after.args[name].buffer].kind for name in after.args}
    assert kinds["voltage"] == "state"
    assert kinds["refractory_time"] == "carried"


def test_shown():
    """The plan says what runs differently in training."""
    made = plan(build(networks.make("neuron_types")))
    text = str(with_run(made, training=training_program(made.only_program())))
    assert "LIF (" in text and "as LIFRate" in text
    assert "Izhikevich" in text and "without gradient" in text
    assert "Sigmoid (" not in text
    assert "In training" not in str(made)
    program = with_surrogate(made.only_program())
    text = str(with_run(made, program=program, training=training_program(program)))
    assert "surrogate superspike (width 0.5)" in text


# ---------------------------------------------------------------- what a gradient reaches


def blocked_in(form, outputs):
    """What is in the way to outputs of a training form."""
    run = only_run(form, np.zeros(form.state_size), training=form)
    return blocked_parameters(plan_of(run, [np.zeros(p.size) for p in form.params]), outputs)


def blocked(net, *labels, surrogate=False):
    """``{object label: names in the way}`` of weights that the labelled probes can't train."""
    model = build(net)
    made = plan(model, trainable=lambda signal: True, merge=False)
    program = with_surrogate(made.only_program()) if surrogate else made.only_program()
    wanted = [i for i, probe in enumerate(model.probes) if probe.label in labels]
    found = blocked_in(training_program(program), wanted)
    result = {}
    for conn in net.all_connections:
        place = made.place(model.sig[conn]["weights"])
        if place.index in found:
            result[conn.label] = found[place.index]
    return result


def chain(middle):
    """Connections on both sides of something, and one that leads elsewhere."""
    with nengo.Network(seed=0) as net:
        u = nengo.Node([0.5])
        middle = middle()
        nengo.Connection(u, middle, transform=2, label="before")
        out, other = nengo.Node(size_in=1), nengo.Node(size_in=1)
        nengo.Connection(middle, out, transform=[[3]], synapse=0.01, label="after")
        nengo.Connection(u, other, transform=4, label="aside")
        nengo.Probe(out, label="out")
        nengo.Probe(other, label="other")
    return net


def python():
    return nengo.Node(lambda t, x: x + 1, size_in=1, label="python")


def izhikevich():
    return nengo.Ensemble(9, 1, neuron_type=nengo.Izhikevich(), label="izhikevich")


def test_python_in_the_way():
    found = blocked(chain(python), "out")
    assert set(found) == {"before", "aside"} and found["aside"] == ()
    assert len(found["before"]) == 1 and "python" in found["before"][0]
    assert blocked(chain(python), "other") == {"before": (), "after": ()}
    assert set(blocked(chain(python), "out", "other")) == {"before"}


def test_merged_parameters():
    """Parameters of which one part is blocked and another is not."""
    with nengo.Network(seed=0) as net:
        u, out = nengo.Node([0.5]), nengo.Node(size_in=2)
        for i, middle in enumerate((python(), nengo.Node(size_in=1), nengo.Node(size_in=1))):
            nengo.Connection(u, middle, transform=2, synapse=None)
            nengo.Connection(middle, out[i % 2], synapse=0.1)
        nengo.Probe(out)
    model = build(net)
    factors = weights(model, lambda s: False, [op.A for op in model.operators if hasattr(op, "A")])
    made = plan(model, weights=factors)
    assert [param.size for param in made.only_program().params if param.size > 1] == [3]
    (names,) = blocked_in(training_program(made.only_program()), [0]).values()
    assert len(names) == 1 and "python" in names[0]


RATED = [nengo.LIF(), nengo.AdaptiveLIFRate(), nengo.PoissonSpiking(nengo.Tanh())]


@pytest.mark.parametrize("neuron_type", RATED)
def test_rates_are_not_in_the_way(neuron_type):
    net = chain(lambda: nengo.Ensemble(9, 1, neuron_type=neuron_type))
    assert blocked(net, "out") == {"aside": ()}


def test_spikes_in_the_way():
    """A type without rate form is an obstacle, unless it has a surrogate."""
    (name,) = blocked(chain(izhikevich), "out")["before"]
    assert "izhikevich" in name
    assert blocked(chain(izhikevich), "out", surrogate=True) == {"aside": ()}


def plant(monkeypatch, entry):
    """Add a neuron type to the table."""
    table = neuron_kinds.neuron_table(*neuron_kinds.NEURONS.values(), entry)
    for module in (neuron_kinds, training, show):
        monkeypatch.setattr(module, "NEURONS", table)


def renamed(program, name):
    """The program with its neurons of another type."""

    def change(op):
        attrs = {**op.attrs, "type": name} if op.kind == "neurons" else op.attrs
        return replace(op, attrs=attrs)

    regions = tuple(replace(r, ops=tuple(map(change, r.ops))) for r in program.regions)
    return replace(program, regions=regions)


def test_a_new_spiking_type_is_no_rate_type(monkeypatch):
    """Its entry says that it spikes: without rate form and surrogate it is in the way."""
    plant(monkeypatch, replace(neuron_kinds.NEURONS["Izhikevich"], name="Planted"))
    made = plan(build(chain(izhikevich)), trainable=lambda signal: True)
    program = renamed(made.only_program(), "Planted")
    form = training_program(program)
    assert [op.attrs["type"] for op in neurons(form)] == ["Planted"]
    found = blocked_in(form, [0])
    assert any("izhikevich" in name for names in found.values() for name in names)
    # nobody reads its states on the way back
    assert form.buffers == program.buffers
    text = str(with_run(made, program=program, training=form))
    assert "Planted (9 neurons): spikes, without gradient" in text
    assert not any(blocked_in(with_surrogate(form), [0]).values())


def test_a_new_spiking_type_is_trained_as_its_entry_says(monkeypatch):
    entry = neuron_kinds.NEURONS["Izhikevich"]
    constants = (("tau_ref", 0.002),)
    entry = replace(entry, name="Planted", rate_form="Sigmoid", rate_constants=constants)
    plant(monkeypatch, entry)
    made = plan(build(chain(izhikevich)), trainable=lambda signal: True)
    form = training_program(renamed(made.only_program(), "Planted"))
    (op,) = neurons(form)
    assert op.attrs == {"type": "Sigmoid", "tau_ref": (0.002,)}
    assert set(op.args) == {"J", "out"}
    assert not any(blocked_in(form, [0]).values())


def test_rate_forms_are_checked():
    planted = replace(neuron_kinds.NEURONS["LIF"], name="Planted")
    for wrong in (
        replace(planted, rate_form="LIF"),
        replace(planted, spikes=False),
        replace(planted, rate_form="Sigmoids"),
        replace(planted, name="LIF"),
        replace(planted, rate_form="SoftLIFRate"),  # nobody says what sigma is
    ):
        with pytest.raises(ValueError, match="LIF"):
            neuron_kinds.neuron_table(*neuron_kinds.NEURONS.values(), wrong)


def test_unknown_types_and_arguments_are_refused():
    program = plan(build(chain(izhikevich))).only_program()
    with pytest.raises(ValueError, match="unknown neuron type 'Planted', known are .*Izhikevich"):
        training_program(renamed(program, "Planted"))
    op = next(program.ops())
    with pytest.raises(ProgramError, match="unknown op kind 'none', known are .*dense"):
        replace(op, kind="none").access("X")
    with pytest.raises(ProgramError, match="'dense' has no argument 'B', it has A, X, Y, bias"):
        replace(op, kind="dense").access("B")


def test_around_an_obstacle():
    """A second way without obstacle is enough, also by way of later steps."""
    with nengo.Network(seed=0) as net:
        middle, loop, out = python(), nengo.Node(size_in=1), nengo.Node(size_in=1)
        nengo.Connection(nengo.Node([1.0]), loop, transform=2, label="first")
        nengo.Connection(loop, middle, transform=3, label="to python")
        nengo.Connection(middle, out, transform=4, label="from python")
        nengo.Probe(out, label="out")
    assert set(blocked(net, "out")) == {"first", "to python"}
    with net:
        back = nengo.Node(size_in=1)
        nengo.Connection(back, out, transform=6, synapse=0.1, label="about")
        nengo.Connection(loop, back, transform=5, synapse=0.1, label="round")
        nengo.Connection(back, loop, transform=7, synapse=0.1, label="back")
    assert set(blocked(net, "out")) == {"to python"}


def test_learning_rule_in_the_way():
    """What only feeds a learning rule is not trained."""
    with nengo.Network(seed=0) as net:
        u = nengo.Node([0.5])
        a = nengo.Ensemble(9, 1)
        out = nengo.Node(size_in=1)
        nengo.Connection(u, a, transform=2, label="into")
        rule = nengo.Connection(a, out, learning_rule_type=nengo.PES(), label="learned")
        nengo.Connection(u, rule.learning_rule, transform=3, label="error")
        nengo.Probe(out, label="out")
    found = blocked(net, "out")
    assert set(found) == {"error"} and len(found["error"]) == 1


@pytest.mark.parametrize("name", networks.NETWORKS)
def test_without_outputs_all_is_out_of_reach(name):
    made = plan(build(networks.make(name)))
    form = training_program(made.only_program())
    assert blocked_in(form, []) == {i: () for i in range(len(form.params))}
    everything = blocked_in(form, range(len(form.outputs)))
    # with fewer outputs, no fewer parameters lead nowhere
    for i in range(len(form.outputs)):
        one = blocked_in(form, [i])
        assert all(one[k] == () for k, names in everything.items() if not names)
