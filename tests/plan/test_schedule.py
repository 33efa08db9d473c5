"""The order of ops within a region: chains stand together, and equal ops are still merged."""

import nengo
import pytest
from planned import assert_same, build, plan

CHAIN = ["dense", "neurons", "dense", "lowpass"]


def hands_on(op, other):
    """Whether an op reads what the other one writes."""
    written = {o.buffer for arg, o in op.args.items() if op.access(arg) != "read"}
    return any(o.buffer in written and other.access(a) == "read" for a, o in other.args.items())


def chains(program):
    """Kinds of ops from every encode on, as long as each reads what the one before wrote."""
    found = []
    for region in program.regions:
        for i, op in enumerate(region.ops[:-1]):
            if op.kind != "dense" or region.ops[i + 1].kind != "neurons":
                continue
            kinds, here = [op.kind], i
            for other in region.ops[i + 1 :]:
                if other.blocks != op.blocks or not hands_on(region.ops[here], other):
                    break
                kinds.append(other.kind)
                here += 1
            found.append(kinds)
    return found


@pytest.mark.parametrize("count", [1, 5])
def test_a_row_of_populations(count):
    with nengo.Network(seed=0) as net:
        pre = nengo.Node([0.5] * count)
        for n in (30, 20, 10):  # of different sizes, so that nothing merges along the row
            post = nengo.networks.EnsembleArray(n, count)
            nengo.Connection(pre, post.input)
            pre = post.output
        nengo.Probe(pre, synapse=0.01)
    made = plan(build(net))
    # the filters of all blocks are one op: equal filters side by side have become one block
    assert [kinds[:3] for kinds in chains(made.only_program())] == [CHAIN[:3]] * 3
    if count == 1:
        assert [kinds[:4] for kinds in chains(made.only_program())] == [CHAIN] * 3


def test_loops_that_do_not_know_each_other():
    """The integrators of one size stand together, encode to filter, then those of the other."""
    with nengo.Network(seed=0) as net:
        for n, count in ((10, 3), (20, 2)):
            for _ in range(count):
                a = nengo.Ensemble(n, 1)
                nengo.Connection(a, a, synapse=0.1)
                nengo.Probe(a.neurons)
    made = assert_same(net)
    loop = next(region for region in made.only_program().regions if region.kind == "loop")
    assert [(op.kind, op.blocks) for op in loop.ops if op.kind in CHAIN[:3]] == [
        *((kind, 3) for kind in CHAIN[:3]),
        *((kind, 2) for kind in CHAIN[:3]),
    ]


def test_a_population_with_two_decoders():
    """What reads the spikes follows them; a decoder's own filter comes before the next decoder."""
    with nengo.Network(seed=0) as net:
        a = nengo.Ensemble(40, 1)
        nengo.Connection(nengo.Node([0.5]), a)
        nengo.Probe(a, synapse=0.01)
        out = nengo.Node(size_in=2)
        nengo.Connection(a, out, function=lambda x: [x, x**2], synapse=0.02)
        nengo.Probe(out)
    made = assert_same(net)
    (region,) = made.only_program().regions
    kinds = [op.kind for op in region.ops if op.kind not in ("copy", "output", "fill")]
    start = kinds.index("neurons")
    assert kinds[start:] == ["neurons", "dense", "lowpass", "dense", "lowpass"]


def test_all_decoders_of_a_loop_come_before_filters():
    """What changes the state comes last, so that threads wait for each other once before it."""
    with nengo.Network(seed=0) as net:
        ensembles = [nengo.Ensemble(10, 2) for _ in range(3)]
        gathered = nengo.Node(size_in=6)
        for i, pre in enumerate(ensembles):
            for post in (ensembles[(i + 1) % 3], *ensembles[:i]):
                nengo.Connection(pre, post, transform=[[0, 0.5], [0.5, 0]], synapse=0.05)
            nengo.Connection(pre, gathered[2 * i : 2 * i + 2], synapse=None)
        nengo.Probe(gathered)
    made = assert_same(net)
    loop = next(region for region in made.only_program().regions if region.kind == "loop")
    ops = [(op.kind, op.blocks) for op in loop.ops if op.kind in ("neurons", "dense", "lowpass")]
    start = ops.index(("neurons", 3))
    assert ops[start:] == [("neurons", 3), ("dense", 6), ("dense", 3), ("lowpass", 6)]


def test_the_order_costs_no_merging():
    """Populations that hear each other: one group for all, though chains would be adjacent too."""
    with nengo.Network(seed=0) as net:
        arrays = [nengo.networks.EnsembleArray(10, 4) for _ in range(3)]
        for pre, post in zip(arrays, arrays[1:] + arrays[:1], strict=True):
            nengo.Connection(pre.output, post.input, synapse=0.05)
        nengo.Probe(arrays[0].output)
    made = assert_same(net)
    blocks = {
        op.kind: op.blocks for op in made.only_program().ops() if op.kind in ("neurons", "dense")
    }
    assert blocks == {"neurons": 12, "dense": 12}
