"""What is built in shorter ways is, to the last bit, what Nengo's builder makes."""

import os
import re
import sys
import threading

import nengo
import numpy as np
import pytest
from nengo.builder import Builder
from nengo.builder import connection as nengo_connection
from nengo.utils import nco

import nengo_dl
from nengo_dl.run import blas, decoders, swift
from nengo_dl.run.building import nengo_precision


class Slow(nengo.LIF):
    """A type of a user's own, whose rates are not Nengo's."""

    def rates(self, x, gain, bias):
        return 2 * super().rates(x, gain, bias)


class Middle(nengo.dists.Distribution):
    """A distribution of a user's own, which shuffles."""

    def sample(self, n, d=None, rng=np.random):
        values = np.linspace(-1, 1, n * (d or 1)).reshape(n, -1)
        assert isinstance(rng, np.random.RandomState)
        rng.shuffle(values)
        return values


def twice(x):
    return [2 * v for v in x]


def many_forms():
    """All that shorter ways distinguish, and what they leave alone."""
    with nengo.Network(seed=5) as net:
        line = nengo.Ensemble(40, 1)
        plane = nengo.Ensemble(50, 2, neuron_type=nengo.LIFRate(amplitude=0.5), radius=2)
        nengo.Ensemble(20, 3, neuron_type=nengo.Sigmoid())
        slow = nengo.Ensemble(30, 1, neuron_type=Slow(tau_rc=0.05))
        own = nengo.Ensemble(30, 1, eval_points=Middle(), encoders=nengo.dists.Choice([[1], [-1]]))
        given = nengo.Ensemble(30, 2, eval_points=np.linspace(-1, 1, 60).reshape(30, 2))
        array = nengo.networks.EnsembleArray(20, 3)
        array.add_output("square", np.square)
        nengo.networks.CircularConvolution(20, 4)
        for pre in (line, slow, own):
            nengo.Connection(pre, pre, function=np.square, synapse=0.1)
            nengo.Connection(pre, plane[1], function=np.sin)
        nengo.Connection(plane, given, function=twice)
        nengo.Connection(plane[[1, 0]], given, function=np.negative)
        nengo.Connection(plane[::-1], array.input[:2], transform=[[0.3, 1], [2, 0.1]])
        nengo.Connection(given, plane, solver=nengo.solvers.LstsqL2(weights=True))
        nengo.Connection(given[0], line, solver=nengo.solvers.LstsqL2nz(reg=0.05))
        nengo.Connection(given[0], line, solver=nengo.solvers.LstsqNoise(), function=lambda x: 1)
        nengo.Connection(line, plane[0], solver=nengo.solvers.NoSolver(np.ones((40, 1))))
        nengo.Connection(line, plane[0], function=np.ones((9, 1)), eval_points=np.ones((9, 1)))
        nengo.Probe(plane)
    return net


def built_numbers(model, net):
    """All numbers that the builder made for objects of a network."""
    for obj in net.all_objects:
        built = model.params.get(obj)
        for name in getattr(built, "_fields", ()):
            value = getattr(built, name)
            if isinstance(value, np.ndarray):
                yield f"{obj} {name}", value


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("threads", [1, 3])
def test_bits_are_those_of_nengo(dtype, threads, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: range(threads))
    net = many_forms()
    with nengo_precision(dtype):
        plain = nengo.builder.Model(dt=0.001)
        plain.build(net)
    with net:
        nengo_dl.configure_settings(dtype=dtype)
    with nengo_dl.Simulator(net, progress_bar=False) as sim:
        expected, found = dict(built_numbers(plain, net)), dict(built_numbers(sim.model, net))
        assert len(expected) > 100 and expected.keys() == found.keys()
        for name, value in expected.items():
            assert found[name].dtype == value.dtype and np.array_equal(found[name], value), name
        for ours, theirs in zip(sim.model.operators, plain.operators, strict=True):
            assert type(ours) is type(theirs) and str(ours) == str(theirs)


def test_a_column_is_shuffled_like_a_line():
    expected, found = np.random.RandomState(3), swift._Shuffler(np.random.RandomState(3))
    for shape in ((101, 1), (1, 1), (40, 2), (17,)):
        first = np.arange(float(np.prod(shape))).reshape(shape)
        second = first.copy()
        expected.shuffle(first)
        found.shuffle(second)
        assert np.array_equal(first, second), shape
    assert expected.randint(1 << 30) == found.randint(1 << 30)


