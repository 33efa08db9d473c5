"""For every op kind: a maker of random ops of this kind.

``make_subject(kind, rng)`` returns a `contract_cases.Subject`. A kind without a maker here fails
the contract test, and so do arguments and attributes that no maker ever uses.
"""

import numpy as np
from contract_cases import Arg, Subject, normal
from contract_draws import any_shape, flag, length, n_blocks, per_block, uniform, zero_or
from contract_neurons import make_neurons_of

from nengo_dl.ir.neuron_kinds import NEURONS

MAKERS = {}


def maker(kind):
    def add(function):
        MAKERS[kind] = function
        return function

    return add


def make_subject(kind, rng):
    """A random op of a kind."""
    if kind not in MAKERS:
        raise KeyError(f"op kind {kind!r} has no maker in {__file__}: write one")
    return MAKERS[kind](rng)


# ---------------------------------------------------------------- basic ops


@maker("time")
def make_time(rng):
    args = {"time": Arg("write", (1,))}
    if flag(rng):
        args["step"] = Arg("write", (1,))
    return Subject("time", args)


@maker("input")
def make_input(rng):
    return Subject("input", {"dst": Arg("write", (length(rng),))})


@maker("output")
def make_output(rng):
    return Subject("output", {"src": Arg("read", any_shape(rng))})


@maker("fill")
def make_fill(rng):
    blocks = n_blocks(rng)
    value = per_block(rng, blocks, normal)
    return Subject("fill", {"dst": Arg("write", any_shape(rng))}, {"value": value}, blocks)


@maker("copy")
def make_copy(rng):
    blocks, attrs = n_blocks(rng), {"set": flag(rng)}
    if flag(rng):
        shape = any_shape(rng)
        args = {"src": Arg("read", shape, scalar=False), "dst": Arg("inc", shape, scalar=False)}
        return Subject("copy", args, attrs, blocks)
    n_src, n_dst, count = length(rng), length(rng), length(rng)
    which = rng.randint(3)
    if which != 0:
        attrs["src_index"] = rng.randint(n_src, size=count)
    else:
        count = n_src = min(n_src, n_dst) if attrs["set"] else n_src
    if which != 1:
        if attrs["set"]:
            count = min(count, n_dst)
            attrs["dst_index"] = rng.permutation(n_dst)[:count]
        else:
            attrs["dst_index"] = rng.randint(n_dst, size=count)
    else:
        n_dst = count
    if which == 2:
        attrs["src_index"] = attrs["src_index"][:count]
    args = {"src": Arg("read", (n_src,), scalar=False), "dst": Arg("inc", (n_dst,), scalar=False)}
    return Subject("copy", args, attrs, blocks)


@maker("elementwise")
def make_elementwise(rng):
    shape = (length(rng),) if flag(rng) else any_shape(rng, 2)
    args = {name: Arg("read", shape, scalar=False) for name in "AX"}
    args["Y"] = Arg("inc", shape, scalar=False)
    return Subject("elementwise", args, {"set": flag(rng)}, n_blocks(rng))


@maker("dense")
def make_dense(rng):
    m, n = length(rng), length(rng)
    X = zero_or(0.1, uniform(0, 2)) if flag(rng) else normal
    args = {"A": Arg("read", (m, n)), "X": Arg("read", (n,), X), "Y": Arg("inc", (m,))}
    attrs = {"set": flag(rng)}
    if attrs["set"] and flag(rng):
        args["bias"] = Arg("read", (m,))
    return Subject("dense", args, attrs, n_blocks(rng))


def compressed_rows(rng, m, n):
    """Random ``indices`` and ``indptr`` of an (m, n) matrix, with empty rows."""
    rows = [np.flatnonzero(rng.random_sample(n) < rng.choice([0, 0.3, 0.9])) for _ in range(m)]
    rows[0] = np.union1d(rows[0], [rng.randint(n)])  # something is there
    indptr = np.cumsum([0] + [len(row) for row in rows])
    return {"indices": np.concatenate(rows), "indptr": indptr}


@maker("sparse")
def make_sparse(rng):
    m, n = length(rng), length(rng)
    attrs = {"set": flag(rng), **compressed_rows(rng, m, n)}
    args = {
        "A": Arg("read", (len(attrs["indices"]),)),
        "X": Arg("read", (n,)),
        "Y": Arg("inc", (m,)),
    }
    return Subject("sparse", args, attrs)


