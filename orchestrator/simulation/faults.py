"""What goes wrong in a simulated schedule: models that fail, tools that fail or are slow, a run or a process that ends.

Each agent's luck is a row of its own, by the number of its call, so that another order of the others' calls does not
change it.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

import anyio

from orchestrator.checks import check_amount, check_count
from orchestrator.environment import Environment
from orchestrator.errors import DeclarationError, ModelRefused, ModelUnavailable, RateLimited, ToolError
from orchestrator.messages import ToolCall, ToolSpec
from orchestrator.ports import Model, ModelRequest, ModelResponse
from orchestrator.simulation.latency import Latency
from orchestrator.team import Team
from orchestrator.tools import Tool

if TYPE_CHECKING:
    from random import Random  # noqa: TID251 -- the type only

ModelFault = Literal[
    "unavailable", "rate_limited", "refused", "timed_out", "broken_arguments", "unknown_tool", "wrong_types"
]
ToolFault = Literal["slow", "refused", "failed_before", "failed_after"]

_ERRORS: Final[tuple[ModelFault, ...]] = ("unavailable", "rate_limited", "refused")
_MALFORMED: Final[tuple[ModelFault, ...]] = ("broken_arguments", "unknown_tool", "wrong_types")
_FAILURES: Final[tuple[ToolFault, ...]] = ("refused", "failed_before", "failed_after")

#: What simulated errors name as the model that failed.
_MODEL: Final = "simulated"

_SHARES: Final = (
    "model_errors",
    "model_timeouts",
    "malformed_answers",
    "slow_tools",
    "failing_tools",
    "cancellations",
    "kills",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """What goes wrong in simulated schedules, and how often; by default nothing does.

    Args:
        model_errors: the share of model calls that raise `ModelUnavailable`, `RateLimited` or `ModelRefused`.
        model_timeouts: the share of model calls that are not answered before the turn's time is up.
        malformed_answers: the share of model calls answered with a tool call that has broken JSON, or arguments of
            wrong types, or names a tool that there is not; the model itself is not asked then.
        slow_tools: the share of tool calls that take up to `slowest` seconds, before their effect or after it.
        failing_tools: the share of tool calls that refuse with a `ToolError`, or raise something else before their
            effect or after it.
        cancellations: the share of schedules in which a run is cancelled, at one of their first `steps` steps.
        kills: the share of schedules in which the process is lost, after one of its first `transactions` transactions.
    """

    model_errors: float = 0.0
    model_timeouts: float = 0.0
    malformed_answers: float = 0.0
    slow_tools: float = 0.0
    failing_tools: float = 0.0
    cancellations: float = 0.0
    kills: float = 0.0
    slowest: float = 60.0
    steps: int = 300
    transactions: int = 40

    def __post_init__(self) -> None:
        for name in _SHARES:
            share = getattr(self, name)
            if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= 1:
                raise DeclarationError("faults", f"{name} is {share!r}; give a share, from 0 to 1")
        if self.model_errors + self.model_timeouts + self.malformed_answers > 1:
            raise DeclarationError("faults", "what goes wrong with model calls is more than all of them")
        check_amount("faults", "slowest", self.slowest, "seconds")
        check_count("faults", "steps", self.steps)
        check_count("faults", "transactions", self.transactions)

    @classmethod
    def default(cls) -> Faults:
        """Some of everything, and not so much that nothing is ever done."""
        return cls(
            model_errors=0.03,
            model_timeouts=0.01,
            malformed_answers=0.05,
            slow_tools=0.1,
            failing_tools=0.05,
            cancellations=0.1,
            kills=0.1,
        )

    @classmethod
    def none(cls) -> Faults:
        """Nothing goes wrong."""
        return cls()

    def drawn(self, random: Random) -> Plan:
        """What goes wrong in one schedule. Takes as much from `random` whatever the shares are."""
        seed = f"{random.getrandbits(64):016x}"
        is_cancelled, step = random.random() < self.cancellations, 1 + int(random.random() * self.steps)
        is_killed, transaction = random.random() < self.kills, 1 + int(random.random() * self.transactions)
        return Plan(self, seed, cancel_at=step if is_cancelled else None, kill_after=transaction if is_killed else None)


class Fault(NamedTuple):
    """Something that went wrong, in words."""

    kind: ModelFault | ToolFault
    agent: str
    #: The tool that was called; "" for the model.
    tool: str
    #: Which of the agent's model calls, or of its tool calls, from 1.
    call: int

    def __str__(self) -> str:
        called = f"tool {self.tool!r}, in tool call" if self.tool else "model call"
        return f"{self.agent}: {called} {self.call}: {self.kind.replace('_', ' ')}"


class Trouble(NamedTuple):
    """What lies in store for one tool call."""

    #: Seconds that pass before its effect, and after it.
    before: float
    after: float
    fault: ToolFault | None
    number: int


class Plan:
    """What goes wrong in one schedule, and what has gone wrong; `Faults.drawn` makes one.

    Holds for as long as the schedule lasts, also when the team is opened again: calls are counted on.

    Args:
        faults: how often.
        seed: when.
        cancel_at: the step of the schedule at which its run is cancelled. Whoever plays the schedule sees to it.
        kill_after: the number of the transaction after which the process is gone; likewise.
    """

    def __init__(
        self, faults: Faults, seed: str, *, cancel_at: int | None = None, kill_after: int | None = None
    ) -> None:
        self.faults = faults
        self.seed = seed
        self.cancel_at = cancel_at
        self.kill_after = kill_after
        #: In order.
        self.happened: list[Fault] = []
        self.is_healed = False
        #: The tools that are running now, as "agent/tool".
        self.running: list[str] = []
        self._model_calls: Counter[str] = Counter()
        self._tool_calls: Counter[str] = Counter()

    def heal(self) -> None:
        """From now on nothing fails: not what begins later, nor, when its time comes, what has begun.

        Only who waits for a model that will not answer in time goes on waiting.
        """
        self.is_healed = True
        self.cancel_at = self.kill_after = None

    def model_call(self, agent: str) -> tuple[int, Random]:
        """The number of the agent's next model call, and the row that decides about it."""
        self._model_calls[agent] += 1
        number = self._model_calls[agent]
        return number, Environment.seeded(f"{self.seed}/model/{agent}/{number}")

    def model_fault(self, random: Random) -> ModelFault | None:
        """What is wrong with a model call, if something is."""
        luck, which = random.random(), random.random()
        if self.is_healed:
            return None
        if (luck := luck - self.faults.model_errors) < 0:
            return _ERRORS[int(which * len(_ERRORS))]
        if (luck := luck - self.faults.model_timeouts) < 0:
            return "timed_out"
        if luck - self.faults.malformed_answers < 0:
            return _MALFORMED[int(which * len(_MALFORMED))]
        return None

    def tool_call(self, agent: str) -> Trouble:
        """What lies in store for the agent's next tool call."""
        self._tool_calls[agent] += 1
        number = self._tool_calls[agent]
        random = Environment.seeded(f"{self.seed}/tool/{agent}/{number}")
        slow, seconds, share, fails, which = (random.random() for _ in range(5))
        if self.is_healed:
            return Trouble(0.0, 0.0, None, number)
        seconds = round(seconds * self.faults.slowest, 6) if slow < self.faults.slow_tools else 0.0
        before = seconds if share < 0.5 else 0.0
        fault = _FAILURES[int(which * len(_FAILURES))] if fails < self.faults.failing_tools else None
        return Trouble(before, seconds - before, fault, number)

    @contextmanager
    def tool_running(self, agent: str, tool: str) -> Iterator[None]:
        """While it runs it is among `running`."""
        name = f"{agent}/{tool}"
        self.running.append(name)
        try:
            yield
        finally:
            self.running.remove(name)


