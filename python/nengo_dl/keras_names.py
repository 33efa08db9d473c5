"""Keras learns of this package's layers, for files with them, without being imported for it."""

import contextlib
import importlib
import importlib.abc
import importlib.util
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any


def announce() -> None:
    """Register the classes in files of Keras models: at once, or as soon as Keras is imported.

    Keras asks for them by names that were registered before. Importing it and TensorFlow takes
    seconds, which who only plans or reads versions need not wait for.
    """
    if "keras" in sys.modules:
        _register()
    else:
        sys.meta_path.insert(0, _AfterKeras())


def _register() -> None:
    # with another backend than TensorFlow, or a Keras that is too old, there are no such layers
    with contextlib.suppress(ImportError):
        importlib.import_module("nengo_dl.training.model")


class _AfterKeras(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds Keras as others do, and registers after it was executed."""

    loader: Any  # its own

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the specification of Keras with this as its loader, None for other modules."""
        if fullname != "keras":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is not None and spec.loader is not None:
            self.loader, spec.loader = spec.loader, self
        return spec

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """Make the module as its own loader does."""
        return self.loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        """Execute the module, which gets its own loader back, then register."""
        module.__loader__ = self.loader
        if module.__spec__ is not None:
            module.__spec__.loader = self.loader
        self.loader.exec_module(module)
        _register()
