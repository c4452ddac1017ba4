"""One turn of one agent: read, think, act, until it has nothing more to call."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import suppress
from functools import lru_cache, partial
from inspect import isawaitable
from typing import Final, Protocol, TypeVar

import anyio

from orchestrator.agents import Agent
from orchestrator.blocks import Grant
from orchestrator.changes import Context
from orchestrator.checks import FAILURES, unusable
from orchestrator.edits import Edit, Shown
from orchestrator.environment import Environment
from orchestrator.errors import BlockError, ModelError, OrchestratorError, ToolError, TurnLost
from orchestrator.events import TurnStatus
from orchestrator.ledger import End, Handing, Ledger
from orchestrator.memory import TOOLS, memory_specs
from orchestrator.messages import Message, ToolCall, ToolMessage, ToolSpec, Usage
from orchestrator.ports import Effect, Model, ModelRequest, ModelResponse, Reader, Store, Transaction, TurnRecord
from orchestrator.prompting import system_text, tail_text
from orchestrator.replay import RecordedStep, recorded_steps
from orchestrator.tools import (
    CALLING,
    BlockEdit,
    Calling,
    HandOff,
    Tool,
    ToolContext,
    answer_text,
    parse_arguments,
    sayable,
    storable,
    told,
)

_T = TypeVar("_T")

_NOTHING: Final = Usage()


class Commit(Protocol):
    """Commits a piece of work and lets everybody know what happened."""

    def __call__(self, work: Callable[[Transaction], _T], /) -> Awaitable[_T]: ...


class StepLimit(OrchestratorError):
    """The turn wanted one more model call than the agent may make."""


class Activation:
    """A turn while it runs. `run` it once; it ends the turn, whatever happens.

    A turn in its second attempt, or a later one, first goes through what is recorded of the earlier ones: the model
    is not asked again, and what was done is not done again.
    """

    def __init__(
        self,
        turn: TurnRecord,
        agent: Agent,
        model: Model,
        *,
        store: Store,
        ledger: Ledger,
        environment: Environment,
        commit: Commit,
    ) -> None:
        self._turn = turn
        self._agent = agent
        self._model = model
        self._store = store
        self._ledger = ledger
        self._environment = environment
        self._commit = commit
        self._tools, self._tool_specs = _toolbox(agent)
        self._offered: list[str] = []
        self._messages: list[Message] = []
        self._asked = 0
        self._usage = _NOTHING
        self._steps = 0
        self._shown: dict[str, Shown] = {}
        self._scope = anyio.CancelScope()
        self._stopped = self._cut_off = False

    @property
    def id(self) -> str:
        """The turn's."""
        return self._turn.id

    def stop(self, *, cut_off: bool = False) -> None:
        """Cancel the turn. It ends as cancelled; `run` returns when it has.

        With `cut_off`, what woke it is still to be answered.
        """
        self._stopped, self._cut_off = True, cut_off
        self._scope.cancel()

    async def run(self) -> Exception | None:
        """Take the turn and end it: done, failed or timed out; or cancelled, if it is stopped or cancelled.

        Returns what made it fail, if something did. Raises only what is meant for the whole process.
        """
        self._scope.deadline = anyio.current_time() + self._agent.timeout
        with self._scope:
            return await self._run()
        return None

    async def _run(self) -> Exception | None:
        try:
            await self._take_steps()
        except TurnLost as lost:  # somebody else has ended it, or goes on with it
            return lost
        except Exception as error:  # the outermost door of a turn: what goes wrong ends this turn only
            await self._finish("failed", told(error))
            return error
        except BaseException as error:
            if not _is_nothing_but_cancelled(error):
                await self._finish("failed", told(error))
            elif self._stopped or anyio.current_time() < self._scope.deadline:
                await self._finish("cancelled", "cancelled")
            else:
                await self._finish("timed_out", f"took more than {self._agent.timeout:g} seconds")
            raise
        return None

    async def _finish(self, status: TurnStatus, error: str) -> None:
        """End the turn although it is not done, and give back what it holds, even when cancelled."""
        with anyio.CancelScope(shield=True), suppress(TurnLost):
            await self._commit(lambda tx: self._ledger.end_turn(tx, self._turn, self._end(status, error=error)))

    async def _take_steps(self) -> None:
        context, recorded = await self._store.read(self._begin)
        for step, past in enumerate(recorded):
            if await self._repeat(step, past):
                return
        for step in range(len(recorded), self._agent.max_steps):
            if step > 0:
                context = await self._store.read(self._context)
            self._shown = {block.key: Shown(block.version, block.value) for block in context.blocks}
            request = self._request(step, context)
            response = self._with_ids(step, await self._respond(request))
            self._count(response)
            if not response.tool_calls:
                await self._commit(partial(self._conclude, step, response, context))
                return
            record = partial(self._ledger.record_step, turn=self._turn, step=step, response=response)
            self._messages.append(await self._commit(partial(record, shown=context.versions)))
            if await self._act(step, response, request.blocks):
                return
        raise StepLimit(f"wanted more than {self._agent.max_steps} steps")

    def _begin(self, rows: Reader) -> tuple[Context, list[RecordedStep]]:
        """What the agent sees, what was said to and by it, and what is recorded of earlier attempts at the turn."""
        self._messages.extend(rows.messages(self._turn.agent))
        return self._context(rows), recorded_steps(rows, self._turn) if self._turn.attempt > 1 else []

    async def _repeat(self, step: int, past: RecordedStep) -> bool:
        """Go through a recorded step: what its model said is known, and of its tool calls the unanswered are made.

        Whether the turn has ended with it.
        """
        self._shown = dict(past.shown)
        self._asked += 1
        self._count(past.response)
        return await self._act(step, past.response, past.texts, past.effects)

    def _context(self, rows: Reader) -> Context:
        return self._ledger.changes.context(rows, self._turn.agent)

    def _count(self, response: ModelResponse) -> None:
        self._steps += 1
        if response.usage != _NOTHING:
            self._usage += response.usage

    def _conclude(self, step: int, response: ModelResponse, context: Context, tx: Transaction) -> None:
        """The last step, and the end of the turn, in one transaction."""
        self._ledger.check_held(tx, self._turn)
        self._ledger.say(tx, self._turn, step, response, context.versions)
        self._ledger.close_turn(tx, self._turn, self._end("done", response.text))

    def _request(self, step: int, context: Context) -> ModelRequest:
        granted = [
            (attached.label, Grant.READ if block.read_only else attached.grant)
            for attached, block in zip(context.attached, context.blocks, strict=True)
        ]
        tools = (*memory_specs(granted), *self._tool_specs)
        self._offered = [spec.name for spec in tools]
        return ModelRequest(
            agent=self._turn.agent,
            system=system_text(self._agent.instruction_parts, context.blocks),
            messages=tuple(self._messages),
            tail=tail_text(context.blocks),
            blocks={
                attached.label: block.value for attached, block in zip(context.attached, context.blocks, strict=True)
            },
            tools=tools,
            run=self._turn.run,
            turn=self._turn.id,
            step=step,
        )

    async def _respond(self, request: ModelRequest) -> ModelResponse:
        self._asked += 1  # also when there is no answer
        CALLING.set(Calling(request.agent, request.turn))
        try:
            answer = self._model.respond(request)
            if not isawaitable(answer):
                raise ModelError(f"{type(self._model).__name__}.respond() is not async; write: async def respond")
            response: object = await answer
        except anyio.get_cancelled_exc_class():
            if _is_cancelled():
                raise
            raise ModelError(f"{type(self._model).__name__}.respond() was cancelled from within") from None
        finally:
            CALLING.set(None)
        if not isinstance(response, ModelResponse):
            name, kind = type(self._model).__name__, type(response).__name__
            raise ModelError(f"{name}.respond() returned a {kind}; return ModelResponse(text, tool_calls)")
        return response

    def _with_ids(self, step: int, response: ModelResponse) -> ModelResponse:
        """The answer, with an id for each tool call that tells it from the others."""
        if not response.tool_calls:
            return response
        calls: list[ToolCall] = []
        for number, call in enumerate(response.tool_calls):
            if not call.id or any(call.id == other.id for other in calls):
                call = call.having(id=f"{self._turn.id}-{step}-{number}")
            call = call.having(arguments=storable(call.arguments))
            calls.append(call)
        return response.having(tool_calls=tuple(calls))

    async def _act(
        self, step: int, response: ModelResponse, shown: Mapping[str, str], answered: Collection[int] = ()
    ) -> bool:
        """Make the tool calls of a step, handoffs after all others; whether one of these has ended the turn."""
        handoffs: list[Handing] = []
        for number, call in enumerate(response.tool_calls):
            if number in answered:
                continue
            context = ToolContext(self._turn.agent, self._turn.run, self._turn.id, step, number, shown)
            result = await self._result(call, context)
            if isinstance(result, HandOff):
                handoffs.append(Handing(call, context, result))
            else:
                self._messages.append(await self._answer(call, context, result))
        for number, handing in enumerate(handoffs):
            hand_over = partial(self._ledger.hand_over, turn=self._turn, handing=handing, others=handoffs[number + 1 :])
            end = self._end("done", response.text)
            refused = await self._commit(partial(hand_over, shown=self._shown, end=end))
            if refused is None:
                return True
            self._messages.append(refused)
        return False

    async def _answer(self, call: ToolCall, context: ToolContext, result: BlockEdit | Effect) -> ToolMessage:
        """Record the answer of a tool call, together with the change that it asks for."""
        return await self._commit(
            lambda tx: self._ledger.record_answer(tx, self._turn, call, context, result, self._shown)
        )

    async def _result(self, call: ToolCall, context: ToolContext) -> BlockEdit | HandOff | Effect:
        """Run a tool call."""
        CALLING.set(Calling(context.agent, context.turn, call.name))
        try:
            bound = self._tool(call.name).bind(parse_arguments(call.name, call.arguments), context)
            tool = self._tools[call.name]
            if tool.is_async:
                result = await bound()
            else:
                result, raised = await self._environment.run_tool(partial(_settled, bound))
                if raised is not None:
                    raise raised
            if isinstance(result, BlockEdit | HandOff):
                _check_edit(call.name, result)
                return result
            return Effect.made(text=answer_text(call.name, result), ok=True)
        except (ToolError, BlockError) as refusal:
            return Effect.made(text=sayable(str(refusal)), ok=False)
        except FAILURES as error:  # a tool's failure is an answer to the model
            return Effect.made(text=sayable(f"{call.name} failed: {told(error)}"), ok=False)
        except BaseExceptionGroup as group:  # of a tool's own task group
            fatal = (KeyboardInterrupt, anyio.get_cancelled_exc_class())
            if group.subgroup(lambda error: isinstance(error, fatal)):
                raise
            return Effect.made(text=sayable(f"{call.name} failed: {told(group)}"), ok=False)
        except anyio.get_cancelled_exc_class():
            if _is_cancelled():
                raise
            # Nobody has cancelled this turn: the tool raised the exception by itself.
            return Effect.made(text=f"{call.name} failed: it was cancelled from within", ok=False)
        finally:
            CALLING.set(None)

    def _tool(self, name: str) -> Tool:
        try:
            return self._tools[name]
        except KeyError:
            raise ToolError(f"there is no tool {name!r}; you have: {', '.join(self._offered)}") from None

    def _end(self, status: TurnStatus, text: str = "", error: str | None = None) -> End:
        shown = {key: shown.version for key, shown in self._shown.items()}
        usage = Usage.made(calls=self._asked)
        if self._usage is not _NOTHING:
            usage += self._usage
        cut_off = self._cut_off and status == "cancelled"
        return End(status, text, error, self._steps, usage, shown, cut_off=cut_off)


