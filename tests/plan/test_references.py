"""Whether references to a variable have elements in common."""

import nengo
import numpy as np
import pytest
from nengo.exceptions import BuildError
from planned import assert_same

from nengo_dl.ir import refs
from nengo_dl.ir.refs import IrOp, Ref, Var
from nengo_dl.plan.classes import accesses
from nengo_dl.plan.verify import verify_ops

VAR = Var("v", 400, np.zeros(400))


def random_ref(rng):
    rank = rng.randint(1, 4)
    shape = tuple(rng.randint(1, 5, rank).tolist())
    strides = tuple(rng.choice([-20, -5, -2, 0, 1, 2, 3, 7, 20], rank).tolist())
    if rng.randint(2):
        return Ref(VAR, 200, shape, strides)
    index = tuple(rng.randint(0, shape[0], 4).tolist())
    return Ref(VAR, int(rng.randint(180, 220)), shape[:1], strides[:1], index=index)


@pytest.mark.parametrize("listed", [0, refs.LISTED])
@pytest.mark.parametrize("seed", range(10))
def test_random_references_are_judged_exactly(monkeypatch, listed, seed):
    monkeypatch.setattr(refs, "LISTED", listed)
    rng = np.random.RandomState(seed)
    for _ in range(50):
        a, b = random_ref(rng), random_ref(rng)
        assert a.meets(b) == a.overlaps(b) == bool(np.isin(a.elements, b.elements).any())


def woven(*firsts):
    """Ops that write more elements than are listed, each of every four those from ``first`` on."""
    rows, columns = 1500, 1500
    var = Var("woven", rows * columns * 4, np.zeros(1))
    strides = (columns * 4, 4, 1)
    parts = [Ref(var, first, (rows, columns, 2), strides, "write") for first in firsts]
    return [IrOp("fill", "fill", {"dst": part}, {"value": 0.0}) for part in parts]


def test_large_woven_parts_are_told_apart():
    (a, b, c) = (op.args["dst"] for op in woven(0, 2, 1))
    assert a.size > refs.LISTED
    assert a.meets(b) is False and a.meets(c) and b.meets(c)
    ops = woven(0, 2)
    verify_ops(ops, accesses(ops))
    ops = woven(0, 1)
    with pytest.raises(BuildError, match="woven is set by two operators"):
        verify_ops(ops, accesses(ops))


def test_what_cannot_be_told_is_no_error(monkeypatch):
    monkeypatch.setattr(refs, "LISTED", 0)
    monkeypatch.setattr(refs, "MARKED", 0)
    ops = woven(0, 2)
    a, b = (op.args["dst"] for op in ops)
    assert a.meets(b) is None and a.overlaps(b)
    verify_ops(ops, accesses(ops))
    with nengo.Network() as net:
        target = nengo.Node(size_in=8)
        for first in (0, 2):
            index = [first, first + 1, first + 4, first + 5]
            nengo.Connection(nengo.Node([1, 2, 3, first]), target[index], synapse=None)
        nengo.Probe(target)
    assert_same(net)
