"""The functions and Keras layers that a plan calls as plain data, each of them once."""

import copy

import keras
from nengo.exceptions import ValidationError

from ..keras_private import with_inner_layers
from ..plan.show import short_list


def is_data(func):
    """Whether Keras can tell another process what it is: a layer, or a registered function."""
    saving = keras.saving
    if isinstance(func, keras.layers.Layer):
        return True
    if not hasattr(func, "__name__"):  # a functools.partial, or an object with __call__
        return False
    return saving.get_registered_object(saving.get_registered_name(func)) is func


class CalledOnce:
    """What the calls of a plan call, each function or layer once.

    Keras writes a layer wherever it comes across it, and makes one of each of these: they would
    have weights of their own. So what is not within something else is an entry of a list; a layer
    within another one is found there, by its place among all layers within that.

    Parameters
    ----------
    calls : list of nengo_dl.ir.calls.TensorCall
        The calls.

    Raises
    ------
    nengo.exceptions.ValidationError
        If two layers have a layer with weights in common and neither is within the other one.
    """

    def __init__(self, calls):
        names = {}  # what is called -> the name of its first call
        for call in calls:
            names.setdefault(call.func, call.name)
        within = {func: _within(func) for func in names}
        inner = {layer for layers in within.values() for layer in layers[1:] if layer.variables}
        self._outer = [func for func in names if func not in inner]
        self._names = names
        self._within = {func: within[func] for func in self._outer}
        self._refuse_common()

    def _refuse_common(self):
        owners = {}
        for func, layers in self._within.items():
            for layer in layers[1:]:
                owner = owners.setdefault(layer, func)
                if owner is not func and layer.variables:
                    raise _refused(
                        f"the layers of {self._names[owner]!r} and {self._names[func]!r} both have"
                        f" the layer {layer.name!r} within them, and it would be written twice"
                    )

    def to_config(self):
        """The list, of what JSON knows.

        Raises
        ------
        nengo.exceptions.ValidationError
            If a layer that is called is not found again within the one that it is in.
        """
        configs = []
        for func, layers in self._within.items():
            configs.append(keras.saving.serialize_keras_object(func))
            names = [self._names[i] for i in layers if i in self._names and i not in self._within]
            if names:
                self._check_places(names, func, layers, configs[-1])
        return configs

    def _check_places(self, names, func, layers, config):
        """Refuse a layer that has others within it when it is made anew."""
        where = f"the layer of {short_list(names)} is within that of {self._names[func]!r}, which"
        try:
            config = copy.deepcopy(config)  # some layers take theirs apart
            found = _within(keras.saving.deserialize_keras_object(config, safe_mode=False))
        except Exception as e:
            raise _refused(f"{where} can't be made from its get_config(): {e}") from e
        if [type(layer) for layer in found] != [type(layer) for layer in layers]:
            raise _refused(f"{where} has other layers within it when made from its get_config()")

    def place(self, func):
        """Where something that is called is: its entry, and its place within that."""
        for entry, (outer, layers) in enumerate(self._within.items()):
            if func is outer or (func not in self._within and func in layers):
                return [entry, layers.index(func)]
        raise ValueError(f"expected something that is called, got {func!r}")

    @staticmethod
    def from_config(configs):
        """What the entries of a list are, and what is within each of them."""
        return [_within(keras.saving.deserialize_keras_object(config)) for config in configs]


def _within(func):
    """Something called, then the layers within it, in their order."""
    if not isinstance(func, keras.layers.Layer):
        return [func]
    return list(dict.fromkeys(with_inner_layers(func)))


def _refused(reason):
    return ValidationError(
        f"the model can't be saved as a whole, only its weights (keras_model.save_weights,"
        f" save_params): {reason}",
        attr="keras_model",
    )
