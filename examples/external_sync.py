"""A program keeps blocks in step with an outside source, here a CRM's file, while a team works. No note is lost.

Two ways to do it. `customers` is read-only for agents: nobody else writes it, so it can simply be replaced. `accounts`
has a summary of the file above and notes of agents below: whoever replaces such a block says which version it has read
(`if_version`), and tries again if an agent was faster. By default a script answers: each agent notes that it called.
"""

from __future__ import annotations

import argparse
from tempfile import TemporaryDirectory

import anyio

from orchestrator import Agent, Block, Model, Orchestrator, OutdatedRewrite, Store, Team
from orchestrator.testing import Line, ScriptedModel, edit

NOTES = "Notes of the team:"
customers = Block("customers", description="The customers, as our CRM has them now.", read_only=True)
accounts = Block("accounts", NOTES, "How many customers there are, and notes about them.")
_HOW = "Add a note about the customers to the block `accounts`, on a line of its own."
team = Team("sales", [Agent(name, _HOW, blocks=[customers, accounts.contributor()]) for name in ("ann", "bob")])

SCRIPT: dict[str, list[Line]] = {name: [] for name in ("ann", "bob")}
for customer in ("Acme", "Globex", "Initech"):
    for name, note in (("ann", f"- ann has called {customer}"), ("bob", f"- bob has written to {customer}")):
        SCRIPT[name] += [edit("memory_insert", "accounts", new_string=note), "noted"]


async def bring_in(live: Orchestrator, table: str) -> None:
    """Write what the CRM has now into both blocks."""
    while True:
        read = await live.blocks.retrieve("accounts")
        _, mark, notes = read.value.partition(NOTES)
        text = f"Customers: {len(table.splitlines())}\n{mark}{notes}"
        try:
            await live.blocks.modify("accounts", value=text, if_version=read.version)
            break
        except OutdatedRewrite:  # an agent has added a note since: take it along
            continue
    await live.blocks.modify("customers", value=table)


async def keep_in_step(live: Orchestrator, file: anyio.Path, every: float = 0.01) -> None:
    """Bring in what is in the file whenever it has changed; until cancelled."""
    table = ""
    while True:
        known, table = table, await file.read_text()
        if table != known:
            await bring_in(live, table)
        await anyio.sleep(every)


async def main(model: str | Model | None = None, store: Store | None = None) -> None:
    with TemporaryDirectory() as folder:
        file, new = anyio.Path(folder, "crm.csv"), anyio.Path(folder, "new.csv")
        await file.write_text("")
        async with (
            Orchestrator(team, store, model=model or ScriptedModel(SCRIPT)) as live,
            anyio.create_task_group() as syncing,
        ):
            syncing.start_soon(keep_in_step, live, file)
            for table in ("Acme,free\n", "Acme,free\nGlobex,paid\n", "Acme,paid\nGlobex,paid\nInitech,free\n"):
                async with live.watch(block="customers") as changes, anyio.create_task_group() as working:
                    await new.write_text(table)
                    await new.replace(file)  # at once, so that nobody reads half a file
                    for agent in team.members:
                        working.start_soon(live.agents.message, agent, "What is there to note?")
                    print(f"brought in: version {(await anext(changes)).version} of the customers")
            syncing.cancel_scope.cancel()
            print((await live.blocks.retrieve("accounts")).value)
            for revision in await live.blocks.history("accounts"):
                print(f"version {revision.version}: {revision.operation} by {revision.by}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A program keeps blocks in step with a file while a team works.")
    parser.add_argument("--model", help="such as openai/gpt-5-mini [a script, which understands nothing]")
    anyio.run(main, parser.parse_args().model)
