"""The teams of the built-in workloads, with models that know their part."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Final, NamedTuple

from orchestrator.agents import Agent
from orchestrator.bench.baseline import wait
from orchestrator.blocks import Block, Placement
from orchestrator.messages import ToolCall
from orchestrator.ports import Model, ModelRequest, ModelResponse
from orchestrator.team import Team
from orchestrator.wakes import Wake

_DONE: Final = ModelResponse("done")


class Cast(NamedTuple):
    """A team, and the model that plays all its parts."""

    team: Team
    model: Model


class Player:
    """A model that answers with what a function of the request says."""

    def __init__(self, play: Callable[[ModelRequest], Awaitable[ModelResponse]]) -> None:
        self._play = play

    async def respond(self, request: ModelRequest) -> ModelResponse:
        """Play the agent's part."""
        return await self._play(request)


def insert(label: str, text: str) -> ModelResponse:
    """Adds a line to a block."""
    return ModelResponse("", [ToolCall("memory_insert", {"label": label, "new_string": text})])


def uneven(seconds: float) -> Cast:
    """A chain of three turns beside one that is three times as long, and a join when both are done."""
    bell, first, second, joined = Block("bell"), Block("first"), Block("second"), Block("joined")
    team = Team(
        "uneven",
        [
            Agent("start", blocks=[bell]),
            Agent("chain-1", blocks=[bell.reader(), first], wakes_on=[bell]),
            Agent("chain-2", blocks=[first.reader(), second], wakes_on=[first]),
            Agent("chain-3", blocks=[second.reader(), joined], wakes_on=[second]),
            Agent("long", blocks=[bell.reader(), joined], wakes_on=[bell]),
            Agent("join", blocks=[joined], wakes_on=[Wake(joined, when=_both_are_there)]),
        ],
    )
    parts = {
        "start": ("bell", 0.0),
        "chain-1": ("first", seconds),
        "chain-2": ("second", seconds),
        "chain-3": ("joined", seconds),
        "long": ("joined", 3 * seconds),
    }

    async def play(request: ModelRequest) -> ModelResponse:
        if request.agent not in parts or request.step:
            return _DONE
        label, pause = parts[request.agent]
        await wait(pause)
        return insert(label, f"by {request.agent}")

    return Cast(team, Player(play))


def _both_are_there(text: str) -> bool:
    return text.count("by ") == 2


def crowd(agents: int, seconds: float, inserts: int = 0) -> Cast:
    """Agents that are all woken by one write; each thinks before each insert into one block, and before it ends."""
    bell, notes = Block("bell"), Block("notes", limit=1_000_000)
    members = [Agent(f"agent-{n}", blocks=[bell.reader(), notes], wakes_on=[bell]) for n in range(agents)]

    async def play(request: ModelRequest) -> ModelResponse:
        if request.agent == "start":
            return _DONE if request.step else insert("bell", "go")
        await wait(seconds)
        return insert("notes", f"{request.agent}: {request.step}") if request.step < inserts else _DONE

    return Cast(Team("crowd", [Agent("start", blocks=[bell]), *members]), Player(play))


def pool(agents: int, turns: int, *, calls: bool = False) -> Cast:
    """A pool that takes so many turns in all and answers at once; with `calls`, each turn writes into an own block."""
    bell = Block("bell", str(turns))
    wake = Wake(bell, when=int)
    members = [Agent(f"agent-{n}", blocks=[bell.reader(), Block("scratch")], wakes_on=[wake]) for n in range(agents)]

    async def play(request: ModelRequest) -> ModelResponse:
        await wait(0)
        if not calls or request.step:
            return _DONE
        old = request.blocks["scratch"]
        if not old:
            return insert("scratch", "turn 1")
        # In place of the last line, so that the block does not grow.
        replace = {"label": "scratch", "old_string": old, "new_string": f"turn {int(old.split()[1]) + 1}"}
        return ModelResponse("", [ToolCall("memory_replace", replace)])

    return Cast(Team("pool", members), Player(play))


# --- a team with a hot block, whose prompts are like those of a real one

