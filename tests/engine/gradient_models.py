"""Small models with gradients, made by hand, and their numeric derivatives."""

from dataclasses import dataclass, field

import numpy as np
from handmade_programs import Maker, _engine, op, to_bytes, view

STEP = 1e-6


def new_tape(compiled, batch, n_steps, **options):
    """A tape full of NaN, should it be read before it is written."""
    tape = compiled.tape(batch, n_steps, **options)
    if tape.on_host:
        tape.memory[:] = 0xFF
    return tape


@dataclass
class Setup:
    """A model with the data of a run and the derivatives of a loss by what it leaves behind.

    The loss is linear in outputs, learned parameters and state.
    """

    maker: Maker
    n_steps: int = 7
    batch: int = 3
    keep_last: bool = False
    callbacks: tuple = ()
    seed: int = 0
    given: dict = field(init=False)

    def __post_init__(self):
        rng = np.random.RandomState(self.seed)
        p = self.program = self.maker.program()
        self.compiled = _engine.Compiled(to_bytes(p))
        b, n = self.batch, self.n_steps
        dtype = self.maker.dtype

        def normal(*shape):
            return rng.normal(size=shape).astype(dtype)

        self.inputs = [normal(b, n, q.size) for q in p.inputs]
        # one copy per item, all different
        self.params = [
            v + 0.1 * normal(b, q.size) if q.learned else v.copy()
            for v, q in zip(self.maker.values, p.params, strict=True)
        ]
        self.state = normal(b, p.state_size)
        rows = 1 if self.keep_last else n
        self.given = {
            "output_grads": [normal(b, rows, q.size) for q in p.outputs],
            "learned_grads": [normal(b, q.size) if q.learned else None for q in p.params],
            "state_out_grad": normal(b, p.state_size),
        }

    @property
    def shape(self):
        """The arguments that runs and gradients have in common."""
        return {
            "first_step": 5,
            "n_steps": self.n_steps,
            "batch": self.batch,
            "keep_last": [self.keep_last] * len(self.program.outputs),
        }

    def run(self, inputs=None, params=None, state=None, **kwargs):
        """Run on copies; returns outputs, parameters and state."""
        params = [v.copy() for v in params or self.params]
        state = (self.state if state is None else state).copy()
        istate = np.zeros((self.batch, 0), np.int32)
        if self.callbacks:
            table = _engine.add_callbacks(list(self.callbacks))
            kwargs["callbacks"] = table
        try:
            outputs, steps, error = self.compiled.run(
                inputs or self.inputs, params, state, istate, **self.shape, **kwargs
            )
        finally:
            if self.callbacks:
                _engine.remove_callbacks(table)
        assert error is None and steps == self.n_steps
        return outputs, params, state

    def grad(self, memory=None, tape_memory=-1, wanted_params=None, **kwargs):
        """Gradients: on a tape with ``memory`` bytes, or without a tape if that is None."""
        options = {"memory": tape_memory, "wanted_params": wanted_params}
        if memory is not None:
            options["memory"] = memory
            kwargs["tape"] = new_tape(self.compiled, self.batch, self.n_steps, **options)
            self.run(tape=kwargs["tape"], **options)
        istate = np.zeros((self.batch, 0), np.int32)
        given = {**self.given, **kwargs}
        return self.compiled.grad(
            self.inputs, self.params, self.state, istate, **self.shape, **given, **options
        )

    def loss(self, **kwargs):
        outputs, params, state = self.run(**kwargs)
        total = np.sum(state * self.given["state_out_grad"])
        total += sum(
            np.sum(v * g) for v, g in zip(outputs, self.given["output_grads"], strict=True)
        )
        learned = zip(params, self.given["learned_grads"], strict=True)
        return total + sum(np.sum(v * g) for v, g in learned if g is not None)

    def numeric(self):
        """Central differences of the loss, in the order of `grad`."""
        inputs, params = [v.copy() for v in self.inputs], [v.copy() for v in self.params]
        state = self.state.copy()

        def differences(values):
            result = np.zeros_like(values)
            for i in np.ndindex(values.shape):
                before = values[i]
                values[i] = before + STEP
                more = self.loss(inputs=inputs, params=params, state=state)
                values[i] = before - STEP
                result[i] = (more - self.loss(inputs=inputs, params=params, state=state)) / STEP / 2
                values[i] = before
            return result

        return (
            [differences(v) for v in inputs],
            [differences(v) for v in params],
            differences(state),
        )


