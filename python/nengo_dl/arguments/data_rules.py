"""What data for a model has to fit: its input nodes, minibatches and numbers of steps."""

from dataclasses import dataclass

from nengo.exceptions import ValidationError

from .checks import step_count
from .data_forms import by_node, check_data, truncate
from .names import Names


@dataclass(frozen=True)
class DataRules:
    """What data for a model has to fit.

    Parameters
    ----------
    names : nengo_dl.arguments.names.Names
        The input nodes and probes.
    minibatch_size, unroll : int
        Items per minibatch, and the number of which numbers of steps are a multiple.
    use_loop : bool
        Whether runs may have any multiple of ``unroll`` steps, or just that many.
    """

    names: Names
    minibatch_size: int
    unroll: int
    use_loop: bool

    def for_run(self, data, n_steps):
        """Sort out and check values for a run of one minibatch.

        Parameters
        ----------
        data : None, dict, list, tuple, array or tensor
            As in `nengo_dl.arguments.data_forms.by_node`.
        n_steps : int
            Steps of the run, a multiple of ``unroll``.

        Returns
        -------
        dict
            Node -> ``(minibatch_size, n_steps, size)``.
        """
        values = by_node(data, self.names)
        if values:
            size = self.minibatch_size
            check_data(values, self.names, size, self.unroll, n_steps, size)
        self._check_loop(n_steps)
        return values

    def for_call(self, x, n_steps, items="any"):
        """Sort out and check values for a call of Keras.

        Parameters
        ----------
        x : None, dict, list, tuple, array or tensor
            As in `nengo_dl.arguments.data_forms.by_node`.
        n_steps : int or None
            Steps of each minibatch; needed where there is no data.
        items : str
            How many there may be: ``"any"`` number; ``"whole"`` minibatches, items that fill none
            are dropped, with a warning; ``"one"`` minibatch.

        Returns
        -------
        values : dict
            Node -> ``(items, n_steps, size)``.
        items : int or None
            Number of items; None without data, unless there is to be one minibatch.
        steps : int
            Number of steps.
        """
        values, size = by_node(x, self.names), self.minibatch_size
        if not values and n_steps is None:
            raise ValidationError("Must specify either input data or n_steps", "n_steps")
        n_steps = None if n_steps is None else step_count(n_steps)
        if items == "whole":
            values = truncate(values, size)
        least, exactly = (1 if items == "any" else size), (size if items == "one" else None)
        items, steps = check_data(values, self.names, least, self.unroll, n_steps, exactly)
        if steps % self.unroll:
            raise ValidationError(
                f"n_steps ({steps}) is not evenly divisible by unroll_simulation ({self.unroll})",
                "n_steps",
            )
        self._check_loop(steps)
        return values, items, steps

    def _check_loop(self, n_steps):
        if not self.use_loop and n_steps != self.unroll:
            raise ValidationError(
                f"with use_loop=False a run has exactly unroll_simulation={self.unroll} steps,"
                f" got {n_steps}",
                "n_steps",
            )