class SimulatedModel:
    """Asks a model, after as long as answers take, and unless something goes wrong.

    How long each call takes, and what goes wrong with it, depends on the plan, the agent and the number of that
    agent's call, and on nothing else.

    Args:
        model: what is asked; it should take no time itself.
        latency: how long an answer takes.
        plan: what goes wrong.
        environment: where others may go first.
    """

    def __init__(self, model: Model, latency: Latency, plan: Plan, environment: Environment) -> None:
        self._model = model
        self._latency = latency
        self._plan = plan
        self._environment = environment

    async def respond(self, request: ModelRequest) -> ModelResponse:
        """Wait, and answer or fail."""
        number, random = self._plan.model_call(request.agent)
        seconds, fault = self._latency.draw(random), self._plan.model_fault(random)
        await self._environment.pause()
        await anyio.sleep(seconds)
        if fault is None or self._plan.is_healed:
            return await self._model.respond(request)
        self._plan.happened.append(Fault(fault, request.agent, "", number))
        if fault == "timed_out":
            await _until_too_late()
        if fault in _MALFORMED:
            return ModelResponse("", [_malformed(fault, request.tools, random)])
        raise _model_error(fault, random)


async def _until_too_late() -> None:
    """Wait for longer than anybody waits for us. Where nobody has set a deadline it is too late at once."""
    deadline = anyio.current_effective_deadline()
    if deadline < math.inf:
        await anyio.sleep_until(deadline + 1)


