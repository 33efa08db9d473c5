"""What we use of Keras beside its public interface is there in the Keras that is installed."""

import inspect
import operator
import re
from pathlib import Path

import keras
import pytest
import tensorflow as tf

import nengo_dl
from nengo_dl.keras_private import USED, NoTrainingGraph, fits, plain_variable

PACKAGE = Path(nengo_dl.__file__).parent


@pytest.mark.parametrize("owner, name", USED)
def test_keras_has_the_name(owner, name):
    found = operator.attrgetter(owner)(keras)
    if inspect.ismodule(found):
        assert callable(getattr(found, name))
        return
    sources = [inspect.getsource(cls) for cls in found.__mro__ if cls.__module__[:5] == "keras"]
    assert any(re.search(rf"\bself\.{name}\b", source) for source in sources)


def test_no_other_module_uses_them():
    # `SimulationData` has a method `_value` of its own
    names = "|".join(r"(?<!self)\._value" if name == "_value" else rf"\.{name}" for _, name in USED)
    for path in PACKAGE.rglob("*.py"):
        if path.name != "keras_private.py":
            assert re.findall(rf"(?:{names})\b", path.read_text()) == [], path


def test_weights_of_an_optimizer():
    first, second = keras.Variable([1.0]), keras.Variable([2.0])
    for optimizer in (
        keras.optimizers.Adam(),
        keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD()),
    ):
        assert fits(optimizer, [first]) and fits(optimizer, [second])
        optimizer.build([first])
        optimizer.built = True
        assert fits(optimizer, [first]) and not fits(optimizer, [first, second])


def test_plain_variable_is_what_the_weight_keeps():
    weight = keras.Variable([1.0, 2.0], dtype="float32")
    variable = plain_variable(weight)
    assert isinstance(variable, tf.Variable)
    variable.assign([3.0, 4.0])
    assert weight.numpy().tolist() == [3.0, 4.0]
    with keras.src.backend.AutocastScope("float16"):
        assert plain_variable(weight).dtype == tf.float32


def test_tensorboard_gets_its_graph_back(tmp_path):
    board = keras.callbacks.TensorBoard(tmp_path)
    board.set_model(keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)]))
    assert board._should_write_train_graph
    without = NoTrainingGraph(board)
    assert not board._should_write_train_graph
    without.end()
    assert board._should_write_train_graph
