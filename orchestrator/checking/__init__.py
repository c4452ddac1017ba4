"""What can go wrong with a team, told before it runs; and what went wrong, told of a store that was used."""

from __future__ import annotations

import os

from orchestrator.checking.findings import Finding
from orchestrator.checking.report import Pair, Race, Report
from orchestrator.errors import DeclarationError
from orchestrator.models import VARIABLE, check_model
from orchestrator.ports import Model
from orchestrator.runs import Budget
from orchestrator.team import Team

__all__ = ["Finding", "Pair", "Race", "Report", "check"]


def check(team: Team, *, model: str | Model | None = None, budget: Budget | None = None) -> Report:
    """What may go wrong with a team, by its declaration alone: nothing is opened, and no model is asked.

    The races say which of its agents can change a block at the same time, in one run or only in several at once, and
    whether an update is lost, refused, or safe. `orchestrator check --explain CODE` says more of each finding.

    Args:
        model: the model that all agents are to have, as in `Orchestrator(team, model=…)`.
        budget: what a run may spend; the default one if it is left out.

    Raises:
        DeclarationError: an argument cannot be what it is.
    """
    from orchestrator.checking.asked import Asked  # with all rules and their words: only those who check need them
    from orchestrator.checking.judging import judged

    if not isinstance(team, Team):
        raise DeclarationError("a check", f"team is {team!r}; give a Team")
    if budget is not None and not isinstance(budget, Budget):
        raise DeclarationError("a check", f"budget is {budget!r}; give a Budget")
    if model is not None and not isinstance(model, str):
        check_model("a check", model)
    return judged(Asked(team, model, budget or Budget(), os.environ.get(VARIABLE)))
