"""What differs from NengoDL 3.6, and why: name of an array -> reason.

"Fixed" are the defects of SPEC that CHANGELOG.md lists, "changed" is what it says there, "as in
Nengo" is what `nengo.Simulator` does.
"""

_KEEPS_ENCODERS = (
    "changed (T-11): which weights there are depends on the network alone, so that encoders that "
    "no connection reads stay among them"
)
_VALUES = "fixed (2): values of settings are checked"
_ANY_ITEMS = "changed (S-32): any number of items is taken, nothing is cut off"
_PROBE_KEYS = "fixed (S-37): what is no Probe is found by compile"

DIFFERENCES = {
    "components.aligned_functions.complex": "fixed (S-24): it names the function",
    "components.chance.Own": "fixed (O-07): classes of one's own get their random generator",
    "components.chance.Own_outcome": "fixed (O-07): it runs",
    "components.recursive_least_squares.outcome": "added (O-15): RLS runs",
    "components.lif.refractory_time": "as in Nengo; NengoDL's is a step less",
    "components.soft_lif.curve": "as in Nengo: a column for each neuron",
    "components.soft_lif.one": "as in Nengo: a column for each neuron",
    "components.soft_lif.texts": "fixed (M-01): on Nengo 3.2 sigma is shown three times",
    "extending.operators_that_nobody_knows.outcome": "changed (O-16): it runs in Python",
    "learning.biases_alone.refused": "Keras 3 (S-44): a ValueError",
    "parameters.built_values.read_only": "as in Nengo: arrays that are handed out are read-only",
    "parameters.kinds_of_weights.scalar": "changed (S-76): a scalar transform has Nengo's shape ()",
    "parameters.kinds_of_weights.sliced": "changed (S-76): a scalar transform has Nengo's shape ()",
    "parameters.kinds_of_weights.sparse": "as in Nengo (S-76): a sparse matrix, not its elements",
    "parameters.saved_state.n": "fixed (S-68): the number of steps is loaded with the state",
    "settings.no_loop.data": "fixed (C-10): data with more steps is refused, not cut",
    "settings.refused.dtype": f"{_VALUES}; a ValidationError is a ValueError",
    "settings.refused.value": _VALUES,
    "simulating.data_that_does_not_fit.small_batch": _ANY_ITEMS,
    "simulating.last_axis.error": "fixed (S-32): the last axis is checked",
    "simulating.processes_of_many_batches.outcome": "fixed (S-25): all get their data",
    "states.resets.seed": "changed (S-61): a new seed takes effect, with no warning",
    "simulating.shapes.weights": "changed (S-20): a row for each item, as all other probes",
    "simulating.truncated_batch.p": _ANY_ITEMS,
    "simulating.warnings_of_data.cut": _ANY_ITEMS,
    "simulating.wrong_functions.ZeroDivisionError": (
        "changed (S-55): always a SimulationError, with the exception as its cause"
    ),
    "tensor_nodes.dense_layers.trained": _KEEPS_ENCODERS,
    "tensor_nodes.reset.p": "changed (S-61): weights of Keras layers are reset with the others",
    "tensor_nodes.wrong_outputs.array": "changed (N-05): arrays of NumPy are taken for tensors",
    "converting.several_inputs.operation": "fixed (K-18): operations of Keras are converted",
    "converting.several_inputs.product": "fixed (K-18): layers with several inputs are converted",
    "converting.sequential.warning": "changed (K-02): converted as it is, no second model is made",
    "tensor_nodes_more.added_losses.outcome": "fixed (S-47): also losses of what a layer gets",
    "training.adam.trained": _KEEPS_ENCODERS,
    "training.momentum.trained": _KEEPS_ENCODERS,
    "training.nan_targets.trained": _KEEPS_ENCODERS,
    "training.one_step.trained": _KEEPS_ENCODERS,
    "training.rmsprop.trained": _KEEPS_ENCODERS,
    "training.wrong_calls.before": "Keras 3 (S-44): a ValueError",
    "training.wrong_calls.key": _PROBE_KEYS,
    "training.wrong_calls.metric_key": _PROBE_KEYS,
}

# defects of this package that are still to be mended: name of a program -> what is wrong
OPEN: dict[str, str] = {}
