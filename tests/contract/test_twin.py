"""The twin itself: against Nengo's own operators, and over windows of several steps."""

import itertools

import nengo
import numpy as np
import pytest
from nengo.builder.learning_rules import SimRLS
from nengo.builder.signal import Signal
from nengo.builder.transforms import ConvInc, ConvTransposeInc

from nengo_dl.ir.program import Buffer, Op, Operand, Param, Port, Program, Region
from nengo_dl.ir.rng import pack_rng, unpack_rng
from nengo_dl.reference import run


def whole(buffer, *shape, shift=0):
    """A contiguous operand that is a whole buffer."""
    strides = np.cumprod((1, *shape[:0:-1]))[::-1]
    return Operand(buffer, shift, shape, tuple(strides.tolist()) if shape else (), (0,))


def one_op(kind, args, attrs, dtype="float64", istate_size=0, dt=0.001):
    """A program of one op: read arguments are parameters, all else is state.

    ``args`` maps names to (shape, "in" or "state").
    """
    buffers, params, operands, state_size = [], [], {}, 0
    for name, (shape, role) in args.items():
        size = int(np.prod(shape))
        operands[name] = whole(len(buffers), *shape)
        if role == "in":
            buffers.append(Buffer("param", name, size, param=len(params)))
            params.append(Param(name, size))
        else:
            buffers.append(Buffer("state", name, size, state_offset=state_size))
            state_size += size
    op = Op(kind, kind, 1, operands, attrs)
    regions = (Region("sequence", (op,)),)
    return Program(
        dtype,
        dt,
        0,
        state_size,
        istate_size,
        tuple(buffers),
        tuple(params),
        (),
        (),
        regions,
    )


def run_one(program, params, state, n_steps=1, istate=None):
    run(program, [], params, state[None], istate, 0, n_steps, 1)
    return state


@pytest.mark.parametrize("seed", [0, 7])
def test_rng_words_continue_the_sequence(seed):
    rng = np.random.RandomState(seed)
    rng.normal(size=seed)  # an odd number of draws leaves one cached
    copy = unpack_rng(pack_rng(rng))
    assert np.array_equal(rng.normal(size=5), copy.normal(size=5))
    assert np.array_equal(pack_rng(rng), pack_rng(copy))


def test_rng_words_are_checked():
    with pytest.raises(ValueError, match="628"):
        unpack_rng(np.zeros(3, dtype=np.int32))


def conv_cases():
    for transpose in (False, True):
        for channels_last in (True, False):
            for padding in ("same", "valid"):
                for dims, kernel, strides in [
                    ((7,), (3,), (2,)),
                    ((6, 5), (3, 2), (1, 2)),
                    ((5, 6), (2, 4), (2, 1)),
                ]:
                    for groups in (1,) if transpose else (1, 2):
                        yield (
                            transpose,
                            channels_last,
                            padding,
                            dims,
                            kernel,
                            strides,
                            groups,
                        )


@pytest.mark.parametrize("case", conv_cases(), ids=str)
def test_conv_equals_nengo(case):
    transpose, channels_last, padding, dims, kernel, strides, groups = case
    n_in, n_out = 4, 6
    shape = (*dims, n_in) if channels_last else (n_in, *dims)
    cls = nengo.ConvolutionTranspose if transpose else nengo.Convolution
    conv = cls(
        n_out,
        shape,
        kernel_size=kernel,
        strides=strides,
        padding=padding,
        channels_last=channels_last,
        **({} if transpose else {"groups": groups}),
    )
    rng = np.random.RandomState(0)
    W = conv.sample(rng=rng)
    X, Y = rng.normal(size=conv.size_in), rng.normal(size=conv.size_out)
    out_shape = conv.output_shape.spatial_shape
    sides = (dims, out_shape) if not transpose else (out_shape, dims)
    pad = [
        max((small - 1) * s + k - large, 0) // 2 if padding == "same" else 0
        for large, small, s, k in zip(*sides, strides, kernel, strict=True)
    ]
    attrs = {
        "set": 0,
        "in_shape": dims,
        "out_shape": out_shape,
        "in_channels": n_in,
        "out_channels": n_out,
        "kernel": kernel,
        "stride": strides,
        "pad": pad,
        "groups": groups,
        "channels_last": int(channels_last),
    }
    args = {"W": ((W.size,), "in"), "X": ((X.size,), "in"), "Y": ((Y.size,), "state")}
    kind = "conv_transpose" if transpose else "conv"
    got = run_one(one_op(kind, args, attrs), [W.ravel(), X], Y.copy())

    op_class = ConvTransposeInc if transpose else ConvInc
    signals = [Signal(v, name=n) for n, v in zip("WXY", (W, X, Y), strict=True)]
    op_class(*signals, conv).make_step(dict(zip(signals, (W, X, Y), strict=True)), 0.001, None)()
    np.testing.assert_allclose(got, Y, rtol=1e-12, atol=1e-12)


def test_rls_equals_nengo():
    rng = np.random.RandomState(1)
    pre, error, delta, P = rng.rand(4), rng.rand(2), np.zeros((2, 4)), np.eye(4) * 0.3
    args = {
        "pre_filtered": ((4,), "in"),
        "error": ((2,), "in"),
        "delta": ((2, 4), "state"),
        "inv_gamma": ((4, 4), "state"),
    }
    state = np.concatenate([delta.ravel(), P.ravel()])
    run_one(one_op("rls", args, {}), [pre, error], state, n_steps=3)
    signals = [Signal(v, name="x") for v in (pre, error, delta, P)]
    arrays = dict(zip(signals, (pre, error, delta, P), strict=True))
    step = SimRLS(*signals).make_step(arrays, 0.001, None)
    for _ in range(3):
        step()
    np.testing.assert_allclose(state, np.concatenate([delta.ravel(), P.ravel()]), rtol=1e-13)