def test_rates_are_computed_for_what_fires():
    rng = np.random.RandomState(0)
    x, gain, bias = rng.randn(60, 9), rng.uniform(0.5, 3, 9), rng.randn(9)
    for neuron_type in (nengo.LIF(tau_rc=0.03, amplitude=0.3), nengo.LIFRate(tau_ref=0.004)):
        expected = neuron_type.rates(x, gain, bias)
        assert np.array_equal(swift.lif_rates(neuron_type, x, gain, bias), expected)
        assert (expected == 0).any() and expected.any()


def test_build_functions_of_users_are_called(monkeypatch):
    seen = []

    def build_ensemble(model, ens):
        seen.append(ens)
        return nengo.builder.ensemble.build_ensemble(model, ens)

    monkeypatch.setitem(Builder.builders, nengo.Ensemble, build_ensemble)
    with nengo.Network() as net:
        ens = nengo.Ensemble(10, 1)
    with nengo_dl.Simulator(net, progress_bar=False):
        assert seen == [ens]


def test_silent_neurons_are_refused_as_by_nengo():
    with nengo.Network() as net:
        ens = nengo.Ensemble(5, 1, gain=np.ones(5), bias=np.full(5, -9.0))
        nengo.Connection(ens, ens)
    with pytest.raises(nengo.exceptions.BuildError, match="activities"):
        nengo_dl.Simulator(net, progress_bar=False)


def test_solves_run_on_threads_and_functions_of_users_do_not(monkeypatch):
    where = {"solver": set(), "function": set(), "own solver": set()}
    original = nengo.solvers.LstsqL2.__call__

    def solve(self, *args, **kwargs):
        where["solver"].add(threading.current_thread().name)
        return original(self, *args, **kwargs)

    class Own(nengo.solvers.LstsqL2):
        def __call__(self, *args, **kwargs):
            where["own solver"].add(threading.current_thread().name)
            return original(self, *args, **kwargs)

    def function(x):
        where["function"].add(threading.current_thread().name)
        return x

    monkeypatch.setattr(nengo.solvers.LstsqL2, "__call__", solve)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: range(2))
    monkeypatch.setitem(nengo.rc["decoder_cache"], "enabled", "False")
    with nengo.Network(seed=1) as net:
        for _ in range(10):
            ens = nengo.Ensemble(20, 1)
            nengo.Connection(ens, ens, function=function)
            nengo.Connection(ens, ens, solver=Own())
    nengo_dl.Simulator(net, progress_bar=False).close()
    main = {threading.current_thread().name}
    assert where["function"] == where["own solver"] == main
    assert where["solver"] and not where["solver"] & main
    assert not [t for t in threading.enumerate() if t.name.startswith("nengo_dl decoders")]


def test_connections_that_need_much_memory_are_not_asked_for_early(monkeypatch):
    most = []
    original = decoders.Decoders._ask

    def ask(self, model, conn):
        original(self, model, conn)
        most.append(len(self.early))

    monkeypatch.setattr(decoders.Decoders, "_ask", ask)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: range(2))
    monkeypatch.setattr(decoders, "_AT_ONCE", 4 * 750 * 20)
    net = nengo.Network(seed=1)
    with net:
        nengo.networks.EnsembleArray(20, 10)
    nengo_dl.Simulator(net, progress_bar=False).close()
    assert most == [4, 4, 2]
    with net:
        for ens in net.all_ensembles:  # by solvers that are left alone
            nengo.Connection(ens, ens, solver=nengo.solvers.LstsqNoise())
    nengo_dl.Simulator(net, progress_bar=False).close()
    assert most == [4, 4, 2] * 2


def test_products_of_small_ensembles_are_one_threads(monkeypatch):
    before, seen = blas.thread_counts(), {}
    original = nengo.solvers.LstsqL2.__call__

    def solve(self, A, *args, **kwargs):
        seen.setdefault(A.shape[1], []).append(blas.thread_counts())
        return original(self, A, *args, **kwargs)

    monkeypatch.setattr(nengo.solvers.LstsqL2, "__call__", solve)
    monkeypatch.setattr(decoders, "_AT_ONCE", 750 * 30)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: range(2))
    monkeypatch.setitem(nengo.rc["decoder_cache"], "enabled", "False")
    with nengo.Network(seed=1) as net:
        for n_neurons in (20, 40):
            ens = nengo.Ensemble(n_neurons, 1)
            nengo.Connection(ens, ens)
    nengo_dl.Simulator(net, progress_bar=False).close()
    if "openblas" in np.show_config("dicts")["Build Dependencies"]["blas"]["name"]:
        assert before
    assert seen == {20: [dict.fromkeys(before, 1)], 40: [before]}
    assert blas.thread_counts() == before


