"""Fused kernels: the bits of the plain kernels of the same ops; chains that must not be fused."""

import numpy as np
import pytest
from fused_programs import NEURONS, Ensembles
from handmade_programs import _engine, op, to_bytes, view

FUSED = [kind for kind in NEURONS if kind != "LIFRate"]


def compiled(ensembles, fuse=True):
    return _engine.Compiled(to_bytes(ensembles.maker.program()), fuse=fuse)


def chains(ensembles):
    return [text for _, _, _, text in compiled(ensembles).fused()]


def assert_bits(got, due):
    for a, b in zip(got, due, strict=True):
        np.testing.assert_array_equal(a, b)


def random_ensembles(seed):
    """A chain that is fused: one number in and out (in loops), or decoders column by column."""
    rng = np.random.RandomState(seed)
    single = rng.rand() < 0.4
    decoded = (1,) if single else (rng.randint(8, 20), *rng.randint(1, 12, rng.randint(3)))
    neurons = rng.randint(2, 300) if rng.rand() < 0.9 else rng.randint(300, 2049)
    return Ensembles(
        dims=1 if single else rng.randint(1, 10),
        neurons=neurons,
        blocks=rng.randint(1, 6),
        decoded=tuple(int(d) for d in decoded),
        kind=FUSED[seed % len(FUSED)],
        dtype=("float32", "float64")[seed // len(FUSED) % 2],
        loop=single or bool(rng.randint(2)),
        carried=bool(rng.randint(2)),
        bias=single or bool(rng.randint(4)),
        set_=1 if not single else rng.randint(2),
        gap=rng.choice([0, 0, 1, 5]),
        per_block=bool(rng.randint(2)),
        filtered=bool(rng.randint(2)),
        seed=seed,
    )


def connected_ensembles(seed):
    """Some are decoded several times, by one op, some not at all."""
    rng = np.random.RandomState(seed)
    blocks = int(rng.randint(2, 7))
    return Ensembles(
        dims=3,
        neurons=int(rng.choice([30, 400, 1100])),
        blocks=blocks,
        decoded=(int(rng.randint(8, 40)), 2, 9),
        kind=FUSED[seed % len(FUSED)],
        dtype=("float32", "float64")[seed // len(FUSED) % 2],
        loop=bool(rng.randint(2)),
        per_block=bool(rng.randint(2)),
        gap=int(rng.choice([0, 3])),
        filtered=False,
        reads=tuple(int(k) for k in rng.randint(0, blocks, rng.choice([1, 7, 90]))),
        seed=seed,
    )


MADE = [(random_ensembles, seed) for seed in range(48)]
MADE += [(connected_ensembles, seed) for seed in range(16)]


@pytest.mark.parametrize("make, seed", MADE)
def test_fused_equals_plain(isa, make, seed):
    ensembles = make(seed).make()
    fused, plain = compiled(ensembles), compiled(ensembles, fuse=False)
    assert len(fused.fused()) == 1 and not plain.fused()
    for batch, n_steps in [(1, 40), (7, 13)]:
        due = ensembles.run(plain, n_steps, batch)
        assert len(np.unique(due[0])) > 2  # some have fired
        assert_bits(ensembles.run(fused, n_steps, batch), due)


@pytest.mark.parametrize("loop", [False, True])
@pytest.mark.parametrize(("dims", "decoded"), [(1, 1), (8, 8)])
def test_windows_threads_and_items_change_nothing(isa, loop, dims, decoded):
    ensembles = Ensembles(dims, 100, 4, (decoded,), loop=loop).make()
    due = ensembles.run(compiled(ensembles), 30, 21)
    assert_bits(ensembles.run(compiled(ensembles), 30, 21, threads=2), due)
    for item in (0, 20):
        single = ensembles.run(compiled(ensembles), 30, 21, items=[item])
        assert_bits(single, [array[[item]] for array in due])
    ensembles.maker.window = 7
    assert_bits(ensembles.run(compiled(ensembles), 30, 21), due)


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("loop", [False, True])
def test_weights_that_are_not_finite_are_seen(isa, loop, value):
    """A neuron that is silent adds 0 times infinity."""
    ensembles = Ensembles(2, 30, 2, (9, 9), loop=loop).make()
    decoders = ensembles.maker.values[-1]
    fused, plain = compiled(ensembles), compiled(ensembles, fuse=False)
    assert len(fused.fused()) == 1
    finite = decoders.copy()
    for k in (None, 0, 17, decoders.size - 1):  # weights are looked at anew in every run
        decoders[:] = finite
        if k is not None:
            decoders[k] = value
        due = ensembles.run(plain, 5, 2)
        assert np.isnan(due[1]).any() == (k is not None) and np.isfinite(due[0]).all()
        assert_bits(ensembles.run(fused, 5, 2), due)


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])  # neurons are silent at -inf
@pytest.mark.parametrize("kind", FUSED)
@pytest.mark.parametrize(("dims", "decoded"), [(1, 1), (1, 9), (2, 9)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_inputs_that_are_not_finite(isa, dims, decoded, kind, value, dtype):
    """Of 21 neurons one vector is not full; what stands in its other lanes is no part of sums."""
    ensembles = Ensembles(dims, 21, 3, (decoded,), kind=kind, dtype=dtype, loop=True).make()
    encoders = ensembles.maker.values[0]
    encoders[:] = np.abs(encoders)
    fused, plain = compiled(ensembles), compiled(ensembles, fuse=False)
    assert len(fused.fused()) == 1
    with np.errstate(invalid="ignore"):
        due = ensembles.run(plain, 12, 2, strange=value)
        assert_bits(ensembles.run(fused, 12, 2, strange=value), due)


def test_chains_are_described():
    assert chains(Ensembles(loop=True).make()) == ["encode, LIF, decode, filter"]
    assert chains(Ensembles(loop=True, filtered=False).make()) == ["encode, LIF, decode"]
    two = Ensembles(8, decoded=(8, 3), kind="AdaptiveLIF", filtered=False).make()
    assert chains(two) == ["encode, AdaptiveLIF, 2 x decode"]
    assert compiled(two).fused() == [(1, 0, 4, "encode, AdaptiveLIF, 2 x decode")]
    between = Ensembles(8, decoded=(8, 3), loop=True, reads=(2, 1, 2)).make()
    assert chains(between) == ["encode, LIF, 2 x decode, filter"]


def test_environment_turns_fusion_off(monkeypatch):
    program = to_bytes(Ensembles(loop=True).make().maker.program())
    assert _engine.Compiled(program).fused()
    monkeypatch.setenv("NENGO_DL_FUSE", "0")
    assert not _engine.Compiled(program).fused()
    assert _engine.Compiled(program, fuse=True).fused()


def probed(value):
    return lambda e: [e.maker.output(e.whole(getattr(e, value)), "inner")]


def learned(e):
    """A learning rule that reads what the neurons put out."""
    delta = e.vector("state", e.neurons * e.blocks, "delta")
    delta = view(delta.buffer, (1, e.neurons), (e.neurons, 1), e.at(e.neurons))
    args = {"pre_filtered": e.out, "error": e.y[0], "delta": delta}
    return [op("pes", args, e.blocks, alpha=-1e-3)]


def another_connection(e):
    """A product with other blocks."""
    target = e.vector("local" if e.loop else "window", 1, "another")
    args = {"A": e.matrix(1, e.neurons, 1.0, "more"), "X": e.out, "Y": target}
    first = {name: view(o.buffer, o.shape, o.strides, o.offsets[:1]) for name, o in args.items()}
    return [op("dense", first, 1, set=1)]


MORE = {
    "J probed": probed("J"),
    "spikes probed": probed("out"),
    "learned": learned,
    "another": another_connection,
}


@pytest.mark.parametrize("loop", [False, True])
@pytest.mark.parametrize("more", MORE)
def test_values_that_others_read_are_stored(more, loop):
    ensembles = Ensembles(loop=loop, filtered=False).make(MORE[more])
    assert chains(ensembles) == []
    assert_bits(
        ensembles.run(compiled(ensembles), 9, 2), ensembles.run(compiled(ensembles, False), 9, 2)
    )


def test_decoders_stay_behind_the_filter_that_they_add_to():
    """Its output lies in a buffer that the next product adds to, in the same step."""
    ensembles = Ensembles(8, decoded=(8, 8), loop=True).make()
    assert len(chains(ensembles)) == 1
    maker = ensembles.maker
    (region,) = [r for r in maker.regions if len(r.ops) > 2]
    lowpass = next(o for o in region.ops if o.kind == "lowpass")
    last = region.ops[-1]
    size = maker.buffers[lowpass.args["y"].buffer].size
    at = lowpass.args["y"].offsets
    carried = maker.buffer("carried", size, "carried")
    ensembles.state = np.concatenate([ensembles.state, np.zeros(size, ensembles.dtype)])
    lowpass.args["y"] = last.args["Y"] = view(carried, (8,), (1,), at, 1)
    last.attrs["set"] = 0
    maker.region("sequence", maker.output(view(carried, (size,), shift=1), "filtered"))
    assert chains(ensembles) == []
    plain, fused = compiled(ensembles, fuse=False), compiled(ensembles)
    assert_bits(ensembles.run(fused, 12, 2), ensembles.run(plain, 12, 2))


def other_blocks(ensembles):
    """The neurons of all ensembles as one block."""
    (region,) = [r for r in ensembles.maker.regions if len(r.ops) > 2]
    neurons = next(o for o in region.ops if o.kind == "neurons")
    neurons.args.update({name: ensembles.whole(o) for name, o in neurons.args.items()})
    object.__setattr__(neurons, "blocks", 1)


def test_other_numbers_of_blocks_are_not_fused():
    ensembles = Ensembles(loop=True, filtered=False).make()
    other_blocks(ensembles)
    assert chains(ensembles) == []


@pytest.mark.parametrize(
    "fields",
    [
        {"kind": "LIFRate", "loop": True},  # puts out more than few neurons do
        {"dims": 3, "decoded": (3,)},  # not faster
        {"loop": False},  # not faster where many steps come at once
        {"dims": 8, "decoded": (8,), "columns": False},
        {"neurons": 2049, "loop": True},
        {"neurons": 1, "loop": True},
    ],
)
def test_what_is_not_fused(fields):
    assert chains(Ensembles(**fields).make()) == []


def test_gradients_are_those_of_the_plain_ops():
    """A run that records stores what lies inside."""
    ensembles = Ensembles(8, 30, 2, (8, 2), loop=True, filtered=False)
    ensembles.make()
    for region in ensembles.maker.regions:
        for each in region.ops:
            if each.kind == "neurons":
                each.attrs.update(surrogate="arctan", width=1.0)
    program = ensembles.maker.program()
    rng = np.random.RandomState(0)
    x = rng.uniform(-1, 1, (3, 11, program.inputs[0].size)).astype("float32")
    grads = [rng.randn(3, 11, port.size).astype("float32") for port in program.outputs]
    results = []
    for fuse in (True, False):
        made = compiled(ensembles, fuse)
        state = np.repeat(ensembles.state[None], 3, axis=0)
        run = ([x], ensembles.maker.values)
        rest = {"first_step": 0, "n_steps": 11, "batch": 3, "keep_last": [False, False]}
        istate = np.zeros((3, 0), np.int32)
        tape = made.tape(3, 11)
        outputs, _, _ = made.run(*run, state.copy(), istate, **rest, tape=tape)
        assert_bits(outputs, made.run(*run, state.copy(), istate, **rest)[0])
        made = made.grad(*run, state, istate, **rest, output_grads=grads, tape=tape)
        results.append([*outputs, *made[0], *made[1], made[2]])
    assert np.any(results[0][2] != 0)
    assert_bits(*results)
