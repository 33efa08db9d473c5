"""A table of facts by name."""

from collections.abc import Iterator, Mapping


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