def test_white_noise_equals_nengo():
    process = nengo.processes.WhiteNoise(seed=3)
    words = pack_rng(process.get_rng(np.random))[None]
    args = {"dst": ((3,), "state")}
    attrs = {
        "set": 1,
        "dist": "gaussian",
        "mean": 0.0,
        "std": 1.0,
        "scale": 1 / np.sqrt(0.001),
    }
    program = one_op("noise", args, {**attrs, "rng": 0}, istate_size=628)
    state = run_one(program, [], np.zeros(3), n_steps=4, istate=words)
    np.testing.assert_array_equal(state, process.run_steps(4, d=3, dt=0.001)[-1])


def integrator(n=6, window=0):
    """Input -> delayed filter -> loop of encode, LIF, decode, filter -> probe filter -> output."""
    buffers = (
        Buffer("window", "u", 1),
        Buffer("carried", "u filtered", 1, state_offset=0),
        Buffer("local", "x", 1),
        Buffer("local", "J", n),
        Buffer("local", "spikes", n),
        Buffer("state", "neurons", 2 * n, state_offset=1),
        Buffer("param", "encoders", n, param=0),
        Buffer("param", "bias", n, param=1),
        Buffer("param", "decoders", n, param=2),
        Buffer("window", "decoded", 1),
        Buffer("carried", "feedback", 1, state_offset=1 + 2 * n),
        Buffer("carried", "probe", 1, state_offset=2 + 2 * n),
    )
    scalar = {i: whole(i, 1) for i in (0, 1, 2, 9, 10)}
    neurons = {
        "J": whole(3, n),
        "out": whole(4, n),
        "voltage": Operand(5, 0, (n,), (1,), (0,)),
        "refractory_time": Operand(5, 0, (n,), (1,), (n,)),
    }
    lif = {
        "type": "LIF",
        "tau_rc": 0.02,
        "tau_ref": 0.002,
        "min_voltage": 0.0,
        "amplitude": 0.1,
    }
    encode = {
        "A": whole(6, n, 1),
        "X": scalar[2],
        "Y": whole(3, n),
        "bias": whole(7, n),
    }
    decode = {"A": whole(8, 1, n), "X": whole(4, n), "Y": scalar[9]}
    low = {"a": 0.9, "b": 0.1}
    first = (
        Op("input", "u", 1, {"dst": scalar[0]}, {"index": 0}),
        Op("lowpass", "synapse", 1, {"x": scalar[0], "y": whole(1, 1, shift=1)}, low),
    )
    loop = (
        Op("copy", "in", 1, {"src": scalar[1], "dst": scalar[2]}, {"set": 1}),
        Op("copy", "rec", 1, {"src": scalar[10], "dst": scalar[2]}, {"set": 0}),
        Op("dense", "encode", 1, encode, {"set": 1}),
        Op("neurons", "lif", 1, neurons, lif),
        Op("dense", "decode", 1, decode, {"set": 1}),
        Op("lowpass", "feedback", 1, {"x": scalar[9], "y": whole(10, 1, shift=1)}, low),
    )
    last = (
        Op("lowpass", "probe", 1, {"x": scalar[9], "y": whole(11, 1, shift=1)}, low),
        Op("output", "probe", 1, {"src": whole(11, 1, shift=1)}, {"index": 0}),
    )
    return Program(
        "float64",
        0.001,
        window,
        3 + 2 * n,
        0,
        buffers,
        (Param("encoders", n), Param("bias", n), Param("decoders", n)),
        (Port("u", 1),),
        (Port("probe", 1),),
        (Region("sequence", first), Region("loop", loop), Region("sequence", last)),
    )


def run_integrator(n_steps=40, batch=2, splits=(), **kwargs):
    program, rng = integrator(), np.random.RandomState(5)
    params = [rng.normal(size=6) * 3, rng.rand(6) * 2, rng.normal(size=6) * 0.05]
    u = rng.normal(size=(batch, n_steps, 1))
    state = np.zeros((batch, program.state_size))
    parts, borders = [], (0, *splits, n_steps)
    for start, stop in itertools.pairwise(borders):
        inputs = [u[:, start:stop]]
        parts += run(program, inputs, params, state, None, start, stop - start, batch, **kwargs)
    return np.concatenate(parts, axis=1), state


def test_windows_do_not_change_results():
    expected, state = run_integrator()
    assert np.isfinite(expected).all() and np.ptp(expected) > 0
    for window in (2, 7, 40, 100):
        got, got_state = run_integrator(window=window)
        np.testing.assert_array_equal(got, expected)
        np.testing.assert_array_equal(got_state, state)


def test_state_carries_over_runs():
    expected, state = run_integrator()
    got, got_state = run_integrator(splits=(1, 13), window=4)
    np.testing.assert_array_equal(got, expected)
    np.testing.assert_array_equal(got_state, state)


def test_keep_last():
    expected, _ = run_integrator()
    got, _ = run_integrator(keep_last=[True], window=3)
    np.testing.assert_array_equal(got[:, 0], expected[:, -1])
