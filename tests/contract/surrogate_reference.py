"""Spiking neurons in TensorFlow, written from their equations, with surrogates as custom gradients.

Independent of the engine: the derivatives are TensorFlow's own, through all steps. Where there is
no TensorFlow, as on a machine that has a GPU and nothing else, tests that import this are skipped.
"""

import math

import pytest

tf = pytest.importorskip("tensorflow")

DT = 0.001
hold = tf.stop_gradient


# the surrogate derivatives by x = u / width, as the docs of nengo_dl.surrogates give them
BUMPS = {
    "superspike": lambda x: (1 + tf.abs(x)) ** -2,
    "arctan": lambda x: 1 / (1 + (math.pi * x) ** 2),
    "logistic": lambda x: 4 * tf.sigmoid(x) * tf.sigmoid(-x),
    "triangle": lambda x: tf.nn.relu(1 - tf.abs(x)),
}


def emit(count, u, kind, width):
    """``count`` spikes, whose derivative by the distance ``u`` to the threshold is the bump."""

    @tf.custom_gradient
    def spikes(distance):
        return hold(count), lambda g: g * BUMPS[kind](distance / width)

    return spikes(u)


def lif_rate(J, p):
    """Rate of LIF neurons; the inner ``where`` keeps silent neurons from making NaN."""
    j = tf.where(J > 1, J - 1, 1.0)
    rate = p["amplitude"] / (p["tau_ref"] + p["tau_rc"] * tf.math.log1p(1 / j))
    return tf.where(J > 1, rate, 0.0)


def leaky(J, p):
    return tf.nn.relu(J) - p["negative_slope"] * tf.nn.relu(-J)


def nearest_unit(v):
    return tf.maximum(tf.floor(v + 0.5), 1.0)


def lif(J, p, s, kind):
    """A step of LIF; returns the output and the new states."""
    rest = s["refractory_time"] - DT
    time = tf.clip_by_value(DT - rest, 0.0, DT)
    v = J + (s["voltage"] - J) * tf.exp(-hold(time) / p["tau_rc"])
    count = tf.cast(v > 1, v.dtype)
    clipped = tf.maximum(v, p["min_voltage"])
    excess = tf.where(v > 1, (v - 1) / tf.where(v > 1, J - 1, 1.0), 0.0)
    passed = p["tau_rc"] * tf.math.log1p(-hold(excess))
    states = {
        "voltage": clipped * hold(1 - count),
        "refractory_time": hold(tf.where(v > 1, p["tau_ref"] + DT + passed, rest)),
    }
    if kind == "straight_through":
        states["voltage"] = hold(states["voltage"])
        rate = lif_rate(J, p)
        return hold(count * p["amplitude"] / DT - rate) + rate, states
    return emit(count, v - 1, kind, p["width"]) * p["amplitude"] / DT, states


def adaptive_lif(J, p, s, kind):
    n = hold(s["adaptation"]) if kind == "straight_through" else s["adaptation"]
    out, states = lif(J - n, p, s, kind)
    used = hold(out) if kind == "straight_through" else out
    states["adaptation"] = n + DT / p["tau_n"] * (p["inc_n"] * used - n)
    return out, states


def cuba_lif(J, p, s, kind):
    start, target = s["current"], p["w_in"] * J
    way = p["v_threshold"] - p["v_reset"]
    # both equations, solved for the end of the step
    fast, slow = tf.exp(-DT / p["tau_syn"]), tf.exp(-DT / p["tau_mem"])
    end = p["v_leak"] + p["r"] * target
    part = p["r"] * (start - target) * p["tau_syn"] / (p["tau_syn"] - p["tau_mem"])
    now = target + (start - target) * fast
    v = end + part * fast + (s["voltage"] - end - part) * slow
    count = tf.cast(v > p["v_threshold"], v.dtype)
    if p["subtractive_reset"]:
        after = v - hold(count * way)
    else:
        after = tf.where(count > 0, p["v_reset"] + tf.zeros_like(v), v)
    if kind == "straight_through":
        lasting = hold(now) + target - hold(target)
        j = (p["v_leak"] + p["r"] * lasting - p["v_threshold"]) / way
        rate = lif_rate(
            1 + j, {"amplitude": p["amplitude"], "tau_rc": p["tau_mem"], "tau_ref": 0.0}
        )
        states = {"current": hold(now), "voltage": hold(after)}
        return hold(count * p["amplitude"] / DT - rate) + rate, states
    out = emit(count, (v - p["v_threshold"]) / way, kind, p["width"]) * p["amplitude"] / DT
    return out, {"current": now, "voltage": after}


