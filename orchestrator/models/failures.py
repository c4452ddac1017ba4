"""What a provider's failure means: judged by HTTP status and by the words of its answer, not by litellm's classes.

Those differ from provider to provider for the same status: a 403 comes as three classes, a 529 of Anthropic as 500.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal, NamedTuple

Kind = Literal["unavailable", "rate_limited", "refused", "no_key", "too_long", "content", "quota"]

#: Statuses of failures that may pass by themselves.
_PASSING: Final = frozenset({408, 409, 425, 429})

#: The longest reason that is told.
_MOST_TOLD: Final = 500

_QUOTA: Final = re.compile(
    r"insufficient_quota|exceeded your current quota|credit balance is too low|billing_hard_limit|billing_not_active"
    r"|insufficient (?:credits|balance|funds)",
    re.IGNORECASE,
)
_TOO_LONG: Final = re.compile(
    r"context_length_exceeded|context_window_exceeded|maximum context length|context window|prompt is too long"
    r"|input is too long|too many (?:input )?tokens|exceeds the maximum number of tokens|input token count",
    re.IGNORECASE,
)
_CONTENT: Final = re.compile(
    r"content_policy_violation|content_filter|content management policy|content policy|our safety system"
    r"|ResponsibleAIPolicyViolation|flagged as potentially violating",
    re.IGNORECASE,
)
#: Said by clients that were not given a key, before anything is sent.
_NO_KEY: Final = re.compile(r"missing (?:\S+ ){0,3}(?:credentials|api key)|unable to locate credentials", re.IGNORECASE)


class Failure(NamedTuple):
    """Why an attempt gave no answer."""

    kind: Kind
    #: In the words of whoever failed.
    reason: str
    #: The HTTP status, if there was an answer over HTTP.
    status: int | None = None
    #: For how many seconds the provider asks not to be asked again.
    retry_after: float | None = None
    #: Whether the same request may succeed when it is made again.
    may_pass: bool = False


def failure_of(error: Exception, now: float) -> Failure:
    """What a failed request of litellm's means; `now` is the time of day, for waits that are given as a date."""
    response = _response(error)
    if response is None:
        return _without_response(error)
    status = int(response.status_code)
    reason, words = _told(response, error)
    kind = _kind(status, words)
    retry_after = _retry_after(_headers(error, response), now)
    return Failure(kind, reason, status, retry_after, kind in ("unavailable", "rate_limited"))


def _without_response(error: Exception) -> Failure:
    """Nothing came over HTTP: the connection failed, the answer was none, or litellm refused by itself."""
    for link in _chain(error):
        if _is_a(link, "TransportError") and str(link):
            without_address = re.sub(r" ssl:<[^>]*>", "", str(link))
            return Failure("unavailable", f"the connection failed: {_shortened(without_address)}", may_pass=True)
    reason = _own_words(error)
    status = _number(getattr(error, "status_code", None))
    if _is_a(error, "AuthenticationError") or _NO_KEY.search(reason):
        return Failure("no_key", reason)
    if status is not None and 400 <= status < 500 and status not in _PASSING:
        return Failure(_kind(status, reason), reason, status)
    return Failure("unavailable", f"the answer cannot be used: {reason}", may_pass=True)


def _kind(status: int, words: str) -> Kind:
    if _QUOTA.search(words) or status == 402:
        return "quota"
    if status == 429:
        return "rate_limited"
    if status in _PASSING or status >= 500:
        return "unavailable"
    if status == 401:
        return "no_key"
    if status in (400, 413, 422) and _TOO_LONG.search(words):
        return "too_long"
    if status in (400, 403, 422) and _CONTENT.search(words):
        return "content"
    return "refused"


# --- what was answered


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error and those behind it."""
    seen: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and link not in seen:
        yield link
        seen.append(link)
        link = link.__cause__ or link.__context__


def _is_a(error: BaseException, name: str) -> bool:
    # By name: httpx and openai belong to litellm, which may come to use others.
    return any(kind.__name__ == name for kind in type(error).__mro__)


def _response(error: BaseException) -> Any:
    """The response as it came over the wire; the one that litellm attaches to its own errors may be made up."""
    for link in _chain(error):
        response = getattr(link, "response", None)
        if _is_a(link, "HTTPStatusError") and _number(getattr(response, "status_code", None)) is not None:
            return response
    return None


def _headers(error: Exception, response: Any) -> Mapping[str, str]:
    told = getattr(error, "litellm_response_headers", None)
    return {str(name).lower(): str(value) for name, value in dict(told or response.headers).items()}


def _told(response: Any, error: Exception) -> tuple[str, str]:
    """The reason that the provider gives, and all its words, for looking up codes."""
    try:
        text = str(response.text)
    except Exception:  # a body that was not read, in whatever way the client says that
        text = ""
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        body = None
    message = _message(body)
    if message is None:
        message = re.sub(r"<(style|script).*?</\1>|<[^>]*>", " ", text, flags=re.IGNORECASE | re.DOTALL).strip()
        message = message or _own_words(error)
    return _shortened(message), f"{text} {_own_words(error)}"


def _message(body: object) -> str | None:
    """Where providers put the reason: error.message, message, detail, error."""
    if isinstance(body, list) and body:
        body = body[0]
    if not isinstance(body, dict):
        return None
    inner = body.get("error")
    for place in (inner if isinstance(inner, dict) else {}, body):
        for name in ("message", "detail", "error"):
            if isinstance(place.get(name), str) and place[name].strip():
                return str(place[name]).strip()
    return None


def _own_words(error: Exception) -> str:
    """litellm's message, without its class names, its advice and its tracebacks."""
    text = str(getattr(error, "message", None) or error).partition("\nTraceback")[0].partition(" Traceback (most")[0]
    text = re.sub(r"^(?:litellm\.)?(?:\w+(?:Error|Exception|Timeout):?\s*(?:- )?)+", "", text)
    text = re.sub(r"(?:\. )?Handle with `litellm\.\w+`\.?", "", text).strip(" .\n")
    return _shortened(text or type(error).__name__)


def _shortened(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _MOST_TOLD else f"{text[: _MOST_TOLD - 1]}…"


# --- how long to wait


def _retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds from the headers of the answer: `retry-after-ms`, or `retry-after` as seconds or as a date."""
    milliseconds = _seconds(headers.get("retry-after-ms", ""))
    if milliseconds is not None:
        return milliseconds / 1000
    text = headers.get("retry-after", "").strip()
    seconds = _seconds(text)
    if seconds is not None or not text:
        return seconds
    try:
        from email.utils import parsedate_to_datetime  # few providers give a date

        return max(0.0, parsedate_to_datetime(text).timestamp() - now)
    except (ValueError, OverflowError):
        return None


def _seconds(text: str) -> float | None:
    try:
        seconds = float(text)
    except ValueError:
        return None
    return seconds if 0 <= seconds < float("inf") else None


def _number(value: object) -> int | None:
    try:
        return int(value)  # type: ignore[call-overload,no-any-return]  # whatever it is, it is looked at
    except (TypeError, ValueError):
        return None
