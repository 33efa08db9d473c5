"""Nengo's build functions with some of what they call replaced: the same numbers in less time.

Nothing of Nengo is changed. A build function is run here with other values for a few of the global
names that it uses, so that its code stays Nengo's own. Functions that were registered with Nengo in
the place of its own, and classes derived from Nengo's, are left alone.
"""

import functools
import types

import numpy as np
from nengo import dists, neurons
from nengo.builder import Signal, connection, ensemble, transforms
from nengo.rc import rc

# elementwise functions of which IEEE 754 says each bit, whether they get one number or many
_EXACT = (np.square, np.sqrt, np.absolute, np.negative, np.positive, np.reciprocal, np.sign)


def swift_builders(decoders):
    """Build functions to use instead of Nengo's own, by those.

    They hold for Nengo's present precision.

    Parameters
    ----------
    decoders : nengo_dl.run.decoders.Decoders
        Solves for them.
    """
    setting = _Settings(rc.float_dtype, rc.int_dtype)
    common = {"rc": setting, "Signal": functools.partial(_signal, setting.float_dtype)}
    points = functools.partial(_gen_eval_points, _rebound(ensemble.gen_eval_points, **common))
    build_dense = _rebound(transforms.build_dense, **common)
    get_eval_points = _rebound(connection.get_eval_points, **common, gen_eval_points=points)

    def build_decoders(solve):
        return _rebound(
            connection.build_decoders,
            **common,
            get_eval_points=get_eval_points,
            get_targets=get_targets,
            solve_for_decoders=solve,
        )

    decoders.use(build_decoders, solve_decoders)
    return {
        ensemble.build_ensemble: _rebound(
            ensemble.build_ensemble,
            **common,
            gen_eval_points=points,
            get_samples=_get_samples,
            get_gain_bias=_rebound(ensemble.get_gain_bias, **common),
        ),
        connection.build_connection: _rebound(connection.build_connection, **common),
        connection.build_solver: decoders.build_solver,
        transforms.build_dense: build_dense,
        transforms.build_no_transform: _rebound(
            transforms.build_no_transform,
            build_dense=build_dense,
            Dense=functools.cache(transforms.Dense),  # it is frozen, and one per connection
        ),
    }


def _rebound(function, **others):
    """A function that is another one, but for the values of some global names that it uses."""
    found = {**function.__globals__, **others}
    new = types.FunctionType(
        function.__code__, found, function.__name__, function.__defaults__, function.__closure__
    )
    new.__kwdefaults__ = function.__kwdefaults__
    return new


class _Settings:
    """Nengo's settings, of which the precision was looked up once: a build asks thousands of times.

    Parameters
    ----------
    float_dtype, int_dtype : numpy.dtype
        What `nengo.rc` says.
    """

    def __init__(self, float_dtype, int_dtype):
        self.float_dtype, self.int_dtype = float_dtype, int_dtype

    def __getattr__(self, name):
        return getattr(rc, name)


def _signal(dtype, initial_value=None, shape=None, **others):
    if initial_value is None:
        initial_value, shape = np.zeros(shape, dtype=dtype), None
    return Signal(initial_value, shape, **others)


class _With:
    """An object that is another one but for some attributes."""

    def __init__(self, original, **others):
        self.__dict__.update(others)
        self._original = original

    def __getattr__(self, name):
        return getattr(self._original, name)

    def __str__(self):
        return str(self._original)


# ---------------------------------------------------------------- random numbers


class _Shuffler(_With):
    """A random generator that shuffles the rows of a column as it would shuffle a line of them."""

    def shuffle(self, x):
        """Shuffle in place."""
        is_column = isinstance(x, np.ndarray) and x.ndim == 2 and x.shape[1] == 1
        self._original.shuffle(x[:, 0] if is_column else x)


def _shuffler(dist, rng):
    """The generator to sample from a distribution: for users' own the given one."""
    parts = dist, getattr(dist, "base", dist)
    own = all(type(part).__module__ == dists.__name__ for part in parts)
    return _Shuffler(rng) if own else rng


def _gen_eval_points(original, ens, eval_points, rng, *args, **kwargs):
    return original(ens, eval_points, _shuffler(eval_points, rng), *args, **kwargs)


def _get_samples(samples, n, d=None, rng=np.random):
    return dists.get_samples(samples, n, d, _shuffler(samples, rng))


# ---------------------------------------------------------------- decoders


def get_targets(conn, eval_points, dtype=None):
    """What a connection's function is at the evaluation points."""
    function = conn.function
    known = {"pre_slice": conn.pre_slice, "size_mid": conn.size_mid}
    if isinstance(function, np.ufunc) and function in _EXACT:
        dtype = rc.float_dtype if dtype is None else dtype
        values = function(eval_points[:, known["pre_slice"]])
        function = np.ascontiguousarray(values, dtype=dtype)
    return connection.get_targets(_With(conn, function=function, **known), eval_points, dtype)


def solve_decoders(conn, gain, bias, x, targets, rng):
    """Decoders of a connection and what its solver says of them."""
    neuron_type = conn.pre_obj.neuron_type
    if type(neuron_type) in (neurons.LIF, neurons.LIFRate):
        quick = _With(neuron_type, rates=functools.partial(lif_rates, neuron_type))
        conn = _With(conn, pre_obj=_With(conn.pre_obj, neuron_type=quick))
    return connection.solve_for_decoders(conn, gain, bias, x, targets, rng)


def lif_rates(neuron_type, x, gain, bias):
    """Rates of LIF neurons, to the last bit those of `nengo.LIFRate`: of what fires alone."""
    above = neuron_type.current(x, gain, bias)
    above -= 1
    rates = np.zeros_like(above)
    active = np.flatnonzero(above > 0)
    rate = above.reshape(-1)[active]
    np.divide(1.0, rate, out=rate)
    np.log1p(rate, out=rate)
    rate *= neuron_type.tau_rc
    rate += neuron_type.tau_ref
    np.divide(neuron_type.amplitude, rate, out=rate)
    rates.reshape(-1)[active] = rate
    return rates
