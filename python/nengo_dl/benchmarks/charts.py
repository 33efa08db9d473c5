"""Charts of how time and memory grow; they need matplotlib."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

LABELS = {
    "neurons": "neurons of one population",
    "ensembles": "ensembles of 100 neurons",
    "steps": "steps of a run",
    "batch": "items of a minibatch",
    "threads": "threads",
}


def check_matplotlib() -> None:
    """Say what is missing before anything is measured."""
    if importlib.util.find_spec("matplotlib") is None:
        raise SystemExit(
            "nengo-dl bench: charts need matplotlib, which is not installed; either\n"
            "    pip install 'nengo-dl[charts]'\n"
            "or leave them out with --no-charts"
        )


def draw(rows: list[dict[str, Any]], folder: Path) -> list[Path]:
    """Draw a chart per axis: times on the left, memory on the right.

    Parameters
    ----------
    rows : list of dict
        What `.scaling.measure` returned.
    folder : Path
        Where ``scaling-<axis>.svg`` are written.

    Returns
    -------
    list of Path
        The files.
    """
    import matplotlib

    matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "nengo-dl"})
    from matplotlib.figure import Figure

    files = []
    for axis in dict.fromkeys(row["axis"] for row in rows):
        found = [row for row in rows if row["axis"] == axis]
        sizes = [row["size"] for row in found]
        figure = Figure(figsize=(8, 3), layout="constrained")
        times, memory = figure.subplots(1, 2)
        for key, name in (("seconds", "a run"), ("build_seconds", "building")):
            times.loglog(sizes, [row[key] for row in found], "o-", label=name)
        times.set_ylabel("seconds")
        times.legend()
        memory.loglog(sizes, [max(row["memory"], 0.1) for row in found], "o-", color="C2")
        memory.set_ylabel("MB beside what the process had")
        for part in (times, memory):
            part.set_xlabel(LABELS[axis])
            part.grid(alpha=0.3)
            part.minorticks_off()
        files.append(folder / f"scaling-{axis}.svg")
        figure.savefig(files[-1], metadata={"Date": None})
    return files