def _model_error(fault: ModelFault, random: Random) -> ModelUnavailable | ModelRefused:
    match fault:
        case "rate_limited":
            return RateLimited(_MODEL, "too many requests", retry_after=float(random.randint(1, 60)))
        case "refused":
            return ModelRefused(_MODEL, "bad request", status=400)
        case "timed_out":
            return ModelUnavailable(_MODEL, "deadline exceeded")
        case _:
            return ModelUnavailable(_MODEL, "overloaded", status=503)


def _malformed(fault: ModelFault, tools: tuple[ToolSpec, ...], random: Random) -> ToolCall:
    """A tool call that cannot be made."""
    if fault == "unknown_tool" or not tools:
        name = random.choice(tools).name if tools else "answer"
        return ToolCall(f"functions.{name}", {})  # no tool has a dot in its name
    tool = random.choice(tools)
    parameters = tool.parameters.get("properties", {})
    if fault == "wrong_types":
        # One that is not known as well: a parameter may take anything.
        return ToolCall(tool.name, {**{name: [{}] for name in parameters}, "unknown_argument": True})
    whole = json.dumps(dict.fromkeys(parameters, "text"))
    return ToolCall(tool.name, whole[: random.randint(1, len(whole) - 1)])


def simulated_team(team: Team, plan: Plan, environment: Environment) -> Team:
    """The same team, with tools that may be slow, or fail, as the plan says; the memory tools never do.

    Blocks, wakes and all else are the same objects. A tool stays what it is, but for a plain function under a plan
    with slow tools: it becomes async, since it is simulated time that it waits for, and its own work is run by the
    environment as before.
    """
    agents = [
        replace(agent, tools=[_simulated(tool, agent.name, plan, environment) for tool in agent.toolbox])
        for agent in team.members
    ]
    return replace(team, agents=agents)


@dataclass(frozen=True, eq=False, slots=True)
class _SimulatedTool(Tool):
    """A tool under a plan. What a model sees of it is made once for all schedules."""

    original: Tool = field(kw_only=True)

    @property
    def spec(self) -> ToolSpec:
        return _spec(self.original)


@lru_cache(maxsize=1024)
def _spec(tool: Tool) -> ToolSpec:
    return tool.spec


def _simulated(tool: Tool, agent: str, plan: Plan, environment: Environment) -> Tool:
    hands = _Hands(tool, agent, plan, environment)
    waits = tool.is_async or plan.faults.slow_tools > 0
    function = hands.call if waits else hands.call_plain
    return _SimulatedTool(
        tool.name, tool.description, function, tool.arguments, tool.context, is_async=waits, original=tool
    )


class _Hands:
    """One agent's use of one tool."""

    def __init__(self, tool: Tool, agent: str, plan: Plan, environment: Environment) -> None:
        self._tool = tool
        self._agent = agent
        self._plan = plan
        self._environment = environment

    async def call(self, **arguments: Any) -> Any:
        trouble, bound = self._plan.tool_call(self._agent), partial(self._tool.function, **arguments)
        with self._plan.tool_running(self._agent, self._tool.name):
            if trouble.before or trouble.after:
                self._note("slow", trouble)
            await anyio.sleep(trouble.before)
            self._fail(trouble, before=True)
            result = await (bound() if self._tool.is_async else self._environment.run_tool(bound))
            await anyio.sleep(trouble.after)
            self._fail(trouble, before=False)
            return result

    def call_plain(self, **arguments: Any) -> Any:
        trouble = self._plan.tool_call(self._agent)
        with self._plan.tool_running(self._agent, self._tool.name):
            self._fail(trouble, before=True)
            result = self._tool.function(**arguments)
            self._fail(trouble, before=False)
            return result

    def _fail(self, trouble: Trouble, *, before: bool) -> None:
        """A refusal says why nothing was done, so it comes before the effect. A change of a block, which a tool
        returns, has no effect before that: with a failure after it, it is never made.
        """
        fault = trouble.fault
        if fault is None or self._plan.is_healed or (fault == "failed_after") == before:
            return
        self._note(fault, trouble)
        if fault == "refused":
            raise ToolError(f"{self._tool.name} is overloaded (simulated); try again later")
        raise ConnectionError("the connection was lost (simulated)")

    def _note(self, kind: ToolFault, trouble: Trouble) -> None:
        self._plan.happened.append(Fault(kind, self._agent, self._tool.name, trouble.number))
