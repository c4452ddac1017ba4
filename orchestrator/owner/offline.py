"""What an owner does to a block while the team is not open: no model is asked, no turn is started."""

from __future__ import annotations

from typing import NamedTuple

import anyio

from orchestrator.agents import Agent
from orchestrator.blocks import BlockState
from orchestrator.changes import Changes
from orchestrator.declaring import check_team
from orchestrator.environment import Environment
from orchestrator.owner.looking import key_called, names
from orchestrator.ownership import Modification, Ownership
from orchestrator.ports import Reader, Store, Transaction
from orchestrator.roster import Roster
from orchestrator.team import Team


class Written(NamedTuple):
    """A block after the owner's write."""

    name: str
    state: BlockState
    #: False where it had the text already: then nothing was written.
    changed: bool


async def set_text(store: Store, name: str, text: str, *, team: Team | None = None) -> Written:
    """Give the block of that name another text, as a new version by the owner.

    It wakes nobody by itself: whoever it wakes is woken when the team is next given a message. Raises `StoreError` if
    somebody has the store open or if it is another team's; `OverLimit`, `UnusableText` or `Guarded` if the block
    cannot have the text.

    Args:
        team: whose guards are asked. Without it none is asked, since a store keeps no functions.
    """
    environment = Environment()

    def work(tx: Transaction) -> Written:
        if team is not None:
            check_team(tx, team)
        key = key_called(tx, name)
        before = tx.block(key)
        owner = Ownership(Changes(Roster(team or _stand_in(tx, key)), environment))
        block = owner.modify(tx, key, Modification(text), ())
        return Written(names(tx)[key], block, block != before)

    await store.open(environment)
    try:
        return (await store.transact(work)).result
    finally:
        with anyio.CancelScope(shield=True):
            await store.close()


def _stand_in(rows: Reader, key: str) -> Team:
    """A team of the stored agents' names, as far as a write needs one."""
    agents = [Agent(record.name) for record in rows.agents()]
    return Team(key.partition(":")[0], agents or [Agent("nobody")])
