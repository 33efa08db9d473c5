"""Compares what the programs of this folder return here and in the original NengoDL 3.6.

    python bench/original/compare.py --original /path/to/original/bin/python
    python bench/original/compare.py OURS.npz THEIRS.npz

Every array is equal within 1e-5 (relative to the largest number in it where that is above 1), or
its difference is one of ``differences.py``, with the reason. It fails otherwise, and also where a
reason is given for something that does not differ.
"""

import argparse
import os
import subprocess
import sys
import tempfile

import numpy as np
from differences import DIFFERENCES, OPEN
from run import HERE

TOLERANCE = 1e-5


def distance(ours, theirs):
    """How far two arrays are apart; infinite if they can't be compared or differ as texts."""
    if ours.shape != theirs.shape or (ours.dtype.kind in "US") != (theirs.dtype.kind in "US"):
        return np.inf
    if ours.dtype.kind in "US":
        return 0.0 if np.array_equal(ours, theirs) else np.inf
    ours, theirs = ours.astype(np.float64), theirs.astype(np.float64)
    if not np.array_equal(np.isnan(ours), np.isnan(theirs)):
        return np.inf
    scale = max(1.0, float(np.max(np.abs(np.nan_to_num(theirs)), initial=0)))
    return float(np.max(np.abs(np.nan_to_num(ours) - np.nan_to_num(theirs)), initial=0)) / scale


def compare(ours, theirs):
    """Distance per name of an array; infinite for one that only one side has."""
    return {
        name: distance(ours[name], theirs[name]) if name in ours and name in theirs else np.inf
        for name in sorted({*ours, *theirs})
    }


def judged(distances):
    """Three lists: names that differ without a reason, with one, and reasons without difference."""
    apart = [name for name, far in distances.items() if far > TOLERANCE]
    explained = [name for name in apart if name in DIFFERENCES]
    stale = [name for name in DIFFERENCES if name in distances and name not in apart]
    return [name for name in apart if name not in DIFFERENCES], explained, stale


def shown(value):
    """A few characters of an array."""
    return " ".join(str(np.asarray(value)).split())[:160]


def table(ours, theirs):
    """Print all programs; return whether all is as it should be."""
    distances = compare(ours, theirs)
    unexplained, explained, stale = judged(distances)
    by_program = {}
    for name in distances:
        by_program.setdefault(name.rsplit(".", 1)[0], []).append(name)
    print(f"{'program':<44}{'arrays':>7}{'largest difference':>20}  differs for a reason")
    for program, names in by_program.items():
        equal = [distances[name] for name in names if distances[name] <= TOLERANCE]
        others = ", ".join(name.rsplit(".", 1)[1] for name in names if name in explained)
        print(f"{program:<44}{len(names):>7}{max(equal, default=0):>20.1e}  {others}")
    for name in explained:
        print(f"\n{name}: {DIFFERENCES[name]}")
    for name in unexplained:
        reason = OPEN.get(name.rsplit(".", 1)[0])
        print(f"\nto be mended: {reason}" if reason else "")
        print(f"DIFFERS {name} ({distances[name]:.1e})")
        print(f"  here      {shown(ours.get(name, 'nothing'))}")
        print(f"  original  {shown(theirs.get(name, 'nothing'))}")
    for name in stale:
        print(f"\nDOES NOT DIFFER, though there is a reason for it: {name}")
    n_equal = len(distances) - len(explained) - len(unexplained)
    print(
        f"\n{len(by_program)} programs, {len(distances)} arrays: {n_equal} equal,"
        f" {len(explained)} differ for a reason, {len(unexplained)} without one"
    )
    return not unexplained and not stale


def measured(python, only, folder):
    """Run all programs under a Python; returns their arrays."""
    output = os.path.join(folder, "result.npz")
    command = [python, "-W", "ignore", os.path.join(HERE, "run.py"), output]
    command += ["--only", *only] if only else []
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr[-4000:]}")
    return load(output)


def load(path):
    """Arrays of a file by name."""
    with np.load(path) as data:
        return {name: data[name] for name in data.files}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", nargs="*", help="two files that run.py has written")
    parser.add_argument("--original", help="Python of a venv with NengoDL 3.6")
    parser.add_argument("--only", nargs="+", default=(), help="parts of names of programs")
    args = parser.parse_args()
    if args.original:
        with tempfile.TemporaryDirectory() as a, tempfile.TemporaryDirectory() as b:
            ours = measured(sys.executable, args.only, a)
            theirs = measured(args.original, args.only, b)
    elif len(args.results) == 2:
        ours, theirs = map(load, args.results)
    else:
        parser.error("expected --original or two files of results")
    if not table(ours, theirs):
        sys.exit(1)


if __name__ == "__main__":
    main()
