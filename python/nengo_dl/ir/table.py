"""A table of facts by name, and facts that are found once."""

from collections.abc import Callable, Iterator, Mapping


class remembered:  # noqa: N801  a decorator
    """An attribute that is computed when it is first asked for.

    As `functools.cached_property`, which takes a lock each time until Python 3.12: there are
    hundreds of thousands in a large model.
    """

    def __init__(self, function: Callable):
        self.function, self.name, self.__doc__ = function, function.__name__, function.__doc__

    def __get__(self, obj: object, owner: type | None = None):
        if obj is None:
            return self
        value = obj.__dict__[self.name] = self.function(obj)
        return value


class Table(Mapping):
    """Facts by name; an unknown name is refused with a list of the known ones."""

    def __init__(self, what: str, *entries):
        self._what, self._entries = what, {}
        for entry in entries:
            if entry.name in self._entries:
                raise ValueError(f"{what} {entry.name!r} is listed twice")
            self._entries[entry.name] = entry

    def __getitem__(self, name: str):
        if name not in self._entries:
            raise ValueError(f"unknown {self._what} {name!r}, known are {', '.join(self._entries)}")
        return self._entries[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)
