"""The planner: from a built Nengo model to a program. Needs neither TensorFlow nor the engine."""

from .planner import CallbackSpec, Place, Plan, RngSlot, TableSlot, make_plan

__all__ = ["CallbackSpec", "Place", "Plan", "RngSlot", "TableSlot", "make_plan"]
