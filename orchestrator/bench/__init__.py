"""Workloads, percentiles, reports: how fast it is, beside bare task groups that do the same waiting.

Loaded by `orchestrator bench` only. README.md says what is measured, and how to read it.
"""

from orchestrator.bench.load import MESSAGE, MODEL, THINK, Load, measure
from orchestrator.bench.report import (
    Finding,
    Gain,
    Measured,
    Refusals,
    Sent,
    Timed,
    measured_document,
    suite_document,
)
from orchestrator.bench.thinking import Think
from orchestrator.bench.workloads import FULL, QUICK, WORKLOADS, Job, plan, run_jobs

__all__ = [
    "FULL",
    "MESSAGE",
    "MODEL",
    "QUICK",
    "THINK",
    "WORKLOADS",
    "Finding",
    "Gain",
    "Job",
    "Load",
    "Measured",
    "Refusals",
    "Sent",
    "Think",
    "Timed",
    "measure",
    "measured_document",
    "plan",
    "run_jobs",
    "suite_document",
]
