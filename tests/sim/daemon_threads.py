"""Ends while daemon threads run, predict and fit; run by test_threads.py."""

import threading
import time

import nengo
import numpy as np

import nengo_dl


def sleepy(t):
    time.sleep(0.002)
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


y = np.zeros((1, 50, 1))
for function in (0.3, np.sin, sleepy):
    _, sim = simulator(function)
    start(lambda sim=sim: sim.run_steps(50, progress_bar=False))
    _, sim = simulator(function)
    start(lambda sim=sim: sim.predict(n_steps=50))
    net, sim = simulator(function)
    sim.compile("sgd", loss={net.p: "mse"})
    start(lambda sim=sim, net=net: sim.fit(n_steps=50, y={net.p: y}, verbose=0))
print("main ends")
