"""Rows for the inputs of a program: given data, or what the input nodes themselves give."""

import contextlib

import numpy as np
import tensorflow as tf

from .inputs import PythonRows


class Feed:
    """Hands out the rows of all input nodes, a piece of a run at a time.

    Rows that a run did not get to use are kept for the next one.

    Parameters
    ----------
    nodes : nengo_dl.run.inputs.InputNodes
        The input nodes.
    processes : dict
        Node -> `nengo_dl.run.runtime.ProcessRows`.
    minibatch_size : int
        Items per minibatch.
    guard : context manager
        Entered around user code.
    """

    def __init__(self, nodes, processes, minibatch_size, guard):
        self.nodes = nodes
        self.processes = processes
        self.minibatch_size = minibatch_size
        self.python = PythonRows(nodes, processes, guard)
        self.cached = {}  # node -> rows that are the same in every step
        self.start({}, None)
        self.given = [True for _ in self.given]  # outside of runs, for the Keras model by itself

    @property
    def given(self):
        """list of bool : For each node that the program may call, whether there is data for it."""
        return [source.given for source in self.nodes.sources.values()]

    @given.setter
    def given(self, values):
        for source, given in zip(self.nodes.sources.values(), values, strict=True):
            source.given = given

    def timed(self, data):
        """Whether `start` has to know the first step: there are rows to be made."""
        return any(node not in data for node in (*self.nodes.functions, *self.processes))

    def start(self, data, first_step):
        """Begin a run with given data, ``{node: (minibatch, n_steps, size)}``."""
        self.data = data
        self.wanted = [node for node in self.nodes.functions if node not in data]
        self.running = [node for node in self.processes if node not in data]
        python = [node for node in self.running if self.processes[node].plan.callbacks]
        # what is written in Python may share something: then all of it is called step by step
        together = {*self.wanted, *(python if self.wanted or len(python) > 1 else ())}
        self.together = [node for node in self.nodes.called if node in together]
        for node, source in self.nodes.sources.items():
            source.given = node in data
        reusable = first_step is not None and first_step == getattr(self, "at", None)
        if not reusable or set(self.rows) != {*self.wanted, *self.running}:
            self.forget()
        self.at = first_step

    @contextlib.contextmanager
    def put_back_on_errors(self):
        """If what is within is left by an exception, go back to where native processes were."""
        rows = self.rows, self.left, self.at, self.error
        states = [(p, p.state.copy(), p.istate.copy()) for p in self.processes.values()]
        try:
            yield
        except BaseException:
            self.rows, self.left, self.at, self.error = rows
            for process, state, istate in states:
                process.state, process.istate = state, istate
            raise

    def forget(self):
        """Drop rows that were made but not used."""
        self.rows = {}
        self.left = 0
        self.error = None

    def next(self, done, limit):
        """Return rows for at most ``limit`` steps.

        Parameters
        ----------
        done : int
            Steps of this run that were done.
        limit : int
            Most steps.

        Returns
        -------
        inputs : list of array
            ``(minibatch, steps, size)`` for every input node.
        steps : int
            Number of rows.
        """
        if self.left == 0 and (self.wanted or self.running):
            self._generate(limit)
        steps = min(limit, self.left) if self.wanted or self.running else limit
        return [self._rows(node, done, steps) for node in self.nodes.nodes], steps

    def used(self, steps):
        """Say how many of the rows were used."""
        if self.wanted or self.running:
            self.at += steps
            self.left -= steps
            self.rows = {node: rows[:, steps:] for node, rows in self.rows.items()}

    def finish(self):
        """Raise what was raised after the last row was made and used: Ctrl-C on the way out."""
        if self.left == 0:
            self._raise()

    def _raise(self):
        if self.error is not None:
            error, self.error = self.error, None
            raise error

    def _generate(self, limit):
        self._raise()
        rows, steps, self.error = self.python.generate(self.together, self.at, limit)
        self.rows = {
            node: np.broadcast_to(values, (self.minibatch_size, *values.shape[-2:]))
            for node, values in rows.items()
        }
        for node in self.running:
            if node in rows:
                continue
            self.rows[node], made, error = self.processes[node].generate(self.at, steps)
            if error is not None:
                steps, self.error = made, error
        self.left = steps
        self.rows = {node: values[:, :steps] for node, values in self.rows.items()}
        if not steps and self.error is not None:
            self._generate(limit)  # nothing to simulate before the error

    def _rows(self, node, done, steps):
        if node in self.data:
            return self.data[node][:, done : done + steps]
        if node in self.rows:
            return self.rows[node][:, :steps]
        rows = self.cached.get(node)
        if rows is None or rows.shape[1] != steps:
            value = self.nodes.constants.get(node)
            if value is None:  # a function that stays in the program
                value = np.zeros(node.size_out, self.nodes.dtype)
            shape = (self.minibatch_size, steps, node.size_out)
            # as a tensor, which need not be converted again for every run
            rows = self.cached[node] = tf.constant(np.broadcast_to(value, shape))
        return rows
