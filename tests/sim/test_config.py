"""Settings (SPEC section 2)."""

import re
import warnings
from dataclasses import FrozenInstanceError, fields
from pathlib import Path

import nengo
import numpy as np
import pytest
from nengo.exceptions import BuildError, ConfigError, NetworkContextError, ValidationError

from nengo_dl import config
from nengo_dl.config import Settings, configure_settings, get_setting, resolve
from nengo_dl.plan import simplify


def test_context():
    """Outside of a network there is nothing to configure."""
    with pytest.raises(NetworkContextError):
        configure_settings(dtype="float64")


def test_unknown():
    """Unknown settings are refused, and nothing else is set."""
    with nengo.Network() as net:
        with pytest.raises(ConfigError, match="colour"):
            configure_settings(dtype="float64", colour="red")
    assert get_setting(net, "dtype", "unset") == "unset"


@pytest.mark.parametrize(
    "setting",
    [
        {"trainable": "yes"},
        {"keep_history": 2},
        {"stateful": None},
        {"inference_only": "no"},
        {"use_loop": 1},
        {"learning_phase": "x"},
        {"dtype": "int32"},
        {"dtype": "float16"},
        {"dtype": 32},
        {"lif_smoothing": -1},
        {"lif_smoothing": True},
        {"planner": 3},
        {"sorter": "s"},
        {"simplifications": 1},
        {"simplifications": ["x"]},
        {"simplifications": [len]},
    ],
)
def test_values(setting):
    """C-01: [B]: values are checked, the error names the setting."""
    with nengo.Network(), pytest.raises(ValidationError, match=next(iter(setting))):
        configure_settings(**setting)


def test_top_level_and_innermost():
    """Settings belong to the top-level network, `trainable` to the innermost."""
    with nengo.Network() as net, nengo.Network() as sub:
        configure_settings(trainable=False, stateful=False)
    assert get_setting(net, "stateful") is False
    assert get_setting(sub, "stateful") is None
    assert sub.config[nengo.Ensemble].trainable is False
    with pytest.raises(AttributeError):
        net.config[nengo.Ensemble].trainable  # noqa: B018


def test_each_call_changes_what_it_names():
    """A later call keeps what it does not name."""
    with nengo.Network() as net:
        configure_settings(dtype="float64", stateful=False)
        configure_settings(stateful=True)
    assert get_setting(net, "dtype") == "float64" and get_setting(net, "stateful") is True


def test_object_overrides():
    """One object can differ, and its value is checked."""
    with nengo.Network() as net:
        configure_settings(keep_history=False, trainable=None)
        ens = nengo.Ensemble(5, 1)
        p, q = nengo.Probe(ens), nengo.Probe(ens)
    net.config[q].keep_history = True
    net.config[ens].trainable = True
    assert get_setting(net, "keep_history", True, obj=p) is False
    assert get_setting(net, "keep_history", True, obj=q) is True
    assert get_setting(net, "trainable", obj=ens) is True
    with pytest.raises(ValidationError, match="keep_history"):
        net.config[p].keep_history = "x"
    with pytest.raises(ValidationError, match="keep_history"):
        net.config[nengo.Probe].keep_history = "x"


def test_get_setting_of_model():
    """A model's settings are those of its top level; without one the default holds."""
    with nengo.Network() as net, pytest.warns(UserWarning, match="planner"):
        configure_settings(lif_smoothing=0.1, planner=len, sorter=None, simplifications=[])
    model = nengo.builder.Model()
    assert get_setting(model, "lif_smoothing", 5) == 5
    model.build(net)
    assert get_setting(model, "lif_smoothing", 5) == 0.1
    assert get_setting(model, "planner") is len and get_setting(model, "simplifications") == []


def test_simplifications(Sim):
    """C-04: the listed passes run and no others; results are the same."""

    def run(**settings):
        with nengo.Network(seed=0) as net:
            configure_settings(dtype="float64", **settings)
            out = nengo.Node(size_in=2)
            nengo.Connection(nengo.Node([1, 2]), out, transform=np.eye(2), synapse=None)
            nengo.Connection(nengo.Ensemble(20, 2), out)
            nengo.Connection(nengo.Ensemble(20, 2), nengo.Ensemble(20, 2))  # nobody sees it
            p = nengo.Probe(out)
        sim = Sim(net)
        sim.run_steps(20)
        return len([op for op in sim.plan.only_program().ops() if op.kind == "neurons"]), sim.data[
            p
        ]

    unseen, due = run()
    for passes in ([], [simplify.remove_identity_muls, simplify.remove_reset_incs]):
        blocks, values = run(simplifications=passes)
        assert blocks > unseen and np.allclose(values, due, rtol=1e-12)
    assert run(simplifications=[simplify.remove_dead_code])[0] == unseen
    with nengo.Network(), pytest.raises(ValidationError, match="remove_zero_incs"):
        configure_settings(simplifications=[lambda operators: operators])


