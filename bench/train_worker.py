"""Times training in one simulator, in a process of its own, on request.

``train.py`` and ``compare.py`` start it under the Python that has the simulator (for the original:
another venv). What it says at first are versions. It is asked to ``load`` a network, and answers
with the time of the first ``fit`` and its loss; then for ``fit``, ``fit_callback`` (a callback of
Python for each minibatch) or ``step``, seconds per training step. See protocol.py.

Only what NengoDL 3.6 on Keras 2 and this package on Keras 3 share is used here.
"""

import argparse
import functools
import hashlib
import importlib
import sys

from protocol import Channel, limit_threads, timed


def targets_and_inputs(net, minibatches):
    """Random data for some minibatches, the same in every process."""
    import numpy as np

    rng = np.random.RandomState(10)
    items = minibatches * net.batch
    x = rng.uniform(-1, 1, size=(items, 1, net.inp.size_out))
    x = (x + 0.3 * rng.randn(items, net.n_steps, net.inp.size_out)).astype("float32")
    y = rng.uniform(-1, 1, size=(items, net.n_steps, net.p.size_in)).astype("float32")
    return x, y


def train_step(sim, net, x, y):
    """The Keras model's own train step as one compiled function of constant data."""
    import tensorflow as tf

    model = sim.keras_model
    n_steps = tf.fill((net.batch, 1), tf.cast(net.n_steps, model.inputs[-1].dtype))
    inputs = [tf.constant(x[: net.batch]), n_steps]
    outputs = {sim.get_name(net.p): tf.constant(y[: net.batch])}
    call = tf.function(lambda: model.train_step((inputs, outputs))["loss"], autograph=False)
    return lambda: call().numpy()


def digest(sim):
    """Stands for the bits of all weights and of what the optimizer holds, its gradients' means."""
    hashed = hashlib.sha256()
    for variable in (*sim.keras_model.weights, *sim.keras_model.optimizer.variables):
        hashed.update(variable.numpy().tobytes())
    return hashed.hexdigest()


class Loaded:
    """A simulator that trains the network that was asked for last.

    Parameters
    ----------
    args : argparse.Namespace
        Arguments of this script.
    """

    def __init__(self, args):
        self.args = args
        self.sim = None

    def load(self, network):
        """Build and train once."""
        import tensorflow as tf
        from training_networks import NETWORKS

        import nengo_dl

        if self.sim is not None:
            self.sim.close()
        tf.keras.utils.set_random_seed(0)  # of the order of the items
        net = NETWORKS[network]()
        x, y = targets_and_inputs(net, self.args.minibatches)
        self.sim = sim = nengo_dl.Simulator(
            net, minibatch_size=net.batch, unroll_simulation=self.args.unroll, progress_bar=False
        )
        # so slow that the network stays the same, which matters to nobody's time
        optimizer = getattr(tf.keras.optimizers, self.args.optimizer)(1e-9)
        sim.compile(optimizer, loss={net.p: "mse"})
        each = tf.keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: None)
        self.fit = lambda *callbacks: sim.fit(
            {net.inp: x}, {net.p: y}, verbose=0, callbacks=list(callbacks)
        ).history["loss"][0]
        self.fit_callback = lambda: self.fit(each)
        first, loss = timed(self.fit)
        self.step = train_step(sim, net, x, y)
        return {"first_fit_seconds": first["seconds"], "loss": float(loss)}

    def call(self, name, repeat=1, warm_up=0):
        """Time a call, per minibatch."""
        minibatches = 1 if name == "step" else self.args.minibatches
        values, _ = timed(getattr(self, name), repeat, warm_up)
        return {name: value / minibatches for name, value in values.items()}

    def digest(self):
        """See `digest`."""
        return {"digest": digest(self.sim)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--unroll", type=int, default=1)
    parser.add_argument("--minibatches", type=int, required=True, help="of a call of fit")
    parser.add_argument("--optimizer", default="SGD", help="name in Keras (%(default)s)")
    parser.add_argument("--threads", type=int, help="within an operation; TensorFlow's default")
    args = parser.parse_args()
    channel = Channel()
    if args.threads:
        limit_threads(args.threads)
    import nengo_dl

    channel.answer(
        python=sys.version.split()[0],
        package=nengo_dl.__file__,
        versions={
            name: importlib.import_module(name).__version__
            for name in ("nengo_dl", "nengo", "numpy", "tensorflow", "keras")
        },
    )
    loaded = Loaded(args)
    names = ("fit", "fit_callback", "step")
    calls = {name: functools.partial(loaded.call, name) for name in names}
    channel.serve({"load": loaded.load, "digest": loaded.digest, **calls})


if __name__ == "__main__":
    main()
