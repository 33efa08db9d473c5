"""Weights that a rule changes: within a window the change is added where it is made, with the bits
of writing it to its state and adding it when the next step begins."""

import numpy as np
import pytest
from handmade_programs import Maker, _engine, op, to_bytes, view

BLOCKS, M, N = 2, 5, 37  # of weights: rows and columns
NAMES = {
    "pes": ("pre_filtered", "error"),
    "bcm": ("pre_filtered", "post_filtered", "theta"),
    "oja": ("pre_filtered", "post_filtered"),
    "voja": ("pre_decoded", "post_filtered", "learning_signal", "scale"),
    "rls": ("pre_filtered", "error"),
}
RATES = {"pes": ("alpha",), "bcm": ("alpha",), "oja": ("alpha", "beta"), "voja": ("alpha",)}


class Learning:
    """Inputs x -> weights -> y; a rule changes the weights.

    ``more`` makes further ops: it gets this, and returns those in front of the product, those
    behind it and those behind the rule. ``M``: rows of a block of weights.
    """

    def __init__(
        self, rule="pes", dtype="float32", by_columns=False, more=lambda _: ((), (), ()), M=M
    ):
        self.dtype, self.rng = dtype, np.random.RandomState(len(rule))
        self.maker = maker = Maker(dtype, window=7)
        strides = (1, M) if by_columns else (N, 1)
        at = [k * M * N for k in range(BLOCKS)]
        size = BLOCKS * M * N
        self.initial = self.rng.randn(size)
        weights = maker.buffer("learned", size, "weights", self.initial)
        self.weights = view(weights, (M, N), strides, at)
        self.delta = view(maker.buffer("state", size, "delta"), (M, N), strides, at)
        args = {"delta": self.delta}
        if rule == "oja":
            args["weights"] = self.weights
        if rule == "voja":
            args["scaled_encoders"] = self.weights
        inputs = []
        for name in NAMES[rule]:
            length = N if name.startswith("pre") else 1 if name == "learning_signal" else M
            buffer = maker.buffer("window", BLOCKS * length, name)
            inputs.append(maker.input(buffer, BLOCKS * length, name))
            args[name] = view(buffer, (length,), (1,), [k * length for k in range(BLOCKS)])
        if rule == "rls":
            gamma = maker.buffer("state", BLOCKS * N * N, "inv_gamma")
            args["inv_gamma"] = view(gamma, (N, N), (N, 1), [k * N * N for k in range(BLOCKS)])
        self.pre = args[NAMES[rule][0]]
        self.y = maker.buffer("window", BLOCKS * M, "y")
        y = view(self.y, (M,), (1,), [k * M for k in range(BLOCKS)])
        before, between, behind = more(self)
        copy = {"dst": self.weights, "src": self.delta}
        product = {"A": self.weights, "X": self.pre, "Y": y}
        rates = {name: 0.01 for name in RATES.get(rule, ())}
        maker.region("sequence", *inputs)
        maker.region(
            "loop",
            *before,
            op("copy", copy, BLOCKS, set=0),
            op("dense", product, BLOCKS, set=1),
            *between,
            op(rule, args, BLOCKS, **rates),
            *behind,
        )
        maker.region("sequence", maker.output(view(self.y, (BLOCKS * M,)), "y"))

    def compiled(self, fuse):
        return _engine.Compiled(to_bytes(self.maker.program()), fuse=fuse)

    def run(self, fuse, n_steps, batch, parts=1, **kwargs):
        """Outputs, weights and state of runs of a part of the steps each."""
        compiled, maker = self.compiled(fuse), self.maker
        rng = np.random.RandomState(1)
        draw = lambda *shape: rng.uniform(-1, 1, shape).astype(self.dtype)  # noqa: E731
        state = draw(batch, maker.state_size)
        maker.values[0] = np.repeat(self.initial[None], batch, 0).astype(self.dtype)
        outputs = []
        for _ in range(parts):
            xs = [draw(batch, n_steps, port.size) for port in maker.inputs]
            got, done, error, state = maker.run(
                n_steps, batch, xs, state, compiled=compiled, **kwargs
            )
            assert done == n_steps and error is None
            outputs += got
        return [*outputs, maker.values[0], state]


def texts(learning):
    return [text for *_, text in learning.compiled(True).fused()]


def test_all_rules_are_tested():
    specs = _engine.op_specs().items()
    assert set(NAMES) == {
        kind for kind, spec in specs if "delta" in [a["name"] for a in spec["args"]]
    }


@pytest.mark.parametrize("by_columns", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("rule", NAMES)
def test_bits_are_those_of_one_op_after_the_other(isa, rule, dtype, by_columns):
    learning = Learning(rule, dtype, by_columns)
    assert texts(learning) == ["change weights, once in a window", f"{rule}, change weights"]
    for n_steps, batch, parts in [(1, 1, 3), (20, 1, 2), (7, 3, 2), (23, 2, 1)]:
        due = learning.run(False, n_steps, batch, parts)
        assert np.abs(due[-2] - learning.initial).max() > 1e-3  # something is learned
        got = learning.run(True, n_steps, batch, parts, threads=2)
        for a, b in zip(got, due, strict=True):
            np.testing.assert_array_equal(a, b)


def probe_of_weights(learning):
    maker = learning.maker
    whole = view(learning.weights.buffer, (BLOCKS * M * N,))
    return (), (maker.output(whole, "weights"),), ()


def test_probed_weights_are_those_of_their_step():
    learning = Learning(more=probe_of_weights)
    assert len(texts(learning)) == 2
    due, got = (learning.run(fuse, 20, 2) for fuse in (False, True))
    assert len(np.unique(due[0][0, :, 0])) == 20
    for a, b in zip(got, due, strict=True):
        np.testing.assert_array_equal(a, b)


def reader(where, what):
    def more(learning):
        operand = getattr(learning, what)
        output = learning.maker.output(view(operand.buffer, (BLOCKS * M * N,)), "read")
        ops = [(), (), ()]
        ops[where] = (output,)
        return ops

    return more


def writer(learning):
    whole = view(learning.weights.buffer, (BLOCKS * M * N,))
    ones = learning.maker.buffer("param", 1, "ones", np.full(1, 0.1))
    add = {"dst": whole, "src": view(ones, (BLOCKS * M * N,), (0,))}
    return (), (op("copy", add, set=0),), ()


@pytest.mark.parametrize(
    "more",
    [
        reader(0, "weights"),  # of the step before
        reader(2, "weights"),  # behind the rule
        reader(1, "delta"),
        reader(2, "delta"),
        writer,
    ],
)
def test_what_others_see_stays(more):
    learning = Learning(more=more)
    assert texts(learning) == []
    due, got = (learning.run(fuse, 20, 2) for fuse in (False, True))
    for a, b in zip(got, due, strict=True):
        np.testing.assert_array_equal(a, b)
