"""Models of providers, asked through litellm.

litellm takes seconds to import, would then read a price list from the network and a `.env` from the working
directory, prints advice, and waits and retries by itself: here all of that is kept from happening.
"""

from __future__ import annotations

import importlib
import logging
import os
from collections.abc import Mapping
from difflib import get_close_matches
from functools import partial
from typing import Any, Final, NamedTuple

import anyio

from orchestrator.checks import check_amount, check_count
from orchestrator.environment import Environment
from orchestrator.errors import (
    ContentRefused,
    ContextTooLong,
    DeclarationError,
    ModelError,
    ModelNotFound,
    ModelRefused,
    ModelUnavailable,
    RateLimited,
)
from orchestrator.models.failures import Failure, failure_of
from orchestrator.models.loops import keep_clients, on_asyncio
from orchestrator.models.redacting import redacted
from orchestrator.models.retrying import GivenUp, Patience, persist
from orchestrator.models.wire import messages_to_wire, response_from_wire, tools_to_wire
from orchestrator.ports import ModelRequest, ModelResponse

#: What the request or this adapter decides.
_OURS: Final = frozenset({"model", "messages", "tools", "stream", "n", "num_retries", "max_retries", "client"})


class _Provider(NamedTuple):
    """What litellm knows about a model."""

    #: The module. It has no types here: this file is where it becomes ours.
    litellm: Any
    #: Whether the provider wants to be told where its cache may end. OpenAI and most others find out by themselves.
    wants_breakpoints: bool
    #: Variables of the environment that the provider needs and that are not set.
    missing: tuple[str, ...]


