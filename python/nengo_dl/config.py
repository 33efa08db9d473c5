"""Settings of a model: `configure_settings` writes them, `resolve` reads them all at once."""

from __future__ import annotations

import numbers
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any

import nengo
from nengo.exceptions import ConfigError, NetworkContextError, ValidationError
from nengo.params import Parameter

from . import surrogates
from .plan.simplify import PASSES

DTYPES = ("float32", "float64")


class Setting(Parameter):
    """A Nengo config parameter that checks its value with a function.

    Parameters
    ----------
    name : str
        Name of the setting.
    default : object
        Value that holds where nothing else is said.
    check : callable
        ``check(name, value)`` returns the value to store or raises `ValidationError`.
    """

    def __init__(self, name: str, default: Any, check: Callable[[str, Any], Any]) -> None:
        super().__init__(name, default=check(name, default), optional=True)
        self.check = check

    def coerce(self, instance: Any, value: Any) -> Any:
        """Check a value set for one object."""
        return self.check(self.name, value)

    def set_default(self, obj: Any, value: Any) -> None:
        """Check a value set for a class."""
        super().set_default(obj, self.check(self.name, value))


def _boolean(name: str, value: Any) -> bool:
    # `value in (True, False)` would take 1 and np.bool_(True) has no `is`
    if type(value).__name__ in ("bool", "bool_"):
        return bool(value)
    raise ValidationError(f"must be True or False, got {value!r}", attr=name)


def _boolean_or_none(name: str, value: Any) -> bool | None:
    return None if value is None else _boolean(name, value)


def _dtype(name: str, value: Any) -> str:
    text = getattr(value, "name", value)  # np.dtype and tf.DType have a name
    if text in DTYPES:
        return text
    raise ValidationError(f"must be one of {', '.join(DTYPES)}, got {value!r}", attr=name)


def _smoothing(name: str, value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, numbers.Real) and not isinstance(value, bool) and float(value) > 0:
        return float(value)
    raise ValidationError(f"must be None or a number above 0, got {value!r}", attr=name)


def _function(name: str, value: Any) -> Callable | None:
    if value is None or callable(value):
        return value
    raise ValidationError(f"must be a function, got {value!r}", attr=name)


def _passes(name: str, value: Any) -> list[Callable] | None:
    if value is None:
        return None
    if not isinstance(value, (list, tuple)):
        raise ValidationError(f"must be a list of functions, got {value!r}", attr=name)
    for entry in value:
        if not any(entry is single for single in PASSES):
            raise ValidationError(
                f"{entry!r} is no simplification of this planner; nengo_dl.plan.simplify has"
                f" {', '.join(f.__name__ for f in PASSES)}",
                attr=name,
            )
    return list(value)


def _surrogate(name: str, value: Any) -> surrogates.Surrogate | None:
    return surrogates.resolve(value)


def _bytes(name: str, value: Any) -> int | None:
    if value is None:
        return None
    if isinstance(value, numbers.Integral) and not isinstance(value, bool) and int(value) >= 0:
        return int(value)
    raise ValidationError(
        f"must be None or a whole number of bytes, not negative, got {value!r}", attr=name
    )


def _threads(name: str, value: Any) -> int | None:
    if value is None:
        return None
    if isinstance(value, numbers.Integral) and not isinstance(value, bool) and int(value) >= 1:
        return int(value)
    raise ValidationError(f"must be None or a whole number from 1 on, got {value!r}", attr=name)


def _network(default: Any, check: Callable[[str, Any], Any]) -> Any:
    return field(default=default, metadata={"check": check})


