"""Names of NengoDL's graph optimizer, for `nengo_dl.configure_settings`.

The simplifications are those of this backend (`nengo_dl.plan.simplify`). The planners and sorters
are names only: operators are ordered and merged by passes of its own, which ``print(sim.plan)``
shows, whatever the settings ``planner`` and ``sorter`` say.
"""

from typing import Any, NoReturn

from .plan.simplify import (
    default_simplifications,
    remove_constant_copies,
    remove_dead_code,
    remove_identity_muls,
    remove_reset_incs,
    remove_unmodified_resets,
    remove_zero_incs,
)

__all__ = [
    "default_simplifications",
    "greedy_planner",
    "noop_order_signals",
    "noop_planner",
    "order_signals",
    "remove_constant_copies",
    "remove_dead_code",
    "remove_identity_muls",
    "remove_reset_incs",
    "remove_unmodified_resets",
    "remove_zero_incs",
    "transitive_planner",
    "tree_planner",
]


class NamedOnly:
    """A planner or sorter that settings take, also within `functools.partial`, and nothing calls.

    Parameters
    ----------
    name : str
        Its name.
    """

    def __init__(self, name: str) -> None:
        self.__name__ = name

    def __call__(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refuse to plan."""
        raise NotImplementedError(
            f"nengo_dl.graph_optimizer.{self.__name__} is a name for nengo_dl.configure_settings, "
            "and can't be called: the planner of this backend has its own ways, see print(sim.plan)"
        )

    def __repr__(self) -> str:
        return f"nengo_dl.graph_optimizer.{self.__name__}"


noop_planner = NamedOnly("noop_planner")
greedy_planner = NamedOnly("greedy_planner")
tree_planner = NamedOnly("tree_planner")
transitive_planner = NamedOnly("transitive_planner")
order_signals = NamedOnly("order_signals")
noop_order_signals = NamedOnly("noop_order_signals")
