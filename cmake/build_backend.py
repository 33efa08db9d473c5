"""The build backend: scikit-build-core, after a look at what pip cannot install.

TensorFlow is needed for its headers. pip downloads all that ``pyproject.toml`` names, half a
gigabyte, before CMake can look at the compiler; so it is asked for here, after this has looked.
"""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from scikit_build_core import build
from scikit_build_core.build import *  # noqa: F403

TENSORFLOW = "tensorflow==2.21.*"
DEBIAN = "on Debian and Ubuntu: apt install g++ python3-dev python3-venv"


def missing(compiler, include):
    """What a build lacks, in one line; an empty text if nothing.

    Parameters
    ----------
    compiler : str or None
        The C++ compiler's name or path.
    include : str or pathlib.Path
        The folder where Python's headers are due.
    """
    if compiler is None or shutil.which(compiler) is None:
        return f"nengo_dl needs a C++ compiler, found none ({DEBIAN})"
    source = Path(__file__).with_name("needed.cpp")
    command = [compiler, "-fsyntax-only", "-std=gnu++17", str(source)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        named = re.search(r"#error (.*)", done.stderr)
        reason = named[1] if named else done.stderr
        return f"{reason}; {compiler} is version {version_of(compiler)}"
    if not Path(include, "Python.h").exists():
        return f"nengo_dl needs Python's headers, found none in {include} ({DEBIAN})"
    return ""


def version_of(compiler):
    """What the compiler says of itself."""
    done = subprocess.run([compiler, "-dumpfullversion", "-dumpversion"], capture_output=True)
    return done.stdout.decode().strip()


def required(config_settings):
    """TensorFlow, if all is there that must be there before."""
    given = f"{config_settings} {os.environ.get('CMAKE_ARGS', '')}"
    if "CMAKE_CXX_COMPILER" not in given:  # else CMake looks at that one
        names = [os.environ.get("CXX"), "c++", "g++", "clang++"]
        compiler = next((name for name in names if name and shutil.which(name)), None)
        reason = missing(compiler, sysconfig.get_paths()["include"])
        if reason:
            sys.exit(reason)
    return [TENSORFLOW]


def get_requires_for_build_wheel(config_settings=None):
    """scikit-build-core's, and TensorFlow."""
    return required(config_settings) + build.get_requires_for_build_wheel(config_settings)


def get_requires_for_build_editable(config_settings=None):
    """scikit-build-core's, and TensorFlow."""
    return required(config_settings) + build.get_requires_for_build_editable(config_settings)