@dataclass(frozen=True)
class Settings:
    """What a network was told, and what holds where it was told nothing.

    `configure_settings` explains the fields. Settings of single objects are in
    `nengo_dl.run.object_settings`.
    """

    dtype: str = _network("float32", _dtype)
    stateful: bool = _network(True, _boolean)
    use_loop: bool = _network(True, _boolean)
    inference_only: bool = _network(False, _boolean)
    learning_phase: bool | None = _network(None, _boolean_or_none)
    lif_smoothing: float | None = _network(None, _smoothing)
    simplifications: list[Callable] | None = _network(None, _passes)
    tape_memory: int | None = _network(None, _bytes)
    threads: int | None = _network(None, _threads)


# setting -> (Nengo classes that carry it, check)
_SETTINGS = {
    **{entry.name: ((nengo.Network,), entry.metadata["check"]) for entry in fields(Settings)},
    "trainable": ((nengo.Ensemble, nengo.Connection, nengo.ensemble.Neurons), _boolean_or_none),
    "surrogate": ((nengo.Ensemble,), _surrogate),
    "keep_history": ((nengo.Probe,), _boolean),
    "planner": ((nengo.Network,), _function),
    "sorter": ((nengo.Network,), _function),
}
_OF_INNERMOST = ("trainable", "surrogate")

# taken for the sake of scripts written for NengoDL; results never depended on them
_WITHOUT_EFFECT = ("planner", "sorter")


def configure_settings(**kwargs: Any) -> None:
    """Set options of the model that is being described.

    Call it inside a ``with nengo.Network():`` block. Settings belong to the outermost network,
    except ``trainable`` and ``surrogate``, which belong to the innermost one. Each call changes
    only what it names. A single object is excepted through the config system, for example
    ``net.config[probe].keep_history = False`` or ``net.config[ens].trainable = True``.

    Parameters
    ----------
    trainable : bool or None
        Whether the encoders, biases and weights of the innermost network may be trained; an
        inner network goes before an outer one. All may by default, except what a learning
        rule changes. ``config[ens]`` is for encoders and biases, ``config[ens.neurons]``, if it
        says something (this function sets it, too), for the biases alone. What may not be trained
        is still in ``sim.keras_model.weights``, unless it is a zero, one or identity that the
        planner could leave out.
    surrogate : nengo_dl.surrogates.Surrogate, str or None
        Train the spiking ensembles of the innermost network with their spikes, and take this for
        the derivative of a spike (see `nengo_dl.surrogates`; a name means its default width). None
        trains them by their rates, as NengoDL does.
    dtype : str
        ``"float32"`` (default) or ``"float64"``: precision of the build and of the simulation.
    keep_history : bool
        False keeps only the last step of each run, ``(minibatch, 1, size)``. Default True.
    stateful : bool
        False: no run ever changes the simulator's state. Default True.
    inference_only : bool
        True leaves out everything needed for training: nothing is trainable, and constants
        may be folded. Default False. (A larger Keras model with this one inside goes by the
        ``trainable`` of Keras layers that TensorNodes call.)
    use_loop : bool
        False fixes the number of steps of a run to ``unroll_simulation``. Default True.
    learning_phase : bool or None
        Pins the mode of every call to training (True) or inference (False). Default None.
    lif_smoothing : float or None
        Smoothing of the rate curve by which LIF neurons are trained (``sigma`` of
        `nengo_dl.SoftLIFRate`). None trains them by the curve as it is, which has no slope below
        the threshold and an infinite one at it.
    tape_memory : int or None
        Most bytes of values that a minibatch in training records for its gradient; what has no
        room is computed again, which takes longer. None is 1 GiB.
    threads : int or None
        Most threads that a run, or a minibatch in training, works on; results do not depend on
        it. None: as many as TensorFlow uses inside an operation
        (``tf.config.threading.set_intra_op_parallelism_threads``), that is, all processors.
    planner, sorter : callable or None
        Accepted for the sake of existing scripts, with a warning. This backend orders and merges
        operators by its own passes, which `nengo_dl.Simulator.plan` shows; the functions are not
        called.
    simplifications : list of callables or None
        Functions of ``nengo_dl.plan.simplify`` that shorten the list of operators; None for
        the default ones, ``[]`` for none. They change nothing in the results.

    Raises
    ------
    NetworkContextError
        Outside of a network.
    ConfigError
        For an unknown setting.
    ValidationError
        For a value that the setting does not take.
    """
    if not nengo.Network.context:
        raise NetworkContextError("`configure_settings` must be called within a Network context")
    unknown = [name for name in kwargs if name not in _SETTINGS]
    if unknown:
        raise ConfigError(
            f"{unknown[0]!r} is not a valid setting; there are {', '.join(sorted(_SETTINGS))}"
        )
    checked = {name: _SETTINGS[name][1](name, value) for name, value in kwargs.items()}
    for name, value in checked.items():
        if name in _WITHOUT_EFFECT and value is not None:
            warnings.warn(
                f"Setting {name!r} has no effect and can be left out: the planner of this backend"
                " has its own ways, see print(sim.plan)",
                UserWarning,
                stacklevel=2,
            )
        network = nengo.Network.context[-1 if name in _OF_INNERMOST else 0]
        for cls in _SETTINGS[name][0]:
            _set(network.config, cls, name, value)


