"""Building Nengo objects in another way than Nengo does, for this backend alone."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import nengo.builder
from nengo.builder import Operator
from nengo.rc import rc


class NengoBuilder(nengo.builder.Builder):
    """Nengo's builder, but for the classes that were registered here.

    Attributes
    ----------
    builders : dict
        Class -> ``build(model, obj, ...)``, as in `nengo.builder.Builder`.
    """

    builders: dict[type, Callable] = {}  # noqa: RUF012  as Nengo's

    @classmethod
    def build(cls, model: nengo.builder.Model, obj: Any, *args: Any, **kwargs: Any) -> Any:
        """Build an object: what is registered here for its class or bases goes first."""
        if not model.has_built(obj):
            for base in type(obj).__mro__:
                if base in cls.builders:
                    return cls.builders[base](model, obj, *args, **kwargs)
            for base in type(obj).__mro__ if model.swift else ():
                build = nengo.builder.Builder.builders.get(base)
                if build is not None:
                    return model.swift.get(build, build)(model, obj, *args, **kwargs)
        return nengo.builder.Builder.build(model, obj, *args, **kwargs)

    @classmethod
    def register(cls, nengo_class: type) -> Callable[[Callable], Callable]:
        """Register how objects of a class, and of classes derived from it, are built: a decorator.

        Parameters
        ----------
        nengo_class : type
            The class.

        Returns
        -------
        callable
            A decorator for ``build(model, obj)``, which adds signals and operators to the model.
        """

        def register(build: Callable) -> Callable:
            if nengo_class in cls.builders:
                warnings.warn(
                    f"{nengo_class.__name__} has a build function already; the new one takes its"
                    " place",
                    UserWarning,
                    stacklevel=2,
                )
            cls.builders[nengo_class] = build
            return build

        return register


class NengoModel(nengo.builder.Model):
    """A Nengo model whose objects `NengoBuilder` builds.

    Parameters
    ----------
    *args, **kwargs
        As for `nengo.builder.Model`.
    fail_fast : bool
        Whether operators are tried in Python when they are added, as Nengo does if it is so
        configured; False for operators that have TensorFlow code alone.

    Attributes
    ----------
    swift : dict
        Build function of Nengo -> what is called instead of it, see `nengo_dl.run.swift`.
    """

    def __init__(self, *args: Any, fail_fast: bool = True, **kwargs: Any) -> None:
        kwargs.setdefault("builder", NengoBuilder())
        # asked for once: it takes longer than adding an operator
        self.fail_fast = fail_fast and rc["nengo.Simulator"].getboolean("fail_fast")
        self.swift: dict[Callable, Callable] = {}
        super().__init__(*args, **kwargs)

    def add_op(self, op: Operator) -> None:
        """Add an operator."""
        if self.fail_fast:
            super().add_op(op)
        else:
            self.operators.append(op)
