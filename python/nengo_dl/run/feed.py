"""Rows for the inputs of a program: given data, or what the input nodes themselves give."""

import contextlib

import numpy as np

from .inputs import PythonRows


class Feed:
    """Hands out the rows of all input nodes, a piece of a run at a time.

    Rows that a run did not get to use are kept for the next one.

    Parameters
    ----------
    nodes : nengo_dl.run.inputs.InputNodes
        The input nodes.
    processes : dict
        Node -> `nengo_dl.run.process_rows.ProcessRows`.
    minibatch_size : int
        Items per minibatch.
    guard : context manager
        Entered around user code.
    """

    def __init__(self, nodes, processes, minibatch_size, guard):
        self.nodes = nodes
        self.processes = processes
        self.minibatch_size = minibatch_size
        self.python = PythonRows(nodes, processes, minibatch_size, guard)
        self.cached = {}  # node -> rows that are the same in every step
        self.ahead = (*nodes.functions, *processes)  # nodes whose rows are made ahead
        self.forget()
        self.at, self.given_for = None, None
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
        return any(node not in data for node in self.ahead) if data else bool(self.ahead)

    def start(self, data, first_step):
        """Begin a run with given data, ``{node: (minibatch, n_steps, size)}``."""
        self.data = data
        if self.given_for != data.keys():
            self._sort_out(data)
        for node, source in self.nodes.sources.items():
            source.given = node in data
        if first_step is None or first_step != self.at:
            self.forget()
        self.at = first_step

    def _sort_out(self, data):
        """Find out which nodes give rows of their own if others have data."""
        self.given_for = set(data)
        self.wanted = [node for node in self.nodes.functions if node not in data]
        self.running = [node for node in self.processes if node not in data]
        self.making = bool(self.wanted or self.running)
        python = [node for node in self.running if self.processes[node].plan.callbacks]
        # what is written in Python may share something: then all of it is called step by step
        together = {*self.wanted, *(python if self.wanted or len(python) > 1 else ())}
        self.together = [node for node in self.nodes.called if node in together]
        self.forget()

    @contextlib.contextmanager
    def put_back_on_errors(self):
        """If what is within is left by an exception, go back to where native processes were."""
        given, rows = self.given_for, (self.rows, self.left, self.at, self.error)
        states = [(p, p.state.copy(), p.istate.copy()) for p in self.processes.values()]
        try:
            yield
        except BaseException:
            self._sort_out(given)
            self.rows, self.left, self.at, self.error = rows
            for process, state, istate in states:
                process.state, process.istate = state, istate
            raise

    def forget(self):
        """Drop rows that were made but not used."""
        self.rows = {}  # of steps to come
        self.left = 0  # how many
        self.error = None  # what was raised after them

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
        if not self.making:
            return [self._rows(node, done, limit) for node in self.nodes.nodes], limit
        if self.left == 0:
            self._generate(limit)
        steps = min(limit, self.left)
        return [self._rows(node, done, steps) for node in self.nodes.nodes], steps

    def used(self, steps):
        """Say how many of the rows were used."""
        if not self.making:
            return
        self.at += steps
        self.left -= steps
        if self.left:
            self.rows = {node: rows[:, steps:] for node, rows in self.rows.items()}

    def finish(self):
        """Raise what was raised after the last row was made and used: Ctrl-C on the way out."""
        if self.error is not None and self.left == 0:
            self._raise()

    def _raise(self):
        if self.error is not None:
            error, self.error = self.error, None
            raise error

    def _generate(self, limit):
        self._raise()
        rows, steps, error = {}, limit, None
        if self.together:
            rows, steps, error = self.python.generate(self.together, self.at, limit)
        for node in self.running:
            if node in rows:
                continue
            rows[node], made, failed = self.processes[node].generate(self.at, steps)
            if failed is not None:
                steps, error = made, failed
        if steps < limit:
            rows = {node: values[:, :steps] for node, values in rows.items()}
        self.rows, self.left, self.error = rows, steps, error
        if not steps and self.error is not None:
            self._generate(limit)  # nothing to simulate before the error

    def _rows(self, node, done, steps):
        if node in self.data:
            return self.data[node][:, done : done + steps]
        if node in self.rows:
            rows = self.rows[node]
            return rows if rows.shape[1] == steps else rows[:, :steps]
        rows = self.cached.get(node)
        if rows is None or rows.shape[1] != steps:
            value = self.nodes.constants.get(node)
            if value is None:  # a function that stays in the program
                value = np.zeros(node.size_out, self.nodes.dtype)
            shape = (self.minibatch_size, steps, node.size_out)
            rows = np.ascontiguousarray(np.broadcast_to(value, shape), self.nodes.dtype)
            rows.flags.writeable = False
            self.cached[node] = rows
        return rows
