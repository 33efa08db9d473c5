"""Ctrl-C at random moments of build, run, predict and fit; run by test_interrupts.py.

Arguments: how many, and a seed. Every Ctrl-C is a real signal of another process. After each it is
checked that the simulator is usable, that what was simulated is there, and that later results are
those without the interruption. Prints one line each.
"""

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import keras
import nengo
import numpy as np

import nengo_dl

SENDER = """
import os, sys, time
for line in sys.stdin:
    time.sleep(float(line))
    os.kill({}, 2)
"""
RUN_STEPS, SHORT = 40_000, 30
ROWS = np.random.default_rng(0).uniform(-1, 1, (32, 20, 1))


def network():
    with nengo.Network(seed=1) as net:
        net.x = nengo.Node(lambda t: np.sin(20 * t), label="x")
        noise = nengo.Node(nengo.processes.WhiteSignal(0.5, high=20, seed=3))
        ens = nengo.Ensemble(20, 2)
        nengo.Connection(net.x, ens[0])
        nengo.Connection(noise, ens[1])
        nengo.Connection(ens, ens, synapse=0.05)
        out = nengo.Node(size_in=1)
        nengo.Connection(ens, out, function=lambda x: x[0] * x[1])
        net.p = nengo.Probe(out, synapse=0.01, label="p")
    return net


def quiet_network():
    """Without a process, which goes on from call to call."""
    with nengo.Network(seed=1) as net:
        net.x = nengo.Node([0.0], label="x")
        ens = nengo.Ensemble(20, 1)
        nengo.Connection(net.x, ens)
        nengo.Connection(ens, ens, synapse=0.05)
        out = nengo.Node(size_in=1)
        nengo.Connection(ens, out)
        net.p = nengo.Probe(out, synapse=0.01, label="p")
    return net


class Interrupter:
    """Calls a function and interrupts it, or what follows, after a while."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.sender = subprocess.Popen(
            [sys.executable, "-S", "-c", SENDER.format(os.getpid())],
            stdin=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def __call__(self, function, longest):
        """Return whether ``function`` was left before its end."""
        done = False
        try:
            print(self.random.uniform(0, longest), file=self.sender.stdin, flush=True)
            function()
            done = True
            time.sleep(60)
        except KeyboardInterrupt:
            return not done
        raise AssertionError("nobody saw the signal")


@contextmanager
def simulator(net, **kwargs):
    sim = nengo_dl.Simulator(net, progress_bar=False, **kwargs)
    try:
        yield sim
    finally:
        sim.close()


def timed(function):
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def equal(found, due):
    assert np.array_equal(found, due), np.abs(np.asarray(found) - due).max()


class Build:
    def __init__(self):
        self.net = network()
        self.longest = timed(self.build)

    def build(self):
        with simulator(self.net):
            pass

    def __call__(self, interrupter):
        left = interrupter(self.build, self.longest)
        with simulator(self.net) as sim:
            sim.run_steps(SHORT)
            equal(sim.data[self.net.p], Run.due[:SHORT])
        return left


class Run:
    due = None

    def __init__(self):
        self.net = network()
        self.sim = nengo_dl.Simulator(self.net, progress_bar=False)
        self.run()
        self.longest = timed(self.run)
        Run.due = np.array(self.sim.data[self.net.p])

    def run(self):
        self.sim.reset()
        for _ in range(3):  # a run that is short, and reading what it gave, too
            self.sim.run_steps(SHORT)
            self.read = self.sim.data[self.net.p]
        self.sim.run_steps(RUN_STEPS)

    def __call__(self, interrupter):
        left = interrupter(self.run, self.longest)
        steps = self.sim.n_steps
        assert len(self.sim.data[self.net.p]) == steps
        self.sim.run_steps(len(Run.due) - steps)
        equal(self.sim.data[self.net.p], Run.due)
        return left


class Predict:
    def __init__(self):
        self.net = quiet_network()
        with self.fresh() as sim:
            self.longest = timed(lambda: self.predict(sim))
            self.due = sim.predict({"x": ROWS})[self.net.p]

    def predict(self, sim):
        for _ in range(30):  # one is over before the other process has sent a signal
            sim.predict({"x": ROWS})

    def fresh(self):
        return simulator(self.net, minibatch_size=4)

    def __call__(self, interrupter):
        with self.fresh() as sim:
            before = sim.tensor_graph.get_state()
            left = interrupter(lambda: self.predict(sim), self.longest)
            for name, value in sim.tensor_graph.get_state().items():
                equal(value, before[name])
            equal(sim.predict({"x": ROWS})[self.net.p], self.due)
        return left


class Fit:
    def __init__(self):
        self.net = quiet_network()
        with self.fresh() as sim:
            self.longest = timed(lambda: self.fit(sim))
            self.due = self.again(sim)

    def fresh(self):
        return simulator(self.net, minibatch_size=4)

    def fit(self, sim):
        keras.utils.set_random_seed(0)
        sim.compile(keras.optimizers.Adam(1e-3), loss="mse")
        self.train(sim)

    def train(self, sim, epochs=3):
        data = ({"x": ROWS}, {"p": ROWS**2})
        return sim.fit(*data, validation_data=data, epochs=epochs, verbose=0)

    def again(self, sim):
        """What a training from the beginning gives."""
        sim.reset()
        keras.utils.set_random_seed(0)
        sim.compile(keras.optimizers.Adam(1e-3), loss="mse")
        history = self.train(sim).history
        return [*history.values(), *sim.keras_model.get_weights()]

    def __call__(self, interrupter):
        with self.fresh() as sim:
            floatx = keras.config.floatx()
            left = interrupter(lambda: self.fit(sim), self.longest)
            assert keras.config.floatx() == floatx
            if sim.keras_model.compiled:  # it can go on as it is
                self.train(sim, epochs=1)
            for found, due in zip(self.again(sim), self.due, strict=True):
                equal(found, due)
        return left


def main(count, seed):
    signal.signal(signal.SIGINT, signal.default_int_handler)
    interrupter = Interrupter(seed)
    works = [Run(), Build(), Predict(), Fit()]
    left = dict.fromkeys(works, 0)
    for number in range(count):
        work = works[number % len(works)]
        left[work] += work(interrupter)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        print(number, type(work).__name__, f"{work.longest:.2f} s", flush=True)
    for work, times in left.items():
        print(type(work).__name__, "was left", times, "times")
        assert times > 0
    works[0].sim.close()
    interrupter.sender.stdin.close()
    interrupter.sender.wait()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
