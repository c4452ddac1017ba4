"""Test your team without a model, a clock or a network."""

from orchestrator.testing.models import FunctionModel, Line, Say, ScriptedModel, call, edit, together
from orchestrator.testing.store_contract import StoreContract
from orchestrator.testing.time import simulated_time

__all__ = [
    "FunctionModel",
    "Line",
    "Say",
    "ScriptedModel",
    "StoreContract",
    "call",
    "edit",
    "simulated_time",
    "together",
]
