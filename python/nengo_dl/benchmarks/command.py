"""The console command ``nengo-dl``: ``nengo-dl bench`` measures how simulations scale here."""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
from pathlib import Path
from typing import Any

import nengo

from .charts import check_matplotlib, draw
from .scaling import AXES, rows

HEAD = ("size", "build, s", "first run, s", "run, s", "ns per neuron-step", "memory, MB", "ops")
KEYS = ("size", "build_seconds", "first_run_seconds", "seconds", "ns_per_neuron_step", "memory",
        "ops")  # fmt: skip


def parser() -> argparse.ArgumentParser:
    """The command line."""
    main = argparse.ArgumentParser("nengo-dl", description=__doc__)
    commands = main.add_subparsers(metavar="bench", required=True)
    bench = commands.add_parser(
        "bench",
        help="how time and memory grow with neurons, ensembles, steps, batch and threads",
        description="Measures, prints a table, writes scaling.json and a chart per axis.",
    )
    bench.set_defaults(run=run)
    bench.add_argument(
        "--only", nargs="+", choices=AXES, default=list(AXES), help="what grows (all of them)"
    )
    bench.add_argument("--quick", action="store_true", help="two small points each: a check")
    bench.add_argument("--no-charts", action="store_true", help="do without matplotlib")
    bench.add_argument(
        "--output", type=Path, default=Path("nengo-dl-bench"), help="folder (%(default)s)"
    )
    return main


def _installed(package: str) -> str | None:
    """Version of an installed package; None where it is run from its sources."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def machine() -> dict[str, Any]:
    """What the figures hold for."""
    return {
        "nengo_dl": _installed("nengo-dl"),
        "nengo": nengo.__version__,
        "system": platform.platform(),
        "processors": os.cpu_count(),
        "load": os.getloadavg()[0],
    }


def cell(value: float) -> str:
    """A number in few digits."""
    return f"{value}" if isinstance(value, int) else f"{value:.4g}"


def run(options: argparse.Namespace) -> None:
    """The command ``bench``."""
    if not options.no_charts:
        check_matplotlib()
    options.output.mkdir(parents=True, exist_ok=True)
    result: dict[str, Any] = {"machine": machine(), "rows": []}
    last = None
    for row in rows(options.only, options.quick):
        if row["axis"] != last:
            last = row["axis"]
            print(f"\n{last}\n" + "".join(f"{name:>20}" for name in HEAD))
        print("".join(f"{cell(row[key]):>20}" for key in KEYS), flush=True)
        result["rows"].append(row)
    files = [options.output / "scaling.json"]
    files[0].write_text(json.dumps(result, indent=1) + "\n")
    if not options.no_charts:
        files += draw(result["rows"], options.output)
    print("\nwritten: " + ", ".join(map(str, files)))


def main(words: list[str] | None = None) -> None:
    """Run a command line.

    Parameters
    ----------
    words : list of str, optional
        Its words, by default those of this process.
    """
    options = parser().parse_args(words)
    options.run(options)


if __name__ == "__main__":
    main()
