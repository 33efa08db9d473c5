"""The gradients of the ops that run a program."""

SECOND = (
    "nengo_dl has no second derivatives: NengoDL>RunGrad, the gradient of a run, can't be "
    "differentiated"
)
# places of the inputs of NengoDL>Run that may have a gradient
STATE, INPUTS = 0, 5


def register(library):
    """Tell TensorFlow the gradients of the ops; call it once, when their library is loaded.

    Parameters
    ----------
    library : module
        What `tf.load_op_library` returned.
    """
    import tensorflow as tf

    @tf.RegisterGradient("NengoDL>Run")
    def run(op, *grads):
        return _run_gradient(library.nengo_dl_run_grad, op, grads)

    @tf.RegisterGradient("NengoDL>RunOnGpu")
    def run_on_gpu(op, *grads):
        return _run_gradient(library.nengo_dl_run_grad_on_gpu, op, grads)

    @tf.RegisterGradient("NengoDL>RunGrad")
    @tf.RegisterGradient("NengoDL>RunGradOnGpu")
    def run_grad(op, *grads):
        if tf.executing_eagerly():
            raise LookupError(SECOND)
        # a graph may hold derivatives that nobody computes: fail only when it is run
        return [
            library.nengo_dl_no_gradient(tensor, message=SECOND)
            if tensor.dtype.is_floating
            else None
            for tensor in op.inputs
        ]

    tf.no_gradient("NengoDL>NoGradient")


def _run_gradient(run_grad, op, grads):
    import tensorflow as tf

    n_inputs, n_params = op.get_attr("n_inputs"), op.get_attr("n_params")
    n_outputs, n_learned = op.get_attr("n_outputs"), op.get_attr("n_learned")
    params_at = INPUTS + n_inputs
    wanted = op.get_attr("wanted")
    # known to a GradientTape, but not where a graph is differentiated
    skip = getattr(op, "skip_input_indices", None)
    if skip is None:
        want_inputs, want_params, want_state = list(range(n_inputs)), wanted, True
    else:
        want_inputs = [i for i in range(n_inputs) if INPUTS + i not in skip]
        want_params = [i for i in range(n_params) if params_at + i not in skip]
        want_state = STATE not in skip
    *_, steps, _, tape = op.outputs
    if not op.get_attr("record") or not set(wanted).issuperset(want_params):
        # not recorded, or for others: run again, with a tape that holds nothing
        tape, wanted = tf.zeros_like(tape), want_params

    inputs = list(op.inputs)
    given = [_dense(grad, out) for grad, out in zip(grads, op.outputs, strict=True)]
    learned_end = n_outputs + n_learned
    by_inputs, by_params, by_state = run_grad(
        state=inputs[STATE],
        istate=inputs[1],
        first_step=inputs[2],
        n_steps=inputs[3],
        steps=steps,
        inputs=inputs[INPUTS:params_at],
        params=inputs[params_at:],
        tape=tape,
        output_grads=given[:n_outputs],
        learned_grads=given[n_outputs:learned_end],
        state_out_grad=given[learned_end],
        n_input_grads=len(want_inputs),
        n_param_grads=len(want_params),
        n_state_grads=int(want_state),
        want_inputs=want_inputs,
        want_params=want_params,
        want_state=want_state,
        wanted=wanted,
        **{name: op.get_attr(name) for name in _COMMON},
    )
    result = [None] * len(inputs)
    for places, values in (
        ([INPUTS + i for i in want_inputs], by_inputs),
        ([params_at + i for i in want_params], by_params),
        ([STATE], by_state),
    ):
        for place, value in zip(places, values, strict=False):
            result[place] = value
    return result


_COMMON = (
    "program",
    "output_sizes",
    "keep_last",
    "learned",
    "callbacks",
    "backend",
    "threads",
    "memory",
)


def _dense(grad, output):
    """A gradient as a tensor of the output's shape; of outputs that have none, anything."""
    import tensorflow as tf

    if grad is None:
        return tf.zeros_like(output) if output.dtype.is_floating else None
    return tf.convert_to_tensor(grad)