def flatten(grads):
    """All gradients of a result of `grad`, one behind the other."""
    inputs, params, state = grads
    return [v for v in (*inputs, *params, state) if v is not None]


def assert_same(a, b):
    """Two results of `grad` agree in every bit."""
    a, b = flatten(a), flatten(b)
    assert len(a) == len(b)
    for x, y in zip(a, b, strict=True):
        np.testing.assert_array_equal(x, y)


def assert_close(analytic, numeric):
    """Analytic gradients agree with central differences."""
    a, n = flatten(analytic), flatten(numeric)
    assert len(a) == len(n)
    for x, y in zip(a, n, strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-6, atol=3e-8 * max(1, np.abs(y).max(initial=0)))


def rate_neurons(j, out):
    return op("neurons", {"J": j, "out": out}, type="Sigmoid", tau_ref=0.4)


def chain(window=0, dtype="float64", rng=None):
    """A sequence: input -> dense with bias -> neurons -> carried lowpass -> decoders -> output."""
    rng = rng or np.random.RandomState(1)
    m = Maker(dtype, window=window)
    u, j, a = m.buffer("window", 2), m.buffer("window", 5), m.buffer("window", 5)
    y, out = m.buffer("carried", 5), m.buffer("window", 3)
    encoders = m.buffer("param", 10, "encoders", rng.normal(size=10))
    bias = m.buffer("param", 5, "bias", rng.normal(size=5))
    decoders = m.buffer("param", 15, "decoders", rng.normal(size=15))
    feed = {"A": view(encoders, (5, 2)), "X": view(u, (2,)), "Y": view(j, (5,))}
    m.region(
        "sequence",
        m.input(u, 2),
        op("dense", {**feed, "bias": view(bias, (5,))}, set=1),
        rate_neurons(view(j, (5,)), view(a, (5,))),
        op("lowpass", {"x": view(a, (5,)), "y": view(y, (5,), shift=1)}, a=0.7, b=0.3),
        op(
            "dense",
            {"A": view(decoders, (3, 5)), "X": view(y, (5,)), "Y": view(out, (3,))},
            set=1,
        ),
        m.output(view(out, (3,))),
    )
    return m


def recurrent(kind="carried", buffers="local", window=0, dtype="float64"):
    """A loop: neurons drive themselves through a filter in a buffer of the given kind."""
    rng = np.random.RandomState(2)
    m = Maker(dtype, window=window)
    u, j, a = m.buffer("window", 3), m.buffer(buffers, 4), m.buffer(buffers, 4)
    y, out = m.buffer(kind, 4), m.buffer("window", 4)
    shift = int(kind == "carried")
    w_in = m.buffer("param", 12, "in", rng.normal(size=12))
    w_rec = m.buffer("param", 16, "recurrent", rng.normal(size=16))
    m.region("sequence", m.input(u, 3))
    m.region(
        "loop",
        op("dense", {"A": view(w_in, (4, 3)), "X": view(u, (3,)), "Y": view(j, (4,))}, set=1),
        op("dense", {"A": view(w_rec, (4, 4)), "X": view(y, (4,)), "Y": view(j, (4,))}, set=0),
        rate_neurons(view(j, (4,)), view(a, (4,))),
        op("lowpass", {"x": view(a, (4,)), "y": view(y, (4,), shift=shift)}, a=0.6, b=0.4),
        op("copy", {"src": view(y, (4,), shift=shift), "dst": view(out, (4,))}, set=1),
    )
    m.region("sequence", m.output(view(out, (4,))))
    return m


