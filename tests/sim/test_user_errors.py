"""Exceptions of users' code: handlers of `SimulationError` and of their own kind get them."""

import pickle

import nengo
import numpy as np
import pytest
from nengo.exceptions import SimulationError, ValidationError

from nengo_dl.run.user_errors import user_error


class ExitSim(Exception):
    """An exception of one's own, with an attribute."""

    def __init__(self, t, reason):
        super().__init__(f"{reason} at {t:.3f}")
        self.t = t


class Slotted(Exception):
    __slots__ = ("where",)

    def __init__(self, where):
        super().__init__()
        self.where = where


class Own(OSError):
    """One whose ``__new__`` and ``__init__`` take other arguments than Python's."""

    def __new__(cls, *, path):
        return super().__new__(cls, 2, "no such thing", path)

    def __init__(self, *, path):
        pass


class Final(Exception):
    def __init_subclass__(cls):
        raise TypeError("no class may be derived from this one")


class Strict(type):
    def __call__(cls, *args):
        raise RuntimeError("never called again")


def strict():
    return Exception.__new__(Strict("Refusing", (Exception,), {}), "x")


ERRORS = [
    (ExitSim(0.005, "the arm is there"), ["t", "args"]),
    (Slotted([1, 2]), ["where"]),
    (Own(path="x.txt"), ["errno", "strerror", "filename"]),
    (ValueError("a", 1), ["args"]),
    (KeyError("name"), ["args"]),
    (FileNotFoundError(2, "no such file", "x.npy"), ["errno", "strerror", "filename", "args"]),
    (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"), ["encoding", "object", "start", "reason"]),
    (AttributeError("a", name="b", obj=3), ["name", "obj"]),
    (ImportError("a", name="b"), ["name", "path"]),
    (ValidationError("a", attr="b"), ["attr", "obj"]),
    (strict(), ["args"]),
    (Exception("plain"), ["args"]),
]


@pytest.mark.parametrize(("error", "kept"), ERRORS, ids=lambda x: type(x).__name__)
def test_both_kinds(error, kept):
    """Class, attributes and message; other processes get a `SimulationError`."""
    made = user_error("the message", error)
    assert isinstance(made, SimulationError) and isinstance(made, type(error))
    assert type(made).__name__ == "SimulationError" and str(made) == "the message"
    assert [getattr(made, name) for name in kept] == [getattr(error, name) for name in kept]
    assert type(user_error("another", error)) is type(made)
    copied = pickle.loads(pickle.dumps(made))
    assert type(copied) is SimulationError and str(copied) == "the message"


@pytest.mark.parametrize("error", [Final("a"), StopIteration(3), StopAsyncIteration()], ids=repr)
def test_simulation_error_alone(error):
    """Where there can be no such class, or where Python gives it a meaning of its own."""
    made = user_error("the message", error)
    assert type(made) is SimulationError and str(made) == "the message"


@pytest.mark.parametrize("how", ["input", "source", "source beside", "direct", "process"])
def test_of_a_run(Sim, how):
    """S-55: users' own handlers around `run`, `step` and `predict` work, as in Nengo."""

    def stop(t):
        if t > 0.0055:
            raise ExitSim(t, "the arm is there")
        return t

    class Stopping(nengo.Process):
        def make_step(self, shape_in, shape_out, dt, rng, state):
            return lambda t: np.full(shape_out, stop(t))

    with nengo.Network() as net:
        clock = nengo.Node(lambda t: t)
        if how == "input":
            target = nengo.Node(lambda t, x: stop(t), size_in=1, size_out=1)
        elif how == "process":
            target = nengo.Node(Stopping(default_size_out=1))
        elif how == "direct":
            target = nengo.Ensemble(1, 1, neuron_type=nengo.Direct())
            nengo.Connection(clock, target, synapse=None)
            nengo.Connection(target, nengo.Node(size_in=1), function=lambda x: stop(x[0]))
        else:
            target = nengo.Node(stop, size_out=1)
            if how == "source beside":
                nengo.Connection(clock, nengo.Node(lambda t, x: x, size_in=1), synapse=None)
        nengo.Probe(target)
    sim = Sim(net)
    for call in (lambda: sim.run(0.05), sim.step, lambda: sim.predict(n_steps=9)):
        with pytest.raises(ExitSim, match="raised ExitSim.*the arm is there at 0.006") as info:
            call()
        assert info.value.t == pytest.approx(0.006)
        assert isinstance(info.value, SimulationError)
        assert type(info.value.__cause__) is ExitSim
        assert sim.n_steps == 5
