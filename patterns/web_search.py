"""Answers from the web, through Exa's search: title, address, date and an excerpt of each page that was found."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, NamedTuple
from urllib.parse import urlsplit

import anyio
from pydantic import Field

from orchestrator import DeclarationError, Tool, ToolError, tool

#: Where the key comes from, if none is given.
VARIABLE: Final = "EXA_API_KEY"

_MOST_RESULTS: Final = 10
_LONGEST_QUERY: Final = 1_000
#: Characters of each part of a result, and of all that a model is told.
_TITLE: Final = 200
_ADDRESS: Final = 500
_EXCERPT: Final = 600
_ALL: Final = 6_000
#: Bytes; ten results with highlights have some twenty thousand.
_MOST_READ: Final = 2_000_000

_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d")

_REFUSED: Final = {
    401: "refused the key",
    402: "says that the account has no credits left",
    403: "does not let this key search",
    429: "was asked too often; wait before you search again",
}


class _Reply(NamedTuple):
    status: int
    body: bytes


def web_search(key: str | None = None, *, base_url: str = "https://api.exa.ai", timeout: float = 30) -> Tool:
    """The tool `web_search(query, num_results=5)` over the web, asked through Exa's search.

    Whatever goes wrong (no key, no credits, no answer within `timeout` seconds) is an answer to the model, whose turn
    goes on. Redirects are not followed, and nothing is asked twice by itself.

    Args:
        key: Exa's key; by default what EXA_API_KEY holds when the tool is called.
        base_url: another server that speaks like Exa's.
    """
    if key is not None and not isinstance(key, str):
        raise DeclarationError("web_search()", f"key is of type {type(key).__name__}; give text, or set {VARIABLE}")
    if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not timeout > 0:
        raise DeclarationError("web_search()", f"timeout is {timeout!r}; give seconds")
    host, url = _host(base_url), f"{str(base_url).rstrip('/')}/search"

    async def web_search(
        query: str, num_results: Annotated[int, Field(ge=1, le=_MOST_RESULTS, description="At most so many.")] = 5
    ) -> str:
        """Search the web with a question or with keywords.

        The answer is a list of pages: title, address, date of publication where it is known, and an excerpt.
        """
        secret = _usable_key(os.environ.get(VARIABLE, "") if key is None else key)
        body = {"query": _usable_query(query), "numResults": num_results, "contents": {"highlights": True}}
        reply = await _ask(host, url, secret, body, timeout)
        if reply.status != 200:
            raise ToolError(f"web_search found nothing out: {host} {_problem(reply, secret)}")
        found = _results(host, reply.body)
        return _told(found[:num_results]) if found else f"Nothing found on the web for {query!r}."

    return tool(web_search)


def _host(base_url: object) -> str:
    try:
        address = urlsplit(str(base_url))
        is_base = str(base_url).isprintable() and not (address.query or address.fragment)
        if is_base and address.scheme in ("http", "https") and address.hostname and (address.port or 1) > 0:
            return address.hostname
    except ValueError:  # a port that is none, half of a bracket
        pass
    raise DeclarationError("web_search()", f"base_url is {base_url!r}; give one such as https://api.exa.ai")


def _usable_key(key: str) -> str:
    key = key.strip()
    if not key:
        raise ToolError(f"web_search needs {VARIABLE}; whoever runs the team has to set it. Go on without the web")
    if not (key.isascii() and key.isprintable()):
        raise ToolError(f"web_search needs {VARIABLE}, and what is set has characters that no key has")
    return key


def _usable_query(query: str) -> str:
    query = _line(query)
    if not query:
        raise ToolError("web_search was asked for nothing; say what to look for")
    if len(query) > _LONGEST_QUERY:
        raise ToolError(f"the query has {len(query):,} characters; use {_LONGEST_QUERY:,} at most")
    return query


async def _ask(host: str, url: str, key: str, body: Mapping[str, Any], timeout: float) -> _Reply:
    import httpx  # takes a while, and only those who search need it

    # One deadline for all of it, so httpx has none; and no compressed answer, whose size nobody knows beforehand.
    headers = {"x-api-key": key, "accept": "application/json", "accept-encoding": "identity"}
    read = bytearray()
    try:
        with anyio.fail_after(timeout) as deadline:
            async with (
                httpx.AsyncClient(timeout=None, follow_redirects=False) as client,  # noqa: S113 - the deadline above
                client.stream("POST", url, json=body, headers=headers) as response,
            ):
                async for part in response.aiter_raw():
                    read += part
                    if len(read) > _MOST_READ:
                        deadline.cancel()  # not `break`: trio warns of generators that were not ended from within
                if len(read) <= _MOST_READ:
                    return _Reply(response.status_code, bytes(read))
    except TimeoutError:
        raise ToolError(f"web_search found nothing out: {host} did not answer within {timeout:g} s") from None
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        problem = f"{type(error).__name__}: {error}".rstrip(": ").replace(key, "…")
        raise ToolError(f"web_search found nothing out: {host} could not be asked ({problem})") from None
    raise ToolError(f"web_search found nothing out: {host} sent more than {_MOST_READ:,} bytes")


def _problem(reply: _Reply, key: str) -> str:
    """Why there are no results; the server's own words only where they cannot be about the key."""
    status = reply.status
    if status in _REFUSED:
        return f"{_REFUSED[status]} (status {status})"
    if status >= 500:
        return f"has a problem of its own (status {status}); try again later"
    if 300 <= status < 400:
        return f"sends elsewhere (status {status}), and redirects are not followed"
    told = _parsed(reply.body)
    said = _short(told.get("error") if isinstance(told, dict) else None, _TITLE).replace(key, "…")
    return f"refused the search (status {status}){': ' if said else ''}{said}"


def _results(host: str, body: bytes) -> list[str]:
    """Each result as a model reads it; those without an address are left out."""
    answer = _parsed(body)
    results = answer.get("results") if isinstance(answer, dict) else None
    if not isinstance(results, list):
        raise ToolError(f"web_search found nothing out: what {host} sent is no list of results")
    return [_result(result) for result in results if isinstance(result, dict) and _short(result.get("url"), _ADDRESS)]


def _parsed(body: bytes) -> object:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _result(result: Mapping[str, Any]) -> str:
    address = _short(result["url"], _ADDRESS)
    highlights = result.get("highlights")
    said = highlights if isinstance(highlights, list) else []
    excerpt = " … ".join(filter(None, (_short(part, _EXCERPT) for part in said)))
    date = _DATE.match(_short(result.get("publishedDate"), _TITLE))
    head = f"{_short(result.get('title'), _TITLE) or address}\n   {address}{f' ({date[0]})' if date else ''}"
    excerpt = _short(excerpt or result.get("summary") or result.get("text"), _EXCERPT)
    return f"{head}\n   {excerpt}" if excerpt else head


def _told(results: list[str]) -> str:
    """The results, numbered, as many as fit."""
    told: list[str] = []
    for number, result in enumerate(results, 1):
        if sum(map(len, told)) + len(result) > _ALL:
            told.append(f"({len(results) - number + 1} more results are left out: ask for fewer, or more precisely.)")
            break
        told.append(f"{number}. {result}")
    return "\n".join(told)


def _short(text: object, most: int) -> str:
    """Its beginning, in one line; nothing where it is no text."""
    line = _line(text) if isinstance(text, str) else ""
    return line if len(line) <= most else f"{line[: most - 1]}…"


def _line(text: str) -> str:
    """One line, without what cannot be stored or shown."""
    return "".join(c for c in " ".join(text.split()) if c.isprintable())
