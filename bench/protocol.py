"""How a benchmark talks to the processes that it measures: both ends of it.

A worker holds one simulator and does what it is asked. Requests and answers are lines of JSON: a
request names a call and its arguments, an answer says what came of it. The first answer, which
nobody asked for, says that the worker is ready. Only what Python 3.8 knows is used here, since
workers run under the original's Python, too.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

BENCH = Path(__file__).resolve().parent


class Worker:
    """The end that measures: a process that holds one simulator and answers requests.

    Parameters
    ----------
    python : str
        The interpreter.
    script : str
        A file of this folder that calls `serve`.
    *args
        Arguments of that script.
    package : str or Path, optional
        Folder to take ``nengo_dl`` from.
    """

    def __init__(self, python, script, *args, package=None):
        command = [python, "-W", "ignore", str(BENCH / script), *map(str, args)]
        environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"}
        if package is not None:
            environment["PYTHONPATH"] = str(package)
        elif python != sys.executable:  # another venv has packages of its own
            environment.pop("PYTHONPATH", None)
        self.errors = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            env=environment,
            text=True,
        )
        self._started = None

    @property
    def started(self):
        """The first answer, which is waited for."""
        if self._started is None:
            self._started = self._read()
        return self._started

    def ask(self, call, **arguments):
        """Have it do something; returns all that it answers."""
        self.started  # noqa: B018  the first answer is not that to the request
        self.process.stdin.write(json.dumps([call, arguments]) + "\n")
        self.process.stdin.flush()
        return self._read()

    def time(self, call, **arguments):
        """Seconds that a call took."""
        return self.ask(call, **arguments)["seconds"]

    def close(self):
        """End it and wait for its end."""
        self.process.communicate()
        self.errors.close()

    def _read(self):
        line = self.process.stdout.readline()
        if not line:
            self.process.wait()
            self.errors.seek(0)
            raise SystemExit(f"{' '.join(self.process.args)} failed:\n{self.errors.read()[-4000:]}")
        return json.loads(line)


class Channel:
    """The worker's end; what libraries print goes to stderr from now on."""

    def __init__(self):
        self._answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def answer(self, **values):
        """Write a line."""
        self._answers.write(json.dumps(values) + "\n")
        self._answers.flush()

    def serve(self, calls):
        """Answer requests until there are no more.

        Parameters
        ----------
        calls : dict
            Name of a call -> function of its arguments that returns the answer, a dict.
        """
        for line in sys.stdin:
            call, arguments = json.loads(line)
            self.answer(**calls[call](**arguments))


def timed(function, repeat=1, warm_up=0):
    """Call a function some times: seconds of one call, by the clock and of processors.

    Calls to warm up come before and do not count. Also returns what the last call returned.
    """
    for _ in range(warm_up):
        function()
    clock, cpu = time.perf_counter(), time.process_time()
    for _ in range(repeat):
        result = function()
    clock, cpu = time.perf_counter() - clock, time.process_time() - cpu
    return {"seconds": clock / repeat, "cpu_seconds": cpu / repeat}, result


def limit_threads(n_threads):
    """Have TensorFlow, and so this package, use so many threads within an operation."""
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(n_threads)
