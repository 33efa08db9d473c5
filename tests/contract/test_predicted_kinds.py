"""What ops of every kind are predicted to take (nengo_dl.plan.cost)."""

import numpy as np
import pytest
from contract_cases import LAYOUTS, CaseBuilder
from contract_kinds import MAKERS, make_subject
from gpus import GPU

from nengo_dl import _engine
from nengo_dl.ir.program import to_bytes
from nengo_dl.plan import cost


def predict(program, items):
    """What a step takes, with one thread."""
    loops = _engine.Compiled(to_bytes(program), GPU).loops(items)
    return cost.predict(program, items, 1, {region: taken for region, _, taken in loops})


@pytest.mark.usefixtures("gpu_library")
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", sorted(set(MAKERS) - {"callback"}))
def test_every_kind_takes_some_time(kind, layout):
    """Some, more for more items, and for an op beside it."""
    for seed in range(6):
        rng = np.random.RandomState(seed)
        builder = CaseBuilder(rng, ["float32", "float64"][seed % 2], layout, 2, n_steps=3)
        builder.add(make_subject(kind, rng))
        program = builder.build().program
        one, many = predict(program, 1), predict(program, 1000)
        assert 0 < one.cpu < many.cpu < 1 and 0 < one.gpu < many.gpu < 1
        builder.add(make_subject(kind, rng))
        both = predict(builder.build().program, 1)
        assert both.cpu > one.cpu and both.gpu > one.gpu
