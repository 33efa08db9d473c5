"""Names that scripts import: utils, graph_optimizer and compat (SPEC M-09, M-10, E-06, E-07)."""

import functools
import re
import warnings

import nengo
import numpy as np
import pytest
import tensorflow as tf
from nengo.exceptions import SimulationError
from nengo.utils.progress import NoProgressBar, ProgressBar

import nengo_dl
from nengo_dl import compat, graph_optimizer, utils
from nengo_dl.plan import simplify


class Adder:
    """A callable object without a name."""

    def __call__(self, x):
        return x


def test_names_of_functions():
    """M-09: as NengoDL names them."""
    functions = (lambda: 0, Adder(), functools.partial(sum, 1), np.sin, nengo.LIF())
    assert [utils.function_name(f) for f in functions] == [
        "lambda",
        "Adder",
        "partial",
        "sin",
        "LIF",
    ]
    assert utils.function_name(functions[0], sanitize=False) == "<lambda>"


def test_sanitize_name():
    """M-09, S-19."""
    names = ["a b", "a:b", "é$x-1./y_z", None, "", 3]
    assert [utils.sanitize_name(name) for name in names] == [
        "a_b",
        "a_b",
        "x-1./y_z",
        "None",
        "",
        "3",
    ]


@pytest.mark.parametrize("dtype", ["float32", np.float64, tf.float32])
@pytest.mark.parametrize("value", [1, 2.5, True, [1, 2], np.ones((2, 3)), np.float32(2)])
def test_align_func(dtype, value):
    """M-09: whatever numbers a function returns are an array of one type."""
    result = utils.align_func(dtype)(lambda: value)()
    assert isinstance(result, np.ndarray) and result.dtype == getattr(
        dtype, "as_numpy_dtype", dtype
    )
    assert np.array_equal(result, value)


@pytest.mark.parametrize(
    "value, message",
    [
        (None, "returned None"),
        (np.nan, "returned invalid value nan"),
        ([np.inf], r"returned invalid value \[inf\]"),
        ("a", "returned a value 'a' of invalid type 'str'"),
        (1j, "returned a value 1j of invalid type 'complex'"),
    ],
)
def test_align_func_refuses(value, message):
    """M-09, S-24."""

    @utils.align_func(np.float32)
    def function(x):
        """What it does."""
        return value

    assert function.__name__ == "function" and function.__doc__ == "What it does."
    with pytest.raises(SimulationError, match=f"Function 'function' {message}"):
        function(1)


@pytest.mark.parametrize("compiled", [False, True])
def test_numpy_function(compiled):
    """M-09: functions get copies, which they may change."""

    def twice(x, y):
        x *= 2
        y += 1
        return x, y

    def call(x, y):
        return (*utils.numpy_function(twice, [x, y], [tf.float32, tf.int64], name="twice"), x, y)

    x, y = tf.constant([1.0, 2.0]), tf.constant(3, tf.int64)
    doubled, next_one, same_x, same_y = (tf.function(call) if compiled else call)(x, y)
    assert np.array_equal(doubled, [2, 4]) and next_one == 4
    assert np.array_equal(same_x, [1, 2]) and same_y == 3


def test_gpu():
    """M-09: found out when it is asked for."""
    assert utils.tf_gpu_installed is bool(tf.config.list_physical_devices("GPU"))
    with pytest.raises(AttributeError, match="no attribute 'nope'; there are MessageBar"):
        _ = utils.nope


class Recorded(ProgressBar):
    """Nengo's bar, which notes what it would show."""

    def __init__(self):
        self.shown, self.closed = [], 0

    def update(self, progress):
        self.shown.append(
            (progress.name_after if progress.finished else progress.name_during, progress.progress)
        )

    def close(self):
        self.closed += 1


@pytest.fixture
def recorded(monkeypatch):
    """Bars show into this one, at every step."""
    bar = Recorded()
    monkeypatch.setattr(
        "nengo_dl.run.progress.to_progressbar", lambda wanted: bar if wanted else NoProgressBar()
    )
    monkeypatch.setattr("nengo_dl.run.progress.INTERVAL", 0)
    return bar


def test_bars(recorded):
    """M-09: a bar and one for a part of it."""
    with utils.ProgressBar("Reading", "Read", max_value=2) as bar:
        assert bar.max_steps == 2
        bar.step()
        with bar.sub("names", max_value=4) as part:
            assert isinstance(part, utils.SubProgressBar)
            assert list(part("abcd")) == list("abcd")
        bar.step()
    names = [("Reading: names", k / 4) for k in (1, 2, 3, 4)]
    assert recorded.shown == [
        ("Reading", 0.5), *names, ("Reading: names", 1), ("Reading", 1), ("Read", 1)
    ]  # fmt: skip
    assert recorded.closed == 2


