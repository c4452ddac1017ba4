"""Rules about stores that were used. `orchestrator check --explain CODE` prints them, too."""

from __future__ import annotations

from typing import Final

from orchestrator.checking.findings import Rule

_REPORT: Final = "keep the file as it is, work on with a copy or a backup, and report it: this must not happen"

OF_STORES: Final = (
    Rule(
        code="D001",
        name="a history with gaps",
        severity="error",
        summary="The versions of a block are not 1, 2, 3, … without gaps.",
        why="Texts that stood in the block cannot be looked at or brought back, and who wrote what is not known.",
        mend=_REPORT,
    ),
    Rule(
        code="D002",
        name="a block beside its history",
        severity="error",
        summary="A block is not as the last version of its history has it.",
        why="Agents are shown a text that nobody is known to have written.",
        mend=_REPORT,
    ),
    Rule(
        code="D003",
        name="a history beside the log",
        severity="error",
        summary="The log and the history of a block tell different things of a version.",
        why="They are written in one transaction. Watchers, and whoever opens the store again, go by the log.",
        mend=_REPORT,
    ),
    Rule(
        code="D004",
        name="a log with gaps",
        severity="error",
        summary="The numbers of the log are not 1, 2, 3, … without gaps.",
        why="Something that happened is not told: who is to be woken, or what still goes on, may be wrong.",
        mend=_REPORT,
    ),
    Rule(
        code="D005",
        name="an end that came twice",
        severity="error",
        summary="The log tells more than once that a turn or a run has ended.",
        why="What it held was given back twice, and its outcome is not clear.",
        mend=_REPORT,
    ),
    Rule(
        code="D006",
        name="a text beyond its limit",
        severity="error",
        summary="A block has more characters than its limit allows.",
        why="No change may make it so; agents can only shorten it.",
        mend=_REPORT,
    ),
    Rule(
        code="D101",
        name="overwritten unseen",
        severity="error",
        summary="A rewrite removed what others wrote after the version that its author was shown.",
        why="Its author cannot have meant to: it was never shown these lines. Agents do not see them any more. It is"
        ' what Block(rethink="last_write_wins") allows.',
        mend="bring the lines back from the history, and declare the block with rethink='if_unchanged'",
    ),
    Rule(
        code="D102",
        name="lines of others rewritten",
        severity="note",
        summary="A rewrite removed lines of others that its author had been shown.",
        why="That is what a curator is for; if it was not meant, the lines are in the history.",
        mend="see what was changed: orchestrator blocks history NAME --diff --store PATH",
    ),
    Rule(
        code="D201",
        name="changes refused",
        severity="note",
        summary="Changes of a block were refused, and the agent changed it later all the same.",
        why="Each refusal costs a model call, and many of one kind point to something that can be mended.",
        mend="read the last reason; orchestrator runs show ID --store PATH shows those of a run",
    ),
    Rule(
        code="D202",
        name="a change that was never made",
        severity="warning",
        summary="Changes of a block were refused, and the agent has not changed it since.",
        why="What the agent had to say is not in the block, unless it said it elsewhere.",
        mend="read the last reason; orchestrator runs show ID --store PATH shows those of a run",
    ),
    Rule(
        code="D203",
        name="contention",
        severity="warning",
        summary="Two authors were often in each other's way at one block.",
        why="Nothing is lost, but each refused change has to be thought about again, and paid for again.",
        mend="let each have a section or a block of its own, add lines (memory_insert) in place of rewriting, or let"
        " only one of them rewrite",
    ),
    Rule(
        code="D301",
        name="a block that is nearly full",
        severity="warning",
        summary="A block has used at least 80 % of its limit, or insertions were refused because it was full.",
        why="What does not fit is refused, and the agents have to shorten the block before they can go on.",
        mend="raise the limit (live.blocks.modify(…, limit=…), and in the declaration), let its oldest lines move to an"
        " archive (overflow=), or wake somebody who shortens it: Wake(block, full=0.8)",
    ),
    Rule(
        code="D302",
        name="a block that nobody sees",
        severity="warning",
        summary="No agent sees a block, and it is no archive of another one.",
        why="What stands in it reaches nobody.",
        mend="await live.agents.blocks.attach(AGENT, BLOCK), or delete it: await live.blocks.delete(BLOCK)",
    ),
    Rule(
        code="D303",
        name="an agent that is behind",
        severity="note",
        summary="A block was changed by others since an agent was last shown it.",
        why="An agent sees blocks as they are at each step, and takes no step unless something wakes it.",
        mend="give the agent wakes_on=[block], or a message; it is shown the latest version then",
    ),
    Rule(
        code="D304",
        name="an agent that was detached",
        severity="note",
        summary="An agent was detached from a block that is still there.",
        why="It does not see the block any more, nor what others write into it.",
        mend="if it should: await live.agents.blocks.attach(AGENT, BLOCK)",
    ),
    Rule(
        code="D305",
        name="blocks that look alike",
        severity="warning",
        summary="A shared block has the label of another block that other agents see.",
        why="Agents that say the same label write into different blocks, and do not see what the others write.",
        mend="give them the same Block object, or other labels",
    ),
    Rule(
        code="D401",
        name="a run that was cut off",
        severity="warning",
        summary="The process of a run ended before the run did.",
        why="Its caller got no answer. Nothing that was acknowledged is lost, and the run can go on where it was.",
        mend="orchestrator runs resume TEAM ID --store PATH, or: await live.resume(ID)",
    ),
    Rule(
        code="D402",
        name="a run that failed",
        severity="warning",
        summary="A run ended as failed.",
        why="Its caller got no answer, or none that can be relied on.",
        mend="read the reason; orchestrator runs show ID --store PATH shows the run whole",
    ),
    Rule(
        code="D403",
        name="a run that was stuck",
        severity="warning",
        summary="A run ended because something called for agents and nobody was able to answer.",
        why="What was called for is still to be done.",
        mend="see who waits for what in the reason, and let one of these agents take a turn; give it a message",
    ),
    Rule(
        code="D404",
        name="a run that spent its budget",
        severity="note",
        summary="A run ended because its budget was spent.",
        why="What was left to do waits for the next run.",
        mend="give it a larger Budget, or find out what it was spent on: orchestrator runs show ID --store PATH",
    ),
    Rule(
        code="D405",
        name="turns that failed",
        severity="warning",
        summary="Turns of an agent failed, or took too long.",
        why="What woke the agent may be unanswered; what it had done by then stays.",
        mend="read the reason; a turn's steps and time are bounded by Agent(max_steps=…, timeout=…)",
    ),
)
