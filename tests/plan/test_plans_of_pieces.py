"""Plans of several pieces."""

from dataclasses import replace

import nengo
import numpy as np
import pytest
from nengo.exceptions import BuildError
from planned import build, plan, run_twin

from nengo_dl.plan.obstacles import blocked_parameters
from nengo_dl.plan.training import with_training


def network(middle, weight=0.5):
    """Weights, a middle, weights; the input is a node that data is given for."""
    with nengo.Network(seed=0) as net:
        u, out = nengo.Node(np.zeros(2)), nengo.Node(size_in=2)
        middle = middle()
        nengo.Connection(u, middle, transform=weight * np.eye(2), synapse=None)
        nengo.Connection(middle, out, transform=np.array([[2, 0.1], [0, 3]]), synapse=0.01)
        nengo.Probe(out)
    model = build(net)
    trainable = [op.A for op in model.operators if hasattr(op, "A")]
    return model, plan(model, [("u", model.sig[u]["out"])], trainable=trainable.__contains__)


def joined(first, second):
    """A plan that runs one plan and gives what it puts out to another."""
    (run,), (other,) = first.pieces, second.pieces
    numbers = tuple(i + len(first.params) for i in other.params)
    return replace(
        first,
        pieces=(
            replace(run, outputs=(1,)),
            replace(other, inputs=(1,), outputs=(2,), params=numbers),
        ),
        results=(2,),
        params=first.params + second.params,
        param_values=first.param_values + second.param_values,
        weights=first.weights + second.weights,
        callbacks=first.callbacks + second.callbacks,
    )


def wire():
    return nengo.Node(size_in=2)


def python():
    return nengo.Node(lambda t, x: x, size_in=2, label="python")


def izhikevich():
    return nengo.Ensemble(9, 2, neuron_type=nengo.Izhikevich(), label="izhikevich").neurons[:2]


def test_pieces_hand_on_what_they_put_out():
    model, first = network(wire)
    _, second = network(wire, 0.25)
    u = np.random.RandomState(0).randn(12, 2)
    (middle,) = run_twin(first, model, 12, [u])
    (due,) = run_twin(second, model, 12, [middle])
    (got,) = run_twin(joined(first, second), model, 12, [u])
    np.testing.assert_array_equal(got, due)
    assert np.ptp(got) > 0


def test_only_program():
    _, made = network(wire)
    assert made.only_program() is made.pieces[0].program
    with pytest.raises(BuildError, match="plan of 1 program, got 2 pieces"):
        joined(made, made).only_program()


def test_a_plan_of_several_pieces_is_printed():
    _, made = network(izhikevich)
    one, text = str(with_training(made)), str(with_training(joined(made, made)))
    assert text.count("neurons Izhikevich") == 2 * one.count("neurons Izhikevich") > 0
    assert "(18 neurons)" in text and "(9 neurons)" in one


def test_the_training_form_is_that_of_every_piece():
    _, made = network(izhikevich)
    both = with_training(joined(made, made))
    assert both.trains and not joined(with_training(made), made).trains
    for piece in both.pieces:
        assert piece.training.params == piece.program.params


@pytest.mark.parametrize("obstacle", [python, izhikevich])
def test_obstacles_in_another_piece(obstacle):
    """A gradient that a later piece does not hand on reaches nothing before it."""
    _, clear = network(wire)
    _, closed = network(obstacle)
    behind = with_training(joined(closed, clear))
    found = blocked_parameters(behind, [0])
    assert found == blocked_parameters(with_training(closed), [0])
    assert any(found.values())
    before = blocked_parameters(with_training(joined(clear, closed)), [0])
    weights = [i for i, trainable in enumerate(clear.trainable) if trainable]
    assert weights and all(len(before[i]) == 1 for i in weights)
    assert blocked_parameters(with_training(joined(clear, clear)), [0]) == {}
    assert blocked_parameters(behind, []) == {i: () for i in range(len(behind.params))}