def test_planner_and_sorter():
    """C-02, C-03: scripts that set them go on, and hear that they need not."""
    for name in ("planner", "sorter"):
        with nengo.Network(), pytest.warns(UserWarning, match=f"{name}.*no effect"):
            configure_settings(**{name: len})
        with nengo.Network(), warnings.catch_warnings():
            warnings.simplefilter("error")
            configure_settings(**{name: None})


def test_dtype(Sim):
    """C-07: precision of build and data; the precision of Nengo is put back."""
    for dtype in ("float32", "float64", np.dtype("float64")):
        with nengo.Network() as net:
            configure_settings(dtype=dtype)
            ens = nengo.Ensemble(5, 1)
            p = nengo.Probe(ens)
        sim = Sim(net)
        sim.run_steps(2)
        assert sim.data[p].dtype == sim.data[ens].bias.dtype == np.dtype(dtype)
        assert nengo.rc.get("precision", "bits") == "64"


def test_keep_history(Sim):
    """C-08: the last step only, one row per run, also of a run in pieces."""
    with nengo.Network() as net:
        configure_settings(keep_history=False)
        node = nengo.Node(lambda t: t)
        p, q = nengo.Probe(node), nengo.Probe(node)
        every = nengo.Probe(node, sample_every=0.004)
    net.config[q].keep_history = True
    sim = Sim(net, minibatch_size=2)
    sim.run_steps(5)
    sim.run_steps(5)
    assert np.allclose(sim.data[p][1], [[0.005], [0.01]])
    assert sim.data[q].shape == (2, 10, 1)
    # S-53 [B]: this ended in an IndexError
    assert np.allclose(sim.data[every][0], [[0.005], [0.01]])
    assert sim.predict(n_steps=3)[p].shape == (2, 1, 1)


def test_use_loop(Sim):
    """C-10 [B]: without a loop the number of steps is fixed, for data too."""
    with nengo.Network() as net:
        configure_settings(use_loop=False)
        node = nengo.Node([0.0])
        p = nengo.Probe(node)
    sim = Sim(net, unroll_simulation=4)
    sim.run_steps(4)
    assert sim.data[p].shape == (4, 1)
    for call in (
        lambda: sim.run_steps(8),
        lambda: sim.predict(n_steps=8),
        lambda: sim.predict(np.zeros((1, 8, 1))),
    ):
        with pytest.raises(ValidationError, match="use_loop"):
            call()


def test_inference_only(Sim):
    """C-05: no training mode, and no contradiction."""
    with nengo.Network() as net:
        configure_settings(inference_only=True)
        ens = nengo.Ensemble(5, 1)
        nengo.Probe(ens)
    sim = Sim(net)
    assert not sim.keras_model.trainable_weights
    with net:
        configure_settings(learning_phase=True)
    with pytest.raises(BuildError, match="learning_phase"):
        Sim(net)


def test_threads(Sim):
    """The bound reaches runs and gradients; what is no number of threads is refused."""
    with nengo.Network(seed=0) as net:
        nengo.Probe(nengo.Ensemble(20, 1))
    for threads in (None, 1, np.int64(3)):
        with net:
            configure_settings(threads=threads)
        layer = Sim(net)._runtime.layer
        assert {op.threads for op in (*layer.run_ops, *layer.training_ops)} == {threads or 0}
    for wrong in (0, -1, 1.5, True, "all"):
        with net, pytest.raises(ValidationError, match="threads: must be None or a whole number"):
            configure_settings(threads=wrong)


def test_all_settings_are_read_at_once():
    """What nobody set has its default; the result is frozen."""
    with nengo.Network() as net:
        configure_settings(stateful=False, lif_smoothing=0.5)
    assert resolve(net) == Settings(stateful=False, lif_smoothing=0.5)
    assert resolve(None) == resolve(nengo.Network()) == Settings()
    with pytest.raises(FrozenInstanceError):
        resolve(net).stateful = True


@pytest.mark.parametrize("name", sorted(config._SETTINGS))
def test_every_setting_checks_and_is_explained(name):
    """No setting takes just anything, and users can look up each."""
    with nengo.Network(), pytest.raises((ValidationError, TypeError), match=name):
        configure_settings(**{name: object()})
    parameters = configure_settings.__doc__.split("Parameters\n")[1]
    assert re.search(rf"^ *([a-z_, ]+, )?{name}(, [a-z_, ]+)? : ", parameters, re.MULTILINE)


def test_the_guide_shows_settings_with_their_defaults():
    text = (Path(__file__).resolve().parents[2] / "docs" / "guide.md").read_text()
    table = text.split("\n| setting | default |")[1].split("\n\n")[0]
    rows = re.findall(r"^\| (`.*?`) \| (.*?) \|", table, re.MULTILINE)
    assert len(rows) > 10
    known = {entry.name: entry.default for entry in fields(Settings)}
    for names, default in rows:
        for name in re.findall(r"`(\w+)`", names):
            assert name in config._SETTINGS
            if known.get(name) is not None:
                assert default.strip("`").strip('"') == str(known[name])