def test_message_and_null_bars(recorded):
    """M-09: work of unknown length; bars that show nothing, nor their parts."""
    with utils.MessageBar("Thinking", "Thought") as bar:
        assert bar.max_steps is None
        bar.step()
    assert recorded.shown == [("Thinking", 0), ("Thought", 0)]
    with utils.NullProgressBar("Hiding", max_value=2) as bar, bar.sub("more") as part:
        assert list(bar(range(2))) == [0, 1] and isinstance(part, utils.NullProgressBar)
        part.step()
    assert len(recorded.shown) == 2


def test_nengo_builds_with_a_bar(recorded):
    """M-09, G-14: Nengo's builder says how many steps there are."""
    with nengo.Network() as net:
        for _ in range(3):
            nengo.Node([1])
    with utils.ProgressBar("Building") as bar:
        nengo.builder.Model().build(net, progress=bar)
        assert bar.max_steps == bar.total.n_steps == 4
    assert recorded.shown[-1] == ("Building", 1)


def test_simulators_show_stages(recorded):
    """S-08: stages of the build, and runs, unless they are told not to."""
    with nengo.Network() as net:
        nengo.Probe(nengo.Node([1]))
    with nengo_dl.Simulator(net) as sim:
        assert recorded.shown[-1][0] == "Build"
        assert "Building network" in [name for name, _ in recorded.shown]
        sim.run_steps(3)
        assert recorded.shown[-1] == ("Simulation", 1)
        count = len(recorded.shown)
        sim.run_steps(3, progress_bar=False)
        sim.step()
        assert len(recorded.shown) == count


@pytest.mark.parametrize(
    "setting",
    [
        {"planner": graph_optimizer.noop_planner},
        {"planner": graph_optimizer.greedy_planner},
        {"planner": graph_optimizer.transitive_planner},
        {"planner": functools.partial(graph_optimizer.tree_planner, max_depth=4)},
        {"sorter": graph_optimizer.order_signals},
        {"sorter": graph_optimizer.noop_order_signals},
    ],
    ids=str,
)
def test_planners_and_sorters(Sim, setting):
    """E-06, C-02, C-03: accepted, with a warning that they have no effect."""
    with nengo.Network() as net:
        with pytest.warns(UserWarning, match="has no effect"):
            nengo_dl.configure_settings(**setting)
        p = nengo.Probe(nengo.Node([2.0]))
    sim = Sim(net)
    sim.run_steps(2)
    assert np.array_equal(sim.data[p], [[2], [2]])


def test_planners_are_no_functions():
    """E-06: called, they say what plans now."""
    with pytest.raises(NotImplementedError, match=r"tree_planner is a name .* print\(sim.plan\)"):
        graph_optimizer.tree_planner([], max_depth=3)
    assert repr(graph_optimizer.order_signals) == "nengo_dl.graph_optimizer.order_signals"


def test_simplifications(Sim):
    """E-07, C-04: the names are passes of this planner, and can be composed."""
    names = [
        "remove_unmodified_resets",
        "remove_zero_incs",
        "remove_identity_muls",
        "remove_constant_copies",
        "remove_reset_incs",
    ]
    passes = [getattr(graph_optimizer, name) for name in names]
    assert passes == [getattr(simplify, name) for name in names]

    def ops(**settings):
        with nengo.Network() as net, warnings.catch_warnings():
            warnings.simplefilter("error")
            nengo_dl.configure_settings(**settings)
            middle, end = nengo.Node(size_in=2), nengo.Node(size_in=2)
            nengo.Connection(nengo.Node([1, 2]), middle, transform=np.eye(2), synapse=None)
            nengo.Connection(middle, end, transform=[3, 4], synapse=None)
            p = nengo.Probe(end)
        sim = Sim(net)
        sim.run_steps(1)
        assert np.array_equal(sim.data[p], [[3, 8]])
        return int(re.search(r"simplified to (\d+)", str(sim.plan))[1])

    assert ops(simplifications=passes) < ops(simplifications=[])
    assert ops(simplifications=graph_optimizer.default_simplifications) == ops()


def test_compat():
    """M-10: what has a meaning on one version of Nengo."""
    assert compat.HAS_NENGO_3_1_0 and compat.HAS_NENGO_3_2_0 and compat.HAS_NENGO_3_2_1
    assert compat.default_transform is None and compat.Tanh is nengo.Tanh
    with nengo.Network():
        ens, node = nengo.Ensemble(5, 1), nengo.Node(size_in=1)
        found = [
            (compat.conn_has_weights(conn), compat.to_neurons(conn))
            for conn in (
                nengo.Connection(ens, node),
                nengo.Connection(node, ens),
                nengo.Connection(node, node, transform=2),
                nengo.Connection(ens.neurons, ens.neurons),
                nengo.Connection(ens, ens, solver=nengo.solvers.LstsqL2(weights=True)),
            )
        ]
    assert found == [(True, False), (False, False), (True, False), (False, True), (True, True)]


def test_modules_are_reached_from_the_package():
    """P-01: package-level facts: sub-modules by attribute, and listed."""
    for name in ("utils", "graph_optimizer", "compat", "benchmarks"):
        assert name in dir(nengo_dl) and getattr(nengo_dl, name).__name__ == f"nengo_dl.{name}"
