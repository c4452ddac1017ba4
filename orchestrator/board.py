"""Who may have something to answer: the desks and pools of a team, and the line in which they stand."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from orchestrator.blocks import OWNER
from orchestrator.calls import BOOKKEEPING, Count, Desk, Pool
from orchestrator.events import BlockChanged, BlockCreated, BlockModified, Cause, ChangeRefused
from orchestrator.handoffs import Handoffs
from orchestrator.ports import Sleep
from orchestrator.team import Team


class Made(NamedTuple):
    """What wakes an agent that the owner makes: by the key of a block, whose changes; and turns of others."""

    wakes: Mapping[str, tuple[str, ...]]
    sleeps: tuple[Sleep, ...]


class Board:
    """Keeps the calls of a team: what was written puts them there, turns take them away."""

    def __init__(self, team: Team) -> None:
        self.desks = {agent.name: Desk(agent.name) for agent in team.members}
        self.handoffs = Handoffs(team)
        self.pools: dict[int, Pool] = {}
        #: Those whose desk is not empty; and agents and pools that may have a turn to take, the first one first.
        self.laden: dict[str, Desk] = {}
        self.line: dict[str | int, Desk | Pool] = {}
        #: Who is woken by a change of a block: which of the declared wakes, whose changes count, and whom it wakes.
        self._woken: dict[str, list[tuple[int | None, tuple[str, ...], tuple[str, ...]]]] = {}
        self._pools_on: dict[str, list[Pool]] = {}
        self._pools_of: dict[str, list[Pool]] = {}
        #: What wakes the agents that the owner makes. They are there when the log says so.
        self._made: dict[str, Made] = {}
        #: Those for whom turns of others are counted.
        self._sleepers: dict[str, Desk] = {}
        for entry in team.wakes:
            if entry.wake.is_sleeptime:
                sleep = Sleep(entry.wake.every, entry.wake.idle, entry.wake.authors)
                for member in entry.members:
                    self._count(self.desks[member], sleep, entry.number)
                continue
            if entry.wake.handoffs is not None:
                continue
            if entry.wake.when is None and entry.wake.full is None:
                woken = (entry.number, entry.wake.authors, entry.members)
                self._woken.setdefault(entry.key, []).append(woken)
                continue
            pool = self.pools[entry.number] = Pool(entry, idle=dict.fromkeys(entry.members))
            self._pools_on.setdefault(entry.key, []).append(pool)
            for member in entry.members:
                self._pools_of.setdefault(member, []).append(pool)

    # --- agents come and go

    def _count(self, desk: Desk, sleep: Sleep, wake: int | None) -> None:
        desk.counts.append(Count(sleep, wake))
        self._sleepers[desk.name] = desk

    def _count_for(self, agent: str) -> None:
        """Turns of others are counted for the agent, if it is a sleeptime agent: it is there, or there again."""
        if (desk := self.desks.get(agent)) is not None and desk.counts:
            self._sleepers[agent] = desk

    def all_are_there(self) -> None:
        """The team was opened again: a declared agent that was deleted has come back, also one that sees no block."""
        for agent in self.desks:
            self._count_for(agent)

    def join(self, agent: str, made: Made) -> None:
        """An agent that the owner makes, with what wakes it."""
        self._made[agent] = made

    def created(self, agent: str) -> None:
        """The agent is there. What happened before does not concern it."""
        if agent not in self._made:  # it was made once, and is now declared, or no longer known
            self._count_for(agent)
            return
        made = self._made[agent]
        desk = self.desks[agent] = Desk(agent)
        for key, authors in made.wakes.items():
            self._woken.setdefault(key, []).append((None, authors, (agent,)))
        for sleep in made.sleeps:
            self._count(desk, sleep, None)

    def deleted(self, agent: str) -> None:
        """The agent is gone, if the owner had made it. One that is declared may come back: until then, nothing
        concerns it.
        """
        desk = self.desks.get(agent)
        if desk is None:
            return
        if agent in self._made:
            self._remove(agent)
            return
        desk.messages.clear()
        desk.handed.clear()
        desk.writes.clear()
        self._sleepers.pop(agent, None)
        for count in desk.counts:
            count.begin_anew()
        self.line_up(desk)
        desk.blind.update(key for key, woken in self._woken.items() if any(agent in names for _, _, names in woken))
        for pool in self._pools_of.get(agent, ()):
            desk.blind.add(pool.entry.key)
            pool.idle.pop(agent, None)

    def leave(self, agent: str) -> None:
        """The agent is not in the team any more, or was not made after all."""
        self._made.pop(agent, None)
        if agent in self.desks:
            self._remove(agent)

    def _remove(self, agent: str) -> None:
        del self.desks[agent]
        self._sleepers.pop(agent, None)
        self.laden.pop(agent, None)
        self.line.pop(agent, None)
        for pool in self._pools_of.pop(agent, ()):
            pool.idle.pop(agent, None)
        for key, woken in list(self._woken.items()):
            left = [(number, by, tuple(name for name in names if name != agent)) for number, by, names in woken]
            self._woken[key] = [entry for entry in left if entry[2]]

    def attached(self, agent: str, key: str) -> None:
        """The agent sees the block."""
        self._count_for(agent)
        desk = self.desks.get(agent)
        if desk is None or key not in desk.blind:
            return
        desk.blind.discard(key)
        if not desk.busy:
            self._become_idle(desk)

    def detached(self, agent: str, key: str) -> None:
        """The agent does not see the block any more, so it does not call the agent."""
        desk = self.desks.get(agent)
        if desk is None:
            return
        desk.blind.add(key)
        desk.writes.pop(key, None)
        self.line_up(desk)
        for pool in self._pools_of.get(agent, ()):
            if pool.entry.key == key:
                pool.idle.pop(agent, None)

    # --- blocks change

    def block_created(self, event: BlockCreated) -> None:
        """A block came to be."""
        for pool in self._pools_on.get(event.key, ()):
            pool.version, pool.by, pool.answered, pool.limit = event.version, OWNER, 0, event.limit
            pool.look(event.value, event.version)
            self.line_up(pool)

    def block_changed(self, event: BlockChanged, writer: str) -> None:
        """A block has a new text: it may call, and wake.

        Args:
            writer: who made the change, also where the engine has moved lines to an archive for it; not woken.
        """
        for pool in self._pools_on.get(event.key, ()):
            pool.changed(event)
            self.line_up(pool)
        if event.operation in BOOKKEEPING:
            return
        for number, authors, members in self._woken.get(event.key, ()):
            if authors and event.by not in authors:
                continue
            for member in members:
                desk = self.desks[member]
                if member != writer and event.key not in desk.blind:
                    desk.write(event, number)
                    self.line_up(desk)

    def block_modified(self, event: BlockModified) -> None:
        """A block may have another limit, or be read-only no longer: it may call others than before."""
        for pool in self._pools_on.get(event.key, ()):
            pool.modified(event)
            self.line_up(pool)

    def change_refused(self, event: ChangeRefused) -> None:
        """A change was not made: where there was no room for it, the block may call those who make room."""
        for pool in self._pools_on.get(event.key or "", ()):
            pool.turned_away(event)
            self.line_up(pool)

    def block_deleted(self, key: str) -> None:
        """A block is gone, after nobody saw it any more: it calls nobody."""
        for pool in self._pools_on.get(key, ()):
            pool.wanted, pool.runs, pool.broken = 0, (), ""
            self.line_up(pool)

    def would_wake(self, key: str, author: str, text: str | None, limit: int) -> bool:
        """Whether a change of the block by this author to this text, and this limit, would start somebody's turn; with
        None the text stays.
        """
        if text is None:
            return any(self.members(pool) and pool.would_be_full(limit) for pool in self._pools_on.get(key, ()))
        return any(
            (not authors or author in authors) and any(key not in self.desks[member].blind for member in members)
            for _, authors, members in self._woken.get(key, ())
        ) or any(self.members(pool) and pool.would_call(text, limit) for pool in self._pools_on.get(key, ()))

    # --- turns

    def pool(self, cause: Cause, agent: str) -> Pool | None:
        """The pool that a turn of the agent was started for, if it was for one."""
        if cause.kind not in ("call", "full") or cause.wake is None:
            return None
        may_be = [
            pool
            for pool in self._pools_on.get(cause.key or "", ())
            if agent in pool.entry.members and pool.makes_room == (cause.kind == "full")
        ]
        # Of another number is the one of a team that was declared with its wakes in another order.
        return next((pool for pool in may_be if pool.entry.number == cause.wake), may_be[0] if may_be else None)

    def pools_of(self, agent: str) -> Iterable[Pool]:
        """The pools that an agent belongs to."""
        return self._pools_of.get(agent, ())

    def members(self, pool: Pool) -> tuple[str, ...]:
        """Those of a pool's agents that are in the team and see its block."""
        return tuple(
            name
            for name in pool.entry.members
            if pool in self.pools_of(name) and pool.entry.key not in self.desks[name].blind
        )

    def is_kept_back(self, agent: str, kept: set[str]) -> bool:
        """Whether a partner's turn has to end before the agent's begins, or an agent that waits longer comes first.

        `kept` are the partners of those that wait: they are added to it, or two of them could keep a third one waiting
        for ever, by turns.
        """
        partners = self.handoffs.partners.get(agent)
        if partners is None:
            return False
        if agent in kept:
            return True
        if not any(name in self.desks and self.desks[name].busy for name in partners):
            return False
        kept |= partners
        return True

    def hand_out(self, agent: str, causes: Iterable[Cause]) -> None:
        """The agent gets a turn: who gets one leaves its place in the line; a pool that needs more goes to the end."""
        self.desks[agent].busy = True
        for joined in self._pools_of.get(agent, ()):
            joined.idle.pop(agent, None)
        for cause in causes:
            if pool := self.pool(cause, agent):
                pool.starting += 1
                self.line.pop(pool.entry.number, None)
                self.line_up(pool)
            else:
                self.line.pop(agent, None)

    # --- sleeptime agents

    def turn_ended(self, agent: str, runs: tuple[str, ...]) -> None:
        """A turn that did more than tidy up has ended: for others it counts."""
        for desk in self._sleepers.values():
            if desk.name != agent:
                for count in desk.counts:
                    count.add(agent, runs)
                self.line_up(desk)

    @property
    def is_round_due(self) -> bool:
        """Whether a sleeptime agent has something to look at when nobody has anything left to do."""
        return any(self._due())

    def ask_round(self, run: str) -> None:
        """Nobody has anything left to do: before the run ends, sleeptime agents take their turns."""
        for desk, count in list(self._due()):
            count.before = run
            self.line_up(desk)

    def _due(self) -> Iterator[tuple[Desk, Count]]:
        for desk in self._sleepers.values():
            for count in desk.counts:
                if count.sleep.idle and count.turns:
                    yield desk, count

    def is_in_round(self, run: str) -> bool:
        """Whether a sleeptime agent has yet to take its turn before the run ends."""
        return any(count.before == run for desk in self._sleepers.values() for count in desk.counts)

    def end_round(self, run: str) -> None:
        """The run has ended, whoever has taken a turn before."""
        for desk in self._sleepers.values():
            for count in desk.counts:
                if count.before == run:
                    count.before = None
            self.line_up(desk)

    # --- who is free

    def become_free(self, desk: Desk) -> None:
        """The agent has no turn any more."""
        desk.busy = desk.at_work = False
        self.line_up(desk)
        self._become_idle(desk)

    def _become_idle(self, desk: Desk) -> None:
        for pool in self._pools_of.get(desk.name, ()):
            if pool.entry.key not in desk.blind:
                pool.idle[desk.name] = None
            self.line_up(pool)  # also what it left undone, for the others

    def line_up(self, waiting: Desk | Pool) -> None:
        """Who has something to answer stands in line, and keeps its place until it gets a turn."""
        if isinstance(waiting, Pool):
            if waiting.need > 0:
                self.line.setdefault(waiting.entry.number, waiting)
            else:
                self.line.pop(waiting.entry.number, None)
        elif not waiting.is_laden:
            self.laden.pop(waiting.name, None)
            self.line.pop(waiting.name, None)
        else:
            self.laden[waiting.name] = waiting
            if not waiting.at_work:
                self.line.setdefault(waiting.name, waiting)

    def line_up_all(self) -> None:
        """Whoever has something to answer stands in line."""
        for laden in self.laden.values():
            self.line_up(laden)
        for pool in self.pools.values():
            self.line_up(pool)