def _set(config: Any, cls: type, name: str, value: Any) -> None:
    if cls not in config.params:
        config.configures(cls)
    if name in config[cls].extra_params:
        setattr(config[cls], name, value)
    else:
        config[cls].set_param(name, Setting(name, value, _SETTINGS[name][1]))


def set_of_object(obj: Any, name: str, value: Any) -> None:
    """Set an option of a single object, in the outermost of the networks that are being described.

    Parameters
    ----------
    obj : nengo object
        What to set it for.
    name : str
        Name of a setting that objects of this kind may have.
    value : object
        Its value.
    """
    config = nengo.Network.context[0].config
    (cls,) = (cls for cls in _SETTINGS[name][0] if isinstance(obj, cls))
    if cls not in config.params or name not in config[cls].extra_params:
        _set(config, cls, name, None)
    setattr(config[obj], name, _SETTINGS[name][1](name, value))


def resolve(model: Any) -> Settings:
    """Read all settings of a network at once.

    Parameters
    ----------
    model : nengo.builder.Model or nengo.Network or None
        Where to look: the settings of a model are those of its top-level network.

    Returns
    -------
    Settings
        Its settings.
    """
    names = [entry.name for entry in fields(Settings)]
    found = {name: get_setting(model, name) for name in names}
    return Settings(**{name: value for name, value in found.items() if value is not None})


def get_setting(model: Any, name: str, default: Any = None, obj: Any = None) -> Any:
    """Read a setting.

    Parameters
    ----------
    model : nengo.builder.Model or nengo.Network or None
        Where to look: the settings of a model are those of its top-level network.
    name : str
        Name of the setting.
    default : object
        Returned where the setting was never configured (or set to None).
    obj : nengo object, optional
        Read the setting of this object instead of the network's.

    Returns
    -------
    object
        The value.
    """
    network = getattr(model, "toplevel", model)
    if network is None:
        return default
    try:
        value = configured(network, name, obj)
    except (ConfigError, AttributeError):  # the setting was never configured
        return default
    return default if value is None else value


def configured(network: nengo.Network, name: str, obj: Any = None) -> Any:
    """Read what the config of one network says of it, or of an object.

    Raises
    ------
    ConfigError or AttributeError
        If the setting was never configured in this network.
    """
    params = network.config.params  # `config[obj]` would make an entry for the object
    candidates = nengo.Network.__mro__ if obj is None else (obj, *type(obj).__mro__)
    return getattr(next((params[key] for key in candidates if key in params), None), name)


def configured_dtype() -> str:
    """The precision that the network in whose context this is called has so far."""
    try:
        return configured(nengo.Network.context[0], "dtype")
    except (ConfigError, AttributeError, IndexError):
        return "float32"
