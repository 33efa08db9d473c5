"""The simulator: its façade, the data it holds, its parameters."""

from .facade import Simulator

__all__ = ["Simulator"]
