"""Adam as one op: the numbers of Keras, bit by bit, and Keras' own way wherever that may differ."""

import contextlib

import keras
import numpy as np
import pytest
import tensorflow as tf
from training_nets import linear, rows

from nengo_dl.layer import updates
from nengo_dl.layer.updates import merged_updates

SHAPES = (3, 40), (7,), (1, 1), (0,), (33, 5)


def values(dtype, seed):
    """Numbers of all sizes, some so small that squares of them are not normal or zero."""
    rng = np.random.RandomState(seed)
    smallest = -25 if dtype == "float32" else -170
    return [
        (rng.randn(*shape) * 10.0 ** rng.uniform(smallest, 5, size=shape)).astype(dtype)
        for shape in SHAPES
    ]


def trained(optimizer, dtype, steps, merged, eager=False, dtypes=None):
    """Weights and what the optimizer holds after some steps."""
    kinds = dtypes or [dtype] * len(SHAPES)
    weights = [keras.Variable(v.astype(k)) for v, k in zip(values(dtype, 0), kinds, strict=True)]
    optimizer.build(weights)

    def step(*gradients):
        with merged_updates(optimizer) if merged else contextlib.nullcontext():
            optimizer.apply(list(gradients), weights)

    function = step if eager else tf.function(step, autograph=False)
    for number in range(steps):
        gradients = zip(values(dtype, number + 1), kinds, strict=True)
        function(*[tf.constant(gradient, kind) for gradient, kind in gradients])
    return [variable.numpy() for variable in (*weights, *optimizer.variables)]


def count_ops(monkeypatch):
    """A list that grows with every use of the op."""
    used, load = [], updates.load
    op = load().nengo_dl_adam

    class Library:
        @staticmethod
        def nengo_dl_adam(**arguments):
            used.append(len(arguments["variables"]))
            return op(**arguments)

    monkeypatch.setattr(updates, "load", lambda: Library)
    return used


OPTIMIZERS = {
    "plain": lambda: keras.optimizers.Adam(0.03),
    "rates": lambda: keras.optimizers.Adam(1e-3, beta_1=0.7, beta_2=0.95, epsilon=1e-4),
    "schedule": lambda: keras.optimizers.Adam(
        keras.optimizers.schedules.ExponentialDecay(0.1, 2, 0.5)
    ),
    "clipped": lambda: keras.optimizers.Adam(0.03, global_clipnorm=1.0),
    "decay": lambda: keras.optimizers.AdamW(0.03, weight_decay=0.01),
    "average": lambda: keras.optimizers.Adam(0.03, use_ema=True, ema_overwrite_frequency=2),
    "accumulated": lambda: keras.optimizers.Adam(0.03, gradient_accumulation_steps=2),
}


@pytest.mark.parametrize("eager", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_bits(monkeypatch, name, dtype, eager):
    used = count_ops(monkeypatch)
    found, due = (trained(OPTIMIZERS[name](), dtype, 5, merged, eager) for merged in (True, False))
    assert set(used) == {len(SHAPES)}
    for value, expected in zip(found, due, strict=True):
        assert value.dtype == expected.dtype and value.tobytes() == expected.tobytes()


def test_an_op_for_each_precision(monkeypatch):
    used = count_ops(monkeypatch)
    dtypes = ["float32", "float64", "float32", "float16", "float64"]
    found, due = (
        trained(keras.optimizers.Adam(0.03), "float32", 3, merged, dtypes=dtypes)
        for merged in (True, False)
    )
    assert used == [2, 2]  # the other one is left to Keras
    for value, expected in zip(found, due, strict=True):
        assert value.tobytes() == expected.tobytes()


def test_what_is_left_to_keras(monkeypatch):
    class Own(keras.optimizers.Adam):
        def update_step(self, gradient, variable, learning_rate):
            self.assign_sub(variable, gradient)

    used = count_ops(monkeypatch)
    for optimizer in (Own(), keras.optimizers.Adam(amsgrad=True), keras.optimizers.SGD()):
        trained(optimizer, "float32", 1, True)
        assert used == [] and "_backend_update_step" not in vars(optimizer)


def test_values_that_were_read_stay():
    """A tensor that somebody has read from a variable is not changed with it."""
    weight = keras.Variable(np.ones(1000, "float32"))
    optimizer = keras.optimizers.Adam(0.5)
    optimizer.build([weight])
    before = weight.value.value()
    with merged_updates(optimizer):
        optimizer.apply([tf.ones(1000)], [weight])
    assert np.all(before == 1) and np.allclose(weight, 0.5)


def test_fit(Sim, monkeypatch):
    """A simulator uses it, and Keras' way gives the same."""
    used = count_ops(monkeypatch)

    def run():
        keras.utils.set_random_seed(0)
        net = linear()
        sim = Sim(net, minibatch_size=2)
        sim.compile(keras.optimizers.Adam(0.1), loss={net.py: "mse"})
        history = sim.fit(rows(8), {"py": rows(8, 3, 1, 1)}, epochs=2, verbose=0).history
        return history["loss"], [weight.numpy() for weight in sim.keras_model.weights]

    losses, found = run()
    assert used == [2]
    monkeypatch.setattr(updates, "_ADAM", ())
    due_losses, due = run()
    assert used == [2] and losses == due_losses
    assert all(np.array_equal(a, b) for a, b in zip(found, due, strict=True))


def test_wrong_variables():
    library = updates.load()
    made = [tf.Variable(np.zeros(3, "float32")) for _ in range(3)]
    handles = [[variable.handle] for variable in made]
    arguments = {"gradients": [tf.zeros(3)], "alpha": 1.0, "rates": [0.1, 0.1, 0.1]}
    with pytest.raises(tf.errors.InvalidArgumentError, match="expected different variables"):
        library.nengo_dl_adam(
            variables=handles[0], first=handles[1], second=handles[1], **arguments
        )
    with pytest.raises(tf.errors.InvalidArgumentError, match="with 4 elements, .* with 3"):
        library.nengo_dl_adam(
            variables=handles[0], first=handles[1], second=handles[2],
            **{**arguments, "gradients": [tf.zeros(4)]},
        )  # fmt: skip
    with pytest.raises(tf.errors.InvalidArgumentError, match="expected 1 and 3 numbers, got 1 and"):
        library.nengo_dl_adam(
            variables=handles[0], first=handles[1], second=handles[2],
            **{**arguments, "rates": [0.1]},
        )  # fmt: skip


def test_some_rows_of_a_weight():
    """The gradient of an Embedding, which Keras adds row by row."""
    rows_of = tf.IndexedSlices(tf.ones((3, 4)), tf.constant([1, 1, 2]), tf.constant([5, 4]))
    found = []
    for merged in (False, True):
        weight, optimizer = keras.Variable(np.ones((5, 4), "float32")), keras.optimizers.Adam(0.01)
        optimizer.build([weight])
        for _ in range(3):
            with merged_updates(optimizer) if merged else contextlib.nullcontext():
                optimizer.apply([rows_of], [weight])
        found.append(weight.numpy())
    np.testing.assert_array_equal(*found)
