"""Histories of concurrent clients: correct ones of chance, and such with one fault that cannot be true."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random
from typing import NamedTuple

from orchestrator.simulation.observed import Operation, applied

INITIAL = "start"


class Drawn(NamedTuple):
    """A correct history, and the text of each version."""

    operations: list[Operation]
    #: Version 1 at place 0.
    texts: list[str]


def drawn(
    random: Random,
    count: int,
    clients: int = 4,
    *,
    kinds: str = "iiiiirrrrrrptm",
    killed: float = 0.0,
    longest: int = 400,
    shown: float = 0.5,
) -> Drawn:
    """Operations that each took effect at one moment between their beginning and their end.

    Args:
        kinds: letters of which each operation draws one: insert, read, replace (p), rethink (t), modify.
        killed: how likely a write never hears what became of it.
        longest: a text that is longer is rewritten.
        shown: how likely a write is shown the whole text.
    """
    spans: list[tuple[float, float, float, str]] = []
    free = [0.0] * clients
    for _ in range(count):
        client = min(range(clients), key=free.__getitem__)
        begun = free[client] + random.random()
        moment = begun + random.random()
        ended = moment + random.random()
        free[client] = ended
        spans.append((moment, begun, ended, f"client-{client}"))
    text, texts, operations = INITIAL, [INITIAL], []
    for number, (_, begun, ended, client) in enumerate(sorted(spans)):
        kind = random.choice(kinds) if len(text) < longest else "t"
        operation = _operation(kind, number, text, random, client=client, begun=begun, ended=ended)
        is_killed = operation.is_write and random.random() < killed
        if is_killed:
            # It may be known when it was gone; whether it had happened by then is not.
            known = random.choice([ended, None])
            operation = replace(operation, outcome="unknown", ended=known, version=None)
        if operation.is_write and not (is_killed and random.random() < 0.5):
            after = applied(text, operation)
            assert after is not None
            text = after
            texts.append(text)
        if not is_killed:
            value = text if not operation.is_write or random.random() < shown else None
            operation = replace(operation, version=len(texts), value=value)
        operations.append(operation)
    random.shuffle(operations)
    return Drawn(operations, texts)


def _operation(
    kind: str, number: int, text: str, random: Random, *, client: str, begun: float, ended: float
) -> Operation:
    def made(kind: str, **said: object) -> Operation:
        return Operation(client=client, kind=kind, begun=begun, ended=ended, version=1, **said)

    match kind:
        case "i":
            return made("insert", text=f"line {number}.", at_top=random.random() < 0.2)
        case "p":
            return made("replace", old=random.choice(text.split("\n")), text=f"other {number}.")
        case "t":
            return made("rethink", text=f"whole {number}.")
        case "m":
            kept = text.split("\n")[-3:]
            return made("modify", text="\n".join([*kept, f"owner {number}."]))
        case _:
            return made("read")


# --- faults: each is a contradiction by the way it is made; None where the history has no place for it


def _with(operations: Sequence[Operation], old: Operation, new: Operation) -> list[Operation]:
    return [new if operation is old else operation for operation in operations]


def _pick(random: Random, found: Sequence[Operation]) -> Operation | None:
    return random.choice(found) if found else None


def _reads(history: Drawn, fits: Callable[[Operation], bool] = lambda read: True) -> list[Operation]:
    return [o for o in history.operations if o.kind == "read" and fits(o)]


def _writes(history: Drawn, fits: Callable[[Operation], bool] = lambda write: True) -> list[Operation]:
    return [o for o in history.operations if o.is_write and o.outcome == "acknowledged" and fits(o)]


def lost_append(history: Drawn, random: Random) -> list[Operation] | None:
    """A read lacks a line whose insertion was acknowledged."""
    inserted = {o.text for o in _writes(history, lambda o: o.kind == "insert")}

    def lines(read: Operation) -> list[str]:
        return [line for line in (read.value or "").split("\n") if line in inserted]

    read = _pick(random, _reads(history, lambda read: bool(lines(read))))
    if read is None or read.value is None:
        return None
    kept = read.value.split("\n")
    kept.remove(random.choice(lines(read)))
    return _with(history.operations, read, replace(read, value="\n".join(kept)))


def stale_read(history: Drawn, random: Random) -> list[Operation] | None:
    """A read shows a version although a later one had been acknowledged before it began."""
    write = _pick(random, _writes(history))
    if write is None:
        return None
    read = _pick(random, _reads(history, lambda read: read.begun > write.ended))
    if read is None:
        return None
    version = random.randrange(1, write.version)
    return _with(history.operations, read, replace(read, version=version, value=history.texts[version - 1]))


def gap(history: Drawn, random: Random) -> list[Operation] | None:
    """A version is left out."""
    write = _pick(random, _writes(history))
    if write is None:
        return None
    return [
        replace(o, version=o.version + 1) if o.version is not None and o.version >= write.version else o
        for o in history.operations
    ]


def repeated(history: Drawn, random: Random) -> list[Operation] | None:
    """Two writes make the same version."""
    versions = {o.version for o in _writes(history)}
    write = _pick(random, _writes(history, lambda o: o.version - 1 in versions or o.version == 2))
    return write and _with(history.operations, write, replace(write, version=write.version - 1, value=None))


def reordered(history: Drawn, random: Random) -> list[Operation] | None:
    """Two writes change places although one had ended before the other began; all texts are as if that were so."""
    first = _pick(random, _writes(history))
    if first is None:
        return None
    second = _pick(random, _writes(history, lambda o: o.begun > first.ended))
    if second is None:
        return None
    order = {o.version: o for o in _writes(history)}
    if len(order) != len(history.texts) - 1:  # others have written, who do not know it
        return None
    order[first.version], order[second.version] = second, first
    text, texts = INITIAL, [INITIAL]
    for version in sorted(order):
        after = applied(text, order[version])
        if after is None:
            return None
        text = after
        texts.append(text)
    place = {id(o): version for version, o in order.items()}
    return [_as_if(o, place.get(id(o), o.version), texts) for o in history.operations]


def _as_if(operation: Operation, version: int, texts: Sequence[str]) -> Operation:
    value = None if operation.value is None else texts[version - 1]
    return replace(operation, version=version, value=value)


def early_read(history: Drawn, random: Random) -> list[Operation] | None:
    """A read shows a version before its write began."""
    write = _pick(random, _writes(history))
    read = write and _pick(random, _reads(history, lambda read: read.ended < write.begun))
    if read is None or write is None:
        return None
    return _with(history.operations, read, replace(read, version=write.version, value=history.texts[write.version - 1]))


def value_changed(history: Drawn, random: Random) -> list[Operation] | None:
    """A read shows a text in which one letter is another one."""
    read = _pick(random, _reads(history))
    if read is None or read.value is None:
        return None
    at = random.randrange(len(read.value))
    return _with(history.operations, read, replace(read, value=f"{read.value[:at]}#{read.value[at + 1 :]}"))


def phantom(history: Drawn, random: Random) -> list[Operation] | None:
    """A read shows a line that nobody wrote."""
    read = _pick(random, _reads(history))
    return read and _with(history.operations, read, replace(read, value=f"{read.value}\nnobody's"))


def phantom_version(history: Drawn, random: Random) -> list[Operation] | None:
    """The last read shows a version that nobody wrote."""
    reads = _reads(history)
    if not reads:
        return None
    read = max(reads, key=lambda read: read.begun)
    return _with(history.operations, read, replace(read, version=len(history.texts) + 1, value="nobody's"))


def goes_back(history: Drawn, random: Random) -> list[Operation] | None:
    """A read shows less than another read that had ended before it began."""
    first = _pick(random, _reads(history, lambda read: read.version > 1))
    later = first and _pick(random, _reads(history, lambda read: read.begun > first.ended))
    if first is None or later is None:
        return None
    version = first.version - 1
    return _with(history.operations, later, replace(later, version=version, value=history.texts[version - 1]))


#: Those that stay contradictions whatever operations of unknown outcome have come to; and those that such an operation
#: may explain.
FAULTS = [lost_append, stale_read, repeated, reordered, early_read, value_changed, phantom, goes_back]
EXPLICABLE = [gap, phantom_version]
