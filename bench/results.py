"""What all benchmarks write beside their figures, and how they sum up repetitions."""

import datetime
import json
import os
import platform
import statistics
import subprocess
from pathlib import Path

BENCH = Path(__file__).resolve().parent


def summarise(values):
    """Median, extremes and spread: the distance of the quartiles, over the median."""
    middle = statistics.median(values)
    quartiles = statistics.quantiles(values, n=4) if len(values) > 1 else [middle] * 3
    return {
        "median": middle,
        "min": min(values),
        "max": max(values),
        "spread": (quartiles[2] - quartiles[0]) / middle,
        "all": values,
    }


def machine():
    """The machine and the commit that is measured on it."""
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "cpu": _cpu_name(),
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
        "system": platform.platform(),
        **commit(BENCH),
    }


def commit(folder):
    """Commit of the checkout that a folder is in; None outside of one."""
    return {
        "commit": _git(folder, "rev-parse", "HEAD"),
        "uncommitted": bool(_git(folder, "status", "--porcelain", "--untracked-files=no")),
    }


def write(result, path):
    """Write a result with all its values, if a file was asked for."""
    if path:
        path.write_text(json.dumps(result, indent=1) + "\n")
        print(f"\nall values: {path}")


def _cpu_name():
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor()


def _git(folder, *args):
    done = subprocess.run(["git", "-C", str(folder), *args], capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 else None