@lru_cache(maxsize=1024)
def _toolbox(agent: Agent) -> tuple[dict[str, Tool], tuple[ToolSpec, ...]]:
    """The tools that an agent may call, by name, and its own ones as a model sees them."""
    tools = {tool.name: tool for tool in (*TOOLS, *agent.toolbox)}
    return tools, tuple(tool.spec for tool in agent.toolbox)


def _is_cancelled() -> bool:
    """Whether this turn is cancelled, or too late; else what it awaits has raised the exception by itself."""
    return anyio.current_effective_deadline() <= anyio.current_time()


def _is_nothing_but_cancelled(error: BaseException) -> bool:
    """Whether it is a cancellation; that of a task group of trio's own comes in a group."""
    cancelled = anyio.get_cancelled_exc_class()
    if isinstance(error, BaseExceptionGroup):
        return error.split(cancelled)[1] is None
    return isinstance(error, cancelled)


def _settled(bound: Callable[[], object]) -> tuple[object, BaseException | None]:
    """What a call came to, as a value: some exceptions do not survive the way out of a thread (GeneratorExit)."""
    try:
        return bound(), None
    except BaseException as error:  # raised again by who waits for it
        return None, error


def _check_edit(name: str, result: BlockEdit | HandOff) -> None:
    if isinstance(result, HandOff):
        if not isinstance(result.to, str) or not isinstance(result.note, BlockEdit) or unusable(result.to):
            raise ToolError(f"{name} returned a HandOff that is none; it takes an agent's name and a BlockEdit")
        result = result.note
    if not isinstance(result.edit, Edit) or not isinstance(result.label, str) or not isinstance(result.answer, str):
        raise ToolError(f"{name} returned a BlockEdit of {type(result.edit).__name__}; it takes a label and an edit")
    if problem := unusable(result.answer) or unusable(result.label):
        raise ToolError(f"{name} returned a text with {problem}")
