"""What a provider's failure means, how long it asks to be left alone, and what is told of it."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from orchestrator.models.failures import Failure, failure_of
from orchestrator.models.redacting import HIDDEN, redacted

RECORDED = Path(__file__).parents[2] / "shared" / "data" / "provider_errors.json"

NOW = 1_000_000_000.0  # 2001-09-09 01:46:40


class HTTPStatusError(Exception):
    """Named as httpx names what carries the response as it came."""

    def __init__(self, status: object, body: str = "", headers: dict[str, str] | None = None) -> None:
        super().__init__("as httpx says it")
        self.response = SimpleNamespace(status_code=status, text=body, headers=headers or {})


class TransportError(Exception):
    """Named as httpx names what has no response."""


class SomethingOfLitellm(Exception):
    """Its class and status are not to be relied on."""

    def __init__(self, message: str = "", status_code: object = 500) -> None:
        super().__init__(message)
        self.message = message
        self.status_code = status_code


class AuthenticationError(SomethingOfLitellm):
    """What is raised for a missing key, before anything is sent."""


def raised(error: Exception, cause: BaseException | None = None) -> Exception:
    error.__cause__ = cause
    return error


def answered(status: object, body: object = "", **headers: str) -> Failure:
    """The failure of a request that was answered so; litellm's own status says something else."""
    text = body if isinstance(body, str) else json.dumps(body)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return failure_of(
        raised(SomethingOfLitellm("litellm.InternalServerError: said otherwise"), HTTPStatusError(status, text, named)),
        NOW,
    )


@pytest.mark.parametrize("status", [408, 409, 425, 500, 502, 503, 504, 529, 599])
def test_what_may_pass_is_unavailable(status):
    assert answered(status, {"error": {"message": "busy"}}) == Failure("unavailable", "busy", status, None, True)


@pytest.mark.parametrize("status", [400, 403, 404, 405, 413, 422])
def test_what_will_not_pass_is_refused(status):
    assert answered(status, {"error": {"message": "no"}}) == Failure("refused", "no", status)


def test_a_key_that_is_not_accepted_is_told_from_other_refusals():
    assert answered(401, {"error": {"message": "who are you?"}}) == Failure("no_key", "who are you?", 401)


def test_too_many_requests_may_pass_but_an_empty_account_does_not():
    assert answered(429, {"error": {"message": "slow down"}}) == Failure("rate_limited", "slow down", 429, None, True)
    spent = {"error": {"message": "See your plan.", "code": "insufficient_quota"}}
    assert answered(429, spent) == Failure("quota", "See your plan.", 429)
    assert answered(400, {"error": {"message": "Your credit balance is too low"}}).kind == "quota"
    assert answered(402, {"error": {"message": "pay"}}).kind == "quota"


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({"error": {"code": "context_length_exceeded", "message": "m"}}, "too_long"),
        ({"error": {"message": "prompt is too long: 210000 tokens > 200000 maximum"}}, "too_long"),
        ({"error": {"message": "The input token count (9) exceeds the maximum number of tokens allowed"}}, "too_long"),
        ({"error": {"code": "content_policy_violation", "message": "m"}}, "content"),
        ({"error": {"code": "content_filter", "message": "m"}}, "content"),
        ({"error": {"message": "rejected by our safety system"}}, "content"),
        ({"error": {"message": "anything else"}}, "refused"),
    ],
)
def test_a_bad_request_is_read_for_what_is_bad_about_it(body, kind):
    assert answered(400, body).kind == kind


def test_words_of_a_request_do_not_make_a_server_error_final():
    assert answered(500, "maximum context length").kind == "unavailable"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"error": {"message": "in error"}}, "in error"),
        ([{"error": {"message": "in a list"}}], "in a list"),
        ({"message": "on top"}, "on top"),
        ({"detail": "in detail"}, "in detail"),
        ({"error": "as a text"}, "as a text"),
        ("plain\n text ", "plain text"),
        ("<html><style>p {}</style><h1>502</h1><p>Bad Gateway</p></html>", "502 Bad Gateway"),
        ("", "said otherwise"),
        ({}, "{}"),
        ([], "[]"),
        ("x" * 1000, "x" * 499 + "…"),
        ("[" * 100_000, "[" * 499 + "…"),
    ],
)
def test_the_reason_is_found_where_providers_put_it(body, reason):
    assert answered(500, body).reason == reason


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry_after": "7"}, 7.0),
        ({"retry_after": "0.5"}, 0.5),
        ({"Retry_After": "7"}, 7.0),
        ({"retry_after_ms": "300", "retry_after": "7"}, 0.3),
        ({"retry_after_ms": "soon", "retry_after": "7"}, 7.0),
        ({"retry_after": "Sun, 09 Sep 2001 01:47:00 GMT"}, 20.0),
        ({"retry_after": "Sun, 09 Sep 2001 01:46:00 GMT"}, 0.0),
        ({"retry_after": "later"}, None),
        ({"retry_after": "-3"}, None),
        ({"retry_after": "inf"}, None),
        ({"retry_after": "nan"}, None),
        ({"retry_after": ""}, None),
        ({}, None),
    ],
)
def test_how_long_to_wait_is_understood_in_each_form(headers, seconds):
    assert answered(429, "slow", **headers).retry_after == seconds
    assert answered(503, "slow", **headers).retry_after == seconds


