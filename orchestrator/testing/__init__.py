"""Test your team without a model, a clock or a network; and under a thousand schedules."""

from orchestrator.simulation.escapes import EscapedSimulation
from orchestrator.simulation.exploring import Tell
from orchestrator.simulation.faults import Faults
from orchestrator.simulation.history import History, read_history
from orchestrator.simulation.judging import Flaw
from orchestrator.simulation.latency import Latency, LogNormal
from orchestrator.simulation.observed import Contradiction, Operation, check_history
from orchestrator.simulation.orders import linearizable
from orchestrator.simulation.promises import Violation, violations
from orchestrator.simulation.recordings import RecordedModel, RecordingModel
from orchestrator.simulation.reports import Failure, ScheduleFailed, SimulationReport
from orchestrator.simulation.searching import SearchReport, exhaust
from orchestrator.simulation.simulating import simulate
from orchestrator.testing.models import FunctionModel, Line, Say, ScriptedModel, call, edit, together
from orchestrator.testing.store_contract import StoreContract
from orchestrator.testing.time import simulated_time

__all__ = [
    "Contradiction",
    "EscapedSimulation",
    "Failure",
    "Faults",
    "Flaw",
    "FunctionModel",
    "History",
    "Latency",
    "Line",
    "LogNormal",
    "Operation",
    "RecordedModel",
    "RecordingModel",
    "Say",
    "ScheduleFailed",
    "ScriptedModel",
    "SearchReport",
    "SimulationReport",
    "StoreContract",
    "Tell",
    "Violation",
    "call",
    "check_history",
    "edit",
    "exhaust",
    "linearizable",
    "read_history",
    "simulate",
    "simulated_time",
    "together",
    "violations",
]
