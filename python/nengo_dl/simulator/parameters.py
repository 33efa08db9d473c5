"""The methods of a simulator that save, load and hand out parameters."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..arguments.checks import warn_user
from ..run.interrupt import in_one_piece
from ..training import gradient_check
from . import frozen, saved_params
from .lifecycle import Lifecycle, in_turn

if TYPE_CHECKING:
    import nengo
    import numpy as np
    from numpy.typing import ArrayLike


class ParameterMethods(Lifecycle):
    """Saving, loading, freezing and checking of parameters."""

    @in_turn
    @in_one_piece
    def save_params(
        self,
        path: str | Path,
        include_state: bool = False,
        include_non_trainable: bool | None = None,
    ) -> None:
        """Save parameters to ``path`` + ``".npz"``.

        Parameters
        ----------
        path : str or pathlib.Path
            Name of the file, to which ``".npz"`` is always added.
        include_state : bool
            Also save the state: what lives from step to step, random generators and the
            number of steps.
        include_non_trainable : bool, optional
            Old name of ``include_state``.

        Notes
        -----
        There is an array for each parameter, by its name and in the shape of ``sim.data``:
        ``a.encoders`` (scaled), ``a.bias``, ``a_to_b.weights``, where ``a`` and ``b`` are labels.
        An object without a label goes by its class and number, one in a network within by that
        network, too: ``inner.Ensemble_0.bias``. Parameters that a learning rule changes have an
        axis of minibatch items first. With the state there are ``state``, ``istate`` and
        ``n_steps`` of ``sim.tensor_graph.saved_state``. What Python functions and the processes of
        input Nodes keep is not saved.
        """
        include_state = _with_state(include_state, include_non_trainable)
        saved_params.save(path, self._keras, include_state)

    @in_turn
    @in_one_piece
    def load_params(
        self,
        path: str | Path,
        include_state: bool = False,
        include_non_trainable: bool | None = None,
    ) -> None:
        """Load parameters that `save_params` has saved from the same network.

        Nothing changes if the file does not fit. The simulator may have other Probes, settings,
        precision, neuron types and another ``minibatch_size``, unless a learning rule gave each
        item its own parameters. The state takes the same of all of them.

        Parameters
        ----------
        path : str or pathlib.Path
            Name of the file without ``".npz"``.
        include_state : bool
            Whether the file has the state, too. The simulator goes on from the step at
            which it was saved.
        include_non_trainable : bool, optional
            Old name of ``include_state``.
        """
        include_state = _with_state(include_state, include_non_trainable)
        saved_params.load(path, self._keras, include_state)

    def get_nengo_params(
        self, nengo_objs: Any, as_dict: bool = False
    ) -> dict[str, Any] | list[dict[str, Any]]:
        """Return present parameters as arguments of Nengo's objects.

        ``nengo.Ensemble(n, d, **params)`` and ``nengo.Connection(a, b, **params)`` then have them.
        Of a closed simulator those with which it was built are returned, with a warning.

        Parameters
        ----------
        nengo_objs : Ensemble, Neurons, Connection or list of them
            The objects; for Neurons those of their Ensemble are returned.
        as_dict : bool
            Return a dict from labels instead of a list.

        Returns
        -------
        dict or list of dict
            Arguments of the object, or of each object.
        """
        arguments = self.data, nengo_objs, as_dict
        return self._turns.run("get_nengo_params", frozen.get_params, *arguments)

    @in_turn
    @in_one_piece
    def freeze_params(self, objs: Any) -> None:
        """Write present parameters into the network, so that `nengo.Simulator` runs it as trained.

        Nothing changes if one of the objects can't have its parameters.

        Parameters
        ----------
        objs : Network, Ensemble, Connection or list of them
            Objects of the network that this simulator was made of. Of a Network,
            Ensembles in Direct mode stay as they are.
        """
        frozen.freeze(self.data, objs)

    @in_turn
    @in_one_piece
    def check_gradients(
        self,
        inputs: Sequence[ArrayLike] | None = None,
        outputs: Sequence[nengo.Probe] | None = None,
        atol: float = 1e-5,
        rtol: float = 1e-3,
    ) -> dict[nengo.Probe, dict[str, list[np.ndarray]]]:
        """Compare the gradients of training with differences of outputs.

        The derivatives of all probed values by all values of input Nodes are computed in both
        ways, in training mode, from the beginning of the simulation. Afterwards the simulator is
        reset, but for its parameters and probed data.

        Parameters
        ----------
        inputs : list of array, optional
            Values ``(minibatch_size, n_steps, size)`` for each input Node, in their order. The
            default is zero in ``2 * unroll_simulation`` steps.
        outputs : list of nengo.Probe, optional
            Probes to check, by default all.
        atol, rtol : float
            A gradient may differ by ``atol + rtol * |difference quotient|``.

        Returns
        -------
        dict
            Probe -> ``{"analytic": [..], "numeric": [..]}``: for each input Node a
            matrix with a row for each probed value and a column for each value of the Node.

        Raises
        ------
        SimulationError
            If they differ, or if there is no training mode.
        """
        return gradient_check.check(self._keras, inputs, outputs, atol, rtol)


def _with_state(include_state: bool, include_non_trainable: bool | None) -> bool:
    if include_non_trainable is None:
        return include_state
    warn_user("include_non_trainable is deprecated, use include_state", DeprecationWarning)
    return include_non_trainable
