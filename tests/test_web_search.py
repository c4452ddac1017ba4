"""The web is asked as Exa wants it, and whatever comes back is an answer to the model, without the key."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import anyio
import anyio.to_thread
import pytest

from orchestrator import Agent, DeclarationError, Orchestrator, Team, ToolError, ToolMessage
from orchestrator.testing import Say, ScriptedModel, call
from patterns import web_search
from tests.provider_server import Close, Hang, Provider, Raw, Reply

KEY = "exa-key-4711"

PAGE = {
    "title": "The origin of Letta",
    "url": "https://example.org/letta",
    "publishedDate": "2024-09-23T10:00:00.000Z",
    "highlights": ["Letta comes from MemGPT.", "It was announced\nin 2024."],
}


@pytest.fixture(autouse=True)
def nothing_around(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy between a test and its server, and nobody's own key."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "EXA_API_KEY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


def sent(document: Any, status: int = 200) -> Raw:
    return Raw(status, json.dumps(document).encode(), {"content-type": "application/json"})


def pages(*results: Any) -> Raw:
    return sent({"requestId": "1", "results": list(results)})


async def searched(reply: Reply, query: str = "letta", *, timeout: float = 20, **arguments: Any) -> str:
    """What the tool answers when the server replies so."""
    with Provider(reply) as server, anyio.fail_after(30):
        answer: str = await web_search(KEY, base_url=server.url, timeout=timeout)(query, **arguments)
    return answer


async def refused(reply: Reply, **options: Any) -> str:
    """Why the tool refuses when the server replies so; never with the key in it."""
    with pytest.raises(ToolError) as caught:
        await searched(reply, **options)
    assert KEY not in str(caught.value)
    assert caught.value.__cause__ is None
    return str(caught.value)


# --- what is asked, and what is told


async def test_a_page_is_told_with_its_title_address_date_and_excerpts() -> None:
    assert await searched(pages(PAGE)) == (
        "1. The origin of Letta\n"
        "   https://example.org/letta (2024-09-23)\n"
        "   Letta comes from MemGPT. … It was announced in 2024."
    )


async def test_the_request_is_the_one_that_exa_documents() -> None:
    with Provider(pages()) as server, anyio.fail_after(30):
        await web_search(f" {KEY}\n", base_url=f"{server.url}/")("where  is\nLetta?", num_results=3)

    (asked,) = server.asked
    assert asked.path == "/search"
    assert asked.headers["x-api-key"] == KEY
    assert asked.headers["accept-encoding"] == "identity"
    assert asked.body == {"query": "where is Letta?", "numResults": 3, "contents": {"highlights": True}}


async def test_the_key_comes_from_the_environment_when_the_tool_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    with Provider(pages(PAGE)) as server, anyio.fail_after(30):
        search = web_search(base_url=server.url)
        with pytest.raises(ToolError, match="needs EXA_API_KEY; whoever runs the team"):
            await search("letta")
        assert server.asked == []

        monkeypatch.setenv("EXA_API_KEY", KEY)
        await search("letta")

    assert [asked.headers["x-api-key"] for asked in server.asked] == [KEY]


async def test_a_page_needs_an_address_and_nothing_else() -> None:
    bare = {"url": "https://example.org/a", "title": None, "publishedDate": "yesterday", "highlights": [1, None]}
    answer = await searched(pages({"title": "lost"}, "no page", bare, {"url": "https://example.org/b", "text": "t"}))

    assert answer == "1. https://example.org/a\n   https://example.org/a\n2. https://example.org/b\n" + (
        "   https://example.org/b\n   t"
    )


async def test_a_summary_stands_in_for_highlights_that_are_missing() -> None:
    page = {"url": "https://example.org/a", "title": "A", "highlights": [], "summary": "in short", "text": "at length"}

    assert await searched(pages(page)) == "1. A\n   https://example.org/a\n   in short"


async def test_what_cannot_be_stored_or_shown_is_left_out() -> None:
    page = {"url": "https://example.org/a", "title": "a\u0000b\ud800c\x1b[31m", "text": "one\r\n\ttwo\u0007"}

    assert await searched(pages(page)) == "1. abc[31m\n   https://example.org/a\n   one two"


async def test_no_page_is_an_answer_too() -> None:
    assert await searched(pages()) == "Nothing found on the web for 'letta'."


async def test_long_excerpts_are_cut_and_too_many_results_are_left_out() -> None:
    long = {"url": "https://example.org/" + "u" * 1000, "title": "t" * 1000, "text": "x" * 100_000}
    answer = await searched(pages(*[long] * 10), num_results=10)
    lines = answer.split("\n")

    assert len(answer) < 7_000
    assert [len(line.strip()) for line in lines[:3]] == [len("1. ") + 200, 500, 600]
    assert lines[2].endswith("x…")
    assert lines[-1] == "(6 more results are left out: ask for fewer, or more precisely.)"
    assert lines[-2].startswith("   x")


async def test_no_more_results_are_told_than_were_asked_for() -> None:
    answer = await searched(pages(*[PAGE] * 5), num_results=2)

    assert answer.count("https://example.org/letta") == 2


# --- what goes wrong


@pytest.mark.parametrize(
    ("status", "problem"),
    [
        (401, "refused the key (status 401)"),
        (402, "says that the account has no credits left (status 402)"),
        (403, "does not let this key search (status 403)"),
        (429, "was asked too often; wait before you search again (status 429)"),
        (500, "has a problem of its own (status 500); try again later"),
        (503, "has a problem of its own (status 503); try again later"),
        (302, "sends elsewhere (status 302), and redirects are not followed"),
    ],
)
async def test_a_status_is_said_in_words_of_ours(status: int, problem: str) -> None:
    answer = await refused(sent({"error": f"about {KEY}"}, status))

    assert answer == f"web_search found nothing out: 127.0.0.1 {problem}"


async def test_a_search_that_is_refused_says_why_without_the_key() -> None:
    assert (await refused(sent({"error": f"{KEY} may ask for 3"}, 400))).endswith(
        "refused the search (status 400): … may ask for 3"
    )
    assert (await refused(sent(["no object"], 422))).endswith("refused the search (status 422)")
    assert (await refused(Raw(404, b"<html>"))).endswith("refused the search (status 404)")


async def test_a_redirect_is_not_followed() -> None:
    with Provider(pages(PAGE)) as elsewhere:
        await refused(Raw(307, headers={"location": f"{elsewhere.url}/search"}))

    assert elsewhere.asked == []


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"[]", b'{"results": {}}', b'{"answer": 1}', b"\xff\xfe", b"[" * 200_000, b"\x1f\x8b\x08\x00"],
    ids=["nothing", "html", "list", "object", "other", "no text", "nested", "compressed"],
)
async def test_an_answer_that_is_no_list_of_results_is_refused(body: bytes) -> None:
    assert (await refused(Raw(200, body))).endswith("what 127.0.0.1 sent is no list of results")


async def test_a_huge_answer_is_not_read_to_its_end() -> None:
    """The rest that was promised never comes: who waits for it runs into the deadline."""
    promised = Raw(200, b" " * 2_000_001, {"content-length": "9000000"})

    assert (await refused(promised, timeout=10)).endswith("127.0.0.1 sent more than 2,000,000 bytes")


async def test_a_server_that_does_not_answer_is_given_up() -> None:
    with Provider(Hang()) as server, anyio.fail_after(30):
        with pytest.raises(ToolError, match=r"127\.0\.0\.1 did not answer within 0\.2 s"):
            await web_search(KEY, base_url=server.url, timeout=0.2)("letta")
        assert await anyio.to_thread.run_sync(server.abandoned.wait, 20)


async def test_the_deadline_is_one_for_all_of_the_answer() -> None:
    drip = Raw(200, b" " * 1000, drip=0.05)

    assert (await refused(drip, timeout=0.3)).endswith("did not answer within 0.3 s")


async def test_a_connection_that_breaks_off_is_told() -> None:
    assert "127.0.0.1 could not be asked (RemoteProtocolError: " in await refused(Close(5))


async def test_a_server_that_is_not_there_is_told() -> None:
    with Provider() as server:
        url = server.url

    with anyio.fail_after(30), pytest.raises(ToolError, match=r"127\.0\.0\.1 could not be asked \(ConnectError"):
        await web_search(KEY, base_url=url)("letta")


@pytest.mark.parametrize("key", ["exa\nkey", "exa–key", "exa\x00"])  # noqa: RUF001 - a dash as word processors make it
async def test_a_key_that_is_none_is_neither_sent_nor_told(key: str) -> None:
    with Provider(pages()) as server, pytest.raises(ToolError, match="characters that no key has") as caught:
        await web_search(key, base_url=server.url)("letta")

    assert key not in str(caught.value)
    assert server.asked == []


@pytest.mark.parametrize(("query", "problem"), [(" \n\x00", "asked for nothing"), ("x" * 1001, "1,001 characters")])
async def test_a_query_that_is_none_is_not_sent(query: str, problem: str) -> None:
    with Provider(pages()) as server, pytest.raises(ToolError, match=problem):
        await web_search(KEY, base_url=server.url)(query)

    assert server.asked == []


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"base_url": "api.exa.ai"}, "base_url is 'api.exa.ai'"),
        ({"base_url": "ftp://api.exa.ai"}, "base_url"),
        ({"base_url": "https://"}, "base_url"),
        ({"base_url": "https://exa:99999"}, "base_url"),
        ({"base_url": None}, "base_url is None"),
        ({"base_url": "https://api.exa.ai\n"}, "base_url"),
        ({"base_url": "https://api.exa.ai?team=7"}, "base_url"),
        ({"base_url": "https://api.exa.ai#search"}, "base_url"),
        ({"timeout": 0}, "timeout is 0; give seconds"),
        ({"timeout": True}, "timeout is True"),
        ({"timeout": "1"}, "timeout is '1'"),
        ({"timeout": float("nan")}, "timeout is nan"),
        ({"key": b"k"}, "key is of type bytes"),
    ],
)
def test_a_declaration_that_cannot_work_says_so_at_once(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(DeclarationError, match=problem):
        web_search(**options)


# --- in a team


def test_a_model_is_told_the_name_the_arguments_and_their_bounds() -> None:
    spec = web_search().spec

    assert spec.name == "web_search"
    assert spec.parameters["required"] == ["query"]
    number = spec.parameters["properties"]["num_results"]
    assert (number["default"], number["minimum"], number["maximum"]) == (5, 1, 10)


async def test_without_a_key_the_turn_goes_on() -> None:
    team = Team("one", [Agent("ann", tools=[web_search()])])
    script = {"ann": [call("web_search", query="letta"), call("web_search", query="x", num_results=11), Say("no web")]}
    with ScriptedModel(script) as model, anyio.fail_after(10):
        async with Orchestrator(team, model=model) as live:
            run = await live.run("Look it up.")

    assert (run.status, run.output) == ("complete", "no web")
    first, second = [m for m in model.requests[-1].messages if isinstance(m, ToolMessage)]
    assert first.text.startswith("web_search needs EXA_API_KEY; ")
    assert second.text.startswith("web_search was not called: num_results: ")
    assert not first.ok
    assert not second.ok


async def test_a_search_that_is_cancelled_leaves_no_connection() -> None:
    with Provider(Hang()) as server, anyio.fail_after(30):
        async with anyio.create_task_group() as group:
            group.start_soon(web_search(KEY, base_url=server.url), "letta")
            assert await anyio.to_thread.run_sync(server.reached.wait, 20)
            group.cancel_scope.cancel()
        assert await anyio.to_thread.run_sync(server.abandoned.wait, 20)


def test_importing_patterns_does_not_import_what_asks_the_web() -> None:
    command = [sys.executable, "-c", "import patterns, sys; patterns.web_search(); print('httpx' in sys.modules)"]

    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "False\n"
