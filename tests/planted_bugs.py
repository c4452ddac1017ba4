"""Teams with a bug that only some schedules show: each scene raises `AssertionError` where it does."""

from __future__ import annotations

from collections.abc import Callable

import anyio
import anyio.lowlevel
from played_teams import Doing, Thinking, calls

from orchestrator import (
    Agent,
    Block,
    BlockChanged,
    BlockEdit,
    ModelRequest,
    ModelResponse,
    Orchestrator,
    Rethink,
    Team,
    Tool,
    ToolContext,
    Wake,
    tool,
)
from orchestrator.simulation.environment import SimulatedEnvironment
from orchestrator.simulation.playing import Scene

Answer = Callable[[ModelRequest], ModelResponse | str]


def tools_in_turn(*names: str) -> Answer:
    """Call these tools, one in each step."""

    def answer(request: ModelRequest) -> ModelResponse | str:
        return calls(names[request.step]) if request.step < len(names) else "done"

    return answer


def each(tools: list[Tool], names: tuple[str, ...] = ("ann", "bob", "carol"), timeout: float = 300) -> Team:
    """Agents with the same tools."""
    return Team("planted", [Agent(name, tools=tools, timeout=timeout) for name in names])


async def asked(team: Team, environment: SimulatedEnvironment, answer: Answer, **seconds: float) -> None:
    """Every agent gets a message at once; the caller of some gives up after so many seconds."""
    names = [agent.name for agent in team.members]
    model = Thinking(Doing(dict.fromkeys(names, answer)), environment)
    async with Orchestrator(team, model=model) as live, anyio.create_task_group() as group:

        async def message(name: str) -> None:
            with anyio.move_on_after(seconds.get(name)):
                await live.run("go", agent=name)

        for name in names:
            group.start_soon(message, name)


def last_text(environment: SimulatedEnvironment) -> str:
    """What the team's one block comes to hold."""
    log = [event for commit in environment.witnesses[0].commits for event in commit]
    return max((event for event in log if isinstance(event, BlockChanged)), key=lambda event: event.seq).value


def overwritten() -> Scene[None]:
    """A curator whose rewrite wins, whatever came in while it thought."""
    notes = Block("notes", limit=2000, rethink="last_write_wins")
    writers = [Agent(name, blocks=[notes.contributor()]) for name in ("ann", "bob")]
    team = Team("planted", [*writers, Agent("curator", blocks=[notes.curator()], wakes_on=[Wake(notes)])])

    def answer(request: ModelRequest) -> ModelResponse | str:
        if request.agent == "curator":
            text = request.blocks["notes"]
            return calls("memory_rethink", label="notes", new_memory=text + "\n") if request.step == 0 else "done"
        if request.step < 2:
            return calls("memory_insert", label="notes", new_string=f"<{request.agent} {request.step}>")
        return "done"

    async def scene(environment: SimulatedEnvironment) -> None:
        await asked(team, environment, answer)
        text = last_text(environment)
        for name in ("ann", "bob"):
            for step in range(2):
                assert f"<{name} {step}>" in text, f"lost <{name} {step}>"

    return scene


def read_then_modify(agents: int = 2, steps: int = 1) -> Scene[None]:
    """A tool that reads, waits for something, and writes back."""

    async def scene(environment: SimulatedEnvironment) -> None:
        text = ""

        @tool
        async def add(context: ToolContext) -> str:
            """Add a line."""
            nonlocal text
            read = text
            await anyio.lowlevel.checkpoint()
            text = read + f"<{context.agent} {context.step}>"
            return "added"

        team = each([add], ("ann", "bob", "carol", "dave")[:agents])
        await asked(team, environment, tools_in_turn(*["add"] * steps))
        assert text.count("<") == agents * steps, f"lost a line: {text}"

    return scene


def read_then_rethink() -> Scene[None]:
    """A tool that writes back what the model was shown, with a line more, into a block where the last write wins."""
    notes = Block("notes", limit=2000, rethink="last_write_wins")

    @tool
    async def add(context: ToolContext) -> BlockEdit:
        """Add a line."""
        return BlockEdit("notes", Rethink(context.blocks["notes"] + f"<{context.agent}>"))

    team = Team("planted", [Agent(name, blocks=[notes.curator()], tools=[add]) for name in ("ann", "bob")])

    async def scene(environment: SimulatedEnvironment) -> None:
        await asked(team, environment, tools_in_turn("add"))
        text = last_text(environment)
        assert text.count("<") == 2, f"lost a line: {text}"

    return scene


def claimed_twice() -> Scene[None]:
    """A tool that looks for something to do, waits, and takes it."""

    async def scene(environment: SimulatedEnvironment) -> None:
        free, taken = ["pears", "apples", "plums"], []

        @tool
        async def take() -> str:
            """Take a task."""
            if not free:
                return "nothing"
            task = free[0]
            await anyio.lowlevel.checkpoint()
            taken.append(task)
            if task in free:
                free.remove(task)
            return task

        await asked(each([take]), environment, tools_in_turn("take", "take"))
        assert len(taken) == len(set(taken)), f"taken twice: {taken}"

    return scene


def over_limit() -> Scene[None]:
    """A tool that asks whether there is room, waits, and fills it."""

    async def scene(environment: SimulatedEnvironment) -> None:
        filled = 0

        @tool
        async def fill() -> str:
            """Fill some room."""
            nonlocal filled
            if filled + 4 <= 17:
                await anyio.lowlevel.checkpoint()
                filled += 4
            return "filled"

        await asked(each([fill]), environment, tools_in_turn("fill", "fill"))
        assert filled <= 17, f"{filled} of 17"

    return scene


def leaked() -> Scene[None]:
    """A tool that takes something, and gives it back unless it is cancelled too early; ann's caller gives up."""

    async def scene(environment: SimulatedEnvironment) -> None:
        held: list[str] = []

        @tool
        async def work(context: ToolContext) -> str:
            """Work for a while."""
            held.append(context.agent)
            await anyio.sleep(0.1)
            try:
                await anyio.sleep(0.2)
            finally:
                held.remove(context.agent)
            return "worked"

        await asked(each([work]), environment, tools_in_turn("work", "work"), ann=2.0)
        assert not held, f"never given back by {held}"

    return scene


def compared_by_value() -> Scene[None]:
    """A tool that writes if the value is what it read: somebody may have changed it there and back."""

    async def scene(environment: SimulatedEnvironment) -> None:
        value, version, broken = "A", 0, []

        async def swap(old: str, base: int, new: str) -> None:
            nonlocal value, version
            await anyio.lowlevel.checkpoint()
            if value == old:
                if base != version:
                    broken.append((base, version))
                value, version = new, version + 1

        @tool
        async def act(context: ToolContext) -> str:
            """Swap."""
            if context.agent == "ann":
                read, base = value, version
                for _ in range(3):
                    await anyio.lowlevel.checkpoint()
                await swap(read, base, "C")
            else:
                await swap("A", version, "B")
                await anyio.lowlevel.checkpoint()
                await swap("B", version, "A")
            return "done"

        await asked(each([act], ("ann", "bob")), environment, tools_in_turn("act"))
        assert not broken, f"swapped what had changed: {broken}"

    return scene


BUGS: dict[str, Callable[[], Scene[None]]] = {
    "overwritten": overwritten,
    "read_then_modify": read_then_modify,
    "read_then_rethink": read_then_rethink,
    "many_readers": lambda: read_then_modify(4, 3),
    "claimed_twice": claimed_twice,
    "over_limit": over_limit,
    "leaked": leaked,
    "compared_by_value": compared_by_value,
}