def izhikevich(J, p, s, kind):
    v, u = s["voltage"], s["recovery"]
    ms, way = 1000 * DT, 30 - p["reset_voltage"]
    v = v + ms * (0.04 * v**2 + 5 * v + 140 - u + tf.maximum(J, -30.0))
    fired = v >= 30
    count = tf.cast(fired, v.dtype)
    after = tf.where(fired, p["reset_voltage"] + tf.zeros_like(v), v)
    u = u + ms * p["tau_recovery"] * (p["coupling"] * after - u)
    u = tf.where(fired, u + p["reset_recovery"], u)
    if kind == "straight_through":
        out = hold(count / DT - J * 1000 / way) + J * 1000 / way
        return out, {"voltage": hold(after), "recovery": hold(u)}
    return emit(count, (v - 30) / way, kind, p["width"]) / DT, {"voltage": after, "recovery": u}


def whole_units(J, p, s, kind, rate, count, nearest):
    """Neurons that spike once for each whole unit of voltage."""
    v = s["voltage"] + DT * rate
    n = hold(count(v))
    height = p["amplitude"] / DT
    if kind == "straight_through":
        expected = p["amplitude"] * rate
        return hold(n * height - expected) + expected, {"voltage": hold(v - n)}
    return emit(n, nearest(v), kind, p["width"]) * height, {"voltage": v - n}


def spiking_rectified_linear(J, p, s, kind):
    away = lambda v: v - hold(nearest_unit(v))  # noqa: E731
    return whole_units(J, p, s, kind, tf.nn.relu(J), tf.floor, away)


def spiking_leaky_relu(J, p, s, kind):
    def away(v):  # its derivative is 1 on both sides; a bump is the same for u and -u
        return v - hold(tf.sign(v) * nearest_unit(tf.abs(v)))

    return whole_units(J, p, s, kind, leaky(J, p), lambda v: tf.sign(v) * tf.floor(tf.abs(v)), away)


def regular_spiking(J, p, s, kind):
    def away(v):
        return v - hold(tf.floor(v + 0.5) if p["negative"] else nearest_unit(v))

    return whole_units(J, p, s, kind, J, tf.floor, away)


def random_spiking(J, p, s, kind):
    return p["amplitude"] * J, {}


STEPS = {
    "LIF": lif,
    "AdaptiveLIF": adaptive_lif,
    "CubaLIF": cuba_lif,
    "Izhikevich": izhikevich,
    "SpikingRectifiedLinear": spiking_rectified_linear,
    "SpikingLeakyReLU": spiking_leaky_relu,
    "RegularSpiking": regular_spiking,
    "StochasticSpiking": random_spiking,
    "PoissonSpiking": random_spiking,
}


def gradients(name, kind, p, x, W, bias, states, by_out, by_state):
    """Outputs of ``(batch, steps, m)`` inputs through a dense layer, and the derivatives.

    Returns
    -------
    out : (batch, steps, n) array
    states : dict of (batch, n) arrays
    grads : list
        By ``x``, ``W``, ``bias`` and each of the initial states, of
        ``sum(out * by_out) + sum(state * by_state)``.
    """
    x, W, bias = (tf.constant(v) for v in (x, W, bias))
    first = {key: tf.constant(v) for key, v in states.items()}
    with tf.GradientTape() as tape:
        tape.watch([x, W, bias, *first.values()])
        s, outs = dict(first), []
        for t in range(x.shape[1]):
            out, s = STEPS[name](tf.matmul(x[:, t], W, transpose_b=True) + bias, p, s, kind)
            outs.append(out)
        out = tf.stack(outs, axis=1)
        loss = tf.reduce_sum(out * by_out)
        loss += sum(tf.reduce_sum(s[key] * by_state[key]) for key in s)
    asked = [x, W, bias, *first.values()]
    found = tape.gradient(loss, asked, unconnected_gradients="zero")
    return out.numpy(), {k: v.numpy() for k, v in s.items()}, [g.numpy() for g in found]
