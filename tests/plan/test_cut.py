"""Models that call TensorFlow: how they are cut, and that their parts run as the whole does.

What is called is NumPy here: a Node with the same function is what nengo.Simulator runs.
"""

import nengo
import numpy as np
import pytest
from planned import build, plan, run_nengo, run_twin
from tensor_networks import NETWORKS, as_node, as_tensor_node, made

from nengo_dl.plan.pieces import Call, Loop, Run, runs_of


@pytest.mark.parametrize("name", NETWORKS)
def test_parts_run_as_the_whole_does(name):
    n_steps = 12
    due = run_nengo(made(name, as_node), n_steps)
    model = build(made(name, as_tensor_node))
    weights = [s.base for op in model.operators for s in op.all_signals if "weights" in s.name]
    planned = plan(model, trainable=weights.__contains__)
    assert planned.calls
    found = run_twin(planned, model, n_steps)
    for probe, ours, theirs in zip(model.probes, found, due, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-9, err_msg=str(probe))


def kinds(name):
    return [type(piece) for piece in plan(build(made(name, as_tensor_node))).pieces]


def test_what_is_on_no_cycle_is_called_on_all_steps():
    assert kinds("in_a_row") == [Run, Call, Run]
    assert kinds("two_in_a_row") == [Run, Call, Call, Run]
    assert kinds("nothing_before") == [Run, Call, Run]


def test_the_cycle_alone_is_a_loop():
    pieces = plan(build(made("on_a_cycle", as_tensor_node))).pieces
    assert [type(piece) for piece in pieces] == [Run, Loop, Run]
    assert len(pieces[1].delayed) == 2
    # of 50 neurons, what is decoded of them leaves the loop
    sizes = [port.size for run in runs_of(pieces[1].pieces) for port in run.program.outputs]
    assert max(sizes) == 1
    assert kinds("two_cycles").count(Loop) == 2


def test_several_functions_in_python_are_called_step_by_step():
    """Those on both sides of a call take turns, as in Nengo."""
    calls = []

    def note(name):
        def function(t, x):
            calls.append((round(t, 3), name))
            return x

        return nengo.Node(function, size_in=1, size_out=1)

    with nengo.Network() as net:
        before, t, after = (
            note("before"),
            as_tensor_node(lambda m, x: m.exp(x), 1, 1),
            note("after"),
        )
        nengo.Connection(before, t, synapse=None)
        nengo.Connection(t, after, synapse=None)
        nengo.Probe(after)
    model = build(net)
    planned = plan(model)
    assert [type(piece) for piece in planned.pieces] == [Loop]
    del calls[:]
    run_twin(planned, model, 2)
    names = ("before", "after")
    assert calls[-4:] == [(time, name) for time in (0.001, 0.002) for name in names]
