"""Ensembles whose biases are kept without the gain, for scaled firing rates."""

from __future__ import annotations

from typing import Any

import nengo
from nengo.builder import Builder, Signal
from nengo.builder.operator import Copy, ElementwiseInc, Reset


class ScaledEnsemble(nengo.Ensemble):
    """An Ensemble whose bias is computed in each step, as its gain times a parameter.

    It is what Nengo's is, with the same biases. The parameter, which is trained and saved, does not
    depend on the gain, so that files of networks with other gains fit.
    """


@Builder.register(ScaledEnsemble)
def build_scaled_ensemble(model: Any, ens: ScaledEnsemble) -> None:
    """Build it as Nengo does, and then split its bias into two signals.

    Parameters
    ----------
    model : nengo.builder.Model
        The model.
    ens : ScaledEnsemble
        The ensemble.
    """
    Builder.builders[nengo.Ensemble](model, ens)
    signals, built = model.sig[ens.neurons], model.params[ens]
    whole, target = signals["bias"], signals["in"]
    signals["bias"] = Signal(built.bias / built.gain, name=whole.name, readonly=True)
    signals["gain"] = Signal(built.gain, name=f"{ens}.gain", readonly=True)
    model.operators[:] = [
        op
        for op in model.operators
        if not (isinstance(op, Copy) and op.src is whole and op.dst is target)
    ]
    model.add_op(Reset(target))
    model.add_op(ElementwiseInc(signals["bias"], signals["gain"], target, tag=f"{ens} bias"))
