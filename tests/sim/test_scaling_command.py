"""``nengo-dl bench``: it measures what it says, and writes and draws all of it."""

import importlib.util
import json
import os
from pathlib import Path

import nengo
import numpy as np
import pytest

from nengo_dl.benchmarks import command, scaling


def bench(folder, *words):
    command.main(["bench", "--quick", "--output", str(folder), *words])
    return json.loads((folder / "scaling.json").read_text())


def test_quick_form_measures_every_axis_and_draws_it(tmp_path, capsys):
    pytest.importorskip("matplotlib")
    result = bench(tmp_path / "new" / "folder")
    expected = [(axis, size) for axis in scaling.AXES for size in scaling.sizes(axis, True)]
    assert [(row["axis"], row["size"]) for row in result["rows"]] == expected
    for row in result["rows"]:
        assert len(row["all_seconds"]) == scaling.REPEATS
        assert row["seconds"] == sorted(row["all_seconds"])[1] > 0
        assert row["build_seconds"] > 0 and row["ops"] > 5 and row["memory"] >= 0
    printed = capsys.readouterr().out
    for axis in scaling.AXES:
        chart = (tmp_path / "new" / "folder" / f"scaling-{axis}.svg").read_text()
        assert "<svg" in chart and f"\n{axis}\n" in printed


def test_time_per_neuron_step_counts_neurons_steps_and_items():
    found = scaling.measure(("batch", 2))
    expected = found["seconds"] * 1e9 / (10 * 100 * 1000 * 2)
    assert found["ns_per_neuron_step"] == pytest.approx(expected)


def test_what_grows_grows():
    assert [scaling.population(n).n_neurons for n in (10, 20)] == [10, 20]
    assert [len(scaling.integrators(n).all_ensembles) for n in (1, 3)] == [1, 3]
    options = [scaling.AXES[axis][0](7)[1] for axis in ("steps", "batch", "threads")]
    assert options == [{"steps": 7}, {"batch": 7}, {"threads": 7}]
    assert scaling.sizes("neurons", False)[0] == 100
    assert scaling.sizes("neurons", False)[-1] == 1_000_000
    assert scaling.sizes("ensembles", False)[-1] == 10_000


@pytest.mark.parametrize(
    "count, expected", [(1, (1,)), (2, (1, 2)), (6, (1, 2, 6)), (8, (1, 2, 4, 8))]
)
def test_threads_go_up_to_all_processors(count, expected, monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: count)
    assert scaling.sizes("threads", False) == expected


def test_population_is_the_same_in_nengo(Sim):
    net = scaling.population(30)
    (probe,) = net.all_probes
    with nengo.Simulator(net, progress_bar=False) as reference:
        reference.run_steps(50)
    with Sim(net) as sim:
        sim.run_steps(50)
        assert np.allclose(sim.data[probe], reference.data[probe], atol=1e-6)
        assert np.any(sim.data[probe])


def test_without_matplotlib_it_says_what_to_do_before_it_measures(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SystemExit, match=r"(?s)nengo-dl\[charts\].*--no-charts") as error:
        bench(tmp_path / "out")
    assert "matplotlib" in str(error.value) and not (tmp_path / "out").exists()
    result = bench(tmp_path / "out", "--no-charts", "--only", "steps")
    assert {row["axis"] for row in result["rows"]} == {"steps"}
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["scaling.json"]


def test_unknown_words_are_refused(capsys):
    for words in ([], ["bench", "--only", "colour"], ["sing"]):
        with pytest.raises(SystemExit):
            command.main(words)
    assert "colour" in capsys.readouterr().err


def test_the_console_command_is_this_one():
    root = Path(__file__).resolve().parents[2]
    project = (root / "pyproject.toml").read_text()  # tomllib is new in Python 3.11
    assert f'\nnengo-dl = "{command.__name__}:{command.main.__name__}"\n' in project
    assert '\ncharts = ["matplotlib"]' in project