_INSTRUCTIONS: Final = """\
You are one of eight engineers who keep an online shop running. Each of you looks after one service and knows it better
than the others do; the board says what everybody is doing at the moment. You are told about incidents, customers'
complaints and planned changes as they come in, several times an hour.

When you are told something, decide first whether it concerns your service. If it does not, say in one sentence whom it
concerns and why you think so. If it does, find out what is known: look at the board for what others have seen in the
last minutes, since most incidents show in several services at once, and the first report seldom names the cause.

Keep your line on the board up to date, so that nobody has to ask you: what you are looking into, what you have ruled
out, and what you need from whom. One line is enough. Put what you have learned and others may need under the lines of
the team as a note that begins with your name, and take your note away when it is no longer true. Never change the line
or the note of somebody else; if you believe that it is wrong, say so in a note of your own and give your reason.

Prefer the change that can be taken back to the one that cannot. Restarting a service is yours to decide. Whatever
touches customers' data, prices or payments is not: describe what you would do and what could go wrong, and ask for a
second engineer. Do not guess at numbers; where you have not measured, say so.

Write as you would to a colleague who has been called out of bed: the state first, then the cause as far as it is known,
then what you do next. Three sentences are usually enough. No greetings, no apologies."""

_PERSONA: Final = """\
I look after the {service} service, which I have run for two years. I am careful with data and quick with restarts. I
know the usual suspects: certificates that run out, queues that fill up on the first of the month, and the nightly
export, which takes all connections when it runs late."""

_SERVICES: Final = ("cart", "search", "payment", "shipping", "catalogue", "accounts", "pricing", "mail")
_STATES: Final = (
    "latency is up by a third since the hour, and the database is not the cause; looking at the cache next",
    "ruled out the last deployment, which changed texts only; waiting for the numbers of the load balancer",
    "restarted two of six instances, and errors went down by half; watching the rest before I go on",
    "quiet since the restart; the queue is at its usual length, and I need nothing from anybody at the moment",
)
_STANDING: Final = (
    "agreed on Monday: no deployments to payment, pricing and accounts before the audit is over; ask the engineer of"
    " payment if something cannot wait",
    "agreed today: the nightly export runs at two o'clock instead of midnight, and stops by itself when it is late",
)
_MESSAGES: Final = (
    "Customers in two countries say that pages of the {service} service take more than ten seconds to come up.",
    "The alarm for {service} went off twice in five minutes and both times it went back by itself.",
    "A change to {service} is planned for tonight. Is there anything on the board that speaks against it?",
)


def hot_team(placement: Placement) -> Cast:
    """Eight agents that rewrite parts of one shared block in every turn; its placement is what is compared."""
    lines = [f"{service}: {_STATES[number % 4]}" for number, service in enumerate(_SERVICES)]
    board = Block(
        "board",
        "\n".join((*lines, *_STANDING)),
        "What everybody is doing, one line for each service; below it, notes for the others.",
        limit=4000,
        placement=placement,
    )
    members = [
        Agent(
            f"{service}-engineer",
            _INSTRUCTIONS,
            blocks=[Block("persona", _PERSONA.format(service=service)), board],
        )
        for service in _SERVICES
    ]
    return Cast(Team("shop", members), Player(_report))


def hot_messages(turn: int) -> Mapping[str, str]:
    """What each agent of the hot team is told in a turn."""
    return {
        f"{service}-engineer": _MESSAGES[(turn + number) % len(_MESSAGES)].format(service=service)
        for number, service in enumerate(_SERVICES)
    }


async def _report(request: ModelRequest) -> ModelResponse:
    """Add a note, or take it away and bring the own line up to date; then say so."""
    await wait(0)
    service = request.agent.removesuffix("-engineer")
    if request.step:
        return ModelResponse(f"{service.capitalize()} is up. I have brought the board up to date and go on watching.")
    lines = request.blocks["board"].split("\n")
    note = next((line for line in lines if line.startswith(f"note by {service}:")), None)
    if note is None:
        return insert("board", f"note by {service}: the errors began at the same minute as the export; it may be that")
    (old,) = (line for line in lines if line.startswith(f"{service}: "))
    state = old.removeprefix(f"{service}: ")
    new = f"{service}: {_STATES[(_STATES.index(state) + 1) % len(_STATES)]}"
    return ModelResponse("", [_replace(f"\n{note}", ""), _replace(old, new)])


def _replace(old: str, new: str) -> ToolCall:
    return ToolCall("memory_replace", {"label": "board", "old_string": old, "new_string": new})