class LiteLLMModel:
    """A model of a provider's, by its name for litellm: "openai/gpt-5-mini", "anthropic/claude-haiku-4-5".

    Keys come from the environment, where litellm looks for them (OPENAI_API_KEY, ANTHROPIC_API_KEY, …).
    The first request of a process takes some seconds more than others: it imports litellm, in a thread,
    and waits for that even when it is cancelled.

        LiteLLMModel("openai/gpt-5-mini", timeout=60, max_tokens=4000, reasoning_effort="low")

    Args:
        environment: time of day, randomness of waits, and how blocking work is run.
        timeout: the most seconds that one attempt may take, whatever the server does meanwhile.
        attempts: how often to try, when trying again may help.
        api_base: where the provider is, if not where litellm knows it to be (or OPENAI_API_BASE, … say).
        api_key: the key, if it is not in the environment. It is in no error and no event.
        parameters: handed on to `litellm.acompletion`: temperature, max_tokens, extra_headers, …

    Raises:
        ModelNotFound: the name is not of the form provider/model. Whether litellm knows the provider is
            known at the first request, which raises the same.
    """

    def __init__(
        self,
        name: str,
        *,
        environment: Environment | None = None,
        timeout: float = 180,
        attempts: int = 4,
        api_base: str | None = None,
        api_key: str | None = None,
        **parameters: Any,
    ) -> None:
        provider, _, of_provider = name.partition("/")
        if not provider or not of_provider:
            raise ModelNotFound(f"{name!r} is not of the form provider/model, such as openai/gpt-5-mini")
        where = f"model {name!r}"
        check_amount(where, "timeout", timeout, "seconds")
        check_count(where, "attempts", attempts)
        if ours := sorted(_OURS & parameters.keys()):
            raise DeclarationError(where, f"{ours[0]!r} is not for you to give: each request decides it")
        self.name = name
        self._environment = environment or Environment()
        self._timeout = timeout
        self._patience = Patience(attempts=attempts)
        self._access = {
            key: value for key, value in {"api_base": api_base, "api_key": api_key}.items() if value is not None
        }
        self._parameters = parameters
        self._provider: _Provider | None = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"

    async def respond(self, request: ModelRequest) -> ModelResponse:
        """Ask the provider, again if that may help.

        Raises `ModelUnavailable` (`RateLimited`) when it may help later, `ModelRefused` (`ContextTooLong`,
        `ContentRefused`) when the request or the access to the provider has to be changed, and
        `ModelNotFound` when litellm knows no such provider.
        """
        if self._provider is None:
            self._provider = await self._environment.run_blocking(self._find)
        arguments = {
            **self._parameters,
            **self._access,
            "model": self.name,
            "messages": messages_to_wire(request, breakpoints=self._provider.wants_breakpoints),
            # Longer than ours, which does not let a server that sends a byte now and then go on for ever.
            "timeout": 2 * self._timeout,
            # Its own retries wait for as long as a server says.
            "num_retries": 0,
            "max_retries": 0,
        }
        if tools := tools_to_wire(request):
            arguments["tools"] = tools
        outcome = await persist(
            partial(self._attempt, self._provider.litellm, arguments), self._patience, self._environment
        )
        if isinstance(outcome, GivenUp):
            raise self._error(outcome, self._provider)
        return outcome

    def _find(self) -> _Provider:
        """Import litellm and ask it for the provider. Blocks for seconds, the first time."""
        litellm = _litellm(self.name)
        known = {key: value for key, value in self._parameters.items() if key == "custom_llm_provider"}
        try:
            model, provider, *_ = litellm.get_llm_provider(self.name, api_base=self._access.get("api_base"), **known)
        except litellm.exceptions.BadRequestError:
            named = self.name.partition("/")[0]
            near = get_close_matches(named, [str(getattr(p, "value", p)) for p in litellm.provider_list], 1)
            meant = f"; did you mean {near[0]!r}?" if near else ""
            raise ModelNotFound(f"model {self.name!r}: litellm knows no provider {named!r}{meant}") from None
        if provider != "anthropic":
            # Half of the providers are asked with this, and it takes as long as a request to import.
            importlib.import_module("openai.resources")
        is_claude = provider == "anthropic" or (
            "claude" in model.lower() and litellm.utils.supports_prompt_caching(self.name)
        )
        missing = () if "api_key" in self._access else litellm.validate_environment(self.name)["missing_keys"]
        return _Provider(litellm, is_claude, tuple(missing))

    async def _attempt(self, litellm: Any, arguments: Mapping[str, Any]) -> ModelResponse | Failure:
        async def ask() -> Any:
            await keep_clients(litellm.in_memory_llm_clients_cache)
            return await litellm.acompletion(**arguments)

        try:
            with anyio.move_on_after(self._timeout):
                return response_from_wire(await on_asyncio(ask))
        except Exception as error:  # whatever litellm raises: this is where it becomes ours
            return failure_of(error, self._environment.now())
        return Failure("unavailable", f"no answer within {self._timeout:g} s", may_pass=True)

    def _error(self, given_up: GivenUp, provider: _Provider) -> ModelError:
        failure, attempts, seconds = given_up
        reason = redacted(failure.reason, self._secrets())
        match failure.kind:
            case "rate_limited":
                return RateLimited(
                    self.name, reason, attempts=attempts, seconds=seconds, retry_after=failure.retry_after
                )
            case "unavailable":
                return ModelUnavailable(self.name, reason, status=failure.status, attempts=attempts, seconds=seconds)
            case "too_long":
                advice = "Shorten its blocks or its history, or take a model that reads more"
                return ContextTooLong(self.name, reason, status=failure.status, advice=advice)
            case "content":
                return ContentRefused(self.name, reason, status=failure.status)
            case "quota":
                advice = "The account has nothing left to spend: add credit, or take another key"
                return ModelRefused(self.name, reason, status=failure.status, advice=advice)
            case "refused" | "no_key":
                advice = _advice(self.name, failure, provider.missing)
                return ModelRefused(self.name, reason, status=failure.status, advice=advice)

    def _secrets(self) -> list[str]:
        headers = self._parameters.get("extra_headers") or self._parameters.get("headers") or {}
        return [str(secret) for secret in (self._access.get("api_key", ""), *dict(headers).values())]


def _advice(name: str, failure: Failure, missing: tuple[str, ...]) -> str:
    provider = name.partition("/")[0]
    if failure.kind == "no_key":
        if missing:
            return f"Not set in the environment: {', '.join(missing)}"
        return f"Check the key for {provider}"
    if failure.status == 403:
        return f"The key for {provider} may not do this: check what it allows"
    if failure.status == 404:
        return "Check the name of the model, and that the key may use it"
    return ""


def _litellm(name: str) -> Any:
    """The module, imported so that it asks no network, reads no `.env` and is quiet."""
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    os.environ.setdefault("LITELLM_MODE", "PRODUCTION")
    try:
        import litellm
    except ImportError as error:
        raise ModelNotFound(f"model {name!r} needs litellm, which cannot be imported: {error}") from error
    litellm.suppress_debug_info = True  # else it prints advice to stdout
    logger = logging.getLogger("LiteLLM")
    if logger.level == logging.NOTSET and "LITELLM_LOG" not in os.environ:
        logger.setLevel(logging.ERROR)  # what goes wrong in a request is raised anyway
    return litellm
