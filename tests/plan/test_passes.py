"""The planner as a list of passes over a frozen draft."""

from dataclasses import FrozenInstanceError, replace

import nengo
import networks
import networks_dynamics  # noqa: F401 (registers its networks)
import numpy as np
import pytest
from nengo.exceptions import BuildError
from planned import assert_same, build, plan

from nengo_dl.ir.program import ProgramError, to_bytes
from nengo_dl.plan import planner
from nengo_dl.plan.draft import Draft
from nengo_dl.plan.graph import depths, meeting


def watched(monkeypatch, name):
    """Drafts of a network after every pass, by the name of the pass."""
    seen = {}

    def watch(single):
        def call(draft):
            seen[single.__name__] = single(draft)
            return seen[single.__name__]

        call.__name__ = single.__name__
        return call

    monkeypatch.setattr(planner, "PASSES", [watch(single) for single in planner.PASSES])
    made = plan(build(networks.make(name)))
    return seen, made


@pytest.mark.parametrize("name", ["recurrent", "pes", "node_functions", "slices"])
def test_what_follows_is_never_stale(monkeypatch, name):
    """What a draft remembers of its ops is what it would find out anew."""
    seen, _ = watched(monkeypatch, name)
    assert list(seen) == [single.__name__ for single in planner.PASSES]
    for draft in seen.values():
        fresh = Draft(draft.given, draft.ops, order=draft.order, in_place=draft.in_place)
        assert draft.classes == fresh.classes
        for edges in ("same", "delayed", "ties"):
            assert getattr(draft.graph, edges) == getattr(fresh.graph, edges)
        assert draft.depths == depths(fresh.graph)


def test_a_draft_is_frozen(monkeypatch):
    seen, _ = watched(monkeypatch, "recurrent")
    assert seen["simplify"].region_of is None and seen["order_regions"].region_of is not None
    with pytest.raises(FrozenInstanceError):
        seen["simplify"].ops = ()


def test_a_draft_can_be_printed_after_every_pass():
    texts = []
    plan(build(networks.make("recurrent")), trace=texts.append)
    assert [text.split(":")[0] for text in texts] == [s.__name__ for s in planner.PASSES]
    assert "dense(" in texts[0] and "loop" not in texts[0] and "local" not in texts[0]
    assert "loop" in texts[-1] and "sequence" in texts[-1] and "(local)" in texts[-1]
    assert sum(text.count("fill(") for text in texts[:4]) > texts[-1].count("fill(")


def test_without_fusions_their_passes_are_left_out(monkeypatch):
    called = []
    for name in ("alias_sources", "pull_decoders", "schedule"):
        single = getattr(planner, name)

        def call(draft, single=single, name=name):
            called.append(name)
            return single(draft)

        for table in ("PASSES", "FUSIONS"):
            passes = [call if s is single else s for s in getattr(planner, table)]
            monkeypatch.setattr(planner, table, passes)
    plan(build(networks.make("recurrent")), fuse=False)
    assert called == ["schedule"]


def after(monkeypatch, name, change):
    """Break what a pass hands on."""

    def broken(draft):
        return change(getattr(planner, name)(draft))

    passes = [broken if s.__name__ == name else s for s in planner.PASSES]
    monkeypatch.setattr(planner, "PASSES", passes)


def beyond_its_variable(draft):
    ops = list(draft.ops)
    arg, ref = next(ops[0].refs())
    ops[0] = ops[0].with_args(**{arg: replace(ref, offset=ref.var.size)})
    return draft.change(ops=tuple(ops))


@pytest.mark.parametrize(
    "name, change, match",
    [
        ("fuse_bias", beyond_its_variable, "names elements"),
        ("order_regions", lambda d: d.change(region_of=[-n for n in d.region_of]), "depends on"),
        (
            "schedule",
            lambda d: d.change(regions=((d.regions[0][0], d.regions[0][1][1:]), *d.regions[1:])),
            "not at all",
        ),
        ("schedule", lambda d: d.change(regions=(*d.regions, d.regions[0])), "twice"),
    ],
)
def test_the_verifier_stands_between_the_passes(monkeypatch, name, change, match):
    after(monkeypatch, name, change)
    with pytest.raises(BuildError, match=match):
        plan(build(networks.make("recurrent")), verify=True)


