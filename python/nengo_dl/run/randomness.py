"""Random generators of operators: the same draws as `nengo.Simulator` makes for the same seed.

Nengo seeds one generator with the simulator's seed and lets every operator, in the order of a
step, draw the seed of its own process from it. `draw_in_order` does the same. For item ``b`` of a
minibatch it begins with ``seed + b``, so that the item gets what a simulator with that seed gets.
"""

import numpy as np
from nengo.builder.neurons import SimNeurons
from nengo.builder.operator import SimPyFunc
from nengo.builder.processes import SimProcess
from nengo.utils.graphs import toposort
from nengo.utils.simulator import operator_dependency_graph


def step_order(operators):
    """Order operators as Nengo does; raises `nengo.exceptions.BuildError` on a cycle."""
    return [op for op in toposort(operator_dependency_graph(operators)) if hasattr(op, "make_step")]


def order_matters(consumers):
    """Whether what these operators draw depends on where they stand in the step.

    Parameters
    ----------
    consumers : iterable of nengo.builder.Operator
        Operators that get a random generator.
    """
    return any(
        op.process.seed is None
        if isinstance(op, SimProcess)
        else not isinstance(op, (SimNeurons, SimPyFunc))
        for op in consumers
    )


def draw_in_order(order, seed, users):
    """Hand one generator round the operators in order, as Nengo's simulator does when it resets.

    Parameters
    ----------
    order : list of nengo.builder.Operator
        All operators whose draws count.
    seed : int
        Seed of the generator that is handed round.
    users : dict
        Maps an operator to a function ``f(op, rng)`` that draws in its place. Other
        processes only draw their seed; all other operators of Nengo draw nothing.

    Returns
    -------
    dict
        Operator -> what its function returned.
    """
    rng = np.random.RandomState(seed % 2**32)
    results = {}
    for op in order:
        if op in users:
            results[op] = users[op](op, rng)
        elif isinstance(op, SimProcess):
            op.process.get_rng(rng)
    for op, use in users.items():
        if op not in results:  # it stands in for an operator of the model
            results[op] = use(op, rng)
    return results


def process_generator(op, rng):
    """Return the generator of a process operator."""
    return op.process.get_rng(rng)


def item_generator(rng, item):
    """Copy a generator for an item of a minibatch.

    Item 0 gets an exact copy, the others independent generators that depend on it and on the item.

    Parameters
    ----------
    rng : numpy.random.RandomState
        Is not changed.
    item : int
        Number of the item.
    """
    copy = np.random.RandomState()
    copy.set_state(rng.get_state())
    if item == 0:
        return copy
    return np.random.RandomState([*copy.randint(0, 2**32, size=8, dtype=np.uint32), item])
