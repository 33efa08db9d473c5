"""Convolutions in tiles, as a GPU does large ones: the bits are those of one thread per sum."""

import ctypes
from dataclasses import dataclass

import nengo
import numpy as np
import pytest
from gpus import GPU
from handmade_programs import Maker, _engine, op, to_bytes, view
from test_kernels_conv import Conv as OneConv
from test_phases import assert_as_on_the_cpu, assert_close
from whole_models import model_of

from nengo_dl.surrogates import SuperSpike

LIMITS = {"float32": 1e-5, "float64": 1e-10}
EVERY_DTYPE = pytest.mark.parametrize("dtype", LIMITS)
TILES = ("wide", "square", "narrow", "slim")


@pytest.fixture
def launched(gpu_library):
    """Checks how many kernels of tiles there were since the last call; a GPU doesn't count them."""
    if GPU == "cuda":
        return lambda expected=None: None
    count = gpu_library.tiles_launched
    count.restype = ctypes.c_int64
    before = [count()]

    def check(expected=None):
        found, before[0] = count() - before[0], count()
        assert expected is None or found == expected

    return check


@pytest.fixture(autouse=True)
def _as_it_is(gpu_library, monkeypatch):
    """Other instructions of the CPU round otherwise; pieces of a run would leave tiles few rows."""
    monkeypatch.setenv("NENGO_DL_TEST_PIECE", str(1 << 30))
    before = _engine.isa()
    _engine.set_isa("baseline")
    yield
    _engine.set_isa(before)


