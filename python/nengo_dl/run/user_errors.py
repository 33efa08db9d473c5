"""What is raised for an exception of users' code: a `SimulationError` of the same kind."""

import contextlib
import functools
import types

from nengo.exceptions import SimulationError

# a generator or coroutine on the way up would take these for its own end
ENDS = (StopIteration, StopAsyncIteration)


def user_error(message, error):
    """An exception that says where users' code raised another one.

    Handlers of `SimulationError` get it, and handlers of the kind of exception that was raised do,
    too, as around `nengo.Simulator`. It has the attributes and ``args`` of the other one; as text
    it is the message.

    Parameters
    ----------
    message : str
        What is said.
    error : Exception
        What users' code raised; not a `SimulationError`.

    Returns
    -------
    SimulationError
        An instance of the error's class, too, where Python can make such a one.
    """
    if isinstance(error, ENDS):
        return SimulationError(message)
    try:
        made = _instance(error)
    except Exception:  # whatever the class of the error does about classes derived from it
        return SimulationError(message)
    made.__dict__.update(error.__dict__)
    made.__dict__["_text"] = message
    return made


def _instance(error):
    kind = type(error)
    made = _new(kind)(_class(kind), *error.args)
    for base in kind.__mro__:
        for name, member in vars(base).items():
            # what lies in C structures and slots: `errno` of an OSError, say
            if isinstance(member, (types.GetSetDescriptorType, types.MemberDescriptorType)):
                if not name.startswith("__"):
                    with contextlib.suppress(AttributeError, TypeError):
                        member.__set__(made, member.__get__(error))
    return made


def _new(kind):
    """What allocates an object of a class: Python's own function, not one that users wrote."""
    found = (vars(base).get("__new__") for base in kind.__mro__)
    return next(new for new in found if isinstance(new, types.BuiltinFunctionType))


@functools.cache
def _class(kind):
    def fill(names):
        names["__module__"] = SimulationError.__module__
        names["__str__"] = lambda self: self._text
        names["__reduce__"] = lambda self: (SimulationError, (str(self),))  # to other processes

    return types.new_class(SimulationError.__name__, (SimulationError, kind), exec_body=fill)
