"""Which function runs which kind of op."""

_MAKERS = {}


def register(kind):
    """Register the maker of an op kind.

    A maker is called once per op as ``maker(op, program)`` and returns ``step(io, k)``, which runs
    one step of block ``k`` for one item; ``io`` is a `.memory.StepIO`.
    """

    def add(maker):
        if kind in _MAKERS:
            raise ValueError(f"op kind {kind!r} is registered twice")
        _MAKERS[kind] = maker
        return maker

    return add


def find(kind):
    """The maker of an op kind."""
    if kind not in _MAKERS:
        raise KeyError(f"unknown op kind {kind!r}, the twin knows {', '.join(kinds())}")
    return _MAKERS[kind]


def kinds():
    """All op kinds that the twin knows, sorted."""
    return sorted(_MAKERS)


def per_block(op, name):
    """A float attribute as one Python float per block.

    Python floats do not widen float32 arrays, as Nengo's own parameters do not.
    """
    values = op.attrs[name]
    values = [values] if isinstance(values, (int, float)) else [float(v) for v in values]
    return [float(v) for v in values] * (op.blocks if len(values) == 1 else 1)
