"""The planner: from a built Nengo model to a plan. Needs neither TensorFlow nor the engine."""

from .layout import Place
from .lower import CallbackSpec
from .pieces import Plan, RngSlot, Run, TableSlot, only_run, plan_of
from .planner import make_plan

__all__ = [
    "CallbackSpec",
    "Place",
    "Plan",
    "RngSlot",
    "Run",
    "TableSlot",
    "make_plan",
    "only_run",
    "plan_of",
]