@dataclass(frozen=True)
class Conv(OneConv):
    """Blocks of a convolution, in any dimensions; each has a place in W, X and Y."""

    stride: tuple = None
    pad: tuple = None
    weights: str = "param"  # what kind of buffer: param, learned, window
    image: str = "window"
    places: tuple = ((0,), (0,), (0,))

    @property
    def rank(self):
        return len(self.size)

    @property
    def strides(self):
        return self.stride or (1,) * self.rank

    @property
    def pads(self):
        return self.pad or (0,) * self.rank

    def maker(self, dtype, set_, numbers, window=0):
        """A program in which Y starts as 1; what is in no window is a param."""
        maker, ops, args = Maker(dtype, window=window), [], {}
        kinds = self.weights, self.image, "window"
        for name, kind, size, places in zip("WXY", kinds, self.elements, self.places, strict=True):
            count = size * (max(places) + 1)
            given = numbers(name, count) if kind in ("param", "learned") else None
            buffer = maker.buffer(kind, count, name, given)
            args[name] = view(buffer, (size,), offsets=[size * place for place in places])
            whole = view(buffer, (count,))
            if name == "Y":
                ops.append(op("fill", {"dst": whole}, value=1.0))
            elif kind == "window":
                ops.append(maker.input(buffer, count, name))
        ops.append(self.op(args, len(self.places[0]), set=set_))
        maker.region("sequence", *ops, maker.output(whole))
        return maker

    def results(self, backend, dtype, steps, batch, set_=1, window=0, special=False):
        """What a run and the way back leave."""
        rng = np.random.RandomState(0)

        def numbers(name, *shape):
            values = rng.uniform(-1, 1, shape).astype(dtype)
            if special:
                values.ravel()[rng.permutation(values.size)[: values.size // 5]] = 0
                values.ravel()[rng.permutation(values.size)[: values.size // 9]] *= -0.0
                values.ravel()[rng.permutation(values.size)[: values.size // 9]] *= 1e-30
            if special and name == "W":
                values.ravel()[: values.size // 8] = np.inf
                values.ravel()[values.size // 2] = np.nan
            return values

        maker = self.maker(dtype, set_, numbers, window)
        program = maker.program()
        if self.weights == "learned":
            maker.values[0] = numbers("W", batch, maker.values[0].size)
        inputs = [numbers(port.name, batch, steps, port.size) for port in program.inputs]
        dy = numbers("dY", batch, steps, program.outputs[0].size)
        compiled = _engine.Compiled(to_bytes(program), backend)
        (y,), done, error, state = maker.run(steps, batch, inputs, compiled=compiled)
        assert (done, error) == (steps, None)
        given = (inputs, maker.values, state, np.zeros((batch, 0), np.int32), 0, steps, batch)
        dx, params, _ = compiled.grad(*given, [False], [dy])
        return [y, *dx, *params]


def same_bits(got, due):
    """Signs of zeros, too."""
    for a, b in zip(got, due, strict=True):
        np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(np.signbit(a) | np.isnan(a), np.signbit(b) | np.isnan(b))


CASES = [
    Conv((13, 11), 3, 40, (3, 3), pad=(1, 1)),
    Conv((9, 8), 20, 70, (3, 3), stride=(2, 2), pad=(1, 1)),
    Conv((9, 8), 20, 70, (3, 3), stride=(2, 2)),
    Conv((30,), 9, 17, (5,), pad=(2,)),
    Conv((300,), 1, 5, (4,), stride=(3,), pad=(1,)),
    Conv((5, 6, 4), 3, 18, (2, 3, 3), stride=(1, 2, 1), pad=(1, 0, 1)),
    Conv((2, 3, 2, 3, 2), 2, 3, (2, 1, 2, 1, 2), pad=(1, 0, 0, 0, 0)),
    Conv((6, 7), 24, 36, (3, 2), pad=(1, 1), groups=3),
    Conv((9, 8), 20, 20, (3, 3), stride=(2, 1), pad=(1, 1), groups=20),
    Conv((7, 6), 8, 16, (3, 3), pad=(2, 1), groups=8),
    Conv((9, 9), 66, 5, (1, 1)),
    Conv((6, 6), 5, 130, (6, 6)),
    Conv((1, 2), 3, 5, (3, 3), pad=(2, 2)),  # some outputs meet no tap in the middle
    Conv((2, 2), 3, 4, (2, 2), stride=(4, 4), pad=(1, 1)),
    Conv((13, 11), 6, 40, (3, 3), pad=(1, 1), last=False),
    Conv((9, 8), 12, 20, (3, 3), stride=(2, 2), pad=(1, 1), groups=2, last=False),
    Conv((6, 5), 20, 34, (3, 3), stride=(2, 3), pad=(1, 0), transposed=True),
    Conv((7, 6), 18, 9, (2, 4), stride=(3, 2), pad=(0, 1), transposed=True),  # some meet no tap
    Conv((40,), 5, 70, (4,), stride=(2,), pad=(1,), transposed=True),
    Conv((3, 4, 3), 4, 6, (2, 3, 2), stride=(2, 2, 1), pad=(0, 1, 0), transposed=True),
    Conv((5, 6), 12, 18, (3, 3), stride=(2, 2), groups=3, transposed=True),
    Conv((5, 6), 17, 17, (3, 3), stride=(2, 2), pad=(1, 1), groups=17, transposed=True),
    Conv((7, 6), 10, 18, (3, 3), stride=(2, 1), pad=(1, 1), last=False, transposed=True),
    # several blocks: apart, with the same weights, in another order, of one image
    Conv((6, 7), 5, 20, (3, 3), pad=(1, 1), places=((0, 1, 2), (0, 1, 2), (0, 1, 2))),
    Conv((6, 7), 5, 20, (3, 3), pad=(1, 1), places=((0, 0, 0), (0, 1, 2), (2, 0, 1))),
    Conv(
        (6, 7), 5, 20, (3, 3), pad=(1, 1), places=((0, 0, 0), (2, 0, 3), (0, 1, 2)), transposed=True
    ),
    Conv((6, 7), 5, 20, (3, 3), pad=(1, 1), places=((0, 1, 0), (0, 1, 2), (0, 1, 2))),
    Conv((6, 7), 5, 20, (3, 3), pad=(1, 1), places=((2, 0, 1), (0, 0, 0), (0, 1, 2))),
    Conv((6, 7), 5, 20, (3, 3), pad=(1, 1), places=((0, 1, 2), (0, 2, 1), (1, 2, 0))),
    # weights of each item, and of each step; an image for all
    Conv((6, 7), 5, 20, (3, 3), stride=(2, 1), pad=(1, 1), weights="learned"),
    Conv((6, 7), 5, 20, (3, 3), weights="learned", places=((0, 0), (0, 1), (0, 1))),
    Conv((6, 7), 5, 20, (3, 3), stride=(2, 1), pad=(1, 1), weights="window"),
    Conv((6, 7), 5, 20, (3, 3), weights="window", places=((0, 1), (0, 1), (1, 0)), transposed=True),
    Conv((6, 7), 5, 20, (3, 3), pad=(1, 1), image="param"),
    Conv((6, 7), 5, 20, (3, 3), weights="window", image="param", last=False),
]


def name_of(case):
    kind = f"{'first' * (not case.last)}{'transposed' * case.transposed}"
    return f"{CASES.index(case)}-{kind or 'conv'}{case.rank}d" if case in CASES else kind


EVERY_CASE = pytest.mark.parametrize("case", CASES, ids=name_of)
RUNS = [(1, 1, 1), (3, 1, 0), (1, 3, 0), (4, 3, 1)]  # steps, batch, set


@EVERY_DTYPE
@EVERY_CASE
def test_tiles_have_the_bits_of_phases(case, dtype, monkeypatch, launched):
    """With tiles of any size; what has several terms of several blocks is left to phases."""
    for steps, batch, set_ in RUNS:
        expected = case.results("cpu", dtype, steps, batch, set_)
        monkeypatch.setenv("NENGO_DL_CONV_TILES", "0")
        launched()
        due = case.results(GPU, dtype, steps, batch, set_)
        launched(0)
        assert_close(due, expected, LIMITS[dtype])
        for name in TILES:
            monkeypatch.setenv("NENGO_DL_CONV_TILES", name)
            same_bits(case.results(GPU, dtype, steps, batch, set_), due)
            launched(in_tiles(case, dtype, name, steps, batch))


def in_tiles(case, dtype, name, steps, batch):
    """How many kernels of a run and the way back, which runs once more."""
    w, x, _ = (len(set(places)) for places in case.places)
    maps = dtype == "float32" or name != "wide"
    to_x = maps and x == len(case.places[1])
    if case.image == "param":
        to_x = to_x and steps == 1 and batch == 1
    to_w = name != "wide" and w in (1, len(case.places[0]))
    return 2 * maps + to_x + to_w


@EVERY_DTYPE
@pytest.mark.parametrize("case", [c for c in CASES if c.image == "window"][::2], ids=name_of)
def test_special_values(case, dtype, monkeypatch):
    """A weight that is infinite meets nothing outside of the image; zeros keep their signs."""
    found = []
    for name in ("0", *TILES):
        monkeypatch.setenv("NENGO_DL_CONV_TILES", name)
        found.append(case.results(GPU, dtype, 2, 3, 0, special=True))
        same_bits(found[-1], found[0])
    everything = np.concatenate([values.ravel() for values in found[0]])
    assert np.isfinite(everything).any()
    assert np.isnan(everything).any()


LARGE = [
    Conv((8, 8), 64, 64, (3, 3), pad=(1, 1)),
    Conv((8, 8), 64, 64, (3, 3), stride=(2, 2), pad=(1, 1), transposed=True),
]


@pytest.mark.parametrize("case", LARGE, ids=["conv", "transposed"])
def test_large_ones_are_in_tiles(case, launched):
    """And an item has the same bits alone, where it is too small for tiles."""
    case.results(GPU, "float32", 1, 1)
    launched(0)
    steps, batch = (4, 10)
    y, _, _ = case.results(GPU, "float32", steps, batch)
    launched(4)
    rng = np.random.RandomState(0)
    numbers = [rng.uniform(-1, 1, n).astype("float32") for n in case.elements[:1]]
    maker = case.maker("float32", 1, lambda *_: numbers[0])
    x = rng.uniform(-1, 1, (batch, steps, case.elements[1])).astype("float32")
    compiled = _engine.Compiled(to_bytes(maker.program()), GPU)
    (together,), *_ = maker.run(steps, batch, [x], compiled=compiled)
    same_bits([together], [y])
    (alone,), *_ = maker.run(1, 1, [np.ascontiguousarray(x[3:4, 2:3])], compiled=compiled)
    same_bits([alone[0, 0]], [together[3, 2]])


def test_tiles_of_few_channels_are_not_worth_it(launched):
    Conv((40, 40), 1, 2, (3, 3), pad=(1, 1)).results(GPU, "float32", 4, 20)
    launched(0)


def test_dimensions_whose_numbers_fit_in_no_word(monkeypatch, launched):
    """Those of positions, for the weights; those of taps do."""
    case, found = Conv((4,) * 7 + (8,), 1, 2, (1,) * 8), []
    for name, expected in (("0", 0), ("1", 3)):
        monkeypatch.setenv("NENGO_DL_CONV_TILES", name)
        launched()
        found.append(case.results(GPU, "float32", 1, 1))
        launched(expected)
    same_bits(*found)


def test_strides_that_no_table_holds(monkeypatch, launched):
    """A transposed convolution would have a phase for each remainder."""
    case, found = (
        Conv((2,), 3, 5, (2,), stride=(1 << 21,), pad=((1 << 20) - 3,), transposed=True),
        [],
    )
    for name, expected in (("0", 0), ("1", 2)):
        monkeypatch.setenv("NENGO_DL_CONV_TILES", name)
        launched()
        found.append(case.results(GPU, "float32", 1, 1))
        launched(expected)
    same_bits(*found)


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("filters", [16, 600, 1000])
def test_sums_in_parts(filters, transposed, monkeypatch):
    """So few weights that they are summed in many parts, so many that there is one part."""
    steps, batch = (2, 2) if filters == 1000 else (13, 7)
    case = Conv((4,), 16 if filters == 16 else 300, filters, (2,), transposed=transposed)
    found = []
    for name in ("0", "1", "square", "narrow"):
        monkeypatch.setenv("NENGO_DL_CONV_TILES", name)
        found.append(case.results(GPU, "float32", steps, batch, window=11))
        same_bits(found[-1], found[0])


def layers(stride=2):
    """Two convolutions and one transposed, of neurons that spike."""
    rng = np.random.RandomState(5)
    with nengo.Network(seed=0) as net:
        layer = nengo.Node(rng.uniform(0, 1, 9 * 8 * 2))
        shape = (9, 8, 2)
        for filters, kind in ((6, nengo.Convolution), (9, nengo.Convolution), (5, "transposed")):
            strides = {"strides": (stride, stride), "padding": "same"}
            if kind == "transposed":
                kind, strides = nengo.ConvolutionTranspose, {"strides": (2, 1)}
            transform = kind(filters, shape, kernel_size=(3, 3), **strides)
            shape = transform.output_shape.shape
            neurons = nengo.Ensemble(
                transform.size_out,
                1,
                neuron_type=nengo.SpikingRectifiedLinear(),
                gain=nengo.dists.Choice([100]),
                bias=nengo.dists.Choice([40]),
            ).neurons
            nengo.Connection(layer, neurons, transform=transform, synapse=None)
            layer = neurons
            nengo.Probe(layer, synapse=0.01)
    return net


@EVERY_DTYPE
@pytest.mark.parametrize("batch", [1, 3])
def test_a_whole_model(dtype, batch, monkeypatch, launched):
    """Runs and gradients, with a tape and without one, in windows of 7 steps."""
    made = model_of(layers(), dtype, surrogate=SuperSpike(0.5))
    found = {}
    for name in ("cpu", "0", "1", "square"):
        monkeypatch.setenv("NENGO_DL_CONV_TILES", name)
        backend = "cpu" if name == "cpu" else GPU
        model = made.training
        results = made.run(made.compiled(backend), 20, batch)
        gradients = model.gradients(model.compiled(backend), 20, batch)
        taped = model.gradients(model.compiled(backend), 20, batch, tape=True)
        launched(63 if name in ("1", "square") else 0)
        if backend != "cpu":
            assert_as_on_the_cpu([*results, *gradients], found["cpu"], dtype)
            same_bits(taped, gradients)
            same_bits([*results, *gradients], found.setdefault("0", [*results, *gradients]))
        else:
            assert np.mean([np.any(value) for value in [*results, *gradients]]) > 0.8
            found["cpu"] = [*results, *gradients]
