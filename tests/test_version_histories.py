"""The checkers of histories: what is true passes, each planted fault is found, and real concurrent runs pass."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import combinations, count, permutations
from random import Random

import anyio
import pytest
from version_histories import EXPLICABLE, FAULTS, INITIAL, Drawn, drawn

from orchestrator import (
    Agent,
    Block,
    DeclarationError,
    ModelRequest,
    ModelResponse,
    Orchestrator,
    Store,
    Team,
    ToolCall,
    ToolMessage,
)
from orchestrator.errors import OutdatedRewrite
from orchestrator.simulation.observed import Contradiction, Operation, applied, check_history
from orchestrator.simulation.orders import linearizable
from orchestrator.testing import FunctionModel


def ann(kind: str, begun: float, ended: float | None = None, **said: object) -> Operation:
    return Operation(client="ann", kind=kind, begun=begun, ended=begun + 1 if ended is None else ended, **said)


def bob(kind: str, begun: float, ended: float | None = None, **said: object) -> Operation:
    return Operation(client="bob", kind=kind, begun=begun, ended=begun + 1 if ended is None else ended, **said)


def lost(client: str, kind: str, begun: float, ended: float | None = None, **said: object) -> Operation:
    return Operation(client=client, kind=kind, begun=begun, ended=ended, outcome="unknown", **said)


def only(problems: list[Contradiction]) -> tuple[str, str]:
    (problem,) = problems
    return problem.kind, problem.sentence


# --- what is true


@pytest.mark.parametrize("killed", [0.0, 0.05, 0.2])
def test_a_history_that_can_be_true_has_no_contradictions(killed: float) -> None:
    for seed in range(150):
        history = drawn(Random(seed), 60, clients=5, killed=killed)
        assert check_history(history.operations, INITIAL) == [], f"seed {seed}"


def test_a_short_history_that_can_be_true_has_an_order() -> None:
    for seed in range(60):
        history = drawn(Random(seed), 50, clients=4, killed=0.1 * (seed % 2))
        assert linearizable(history.operations, INITIAL) is True, f"seed {seed}"


def test_a_block_may_begin_with_another_version() -> None:
    operations = [ann("insert", 1, version=8, text="b"), bob("read", 3, version=8, value="a\nb")]

    assert check_history(operations, "a", first_version=7) == []
    assert check_history([], "a") == []


def test_what_was_refused_and_reads_that_were_never_answered_say_nothing() -> None:
    operations = [
        ann("replace", 1, old="x", text="y", outcome="refused"),
        Operation(client="bob", kind="rethink", begun=1, text="z", outcome="refused"),
        lost("cy", "read", 1),
        ann("read", 3, version=1, value="a"),
    ]

    assert check_history(operations, "a") == []
    assert linearizable(operations, "a") is True


# --- faults


@pytest.mark.parametrize("fault", [*FAULTS, *EXPLICABLE], ids=lambda fault: fault.__name__)
def test_a_planted_fault_is_always_found(fault: Callable[[Drawn, Random], list[Operation] | None]) -> None:
    planted = 0
    for seed in range(200):
        random = Random(seed)
        killed = 0.1 if seed % 2 and fault in FAULTS else 0.0
        operations = fault(drawn(random, 50, killed=killed), random)
        if operations is not None:
            planted += 1
            assert check_history(operations, INITIAL), f"seed {seed}"
    assert planted >= 60


@pytest.mark.parametrize("name", ["value_changed", "phantom"])
def test_a_text_that_nobody_can_have_seen_has_no_order(name: str) -> None:
    (fault,) = [fault for fault in FAULTS if fault.__name__ == name]
    for seed in range(50):
        random = Random(seed)
        operations = fault(drawn(random, 40), random)
        assert operations is not None
        assert linearizable(operations, INITIAL) is False, f"seed {seed}"


def explained(operations: Sequence[Operation], initial: str, *, versions: bool) -> bool:
    """Whether some order explains the history: all are tried."""
    told = [o for o in operations if o.outcome == "acknowledged"]
    unknown = [o for o in operations if o.outcome == "unknown" and o.is_write]
    chosen = [[*told, *some] for size in range(len(unknown) + 1) for some in combinations(unknown, size)]
    return any(fits(order, initial, versions) for some in chosen for order in permutations(some))


def fits(order: Iterable[Operation], initial: str, versions: bool) -> bool:
    text, version, latest = initial, 1, 0.0
    for operation in order:
        if operation.ended is not None and operation.ended < latest:
            return False
        latest = max(latest, operation.begun)
        after = applied(text, operation) if operation.is_write else text
        if after is None or operation.value not in (None, after):
            return False
        text, version = after, version + operation.is_write
        if versions and operation.version not in (None, version):
            return False
    return True


@pytest.mark.parametrize("versions", [True, False])
def test_the_checkers_agree_with_trying_all_orders(versions: bool) -> None:
    """Short histories of chance, of which about half are true."""
    verdicts = []
    for seed in range(500):
        random = Random(seed)
        operations = drawn(random, 5, clients=3, killed=0.15, kinds="iirrpt").operations
        if random.random() < 0.7:
            fault = random.choice([*FAULTS, *EXPLICABLE])
            operations = fault(Drawn(operations, [o.value or INITIAL for o in operations]), random) or operations
        true = explained(operations, INITIAL, versions=versions)
        found = check_history(operations, INITIAL) == [] if versions else linearizable(operations, INITIAL)
        assert found == true, f"seed {seed}: {[str(operation) for operation in operations]}"
        verdicts.append(true)
    assert 100 < sum(verdicts) < 450


# --- what is said of them


def test_a_lost_line_is_told_with_who_wrote_it_and_who_missed_it() -> None:
    operations = [
        ann("insert", 1, version=2, text="origin: MemGPT"),
        bob("insert", 1, version=3, text="use: coordination"),
        bob("read", 4, version=3, value="start\nuse: coordination"),
    ]

    problems = check_history(operations, "start")

    assert only(problems) == (
        "missing",
        "bob's read of version 3 (begun 4, ended 5) lacks 'origin: MemGPT', which should be there since"
        " ann's insert of version 2 (begun 1, ended 2)",
    )
    assert problems[0].operations == (operations[0], operations[2])


def test_a_stale_read_is_told_with_what_it_does_not_know_of() -> None:
    operations = [ann("insert", 1, version=2, text="x"), bob("read", 3, version=1, value="start")]

    assert only(check_history(operations, "start")) == (
        "stale",
        "bob's read of version 1 (begun 3, ended 4) is stale: ann's insert of version 2 (begun 1, ended 2)"
        " had ended before",
    )


def test_a_read_that_goes_back_behind_another_one_is_stale() -> None:
    operations = [
        ann("insert", 1, 9, version=2, text="x"),
        bob("read", 2, version=2),
        bob("read", 4, version=1),
    ]

    assert only(check_history(operations, "start"))[1].startswith("bob's read of version 1 (begun 4, ended 5) is stale")


def test_writes_in_the_wrong_order_are_told() -> None:
    operations = [ann("insert", 5, version=2, text="x"), bob("insert", 1, version=3, text="y")]

    assert only(check_history(operations, "start")) == (
        "order",
        "ann's insert of version 2 (begun 5, ended 6) made no later version, although bob's insert of version 3"
        " (begun 1, ended 2) had ended before",
    )


def test_a_version_that_was_read_before_it_was_written_is_told() -> None:
    operations = [bob("read", 1, version=2), ann("insert", 5, version=2, text="x")]

    assert only(check_history(operations, "start")) == (
        "order",
        "bob's read of version 2 (begun 1, ended 2) had ended before the write began that made this version:"
        " ann's insert of version 2 (begun 5, ended 6)",
    )


def test_a_gap_is_told_with_its_neighbours_or_with_who_saw_it() -> None:
    beside = [ann("insert", 1, version=2, text="x"), bob("insert", 3, version=4, text="y")]
    seen = [ann("read", 1, version=2)]
    far = [ann("read", 1, version=5)]

    assert only(check_history(beside)) == (
        "gap",
        "nobody can have written version 3, but there is ann's insert of version 2 (begun 1, ended 2) and"
        " bob's insert of version 4 (begun 3, ended 4)",
    )
    assert only(check_history(seen))[1] == (
        "nobody can have written version 2, but there is ann's read of version 2 (begun 1, ended 2)"
    )
    assert only(check_history(far))[1].startswith("nobody can have written version 2, but there is ann's read of ver")


def test_two_writes_of_one_version_are_told() -> None:
    operations = [ann("insert", 1, version=2, text="x"), bob("insert", 1, version=2, text="y")]

    assert only(check_history(operations)) == (
        "repeated",
        "two writes made version 2: ann's insert of version 2 (begun 1, ended 2) and"
        " bob's insert of version 2 (begun 1, ended 2)",
    )


def test_a_write_of_the_first_version_is_told() -> None:
    assert only(check_history([ann("insert", 1, version=1, text="x", value="x")], "start")) == (
        "repeated",
        "ann's insert of version 1 (begun 1, ended 2) made a version that the block had at the beginning",
    )


def test_a_read_of_a_version_before_the_first_is_told() -> None:
    assert only(check_history([ann("read", 1, version=6)], first_version=7)) == (
        "stale",
        "ann's read of version 6 (begun 1, ended 2) is older than version 7, with which the block began",
    )


def test_a_replacement_of_what_was_not_there_is_told() -> None:
    operations = [ann("replace", 1, version=2, old="a", text="b")]

    assert only(check_history(operations, "a, a")) == (
        "unfit",
        "ann's replace of version 2 (begun 1, ended 2) replaced 'a', which stood 2 times in version 1",
    )


def test_what_nobody_wrote_is_told() -> None:
    assert only(check_history([ann("read", 1, version=1, value="start\nghost")], "start")) == (
        "phantom",
        "ann's read of version 1 (begun 1, ended 2) shows 'ghost', which nobody had put there by then",
    )


def test_lines_in_another_order_are_told_and_long_texts_are_cut() -> None:
    text = "\n".join(["b" * 70, "a"])

    assert only(check_history([ann("read", 1, version=1, value=f"a\n{'b' * 70}")], text)) == (
        "changed",
        f"ann's read of version 1 (begun 1, ended 2) shows 'a\\n{'b' * 57}…' in the place of '{'b' * 59}…'",
    )


# --- unknown outcomes


def test_an_operation_of_unknown_outcome_may_have_happened_or_not() -> None:
    killed = lost("ann", "insert", 1, text="x")
    happened = [killed, bob("read", 3, version=2, value="start\nx")]
    never = [killed, bob("read", 3, version=1, value="start")]

    for operations in (happened, never):
        assert check_history(operations, "start") == []
        assert linearizable(operations, "start") is True
    assert str(killed) == "ann's insert (begun 1, and never heard of again)"


def test_what_happened_once_did_not_happen_twice() -> None:
    twice = [lost("ann", "insert", 1, text="x"), bob("read", 3, version=3, value="start\nx\nx")]

    assert only(check_history(twice, "start"))[0] == "gap"
    assert linearizable(twice, "start") is False


def test_who_was_killed_did_nothing_before_it_began_and_nothing_after_it_was_gone() -> None:
    before = [bob("read", 1, version=2), lost("ann", "insert", 5, text="x")]
    after = [
        lost("ann", "insert", 1, 2, text="x"),
        bob("read", 3, version=1, value="start"),
        bob("read", 5, version=2, value="start\nx"),
    ]

    assert only(check_history(before, "start"))[0] == "gap"
    assert only(check_history(after, "start"))[0] == "gap"
    assert linearizable(after, "start") is False
    still_there = [lost("ann", "insert", 1, text="x"), *after[1:]]
    assert check_history(still_there, "start") == []
    assert linearizable(still_there, "start") is True


def test_of_two_that_were_killed_the_later_one_came_later() -> None:
    first, second = lost("ann", "insert", 1, 2, text="x"), lost("bob", "insert", 3, 4, text="y")

    assert check_history([first, second, ann("read", 5, version=3, value="start\nx\ny")], "start") == []
    assert only(check_history([first, second, ann("read", 5, version=3, value="start\ny\nx")], "start"))[0] == "changed"
    alone = [ann("read", 5, version=2, value="start\ny"), first, second]
    assert check_history(alone, "start") == []


def test_where_too_much_is_unknown_that_is_said() -> None:
    killed = [lost(f"client-{number}", "insert", 1, text=f"x{number}") for number in range(8)]

    assert only(check_history([*killed, ann("read", 3, version=8)], "start")) == (
        "undecided",
        "version 5 can have been made in more than 1,000 ways, by operations of unknown outcome; later texts were not"
        " checked",
    )


def test_a_search_that_is_too_long_is_undecided() -> None:
    operations = [ann("insert", 1, version=2, text=f"{number}") for number in range(30)]

    assert linearizable([*operations, ann("read", 1, value="never")], limit=2000) is None


def test_a_replacement_that_was_refused_says_that_its_text_was_not_there() -> None:
    refused = ann("replace", 1, old="start", text="x", outcome="refused")

    assert linearizable([refused], "start") is False
    assert linearizable([refused, bob("modify", 1, text="else")], "start") is True


# --- what no operation can be


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ({"kind": "write", "ended": 2}, "is a 'write' that was 'acknowledged'; there is no such"),
        ({"kind": "read", "outcome": "lost"}, "is a 'read' that was 'lost'; there is no such"),
        ({"kind": "read"}, "was acknowledged, so it has ended; say when"),
        ({"kind": "read", "ended": 0.5}, "ended at 0.5 and began at 1"),
        ({"kind": "replace", "ended": 2}, "replaces nothing; say what stood there in old="),
    ],
)
def test_an_operation_that_cannot_be_is_refused(said: dict[str, object], problem: str) -> None:
    with pytest.raises(DeclarationError) as refusal:
        Operation(client="ann", begun=1, **said)
    assert str(refusal.value) == f"operation of 'ann': {problem}"


def test_what_was_acknowledged_has_a_version() -> None:
    with pytest.raises(DeclarationError, match="was acknowledged; say which version"):
        check_history([ann("read", 1)])


# --- real runs


class Clients:
    """Agents and callers of the owner's API at one block, and what each was told. Time is counted."""

    AGENTS = ("ann", "bob", "cy")

    def __init__(self) -> None:
        self._clock = count(1)
        self.operations: list[Operation] = []
        #: What each agent's model asked for last, and when.
        self._asked: dict[str, tuple[ToolCall, float]] = {}
        self.made: dict[str, list[Operation]] = {agent: [] for agent in self.AGENTS}
        self.random = Random(7)

    def now(self) -> float:
        return next(self._clock)

    async def think(self, request: ModelRequest) -> ModelResponse:
        """An agent has its answer, and asks for the next change."""
        self._answered(request)
        for _ in range(self.random.randrange(4)):
            await anyio.lowlevel.checkpoint()
        if request.step == 25:
            return ModelResponse("done")
        call = self._next(request)
        self._asked[request.agent] = (call, self.now())
        return ModelResponse("", [call])

    def _next(self, request: ModelRequest) -> ToolCall:
        text, line = request.blocks["notes"], f"{request.agent} {request.step}."
        match self.random.randrange(6):
            case 0:
                return ToolCall("memory_rethink", {"label": "notes", "new_memory": f"{text[-200:]}\n{line}"})
            case 1:
                old = self.random.choice(text.split("\n"))
                return ToolCall("memory_replace", {"label": "notes", "old_string": old, "new_string": line})
            case where:
                at = 0 if where == 2 else -1
                return ToolCall("memory_insert", {"label": "notes", "new_string": line, "insert_line": at})

    def _answered(self, request: ModelRequest) -> None:
        if request.agent not in self._asked:
            return
        call, begun = self._asked.pop(request.agent)
        answer = request.messages[-1]
        assert isinstance(answer, ToolMessage)
        arguments = call.arguments
        assert isinstance(arguments, dict)
        if answer.ok:
            self.made[request.agent].append(
                Operation(
                    client=request.agent,
                    kind=call.name.removeprefix("memory_"),
                    begun=begun,
                    ended=self.now(),
                    version=0,
                    text=arguments.get("new_string") or arguments["new_memory"],
                    old=arguments.get("old_string", ""),
                    at_top=arguments.get("insert_line") == 0,
                )
            )

    async def own(self, live: Orchestrator, name: str) -> None:
        """Read, think, and write if nobody has written meanwhile, or all the same; and so on."""
        for number in range(20):
            begun = self.now()
            state = await live.blocks.retrieve("notes")
            self._note(name, "read", begun, version=state.version, value=state.value)
            await anyio.lowlevel.checkpoint()
            text = f"{state.value[-100:]}\n{name} {number}."
            begun, is_careful = self.now(), bool(number % 3)
            try:
                state = await live.blocks.modify("notes", value=text, if_version=state.version if is_careful else None)
            except OutdatedRewrite:
                assert is_careful
                self._note(name, "modify", begun, text=text, outcome="refused")
            else:
                self._note(name, "modify", begun, version=state.version, text=text, value=state.value)

    def _note(self, client: str, kind: str, begun: float, **told: object) -> None:
        self.operations.append(Operation(client=client, kind=kind, begun=begun, ended=self.now(), **told))