def test_headers_that_litellm_has_kept_are_read_when_the_response_has_none():
    error = raised(SomethingOfLitellm("slow", 429), HTTPStatusError(429, "slow"))
    error.litellm_response_headers = {"Retry-After": "9"}  # type: ignore[attr-defined]

    assert failure_of(error, NOW).retry_after == 9.0


def test_a_failed_connection_is_told_in_the_words_of_the_connection():
    behind = TransportError("Cannot connect to host a:1 ssl:<ssl.SSLContext object at 0x7f> [refused]")
    failure = failure_of(raised(SomethingOfLitellm("litellm.InternalServerError: Connection error."), behind), NOW)

    told = "the connection failed: Cannot connect to host a:1 [refused]"
    assert failure == Failure("unavailable", told, None, None, True)


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (AuthenticationError("litellm.AuthenticationError: nobody", 401), Failure("no_key", "nobody")),
        (
            SomethingOfLitellm("OpenAIException - Missing credentials. Set it"),
            Failure("no_key", "Missing credentials. Set it"),
        ),
        (SomethingOfLitellm("litellm.UnsupportedParamsError: no such", 400), Failure("refused", "no such", 400)),
        (SomethingOfLitellm("context window is full", "400"), Failure("too_long", "context window is full", 400)),
        (
            SomethingOfLitellm("litellm.InternalServerError: broken\nTraceback (most recent call last):\n /home/me"),
            Failure("unavailable", "the answer cannot be used: broken", None, None, True),
        ),
        (
            SomethingOfLitellm("late. Handle with `litellm.Timeout`.", 408),
            Failure("unavailable", "the answer cannot be used: late", None, None, True),
        ),
        (KeyError(), Failure("unavailable", "the answer cannot be used: KeyError", None, None, True)),
        (
            raised(SomethingOfLitellm("odd", None), TransportError()),
            Failure("unavailable", "the answer cannot be used: odd", None, None, True),
        ),
    ],
)
def test_without_a_response_the_words_decide(error, failure):
    assert failure_of(error, NOW) == failure


def test_a_response_without_a_number_is_none():
    assert answered("none", "x").kind == "unavailable"
    assert answered("none", "x").status is None


def test_a_body_that_was_not_read_is_no_reason_to_fail():
    class Unread:
        status_code = 503
        headers: dict[str, str] = {}  # noqa: RUF012 - a stand-in

        @property
        def text(self) -> str:
            raise RuntimeError("read it first")

    behind = HTTPStatusError(503)
    behind.response = Unread()  # type: ignore[assignment]

    assert failure_of(raised(SomethingOfLitellm("busy"), behind), NOW) == Failure(
        "unavailable", "busy", 503, None, True
    )


def test_errors_that_lead_in_a_circle_are_looked_at_once():
    first, second = SomethingOfLitellm("first"), SomethingOfLitellm("second")
    first.__cause__, second.__cause__ = second, first

    assert failure_of(first, NOW).reason == "the answer cannot be used: first"


def recorded() -> list[Any]:
    if not RECORDED.exists():
        return [pytest.param(None, marks=pytest.mark.skip(reason=f"the recorded errors are not here: {RECORDED}"))]
    return json.loads(RECORDED.read_text())["errors"]


@pytest.mark.parametrize("error", recorded())
def test_each_recorded_error_is_told_in_the_providers_words(error):
    failure = answered(error["status"], error["body"])

    assert failure.status == error["status"]
    expected = {401: "no_key", 429: "rate_limited"}.get(error["status"], "refused")
    if "quota" in error["body"]:
        expected = "quota"
    if "content_filter" in error["body"] or "content management" in error["body"]:
        expected = "content"
    assert failure.kind == expected
    assert failure.may_pass == (failure.kind == "rate_limited")
    assert failure.reason
    assert not failure.reason.startswith(("{", "["))
    assert json.dumps(failure.reason[:20])[1:-1] in (error["body"] or "said otherwise")


def test_keys_are_hidden_wherever_they_come_from(monkeypatch):
    monkeypatch.setenv("SOME_API_KEY", "of-the-environment")
    monkeypatch.setenv("SHORT_TOKEN", "the")
    text = "the key of-the-environment, given-by-hand, sk-proj-abc123*****xyz, Bearer abc.def and a word"

    told = redacted(text, ["given-by-hand", "word"])

    assert told == f"the key {HIDDEN}, {HIDDEN}, {HIDDEN}, {HIDDEN} and a word"