def test_the_program_is_verified_in_any_case(monkeypatch):
    after(monkeypatch, "schedule", lambda d: d.change(regions=d.regions[::-1]))
    with pytest.raises((ProgramError, BuildError)):
        plan(build(networks.make("recurrent")), verify=False)


def test_verifying_changes_nothing():
    with nengo.Network(seed=0) as net:
        nengo.Probe(nengo.Ensemble(10, 1, label="a"), synapse=0.01)
    model = build(net)
    one, other = (to_bytes(plan(model, verify=verify).only_program()) for verify in (True, False))
    assert (one == other) is True


@pytest.mark.parametrize("seed", range(20))
def test_spans_that_meet_are_all_that_do(seed):
    rng = np.random.RandomState(seed)

    def spans(count):
        starts = rng.randint(0, 60, size=count)
        lengths = rng.choice([0, 1, 2, 3, 8, 50], size=count)
        return [(int(a), int(a + n)) for a, n in zip(starts, lengths, strict=True)]

    first, second = spans(rng.randint(1, 30)), spans(rng.randint(0, 30))
    expected = [
        (i, j)
        for i, (a, b) in enumerate(first)
        for j, (c, d) in enumerate(second)
        if a < d and c < b
    ]
    assert list(meeting(first, second)) == expected


def test_as_many_spans_as_ensembles_are_compared_in_little_memory():
    count = 200_000  # all pairs would be 40 billion
    spans = [(i, i + 1) for i in range(count)]
    pairs = list(meeting(spans, [*spans, (0, count)]))
    assert len(pairs) == 2 * count and pairs[:4] == [(0, 0), (0, count), (1, 1), (1, count)]


def products_into_neurons():
    """A convolution and two products of matrices, added up with a bias."""
    with nengo.Network(seed=0) as net:
        image, u = nengo.Node(np.linspace(-1, 1, 36)), nengo.Node([0.5, -0.3])
        current = {"gain": nengo.dists.Choice([1]), "bias": nengo.dists.Uniform(0, 1)}
        a = nengo.Ensemble(16, 1, neuron_type=nengo.RectifiedLinear(), **current).neurons
        transform = nengo.Convolution(1, (6, 6, 1), kernel_size=(3, 3))
        nengo.Connection(image, a, transform=transform, synapse=None)
        for seed in (1, 2):
            weights = np.random.RandomState(seed).normal(size=(16, 2))
            nengo.Connection(u, a, transform=weights, synapse=None)
        nengo.Probe(a)
    return net


def ops_of(made):
    return [op for piece in made.runs for region in piece.program.regions for op in region.ops]


def adding_copies(net, **options):
    made = plan(build(net), **options)
    regions = [region for piece in made.runs for region in piece.program.regions]
    ops = [op for region in regions for op in region.ops]
    return [op for op in ops if op.kind == "copy" and not op.attrs["set"]]


def test_products_are_added_up_in_place():
    """Without a copy for each; results are those of `nengo.Simulator`."""
    net = products_into_neurons()
    assert len(adding_copies(net)) == 0 and len(adding_copies(net, fuse=False)) == 3
    assert_same(net)
    assert_same(net, fuse=False)


def test_products_that_others_read_stay_apart():
    """Here a Probe reads what a product gives, beside the neurons."""
    net = products_into_neurons()
    with net:
        nengo.Probe(net.connections[1])
    assert len(adding_copies(net)) == 1
    assert_same(net)


def test_names_hold_no_long_lists():
    """Nengo names a connection after all elements that it connects."""
    with nengo.Network() as net:
        target = nengo.Node(size_in=400, label="target")
        source = nengo.Node(np.zeros(200), label="source")
        nengo.Connection(source, target[list(range(0, 400, 2))], synapse=None)
        nengo.Connection(source, target[[1, 3, 5]], transform=np.ones((3, 200)), synapse=None)
        nengo.Probe(target)
    made = plan(build(net), simplifications=[])
    program = made.runs[0].program
    names = [op.name for op in ops_of(made)] + [buffer.name for buffer in program.buffers]
    assert max(map(len, names)) < 100
    assert any("<Node 'target'>[[0, 2, 4, ..., 398]]" in name for name in names)
    assert any("[[1, 3, 5]]" in name for name in names)
