"""A provider of models on the loopback that speaks like OpenAI and like Anthropic, and misbehaves when told to.

It works in threads, so it can be asked from any event loop, and from other processes.
"""

from __future__ import annotations

import json
import select
import socket
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, ClassVar, NamedTuple, Self


class Call(NamedTuple):
    """A tool call that the model makes; `arguments` that are no text are sent as they are."""

    name: str
    arguments: Any = "{}"
    id: str | None = None


@dataclass(frozen=True)
class Answer:
    """A proper answer, in the words of whichever provider is asked."""

    text: str | list[Any] | None = None
    calls: tuple[Call, ...] = ()
    finish: str | None = None
    input_tokens: int = 11
    cached_tokens: int = 0
    output_tokens: int = 3
    #: Goes over the answer; a value of `...` takes the key out.
    overlay: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Raw:
    """Whatever bytes, with whatever status."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    #: Sent one byte at a time, that many seconds apart.
    drip: float = 0


class Hang(NamedTuple):
    """No answer until the client goes away."""


class Close(NamedTuple):
    """The connection is closed after that many bytes of an answer that promised more."""

    after: int = 0


Reply = Answer | Raw | Hang | Close


def error(status: int, message: str, code: str | None = None, **headers: str) -> Raw:
    """An error in the form that OpenAI and its likes use; Anthropic's type stands in it as well."""
    body = {"type": "error", "error": {"message": message, "type": code or "some_error", "param": None, "code": code}}
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    return Raw(status, json.dumps(body).encode(), {"content-type": "application/json", **headers})


@dataclass(frozen=True)
class Asked:
    """A request as it came over the wire."""

    path: str
    headers: Mapping[str, str]
    body: dict[str, Any]

    @property
    def is_anthropic(self) -> bool:
        return self.path.endswith("/messages")


class Provider:
    """Use it as a context manager. `answers` decides, by the request, or from a list, one after the other."""

    def __init__(self, *replies: Reply, decide: Callable[[Asked], Reply] | None = None) -> None:
        self._replies = list(replies)
        self._decide = decide
        self._lock = threading.Lock()
        self.asked: list[Asked] = []
        #: Set when a client went away while it was made to wait.
        self.abandoned = threading.Event()
        #: Set when a request has arrived.
        self.reached = threading.Event()
        self.closing = threading.Event()

    def __enter__(self) -> Self:
        self._server = _Server(self)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.closing.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def openai(self) -> str:
        return f"{self.url}/v1"

    def reply(self, asked: Asked) -> Reply:
        with self._lock:
            self.asked.append(asked)
            self.reached.set()
            if self._decide is not None:
                return self._decide(asked)
            return self._replies.pop(0) if len(self._replies) > 1 else self._replies[0]


class _Server(ThreadingHTTPServer):
    def __init__(self, provider: Provider) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.provider = provider
        self.daemon_threads = False  # so that closing waits for them

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that go away are what is tested here."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server
    #: How often an idle connection looks whether the server is closing, in seconds.
    glance: ClassVar[float] = 0.01

    def log_message(self, format: str, *args: Any) -> None:
        """Tests are quiet."""

    def handle(self) -> None:
        self.close_connection = False
        while not self.close_connection and not self.server.provider.closing.is_set():
            if self._is_readable():
                self.handle_one_request()

    def _is_readable(self) -> bool:
        return bool(select.select([self.connection], [], [], self.glance)[0])

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        asked = Asked(self.path, {name.lower(): value for name, value in self.headers.items()}, body)
        reply = self.server.provider.reply(asked)
        match reply:
            case Hang():
                self._hang()
            case Close(after):
                self._send(200, b"x" * after, {"content-length": "1000", "content-type": "application/json"})
                self.connection.shutdown(socket.SHUT_RDWR)
                self.close_connection = True
            case Raw():
                self._send(reply.status, reply.body, reply.headers, reply.drip)
            case Answer():
                document = _anthropic(asked, reply) if asked.is_anthropic else _openai(asked, reply)
                document = {name: value for name, value in {**document, **reply.overlay}.items() if value is not ...}
                self._send(200, json.dumps(document).encode(), {"content-type": "application/json"})

    def _hang(self) -> None:
        self.close_connection = True
        while not self.server.provider.closing.is_set():
            if self._is_readable() and not self.connection.recv(1):
                self.server.provider.abandoned.set()
                return

    def _send(self, status: int, body: bytes, headers: Mapping[str, str], drip: float = 0) -> None:
        self.send_response(status)
        for name, value in {"content-length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        if not drip:
            # In one piece with the headers: two would wait for each other (Nagle and a delayed acknowledgement).
            self._headers_buffer.append(b"\r\n" + body)
            self.flush_headers()
            return
        self.end_headers()
        for byte in body:
            if self.server.provider.closing.wait(drip) or self._gone():
                self.close_connection = True
                return
            self.wfile.write(bytes([byte]))
            self.wfile.flush()

    def _gone(self) -> bool:
        if select.select([self.connection], [], [], 0)[0] and not self.connection.recv(1):
            self.server.provider.abandoned.set()
            return True
        return False


def _openai(asked: Asked, answer: Answer) -> dict[str, Any]:
    calls = [
        {"id": call.id or f"call_{n}", "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
        for n, call in enumerate(answer.calls)
    ]
    message: dict[str, Any] = {"role": "assistant", "content": answer.text}
    if calls:
        message["tool_calls"] = calls
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": asked.body["model"],
        "choices": [
            {"index": 0, "message": message, "finish_reason": answer.finish or ("tool_calls" if calls else "stop")}
        ],
        "usage": {
            "prompt_tokens": answer.input_tokens,
            "completion_tokens": answer.output_tokens,
            "total_tokens": answer.input_tokens + answer.output_tokens,
            "prompt_tokens_details": {"cached_tokens": answer.cached_tokens},
        },
    }


def _anthropic(asked: Asked, answer: Answer) -> dict[str, Any]:
    content: list[Any] = [{"type": "text", "text": answer.text}] if answer.text else []
    for number, call in enumerate(answer.calls):
        given = json.loads(call.arguments) if isinstance(call.arguments, str) else call.arguments
        content.append({"type": "tool_use", "id": call.id or f"toolu_{number}", "name": call.name, "input": given})
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": asked.body["model"],
        "content": content,
        "stop_reason": answer.finish or ("tool_use" if answer.calls else "end_turn"),
        "stop_sequence": None,
        "usage": {
            "input_tokens": answer.input_tokens - answer.cached_tokens,
            "output_tokens": answer.output_tokens,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": answer.cached_tokens,
        },
    }