def test_looking_for_libraries_opens_no_file(monkeypatch):
    opened, looking = [], [True]
    # a hook stays for good
    sys.addaudithook(lambda event, args: looking and event == "open" and opened.append(args[0]))
    with open(os.devnull):
        assert opened == [os.devnull]
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: range(2))
    monkeypatch.setitem(nengo.rc["decoder_cache"], "enabled", "False")
    net = with_decoders(2)
    nengo_dl.Simulator(net, progress_bar=False).close()  # loads what is loaded once
    opened.clear()
    nengo_dl.Simulator(net, progress_bar=False).close()
    looking.clear()
    assert opened == []


@pytest.mark.parametrize("number", [0, 1, 2, 5])
def test_threads_are_started_for_more_than_one_connection(number, monkeypatch):
    names, start = [], threading.Thread.start
    monkeypatch.setattr(
        threading.Thread, "start", lambda self: names.append(self.name) or start(self)
    )
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: range(2))
    nengo_dl.Simulator(with_decoders(number), progress_bar=False).close()
    assert any("decoders" in name for name in names) == (number > 1)


def with_decoders(number):
    """A network in which as many connections have decoders."""
    with nengo.Network(seed=1) as net:
        ens = nengo.Ensemble(20, 1)
        for _ in range(number):
            nengo.Connection(ens, ens)
    return net


def test_other_libraries_are_no_openblas():
    with pytest.raises(OSError):
        blas.OpenBLAS("libm.so.6")


def solves(monkeypatch, simulator, net):
    """How many decoders a simulator solves for."""
    count, solver = [], nengo.solvers.LstsqL2
    original = solver.__call__
    with monkeypatch.context() as patched:
        patched.setattr(
            solver, "__call__", lambda *args, **kw: count.append(1) or original(*args, **kw)
        )
        simulator(net, progress_bar=False).close()
    return len(count)


@pytest.mark.parametrize("first", ["nengo", "nengo_dl"])
def test_each_reads_the_decoder_cache_of_the_other(first, monkeypatch, tmp_path):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: range(2))
    for key, value in {"enabled": "True", "path": str(tmp_path)}.items():
        monkeypatch.setitem(nengo.rc["decoder_cache"], key, value)
    with nengo.Network(seed=1) as net:
        nengo_dl.configure_settings(dtype="float64")
        array = nengo.networks.EnsembleArray(20, 5)
        array.add_output("square", np.square)
        nengo.Connection(array.output, array.input)
    order = [nengo.Simulator, nengo_dl.Simulator]
    if first == "nengo_dl":
        order.reverse()
    assert solves(monkeypatch, order[0], net) == 10
    assert solves(monkeypatch, order[1], net) == 0
    assert solves(monkeypatch, order[0], net) == 0


def test_a_decoder_cache_that_cant_be_read(monkeypatch, tmp_path, caplog):
    """As one that has nothing in it, with a warning."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: range(2))
    for key, value in {"enabled": "True", "path": str(tmp_path)}.items():
        monkeypatch.setitem(nengo.rc["decoder_cache"], key, value)
    with nengo.Network(seed=1) as net:
        array = nengo.networks.EnsembleArray(20, 5)
        nengo.Connection(array.output, array.input)
    assert solves(monkeypatch, nengo_dl.Simulator, net) == 5
    header = rb"(NCO.{%d}).{60}" % (nco.HEADER_SIZE - 3)
    for path in tmp_path.rglob("*.nco"):
        broken = re.sub(header, rb"\1" + 60 * b"\xf0", path.read_bytes(), flags=re.DOTALL)
        path.write_bytes(broken)
    assert solves(monkeypatch, nengo_dl.Simulator, net) == 5
    assert caplog.text.count("Nengo's decoder cache can't be read") == 5


def test_nengo_is_as_it_was():
    names = dict(nengo_connection.__dict__)
    builders = dict(Builder.builders)
    with nengo_dl.Simulator(many_forms(), progress_bar=False) as sim:
        assert sim.model.swift == {}
    assert nengo_connection.__dict__ == names and Builder.builders == builders