@maker("bsr")
def make_bsr(rng):
    m, n, r, c = rng.randint(1, 5, size=4).tolist()
    attrs = {"set": flag(rng), **compressed_rows(rng, m, n)}
    args = {
        "A": Arg("read", (len(attrs["indices"]), r, c)),
        "X": Arg("read", (n * c,)),
        "Y": Arg("inc", (m * r,)),
    }
    return Subject("bsr", args, attrs)


def make_conv(kind):
    def make(rng):
        dims, groups = int(rng.randint(1, 4)), int(rng.choice([1, 1, 2, 3]))
        n_in, n_out = (groups * rng.randint(1, 4, size=2)).tolist()
        kernel = rng.randint(1, 4, size=dims)
        stride = rng.randint(1, 3, size=dims)
        pad = rng.randint(0, kernel)  # of the larger image, before it
        small = rng.randint(1, 5, size=dims)
        # with "same" or "valid" padding, and beyond: any image that the window fits on
        large = np.maximum((small - 1) * stride + kernel - pad - rng.randint(0, kernel), 1)
        large += rng.randint(0, 2, size=dims)
        shapes = (large, small) if kind == "conv" else (small, large)
        sizes = [int(np.prod(s)) * c for s, c in zip(shapes, (n_in, n_out), strict=True)]
        attrs = {
            "set": flag(rng),
            "in_shape": shapes[0],
            "out_shape": shapes[1],
            "in_channels": n_in,
            "out_channels": n_out,
            "kernel": kernel,
            "stride": stride,
            "pad": pad,
            "groups": groups,
            "channels_last": flag(rng),
        }
        n_weights = int(np.prod(kernel)) * (n_in // groups) * n_out
        args = {
            "W": Arg("read", (n_weights,), flat=True, scalar=False),
            "X": Arg("read", (sizes[0],), flat=True, scalar=False),
            "Y": Arg("inc", (sizes[1],), flat=True, scalar=False),
        }
        return Subject(kind, args, attrs, int(rng.choice([1, 1, 2, 3])))

    return make


MAKERS["conv"] = make_conv("conv")
MAKERS["conv_transpose"] = make_conv("conv_transpose")


@maker("max_pool")
def make_max_pool(rng):
    dims, channels = int(rng.randint(1, 4)), int(rng.randint(1, 20))
    kernel = rng.randint(1, 4, size=dims)
    stride = rng.randint(1, 4, size=dims)
    pad = rng.randint(0, kernel)
    out = rng.randint(1, 4, size=dims)
    # the last window is inside, or reaches beyond the input, which it meets
    least = (out - 1) * stride - pad + 1
    size = np.maximum(least + rng.randint(0, kernel + 1), 1)
    attrs = {
        "set": flag(rng),
        "in_shape": size,
        "out_shape": out,
        "channels": channels,
        "kernel": kernel,
        "stride": stride,
        "pad": pad,
        "channels_last": flag(rng),
        "ties": str(rng.choice(["first", "share"])),
    }
    args = {
        "X": Arg("read", (int(np.prod(size)) * channels,), flat=True, scalar=False),
        "Y": Arg("inc", (int(np.prod(out)) * channels,), flat=True, scalar=False),
    }
    return Subject("max_pool", args, attrs, int(rng.choice([1, 1, 2, 3])))


@maker("callback")
def make_callback(rng):
    def random_arg(access):
        return Arg(access, any_shape(rng))

    args = {f"in{i}": random_arg("read") for i in range(rng.randint(3))}
    args |= {f"out{i}": random_arg("write") for i in range(rng.randint(3))}
    args |= {f"state{i}": random_arg("update") for i in range(rng.randint(2))}
    if flag(rng) or not args:
        args["t"] = Arg("read", (1,))

    def function(item, time, inputs, outputs):
        total = time + item + sum(values.sum() for values in inputs)
        for i, values in enumerate(outputs):
            # the outputs that are states come last and hold their old value
            is_state = i >= len([name for name in args if name.startswith("out")])
            values[...] = total + i + (0.5 * values if is_state else 0)

    return Subject("callback", args, callbacks=[function])


# ---------------------------------------------------------------- synapses and processes


@maker("lowpass")
def make_lowpass(rng):
    n, blocks = length(rng), n_blocks(rng)
    attrs = {name: per_block(rng, blocks, uniform(0, 1)) for name in "ab"}
    args = {"x": Arg("read", (n,)), "y": Arg("update", (n,))}
    return Subject("lowpass", args, attrs, blocks)


@maker("filter")
def make_filter(rng):
    n, p = length(rng), int(rng.choice((0, 1, 2, 3, 8, 9, 33)))
    attrs = {"A": rng.uniform(-0.4, 0.4, size=p * p), "B": rng.normal(size=p)}
    attrs |= {"C": rng.normal(size=p), "D": rng.normal(size=1), "direct": flag(rng)}
    if p and not attrs["direct"]:
        attrs["D"] = np.zeros(1)  # Nengo's steps of this kind have no passthrough
    args = {"x": Arg("read", (n,)), "y": Arg("write", (n,))}
    if p:
        args["X"] = Arg("update", (p, n))
    return Subject("filter", args, attrs, n_blocks(rng))


@maker("triangle")
def make_triangle(rng):
    n, taps = length(rng), int(rng.randint(1, 7))
    args = {
        "x": Arg("read", (n,)),
        "y": Arg("write", (n,)),
        "Y": Arg("update", (n,)),
        "X": Arg("update", (taps, n)),
        "Xi": Arg("update", (1,), lambda rng, shape: rng.randint(taps, size=shape)),
    }
    attrs = {"n0": float(rng.rand()), "ndiff": float(rng.rand())}
    return Subject("triangle", args, attrs, n_blocks(rng))


@maker("noise")
def make_noise(rng):
    attrs = {"set": flag(rng), "scale": float(rng.choice([1.0, 31.6]))}
    if flag(rng):
        attrs |= {"dist": "gaussian", "mean": float(rng.normal()), "std": float(rng.rand() + 0.1)}
    else:
        low = float(rng.normal())
        attrs |= {"dist": "uniform", "low": low, "high": low + float(rng.rand())}
    return Subject("noise", {"dst": Arg("inc", (length(rng),))}, attrs, generators=1)


@maker("table")
def make_table(rng):
    rows, n = int(rng.randint(1, 8)), length(rng)
    attrs = {"set": flag(rng), "mode": str(rng.choice(["signal", "present", "piecewise"]))}
    if attrs["mode"] == "present":
        attrs["period"] = float(rng.choice([0.0005, 0.001, 0.003, 0.0025]))
    if attrs["mode"] == "piecewise":
        attrs["times"] = np.cumsum(rng.choice([0.001, 0.0015, 0.002], size=rows)) - 0.001
    args = {"table": Arg("read", (rows, n)), "dst": Arg("inc", (n,))}
    return Subject("table", args, attrs, n_blocks(rng))


@maker("interpolate")
def make_interpolate(rng):
    rows, n = int(rng.randint(2, 8)), length(rng)
    times = np.cumsum(rng.choice([0.001, 0.0015, 0.002], size=rows)) - rng.choice([0, 0.001])
    args = {"table": Arg("read", (rows, n)), "dst": Arg("inc", (n,))}
    return Subject("interpolate", args, {"set": flag(rng), "times": times}, n_blocks(rng))


# ---------------------------------------------------------------- learning rules

activity = zero_or(0.7, uniform(0, 2))


def learning(kind, vectors, matrices=(), scalars=(), attrs=("alpha",)):
    def make(rng):
        sizes = {"m": length(rng), "n": length(rng)}
        blocks = n_blocks(rng)
        args = {name: Arg("read", (sizes[size],), activity) for name, size in vectors.items()}
        args |= {name: Arg("read", (1,)) for name in scalars}
        args |= {name: Arg("read", (sizes["m"], sizes["n"])) for name in matrices}
        args["delta"] = Arg("update", (sizes["m"], sizes["n"]))
        values = {name: per_block(rng, blocks, normal) for name in attrs}
        return Subject(kind, args, values, blocks)

    MAKERS[kind] = make
    return make


learning("pes", {"pre_filtered": "n", "error": "m"})
learning("bcm", {"pre_filtered": "n", "post_filtered": "m", "theta": "m"})
learning("oja", {"pre_filtered": "n", "post_filtered": "m"}, ["weights"], attrs=("alpha", "beta"))
learning(
    "voja",
    {"pre_decoded": "n", "post_filtered": "m", "scale": "m"},
    ["scaled_encoders"],
    ["learning_signal"],
)
_rls = learning("rls", {"pre_filtered": "n", "error": "m"}, attrs=())


def symmetric(rng, shape):
    factor = rng.normal(size=shape) * 0.3
    return factor @ np.swapaxes(factor, -1, -2)


@maker("rls")
def make_rls(rng):
    subject = _rls(rng)
    n = subject.args["pre_filtered"].shape[0]
    subject.args["inv_gamma"] = Arg("update", (n, n), symmetric)
    return subject


# ---------------------------------------------------------------- neurons


@maker("neurons")
def make_neurons(rng):
    return make_neurons_of(list(NEURONS)[rng.randint(len(NEURONS))], rng)
