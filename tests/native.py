"""Compilers and the programs that tests build with them."""

import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest


def compiler():
    """The machine's C++ compiler; skips the test where there is none."""
    found = shutil.which("g++") or shutil.which("c++")
    if found is None:
        pytest.skip("no C++ compiler")
    return found


def run(command, **kwargs):
    """``subprocess.run`` for what isn't Python.

    Tests of a sanitized engine preload the sanitizer's library into Python
    (tests/engine/run_sanitized.sh); compilers and other programs run without it.
    """
    env = {key: value for key, value in os.environ.items() if key != "LD_PRELOAD"}
    return subprocess.run([str(part) for part in command], env=env, **kwargs)


def build_library(sources, target, flags, libraries):
    """Compile C++ sources (CUDA's as plain C++, too) side by side and link them to a library."""
    build_program(sources, target, flags, ["-shared", *libraries])


def build_program(sources, target, flags, libraries):
    """The same, to a program."""
    objects = [target.with_name(f"{target.stem}_{source.stem}.o") for source in sources]

    def compile_one(source, made):
        command = [compiler(), *flags, "-DNDL_ISA=device", "-x", "c++", "-c", source, "-o", made]
        run(command, check=True)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(compile_one, sources, objects))
    run([compiler(), *objects, "-o", target, *libraries], check=True)
