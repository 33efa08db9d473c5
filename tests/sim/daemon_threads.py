"""Ends while daemon threads run, predict and fit; run by test_threads.py."""

import threading
import time

import nengo
import numpy as np

import nengo_dl

asleep = threading.Event()


def sleepy(t):
    asleep.set()
    time.sleep(0.3)
    return np.sin(t)


def simulator(function):
    with nengo.Network(seed=0) as net:
        ens = nengo.Ensemble(20, 1)
        nengo.Connection(nengo.Node(function), ens)
        double = nengo.Node(lambda t, x: 2 * x, size_in=1)  # a function for each step
        if callable(function):
            nengo.Connection(ens, double)
        net.p = nengo.Probe(ens)
    return net, nengo_dl.Simulator(net, progress_bar=False)


def start(work):
    """Call a function again and again in a daemon thread; returns when it was called once."""
    called = threading.Event()

    def always():
        while True:
            work()
            called.set()

    threading.Thread(target=always, daemon=True).start()
    called.wait()


for function in (0.3, np.sin):
    _, sim = simulator(function)
    start(lambda sim=sim: sim.run_steps(50, progress_bar=False))
    _, sim = simulator(function)
    start(lambda sim=sim: sim.predict(n_steps=50))
net, sim = simulator(sleepy)
sim.compile("sgd", loss={net.p: "mse"})
y = np.zeros((1, 3, 1))
start(lambda: sim.fit(n_steps=3, y={net.p: y}, verbose=0))
# not between the steps of training: where Keras itself waits for the GIL (in optree) Python's way
# to end a thread aborts the process
asleep.clear()
asleep.wait()
print("main ends")