def learning(buffers="local"):
    """A loop whose weights, one copy per item, change in each step by what no gradient passes."""
    rng = np.random.RandomState(3)
    m = Maker()
    u, x, e = m.buffer("window", 2), m.buffer("carried", 2), m.buffer(buffers, 3)
    delta, out = m.buffer("carried", 6), m.buffer("window", 3)
    w = m.buffer("learned", 6, "weights", rng.normal(size=6))
    m.region("sequence", m.input(u, 2))
    m.region(
        "loop",
        op("copy", {"src": view(delta, (6,)), "dst": view(w, (6,))}, set=0),
        op("dense", {"A": view(w, (3, 2)), "X": view(x, (2,)), "Y": view(e, (3,))}, set=1),
        op("copy", {"src": view(e, (3,)), "dst": view(out, (3,))}, set=1),
        op("lowpass", {"x": view(u, (2,)), "y": view(x, (2,), shift=1)}, a=0.5, b=0.5),
        op(
            "fill",
            {"dst": view(delta, (), offsets=range(6), shift=1)},
            blocks=6,
            value=tuple(0.1 * rng.normal(size=6)),
        ),
    )
    m.region("sequence", m.output(view(out, (3,))))
    return m


def tied_weights():
    """A loop in which the weights are the state: read by products, changed through the input."""
    rng = np.random.RandomState(4)
    m = Maker()
    u, x, j = m.buffer("window", 2), m.buffer("state", 2), m.buffer("local", 3)
    w, out = m.buffer("state", 6), m.buffer("window", 3)
    mix = m.buffer("param", 12, "mix", rng.normal(size=12))
    m.region("sequence", m.input(u, 2))
    m.region(
        "loop",
        op("dense", {"A": view(w, (3, 2)), "X": view(x, (2,)), "Y": view(j, (3,))}, set=1),
        op("copy", {"src": view(j, (3,)), "dst": view(out, (3,))}, set=1),
        op("dense", {"A": view(mix, (6, 2)), "X": view(u, (2,)), "Y": view(w, (6,))}, set=0),
        op("lowpass", {"x": view(u, (2,)), "y": view(x, (2,))}, a=0.3, b=0.7),
    )
    m.region("sequence", m.output(view(out, (3,))))
    return m


def learned_by_gradient():
    """A loop whose learned weights grow by what depends on the input, so that it gets a share."""
    m = learning()
    u, w = 0, len(m.buffers) - 1
    drive = {"src": view(u, (2,)), "dst": view(w, (2,), offsets=(1,))}
    first = m.regions[1]
    m.regions[1] = type(first)("loop", (op("copy", drive, set=0), *first.ops))
    return m


def overwritten():
    """A loop whose state is set anew from the input in each step and read before and after it."""
    rng = np.random.RandomState(5)
    m = Maker()
    u, s, out = m.buffer("window", 2), m.buffer("state", 2), m.buffer("window", 2)
    w = m.buffer("param", 4, "w", rng.normal(size=4))
    z = m.buffer("param", 2, "z", rng.normal(size=2))
    two = {"A": view(w, (2, 2)), "X": view(u, (2,)), "Y": view(s, (2,))}
    mixed = {"A": view(z, (2,)), "X": view(s, (2,)), "Y": view(out, (2,))}
    m.region("sequence", m.input(u, 2))
    m.region(
        "loop",
        op("copy", {"src": view(s, (2,)), "dst": view(out, (2,))}, set=1),
        op("dense", two, set=1),
        op("elementwise", mixed, set=0),
    )
    m.region("sequence", m.output(view(out, (2,))))
    return m


def constant_state():
    """A sequence that multiplies by a state which never changes, and overwrites another one."""
    m = Maker()
    u, s, last, out = (m.buffer(k, 2) for k in ("window", "state", "state", "window"))
    m.region(
        "sequence",
        m.input(u, 2),
        op(
            "elementwise",
            {"A": view(s, (2,)), "X": view(u, (2,)), "Y": view(out, (2,))},
            set=1,
        ),
        op("copy", {"src": view(out, (2,)), "dst": view(last, (2,))}, set=1),
        m.output(view(out, (2,))),
    )
    return m


MODELS = {
    "chain": chain,
    "carried": recurrent,
    "state": lambda: recurrent("state"),
    "rows": lambda: recurrent("state", "window"),
    "learning": learning,
    "tied weights": tied_weights,
    "learned by gradient": learned_by_gradient,
    "overwritten": overwritten,
    "constant": constant_state,
}