async def test_agents_and_owners_at_one_block_are_told_what_can_be_true(new_store: Callable[[], Store]) -> None:
    notes = Block("notes", INITIAL, limit=100_000)
    team = Team("crowd", [Agent(name, blocks=[notes.curator()], max_steps=30) for name in Clients.AGENTS])
    clients = Clients()
    with anyio.fail_after(60):
        async with Orchestrator(team, new_store(), model=FunctionModel(clients.think)) as live:
            async with anyio.create_task_group() as group:
                for agent in clients.AGENTS:
                    group.start_soon(lambda agent: live.run("go", agent=agent), agent)
                for owner in ("olga", "otto"):
                    group.start_soon(clients.own, live, owner)
            history = await live.blocks.history("notes")

    operations = list(clients.operations)
    for agent, made in clients.made.items():
        versions = [revision for revision in history if revision.by == agent]
        assert len(versions) == len(made) > 0
        operations += [
            Operation(**{**fields(operation), "version": revision.version, "value": revision.value})
            for operation, revision in zip(made, versions, strict=True)
        ]
    assert check_history(operations, INITIAL) == []
    assert len(history) == 1 + sum(o.is_write and o.outcome == "acknowledged" for o in operations)
    assert sum(o.outcome == "refused" for o in operations) > 0, "nobody was in anybody's way: this has shown nothing"
    one_less = [o for o in operations if o.version != len(history) // 2]
    assert check_history(one_less, INITIAL), "and the checker was awake"


def fields(operation: Operation) -> dict[str, object]:
    return {name: getattr(operation, name) for name in Operation.__slots__}
