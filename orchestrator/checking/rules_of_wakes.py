"""Rules about what wakes agents, queues and handing over."""

from __future__ import annotations

from typing import Final

from orchestrator.checking.findings import Rule

_NOTES: Final = 'notes = Block("notes", description="What we found.")\n'
_NOTE: Final = 'note = Block("note", description="What to know.")\n'
_ASKING: Final = 'asked, told = Block("asked", description="Questions."), Block("told", description="Answers.")\n'

_TAKING: Final = (
    "def take(text, agent):\n"
    '    return text.replace("open", agent, 1) if "open" in text else None\n'
    'queue = Block("queue", description="A line for each task.")\n'
    'tasks = Wake(queue, when=lambda text: text.count("open"), claim=take)\n'
    'worker = Agent("worker", blocks=[queue], wakes_on=[tasks])\n'
)

_PASSING: Final = (
    '@tool(needs={"note": Grant.INSERT}, hands_to="bob")\n'
    "async def hand_over(say: str) -> HandOff:\n"
    '    """Hand over to bob."""\n'
    '    return HandOff("bob", BlockEdit("note", Insert(say)))\n'
)

OF_WAKES: Final = (
    Rule(
        code="L011",
        name="nothing ever wakes it",
        severity="warning",
        summary="The agent has wakes, none of which can ever fire.",
        why="It is declared to be woken, so somebody expects it to act; only a message addressed to it makes it do so.",
        mend="name authors who may write into the block, or grant it to those who are named",
        bad=_NOTES
        + 'ann, bob = Agent("ann"), Agent("bob", blocks=[notes], wakes_on=[Wake(notes, by=["ann"])])\n'
        + 'team = Team("pair", [ann, bob])',
        good=_NOTES
        + 'ann = Agent("ann", blocks=[notes.contributor()])\n'
        + 'bob = Agent("bob", blocks=[notes], wakes_on=[Wake(notes, by=["ann"])])\n'
        + 'team = Team("pair", [ann, bob])',
    ),
    Rule(
        code="L012",
        name="woken by messages only",
        severity="note",
        summary="The agent is not the one that messages go to, and has no wakes.",
        why="It takes a turn only when your program addresses it: live.run(…, agent=) or live.agents.message.",
        mend="let a block wake it (wakes_on=); or leave it, if your program sends it messages",
        bad=_NOTES + 'team = Team("pair", [Agent(name, blocks=[notes.contributor()]) for name in ("ann", "bob")])',
        good=_NOTES
        + 'ann = Agent("ann", blocks=[notes.contributor()])\n'
        + 'team = Team("pair", [ann, Agent("bob", blocks=[notes.contributor()], wakes_on=[Wake(notes, by=["ann"])])])',
    ),
    Rule(
        code="L013",
        name="wakes without end",
        severity="warning",
        summary="Agents wake one another in a circle in which anybody's changes count.",
        why=(
            "As long as each of them writes when it is woken, they go on until the run's budget is spent. With a wake"
            " that counts everybody's changes, a mere remark calls all the others."
        ),
        mend=(
            "name whose changes count, Wake(block, by=[…]), so that answers call nobody but who asked; or look at the"
            " text, Wake(block, when=…), so that it ends when nothing is left to do"
        ),
        bad=_NOTES + 'team = Team("pair", [Agent(name, blocks=[notes], wakes_on=[notes]) for name in ("ann", "bob")])',
        good=_NOTES
        + 'ann, bob = Agent("ann", blocks=[notes]), Agent("bob", blocks=[notes], wakes_on=[Wake(notes, by=["ann"])])\n'
        + 'team = Team("pair", [ann, bob])',
    ),
    Rule(
        code="L014",
        name="wakes in a circle",
        severity="note",
        summary="Agents wake one another in a circle, and each wake says whose changes count.",
        why=(
            "That is how agents ask and answer over blocks. It ends when one of them has nothing more to write; else"
            " when the run's budget is spent, since a change that wakes has no limit of its own."
        ),
        mend="tell them in their instructions when to write nothing more, and give runs a budget: Budget(turns=50)",
        bad=_ASKING
        + 'ann = Agent("ann", blocks=[asked, told.reader()], wakes_on=[told])\n'
        + 'bob = Agent("bob", blocks=[asked.reader(), told], wakes_on=[asked])\n'
        + 'team = Team("pair", [ann, bob])',
        good=_ASKING
        + 'ann = Agent("ann", blocks=[asked, told.reader()])\n'
        + 'bob = Agent("bob", blocks=[asked.reader(), told], wakes_on=[asked])\n'
        + 'team = Team("pair", [ann, bob])',
    ),
    Rule(
        code="L015",
        name="a handoff limit that never counts",
        severity="note",
        summary="More handoffs are allowed in a run than it may have turns.",
        why="Each handoff begins a turn, so the run's budget is spent first: two may hand over to and fro until then.",
        mend="allow as many as the work needs, such as handoffs=6",
        bad=_NOTE
        + _PASSING
        + 'ann = Agent("ann", blocks=[note], tools=[hand_over])\n'
        + 'team = Team("pair", [ann, Agent("bob", blocks=[note], wakes_on=[Wake(note, handoffs=5000)])])',
        good=_NOTE
        + _PASSING
        + 'ann = Agent("ann", blocks=[note], tools=[hand_over])\n'
        + 'team = Team("pair", [ann, Agent("bob", blocks=[note], wakes_on=[Wake(note, handoffs=6)])])',
    ),
    Rule(
        code="L016",
        name="nobody can hand over",
        severity="warning",
        summary="An agent takes control from others, of whom none has a tool that hands it over.",
        why="Control is handed over by a tool that returns a HandOff; without one, this wake never fires.",
        mend="give an agent such a tool; patterns.hand_off() makes it together with the wake",
        bad=_NOTE
        + 'ann, bob = Agent("ann", blocks=[note]), Agent("bob", blocks=[note], wakes_on=[Wake(note, handoffs=6)])\n'
        + 'team = Team("pair", [ann, bob])',
        good=_NOTE
        + _PASSING
        + 'ann = Agent("ann", blocks=[note], tools=[hand_over])\n'
        + 'team = Team("pair", [ann, Agent("bob", blocks=[note], wakes_on=[Wake(note, handoffs=6)])])',
    ),
    Rule(
        code="L021",
        name="a tool without its block",
        severity="error",
        summary="An agent has a tool that needs a block which it does not have, or may not change enough.",
        why="Whatever the model does with that tool is refused; a supervisor or a worker so cannot see its queue.",
        mend="give the agent the block that the tool needs, with the grant that it needs",
        bad=_PASSING
        + 'note = Block("note", description="What to know.")\n'
        + 'bob = Agent("bob", blocks=[note], wakes_on=[Wake(note, handoffs=6)])\n'
        + 'team = Team("pair", [Agent("ann", tools=[hand_over]), bob])',
        good=_PASSING
        + 'note = Block("note", description="What to know.")\n'
        + 'bob = Agent("bob", blocks=[note], wakes_on=[Wake(note, handoffs=6)])\n'
        + 'team = Team("pair", [Agent("ann", blocks=[note], tools=[hand_over]), bob])',
    ),
    Rule(
        code="L022",
        name="a queue that nobody fills",
        severity="warning",
        summary="A pool of agents claims work from a block into which nobody outside of it may write.",
        why="No message to the team becomes work for the pool, unless your program writes it into the block.",
        mend="give the block to the agent that messages go to, so that it can write tasks and see what came of them",
        bad=_TAKING + 'team = Team("crew", [Agent("lead"), worker])',
        good=_TAKING + 'team = Team("crew", [Agent("lead", blocks=[queue]), worker])',
    ),
    Rule(
        code="L023",
        name="a handoff to nobody",
        severity="error",
        summary="An agent's tool hands control over to somebody who does not take it.",
        why=(
            "A handoff is refused unless the other one is in the team, sees the note, and takes control by it from"
            " this agent: Wake(note, handoffs=…)."
        ),
        mend="give the other one the note and a Wake(note, handoffs=…); patterns.hand_off() does both",
        bad=_NOTE
        + _PASSING
        + 'team = Team("pair", [Agent("ann", blocks=[note], tools=[hand_over]), Agent("bob", blocks=[note])])',
        good=_NOTE
        + _PASSING
        + 'bob = Agent("bob", blocks=[note], wakes_on=[Wake(note, handoffs=6)])\n'
        + 'team = Team("pair", [Agent("ann", blocks=[note], tools=[hand_over]), bob])',
    ),
)
