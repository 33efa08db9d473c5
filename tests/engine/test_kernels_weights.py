"""Learning rules, sparse products and convolutions against Nengo's own operators."""

import itertools

import nengo
import numpy as np
import pytest
from kernel_programs import LAYOUTS, OneOp
from nengo.builder import learning_rules as rules
from nengo.builder import transforms
from nengo.builder.signal import Signal, SignalDict
from scipy import sparse

from nengo_dl import _engine

DT, STEPS, RATE = 0.001, 200, 3e-2


def operator_steps(make, reads, targets):
    """Run one of Nengo's operators; ``make(**signals)`` builds it; reads have a row per step."""
    values = {k: v[0] for k, v in reads.items()} | targets
    signals = {k: Signal(np.array(v, dtype=float), name=k) for k, v in values.items()}
    memory = SignalDict()
    for signal in signals.values():
        memory.init(signal)
    step = make(**signals).make_step(memory, DT, np.random)
    history = {name: [] for name in targets}
    for i in range(len(next(iter(reads.values())))):
        for name, rows in reads.items():
            memory[signals[name]][...] = rows[i]
        step()
        for name in targets:
            history[name].append(memory[signals[name]].copy())
    return {name: np.array(h) for name, h in history.items()}


def activities(seed, n):
    return np.random.RandomState(seed).uniform(0, 2, size=(STEPS, n))


def pes(n, m):
    reads = {"pre_filtered": activities(1, n), "error": activities(2, m) - 1}
    attrs = {"alpha": -RATE * DT / n}
    return "pes", attrs, reads, {}, lambda **s: rules.SimPES(learning_rate=RATE, **s)


def bcm(n, m):
    names = ("pre_filtered", "post_filtered", "theta")
    reads = {k: activities(i, s) for i, (k, s) in enumerate(zip(names, (n, m, m), strict=True))}
    return "bcm", {"alpha": RATE * DT}, reads, {}, lambda **s: rules.SimBCM(learning_rate=RATE, **s)


def oja(n, m):
    weights = np.random.RandomState(5).normal(size=(STEPS, m, n))
    reads = {
        "pre_filtered": activities(1, n),
        "post_filtered": activities(2, m),
        "weights": weights,
    }
    attrs = {"alpha": RATE * DT, "beta": 0.7}
    return "oja", attrs, reads, {}, lambda **s: rules.SimOja(learning_rate=RATE, beta=0.7, **s)


def voja(n, m):
    rng = np.random.RandomState(5)
    scale = rng.uniform(0.5, 2, size=m)
    reads = {
        "pre_decoded": activities(1, n),
        "post_filtered": activities(2, m),
        "scaled_encoders": rng.normal(size=(STEPS, m, n)),
        "learning_signal": rng.uniform(size=(STEPS, 1)),
    }

    def make(learning_signal, **s):
        return rules.SimVoja(learning_signal=learning_signal, learning_rate=RATE, scale=scale, **s)

    return "voja", {"alpha": RATE * DT}, reads, {"scale": scale}, make


@pytest.mark.parametrize("carried", [False, True])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("rule", [pes, bcm, oja, voja])
@pytest.mark.parametrize("n, m", [(1, 1), (5, 3), (70, 2), (33, 40)])
def test_rule(rule, n, m, layout, carried, isa):
    kind, attrs, reads, params, make = rule(n, m)
    due = operator_steps(make, reads, {"delta": np.zeros((m, n))})["delta"]
    case = OneOp(kind, attrs, {k: v.reshape(STEPS, -1) for k, v in reads.items()})
    case.shapes = {"delta": (m, n), "weights": (m, n), "scaled_encoders": (m, n)}
    case.states, case.params = {"delta": np.zeros((m, n))}, params
    case.layout, case.carried, case.window = layout, carried, 7
    outputs, states, _ = case.run(STEPS)
    size = np.abs(due).max()
    np.testing.assert_allclose(states["delta"], due[-1], rtol=1e-12, atol=1e-15 * size)
    if carried:
        got = outputs["delta"].reshape(due.shape)
        np.testing.assert_allclose(got, due, rtol=1e-12, atol=1e-14 * size)


