"""Metadata for scikit-build-core: depend on the very TensorFlow that the op library is built for.

pip builds in an environment of its own, with the newest TensorFlow that ``pyproject.toml`` admits.
The package then asks for the same version where it is installed, so that both always fit.
"""

from importlib.metadata import version


def dynamic_metadata(settings, project):
    """The dependencies of ``pyproject.toml``, TensorFlow's narrowed to the installed version."""
    pinned = f"tensorflow=={version('tensorflow')}"
    return {
        "dependencies": [
            pinned if requirement.startswith("tensorflow==") else requirement
            for requirement in settings["dependencies"]
        ]
    }


def dynamic_wheel(settings):
    """A wheel's dependencies may differ from those that a source distribution names."""
    return {"dependencies": True}
