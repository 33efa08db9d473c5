"""Whole networks with fused kernels and without them: the same bits."""

import sys
from pathlib import Path

import nengo
import numpy as np
import pytest
from handmade_programs import _engine, to_bytes

sys.path.append(str(Path(__file__).parents[1] / "plan"))
import networks  # noqa: E402
import networks_dynamics  # noqa: E402, F401 (registers its networks)
from planned import build, plan, run_twin  # noqa: E402


def engine(fuse):
    """Runs programs as `nengo_dl.reference.run` does, with the engine."""

    def run(program, inputs, params, state, istate, first, n_steps, batch, callbacks, window):
        compiled = _engine.Compiled(to_bytes(program), fuse=fuse)
        table = _engine.add_callbacks(callbacks) if callbacks else -1
        keep = [False] * len(program.outputs)
        try:
            outputs, steps, error = compiled.run(
                inputs, params, state, istate, first, n_steps, batch, keep, callbacks=table
            )
        finally:
            if callbacks:
                _engine.remove_callbacks(table)
        assert steps == n_steps and error is None
        return outputs

    return run


def assert_same_bits(net, n_steps=60, **options):
    model = build(net)
    fused, plain = [
        run_twin(plan(model, **options), model, n_steps, run_program=engine(fuse))
        for fuse in (True, False)
    ]
    for a, b in zip(fused, plain, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", networks.NETWORKS)
def test_registered_networks(name, dtype):
    assert_same_bits(networks.make(name), dtype=dtype)


def integrators():
    array = nengo.networks.EnsembleArray(50, 9)
    nengo.Connection(nengo.Node([0.5] * 9), array.input, synapse=0.1)
    nengo.Connection(array.output, array.input, synapse=0.1)
    nengo.Probe(array.output, synapse=0.01)


def chain_of_ensembles():
    source = nengo.Node(np.linspace(-1, 1, 8))
    for n in (40, 50, 60):
        target = nengo.Ensemble(n, 8)
        nengo.Connection(source, target)
        source = target
    nengo.Connection(target, target, synapse=0.1)
    nengo.Probe(target)


@pytest.mark.parametrize("make", [integrators, chain_of_ensembles])
def test_networks_that_are_fused(make):
    with nengo.Network(seed=1) as net:
        make()
    (run,) = plan(build(net)).pieces
    assert _engine.Compiled(to_bytes(run.program)).fused()
    assert_same_bits(net)