@pytest.mark.parametrize("carried", [False, True])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("n", [1, 8, 50])
def test_rls(n, layout, carried, isa):
    m, gamma = 3, np.eye(n) * 0.05
    reads = {"pre_filtered": activities(1, n), "error": activities(2, m)}
    targets = {"delta": np.zeros((m, n)), "inv_gamma": gamma}
    due = operator_steps(lambda **s: rules.SimRLS(**s), reads, targets)
    case = OneOp("rls", {}, reads, states=targets, layout=layout, carried=carried)
    case.shapes = {"delta": (m, n), "inv_gamma": (n, n)}
    _, states, _ = case.run(STEPS)
    for name in targets:
        last = due[name][-1]
        np.testing.assert_allclose(
            states[name], last, rtol=1e-10, atol=1e-12 * np.abs(due[name]).max(), err_msg=name
        )


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("density", [0.0, 0.1, 1.0])
def test_sparse(density, layout):
    matrix = sparse.random(23, 31, density, format="csr", random_state=1)
    if matrix.nnz == 0:
        matrix = sparse.csr_matrix((np.zeros(1), ([4], [5])), shape=(23, 31))
    attrs = {"set": 1, "indices": matrix.indices, "indptr": matrix.indptr}
    x = np.random.RandomState(0).normal(size=(50, 31))
    case = OneOp("sparse", attrs, {"X": x}, {"Y": (23,)}, params={"A": matrix.data}, layout=layout)
    due = np.array([matrix.dot(row) for row in x])
    np.testing.assert_allclose(case.run(50)[0]["Y"], due, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("shape", [(2, 3), (1, 1), (4, 5)])
def test_bsr(shape):
    m, n = 6 * shape[0], 7 * shape[1]
    matrix = sparse.random(m, n, 0.3, random_state=1).tobsr(shape)
    attrs = {"set": 1, "indices": matrix.indices, "indptr": matrix.indptr}
    x = np.random.RandomState(0).normal(size=(50, n))
    case = OneOp("bsr", attrs, {"X": x}, {"Y": (m,)}, params={"A": matrix.data})
    case.shapes = {"A": matrix.data.shape}
    due = np.array([matrix.dot(row) for row in x])
    np.testing.assert_allclose(case.run(50)[0]["Y"], due, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(
    "indices, indptr",
    [
        ([0, 31], [0] * 23 + [2]),
        ([0, -1], [0] * 23 + [2]),
        ([0, 1], [0, 2, 1] + [2] * 21),
        ([0], [0] * 24),
    ],
)
def test_sparse_refuses_foreign_memory(indices, indptr):
    attrs = {"set": 1, "indices": indices, "indptr": indptr}
    case = OneOp("sparse", attrs, {"X": np.ones((1, 31))}, {"Y": (23,)}, params={"A": np.ones(2)})
    with pytest.raises(_engine.ProgramError, match="sparse"):
        case.run(1)


def conv_case(op, transform, pads, weights, x, set_=1):
    last = transform.channels_last
    shapes = transform.input_shape, transform.output_shape
    attrs = {
        "set": set_,
        "in_shape": shapes[0].spatial_shape,
        "out_shape": shapes[1].spatial_shape,
        "in_channels": shapes[0].n_channels,
        "out_channels": shapes[1].n_channels,
        "kernel": transform.kernel_size,
        "stride": transform.strides,
        "pad": pads,
        "groups": getattr(transform, "groups", 1),
        "channels_last": int(last),
    }
    case = OneOp(op, attrs, {"X": x}, {"Y": (shapes[1].size,)}, params={"W": weights})
    return case.run(len(x))[0]["Y"]


def forward_pads(big, small, kernel, stride, padding):
    """Padding before each dimension, of a convolution from ``big`` to ``small``."""
    if padding == "valid":
        return [0] * len(big)
    total = [
        max((o - 1) * s + k - i, 0) for i, o, k, s in zip(big, small, kernel, stride, strict=True)
    ]
    return [p // 2 for p in total]


def shape_of(space, channels, last):
    return (*space, channels) if last else (channels, *space)


CONVS = list(itertools.product([True, False], ["same", "valid"], [1, 2], [(6,), (7, 5)]))


@pytest.mark.parametrize("last, padding, stride, space", CONVS)
@pytest.mark.parametrize("channels, filters, groups", [(1, 1, 1), (2, 70, 1), (4, 6, 2)])
def test_conv_equals_nengo(last, padding, stride, space, channels, filters, groups, isa):
    rank, rng = len(space), np.random.RandomState(0)
    kernel, strides = (3, 2)[:rank], (stride,) * rank
    weights = rng.normal(size=(*kernel, channels // groups, filters))
    transform = nengo.Convolution(
        filters,
        shape_of(space, channels, last),
        strides=strides,
        kernel_size=kernel,
        padding=padding,
        channels_last=last,
        groups=groups,
        init=weights,
    )
    x = rng.normal(size=(4, transform.size_in))
    due = operator_steps(
        lambda W, X, Y: transforms.ConvInc(W, X, Y, transform),
        {"X": x, "W": np.stack([weights] * 4)},
        {"Y": np.zeros(transform.size_out)},
    )["Y"]
    due = np.diff(due, axis=0, prepend=0)  # Nengo's operator increments
    small = transform.output_shape.spatial_shape
    pads = forward_pads(space, small, kernel, strides, padding)
    got = conv_case("conv", transform, pads, weights, x)
    np.testing.assert_allclose(got, due, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("last, padding, stride, space", CONVS)
def test_conv_transpose_equals_nengo(last, padding, stride, space, isa):
    rank, rng = len(space), np.random.RandomState(0)
    kernel, strides = (3, 2)[:rank], (stride,) * rank
    weights = rng.normal(size=(*kernel, 2, 5))
    transform = nengo.ConvolutionTranspose(
        5,
        shape_of(space, 2, last),
        strides=strides,
        kernel_size=kernel,
        padding=padding,
        channels_last=last,
        init=weights,
    )
    x = rng.normal(size=(4, transform.size_in))
    due = operator_steps(
        lambda W, X, Y: transforms.ConvTransposeInc(W, X, Y, transform),
        {"X": x, "W": np.stack([weights] * 4)},
        {"Y": np.zeros(transform.size_out)},
    )["Y"]
    due = np.diff(due, axis=0, prepend=0)
    pads = []
    for i, o, k, s in zip(
        space, transform.output_shape.spatial_shape, kernel, strides, strict=True
    ):
        total = 2 * (k - 1)  # around the stretched input, as Nengo pads it
        if padding == "same":
            total = min(max(o + k - 1 - ((i - 1) * s + 1), 0), total)
        pads.append(k - 1 - (total + 1) // 2)
    got = conv_case("conv_transpose", transform, pads, weights, x)
    np.testing.assert_allclose(got, due, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("last", [True, False])
@pytest.mark.parametrize("groups", [1, 2])
def test_three_dimensions(last, groups, isa):
    space, kernel, strides, pads = (5, 4, 6), (2, 3, 3), (1, 2, 1), (0, 1, 1)
    out, rng = (4, 2, 6), np.random.RandomState(0)
    weights = rng.normal(size=(*kernel, 4 // groups, 6))
    x = rng.normal(size=(*space, 4))
    y, back = np.zeros((*out, 6)), np.zeros((*space, 4))
    # the gradient of the same convolution: weights with their channels exchanged
    turned = rng.normal(size=(*kernel, 6 // groups, 4))
    g = rng.normal(size=(*out, 6))
    for p in np.ndindex(*out):
        for k in np.ndindex(*kernel):
            at = tuple(np.array(p) * strides + k - pads)
            if not all(0 <= a < s for a, s in zip(at, space, strict=True)):
                continue
            for i in range(groups):
                ins, outs = (
                    slice(i * 4 // groups, (i + 1) * 4 // groups),
                    slice(i * 6 // groups, (i + 1) * 6 // groups),
                )
                y[p][outs] += x[at][ins] @ weights[k][:, outs]
                back[at][ins] += g[p][outs] @ turned[k][:, ins]

    def order(v):
        return v if last else np.moveaxis(v, -1, 0)

    def run(op, source, source_space, target_space, channels, filters, w):
        attrs = {
            "set": 1,
            "in_shape": source_space,
            "out_shape": target_space,
            "in_channels": channels,
            "out_channels": filters,
            "kernel": kernel,
            "stride": strides,
            "pad": pads,
            "groups": groups,
            "channels_last": int(last),
        }
        size = int(np.prod(target_space)) * filters
        rows = np.stack([order(source).ravel()] * 2)
        return OneOp(op, attrs, {"X": rows}, {"Y": (size,)}, params={"W": w}).run(2)[0]["Y"]

    got = run("conv", x, space, out, 4, 6, weights)
    np.testing.assert_allclose(got, [order(y).ravel()] * 2, rtol=1e-11, atol=1e-12)
    got = run("conv_transpose", g, out, space, 6, 4, turned)
    np.testing.assert_allclose(got, [order(back).ravel()] * 2, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize(
    "key, value",
    [
        ("in_shape", [7]),
        ("out_shape", [2**31]),
        ("kernel", [0]),
        ("stride", [0]),
        ("pad", [-1]),
        ("groups", 2),
    ],
)
def test_conv_refuses_foreign_memory(key, value):
    attrs = {
        "set": 1,
        "in_shape": [6],
        "out_shape": [4],
        "in_channels": 1,
        "out_channels": 1,
        "kernel": [3],
        "stride": [1],
        "pad": [0],
        "groups": 1,
        "channels_last": 1,
    }
    case = OneOp("conv", attrs, {"X": np.ones((1, 6))}, {"Y": (4,)}, params={"W": np.ones(3)})
    assert case.run(1)[0]["Y"].tolist() == [[3.0] * 4]
    case.attrs[key] = value
    with pytest.raises(_engine.ProgramError, match="conv"):
        case.run(1)
